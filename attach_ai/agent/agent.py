"""One mind: perception, planning, learning, and the step that both simulates and conditions."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attach_ai.agent.affect import Affect, Feeling, Mood
from attach_ai.agent.exact import Exact
from attach_ai.agent.hold import Instruction, Program, blend
from attach_ai.agent.learning import AbstractLearning, Counts, Dirichlet
from attach_ai.agent.perception import (
    AbstractPerception,
    Belief_,
    Choice,
    Evidence,
    Index,
    Outcome,
    State,
)
from attach_ai.agent.planning import AbstractPlanner, ExpectedFreeEnergy, Plan
from attach_ai.agent.slicing import by_context, select
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP


class Tables(eqx.Module):
    """What is computed once for a model: what perception and planning prepared.

    `inner`: A of each inner modality, (context or 1, outcome, *levels of its hidden parents).
    `foresight`: perception's tables of the model that plans rest on, where that is another one.
    """

    perception: Any
    plans: Any
    inner: tuple[Float[Array, "..."], ...]
    foresight: Any = None


class Belief(eqx.Module):
    """What is carried from step to step.

    `state`: perception's own, expecting the next outcome. `context`: what the last choice made
    known. `posterior`, `held`: beliefs after the last outcome, without and with the operators.
    `chain`: a second state for operators that propagate (None without such).
    `engaged`: (operator,), whether each acted at the last step. `apart`: where the mind would stand
    had it taken in nothing since the session began, inner outcomes alone, or outer ones alone (None
    where no ledger is kept). `mood`: what affect carries (None without).
    """

    state: State
    context: Int[Array, ""]
    posterior: Belief_
    held: Belief_
    chain: State | None
    engaged: Float[Array, " operator"]
    apart: tuple[State, State, State] | None = None
    mood: Mood | None = None


class Ledger(eqx.Module):
    """What the log-odds of one level are made of, in nats, since the session began.

    `expected` is where the prior and the believed transitions alone would have led; `body` is what
    inner outcomes add to it, `cues` what the others do, each averaged over the two orders in which
    they can be added; their sum is the unheld log-odds, and with `field` the held ones. What a
    `Condition` brings is counted with `expected`, for it is no outcome. What each
    step said is not summed: transitions let old evidence fade, and a sum would go on counting it.
    """

    expected: Float[Array, ""]
    body: Float[Array, ""]
    cues: Float[Array, ""]
    field: Float[Array, ""]


class Decision(eqx.Module):
    """What is reported of a step.

    `posterior`, `held`: one array of level probabilities per factor, without and with the
    practice's operators. `effort` is KL[held || posterior] in nats. `log_p` is the log probability
    of what was chosen.
    """

    posterior: tuple[Float[Array, " level"], ...]
    held: tuple[Float[Array, " level"], ...]
    evidence: Evidence
    effort: Float[Array, ""]
    plan: Plan
    choice: Choice
    log_p: Float[Array, ""]
    ledger: Ledger | None
    feeling: Feeling | None = None


class Agent(eqx.Module):
    """Three choices: how to perceive, how to plan, what to learn.

    With `affect` the precision of policies moves from outcome to outcome, and gamma is 1 / beta
    instead of the planner's own.
    """

    perception: AbstractPerception = Exact()
    planning: AbstractPlanner = eqx.field(default_factory=ExpectedFreeEnergy)
    learning: AbstractLearning = eqx.field(default_factory=Dirichlet)
    affect: Affect | None = None

    def __check_init__(self) -> None:
        if self.affect is not None and not isinstance(self.planning, ExpectedFreeEnergy):
            raise InputError("affect moves gamma, which only ExpectedFreeEnergy has", "agent")

    def prepare(
        self, pomdp: POMDP, seen: POMDP | None = None, counts: Counts | None = None
    ) -> Tables:
        """Tables for `step`; they depend on A, B, C and E, not on D.

        `seen` is the model that perception works with, where it is another one
        (`AbstractLearning.perceived`); `counts` are those behind learned tables, at first the
        strengths of `pomdp`.
        """
        inner = tuple(
            by_context(pomdp, m) for m, x in enumerate(pomdp.layout.modalities) if x.inner
        )
        counts = self.learning.counts(pomdp) if counts is None else counts
        believed = self.perception.prepare(pomdp)
        return Tables(
            perception=believed if seen is None else self.perception.prepare(seen),
            plans=self.planning.prepare(pomdp, counts),
            inner=inner,
            foresight=None if seen is None else believed,
        )

    def init(
        self, tables: Tables, pomdp: POMDP, program: Program, *, ledger: bool = False
    ) -> Belief:
        """The belief before the first outcome of a session; `ledger`: one is to be kept."""
        state = self.perception.begin(tables.perception, pomdp.D)
        expected = self.perception.expect(tables.perception, state)
        return Belief(
            state=state,
            context=jnp.asarray(pomdp.layout.first_context, jnp.int32),
            posterior=expected,
            held=expected,
            chain=state if program.carries else None,
            engaged=jnp.zeros_like(program.active[0]),
            apart=(state, state, state) if ledger else None,
            mood=self._first_mood(pomdp, state),
        )

    def predict(
        self, tables: Tables, belief: Belief, now: Instruction
    ) -> tuple[Float[Array, " outcome"], ...]:
        """The held prediction of each inner modality: what the mind, holding, is about to feel."""
        see, at = self.perception, tables.perception
        expected = self._chain_expectation(tables, belief, now)
        expected = now.apply(see, at, expected, belief.context, tilts_only=True)
        found = []
        modalities = [x for x in at.layout.modalities if x.inner]
        for a, modality in zip(tables.inner, modalities, strict=True):
            parents = tuple(p for p in modality.parents if p in at.layout.hidden)
            here = a[0] if a.shape[0] == 1 else select(a, belief.context)
            p = see.read(at, expected, parents)
            found.append(jnp.tensordot(here, p, axes=p.ndim))
        return tuple(found)

    def step(
        self,
        tables: Tables,
        belief: Belief,
        outcome: Outcome,
        now: Instruction,
        draw: Float[Array, ""] | None = None,
        choice: Choice | None = None,
        track: tuple[int, int] | None = None,
    ) -> tuple[Belief, Decision]:
        """Outcome, update, hold, choice, and the transition it brings.

        With `draw` (uniform in [0, 1)) the choice is sampled; with `choice` it is given, and its
        log probability reported: simulation and likelihood are this one function. An outcome of -1
        was not seen. `track` names a (factor, level) whose ledger is kept.

        What nobody recorded may be given by its expectation: an outcome as shares, a choice as the
        probability of each; of a choice that is all zeros the plan's own probabilities are taken,
        and nothing is scored. Raises `InputError` where that would leave the context unknown.
        """
        see, at, context = self.perception, tables.perception, belief.context
        precision = now.precision(at.layout, context)
        informed = now.inform(see, at, belief.state, context)
        state, posterior, evidence = see.update(at, informed, context, outcome, precision=precision)
        chain, held = None, posterior
        if belief.chain is not None:
            expectation = self._chain_expectation(tables, belief, now)
            chain = see.believe(at, belief.chain, expectation)
            chain, held, _ = see.update(at, chain, context, outcome, precision=precision)
        carried = held
        held = now.apply(see, at, held, context, tilts_only=True)

        planning, mood, feeling = self.planning, belief.mood, None
        if self.affect is not None and mood is not None:
            misfit = self._misfit(tables, mood, context, outcome)
            mood, feeling = self.affect.feel(mood, misfit)
            planning = eqx.tree_at(lambda p: p.gamma, planning, 1 / mood.beta)
        ahead = see.forecast(at, posterior, context)
        ahead_held = see.forecast(at, held, context) if now.operators else ahead
        # What is carried goes on without the tilts, which never accumulate.
        ahead_carried = None if chain is None else see.forecast(at, carried, context)
        foresight, foreseen = at, ahead_held
        if tables.foresight is not None:  # perception works with another model than plans rest on
            foresight = tables.foresight
            foreseen = see.forecast(foresight, held, context)
        plan = planning.plan(
            see,
            foresight,
            tables.plans,
            held,
            context,
            foreseen,
            lambda b, c: now.apply(see, at, b, c),
            now.allowed,
        )
        if choice is None:
            assert draw is not None, "step needs a draw to sample a choice, or the choice itself"
            choice = sample(jnp.exp(plan.log_p), draw)
        made = jnp.where(choice.any(), choice, jnp.exp(plan.log_p)) if choice.ndim else choice
        ledger: Ledger | None = None
        apart: Any = None
        if track is not None:
            ledger, alone = self._ledger(tables, belief, outcome, posterior, held, track, now)
            apart = tuple(see.advance(at, s, see.forecast(at, b, context), made) for s, b in alone)
        after = Belief(
            state=see.advance(at, state, ahead, made),
            context=_context_after(at.layout, made),
            posterior=posterior,
            held=held,
            chain=None if chain is None else see.advance(at, chain, ahead_carried, made),
            engaged=jnp.stack(
                [now.gate(i, context) for i in range(len(now.operators))] or [jnp.zeros(())]
            )[: len(now.operators)],
            apart=apart,
            mood=None if mood is None else self._next_mood(tables, mood, plan, state, ahead),
        )
        decision = Decision(
            posterior=self.marginals(tables, posterior, context),
            held=self.marginals(tables, held, context),
            evidence=evidence,
            effort=see.divergence(held, posterior),
            plan=plan,
            choice=made,
            log_p=_log_p(plan, choice),
            ledger=ledger,
            feeling=feeling,
        )
        return after, decision

    def marginals(
        self, tables: Tables, belief: Belief_, context: Index
    ) -> tuple[Float[Array, " level"], ...]:
        """One distribution per factor; a known factor's has all its mass at one level."""
        layout = tables.perception.layout
        hidden = iter(self.perception.marginals(tables.perception, belief))
        found = []
        for f, factor in enumerate(layout.factors):
            if f in layout.hidden:
                found.append(next(hidden))
                continue
            at = jnp.asarray([c[layout.known.index(f)] for c in layout.contexts], jnp.int32)
            p = jnp.arange(len(factor.levels), dtype=jnp.int32) == select(at, jnp.asarray(context))
            found.append(p.astype(jax.tree.leaves(belief)[0].dtype))
        return tuple(found)

    def _first_mood(self, pomdp: POMDP, state: State) -> Mood | None:
        if self.affect is None:
            return None
        assert isinstance(self.planning, ExpectedFreeEnergy)
        n = len(pomdp.layout.choices)
        futures = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), state)
        return self.affect.begin(futures, n**self.planning.horizon)

    def _misfit(
        self, tables: Tables, mood: Mood, context: Index, outcome: Outcome
    ) -> Float[Array, " policy"]:
        """-ln p(outcome | policy): how badly the states foreseen under each explain the outcome.

        All policies are asked in the context that is in force, for what an action merely makes
        visible says nothing about how well the others would have done.
        """
        see, at = self.perception, tables.perception

        def of_choice(state: State) -> Float[Array, ""]:
            return see.update(at, state, context, outcome)[2].vfe

        misfit = jax.vmap(of_choice)(mood.futures)
        return jnp.repeat(misfit, mood.efe.shape[0] // misfit.shape[0])

    def _next_mood(
        self, tables: Tables, mood: Mood, plan: Plan, state: State, ahead: Belief_
    ) -> Mood:
        see, at = self.perception, tables.perception
        every = jnp.arange(len(at.layout.choices), dtype=jnp.int32)
        futures = jax.vmap(lambda u: see.advance(at, state, ahead, u))(every)
        q = plan.q_pi
        log_q = jnp.where(q > 0, jnp.log(jnp.where(q > 0, q, 1.0)), -jnp.inf)
        log_prior = log_q + plan.efe / mood.beta
        return Mood(mood.beta, mood.valence, log_prior, plan.efe, futures)

    def _chain_expectation(self, tables: Tables, belief: Belief, now: Instruction) -> Belief_:
        """What is expected before the outcome, with the propagating operators at work."""
        see, at = self.perception, tables.perception
        unheld = see.expect(at, now.inform(see, at, belief.state, belief.context))
        if belief.chain is None:
            return unheld
        expected = see.expect(at, now.inform(see, at, belief.chain, belief.context))
        carried = now.touching("carried")
        for i, operator in carried:
            released = operator.release(see, at, expected, unheld)
            gate = now.gate(i, belief.context)
            expected = blend(belief.engaged[i] * (1 - gate), released, expected)
        for i, operator in carried:
            expected = operator.apply(see, at, expected, now.gate(i, belief.context))
        return expected

    def _ledger(
        self,
        tables: Tables,
        belief: Belief,
        outcome: Outcome,
        posterior: Belief_,
        held: Belief_,
        track: tuple[int, int],
        now: Instruction,
    ) -> tuple[Ledger, tuple[tuple[State, Belief_], ...]]:
        """The entries, and the three states that stand apart after this outcome."""
        see, at, context = self.perception, tables.perception, belief.context
        assert belief.apart is not None, "a tracked life begins with init(..., ledger=True)"
        inner = tuple(m for m, x in enumerate(at.layout.modalities) if x.inner)
        outer = tuple(m for m, x in enumerate(at.layout.modalities) if not x.inner)

        def log_odds(b: Belief_) -> Array:
            p = see.read(at, b, (track[0],))[track[1]]
            return jnp.log(p) - jnp.log1p(-p)

        precision = now.precision(at.layout, context)

        def take_in(state: State, which: tuple[int, ...]) -> tuple[State, Belief_]:
            informed = now.inform(see, at, state, context)
            return see.update(at, informed, context, outcome, which, precision)[:2]

        alone = tuple(map(take_in, belief.apart, ((), inner, outer)))
        none, body_only, cues_only = (log_odds(b) for _, b in alone)
        both = log_odds(posterior)
        body = ((body_only - none) + (both - cues_only)) / 2
        ledger = Ledger(
            expected=none, body=body, cues=both - none - body, field=log_odds(held) - both
        )
        return ledger, alone


def sample(p: Float[Array, " level"], draw: Float[Array, ""]) -> Int[Array, ""]:
    """Inverse-cdf draw from a distribution; never an index whose probability is zero."""
    edges = jnp.cumsum(p)
    below = jnp.sum((edges <= draw * edges[-1]).astype(jnp.int32), dtype=jnp.int32)
    return jnp.minimum(below, p.shape[0] - 1)


def _log_p(plan: Plan, choice: Choice) -> Float[Array, ""]:
    if not choice.ndim:
        return select(plan.log_p, choice)
    return jnp.sum(choice * jnp.where(choice > 0, plan.log_p, 0.0))


def _context_after(layout: Layout, choice: Choice) -> Int[Array, ""]:
    if choice.ndim:
        if layout.known:
            names = ", ".join(layout.factors[f].name for f in layout.known)
            raise InputError(f"a choice sets {names}: each step needs the one made", "Agent.step")
        return jnp.zeros((), jnp.int32)
    return select(jnp.asarray(layout.context_after, jnp.int32), choice)

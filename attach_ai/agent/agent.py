"""One mind: perception, planning, learning, and the step that both simulates and conditions."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attach_ai.agent.exact import Exact
from attach_ai.agent.hold import Instruction, Program, blend
from attach_ai.agent.learning import AbstractLearning, Dirichlet
from attach_ai.agent.perception import AbstractPerception, Belief_, Evidence, Index, State
from attach_ai.agent.planning import AbstractPlanner, ExpectedFreeEnergy, Plan
from attach_ai.agent.slicing import by_context, select
from attach_ai.model.pomdp import POMDP


class Tables(eqx.Module):
    """What is computed once for a model: what perception and planning prepared.

    `inner`: A of each inner modality, (context or 1, outcome, *levels of its hidden parents).
    """

    perception: Any
    plans: Any
    inner: tuple[Float[Array, "..."], ...]


class Belief(eqx.Module):
    """What is carried from step to step.

    `state`: perception's own, expecting the next outcome. `context`: what the last choice made
    known. `posterior`, `held`: beliefs after the last outcome, without and with the operators.
    `chain`: a second state for operators that propagate (None without such).
    `engaged`: (operator,), whether each acted at the last step. `apart`: where the mind would stand
    had it taken in nothing since the session began, inner outcomes alone, or outer ones alone (None
    where no ledger is kept).
    """

    state: State
    context: Int[Array, ""]
    posterior: Belief_
    held: Belief_
    chain: State | None
    engaged: Float[Array, " operator"]
    apart: tuple[State, State, State] | None = None


class Ledger(eqx.Module):
    """What the log-odds of one level are made of, in nats, since the session began.

    `expected` is where the prior and the believed transitions alone would have led; `body` is what
    inner outcomes add to it, `cues` what the others do, each averaged over the two orders in which
    they can be added; their sum is the unheld log-odds, and with `field` the held ones. What each
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
    choice: Int[Array, ""]
    log_p: Float[Array, ""]
    ledger: Ledger | None


class Agent(eqx.Module):
    """Three choices: how to perceive, how to plan, what to learn."""

    perception: AbstractPerception = Exact()
    planning: AbstractPlanner = eqx.field(default_factory=ExpectedFreeEnergy)
    learning: AbstractLearning = eqx.field(default_factory=Dirichlet)

    def prepare(self, pomdp: POMDP) -> Tables:
        """Tables for `step`; they depend on A, B, C and E, not on D."""
        inner = tuple(
            by_context(pomdp, m) for m, x in enumerate(pomdp.layout.modalities) if x.inner
        )
        return Tables(self.perception.prepare(pomdp), self.planning.prepare(pomdp), inner)

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
        outcome: Int[Array, " modality"],
        now: Instruction,
        draw: Float[Array, ""] | None = None,
        choice: Int[Array, ""] | None = None,
        track: tuple[int, int] | None = None,
    ) -> tuple[Belief, Decision]:
        """Outcome, update, hold, choice, and the transition it brings.

        With `draw` (uniform in [0, 1)) the choice is sampled; with `choice` it is given, and its
        log probability reported: simulation and likelihood are this one function. An outcome of -1
        was not seen. `track` names a (factor, level) whose ledger is kept.
        """
        see, at, context = self.perception, tables.perception, belief.context
        state, posterior, evidence = see.update(at, belief.state, context, outcome)
        chain, held = None, posterior
        if belief.chain is not None:
            expectation = self._chain_expectation(tables, belief, now)
            chain = see.believe(at, belief.chain, expectation)
            chain, held, _ = see.update(at, chain, context, outcome)
        held = now.apply(see, at, held, context, tilts_only=True)

        ahead = see.forecast(at, posterior, context)
        ahead_held = see.forecast(at, held, context) if now.operators else ahead
        plan = self.planning.plan(
            see, at, tables.plans, ahead_held, lambda b, c: now.apply(see, at, b, c), now.allowed
        )
        if choice is None:
            assert draw is not None, "step needs a draw to sample a choice, or the choice itself"
            choice = sample(jnp.exp(plan.log_p), draw)
        ledger: Ledger | None = None
        apart: Any = None
        if track is not None:
            ledger, alone = self._ledger(tables, belief, outcome, posterior, held, track)
            apart = tuple(
                see.advance(at, s, see.forecast(at, b, context), choice) for s, b in alone
            )
        after = Belief(
            state=see.advance(at, state, ahead, choice),
            context=_context_after(at.layout, choice),
            posterior=posterior,
            held=held,
            chain=None if chain is None else see.advance(at, chain, ahead_held, choice),
            engaged=jnp.stack(
                [now.gate(i, context) for i in range(len(now.operators))] or [jnp.zeros(())]
            )[: len(now.operators)],
            apart=apart,
        )
        decision = Decision(
            posterior=self.marginals(tables, posterior, context),
            held=self.marginals(tables, held, context),
            evidence=evidence,
            effort=see.divergence(held, posterior),
            plan=plan,
            choice=choice,
            log_p=select(plan.log_p, choice),
            ledger=ledger,
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

    def _chain_expectation(self, tables: Tables, belief: Belief, now: Instruction) -> Belief_:
        """What is expected before the outcome, with the propagating operators at work."""
        see, at = self.perception, tables.perception
        unheld = see.expect(at, belief.state)
        if belief.chain is None:
            return unheld
        expected = see.expect(at, belief.chain)
        carried = [(i, o) for i, o in enumerate(now.operators) if o.propagates]
        for i, operator in carried:
            # On release the factor returns to its unheld marginal; what moved stays moved.
            factor = at.layout.factor(operator.factor)
            released = see.splice(at, expected, unheld, factor)
            gate = now.gate(i, belief.context)
            expected = blend(belief.engaged[i] * (1 - gate), released, expected)
        for i, operator in carried:
            expected = operator.apply(see, at, expected, now.gate(i, belief.context))
        return expected

    def _ledger(
        self,
        tables: Tables,
        belief: Belief,
        outcome: Int[Array, " modality"],
        posterior: Belief_,
        held: Belief_,
        track: tuple[int, int],
    ) -> tuple[Ledger, tuple[tuple[State, Belief_], ...]]:
        """The entries, and the three states that stand apart after this outcome."""
        see, at, context = self.perception, tables.perception, belief.context
        assert belief.apart is not None, "a tracked life begins with init(..., ledger=True)"
        inner = tuple(m for m, x in enumerate(at.layout.modalities) if x.inner)
        outer = tuple(m for m, x in enumerate(at.layout.modalities) if not x.inner)

        def log_odds(b: Belief_) -> Array:
            p = see.read(at, b, (track[0],))[track[1]]
            return jnp.log(p) - jnp.log1p(-p)

        alone = tuple(
            see.update(at, state, context, outcome, which)[:2]
            for state, which in zip(belief.apart, ((), inner, outer), strict=True)
        )
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


def _context_after(layout: Any, choice: Int[Array, ""]) -> Int[Array, ""]:
    return select(jnp.asarray(layout.context_after, jnp.int32), choice)

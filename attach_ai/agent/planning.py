"""Choice: expected free energy over policies, or habit alone (MODEL.md, "Choice")."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import product
from operator import itemgetter
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attach_ai.agent.learning import Counts, column_gain
from attach_ai.agent.perception import AbstractPerception, Belief_, Index, Tables, entropy
from attach_ai.agent.prospect import Prospect, joint_outcomes, prospect_of
from attach_ai.agent.slicing import of_context, over_choices
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP

# Every policy is weighed: more than this many would take minutes to compile and much memory.
POLICY_LIMIT = 2048
Hold = Callable[[Belief_, int], Belief_]


class Plan(eqx.Module):
    """What planning found, per policy (all in nats; lower `efe` is better).

    `efe` = `risk` + `ambiguity` - `novelty` = -(`pragmatic` + `epistemic` + `novelty`).
    `predictive` is the entropy of the outcomes expected, `novelty` the expected information gain
    about learned tables (zero unless the planner seeks it); `log_p`: (choice,), log probability of
    each choice.
    """

    q_pi: Float[Array, "*time policy"]
    pragmatic: Float[Array, "*time policy"]
    ambiguity: Float[Array, "*time policy"]
    predictive: Float[Array, "*time policy"]
    novelty: Float[Array, "*time policy"]
    log_p: Float[Array, "*time choice"]

    @property
    def risk(self) -> Float[Array, "*time policy"]:
        """KL from expected to preferred outcomes."""
        return -self.predictive - self.pragmatic

    @property
    def epistemic(self) -> Float[Array, "*time policy"]:
        """Expected information gain about hidden states (salience)."""
        return self.predictive - self.ambiguity

    @property
    def efe(self) -> Float[Array, "*time policy"]:
        """Expected free energy."""
        return self.risk + self.ambiguity - self.novelty


class AbstractPlanner(eqx.Module):
    """From beliefs to choice probabilities."""

    @abstractmethod
    def prepare(self, pomdp: POMDP, counts: Counts | None = None) -> Any:
        """What can be computed once for given A, C and E, and the counts of learned tables."""

    @abstractmethod
    def plan(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: Any,
        belief: Belief_,
        context: Index,
        forecast: Belief_,
        hold: Hold,
        allowed: Bool[Array, " choice"],
    ) -> Plan:
        """Weigh the choices.

        `belief` is what is believed now, in `context`, and `forecast` what would be expected next
        under each choice (leading choice axis); `hold` is what the practice in force would make of
        a belief in a context, `allowed` the practice's policy set.
        """


class PlanTables(eqx.Module):
    """`transitions[i]`: (context or 1, choice, *levels of the hidden parents `moved[i]`), expected
    gain about each learned B."""

    prospects: tuple[Prospect, ...]
    log_E: Float[Array, " choice"]
    transitions: tuple[Float[Array, "context choice ..."], ...]
    moved: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    context_after: tuple[int, ...] = eqx.field(static=True)


class ExpectedFreeEnergy(AbstractPlanner):
    """Policies weighed by expected free energy: q(pi) = softmax(ln E - gamma efe).

    `horizon`: steps looked ahead, open loop (it has no two-step instrumental value of information).
    `information`: "joint" is the mutual information between hidden states and all outcomes
    together; "per_modality" adds up the modalities as if they were independent (pymdp's choice).
    `gamma`: policy precision; `alpha`: precision of the choice among actions.
    `foresees_hold`: whether predicted beliefs are held as present ones are (False: an ablation).
    `novelty`: whether expected information gain about the parameters of those A and B that the mind
    learns counts too: of the column in force, averaged over predicted states, as if states were
    then known and with counts as they stand now (Friston et al. 2017, Active inference, curiosity
    and insight; the exact gain of one observation, whose leading term SPM uses).
    """

    horizon: int = eqx.field(static=True, default=1)
    gamma: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=8.0)
    alpha: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    information: Literal["joint", "per_modality"] = eqx.field(static=True, default="joint")
    foresees_hold: bool = eqx.field(static=True, default=True)
    novelty: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"horizon is {self.horizon}; expected at least 1 step", "planning")

    def prepare(self, pomdp: POMDP, counts: Counts | None = None) -> PlanTables:
        layout = pomdp.layout
        n_policies = len(layout.choices) ** self.horizon
        if n_policies > POLICY_LIMIT:
            raise InputError(
                f"a horizon of {self.horizon} steps has {n_policies:,} policies; at most "
                f"{POLICY_LIMIT:,} can be weighed, so choose a shorter one",
                "planning",
            )
        log_C = [jax.nn.log_softmax(c) for c in pomdp.C]
        joint = self.information == "joint"
        gains: dict[str, Array] | None = None
        if self.novelty:
            gains = {name: column_gain(c) for name, c in (counts or {}).items() if name[0] in "AB"}
            if not gains:
                raise InputError("novelty is sought, but no A or B is learned", "planning")
        by_context = {
            c: prospect_of(pomdp, c, log_C, joint, gains) for c in sorted(set(layout.context_after))
        }
        moved = [f for f in layout.hidden if f"B.{layout.factors[f].name}" in (gains or ())]
        return PlanTables(
            prospects=tuple(by_context[c] for c in layout.context_after),
            log_E=log_habit(pomdp),
            transitions=tuple(
                over_choices(layout, f, (gains or {})[f"B.{layout.factors[f].name}"])[:, :, 0]
                for f in moved
            ),
            moved=tuple(
                tuple(p for p in layout.factors[f].parents if p in layout.hidden) for f in moved
            ),
            context_after=layout.context_after,
        )

    def plan(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: PlanTables,
        belief: Belief_,
        context: Index,
        forecast: Belief_,
        hold: Hold,
        allowed: Bool[Array, " choice"],
    ) -> Plan:
        n = len(plans.prospects)
        log_E = jnp.where(allowed, plans.log_E, -jnp.inf)
        # One axis per step of the policy: terms are (n,) * depth + (parts,) after each depth.
        parts = 4 if self.novelty else 3
        terms = jnp.zeros((parts,), log_E.dtype)
        prior = jnp.zeros((), log_E.dtype)
        # Leading axes: choices so far, then the next choice.
        ahead = (forecast, _about_to_learn(perception, tables, plans, belief, context))
        for depth in range(self.horizon):
            last = depth + 1 == self.horizon
            columns, nexts = [], []
            for u in range(n):
                here = (slice(None),) * depth + (u,)
                look = partial(self._look, perception, tables, plans, hold, u, last)
                for _ in range(depth):
                    look = jax.vmap(look)
                found, deeper = look(jax.tree.map(itemgetter(here), ahead))
                columns.append(found)
                nexts.append(deeper)
            terms = terms[..., None, :] + jnp.stack(columns, axis=depth)
            prior = jnp.add.outer(prior, log_E)
            if not last:
                ahead = jax.tree.map(lambda *x, at=depth: jnp.stack(x, axis=at), *nexts)
        terms, prior = terms.reshape(-1, parts), prior.reshape(-1)
        pragmatic, ambiguity, predictive = terms[:, 0], terms[:, 1], terms[:, 2]
        novelty = terms[:, 3] if self.novelty else jnp.zeros_like(pragmatic)
        efe = ambiguity - predictive - pragmatic - novelty
        log_q = jax.nn.log_softmax(prior - self.gamma * efe)
        # A choice that is ruled out sums over no policy at all, and its gradient would be NaN.
        possible = ~jnp.isneginf(log_E)
        paths = jnp.where(possible[:, None], log_q.reshape(n, -1), 0.0)
        first = jnp.where(possible, jax.nn.logsumexp(paths, axis=1), -jnp.inf)
        return Plan(
            q_pi=jnp.exp(log_q),
            pragmatic=pragmatic,
            ambiguity=ambiguity,
            predictive=predictive,
            novelty=novelty,
            log_p=sharpen(first, self.alpha),
        )

    def _look(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: PlanTables,
        hold: Hold,
        choice: int,
        last: bool,
        ahead: tuple[Belief_, Float[Array, ""] | None],
    ) -> tuple[Float[Array, " part"], tuple[Belief_, Float[Array, " choice"] | None] | None]:
        """What one choice brings: the terms of its step and, unless it is the last, the next."""
        belief, gained = ahead
        context = plans.context_after[choice]
        if self.foresees_hold:
            belief = hold(belief, context)
        found = self._terms(perception, tables, plans.prospects[choice], belief, gained)
        if last:
            return found, None
        further = _about_to_learn(perception, tables, plans, belief, context)
        return found, (perception.forecast(tables, belief, context), further)

    def _terms(
        self,
        perception: AbstractPerception,
        tables: Tables,
        prospect: Prospect,
        belief: Belief_,
        gained: Float[Array, ""] | None,
    ) -> Float[Array, " part"]:
        """Pragmatic value, ambiguity, predictive entropy and novelty (if sought) of one step."""
        states = perception.read(tables, belief, prospect.reads)
        flat = states.reshape(-1)
        if self.information == "per_modality":
            predictive = prospect.noise
            for a, own in zip(prospect.modalities, prospect.own_reads, strict=True):
                p = perception.read(tables, belief, own)
                predictive = predictive + entropy(jnp.tensordot(a, p, axes=p.ndim))
        elif prospect.joint is not None:
            predictive = prospect.noise + entropy(prospect.joint @ flat)
        else:
            predictive = prospect.noise + entropy(joint_outcomes(prospect, states).reshape(-1))
        terms = [prospect.value @ flat, prospect.ambiguity @ flat, predictive]
        if prospect.novelty is not None:
            terms.append(prospect.novelty @ flat + (0.0 if gained is None else gained))
        return jnp.stack(terms)


class Habit(AbstractPlanner):
    """No look-ahead: choices follow E alone."""

    def prepare(self, pomdp: POMDP, counts: Counts | None = None) -> Float[Array, " choice"]:
        return log_habit(pomdp)

    def plan(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: Float[Array, " choice"],
        belief: Belief_,
        context: Index,
        forecast: Belief_,
        hold: Hold,
        allowed: Bool[Array, " choice"],
    ) -> Plan:
        log_p = jax.nn.log_softmax(jnp.where(allowed, plans, -jnp.inf))
        nothing = jnp.zeros_like(log_p)
        return Plan(jnp.exp(log_p), nothing, nothing, nothing, nothing, log_p)


def log_habit(pomdp: POMDP) -> Float[Array, " choice"]:
    """ln E of each choice: the sum over its actions (MODEL.md: a policy's ln E their sum)."""
    # The logarithm of zero is -inf, with a finite gradient.
    rows = [jnp.where(e > 0, jnp.log(jnp.where(e > 0, e, 1.0)), -jnp.inf) for e in pomdp.E]
    total = jnp.zeros((), rows[0].dtype)
    for row in rows:
        total = jnp.add.outer(total, row)
    return total.reshape(-1)


def sharpen(log_p: Float[Array, " choice"], alpha: Float[Array, ""]) -> Float[Array, " choice"]:
    """softmax(alpha ln p), keeping -inf where a choice is not allowed."""
    ruled_out = jnp.isneginf(log_p)
    scaled = alpha * jnp.where(ruled_out, 0.0, log_p)
    return jax.nn.log_softmax(jnp.where(ruled_out, -jnp.inf, scaled))


def policies(layout: Layout, horizon: int) -> list[tuple[int, ...]]:
    """All policies, in the order of `Plan`: sequences of choice indices, last step fastest."""
    return list(product(range(len(layout.choices)), repeat=horizon))


def _about_to_learn(
    perception: AbstractPerception,
    tables: Tables,
    plans: PlanTables,
    belief: Belief_,
    context: Index,
) -> Float[Array, " choice"] | None:
    """Expected gain about learned B by each choice; None where there is none to be had."""
    gained: Float[Array, " choice"] | None = None
    for table, parents in zip(plans.transitions, plans.moved, strict=True):
        p = perception.read(tables, belief, parents)
        gain = jnp.tensordot(of_context(table, context), p, axes=p.ndim)
        gained = gain if gained is None else gained + gain
    return gained

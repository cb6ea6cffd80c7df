"""Choice: expected free energy over policies, or habit alone (MODEL.md, "Choice")."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import product
from math import prod
from operator import itemgetter
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attach_ai.agent.perception import AbstractPerception, Belief_, Tables, entropy
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP

# Above this many (joint outcome, state) pairs the joint information gain is refused.
JOINT_LIMIT = 2**21
# Every policy is weighed: more than this many would take minutes to compile and much memory.
POLICY_LIMIT = 2048
# Up to this many pairs one matrix is used, above it a contraction modality by modality.
DENSE_JOINT = 4096

Hold = Callable[[Belief_, int], Belief_]


class Plan(eqx.Module):
    """What planning found, per policy (all in nats; lower `efe` is better).

    `efe` = `risk` + `ambiguity` = -(`pragmatic` + `epistemic`). `predictive` is the entropy of the
    outcomes expected; `log_p`: (choice,), log probability of each choice.
    """

    q_pi: Float[Array, "*time policy"]
    pragmatic: Float[Array, "*time policy"]
    ambiguity: Float[Array, "*time policy"]
    predictive: Float[Array, "*time policy"]
    log_p: Float[Array, "*time choice"]

    @property
    def risk(self) -> Float[Array, "*time policy"]:
        """KL from expected to preferred outcomes."""
        return -self.predictive - self.pragmatic

    @property
    def epistemic(self) -> Float[Array, "*time policy"]:
        """Expected information gain about hidden states."""
        return self.predictive - self.ambiguity

    @property
    def efe(self) -> Float[Array, "*time policy"]:
        """Expected free energy."""
        return self.risk + self.ambiguity


class AbstractPlanner(eqx.Module):
    """From beliefs to choice probabilities."""

    @abstractmethod
    def prepare(self, pomdp: POMDP) -> Any:
        """What can be computed once for given A, C and E."""

    @abstractmethod
    def plan(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: Any,
        forecast: Belief_,
        hold: Hold,
        allowed: Bool[Array, " choice"],
    ) -> Plan:
        """Weigh the choices.

        `forecast` is what would be expected next under each choice (leading choice axis), `hold`
        what the practice in force would make of a belief in a context, `allowed` the practice's
        policy set.
        """


class Prospect(eqx.Module):
    """What one choice would let be seen: outcomes as a function of the factors they read.

    `modalities[i]`: (outcome, *own reads); `joint`: (joint outcome, state) or None when too large;
    `value`, `ambiguity`: (state,), expected log preference and expected outcome entropy;
    `noise`: entropy of outcomes that depend on nothing here.
    """

    modalities: tuple[Float[Array, "..."], ...]
    joint: Float[Array, "outcome state"] | None
    value: Float[Array, " state"]
    ambiguity: Float[Array, " state"]
    noise: Float[Array, ""]
    reads: tuple[int, ...] = eqx.field(static=True)
    own_reads: tuple[tuple[int, ...], ...] = eqx.field(static=True)


class PlanTables(eqx.Module):
    prospects: tuple[Prospect, ...]
    log_E: Float[Array, " choice"]
    context_after: tuple[int, ...] = eqx.field(static=True)


class ExpectedFreeEnergy(AbstractPlanner):
    """Policies weighed by expected free energy: q(pi) = softmax(ln E - gamma efe).

    `horizon`: steps looked ahead, open loop (it has no two-step instrumental value of information).
    `information`: "joint" is the mutual information between hidden states and all outcomes
    together; "per_modality" adds up the modalities as if they were independent (pymdp's choice).
    `gamma`: policy precision; `alpha`: precision of the choice among actions.
    `foresees_hold`: whether predicted beliefs are held as present ones are (False: an ablation).
    """

    horizon: int = eqx.field(static=True, default=1)
    gamma: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=8.0)
    alpha: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    information: Literal["joint", "per_modality"] = eqx.field(static=True, default="joint")
    foresees_hold: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"horizon is {self.horizon}; expected at least 1 step", "planning")

    def prepare(self, pomdp: POMDP) -> PlanTables:
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
        by_context = {
            c: _prospect(pomdp, c, log_C, joint) for c in sorted(set(layout.context_after))
        }
        return PlanTables(
            prospects=tuple(by_context[c] for c in layout.context_after),
            log_E=log_habit(pomdp),
            context_after=layout.context_after,
        )

    def plan(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: PlanTables,
        forecast: Belief_,
        hold: Hold,
        allowed: Bool[Array, " choice"],
    ) -> Plan:
        n = len(plans.prospects)
        log_E = jnp.where(allowed, plans.log_E, -jnp.inf)
        # One axis per step of the policy: terms are (n,) * depth + (3,) after each depth.
        terms = jnp.zeros((3,), log_E.dtype)
        prior = jnp.zeros((), log_E.dtype)
        ahead = forecast  # leading axes: choices so far, then the next choice
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
        terms, prior = terms.reshape(-1, 3), prior.reshape(-1)
        pragmatic, ambiguity, predictive = terms[:, 0], terms[:, 1], terms[:, 2]
        efe = ambiguity - predictive - pragmatic
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
        belief: Belief_,
    ) -> tuple[Float[Array, "3"], Belief_ | None]:
        """What one choice brings: the terms of its step and, unless it is the last, the next."""
        context = plans.context_after[choice]
        if self.foresees_hold:
            belief = hold(belief, context)
        found = self._terms(perception, tables, plans.prospects[choice], belief)
        return found, None if last else perception.forecast(tables, belief, context)

    def _terms(
        self, perception: AbstractPerception, tables: Tables, prospect: Prospect, belief: Belief_
    ) -> Float[Array, "3"]:
        """Pragmatic value, ambiguity and predictive entropy of one step."""
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
            predictive = prospect.noise + entropy(_contract(prospect, states).reshape(-1))
        return jnp.stack([prospect.value @ flat, prospect.ambiguity @ flat, predictive])


class Habit(AbstractPlanner):
    """No look-ahead: choices follow E alone."""

    def prepare(self, pomdp: POMDP) -> Float[Array, " choice"]:
        return log_habit(pomdp)

    def plan(
        self,
        perception: AbstractPerception,
        tables: Tables,
        plans: Float[Array, " choice"],
        forecast: Belief_,
        hold: Hold,
        allowed: Bool[Array, " choice"],
    ) -> Plan:
        log_p = jax.nn.log_softmax(jnp.where(allowed, plans, -jnp.inf))
        nothing = jnp.zeros_like(log_p)
        return Plan(jnp.exp(log_p), nothing, nothing, nothing, log_p)


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


def _prospect(pomdp: POMDP, context: int, log_C: list[Array], joint: bool) -> Prospect:
    layout = pomdp.layout
    levels = layout.contexts[context]
    every = [layout.reads(m, context) for m in range(len(layout.modalities))]
    reads = tuple(f for f in layout.hidden if any(f in r for r in every))
    shape = tuple(len(layout.factors[f].levels) for f in reads)
    dtype = pomdp.A[0].dtype
    value, ambiguity = jnp.zeros(shape or (1,), dtype), jnp.zeros(shape or (1,), dtype)
    noise, table = jnp.zeros((), dtype), jnp.ones((), dtype)
    informative, own_reads = [], []
    for m, modality in enumerate(layout.modalities):
        index = tuple(
            levels[layout.known.index(p)]
            if p in layout.known
            else (slice(None) if p in every[m] else 0)
            for p in modality.parents
        )
        possible = np.array(layout.outcomes(m, context))
        a = pomdp.A[m][(slice(None), *index)][possible]
        own = tuple(p for p in modality.parents if p in every[m])
        # Parents stand in the order of factors, as do `reads`: a reshape is enough to broadcast.
        spread = tuple(len(layout.factors[f].levels) if f in own else 1 for f in reads) or (1,)
        value = value + jnp.tensordot(log_C[m][possible], a, axes=1).reshape(spread)
        uncertain = entropy(a)
        ambiguity = ambiguity + uncertain.reshape(spread)
        if own:
            informative.append(a)
            own_reads.append(own)
        else:
            noise = noise + uncertain
    n_outcomes, n_states = prod(a.shape[0] for a in informative), prod(shape)
    if joint and n_outcomes * n_states > JOINT_LIMIT:
        raise InputError(
            f"joint information gain needs {n_outcomes} joint outcomes x {n_states} states, more "
            f"than {JOINT_LIMIT}; use ExpectedFreeEnergy(information='per_modality')",
            "planning",
        )
    dense = joint and n_outcomes * n_states <= DENSE_JOINT
    for i, (a, own) in enumerate(zip(informative, own_reads, strict=True)):
        ones = [1] * len(informative)
        ones[i] = a.shape[0]
        spread = tuple(len(layout.factors[f].levels) if f in own else 1 for f in reads)
        table = table * a.reshape(*ones, *spread) if dense else table
    full = (*(a.shape[0] for a in informative), *shape)
    return Prospect(
        modalities=tuple(informative),
        joint=jnp.broadcast_to(table, full).reshape(n_outcomes, n_states) if dense else None,
        value=value.reshape(-1),
        ambiguity=ambiguity.reshape(-1),
        noise=noise,
        reads=reads,
        own_reads=tuple(own_reads),
    )


def _contract(prospect: Prospect, states: Float[Array, "..."]) -> Float[Array, "..."]:
    """Joint distribution of outcomes, modality by modality."""
    names = {f: chr(ord("a") + i) for i, f in enumerate(prospect.reads)}
    outs = [chr(ord("A") + i) for i in range(len(prospect.modalities))]
    terms = [
        o + "".join(names[f] for f in own) for o, own in zip(outs, prospect.own_reads, strict=True)
    ]
    spec = ",".join(["".join(names.values()), *terms]) + "->" + "".join(outs)
    return jnp.einsum(spec, states, *prospect.modalities)

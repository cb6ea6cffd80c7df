"""Exact inference over the joint of all hidden factors.

The exact minimiser of variational free energy, filtered forward (MODEL.md, "The joint filter").
Factors that the action makes known are sliced away: they cost no states.
"""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.agent.perception import (
    AbstractPerception,
    Choice,
    Evidence,
    Index,
    Outcome,
    kl,
)
from attach_ai.agent.slicing import (
    likelihood_by_context,
    of_context,
    select,
    spread_counts,
    transition_by_context,
)
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP

# Measured on two cores: at 72 states one dense matrix per action is about twice as fast as
# contracting factor by factor, at 972 it is many times slower (docs/decisions.md).
DENSE_UP_TO = 256


class ExactTables(eqx.Module):
    """A and B, sliced by what is known.

    `likelihood[m]`: (context or 1, outcome, *hidden shape with 1 where A does not read);
    `log_likelihood[m]` its logarithm, 0 in place of -inf.
    `transition`: (context or 1, choice, next joint, joint) or None; `factors[i]`: the same of one
    hidden factor, (context or 1, choice, next level, *levels of its hidden parents).
    """

    likelihood: tuple[Float[Array, "..."], ...]
    log_likelihood: tuple[Float[Array, "..."], ...]
    factors: tuple[Float[Array, "..."], ...]
    transition: Float[Array, "context choice next now"] | None
    layout: Layout = eqx.field(static=True)


class Exact(AbstractPerception):
    """Exact filtering. A belief is one array over joint hidden states, shape (n_hidden,).

    `contraction`: "dense" multiplies by one matrix per action, "factors" contracts the factors'
    own tables one by one, "auto" chooses by size.
    """

    contraction: Literal["auto", "dense", "factors"] = eqx.field(static=True, default="auto")

    def prepare(self, pomdp: POMDP) -> ExactTables:
        layout = pomdp.layout
        factors = tuple(transition_by_context(pomdp, f) for f in layout.hidden)
        dense = self.contraction == "dense" or (
            self.contraction == "auto" and layout.n_hidden <= DENSE_UP_TO
        )
        likelihood = tuple(likelihood_by_context(pomdp, m) for m in range(len(layout.modalities)))
        return ExactTables(
            likelihood=likelihood,
            log_likelihood=tuple(jnp.log(jnp.where(a > 0, a, 1.0)) for a in likelihood),
            factors=factors,
            transition=_dense(layout, factors) if dense else None,
            layout=layout,
        )

    def begin(self, tables: ExactTables, D: tuple[Array, ...]) -> Array:
        joint = jnp.ones((), D[0].dtype)
        for f in tables.layout.hidden:
            joint = jnp.multiply.outer(joint, D[f])
        return joint.reshape(-1)

    def expect(self, tables: ExactTables, state: Array) -> Array:
        return state

    def believe(self, tables: ExactTables, state: Array, belief: Array) -> Array:
        return belief

    def update(
        self,
        tables: ExactTables,
        state: Array,
        context: Index,
        outcome: Outcome,
        which: tuple[int, ...] | None = None,
        precision: Float[Array, " modality"] | None = None,
    ) -> tuple[Array, Array, Evidence]:
        shape = tables.layout.shape
        likelihood = jnp.ones((1,) * len(shape), state.dtype)
        for m in range(len(tables.likelihood)) if which is None else which:
            given = (
                _averaged(tables, m, context, outcome[m])
                if outcome[m].ndim
                else _given(tables.likelihood[m], context, outcome[m])
            )
            if precision is not None:
                given = _power(given, precision[m])
            likelihood = likelihood * given
        joint = state.reshape(shape) * likelihood
        evidence = joint.sum()
        # An impossible outcome has infinite vfe and teaches nothing, rather than NaN.
        possible = evidence > 0
        q = jnp.where(possible, joint / jnp.where(possible, evidence, 1.0), state.reshape(shape))
        vfe = jnp.where(possible, -jnp.log(jnp.where(possible, evidence, 1.0)), jnp.inf)
        # Logs of the likelihood are taken before it is spread over factors that no outcome reads.
        read = q.sum([i for i, n in enumerate(likelihood.shape) if n == 1], keepdims=True)
        accuracy = jnp.sum(read * jnp.log(jnp.where(likelihood > 0, likelihood, 1.0)))
        flat = q.reshape(-1)
        return flat, flat, Evidence(vfe=vfe, complexity=vfe + accuracy, accuracy=accuracy)

    def forecast(self, tables: ExactTables, belief: Array, context: Index) -> Array:
        layout = tables.layout
        if tables.transition is not None:
            every = of_context(tables.transition, context)
            if any(layout.factors[f].actions for f in layout.hidden):
                return every @ belief
            return jnp.broadcast_to(every[0] @ belief, (len(layout.choices), layout.n_hidden))
        now = belief.reshape(layout.shape)
        operands = [of_context(b, context) for b in tables.factors]
        spec, n = _contraction(layout), len(layout.choices)
        ahead = [jnp.einsum(spec, now, *(b[u] for b in operands)) for u in range(n)]
        return jnp.stack(ahead).reshape(n, -1)

    def advance(self, tables: ExactTables, state: Array, forecast: Array, choice: Choice) -> Array:
        return choice @ forecast if choice.ndim else select(forecast, choice)

    def read(self, tables: ExactTables, belief: Array, factors: tuple[int, ...]) -> Array:
        layout = tables.layout
        axes = [layout.hidden.index(f) for f in factors]
        joint = belief.reshape(layout.shape)
        rest = tuple(i for i in range(len(layout.shape)) if i not in axes)
        kept = sorted(axes)
        return jnp.transpose(joint.sum(rest), [kept.index(a) for a in axes])

    def marginals(self, tables: ExactTables, belief: Array) -> tuple[Array, ...]:
        # One constant matrix for all factors: a third of the time of one reduction each.
        layout = tables.layout
        onto = np.concatenate([_onto(layout, (f,)) for f in layout.hidden])
        every = jnp.asarray(onto, belief.dtype) @ belief
        return tuple(jnp.split(every, np.cumsum(layout.shape)[:-1]))

    def tilt(
        self, tables: ExactTables, belief: Array, factor: int, level: int, weight: Array
    ) -> Array:
        tilted = belief * jnp.where(_indicator(tables.layout, factor, level), jnp.exp(weight), 1.0)
        return tilted / tilted.sum()

    def clamp(self, tables: ExactTables, belief: Array, factor: int, level: int) -> Array:
        layout = tables.layout
        axis = layout.hidden.index(factor)
        others = belief.reshape(layout.shape).sum(axis, keepdims=True)
        at = _indicator(layout, factor, level).reshape(layout.shape)
        return jnp.where(at, others, 0.0).reshape(-1)

    def splice(self, tables: ExactTables, belief: Array, donor: Array, factor: int) -> Array:
        layout = tables.layout
        axis = layout.hidden.index(factor)
        others = belief.reshape(layout.shape).sum(axis, keepdims=True)
        rest = tuple(i for i in range(len(layout.shape)) if i != axis)
        own = donor.reshape(layout.shape).sum(rest, keepdims=True)
        return (others * own).reshape(-1)

    def divergence(self, held: Array, belief: Array) -> Array:
        return kl(held, belief)

    def statistics(
        self,
        tables: ExactTables,
        beliefs: Float[Array, "step joint"],
        choices: Int[Array, " step"],
        contexts: Int[Array, " step"],
        *,
        pairs: tuple[int, ...] = (),
        reads: tuple[tuple[int, ...], ...] = (),
        smoothed: bool = True,
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """One pass back over the session for everything that is asked.

        Without `smoothed`, a pair is what q_t and the outcome of t + 1 say of it: exact for these
        two slices given all outcomes so far.
        """

        layout = tables.layout

        def found(beliefs: Array) -> tuple[Array, ...]:
            return jax.vmap(lambda q: tuple(self.read(tables, q, r) for r in reads))(beliefs)

        if not pairs and not (reads and smoothed):
            return (), found(beliefs)
        look_back = _by_factor if tables.transition is None else _by_matrix
        chosen, where = choices[:-1], contexts[:-1]
        earlier, counts, chosen, where = look_back(tables, beliefs, chosen, where, pairs, smoothed)
        placed = tuple(
            spread_counts(layout, x.parents, c, where, x.actions, chosen)
            for x, c in zip((layout.factors[f] for f in pairs), counts, strict=True)
        )
        return placed, found(jnp.concatenate([earlier, beliefs[-1:]]) if smoothed else beliefs)


# What looking back over a session finds: beliefs of all steps but the last once all outcomes are
# known, transition counts (move, next level, *levels of hidden parents) of the factors asked for,
# and the choice and context of each move.
Found = tuple[Array, tuple[Array, ...], Array, Array]


def _by_matrix(
    tables: ExactTables,
    beliefs: Float[Array, "step joint"],
    choices: Int[Array, " move"],
    contexts: Int[Array, " move"],
    pairs: tuple[int, ...],
    smoothed: bool,
) -> Found:
    """With one matrix per context and choice: moves of a kind are summed before they are read.

    Measured on the core: a product of matrices for all steps at once, where it can be had, makes
    this about twice as fast as step by step.
    """
    layout, transition = tables.layout, tables.transition
    assert transition is not None
    n_contexts, n_choices, n, _ = transition.shape
    every = transition.reshape(-1, n, n)
    kinds = np.arange(n_contexts * n_choices)
    kind = choices if n_contexts == 1 else contexts * n_choices + choices
    own = jax.nn.one_hot(kind, len(kinds), dtype=beliefs.dtype)
    earlier = beliefs[:-1]
    predicted = jnp.einsum("tk,kij,tj->ti", own, every, earlier)
    inverse = jnp.where(predicted > 0, 1 / jnp.where(predicted > 0, predicted, 1.0), 0.0)

    def back(later: Array, now: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        belief, inverse, own = now
        correction = later * inverse
        pulled = jnp.outer(own, correction).reshape(-1) @ every.reshape(-1, n)
        return belief * pulled, (belief * pulled, correction)

    corrections = beliefs[1:] * inverse
    if smoothed:
        steps = (earlier, inverse, own)
        _, (smooth, corrections) = jax.lax.scan(back, beliefs[-1], steps, reverse=True)
    both = jnp.einsum("tk,ti,tj->kij", own, corrections, earlier) * every

    def pair(factor: int) -> Array:
        parents = tuple(p for p in layout.factors[factor].parents if p in layout.hidden)
        to, of = (jnp.asarray(_onto(layout, fs), both.dtype) for fs in ((factor,), parents))
        sizes = [len(layout.factors[f].levels) for f in (factor, *parents)]
        return jnp.einsum("ai,kij,bj->kab", to, both, of).reshape(len(kinds), *sizes)

    chosen, where = (jnp.asarray(x, jnp.int32) for x in (kinds % n_choices, kinds // n_choices))
    return smooth if smoothed else earlier, tuple(pair(f) for f in pairs), chosen, where


def _by_factor(
    tables: ExactTables,
    beliefs: Float[Array, "step joint"],
    choices: Int[Array, " move"],
    contexts: Int[Array, " move"],
    pairs: tuple[int, ...],
    smoothed: bool,
) -> Found:
    """Factor by factor: no matrix over pairs of joint states is made."""
    layout = tables.layout
    spec, at = _contraction(layout), [layout.hidden.index(f) for f in pairs]

    def ahead(now: Array, *factors: Array) -> Array:
        return jnp.einsum(spec, now.reshape(layout.shape), *factors).reshape(-1)

    def back(later: Array, now: tuple[Array, ...]) -> tuple[Array, Any]:
        belief, after, choice, context = now
        own = [select(of_context(b, context), choice) for b in tables.factors]
        # The prediction is linear in each table: a cell times its derivative is its share of what
        # is predicted, weighed here by how the later belief corrects it.
        predicted, pull = jax.vjp(ahead, belief, *own)
        target = later if smoothed else after
        to_now, *to_factors = pull(target / jnp.where(predicted > 0, predicted, 1.0))
        earlier = belief * to_now
        return earlier, (earlier, tuple(own[i] * to_factors[i] for i in at))

    steps = (beliefs[:-1], beliefs[1:], choices, contexts)
    _, (earlier, counts) = jax.lax.scan(back, beliefs[-1], steps, reverse=True)
    return earlier, counts, choices, contexts


def _onto(layout: Layout, factors: tuple[int, ...]) -> np.ndarray:
    """(joint level of some factors, joint hidden state), 1 where they agree."""
    grid = np.indices(layout.shape).reshape(len(layout.shape), -1)
    at = np.zeros(layout.n_hidden, int)
    for f in factors:
        at = at * len(layout.factors[f].levels) + grid[layout.hidden.index(f)]
    return at == np.arange(prod(len(layout.factors[f].levels) for f in factors))[:, None]


def _indicator(layout: Layout, factor: int, level: int) -> Array:
    """Which joint hidden states have `factor` at `level`; shape (n_hidden,)."""
    axis = layout.hidden.index(factor)
    inner = prod(layout.shape[axis + 1 :])
    return (jnp.arange(layout.n_hidden) // inner) % layout.shape[axis] == level


def _averaged(
    tables: ExactTables, m: int, context: Index, shares: Float[Array, " outcome"]
) -> Array:
    """Likelihood of shares of outcomes: the geometric mean, 0 where one of them is impossible."""
    here, log = (of_context(t[m], context) for t in (tables.likelihood, tables.log_likelihood))
    shares = shares.reshape(-1, *(1,) * (here.ndim - 1))
    never = jnp.any((here <= 0) & (shares > 0), axis=0)
    return jnp.where(never, 0.0, jnp.exp(jnp.sum(shares * log, axis=0)))


def _given(table: Array, context: Index, outcome: Int[Array, ""]) -> Array:
    """Likelihood of one outcome; 1 where it was not seen (-1)."""
    n_contexts, n_outcomes = table.shape[:2]
    row = outcome if n_contexts == 1 else context * n_outcomes + outcome
    picked = select(table.reshape(n_contexts * n_outcomes, *table.shape[2:]), row)
    return jnp.where(outcome < 0, 1.0, picked)


def _power(p: Array, exponent: Float[Array, ""]) -> Array:
    """p^exponent with 0^0 = 1 and finite gradients."""
    possible = p > 0
    power = jnp.exp(exponent * jnp.log(jnp.where(possible, p, 1.0)))
    return jnp.where(possible | (exponent <= 0), power, 0.0)


def _contraction(layout: Layout) -> str:
    """einsum: joint now, one table per hidden factor -> joint next."""
    n = len(layout.hidden)
    now, then = "abcdefghijklm"[:n], "nopqrstuvwxyz"[:n]
    tables = [
        then[i]
        + "".join(
            now[layout.hidden.index(p)] for p in layout.factors[f].parents if p in layout.hidden
        )
        for i, f in enumerate(layout.hidden)
    ]
    return f"{now},{','.join(tables)}->{then}"


def _dense(layout: Layout, factors: tuple[Array, ...]) -> Array:
    """One (next joint, joint) matrix per context and choice: a broadcast product of the factors."""
    joint = jnp.ones((), factors[0].dtype)
    for i, f in enumerate(layout.hidden):
        parents = layout.factors[f].parents
        then = [size if k == i else 1 for k, size in enumerate(layout.shape)]
        now = [s if g in parents else 1 for g, s in zip(layout.hidden, layout.shape, strict=True)]
        joint = joint * factors[i].reshape(*factors[i].shape[:2], *then, *now)
    full = (*joint.shape[:2], *layout.shape, *layout.shape)
    joint = jnp.broadcast_to(joint, full)
    return joint.reshape(*full[:2], layout.n_hidden, layout.n_hidden)

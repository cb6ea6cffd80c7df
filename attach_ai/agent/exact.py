"""Exact inference over the joint of all hidden factors.

The exact minimiser of variational free energy, filtered forward (MODEL.md, "The joint filter").
Factors that the action makes known are sliced away: they cost no states.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.agent.perception import AbstractPerception, Evidence, Index, kl
from attach_ai.agent.slicing import (
    likelihood_by_context,
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

    `likelihood[m]`: (context or 1, outcome, *hidden shape with 1 where A does not read).
    `transition`: (context or 1, choice, next joint, joint) or None; `factors[i]`: the same of one
    hidden factor, (context or 1, choice, next level, *levels of its hidden parents).
    """

    likelihood: tuple[Float[Array, "..."], ...]
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
        return ExactTables(
            likelihood=tuple(
                likelihood_by_context(pomdp, m) for m in range(len(layout.modalities))
            ),
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
        outcome: Int[Array, " modality"],
        which: tuple[int, ...] | None = None,
    ) -> tuple[Array, Array, Evidence]:
        shape = tables.layout.shape
        likelihood = jnp.ones((1,) * len(shape), state.dtype)
        for m in range(len(tables.likelihood)) if which is None else which:
            likelihood = likelihood * _given(tables.likelihood[m], context, outcome[m])
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
        if tables.transition is not None:
            return _of_context(tables.transition, context) @ belief
        layout = tables.layout
        now = belief.reshape(layout.shape)
        operands = [_of_context(b, context) for b in tables.factors]
        spec, n = _contraction(layout), len(layout.choices)
        ahead = [jnp.einsum(spec, now, *(b[u] for b in operands)) for u in range(n)]
        return jnp.stack(ahead).reshape(n, -1)

    def advance(
        self, tables: ExactTables, state: Array, forecast: Array, choice: Int[Array, ""]
    ) -> Array:
        return select(forecast, choice)

    def read(self, tables: ExactTables, belief: Array, factors: tuple[int, ...]) -> Array:
        layout = tables.layout
        axes = [layout.hidden.index(f) for f in factors]
        joint = belief.reshape(layout.shape)
        rest = tuple(i for i in range(len(layout.shape)) if i not in axes)
        kept = sorted(axes)
        return jnp.transpose(joint.sum(rest), [kept.index(a) for a in axes])

    def marginals(self, tables: ExactTables, belief: Array) -> tuple[Array, ...]:
        # One constant matrix for all factors: a third of the time of one reduction each.
        shape = tables.layout.shape
        grid = np.indices(shape).reshape(len(shape), -1)
        onto = np.concatenate(
            [at == np.arange(n)[:, None] for at, n in zip(grid, shape, strict=True)]
        )
        every = jnp.asarray(onto, belief.dtype) @ belief
        return tuple(jnp.split(every, np.cumsum(shape)[:-1]))

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

    def pairwise(
        self,
        tables: ExactTables,
        beliefs: Float[Array, "step joint"],
        choices: Int[Array, " step"],
        contexts: Int[Array, " step"],
        factor: int,
    ) -> Array:
        """Forward filtering, backward smoothing, then the pairs that B of the factor reads."""
        layout = tables.layout
        if tables.transition is None:
            transition = _dense(layout, tables.factors)
        else:
            transition = tables.transition
        shape, n = layout.shape, len(layout.hidden)
        own = layout.hidden.index(factor)
        spec = layout.factors[factor]
        axes = (own, *(n + layout.hidden.index(p) for p in spec.parents if p in layout.hidden))
        drop = tuple(i for i in range(2 * n) if i not in axes)

        def back(smoothed: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            belief, choice, context = now
            joint = _of_context(transition, context)[choice] * belief[None, :]
            predicted = joint.sum(-1, keepdims=True)
            pairs = joint * (smoothed[:, None] / jnp.where(predicted > 0, predicted, 1.0))
            counts = pairs.reshape(shape + shape).sum(drop)
            kept = [a for a in range(2 * n) if a in axes]
            return pairs.sum(0), jnp.transpose(counts, [kept.index(a) for a in axes])

        _, counts = jax.lax.scan(
            back, beliefs[-1], (beliefs[:-1], choices[:-1], contexts[:-1]), reverse=True
        )
        return spread_counts(layout, factor, counts, choices[:-1], contexts[:-1])


def _indicator(layout: Layout, factor: int, level: int) -> Array:
    """Which joint hidden states have `factor` at `level`; shape (n_hidden,)."""
    axis = layout.hidden.index(factor)
    inner = prod(layout.shape[axis + 1 :])
    return (jnp.arange(layout.n_hidden) // inner) % layout.shape[axis] == level


def _of_context(table: Array, context: Index) -> Array:
    """Drop the leading context axis (length 1 where the table does not depend on context)."""
    if table.shape[0] == 1:
        return table[0]
    if isinstance(context, int):
        return table[context]
    return select(table, context)


def _given(table: Array, context: Index, outcome: Int[Array, ""]) -> Array:
    """Likelihood of one outcome; 1 where it was not seen (-1)."""
    n_contexts, n_outcomes = table.shape[:2]
    row = outcome if n_contexts == 1 else context * n_outcomes + outcome
    picked = select(table.reshape(n_contexts * n_outcomes, *table.shape[2:]), row)
    return jnp.where(outcome < 0, 1.0, picked)


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

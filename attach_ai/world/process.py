"""Ancestral sampling from a POMDP that is true: the outer half of the world.

All conditional tables are stacked into one, so that a step is one look-up for all factors and one
for all modalities.
"""

from __future__ import annotations

from math import prod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP


class Addresses(eqx.Module):
    """Where each variable's rows start, and how far each conditioning index moves within them."""

    offset: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def rows(self, given: Int[Array, " index"]) -> Int[Array, " variable"]:
        """The row of each variable, at these conditioning indices."""
        stride = jnp.asarray(np.array(self.stride, np.int32).reshape(len(self.offset), -1))
        moved = jnp.sum(stride * given[None, :], axis=1, dtype=jnp.int32)
        return jnp.asarray(np.array(self.offset, np.int32)) + moved


class ProcessTables(eqx.Module):
    """Stacked tables: `p` (row, level), padded with zeros, and their running sums `edges`."""

    p: Float[Array, "row level"]
    edges: Float[Array, "row level"]
    start: Addresses
    change: Addresses
    outcome: Addresses
    layout: Layout = eqx.field(static=True)


def prepare(pomdp: POMDP) -> ProcessTables:
    """Stack D, B and A of a process."""
    layout = pomdp.layout
    n_factors, n_actions = len(layout.factors), len(layout.actions)
    starts: list[tuple[int, ...]] = [() for _ in layout.factors]
    changes = [(*f.parents, *(n_factors + a for a in f.actions)) for f in layout.factors]
    outcomes = [m.parents for m in layout.modalities]
    tables = [*pomdp.D, *pomdp.B, *pomdp.A]
    widest = max(t.shape[0] for t in tables)
    rows = [t.reshape(t.shape[0], -1).T for t in tables]
    p = jnp.concatenate([jnp.pad(r, ((0, 0), (0, widest - r.shape[1]))) for r in rows])
    offsets = np.cumsum([0, *(r.shape[0] for r in rows)]).tolist()
    a, b = n_factors, 2 * n_factors
    return ProcessTables(
        p=p,
        edges=jnp.cumsum(p, axis=1),
        start=_addresses(offsets[:a], starts, tables[:a], 0),
        change=_addresses(offsets[a:b], changes, tables[a:b], n_factors + n_actions),
        outcome=_addresses(offsets[b:-1], outcomes, tables[b:], n_factors),
        layout=layout,
    )


def begin(tables: ProcessTables, draws: Float[Array, " factor"]) -> Int[Array, " factor"]:
    """Levels of all factors at the start of a session."""
    rows = tables.start.rows(jnp.zeros((0,), jnp.int32))
    return inverse_cdf(tables.edges[rows], draws)


def change(
    tables: ProcessTables,
    levels: Int[Array, " factor"],
    choice: Int[Array, ""],
    draws: Float[Array, " factor"],
) -> Int[Array, " factor"]:
    """Levels one step later, after a choice."""
    acts, rest = [], choice
    for action in reversed(tables.layout.actions):
        acts.append(rest % len(action.levels))
        rest = rest // len(action.levels)
    given = jnp.concatenate([levels, jnp.stack(acts[::-1]).astype(jnp.int32)]) if acts else levels
    return inverse_cdf(tables.edges[tables.change.rows(given)], draws)


def outcome_rows(tables: ProcessTables, levels: Int[Array, " factor"]) -> Int[Array, " modality"]:
    """The row of each modality at these levels."""
    return tables.outcome.rows(levels)


def inverse_cdf(
    edges: Float[Array, "variable level"], draws: Float[Array, " variable"]
) -> Int[Array, " variable"]:
    """One level per variable; padding, and levels of no probability, are never drawn."""
    below = edges <= draws[:, None] * edges[:, -1:]
    return jnp.sum(below.astype(jnp.int32), axis=1, dtype=jnp.int32)


def _addresses(
    offsets: list[int], parents: list[tuple[int, ...]], tables: list[Array], n_given: int
) -> Addresses:
    strides = []
    for table, given in zip(tables, parents, strict=True):
        row = [0] * n_given
        for i, g in enumerate(given):
            row[g] = prod(table.shape[i + 2 :])
        strides.append(tuple(row))
    return Addresses(offset=tuple(offsets), stride=tuple(strides))

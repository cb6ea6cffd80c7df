"""Tables by context: what remains of A and B once the known factors are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP


def select(stacked: Float[Array, "choice *rest"], choice: Int[Array, ""]) -> Array:
    """One row by a traced index; a masked sum, because batched gathers are slow on CPU."""
    picked = jnp.arange(stacked.shape[0], dtype=choice.dtype) == choice
    mask = picked.reshape(-1, *(1,) * (stacked.ndim - 1))
    zero = jnp.zeros((), stacked.dtype)
    return jnp.sum(jnp.where(mask, stacked, zero), axis=0, dtype=stacked.dtype)


def by_context(pomdp: POMDP, m: int) -> Array:
    """A[m] with its known parents fixed: (context or 1, outcome, *levels of its hidden parents).

    The first axis has length 1 where A[m] reads no known factor.
    """
    layout = pomdp.layout
    return _contexts_first(layout, pomdp.A[m], layout.modalities[m].parents, axis=1)


def likelihood_by_context(pomdp: POMDP, m: int) -> Array:
    """The same with one axis per hidden factor, of length 1 where A[m] does not read it."""
    layout = pomdp.layout
    parents = layout.modalities[m].parents
    shape = tuple(
        n if f in parents else 1 for f, n in zip(layout.hidden, layout.shape, strict=True)
    )
    a = by_context(pomdp, m)
    return a.reshape(*a.shape[:2], *shape)


def transition_by_context(pomdp: POMDP, f: int) -> Array:
    """B[f]: (context or 1, choice, next level, *levels of its hidden parents)."""
    return over_choices(pomdp.layout, f, pomdp.B[f])


def over_choices(layout: Layout, f: int, table: Float[Array, "next ..."]) -> Array:
    """The same of any table with the axes of B[f]."""
    spec = layout.factors[f]
    b = _choices_first(layout, table, spec.actions)
    return _contexts_first(layout, b, spec.parents, axis=2)


def of_context(table: Float[Array, "context *rest"], context: Int[Array, ""] | int) -> Array:
    """Drop the leading context axis (length 1 where the table does not depend on context)."""
    if table.shape[0] == 1:
        return table[0]
    if isinstance(context, int):
        return table[context]
    return select(table, context)


def _choices_first(layout: Layout, table: Array, actions: tuple[int, ...]) -> Array:
    """Action axes, which stand last, become one leading axis over joint choices."""
    n = table.ndim - len(actions)
    sizes = table.shape[n:]
    flat = jnp.moveaxis(table.reshape(*table.shape[:n], -1), -1, 0)
    index = [
        np.ravel_multi_index([u[a] for a in actions], sizes) if actions else 0
        for u in layout.choices
    ]
    return flat[np.array(index, np.int32)]


def _contexts_first(layout: Layout, table: Array, parents: tuple[int, ...], axis: int) -> Array:
    """Axes of known parents become one leading axis over contexts (length 1 without such parents).

    Parents' axes start at `axis`.
    """
    known = [p for p in parents if p in layout.known]
    if not known:
        return table[None]
    sources = [axis + parents.index(p) for p in known]
    front = jnp.moveaxis(table, sources, range(len(known)))
    sizes = front.shape[: len(known)]
    index = [
        np.ravel_multi_index([c[layout.known.index(p)] for p in known], sizes)
        for c in layout.contexts
    ]
    return front.reshape(-1, *front.shape[len(known) :])[np.array(index, np.int32)]


def spread_counts(
    layout: Layout,
    parents: tuple[int, ...],
    counts: Float[Array, "step first *hidden"],
    contexts: Int[Array, " step"],
    actions: tuple[int, ...] = (),
    choices: Int[Array, " step"] | None = None,
) -> Array:
    """Sum counts over steps into a table's shape: its known parents and its actions placed.

    `counts` lead with (step, the table's own level), then come `parents` as far as they are hidden.
    Of an A, `parents` are all there is; a B has `actions` too, read from the `choices` made.
    """
    here = jnp.asarray(layout.contexts, jnp.int32).reshape(len(layout.contexts), -1)[contexts]
    for i, p in enumerate(parents):
        if p in layout.known:
            n = len(layout.factors[p].levels)
            seen = jax.nn.one_hot(here[:, layout.known.index(p)], n, dtype=counts.dtype)
            counts = jnp.expand_dims(counts, i + 2) * _along(seen, counts.ndim + 1, i + 2)
    if choices is not None:
        done = jnp.asarray(layout.choices, jnp.int32).reshape(len(layout.choices), -1)[choices]
        for a in actions:
            chosen = jax.nn.one_hot(done[:, a], len(layout.actions[a].levels), dtype=counts.dtype)
            counts = counts[..., None] * _along(chosen, counts.ndim + 1, counts.ndim)
    return counts.sum(0)


def _along(rows: Array, ndim: int, axis: int) -> Array:
    """(step, level) reshaped to broadcast with steps first and levels on `axis`."""
    shape = [1] * ndim
    shape[0], shape[axis] = rows.shape
    return rows.reshape(shape)

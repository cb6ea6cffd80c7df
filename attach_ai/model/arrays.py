"""From the cells of a model and the values of its parameters to the arrays of a `POMDP`.

Numbers are assembled in NumPy, in double precision, and converted once. Traced values are stacked
into one vector a table, which a static index gathers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attach_ai.errors import InputError
from attach_ai.model.expression import Expression
from attach_ai.model.model import Model
from attach_ai.model.pomdp import POMDP
from attach_ai.model.tables import Table

ROUNDING = 1e-6  # a remainder may miss zero by this much in single precision


def assemble(model: Model, values: Mapping[str, Any]) -> POMDP:
    """All tables at the given values (Python floats, or JAX tracers)."""
    dtype = jnp.result_type(float)
    cells = _evaluate(model, values, dtype)
    traced = [c for c, v in cells.items() if isinstance(v, jax.Array)]
    positions = {c: i for i, c in enumerate(traced)}
    vector = jnp.stack([cells[c] for c in traced]) if traced else jnp.zeros(0, dtype)
    layout = model.layout

    def gather(name: str) -> jax.Array:
        table = model.tables[name]
        numbers = [v for c in table.cells if not isinstance(v := cells[c], jax.Array)]
        array: Any
        if len(numbers) == len(table.cells):
            array = np.array(numbers, float)[table.index]
        else:  # numbers after traced values, in one vector
            order = iter(range(len(traced), len(traced) + len(numbers)))
            at = np.array([positions[c] if c in positions else next(order) for c in table.cells])
            array = jnp.concatenate([vector, jnp.asarray(numbers, dtype)])[at[table.index]]
        if name[0] in "ABDE":
            array = _no_rounding_below_zero(array)
        if name[0] in "BD":
            f = layout.factor(name[2:])
            array = _switch_off(array, layout.factors[f].excluded, table, model)
        if isinstance(array, np.ndarray) and name[0] != "C":
            _check(array, table, model)
        return jnp.asarray(array, dtype)

    return POMDP(
        A=tuple(gather(f"A.{m.name}") for m in layout.modalities),
        B=tuple(gather(f"B.{f.name}") for f in layout.factors),
        C=tuple(gather(f"C.{m.name}") for m in layout.modalities),
        D=tuple(gather(f"D.{f.name}") for f in layout.factors),
        E=tuple(gather(f"E.{a.name}") for a in layout.actions),
        counts={name: jnp.asarray(cells[c], dtype) for name, c in model.counts.items()},
        layout=replace(layout, declared=model),
    )


def _evaluate(model: Model, values: Mapping[str, Any], dtype: Any) -> dict[Expression, Any]:
    """Every distinct cell of the model; common parts are worked out once."""
    values = {
        name: jnp.asarray(v, dtype) if isinstance(v, jax.core.Tracer) else v
        for name, v in values.items()
    }
    cells: dict[Expression, Any] = {}
    known: dict[Expression, Any] = {}
    places = {t.name: t.cells for t in model.tables.values()}
    for name, group in (places | {"counts": tuple(model.counts.values())}).items():
        try:
            cells |= {c: c.evaluate(values, known) for c in group}
        except ZeroDivisionError:
            place = str(model.place / name)
            raise InputError("a cell divides by zero at these values", place) from None
    return cells


def _no_rounding_below_zero(array: Any) -> Any:
    """1 - a - b may come out as -1e-8, whose logarithm is NaN; a true negative stays."""
    if isinstance(array, np.ndarray):
        return np.where((array < 0) & (array > -ROUNDING), 0.0, array)
    return jnp.where((array < 0) & (array > -ROUNDING), 0.0, array)


def _switch_off(array: Any, excluded: tuple[int, ...], table: Table, model: Model) -> Any:
    """Zero the rows of switched-off levels, and renormalise what is left of each column."""
    if not excluded:
        return array
    keep = np.ones(array.shape[0])
    keep[list(excluded)] = 0
    kept = array * keep.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
    total = kept.sum(axis=0, keepdims=True)
    if isinstance(total, np.ndarray):
        empty = np.argwhere(total[0] <= 0)
        if len(empty):
            off = " and ".join(f"{table.name[2:]}.{table.levels[i]}" for i in excluded)
            raise InputError(
                f"switching off {off} leaves the column empty: {table.parents.name(empty[0])}",
                _place(table, model),
            )
    return kept / total


def _check(array: np.ndarray, table: Table, model: Model) -> None:
    """Columns are probabilities at these very values, not only where the reader tried them."""
    error = np.abs(array.sum(axis=0) - 1)
    wrong = np.argwhere(~((error < ROUNDING) & (array.min(axis=0) >= 0)))
    if len(wrong):
        column = array[(slice(None), *wrong[0])]
        raise InputError(
            f"{[float(round(x, 6)) for x in column]} is no distribution: "
            f"{table.parents.name(wrong[0])}",
            _place(table, model),
        )


def _place(table: Table, model: Model) -> str:
    return str(model.place / table.name)

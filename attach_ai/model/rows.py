"""Rows of a table: which combinations of parents each one speaks for, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attach_ai.model.axes import Axes
from attach_ai.model.document import Place, array, cell, keys, one_or_more, suggest, table
from attach_ai.model.expression import ONE, ZERO, Expression

When = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Row:
    """One row: the parents it names, and one cell for each level.

    `rest` is the level whose cell was written "rest"; that cell then holds 1 - the others.
    """

    when: When
    cells: tuple[Expression, ...]
    rest: int | None
    place: Place

    def __str__(self) -> str:
        return self.place.parts[-1]


@dataclass(frozen=True)
class Parents:
    """Names that a `when` may use, with their levels, in the order of the table's axes."""

    levels: dict[str, tuple[str, ...]]
    refused: dict[str, str]  # names that are something else, and what they are

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(v) for v in self.levels.values())

    def only(self, names: set[str]) -> Parents:
        """Just these of the parents, same order."""
        return Parents({k: v for k, v in self.levels.items() if k in names}, self.refused)

    def name(self, combination: Sequence[int]) -> str:
        """`agents = absent, law = stable`"""
        pairs = zip(self.levels.items(), combination, strict=True)
        return ", ".join(f"{name} = {levels[i]}" for (name, levels), i in pairs) or "always"

    def mask(self, when: When) -> np.ndarray:
        """True for every combination that a `when` names; shape of the parents."""
        chosen = np.ones(self.shape, bool)
        for axis, (name, levels) in enumerate(self.levels.items()):
            named = dict(when).get(name)
            if named is not None:
                keep = np.array([level in named for level in levels])
                chosen &= keep.reshape([-1 if a == axis else 1 for a in range(chosen.ndim)])
        return chosen


def possible_parents(axes: Axes, with_actions: bool) -> Parents:
    """In A the factors now; in B the factors one step ago, and the actions that lead to now."""
    parents = {f.name: f.levels for f in axes.factors.values()}
    refused = dict.fromkeys(axes.modalities, "a modality")
    refused |= dict.fromkeys(axes.parameters, "a parameter")
    if with_actions:
        parents |= {a.name: a.levels for a in axes.actions.values()}
    else:
        refused |= dict.fromkeys(axes.actions, "an action, which only B reads")
    return Parents(parents, refused)


def read_when(data: Any, parents: Parents, place: Place) -> When:
    """Read a `when`: parent -> level, or a list meaning any of these."""
    named = []
    for name, value in table(data, place / "when").items():
        if name in parents.refused:
            raise place.error(f"'{name}' is {parents.refused[name]} and cannot stand in 'when'")
        if name not in parents.levels:
            raise place.error(f"no factor is called '{name}'{suggest(name, parents.levels)}")
        named.append((name, one_or_more(value, parents.levels[name], name, place)))
    return tuple(named)


def read_cells(
    data: Any, levels: tuple[str, ...], axes: Axes, place: Place, rest_allowed: bool = True
) -> tuple[tuple[Expression, ...], int | None]:
    """Read `level = cell` pairs: a cell for each level (0 if unnamed), and which one is "rest"."""
    data = table(data, place)
    cells = [ZERO] * len(levels)
    rest = None
    for level, value in data.items():
        if level not in levels:
            raise place.error(f"there is no level '{level}'{suggest(level, levels)}")
        here = place / f"cell {level}"
        if value != "rest":
            cells[levels.index(level)] = cell(value, axes.parameters, here)
        elif not rest_allowed:
            raise here.error("'rest' has no meaning here: the cells need not sum to one")
        elif rest is not None:
            raise here.error(f"'rest' stands twice, first for {levels[rest]}")
        else:
            rest = levels.index(level)
    if rest is not None:
        left = ONE
        for c in cells:
            left = left - c
        cells[rest] = left
    return tuple(cells), rest


def read_rows(
    data: Any, then: str, levels: tuple[str, ...], axes: Axes, parents: Parents, place: Place
) -> tuple[Row, ...]:
    """Read a list of rows. `then` is "then" (a cell for each level) or "p" (one probability)."""
    rows = []
    for i, entry in enumerate(array(data, place), start=1):
        here = place / f"row {i}"
        keys(table(entry, here), {"when", then}, {then}, here)
        when = read_when(entry.get("when", {}), parents, here)
        if then == "p":
            p = cell(entry["p"], axes.parameters, here / "cell p")
            rows.append(Row(when, (p,), None, here))
        else:
            rows.append(Row(when, *read_cells(entry["then"], levels, axes, here), here))
    if not rows:
        raise place.error("there are no rows")
    return tuple(rows)


def mentioned(rows: Sequence[Row]) -> set[str]:
    """Parents that any row names."""
    return {name for row in rows for name, _ in row.when}


def cover(rows: Sequence[Row], parents: Parents, place: Place, silent: bool = False) -> np.ndarray:
    """The row that speaks for each combination of parents; shape of the parents.

    Raises `InputError` naming two rows that overlap, or a combination no row covers (which with
    `silent` is -1 instead).
    """
    owner = np.full(parents.shape, -1)
    for i, row in enumerate(rows):
        mask = parents.mask(row.when)
        taken = np.argwhere(mask & (owner >= 0))
        if len(taken):
            first = rows[owner[tuple(taken[0])]]
            raise place.error(f"{first} and {row} both cover {parents.name(taken[0])}")
        owner[mask] = i
    bare = np.argwhere(owner < 0)
    if len(bare) and not silent:
        raise place.error(f"no row covers {parents.name(bare[0])}")
    return owner

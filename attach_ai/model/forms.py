"""The ways to declare a table: rows, `noisy_or`, `copies`, `keeps`, `set_by`, and flat tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from attach_ai.model.axes import Axes
from attach_ai.model.document import Place, cell, keys, suggest, table, text
from attach_ai.model.expression import ONE, ZERO, Expression, extreme, number
from attach_ai.model.rows import (
    Parents,
    Row,
    cover,
    mentioned,
    possible_parents,
    read_cells,
    read_rows,
)
from attach_ai.model.support import (
    Sampler,
    check_column,
    check_distribution,
    check_finite,
    check_probability,
)
from attach_ai.model.tables import Block, Table, from_columns


def read_likelihood(name: str, data: Any, axes: Axes, sampler: Sampler, place: Place) -> Table:
    """A[name]: rows, `copies` or `noisy_or`. A parent's name means its value now."""
    place = place / f"A.{name}"
    levels = axes.modalities[name].levels
    parents = possible_parents(axes, with_actions=False)
    form = _form(data, ("rows", "copies", "noisy_or"), place)
    if form == "copies":
        source = _named(data["copies"], "copies", axes.factors, "factor", levels, place)
        return _identity(f"A.{name}", levels, parents.only({source}), "copies")
    if form == "noisy_or":
        return _noisy_or(f"A.{name}", data["noisy_or"], levels, axes, parents, sampler, place)
    rows = read_rows(data["rows"], "then", levels, axes, parents, place)
    return _from_rows(f"A.{name}", levels, rows, parents.only(mentioned(rows)), sampler, place)


def read_transition(name: str, data: Any, axes: Axes, sampler: Sampler, place: Place) -> Table:
    """B[name]: rows, `keeps` or `set_by`. A parent's name means its value one step ago.

    The factor itself is always among the parents (pymdp asks for it), mentioned or not.
    """
    place = place / f"B.{name}"
    levels = axes.factors[name].levels
    parents = possible_parents(axes, with_actions=True)
    form = _form(data, ("rows", "keeps", "set_by"), place)
    if form == "keeps":
        stays = cell(data["keeps"], axes.parameters, place / "keeps")
        check_probability(stays, sampler, place / "keeps")
        moves = Expression("/", (ONE - stays, number(len(levels) - 1)))
        columns = [
            [stays if i == j else moves for j in range(len(levels))] for i in range(len(levels))
        ]
        owner = np.arange(len(levels))
        return from_columns(
            f"B.{name}", levels, columns, owner, parents=parents.only({name}), form="keeps"
        )
    if form == "set_by":
        action = _named(data["set_by"], "set_by", axes.actions, "action", levels, place)
        if axes.actions[action].sets not in (None, name):
            raise place.error(f"'{action}' is declared to set '{axes.actions[action].sets}'")
        both = parents.only({name, action})
        made = _identity(f"B.{name}", levels, both.only({action}), "set_by")
        index = np.repeat(made.index[:, None, :], len(levels), axis=1)
        return replace(made, index=index, parents=both)
    rows = read_rows(data["rows"], "then", levels, axes, parents, place)
    used = parents.only(mentioned(rows) | {name})
    return _from_rows(f"B.{name}", levels, rows, used, sampler, place)


def read_flat(
    name: str, data: Any, levels: tuple[str, ...], axes: Axes, sampler: Sampler, place: Place
) -> Table:
    """C, D or E: `level = cell`, no parents. D and E are distributions, C any numbers."""
    place = place / name
    for key in ("rows", "when", "then"):
        if key in table(data, place) and key not in levels:
            raise place.error(f"has no parents: expected level = cell, got '{key}'")
    distribution = not name.startswith("C.")
    cells, rest = read_cells(data, levels, axes, place, rest_allowed=distribution)
    worst = 0.0
    if distribution:
        worst = check_distribution(cells, rest, levels, sampler, place)
    else:
        for level, c in zip(levels, cells, strict=True):
            check_finite(c, sampler, place / f"cell {level}")
    block = Block("", levels, (Row((), cells, rest, place),), 1, 1)
    return from_columns(
        name, levels, [cells], np.array(0), form="flat", blocks=(block,), worst=worst
    )


def _form(data: Any, forms: tuple[str, ...], place: Place) -> str:
    table(data, place)
    keys(data, forms, (), place)
    if len(data) != 1:
        raise place.error(f"expected exactly one of {', '.join(forms)}, got {len(data)}")
    return str(next(iter(data)))


def _named(
    value: Any, key: str, known: dict[str, Any], what: str, levels: tuple[str, ...], place: Place
) -> str:
    """A factor or action whose levels must be those of the table."""
    place = place / key
    name = text(value, place)
    if name not in known:
        raise place.error(f"no {what} is called '{name}'{suggest(name, known)}")
    if known[name].levels != levels:
        raise place.error(
            f"levels differ: {name} has {', '.join(known[name].levels)}; "
            f"the table has {', '.join(levels)}"
        )
    return name


def _identity(name: str, levels: tuple[str, ...], parents: Parents, form: str) -> Table:
    columns = [[ONE if i == j else ZERO for j in range(len(levels))] for i in range(len(levels))]
    return from_columns(name, levels, columns, np.arange(len(levels)), parents=parents, form=form)


def _from_rows(
    name: str,
    levels: tuple[str, ...],
    rows: tuple[Row, ...],
    parents: Parents,
    sampler: Sampler,
    place: Place,
) -> Table:
    owner = cover(rows, parents, place)
    worst = max(check_column(row, levels, sampler) for row in rows)
    block = Block("", levels, rows, owner.size, owner.size)
    columns = [row.cells for row in rows]
    return from_columns(name, levels, columns, owner, parents=parents, blocks=(block,), worst=worst)


def _noisy_or(
    name: str,
    data: Any,
    levels: tuple[str, ...],
    axes: Axes,
    parents: Parents,
    sampler: Sampler,
    place: Place,
) -> Table:
    """P(outcome) = 1 - (1 - leak) * prod over causes of (1 - p); the rest is shared otherwise.

    `combine` names another way for leak and causes to add up, for structural variants.
    """
    place = place / "noisy_or"
    known = {"outcome", "leak", "causes", "otherwise", "combine"}
    keys(table(data, place), known, {"outcome", "leak"}, place)
    combine = text(data.get("combine", "noisy_or"), place / "combine")
    if combine not in COMBINE:
        raise (place / "combine").error(f"there is no '{combine}'{suggest(combine, COMBINE)}")
    outcome = text(data["outcome"], place / "outcome")
    if outcome not in levels:
        raise (place / "outcome").error(f"there is no level '{outcome}'{suggest(outcome, levels)}")
    others = tuple(level for level in levels if level != outcome)

    leak = read_rows(data["leak"], "p", (), axes, parents, place / "leak")
    causes = {
        cause: read_rows(rows, "p", (), axes, parents, place / f"cause {cause}")
        for cause, rows in table(data.get("causes", {}), place / "causes").items()
    }
    otherwise = _otherwise(data, others, axes, parents, place / "otherwise")
    for row in (*leak, *(row for rows in causes.values() for row in rows)):
        check_probability(row.cells[0], sampler, row.place / "cell p")
    worst = max(check_column(row, others, sampler) for row in otherwise)

    parts = {"leak": leak, **{f"cause {c}": rows for c, rows in causes.items()}}
    parts["otherwise"] = otherwise
    used = parents.only(mentioned([row for rows in parts.values() for row in rows]))
    owners, blocks = [], []
    for title, rows in parts.items():
        silent = title.startswith("cause ")
        owner = cover(rows, used, place / title, silent)
        covered = int((owner >= 0).sum())
        shown = others if title == "otherwise" else ("p",)
        owners.append(owner)
        blocks.append(Block(title, shown, rows, owner.size, covered))

    flat = np.stack([o.reshape(-1) for o in owners])
    distinct, back = np.unique(flat, axis=1, return_inverse=True)
    columns = []
    for combination in distinct.T:
        chosen = [rows[i] for rows, i in zip(parts.values(), combination, strict=True) if i >= 0]
        spared = COMBINE[combine]([row.cells[0] for row in chosen[:-1]])
        shares = dict(zip(others, chosen[-1].cells, strict=True))
        columns.append([ONE - spared if x == outcome else spared * shares[x] for x in levels])
    owner = back.reshape(used.shape)
    return from_columns(
        name,
        levels,
        columns,
        owner,
        parents=used,
        form=f"{combine} for {outcome}",
        blocks=tuple(blocks),
        worst=worst,
    )


def _independent(ps: list[Expression]) -> Expression:
    spared = ONE
    for p in ps:
        spared = spared * (ONE - p)
    return spared


def _strongest(ps: list[Expression]) -> Expression:
    return ONE - extreme("max", *ps)


def _additive(ps: list[Expression]) -> Expression:
    total = ZERO
    for p in ps:
        total = total + p
    # Capped short of certainty: what is merely unlikely must stay possible.
    return extreme("max", ONE - total, number(0.02))


# P(the outcome does not come), given the probabilities of its causes, the leak among them.
COMBINE = {"noisy_or": _independent, "max": _strongest, "additive": _additive}


def _otherwise(
    data: Any, others: tuple[str, ...], axes: Axes, parents: Parents, place: Place
) -> tuple[Row, ...]:
    """Rows that share what remains; with one other level there is nothing to declare."""
    if "otherwise" not in data and len(others) == 1:
        return (Row((), (ONE,), None, place / "row 1"),)
    if "otherwise" not in data:
        raise place.error(f"is missing: how is the remainder shared by {', '.join(others)}?")
    keys(table(data["otherwise"], place), {"rows"}, {"rows"}, place)
    return read_rows(data["otherwise"]["rows"], "then", others, axes, parents, place)

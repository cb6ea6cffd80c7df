"""From a TOML file to a `Model`. The format is explained in `models/README.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from attach_ai.model.axes import Axes, Axis, read_axes
from attach_ai.model.document import Document, Place, cell, read, suggest, table
from attach_ai.model.expression import Expression
from attach_ai.model.forms import read_flat, read_likelihood, read_transition
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.model import Model
from attach_ai.model.support import Sampler, check_positive
from attach_ai.model.tables import Table

SECTIONS = {"factors", "modalities", "actions", "A", "B", "D", "E"}
OPTIONAL = {"parameters", "C", "counts"}


def read_model(path: str | Path, *, combine: str | None = None) -> Model:
    """Read a declared generative model and check it over its parameters' support.

    `combine` replaces how causes add up in every `noisy_or` table ("additive", "max").
    Raises `InputError` with file, table, row and cell for anything that is wrong.
    """
    document = read(path, SECTIONS | OPTIONAL, SECTIONS)
    data, place = document.data, document.place
    for section in SECTIONS | OPTIONAL:
        table(data.get(section, {}), place / section)
    if combine is not None:
        for declared in data["A"].values():
            if isinstance(declared, dict) and isinstance(declared.get("noisy_or"), dict):
                declared["noisy_or"]["combine"] = combine
    axes = read_axes(data, place)
    tables = _read_tables(data, axes, Sampler(axes.parameters), place)
    layout = _layout(axes, tables)
    return Model(
        name=document.name,
        meaning=document.meaning,
        source=_source(document),
        path=Path(path),
        sha256=document.sha256,
        layout=layout,
        tables=tables,
        declared=tuple(axes.parameters.values()),
        counts=_read_counts(data.get("counts", {}), tables, axes, place / "counts"),
        place=place,
    )


def _source(document: Document) -> str:
    source = document.data.get("source", "")
    if not isinstance(source, str):
        raise (document.place / "source").error(f"expected text in quotes, got {source!r}")
    return source


def _read_tables(
    data: dict[str, Any], axes: Axes, sampler: Sampler, place: Place
) -> dict[str, Table]:
    """Every table by name ("A.cue"), in the order of the layout."""
    for section, known, what in (
        ("A", axes.modalities, "modality"),
        ("B", axes.factors, "factor"),
        ("C", axes.modalities, "modality"),
        ("D", axes.factors, "factor"),
        ("E", axes.actions, "action"),
    ):
        declared = data.get(section, {})
        for name in declared:
            if name not in known:
                raise (place / section).error(f"no {what} is called '{name}'{suggest(name, known)}")
        for name in known:
            if name not in declared and section != "C":  # no preference is a preference of zero
                raise (place / section).error(f"{what} '{name}' has no table")
    made: dict[str, Table] = {}
    for name in axes.modalities:
        made[f"A.{name}"] = read_likelihood(name, data["A"][name], axes, sampler, place)
    for name in axes.factors:
        made[f"B.{name}"] = read_transition(name, data["B"][name], axes, sampler, place)
    _check_sets(axes, made, place)
    for section, group in (("C", axes.modalities), ("D", axes.factors), ("E", axes.actions)):
        for name, axis in group.items():
            entry = data.get(section, {}).get(name, {})
            flat = read_flat(f"{section}.{name}", entry, axis.levels, axes, sampler, place)
            made[flat.name] = flat
    return made


def _check_sets(axes: Axes, tables: dict[str, Table], place: Place) -> None:
    for action in axes.actions.values():
        if action.sets is None:
            continue
        b = tables[f"B.{action.sets}"]
        if b.form != "set_by" or action.name not in b.parents.levels:
            raise (place / b.name).error(f'expected set_by = "{action.name}", which sets it')


def _read_counts(
    data: dict[str, Any], tables: dict[str, Table], axes: Axes, place: Place
) -> dict[str, Expression]:
    sampler = Sampler(axes.parameters)
    known = [name for name in tables if not name.startswith("C.")]
    counts = {}
    for name, value in data.items():
        if name not in known:
            raise place.error(f"no table is called '{name}'{suggest(name, known)}")
        counts[name] = cell(value, axes.parameters, place / f'"{name}"')
        check_positive(counts[name], sampler, place / f'"{name}"')
    return counts


def _layout(axes: Axes, tables: dict[str, Table]) -> Layout:
    """Names in order, and what each table depends on."""
    factor_names, action_names = list(axes.factors), list(axes.actions)
    actions = tuple(Action(a.name, a.levels, a.meaning) for a in axes.actions.values())
    factors = []
    for axis in axes.factors.values():
        b = tables[f"B.{axis.name}"]
        set_by = [a for a in action_names if a in b.parents.levels] if b.form == "set_by" else []
        factors.append(
            Factor(
                name=axis.name,
                levels=axis.levels,
                parents=tuple(factor_names.index(p) for p in b.parents.levels if p in axes.factors),
                actions=tuple(action_names.index(p) for p in b.parents.levels if p in axes.actions),
                set_by=action_names.index(set_by[0]) if set_by else None,
                start=_certain(tables[f"D.{axis.name}"]),
                meaning=axis.meaning,
            )
        )
    bare = Layout(tuple(factors), (), actions)  # knows the contexts that modalities are read in
    modalities = tuple(
        _modality(axis, tables[f"A.{axis.name}"], bare, factor_names)
        for axis in axes.modalities.values()
    )
    return Layout(tuple(factors), modalities, actions)


def _certain(d: Table) -> int | None:
    """The level that has probability one whatever the parameters, if there is one."""
    constants = [d.cells[i].constant for i in d.index]
    others = [c for c in constants if c != 1]
    return constants.index(1) if 1 in constants and all(c == 0 for c in others) else None


def _modality(axis: Axis, a: Table, layout: Layout, factor_names: list[str]) -> Modality:
    """What A really depends on, and what can occur, in each context.

    A parent is read if A's cells differ along its axis once the known factors are fixed; an outcome
    can occur if some cell is not zero by declaration. Both hold whatever the parameters.
    """
    parents = tuple(factor_names.index(p) for p in a.parents.levels)
    never = a.never
    reads, outcomes = [], []
    for context in layout.contexts:
        at = dict(zip(layout.known, context, strict=True))
        fixed = tuple(slice(at[f], at[f] + 1) if f in at else slice(None) for f in parents)
        index = a.index[:, *fixed]
        reads.append(
            tuple(
                f
                for axis_number, f in enumerate(parents, start=1)
                if (index != np.take(index, [0], axis=axis_number)).any()
            )
        )
        outcomes.append(tuple(o for o in range(len(axis.levels)) if not never[o, *fixed].all()))
    return Modality(
        name=axis.name,
        levels=axis.levels,
        parents=parents,
        inner=axis.inner,
        reads=tuple(reads),
        outcomes=tuple(outcomes),
        meaning=axis.meaning,
    )

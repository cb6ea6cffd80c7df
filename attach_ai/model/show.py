"""A model as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from attach_ai.model.expression import Expression
from attach_ai.model.layout import Factor
from attach_ai.model.model import Model
from attach_ai.model.rows import Row
from attach_ai.model.tables import Table

WIDTH = 100

_TITLES = {
    "A": "A: WHAT IS FELT, GIVEN WHAT IS HIDDEN NOW",
    "B": "B: WHAT IS HIDDEN NEXT, GIVEN WHAT WAS AND WHAT IS CHOSEN",
    "C": "C: WHAT IS PREFERRED (nats; a level not named has 0)",
    "D": "D: WHERE A LIFE STARTS",
    "E": "E: HABIT",
}


_COMBINE = {
    "noisy_or": "each may bring it on its own (noisy-OR)",
    "max": "the strongest alone counts",
    "additive": "their probabilities add up, short of certainty",
}


def show(model: Model) -> str:
    """Factors, outcomes, actions, parameters and tables; numbers are at the parameters' defaults.

    At most 100 columns wide.
    """
    lines = [model.name, *_wrap(model.meaning)]
    if model.source:
        lines += _wrap(f"source: {model.source}")
    off = [f"{f.name}.{f.levels[i]}" for f in model.layout.factors for i in f.excluded]
    if off:
        lines += _wrap(
            f"switched off: {', '.join(off)} (no prior, no inflow; columns renormalise; the tables "
            "below stand as they are declared)"
        )
    lines += ["", f"FACTORS: what is hidden ({model.layout.n_states:,} joint states)"]
    for f in model.layout.factors:
        lines += _entry(f.name, " | ".join(f.levels), f.meaning)
    lines += ["", "OUTCOMES: what is felt and seen"]
    for m in model.layout.modalities:
        inner = " (inner: fed by the mind itself)" if m.inner else ""
        lines += _entry(m.name, " | ".join(m.levels) + inner, m.meaning)
    lines += ["", "ACTIONS: what is chosen"]
    for i, a in enumerate(model.layout.actions):
        sets = "".join(f"; sets {f.name}" for f in model.layout.factors if f.set_by == i)
        lines += _entry(a.name, " | ".join(a.levels) + sets, a.meaning)
    lines += ["", "PARAMETERS: default, support, meaning"]
    for p in model.declared:
        low, high = p.support
        prior = f" (prior {p.prior})" if p.prior else ""
        head = f"  {p.name:<16} {p.default:<6g} [{low:g}, {high:g}]"
        lines += _wrap(f"{head:<40} {p.meaning}{prior}", "", " " * 41)
    values = model.defaults
    for section, title in _TITLES.items():
        lines += ["", title]
        for name, table in model.tables.items():
            if name.startswith(f"{section}."):
                lines += _table(name[2:], table, values, model.layout.factors)
    if model.counts:
        lines += ["", "COUNTS: how firm the start is, in observations (what may be learned)"]
        lines += [f"  {name}: {_value(c, values)}" for name, c in model.counts.items()]
    return "\n".join(lines)


def _wrap(text: str, first: str = "", later: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False
    )


def _entry(name: str, levels: str, meaning: str) -> list[str]:
    lines = _wrap(f"{name:<14} {levels}", "  ", " " * 17)
    return lines + (_wrap(meaning, " " * 19, " " * 19) if meaning else [])


def _table(
    name: str, table: Table, values: Mapping[str, float], factors: tuple[Factor, ...]
) -> list[str]:
    section = table.name[0]
    if table.form == "flat":
        return _flat(name, table, values)
    if table.form == "copies":
        return [f"  {name}: a copy of {next(iter(table.parents.levels))}, without error"]
    if table.form == "set_by":
        return [f"  {name}: set by {list(table.parents.levels)[-1]}"]
    if table.form == "keeps":
        stays = table.cells[table.index[0, 0]]
        stay = f"{name}: each level stays with {_value(stays, values)}"
        return _wrap(f"{stay}; the remainder is shared equally", "  ", "    ")
    lines = [f"  {name}"]
    how, _, outcome = table.form.partition(" for ")
    if outcome:
        lines = [f"  {name}: {outcome} has several causes; {_COMBINE[how]}"]
    past = {f.name for f in factors} if section == "B" else set()
    for block in table.blocks:
        indent = "    "
        if block.title:
            silent = "; silent elsewhere" if block.n_covered < block.n_combinations else ""
            lines.append(f"    {_part(block.title, outcome)}{silent}")
            indent = "      "
        for row in block.rows:
            head = _when(row, past)
            lines += _row(head, _then(row, block.levels, values), indent)
    return lines


def _part(title: str, outcome: str) -> str:
    if title == "leak":
        return f"{outcome} by itself (leak)"
    if title == "otherwise":
        return f"if not {outcome}"
    return f"{outcome} through {title.removeprefix('cause ')} (cause)"


def _flat(name: str, table: Table, values: Mapping[str, float]) -> list[str]:
    (row,) = table.blocks[0].rows
    cells = _then(row, table.levels, values)
    return _packed(cells, f"  {name}: ", " " * 6) if cells else []


def _row(head: list[str], cells: list[str], indent: str) -> list[str]:
    """One line if it fits; else the condition first, broken only between its parts."""
    whole = f"{indent}{' and '.join(head)} -> {', '.join(cells)}"
    if len(whole) <= WIDTH:
        return [whole]
    return [
        *_packed(head, indent, indent + "  ", " and "),
        *_packed(cells, indent + "    -> ", indent + "       "),
    ]


def _packed(parts: list[str], first: str, later: str, joint: str = ", ") -> list[str]:
    """Parts on as few lines as they fit, broken between them and not inside."""
    lines = [first + parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(joint) + len(part) <= WIDTH - 1:
            lines[-1] += joint + part
        else:
            lines[-1] += joint.rstrip()
            lines.append(later + part)
    return lines


def _when(row: Row, past: set[str]) -> list[str]:
    """`when agents was absent or hostile`, `next_stance is monitor`"""
    parts = []
    for name, levels in row.when:
        parts.append(f"{name} {'was' if name in past else 'is'} {' or '.join(levels)}")
    return [f"when {parts[0]}", *parts[1:]] if parts else ["always"]


def _then(row: Row, levels: tuple[str, ...], values: Mapping[str, float]) -> list[str]:
    """`absent: h0 = 0.005`, `benevolent: the rest = 0.995`, without levels that never occur."""
    if levels == ("p",):
        return [_value(row.cells[0], values)]
    named = [i for i, c in enumerate(row.cells) if c.constant != 0 and i != row.rest]
    cells = [f"{levels[i]}: {_value(row.cells[i], values)}" for i in named]
    if row.rest is not None:
        cells.append(f"{levels[row.rest]}: the rest = {_number(row.cells[row.rest], values)}")
    return cells


def _value(c: Expression, values: Mapping[str, float]) -> str:
    """`1 - h0 = 0.995`, or just the number."""
    return f"{c} = {_number(c, values)}" if c.names else _number(c, values)


def _number(c: Expression, values: Mapping[str, float]) -> str:
    return f"{float(c.evaluate(values)):.3g}"

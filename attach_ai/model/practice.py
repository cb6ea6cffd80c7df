"""Practices: a declared schedule of operators on beliefs. Data only; the agent acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from attach_ai.model.document import (
    Place,
    array,
    cell,
    identifier,
    keys,
    one_or_more,
    read,
    suggest,
    table,
    text,
    whole,
)
from attach_ai.model.expression import Expression
from attach_ai.model.layout import Layout
from attach_ai.model.parameters import Parameter, read_parameters
from attach_ai.model.support import Sampler, check_finite

# Each kind of operator, and the key of the number it takes (None: it takes none).
NUMBERS = {
    "field": "strength",
    "clamp": None,
    "condition": "strength",
    "prior_change": "amount",
    "precision": "zeta",
    "expand": "mass",
}
# What is done at a boundary or before the first session cannot wait for a step's stance.
BETWEEN = ("prior_change", "expand")
COLUMNS = ("template", "flat")
Levels = tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """Steps of a session, and days with one; after `stop_after` sessions all are rest days."""

    steps: int
    days_on: int = 7
    days_off: int = 0
    stop_after: int | None = None


@dataclass(frozen=True)
class OperatorSpec:
    """One of the six ways to bring a level of a factor into a mind, or to keep it there.

    `kind` is a key of `NUMBERS`; `strength` its number: nats of log-odds (field) or of evidence a
    step (condition), observations a session (prior_change), the exponent zeta (precision) or the
    prior probability (expand); a clamp has none. A precision names a `modality` and no level.
    `column` ("template" or "flat") is what an expanded level makes felt. `while_` restricts it to
    levels of factors, as in {"stance": ("maintain",)}.
    """

    kind: str
    factor: str
    level: str
    strength: Expression | None
    while_: Mapping[str, Levels]
    modality: str = ""
    column: str = COLUMNS[0]

    @property
    def target(self) -> str:
        """What it acts on, as it is written: "agents.benevolent", or a modality."""
        return self.modality or f"{self.factor}.{self.level}"


@dataclass(frozen=True)
class Phase:
    """Part of a session. `allowed`: what may be chosen of each action; None allows everything.

    Until `Practice.bind` a plain list stands under the action name "".
    """

    name: str
    steps: int
    operators: tuple[OperatorSpec, ...] = ()
    allowed: Mapping[str, Levels] | None = None


@dataclass(frozen=True)
class Practice:
    """What is done with a mind's beliefs, when and for how long."""

    name: str
    meaning: str
    declared: tuple[Parameter, ...]
    schedule: Schedule
    phases: tuple[Phase, ...]
    sha256: str = ""
    place: Place = field(default_factory=lambda: Place("practice"))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in file order."""
        return {p.name: p for p in self.declared}

    @property
    def defaults(self) -> dict[str, float]:
        """Each parameter's default."""
        return {p.name: p.default for p in self.declared}

    def bind(self, layout: Layout, parameters: Iterable[str] = ()) -> Practice:
        """The practice with every name found in a model: `allowed` stands under action names.

        Raises `InputError` for a factor, level or action that the model lacks, and for a practice
        parameter that has the name of one of the model's `parameters`.
        """
        for name in parameters:
            if name in self.parameters:
                raise (self.place / "parameters").error(f"'{name}' is a parameter of the model too")
        return replace(self, phases=tuple(_bind(p, layout, self.place) for p in self.phases))

    def allowing(self, *levels: str) -> Practice:
        """The same practice, forced: every phase allows just these levels of the only action."""
        return replace(self, phases=tuple(replace(p, allowed={"": levels}) for p in self.phases))

    def without_operators(self) -> Practice:
        """The same schedule with nothing held."""
        return replace(self, phases=tuple(replace(p, operators=()) for p in self.phases))

    def replacing(self, kind: str, **settings: Any) -> Practice:
        """The same practice with another operator: same schedule, target and choices.

        Every operator becomes one of `kind`. `settings` are the keys it would have in a file
        (`amount=2.0`, `modality="interoception"`; a text is a cell, as in `strength="hold / 2"`);
        factor, level and, where both kinds have them, `strength` and `while` are kept unless given.
        Raises `InputError` as a file would.
        """
        return replace(self, phases=tuple(self._replaced(p, kind, settings) for p in self.phases))

    def _replaced(self, phase: Phase, kind: str, settings: Mapping[str, Any]) -> Phase:
        place = self.place / f"phase {phase.name}"
        made = []
        for i, o in enumerate(phase.operators, start=1):
            kept = o.strength if NUMBERS[o.kind] == "strength" else None
            entry = {**_entry(o, kind), **settings}
            made.append(_read_operator(entry, self.parameters, place / f"operator {i}", kept))
        return replace(phase, operators=tuple(made))


def read_practice(path: str | Path) -> Practice:
    """Read a declared practice. Raises `InputError` with the place for anything that is wrong."""
    document = read(path, {"parameters", "schedule", "phases"}, {"schedule", "phases"})
    data, place = document.data, document.place
    parameters = read_parameters(data.get("parameters", {}), place / "parameters")
    schedule = _read_schedule(data["schedule"], place / "schedule")
    named = {p.name: p for p in parameters}
    phases = tuple(
        _read_phase(entry, named, place / f"phase {i}")
        for i, entry in enumerate(array(data["phases"], place / "phases"), start=1)
    )
    total = sum(p.steps for p in phases)
    if total != schedule.steps:
        raise (place / "phases").error(
            f"the phases have {total} steps together, the schedule {schedule.steps}"
        )
    return Practice(
        document.name, document.meaning, parameters, schedule, phases, document.sha256, place
    )


def _read_schedule(data: Any, place: Place) -> Schedule:
    keys(table(data, place), {"steps", "days_on", "days_off", "stop_after"}, {"steps"}, place)
    stop = data.get("stop_after")
    return Schedule(
        steps=whole(data["steps"], place / "steps", least=1),
        days_on=whole(data.get("days_on", 7), place / "days_on", least=1),
        days_off=whole(data.get("days_off", 0), place / "days_off"),
        stop_after=None if stop is None else whole(stop, place / "stop_after"),
    )


def _read_phase(entry: Any, parameters: dict[str, Parameter], place: Place) -> Phase:
    keys(table(entry, place), {"name", "steps", "operators", "allowed"}, {"name", "steps"}, place)
    place = place / identifier(entry["name"], place / "name")
    operators = array(entry.get("operators", []), place / "operators")
    return Phase(
        name=entry["name"],
        steps=whole(entry["steps"], place / "steps", least=1),
        operators=tuple(
            _read_operator(o, parameters, place / f"operator {i}")
            for i, o in enumerate(operators, start=1)
        ),
        allowed=_read_allowed(entry.get("allowed"), place / "allowed"),
    )


def _entry(operator: OperatorSpec, kind: str) -> dict[str, Any]:
    """What is kept of an operator when another kind takes its place, as a file would say it."""
    entry: dict[str, Any] = {"kind": kind}
    if kind != "precision" and not operator.modality:
        entry |= {"factor": operator.factor, "level": operator.level}
    if operator.while_ and kind not in BETWEEN:
        entry["while"] = {name: list(levels) for name, levels in operator.while_.items()}
    return entry


def _read_operator(
    entry: Any,
    parameters: dict[str, Parameter],
    place: Place,
    strength: Expression | None = None,
) -> OperatorSpec:
    """`strength`: what holds where the kind takes one and the entry does not say."""
    if "kind" not in table(entry, place):
        raise place.error("'kind' is missing")
    kind = text(entry["kind"], place / "kind")
    if kind not in NUMBERS:
        raise (place / "kind").error(f"no operator is called '{kind}'{suggest(kind, NUMBERS)}")
    number = NUMBERS[kind]
    article = "an" if kind == "expand" else "a"
    if kind == "clamp" and "strength" in entry:
        raise place.error("a clamp takes no 'strength': it fixes the level outright")
    if kind in BETWEEN and "while" in entry:
        raise place.error(f"{article} {kind} acts between sessions, so it takes no 'while'")
    if number and number not in entry and not (number == "strength" and strength):
        raise place.error(
            f"{article} {kind} needs {'an' if number == 'amount' else 'a'} '{number}'"
        )
    target = {"modality"} if kind == "precision" else {"factor", "level"}
    allowed = {"kind", *target} | ({number} if number else set())
    allowed |= {"while"} if kind not in BETWEEN else set()
    allowed |= {"column"} if kind == "expand" else set()
    keys(entry, allowed, {"kind", *target}, place)
    if number and number in entry:
        strength = cell(entry[number], parameters, place / number)
        _check_number(kind, strength, Sampler(parameters), place / number)
    column = text(entry.get("column", COLUMNS[0]), place / "column")
    if column not in COLUMNS:
        raise (place / "column").error(
            f"expected {' or '.join(COLUMNS)}, got '{column}'{suggest(column, COLUMNS)}"
        )
    return OperatorSpec(
        kind=kind,
        factor=text(entry.get("factor", ""), place / "factor"),
        level=text(entry.get("level", ""), place / "level"),
        strength=strength if number else None,
        while_={
            name: _some_levels(v, place / f"while {name}")
            for name, v in table(entry.get("while", {}), place / "while").items()
        },
        modality=text(entry.get("modality", ""), place / "modality"),
        column=column,
    )


def _check_number(kind: str, given: Expression, sampler: Sampler, place: Place) -> None:
    """The number makes sense for its kind wherever the practice's parameters may lie."""
    check_finite(given, sampler, place)
    values = np.atleast_1d(given.evaluate(sampler.points(given.names)))
    low, high = float(values.min()), float(values.max())
    if kind == "expand" and not 0 < low <= high < 1:
        wrong = low if low <= 0 else high
        raise place.error(f"expected a probability above 0 and below 1, got {wrong:.4g}")
    if kind in ("prior_change", "precision") and low < 0:
        raise place.error(f"expected a number of at least 0, got {low:.4g}")


def _read_allowed(value: Any, place: Place) -> dict[str, Levels] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: _some_levels(v, place / name) for name, v in value.items()}
    return {"": _some_levels(array(value, place), place)}


def _some_levels(value: Any, place: Place) -> Levels:
    chosen = tuple(text(v, place) for v in (value if isinstance(value, list) else [value]))
    if not chosen:
        raise place.error("the list is empty, expected at least one level")
    return chosen


def _bind(phase: Phase, layout: Layout, place: Place) -> Phase:
    place = place / f"phase {phase.name}"
    factors = {f.name: f.levels for f in layout.factors}
    modalities = {m.name: m.levels for m in layout.modalities}
    for i, o in enumerate(phase.operators, start=1):
        here = place / f"operator {i}"
        if o.modality:
            _known(o.modality, modalities, "modality", here)
        else:
            _known(o.factor, factors, "factor", here)
            one_or_more(o.level, factors[o.factor], o.factor, here)
        for name, chosen in o.while_.items():
            _known(name, factors, "factor", here / "while")
            one_or_more(list(chosen), factors[name], name, here / "while")
    if phase.allowed is None:
        return phase
    actions = {a.name: a.levels for a in layout.actions}
    bound = {}
    for name, chosen in phase.allowed.items():
        if not name and len(actions) != 1:
            raise (place / "allowed").error(
                f"the model has several actions: expected a table with {', '.join(actions)}"
            )
        action = name or next(iter(actions))
        _known(action, actions, "action", place / "allowed")
        bound[action] = one_or_more(list(chosen), actions[action], action, place / "allowed")
    return replace(phase, allowed=bound)


def _known(name: str, known: Mapping[str, Levels], what: str, place: Place) -> None:
    if name not in known:
        raise place.error(f"the model has no {what} '{name}'{suggest(name, known)}")

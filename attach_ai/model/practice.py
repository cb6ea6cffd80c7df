"""Practices: a declared schedule of operators on beliefs. Data only; the agent acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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

KINDS = ("field", "clamp")
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
    """What is held: a field adds `strength` nats of log-odds to the level, a clamp fixes it.

    `while_` restricts it to levels of factors, as in {"stance": ("maintain",)}.
    """

    kind: str
    factor: str
    level: str
    strength: Expression | None
    while_: Mapping[str, Levels]


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


def _read_operator(entry: Any, parameters: dict[str, Parameter], place: Place) -> OperatorSpec:
    allowed = {"kind", "factor", "level", "strength", "while"}
    keys(table(entry, place), allowed, {"kind", "factor", "level"}, place)
    kind = text(entry["kind"], place / "kind")
    if kind not in KINDS:
        raise (place / "kind").error(f"no operator is called '{kind}'{suggest(kind, KINDS)}")
    if kind == "field" and "strength" not in entry:
        raise place.error("a field needs a 'strength'")
    if kind == "clamp" and "strength" in entry:
        raise place.error("a clamp takes no 'strength': it fixes the level outright")
    strength = None
    if kind == "field":
        strength = cell(entry["strength"], parameters, place / "strength")
        check_finite(strength, Sampler(parameters), place / "strength")
    return OperatorSpec(
        kind=kind,
        factor=text(entry["factor"], place / "factor"),
        level=text(entry["level"], place / "level"),
        strength=strength,
        while_={
            name: _some_levels(v, place / f"while {name}")
            for name, v in table(entry.get("while", {}), place / "while").items()
        },
    )


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
    for i, o in enumerate(phase.operators, start=1):
        here = place / f"operator {i}"
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

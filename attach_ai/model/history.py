"""Histories: what care was like, stage by stage, and the mind it met. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.errors import InputError
from attach_ai.model.document import (
    Place,
    array,
    cell,
    flag,
    identifier,
    keys,
    one_or_more,
    read,
    suggest,
    table,
    text,
    whole,
)
from attach_ai.model.expression import Expression, number
from attach_ai.model.parameters import Parameter, read_parameters, within
from attach_ai.model.settings import Settings
from attach_ai.model.support import Sampler, check_finite, check_probability

if TYPE_CHECKING:
    from attach_ai.model.model import Model

Cells = Mapping[str, Expression]
TOP = {"parameters", "schedule", "newborn", "world", "stages", "optional", "assumption"}


@dataclass(frozen=True)
class Stage:
    """Some sessions in which the same is true.

    `world` gives parameters of the model, `start` factors whose level is certain at the start of
    each session; `gain` and `rate` are the body loop's. In development the body reports what is so,
    unless the file says otherwise: gain 0, rate 1.
    """

    name: str
    sessions: int
    world: Cells
    start: Mapping[str, str]
    gain: Expression
    rate: Expression


@dataclass(frozen=True)
class History:
    """A caregiving schedule: sessions of `steps` steps, lived from the first stage to the last.

    `before` gives parameters of the mind that has had no care yet. What a file says in its own
    `[world]` holds in every stage that does not say otherwise.
    """

    name: str
    meaning: str
    declared: tuple[Parameter, ...]
    steps: int
    stages: tuple[Stage, ...]
    before: Cells
    optional: frozenset[str] = frozenset()
    sha256: str = ""
    place: Place = field(default_factory=lambda: Place("history"))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in file order."""
        return {p.name: p for p in self.declared}

    @property
    def defaults(self) -> dict[str, float]:
        """Each parameter's default."""
        return {p.name: p.default for p in self.declared}

    @property
    def sessions(self) -> int:
        """Sessions of all stages together."""
        return sum(s.sessions for s in self.stages)

    def values(self, **parameters: Any) -> dict[str, Any]:
        """Defaults, replaced by what is given: numbers, or JAX values under a transformation.

        Raises `InputError` for a parameter the history lacks or a number outside its support.
        """
        place, known = self.place / "parameters", self.parameters
        for name in parameters:
            if name not in known:
                raise place.error(
                    f"history {self.name} has no parameter '{name}'{suggest(name, known)}"
                )
        given = {k: within(known[k], v, str(place)) for k, v in parameters.items()}
        return self.defaults | given

    def newborn(self, **parameters: Any) -> Settings:
        """The mind before any care, for `Model.build`."""
        return self._settings(self.before, "newborn", self.values(**parameters))

    def worlds(self, **parameters: Any) -> tuple[Settings, ...]:
        """What is true in each stage, for `Model.build`."""
        values = self.values(**parameters)
        return tuple(self._settings(s.world, f"stage {s.name}", values) for s in self.stages)

    def bind(self, model: Model) -> History:
        """The same history, once it has been seen to speak of this model.

        Raises `InputError` for a parameter, factor or level that the model lacks, for a cell that
        leaves the support of the model's parameter, and for a parameter that both declare.
        """
        for name in self.parameters:
            if name in model.parameters:
                raise (self.place / "parameters").error(f"'{name}' is a parameter of the model too")
        sampler = Sampler(self.parameters)
        factors = {f.name: f.levels for f in model.layout.factors}
        self._bind_cells(self.before, model, sampler, self.place / "newborn")
        for i, stage in enumerate(self.stages, start=1):
            place = self.place / f"stage {i}" / stage.name
            self._bind_cells(stage.world, model, sampler, place / "world")
            for name, level in stage.start.items():
                if name in factors:
                    one_or_more(level, factors[name], name, place / "start")
                elif name not in self.optional:
                    raise _unknown(name, factors, "factor", place / "start")
        return self

    def _bind_cells(self, cells: Cells, model: Model, sampler: Sampler, place: Place) -> None:
        for name, c in cells.items():
            if name in model.parameters:
                _check_within(c, model.parameters[name], sampler, place / name)
            elif name not in self.optional:
                raise _unknown(name, model.parameters, "parameter", place)

    def _settings(self, cells: Cells, where: str, values: Mapping[str, Any]) -> Settings:
        made = tuple((name, c.evaluate(values)) for name, c in cells.items())
        return Settings(self.name, where, made, {}, self.optional, self.sha256, self.place / where)


def read_history(path: str | Path) -> History:
    """Read a declared history. Raises `InputError` with the place for anything that is wrong."""
    document = read(path, TOP, {"schedule", "newborn", "stages"})
    data, place = document.data, document.place
    if "source" in data:
        text(data["source"], place / "source")
    elif not flag(data.get("assumption", False), place / "assumption"):
        raise place.error("a history needs a source, or assumption = true")
    parameters = read_parameters(data.get("parameters", {}), place / "parameters")
    sampler = Sampler({p.name: p for p in parameters})
    schedule = table(data["schedule"], place / "schedule")
    keys(schedule, {"steps"}, {"steps"}, place / "schedule")
    before = _cells(data["newborn"], sampler, place / "newborn")
    always = _cells(data.get("world", {}), sampler, place / "world")
    listed = array(data["stages"], place / "stages")
    if not listed:
        raise (place / "stages").error("the list is empty, expected at least one stage")
    stages = tuple(
        _read_stage(entry, always, sampler, place / f"stage {i}")
        for i, entry in enumerate(listed, start=1)
    )
    used = {*before, *(n for s in stages for n in (*s.world, *s.start))}
    optional = array(data.get("optional", []), place / "optional")
    for name in optional:
        if text(name, place / "optional") not in used:
            raise (place / "optional").error(f"nothing here says what '{name}' is")
    return History(
        name=document.name,
        meaning=document.meaning,
        declared=parameters,
        steps=whole(schedule["steps"], place / "schedule" / "steps", least=1),
        stages=stages,
        before=before,
        optional=frozenset(optional),
        sha256=document.sha256,
        place=place,
    )


def _read_stage(entry: Any, always: Cells, sampler: Sampler, place: Place) -> Stage:
    allowed = {"name", "sessions", "world", "start", "inner"}
    keys(table(entry, place), allowed, {"name", "sessions"}, place)
    place = place / identifier(entry["name"], place / "name")
    inner = table(entry.get("inner", {}), place / "inner")
    keys(inner, {"gain", "rate"}, (), place / "inner")
    given = _cells(inner, sampler, place / "inner")
    for name, c in given.items():
        check_probability(c, sampler, place / "inner" / name)
    return Stage(
        name=entry["name"],
        sessions=whole(entry["sessions"], place / "sessions", least=1),
        world={**always, **_cells(entry.get("world", {}), sampler, place / "world")},
        start={
            identifier(name, place / "start"): text(level, place / "start" / name)
            for name, level in table(entry.get("start", {}), place / "start").items()
        },
        gain=given.get("gain", number(0)),
        rate=given.get("rate", number(1)),
    )


def _cells(data: Any, sampler: Sampler, place: Place) -> dict[str, Expression]:
    """Name -> cell: a number, a parameter of the history, or arithmetic."""
    made = {}
    for name, value in table(data, place).items():
        made[identifier(name, place)] = cell(value, sampler.parameters, place / name)
        check_finite(made[name], sampler, place / name)
    return made


def _check_within(c: Expression, parameter: Parameter, sampler: Sampler, place: Place) -> None:
    """The cell stays inside the model parameter's support wherever its own parameters may lie."""
    low, high = parameter.support
    values = np.asarray(c.evaluate(sampler.points(c.names)), float)
    for value in (values.min(), values.max()):
        if not low - 1e-9 <= value <= high + 1e-9:
            raise place.error(
                f"'{c}' can be {value:.4g}, outside the support [{low:g}, {high:g}] of "
                f"{parameter.name}"
            )


def _unknown(name: str, known: Iterable[str], what: str, place: Place) -> InputError:
    return place.error(f"the model has no {what} '{name}'{suggest(name, known)}")

"""Mappings: how the columns of a file meet items, steps, outcomes, arms. Data only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from attach_ai.model import library
from attach_ai.model.document import (
    Place,
    array,
    flag,
    identifier,
    keys,
    read,
    real,
    table,
    text,
    whole,
)
from attach_ai.model.exposure import Arm, read_exposure

SECTIONS = {"time", "episode", "instruments", "events", "choices", "covariates", "group"}
TOP = SECTIONS | {"shape", "subject", "cluster", "missing", "dictionary", "exposure", "notes"}
SHAPES = ("long", "wide")
UNITS = {"d": 1.0, "day": 1.0, "days": 1.0, "w": 7.0, "week": 7.0, "weeks": 7.0, "h": 1 / 24}
FIELDS = ("item", "target", "wave")
_FIELD = re.compile(r"\{([a-z]+)(?::0?(\d)d?)?\}")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_WHOLE = re.compile(r"(-?[0-9]+)\.0+")
_RANGE = re.compile(r"(\d{1,4})\s*-\s*(\d{1,4})")


@dataclass(frozen=True)
class Time:
    """When a row was answered, in steps of `step` days from the start of its episode.

    One of: `wave` names a column of labels and `waves` the step of each; `column` holds days, or
    dates; `day` and `beep` count days and places within one, `beeps` a day (a step is then a beep).
    None of them: a wide file, whose `waves` stand in column names. `steps`: of an episode; None
    where the last answer ends it.
    """

    step: float | None = None
    steps: int | None = None
    wave: str = ""
    waves: Mapping[str, int] = field(default_factory=dict)
    column: str = ""
    day: str = ""
    beep: str = ""
    beeps: int = 1
    first_day: int = 1

    @property
    def wide(self) -> bool:
        """Whether waves stand in column names."""
        return not (self.wave or self.column or self.day)


@dataclass(frozen=True)
class Columns:
    """Where the answers to an instrument are.

    `pattern` is a column name with {item}, {wave}, {target} in it; `names` gives columns item by
    item instead; with neither they are guessed from item names. `items`, `waves`, `targets`: those
    that were asked, all where empty. `already_reversed`: items whose answers the file holds in
    their keyed direction; True for all. `codebook`: a file of one's own that declares the
    instrument.
    """

    instrument: str
    pattern: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    items: tuple[str, ...] = ()
    waves: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    already_reversed: bool | tuple[str, ...] = False
    codebook: str = ""

    def column(self, item: str, wave: str = "", target: str = "") -> str:
        """The column of an item at a wave; "" where it must be guessed."""
        name = self.names.get(item, "") if self.names else self.pattern
        return expand(name, item=item, wave=wave, target=target)

    def reversed_in_file(self, item: str) -> bool:
        """Whether the file holds the item in its keyed direction."""
        given = self.already_reversed
        return given if isinstance(given, bool) else item in given


@dataclass(frozen=True)
class Coding:
    """What the values of a column mean: levels of a modality or of an action.

    `values` lists the values of each level; or `cuts` part numbers, a value on a cut belonging to
    the level above. `missing`: what an empty cell says where the row has answers: "expected" (seen,
    nobody recorded it) or "unseen".
    """

    column: str
    levels: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    cuts: tuple[float, ...] = ()
    missing: str = "expected"


@dataclass(frozen=True)
class Covariate:
    """A column that may move parameters; a factor becomes one column for each other level."""

    column: str
    standardise: bool = False
    factor: bool = False
    reference: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Labelled:
    """A column of labels, the first of which is the reference."""

    column: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataMapping:
    """How a file is read. `arms` is None where nobody knows what people were exposed to."""

    name: str
    meaning: str
    source: str = ""
    subject: str = ""
    time: Time = field(default_factory=Time)
    episode: Labelled | None = None
    instruments: Mapping[str, Columns] = field(default_factory=dict)
    events: Mapping[str, Coding] = field(default_factory=dict)
    choices: Mapping[str, Coding] = field(default_factory=dict)
    covariates: Mapping[str, Covariate] = field(default_factory=dict)
    group: Labelled | None = None
    cluster: str = ""
    missing: tuple[str, ...] = ()
    dictionary: str = ""
    arms: Mapping[str, Arm] | None = None
    notes: tuple[str, ...] = ()
    sha256: str = ""
    place: Place = field(default_factory=lambda: Place("mapping"))


def load_mapping(name_or_path: str | Path) -> DataMapping:
    """A mapping by name ("diary_mbct"), or from a TOML file of your own."""
    return read_mapping(library.find("mapping", name_or_path))


def read_mapping(path: str | Path) -> DataMapping:
    """Read a declared mapping. Raises `InputError` with the place for anything that is wrong."""
    document = read(path, TOP, ())
    data, place = document.data, document.place
    time = _time(data.get("time", {}), place / "time")
    shape = data.get("shape", "wide" if time.wide else "long")
    if shape not in SHAPES:
        raise (place / "shape").error(f"expected {' or '.join(SHAPES)}, got {shape!r}")
    if (shape == "wide") != time.wide:
        wanted = "names no wave, day or time column" if time.wide else "names a column"
        raise (place / "shape").error(f"the file is said to be {shape}, but [time] {wanted}")
    made = {
        name: _columns(name, entry, place / "instruments" / name)
        for name, entry in _each(data, "instruments", place)
    }
    for name, asked in made.items():
        here = place / "instruments" / name
        if not time.wide and (asked.waves or "{wave}" in asked.pattern):
            raise here.error("waves stand in column names in a wide file only")
        for wave in asked.waves:
            if time.waves and wave not in time.waves:
                raise here.error(f"wave '{wave}' is not among [time] waves")
    return DataMapping(
        name=document.name,
        meaning=document.meaning,
        source=text(data.get("source", ""), place / "source"),
        subject=text(data.get("subject", ""), place / "subject"),
        time=time,
        episode=_labelled(data, "episode", place),
        instruments=made,
        events={n: _coding(e, place / "events" / n) for n, e in _each(data, "events", place)},
        choices={n: _coding(e, place / "choices" / n) for n, e in _each(data, "choices", place)},
        covariates={
            n: _covariate(n, e, place / "covariates" / n)
            for n, e in _each(data, "covariates", place)
        },
        group=_labelled(data, "group", place),
        cluster=text(data.get("cluster", ""), place / "cluster"),
        missing=tuple(value_text(v) for v in array(data.get("missing", []), place / "missing")),
        dictionary=text(data.get("dictionary", ""), place / "dictionary"),
        arms=read_exposure(data.get("exposure", {}), place / "exposure"),
        notes=tuple(text(n, place / "notes") for n in array(data.get("notes", []), place)),
        sha256=document.sha256,
        place=place,
    )


def days(length: str) -> float:
    """A length such as "1 d", "1 w" or "2 h" in days; `ValueError` for anything else."""
    match = _LENGTH.fullmatch(length.strip())
    if match is None or match[2] not in UNITS or not float(match[1]) > 0:
        raise ValueError(f"expected a length such as '1 d' or '1 w', got '{length}'")
    return float(match[1]) * UNITS[match[2]]


def expand(pattern: str, **given: str) -> str:
    """A column name: {item:02d} and its like replaced by what is given."""

    def put(match: re.Match[str]) -> str:
        value, width = given.get(match[1], match[0]), match[2]
        return value.zfill(int(width)) if width and value.isdecimal() else value

    return _FIELD.sub(put, pattern)


def value_text(value: Any) -> str:
    """A value as text: 1.0 and "1.0" are "1", blanks around text are gone."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    given = str(value).strip()
    match = _WHOLE.fullmatch(given)
    return match[1] if match else given


def _time(data: Any, place: Place) -> Time:
    allowed = {"step", "steps", "wave", "waves", "column", "day", "beep", "beeps_a_day"}
    keys(table(data, place), {*allowed, "first_day"}, (), place)
    ways = [way for way in ("wave", "column", "day") if way in data]
    if "day" in ways and len(ways) > 1:
        raise place.error(f"a step follows from '{ways[0]}' or from 'day', not from both")
    if ("beep" in data) != ("beeps_a_day" in data) or ("beep" in data and "day" not in data):
        raise place.error("a diary needs 'day', 'beep' and 'beeps_a_day' together")
    steps = whole(data["steps"], place / "steps", least=1) if "steps" in data else None
    waves = data.get("waves", {})
    if isinstance(waves, list):
        waves = {value_text(w): i for i, w in enumerate(waves)}
    at = {
        value_text(w): whole(s, place / "waves" / str(w))
        for w, s in table(waves, place / "waves").items()
    }
    for (first, before), (then, after) in pairwise(at.items()):
        if after <= before:
            raise (place / "waves").error(
                f"wave '{then}' is at step {after}, which is not later than step {before} of "
                f"wave '{first}'"
            )
    if steps is not None and at and max(at.values()) >= steps:
        raise (place / "waves").error(f"a wave at step {max(at.values())} lies past {steps} steps")
    beeps = whole(data.get("beeps_a_day", 1), place / "beeps_a_day", least=1)
    length = None
    if "step" in data:
        try:
            length = days(text(data["step"], place / "step"))
        except ValueError as problem:
            raise (place / "step").error(str(problem)) from None
    if "beep" in data and length is not None:
        raise (place / "step").error("in a diary a step is a beep; leave it out")
    return Time(
        step=1 / beeps if "beep" in data else length,
        steps=steps,
        waves=at,
        beeps=beeps,
        first_day=whole(data.get("first_day", 1), place / "first_day"),
        **{way: text(data.get(way, ""), place / way) for way in ("wave", "column", "day", "beep")},
    )


def _columns(name: str, entry: Any, place: Place) -> Columns:
    allowed = {"columns", "items", "waves", "targets", "already_reversed", "codebook"}
    keys(table(entry, place), allowed, (), place)
    columns = entry.get("columns", "")
    named = {}
    if isinstance(columns, dict):
        named = {str(i): _pattern(c, place / "columns") for i, c in columns.items()}
        columns = ""
    turned = entry.get("already_reversed", False)
    if not isinstance(turned, bool):
        turned = _items(turned, place / "already_reversed")
    return Columns(
        instrument=identifier(name, place),
        pattern=_pattern(columns, place / "columns"),
        names=named,
        items=_items(entry.get("items", list(named)), place / "items"),
        waves=tuple(value_text(w) for w in array(entry.get("waves", []), place / "waves")),
        targets=tuple(text(t, place / "targets") for t in array(entry.get("targets", []), place)),
        already_reversed=turned,
        codebook=text(entry.get("codebook", ""), place / "codebook"),
    )


def _pattern(value: Any, place: Place) -> str:
    pattern = text(value, place)
    for found in re.findall(r"\{[^{}]*\}", pattern):
        match = _FIELD.fullmatch(found)
        if match is None or match[1] not in FIELDS:
            raise place.error(
                f"'{found}' is not one of {{item}}, {{item:02d}}, {{wave}}, {{target}}"
            )
    return pattern


def _items(value: Any, place: Place) -> tuple[str, ...]:
    """Item names: a list, or a range such as "1-9"."""
    found: list[str] = []
    for part in [value] if isinstance(value, str) else array(value, place):
        match = _RANGE.fullmatch(part) if isinstance(part, str) else None
        found += map(str, range(int(match[1]), int(match[2]) + 1)) if match else [value_text(part)]
    return tuple(found)


def _coding(entry: Any, place: Place) -> Coding:
    keys(table(entry, place), {"column", "values", "cuts", "levels", "missing"}, {"column"}, place)
    missing = text(entry.get("missing", "expected"), place / "missing")
    if missing not in ("expected", "unseen"):
        raise (place / "missing").error(f"expected 'expected' or 'unseen', got '{missing}'")
    column = _pattern(entry["column"], place / "column")
    if ("values" in entry) == ("cuts" in entry):
        raise place.error("expected either 'values', or 'cuts' with 'levels'")
    if "values" in entry:
        values: dict[str, str] = {}
        listed = table(entry["values"], place / "values")
        for level, given in listed.items():
            for value in given if isinstance(given, list) else [given]:
                if value_text(value) in values:
                    raise (place / "values").error(f"value {value!r} is listed twice")
                values[value_text(value)] = level
        return Coding(column, tuple(listed), values, missing=missing)
    cuts = tuple(real(c, place / "cuts") for c in array(entry["cuts"], place / "cuts"))
    levels = tuple(
        text(v, place / "levels") for v in array(entry.get("levels", []), place / "levels")
    )
    if any(a >= b for a, b in pairwise(cuts)) or len(levels) != len(cuts) + 1:
        raise place.error("expected rising 'cuts', and one more of 'levels' than of them")
    return Coding(column, levels, cuts=cuts, missing=missing)


def _covariate(name: str, entry: Any, place: Place) -> Covariate:
    keys(table(entry, place), {"column", "standardise", "factor", "reference", "labels"}, (), place)
    factor = flag(entry.get("factor", False), place / "factor")
    if factor and flag(entry.get("standardise", False), place / "standardise"):
        raise place.error("a factor cannot be standardised")
    return Covariate(
        column=text(entry.get("column", name), place / "column"),
        standardise=flag(entry.get("standardise", not factor), place / "standardise"),
        factor=factor,
        reference=value_text(entry.get("reference", "")),
        labels=_labels(entry, place),
    )


def _labelled(data: Mapping[str, Any], key: str, place: Place) -> Labelled | None:
    if key not in data:
        return None
    place, entry = place / key, data[key]
    if isinstance(entry, str):
        return Labelled(entry)
    keys(table(entry, place), {"column", "labels"}, {"column"}, place)
    return Labelled(text(entry["column"], place / "column"), _labels(entry, place))


def _labels(entry: Mapping[str, Any], place: Place) -> dict[str, str]:
    labels = table(entry.get("labels", {}), place / "labels")
    made = {str(value): text(label, place / "labels") for value, label in labels.items()}
    if len(set(made.values())) < len(made):
        raise (place / "labels").error("two values have the same label")
    return made


def _each(data: Mapping[str, Any], key: str, place: Place) -> Iterable[tuple[str, Any]]:
    return table(data.get(key, {}), place / key).items()

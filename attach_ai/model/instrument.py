"""Instruments: how a questionnaire is built, keyed and scored. Item numbers, never item texts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from attach_ai.model.document import (
    Document,
    Place,
    array,
    flag,
    identifier,
    keys,
    read,
    real,
    suggest,
    table,
    text,
    whole,
)
from attach_ai.model.library import find

KINDS = ("ordinal", "continuous")
HOW = ("mean", "sum")
VERIFIED = ("read", "recalled")
MOST_LEVELS = 20  # beyond this an item is a line to be marked, not a choice among options
_ITEM = re.compile(r"[A-Za-z0-9_]+")
_RUN = re.compile(r"(.*?)(\d+)-(\d+)")
_TEXTS = ("full_name", "time_frame", "licence", "citation", "doi", "note")
_KEYS = {"items", "reverse", "fillers", "unlinked", "targets", "verified", "scoring", "scales"}


@dataclass(frozen=True)
class Item:
    """One item: its number (or short name), its options from `low` to `high`, and its key.

    `reverse`: worded against its scale. `filler`: asked, and neither scored nor linked.
    """

    name: str
    low: float
    high: float
    kind: str = "ordinal"
    reverse: bool = False
    filler: bool = False

    @property
    def n_levels(self) -> int:
        """K options of an ordinal item; 0 for a continuous one."""
        return int(self.high - self.low) + 1 if self.kind == "ordinal" else 0

    def fits(self, values: Any) -> np.ndarray:
        """Which of the values can be answers: in range, and whole where the item is ordinal."""
        values = np.asarray(values, float)
        inside = (values >= self.low) & (values <= self.high)
        if self.kind == "continuous":
            return inside
        with np.errstate(invalid="ignore"):
            return inside & (np.mod(values - self.low, 1.0) == 0)

    def key(self, values: Any) -> np.ndarray:
        """Answers as they stand in a file, in the scale's direction; nothing is checked.

        Ordinal: 0..K-1 (y -> K-1-y where reversed). Continuous: the value (mirrored in the range).
        """
        values = np.asarray(values, float)
        turned = self.low + self.high - values if self.reverse else values
        return turned - self.low if self.kind == "ordinal" else turned

    def units(self, keyed: Any) -> np.ndarray:
        """Keyed answers in the item's own units, still in the scale's direction."""
        keyed = np.asarray(keyed, float)
        return keyed + self.low if self.kind == "ordinal" else keyed


@dataclass(frozen=True)
class Scale:
    """Items that are scored together; `reverse`: those turned round in this scale alone."""

    name: str
    items: tuple[str, ...]
    meaning: str = ""
    reverse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """How items make a score: their mean or (prorated) sum, `times` a factor.

    `least`: the share of a scale's items that must be answered, else the score is missing.
    `published`: whether that share is the authors' rule, or ours for want of one.
    """

    how: str = "mean"
    least: float = 0.8
    times: float = 1.0
    published: bool = False

    def needed(self, n_items: int) -> int:
        """How many of a scale's items must be answered (at least 1)."""
        return max(1, math.ceil(self.least * n_items - 1e-9))


@dataclass(frozen=True)
class Instrument:
    """A questionnaire, or the items of a diary.

    `scales` share no item: each is measured by its own. `totals` may overlap; they are scored,
    and linked to nothing. `unlinked`: items that are never linked to a belief. `notices`: what a
    report must say where an item was answered. `verified`: "read" where all that scoring needs
    was read on a page (`source`), "recalled" where some of it was not (`note` says what).
    """

    name: str
    full_name: str
    meaning: str
    items: tuple[Item, ...]
    scales: tuple[Scale, ...]
    scoring: Scoring
    time_frame: str = ""
    licence: str = ""
    citation: str = ""
    doi: str = ""
    verified: str = "recalled"
    notices: Mapping[str, str] = field(default_factory=dict)
    unlinked: tuple[str, ...] = ()
    totals: tuple[Scale, ...] = ()
    targets: tuple[str, ...] = ()
    note: str = ""
    source: str = ""
    sha256: str = ""
    place: Place = field(default_factory=lambda: Place("instrument"))

    @cached_property
    def _items(self) -> dict[str, Item]:
        return {i.name: i for i in self.items}

    @cached_property
    def _scale_of(self) -> dict[str, str]:
        return {item: s.name for s in self.scales for item in s.items}

    def item(self, name: str) -> Item:
        """An item by name; `InputError` with the nearest name where there is none."""
        if name not in self._items:
            raise self.place.error(
                f"{self.name} has no item '{name}'{_near(name, tuple(self._items))}"
            )
        return self._items[name]

    def scale_of(self, item: str) -> str | None:
        """Name of the scale that an item measures; None for a filler."""
        return self._scale_of.get(self.item(item).name)

    def keyed(self, item: str, value: float) -> float:
        """One answer in its scale's direction: 0..K-1 (ordinal), or the value (continuous).

        `InputError` where the item does not have that answer.
        """
        found = self.item(item)
        if not found.fits(value):
            expected = f"{found.low:g} to {found.high:g}"
            kind = "a whole number from " if found.kind == "ordinal" else ""
            raise (self.place / f"item {item}").error(f"expected {kind}{expected}, got {value}")
        return float(found.key(value))

    def for_targets(self, *targets: str) -> Instrument:
        """The same items asked about several people: "mother_1", "mother_2", ..., "father_1", ...

        Each scale takes in the items of every target (their mean is the general score); totals
        score each target alone. Without names: every target that the file declares.
        """
        place = self.place / "targets"
        if not self.targets:
            raise place.error(f"{self.name} is not asked about several people")
        chosen = targets or self.targets
        for target in chosen:
            if target not in self.targets:
                raise place.error(f"no target is called '{target}'{suggest(target, self.targets)}")
            if chosen.count(target) > 1:
                raise place.error(f"target '{target}' is named twice")

        def each(names: tuple[str, ...], some: tuple[str, ...] = chosen) -> tuple[str, ...]:
            return tuple(f"{t}_{n}" for t in some for n in names)

        return replace(
            self,
            items=tuple(replace(i, name=f"{t}_{i.name}") for t in chosen for i in self.items),
            scales=tuple(replace(s, items=each(s.items)) for s in self.scales),
            totals=tuple(
                Scale(f"{t}_{s.name}", each(s.items, (t,)), f"{s.name} with regard to {t}")
                for t in chosen
                for s in self.scales
            ),
            unlinked=each(self.unlinked),
            notices={f"{t}_{n}": say for t in chosen for n, say in self.notices.items()},
            targets=(),
        )


def load_instrument(name_or_path: str | Path) -> Instrument:
    """An instrument by name ("ecr_rs"), or from a TOML file of your own."""
    return read_instrument(find("instrument", name_or_path))


def read_instrument(path: str | Path) -> Instrument:
    """Read a declared instrument. Raises `InputError` with the place for anything wrong."""
    document = read(path, {*_KEYS, *_TEXTS, "totals", "notices"}, {"items", "scales", "full_name"})
    data, place = document.data, document.place
    items = _read_items(data["items"], place / "items")
    known = tuple(i.name for i in items)

    def listed(key: str) -> tuple[str, ...]:
        return _read_names(data[key], known, place / key) if key in data else ()

    reverse, fillers = listed("reverse"), listed("fillers")
    items = tuple(replace(i, reverse=i.name in reverse, filler=i.name in fillers) for i in items)
    scales = _read_scales(data["scales"], known, place / "scales")
    _check_scales(items, scales, place)
    totals = _read_scales(data.get("totals", {}), known, place / "totals")
    for total in totals:
        if total.name in {s.name for s in scales}:
            raise (place / "totals" / total.name).error("a scale has this name too")
    verified = text(data.get("verified", "recalled"), place / "verified")
    if verified not in VERIFIED:
        raise (place / "verified").error(f"expected {' or '.join(VERIFIED)}, got '{verified}'")
    if verified == "read" and not data.get("source"):
        raise (place / "verified").error("what was read needs a 'source' that says where")
    return Instrument(
        name=document.name,
        meaning=document.meaning,
        items=items,
        scales=scales,
        scoring=_read_scoring(data.get("scoring", {}), place / "scoring"),
        verified=verified,
        notices=_read_notices(document, known),
        unlinked=listed("unlinked"),
        totals=totals,
        targets=_read_targets(data.get("targets", []), place / "targets"),
        source=text(data.get("source", ""), place / "source"),
        sha256=document.sha256,
        place=place,
        **{key: text(data.get(key, ""), place / key) for key in _TEXTS},
    )


def _near(name: str, known: tuple[str, ...]) -> str:
    """A suggestion; of numbered items, what numbers there are."""
    if len(known) > 2 and all(k.isdigit() for k in known):
        return f"; there are {known[0]} to {known[-1]}"
    return suggest(name, known)


def _read_items(value: Any, place: Place) -> tuple[Item, ...]:
    groups = value if isinstance(value, list) else [value]
    items: list[Item] = []
    for i, entry in enumerate(groups, start=1):
        items += _read_group(entry, place / f"group {i}" if len(groups) > 1 else place)
    if not items:
        raise place.error("the list is empty, expected at least one item")
    named = [i.name for i in items]
    for name in named:
        if named.count(name) > 1:
            raise place.error(f"item '{name}' is named twice")
    return tuple(items)


def _read_group(entry: Any, place: Place) -> list[Item]:
    """`{ count, low, high }` with a `prefix` for the numbers, or `{ names, low, high }`."""
    keys(
        table(entry, place),
        {"count", "names", "prefix", "low", "high", "kind"},
        {"low", "high"},
        place,
    )
    if ("count" in entry) == ("names" in entry):
        raise place.error("expected either 'count' (numbered items) or 'names'")
    if "names" in entry:
        names = [_item_name(n, place / "names") for n in array(entry["names"], place / "names")]
    else:
        prefix = text(entry.get("prefix", ""), place / "prefix")
        count = whole(entry["count"], place / "count", least=1)
        names = [_item_name(f"{prefix}{n}", place / "prefix") for n in range(1, count + 1)]
    low, high = real(entry["low"], place / "low"), real(entry["high"], place / "high")
    kind = text(entry.get("kind", "ordinal"), place / "kind")
    if kind not in KINDS:
        raise (place / "kind").error(f"no kind is called '{kind}'{suggest(kind, KINDS)}")
    if low >= high:
        raise (place / "high").error(f"expected more than low = {low:g}, got {high:g}")
    if kind == "ordinal":
        for key, bound in (("low", low), ("high", high)):
            if bound != int(bound):
                raise (place / key).error(f"expected a whole number, got {bound:g}")
        if high - low >= MOST_LEVELS:
            raise (place / "high").error(
                f'{high - low + 1:g} options are too many for an ordinal item: kind = "continuous"'
            )
    return [Item(name, low, high, kind) for name in names]


def _item_name(value: Any, place: Place) -> str:
    name = text(value, place)
    if not _ITEM.fullmatch(name):
        raise place.error(f"'{name}' is no item name: letters, digits and underscores")
    return name


def _read_names(value: Any, known: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """Items as "1-6 9", "self_1-15", "cheerful sad" or a list; returned in the file's order."""
    if isinstance(value, str):
        parts = value.replace(",", " ").split()
    else:
        parts = [
            str(v) if isinstance(v, int) and not isinstance(v, bool) else text(v, place)
            for v in array(value, place)
        ]
    chosen: list[str] = []
    for part in parts:
        run = _RUN.fullmatch(part)
        names = [part]
        if run and part not in known:
            first, last = int(run[2]), int(run[3])
            if not first < last <= first + len(known):
                raise place.error(f"'{part}' is no run of items")
            names = [f"{run[1]}{n}" for n in range(first, last + 1)]
        for name in names:
            if name not in known:
                raise place.error(f"no item is called '{name}'{_near(name, known)}")
            if name in chosen:
                raise place.error(f"item '{name}' is named twice")
            chosen.append(name)
    if not chosen:
        raise place.error("the list is empty, expected at least one item")
    return tuple(name for name in known if name in chosen)


def _read_scales(value: Any, known: tuple[str, ...], place: Place) -> tuple[Scale, ...]:
    """`anxiety = "1-18"`, or `{ items, meaning, reverse }`."""
    scales = []
    for name, entry in table(value, place).items():
        here = place / identifier(name, place)
        if not isinstance(entry, dict):
            entry = {"items": entry}
        keys(entry, {"items", "meaning", "reverse"}, {"items"}, here)
        items = _read_names(entry["items"], known, here / "items")
        reverse: tuple[str, ...] = ()
        if "reverse" in entry:
            reverse = _read_names(entry["reverse"], items, here / "reverse")
        scales.append(Scale(name, items, text(entry.get("meaning", ""), here / "meaning"), reverse))
    return tuple(scales)


def _check_scales(items: tuple[Item, ...], scales: tuple[Scale, ...], place: Place) -> None:
    """Every item is in one scale, or is a filler."""
    if not scales:
        raise (place / "scales").error("expected at least one scale")
    taken: dict[str, str] = {}
    for scale in scales:
        here = place / "scales" / scale.name
        if scale.reverse:
            raise (here / "reverse").error("only a total turns items round; use 'reverse' above")
        for name in scale.items:
            if name in taken:
                raise here.error(f"item '{name}' is in '{taken[name]}' too; use a total for both")
            taken[name] = scale.name
    for item in items:
        if item.filler and item.name in taken:
            raise (place / "fillers").error(f"item '{item.name}' is scored in {taken[item.name]}")
        if not item.filler and item.name not in taken:
            raise (place / "scales").error(
                f"item '{item.name}' is in no scale; if it is not scored, name it under 'fillers'"
            )


def _read_scoring(value: Any, place: Place) -> Scoring:
    keys(table(value, place), {"how", "least", "times", "published"}, (), place)
    how = text(value.get("how", "mean"), place / "how")
    if how not in HOW:
        raise (place / "how").error(f"expected {' or '.join(HOW)}, got '{how}'")
    least = real(value.get("least", 0.8), place / "least")
    if not 0 < least <= 1:
        raise (place / "least").error(f"expected a share above 0 and up to 1, got {least:g}")
    times = real(value.get("times", 1.0), place / "times")
    if times <= 0:
        raise (place / "times").error(f"expected a number above 0, got {times:g}")
    return Scoring(how, least, times, flag(value.get("published", False), place / "published"))


def _read_notices(document: Document, known: tuple[str, ...]) -> dict[str, str]:
    place = document.place / "notices"
    notices = {}
    for name, say in table(document.data.get("notices", {}), place).items():
        if name not in known:
            raise place.error(f"no item is called '{name}'{_near(name, known)}")
        notices[name] = text(say, place / name)
    return notices


def _read_targets(value: Any, place: Place) -> tuple[str, ...]:
    targets = tuple(identifier(t, place) for t in array(value, place))
    for target in targets:
        if targets.count(target) > 1:
            raise place.error(f"target '{target}' is named twice")
    return targets

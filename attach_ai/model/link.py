"""Links: which belief each scale of a questionnaire reads. Hypotheses, declared as data.

A scale has one or more *readings*, functionals of a person's unheld beliefs, in order: the first
that a model can supply is its default, the others compete with it (`alternatives`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attach_ai.errors import InputError
from attach_ai.model.document import Place, array, keys, read, suggest, table, text
from attach_ai.model.functional import Functional as Functional
from attach_ai.model.functional import read_functional, texts
from attach_ai.model.instrument import Instrument
from attach_ai.model.library import find
from attach_ai.model.model import Model

RESIDUAL = "residual only"  # in place of a reading: the scale has a person's residual alone
RESPONSES = ("graded", "rating")


@dataclass(frozen=True)
class ScaleLink:
    """The readings of one scale ("ecr_rs.anxiety"), and those of items that read something else.

    `items`: of item names ("gad7.2"), another functional, or None: a residual alone. `residual`:
    whether a model that can supply none of the readings leaves the scale its residual.
    """

    scale: str
    readings: tuple[Functional, ...]
    items: Mapping[str, Functional | None]
    identified: str
    why: str
    residual: bool = False


@dataclass(frozen=True)
class Resolved:
    """A scale as one model reads it.

    `functional`: None where only a residual is left. `items`: the same of each linked item by
    name, in the instrument's order; fillers and what is never linked are absent.
    `passed_over`: alternatives before it that the model cannot supply, each with the reason.
    """

    scale: str
    functional: Functional | None
    items: Mapping[str, Functional | None]
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """Links of many scales. `response`: how ordinal items answer, "graded" or "rating"."""

    name: str
    meaning: str
    scales: Mapping[str, ScaleLink]
    response: str = "graded"
    sha256: str = ""
    place: Place = field(default_factory=lambda: Place("link"))

    def resolve(
        self,
        model: Model,
        instruments: Iterable[Instrument],
        alternatives: Mapping[str, int] | None = None,
    ) -> tuple[Resolved, ...]:
        """What each scale of some instruments reads in a model.

        `alternatives`: for some scales, the place (from 0) of a reading other than the default.
        Raises `InputError` for a scale without a link, an item that is never linked and yet has
        one, an alternative that is not there, and where a model can supply nothing.
        """
        chosen = dict(alternatives or {})
        found = []
        for instrument in instruments:
            for scale in instrument.scales:
                name = f"{instrument.name}.{scale.name}"
                if name not in self.scales:
                    raise self.place.error(f"no link for '{name}'{suggest(name, self.scales)}")
                found.append(self._resolve(self.scales[name], model, instrument, chosen))
        known = [r.scale for r in found]
        for name in chosen:
            if name not in known:
                raise InputError(f"no scale is called '{name}'{suggest(name, known)}", "link")
        return tuple(found)

    def _resolve(
        self, link: ScaleLink, model: Model, instrument: Instrument, chosen: Mapping[str, int]
    ) -> Resolved:
        place = self.place / link.scale
        functional, passed_over = self._choose(link, model, chosen.get(link.scale), place)
        own: dict[str, Functional | None] = {}
        for name, item in link.items.items():
            number = name.partition(".")[2]
            if instrument.scale_of(number) != link.scale.partition(".")[2]:
                raise place.error(f"item '{name}' is not in this scale")
            if number in instrument.unlinked:
                raise place.error(f"item '{name}' is never to be linked")
            own[number] = functional if item is not None and item.unsuitable(model) else item
        scale = next(s for s in instrument.scales if f"{instrument.name}.{s.name}" == link.scale)
        items = {
            f"{instrument.name}.{i}": own.get(i, functional)
            for i in scale.items
            if i not in instrument.unlinked
        }
        return Resolved(link.scale, functional, items, passed_over)

    def _choose(
        self, link: ScaleLink, model: Model, wanted: int | None, place: Place
    ) -> tuple[Functional | None, tuple[str, ...]]:
        reasons = [f.unsuitable(model) for f in link.readings]
        said = tuple(
            f"{f.label}: {why}" for f, why in zip(link.readings, reasons, strict=True) if why
        )
        if wanted is not None:
            if not 0 <= wanted < len(link.readings):
                raise place.error(
                    f"there is no alternative {wanted}; there are 0 to {len(link.readings) - 1}"
                    if link.readings
                    else f"there is no alternative {wanted}: this scale has a residual only"
                )
            if why := reasons[wanted]:
                raise place.error(
                    f"model {model.name} cannot supply {link.readings[wanted].label}: {why}"
                )
            return link.readings[wanted], ()
        for i, (functional, why) in enumerate(zip(link.readings, reasons, strict=True)):
            if why is None:
                return functional, said[:i]
        if link.residual:
            return None, said
        raise place.error(f"model {model.name} can supply no reading ({'; '.join(said)})")


def load_link(name_or_path: str | Path) -> Link:
    """A link by name ("attachment"), or from a TOML file of your own."""
    return read_link(find("link", name_or_path))


def read_link(path: str | Path) -> Link:
    """Read declared links. Raises `InputError` with the place for anything that is wrong."""
    document = read(path, {"response", "links"}, {"links"})
    place = document.place
    response = text(document.data.get("response", "graded"), place / "response")
    if response not in RESPONSES:
        raise (place / "response").error(
            f"expected {' or '.join(RESPONSES)}, got '{response}'{suggest(response, RESPONSES)}"
        )
    scales: dict[str, ScaleLink] = {}
    listed = array(document.data["links"], place / "links")
    for i, entry in enumerate(listed, start=1):
        for link in _read_entry(entry, place / f"link {i}"):
            if link.scale in scales:
                raise (place / f"link {i}").error(f"scale '{link.scale}' is linked twice")
            scales[link.scale] = link
    if not scales:
        raise (place / "links").error("the list is empty, expected at least one link")
    return Link(document.name, document.meaning, scales, response, document.sha256, place)


def _read_entry(entry: Any, place: Place) -> list[ScaleLink]:
    """One link may stand for several scales that read the same."""
    required = {"scales", "readings", "identified", "why"}
    keys(table(entry, place), {*required, "items"}, required, place)
    names = texts(entry["scales"], place / "scales")
    for name in names:
        if name.count(".") != 1:
            raise (place / "scales").error(f"'{name}' should be written instrument.scale")
    listed = array(entry["readings"], place / "readings")
    if not listed:
        raise (place / "readings").error(f"the list is empty; say '{RESIDUAL}' where none is meant")
    residual = listed[-1] == RESIDUAL
    readings = tuple(
        read_functional(r, place / f"reading {i}")
        for i, r in enumerate(listed[:-1] if residual else listed)
    )
    items: dict[str, Functional | None] = {}
    for name, given in table(entry.get("items", {}), place / "items").items():
        here = place / "items" / name
        if name.partition(".")[0] not in {n.partition(".")[0] for n in names}:
            raise here.error("expected instrument.item, of one of these scales' instruments")
        items[name] = None if given == RESIDUAL else read_functional(given, here)
    identified = text(entry["identified"], place / "identified")
    why = text(entry["why"], place / "why")
    return [
        ScaleLink(
            name,
            readings,
            {k: v for k, v in items.items() if k.partition(".")[0] == name.partition(".")[0]},
            identified,
            why,
            residual,
        )
        for name in names
    ]

"""Settings: phenotypes and worlds are values of a model's parameters, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
)


@dataclass(frozen=True)
class Settings(Mapping[str, float]):
    """Parameter values by name, to be given to `Model.build`.

    `notes` say where each value comes from. Parameters in `optional` are passed over by a model
    that does not have them; any other is an error there.
    """

    name: str
    meaning: str
    values_: tuple[tuple[str, float], ...]
    notes: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    sha256: str = ""
    place: Place = field(default_factory=lambda: Place("settings"))

    def __getitem__(self, name: str) -> float:
        return dict(self.values_)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.values_))

    def __len__(self) -> int:
        return len(self.values_)


def read_settings(path: str | Path) -> Settings:
    """Read a phenotype or a world.

    A value is `{ value = 0.2, source = "..." }` or `{ value = 0.2, assumption = true }`; a plain
    number will do in a file whose own `source` or `assumption` covers all of them.

    Raises `InputError` with the place for anything else.
    """
    document = read(path, {"parameters", "optional", "assumption"}, {"parameters"})
    data, place = document.data, document.place
    shared = _origin(data, place)
    values, notes = {}, {}
    for name, entry in table(data["parameters"], place / "parameters").items():
        here = place / "parameters" / identifier(name, place / "parameters")
        if not isinstance(entry, dict):
            entry = {"value": entry}
        keys(entry, {"value", "source", "assumption", "meaning"}, {"value"}, here)
        values[name] = real(entry["value"], here)
        note = _origin(entry, here) or shared
        if note is None:
            raise here.error("a value needs a source, or assumption = true")
        meaning = text(entry.get("meaning", ""), here / "meaning")
        notes[name] = f"{meaning} ({note})" if meaning else note
    optional = [
        text(o, place / "optional") for o in array(data.get("optional", []), place / "optional")
    ]
    for name in optional:
        if name not in values:
            raise (place / "optional").error(f"'{name}' is not among the parameters")
    return Settings(
        document.name,
        document.meaning,
        tuple(values.items()),
        notes,
        frozenset(optional),
        document.sha256,
        place,
    )


def _origin(entry: Mapping[str, Any], place: Place) -> str | None:
    assumed = flag(entry.get("assumption", False), place / "assumption")
    source = text(entry["source"], place / "source") if "source" in entry else None
    return source or ("assumption" if assumed else None)

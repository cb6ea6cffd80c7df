"""The named axes of a model: factors, modalities, actions, and the parameters of its cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from attach_ai.model.document import Place, flag, identifier, keys, levels, suggest, table, text
from attach_ai.model.parameters import Parameter, read_parameters


@dataclass(frozen=True)
class Axis:
    """A factor, a modality or an action, before anything is known of its tables."""

    name: str
    levels: tuple[str, ...]
    meaning: str = ""
    inner: bool = False
    sets: str | None = None


@dataclass(frozen=True)
class Axes:
    """Everything that has a name. No two things share one."""

    factors: dict[str, Axis]
    modalities: dict[str, Axis]
    actions: dict[str, Axis]
    parameters: dict[str, Parameter]


def read_axes(data: dict[str, Any], place: Place) -> Axes:
    """Read `[factors]`, `[modalities]`, `[actions]` and `[parameters]`.

    Raises `InputError` for duplicate names or levels, and for an action that sets no factor.
    """
    factors = _read_axes(data["factors"], set(), place / "factors")
    modalities = _read_axes(data["modalities"], {"inner"}, place / "modalities")
    actions = _read_axes(data["actions"], {"sets"}, place / "actions")
    for action in actions.values():
        if action.sets is not None and action.sets not in factors:
            raise (place / "actions" / action.name).error(
                f"sets: no factor is called '{action.sets}'{suggest(action.sets, factors)}"
            )
    listed = read_parameters(data.get("parameters", {}), place / "parameters")
    parameters = {p.name: p for p in listed}
    seen: dict[str, str] = {}
    groups: list[tuple[str, Iterable[str]]] = [
        ("factor", factors),
        ("modality", modalities),
        ("action", actions),
        ("parameter", parameters),
    ]
    for kind, names in groups:
        for name in names:
            if name in seen:
                raise place.error(f"'{name}' is the name of a {seen[name]} and of a {kind}")
            seen[name] = kind
    return Axes(factors, modalities, actions, parameters)


def _read_axes(data: Any, extra: set[str], place: Place) -> dict[str, Axis]:
    if not table(data, place):
        raise place.error("expected at least one")
    return {name: _read_axis(name, entry, extra, place / name) for name, entry in data.items()}


def _read_axis(name: str, entry: Any, extra: set[str], place: Place) -> Axis:
    identifier(name, place)
    entry = table(entry, place)
    keys(entry, {"levels", "meaning", *extra}, {"levels"}, place)
    return Axis(
        name=name,
        levels=levels(entry["levels"], place / "levels"),
        meaning=text(entry.get("meaning", ""), place / "meaning"),
        inner=flag(entry.get("inner", False), place / "inner"),
        sets=text(entry["sets"], place / "sets") if "sets" in entry else None,
    )

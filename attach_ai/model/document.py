"""Reading a TOML file, and saying where in it something went wrong."""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attach_ai.errors import InputError
from attach_ai.model.expression import Expression, number, parse

FORMAT = 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RESERVED = {"exp", "rest"}


@dataclass(frozen=True)
class Place:
    """Where in a file: `place / "A.cue" / "row 2"`."""

    file: str
    parts: tuple[str, ...] = ()

    def __truediv__(self, part: str) -> Place:
        return Place(self.file, (*self.parts, part))

    def __str__(self) -> str:
        return ", ".join((self.file, *self.parts))

    def error(self, message: str) -> InputError:
        """The error to raise for something wrong here."""
        return InputError(message, place=str(self))


@dataclass(frozen=True)
class Document:
    """A TOML file as it was read; `sha256` of its bytes is its provenance."""

    path: Path
    sha256: str
    data: dict[str, Any]
    place: Place

    @property
    def name(self) -> str:
        return text(self.data["name"], self.place / "name")

    @property
    def meaning(self) -> str:
        return text(self.data.get("meaning", ""), self.place / "meaning")


def read(path: str | Path, allowed: Iterable[str], required: Iterable[str]) -> Document:
    """Read a declared file and check its top level.

    Raises `InputError` if the file is missing, is not TOML, has another format number, or has an
    unknown or a missing key.
    """
    path = Path(path)
    place = Place(_shown(path))
    try:
        raw = path.read_bytes()
        data = tomllib.loads(raw.decode())
    except FileNotFoundError:
        raise place.error("there is no such file") from None
    except OSError as problem:
        raise place.error(f"the file cannot be read ({problem.strerror})") from None
    except UnicodeDecodeError:
        raise place.error("the file is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise place.error(f"this is not valid TOML: {problem}") from None
    if data.get("format") != FORMAT or isinstance(data["format"], bool):
        came = repr(data["format"]) if "format" in data else "nothing"
        raise (place / "format").error(f"expected format = {FORMAT}, got {came}")
    keys(data, {"format", "name", "meaning", "source", *allowed}, {"name", *required}, place)
    identifier(data["name"], place / "name")
    return Document(path, hashlib.sha256(raw).hexdigest(), data, place)


def _shown(path: Path) -> str:
    """The path as a person knows it: from the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def suggest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the list of what there is."""
    known = list(known)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are {', '.join(known)}" if known else "; there are none"


def keys(
    data: dict[str, Any], allowed: Iterable[str], required: Iterable[str], place: Place
) -> None:
    """Refuse unknown and missing keys."""
    allowed = sorted(allowed)
    for key in data:
        if key not in allowed:
            raise place.error(f"unknown key '{key}'{suggest(key, allowed)}")
    for key in sorted(required):
        if key not in data:
            raise place.error(f"'{key}' is missing")


def table(value: Any, place: Place) -> dict[str, Any]:
    """A TOML table."""
    if not isinstance(value, dict):
        raise place.error(f"expected a table, got {value!r}")
    return value


def array(value: Any, place: Place) -> list[Any]:
    """A TOML array."""
    if not isinstance(value, list):
        raise place.error(f"expected a list, got {value!r}")
    return value


def text(value: Any, place: Place) -> str:
    """A string."""
    if not isinstance(value, str):
        raise place.error(f"expected text in quotes, got {value!r}")
    return value


def flag(value: Any, place: Place) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise place.error(f"expected true or false, got {value!r}")
    return value


def real(value: Any, place: Place) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise place.error(f"expected a number, got {value!r}")
    return float(value)


def whole(value: Any, place: Place, least: int = 0) -> int:
    """A whole number, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise place.error(f"expected a whole number of at least {least}, got {value!r}")
    return value


def identifier(value: Any, place: Place) -> str:
    """A name: letters, digits and underscores, a letter first."""
    name = text(value, place)
    if not _NAME.fullmatch(name):
        raise place.error(
            f"'{name}' is not a name: letters, digits and underscores, starting with a letter"
        )
    if name in _RESERVED:
        raise place.error(f"'{name}' has a meaning of its own in cells and cannot be a name")
    return name


def levels(value: Any, place: Place) -> tuple[str, ...]:
    """Two or more different level names."""
    names = tuple(identifier(v, place) for v in array(value, place))
    for name in names:
        if names.count(name) > 1:
            raise place.error(f"level '{name}' is named twice")
    if len(names) < 2:
        raise place.error(f"expected at least two levels, got {len(names)}")
    return names


def one_or_more(value: Any, known: tuple[str, ...], what: str, place: Place) -> tuple[str, ...]:
    """One level, or a list of levels meaning any of these, in the order of `known`."""
    chosen = [text(v, place) for v in (value if isinstance(value, list) else [value])]
    if not chosen:
        raise place.error(f"the list is empty, expected levels of {what}")
    for level in chosen:
        if level not in known:
            raise place.error(f"{what} has no level '{level}'{suggest(level, known)}")
        if chosen.count(level) > 1:
            raise place.error(f"level '{level}' is named twice")
    return tuple(level for level in known if level in chosen)


def cell(value: Any, parameters: Iterable[str], place: Place) -> Expression:
    """A number, a parameter or arithmetic of them."""
    if not isinstance(value, str):
        return number(real(value, place))
    try:
        made = parse(value)
    except InputError as problem:
        raise place.error(str(problem)) from None
    parameters = list(parameters)
    for name in sorted(made.names):
        if name not in parameters:
            raise place.error(f"no parameter is called '{name}'{suggest(name, parameters)}")
    return made


def peek_name(path: Path) -> str:
    """The name a file declares; that of the file if it cannot be read."""
    try:
        name = tomllib.loads(path.read_text("utf-8")).get("name")
    except (OSError, ValueError):
        name = None
    return name if isinstance(name, str) else path.stem

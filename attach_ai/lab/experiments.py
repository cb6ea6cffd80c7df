"""Experiments as files: finding one, loading it, and changing a field of its Config.

`experiments/README.md` says what a file holds.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from attach_ai.errors import InputError

SCALES = ("smoke", "standard", "deep")
TEXTS = ("QUESTION", "PREDICTION", "REFUTATION", "ABLATION", "NULL")
NEEDED = (*TEXTS, "CLAIMS", "MODELS", "Config", "SMOKE", "STANDARD", "DEEP", "cells", "verdict")


@dataclass(frozen=True)
class Experiment:
    """An experiment file, loaded. `figure` is its number in the paper ("F3"), "" without one."""

    name: str
    path: Path
    module: ModuleType

    @property
    def figure(self) -> str:
        return str(getattr(self.module, "FIGURE", ""))

    @property
    def lacks(self) -> tuple[str, ...]:
        """Data sets that it is about (`DATA`, by name) and that are not at hand."""
        from attach_ai.fit.study.known_data import at_hand

        return tuple(name for name in getattr(self.module, "DATA", ()) if at_hand(name) is None)

    def config(self, scale: str, settings: Mapping[str, str] | None = None) -> Any:
        """The Config of a scale, with fields changed by `--set name=value`."""
        if scale not in SCALES:
            raise InputError(f"no scale is called '{scale}'; there are {', '.join(SCALES)}")
        return override(getattr(self.module, scale.upper()), settings or {}, self.name)

    def summary(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """What its figure needs of the cells: all of them, unless the file reduces them."""
        reduce = getattr(self.module, "summary", dict)
        return dict(reduce(cells))


def available(root: Path) -> dict[str, Path]:
    """Experiment files of a checkout, by name."""
    folder = root / "experiments"
    return {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


def find(name: str, root: Path) -> Path:
    """The file of an experiment given by name or by path."""
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise InputError("there is no such experiment file", name)
        return path.resolve()
    known = available(root)
    if name not in known:
        raise InputError(f"no experiment is called '{name}'{suggest(name, known)}", "experiments")
    return known[name]


def load(path: Path) -> Experiment:
    """Load an experiment file; `InputError` names what it lacks."""
    module = load_file(path, f"experiments.{path.stem}")
    missing = [n for n in NEEDED if not hasattr(module, n)]
    if missing:
        raise InputError(
            f"an experiment needs {', '.join(NEEDED)}; missing: {', '.join(missing)}", str(path)
        )
    for text in TEXTS:
        if not str(getattr(module, text)).strip():
            raise InputError(f"{text} is empty; it is stated before the run", str(path))
    return Experiment(path.stem, path, module)


def load_file(path: Path, name: str) -> ModuleType:
    """Import one file under a module name of our choice."""
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError("is not a Python file", str(path))
    module = module_from_spec(spec)
    # Dataclasses look their module up by name while they are being made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"line {error.lineno}: {error.msg}", str(path)) from error
    return module


def suggest(name: str, known: Mapping[str, Any]) -> str:
    """The end of a sentence about an unknown name."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are {', '.join(known)}" if known else "; there are none"


def override(config: Any, settings: Mapping[str, str], place: str) -> Any:
    """A copy of a Config with fields set from text, converted to the type each declares."""
    types = get_type_hints(type(config))
    fields = {f.name: types[f.name] for f in dataclasses.fields(config)}
    changed = {}
    for name, text in settings.items():
        if name not in fields:
            raise InputError(f"no field is called '{name}'{suggest(name, fields)}", place)
        try:
            changed[name] = _convert(text, fields[name])
        except ValueError:
            expected = re.sub(r"<class '(\w+)'>", r"\1", str(fields[name]))
            raise InputError(f"{name} is '{text}'; expected {expected}", place) from None
    return dataclasses.replace(config, **changed)


def _convert(text: str, kind: Any) -> Any:
    """Text as a bool, int, float, str, choice, optional or comma-separated tuple of these."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is UnionType or NoneType in args:
        if text.lower() == "none" and NoneType in args:
            return None
        return _convert(text, next(a for a in args if a is not NoneType))
    if origin is tuple:
        return tuple(_convert(part.strip(), args[0]) for part in text.split(",") if part.strip())
    if origin is Literal:
        if text not in args:
            raise ValueError(text)
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind in (int, float, str):
        return kind(text)
    raise ValueError(text)

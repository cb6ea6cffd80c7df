"""The declared files that come with the package, by name."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from attach_ai.errors import InputError
from attach_ai.model.document import peek_name, suggest
from attach_ai.model.history import History, read_history
from attach_ai.model.model import Model
from attach_ai.model.practice import Practice, read_practice
from attach_ai.model.reader import read_model
from attach_ai.model.settings import Settings, read_settings

FOLDERS = {
    "model": "generative",
    "practice": "practices",
    "phenotype": "phenotypes",
    "world": "worlds",
    "history": "histories",
    "instrument": "instruments",
    "link": "links",
    "mapping": "mappings",
}


def load_model(name_or_path: str | Path) -> Model:
    """A generative model by name ("attachment"), or from a TOML file of your own.

    While its file stays as it is, a model is read once: what was compiled for it goes on serving.
    """
    path = find("model", name_or_path)
    return _read_model(path, path.stat().st_mtime_ns if path.is_file() else 0)


def load_practice(name_or_path: str | Path) -> Practice:
    """A practice by name ("loving_kindness"), or from a TOML file of your own."""
    return read_practice(find("practice", name_or_path))


def load_phenotype(name_or_path: str | Path) -> Settings:
    """A phenotype by name ("attachment_injury"), or from a TOML file of your own."""
    return read_settings(find("phenotype", name_or_path))


def load_world(name_or_path: str | Path) -> Settings:
    """What is true, by name ("imagined_other"), or from a TOML file of your own."""
    return read_settings(find("world", name_or_path))


def load_history(name_or_path: str | Path) -> History:
    """A caregiving history by name ("anxious"), or from a TOML file of your own."""
    return read_history(find("history", name_or_path))


@lru_cache(maxsize=32)
def _read_model(path: Path, changed: int) -> Model:
    return read_model(path)


def names(kind: str) -> list[str]:
    """Names of all that is declared of one kind (a key of `FOLDERS`)."""
    return sorted(_index(kind))


def find(kind: str, name_or_path: str | Path) -> Path:
    """The file that declares a name; a path to a TOML file is returned as it is.

    Raises `InputError` for an unknown name, with the nearest one that there is.
    """
    given = str(name_or_path)
    if given.endswith(".toml") or os.sep in given:
        return Path(given)
    index = _index(kind)
    if given not in index:
        raise InputError(f"no {kind} is called '{given}'{suggest(given, index)}")
    return index[given]


def root() -> Path:
    """Where the declared files are: inside the installed package, or in the checkout."""
    package = Path(__file__).parents[1]
    shipped = package / "_models"
    return shipped if shipped.is_dir() else package.parent / "models"


def _index(kind: str) -> dict[str, Path]:
    """Declared name -> file."""
    index: dict[str, Path] = {}
    for path in sorted((root() / FOLDERS[kind]).glob("*.toml")):
        name = peek_name(path)
        if name in index:
            raise InputError(
                f"two files declare the {kind} '{name}'", f"{index[name].name} and {path.name}"
            )
        index[name] = path
    return index

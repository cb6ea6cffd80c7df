"""Where things lie, and how they are written: whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from attach_ai.errors import InputError


def checkout(start: Path | None = None) -> Path:
    """The folder of the project's files: here or above, else where the package was loaded from.

    `InputError` where there is none: experiments and the paper do not travel with the package.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, _package().parent):
        if (folder / "experiments").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise InputError("no checkout of attach_ai here or above; run this inside one", str(here))


def _package() -> Path:
    """Where the package was loaded from (its name is not imported: that would mean all of it)."""
    return Path(str(sys.modules["attach_ai"].__file__)).resolve().parent


def digest(data: bytes | str) -> str:
    """sha256, in hexadecimal."""
    return sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Let `save` write a temporary file beside `path`, then rename it: whole or not at all."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"could not be written: {error.strerror or error}", str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; `InputError` if it is not."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"could not be read as JSON: {error}", str(path)) from error

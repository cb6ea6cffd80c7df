"""What verbs share: reading arguments, and saying in one sentence what is wrong with them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from attach_ai.errors import InputError

if TYPE_CHECKING:
    from attach_ai.model import Model


def say(message: object, code: int) -> int:
    """Say what went wrong, a line for each thing that did; returns the exit code."""
    lines = [" ".join(line.split()) for line in str(message).splitlines()]
    print("attach-ai: " + "\n".join(line for line in lines if line), file=sys.stderr)
    return code


def switched(model: Model, targets: Sequence[str]) -> Model:
    """The model with levels switched off."""
    for target in targets:
        model = model.without(target)
    return model


def file(name: str, *kinds: str) -> Path:
    """An output file whose folder exists and whose kind we can write, known before the work."""
    path = Path(name)
    if path.suffix not in kinds:
        raise InputError(f"the file should end in {' or '.join(kinds)}", name)
    if not path.parent.is_dir():
        raise InputError(f"the folder '{path.parent}' does not exist", name)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError("cannot be written", name)
    return path


def pairs(items: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise InputError(f"'{item}' should be written name=value", "--set")
        if name in found:
            raise InputError(f"'{name}' is set twice", "--set")
        found[name] = value
    return found


def numbers(items: Sequence[str]) -> dict[str, float]:
    found = {}
    for name, value in pairs(items).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"{name} is '{value}'; expected a number", "--set") from None
    return found


def within(kind: type, low: float, high: float, what: str) -> Callable[[str], Any]:
    """An argparse type: a number between two bounds, both included."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
        return value

    return convert


class Parser(argparse.ArgumentParser):
    """argparse, with its complaint in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, self.prog.removeprefix("attach-ai").strip())

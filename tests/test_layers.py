"""Arrows run one way: a room imports only from rooms to its left."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "attach_ai"
ROOMS = ("model", "agent", "world", "simulation", "readout", "fit", "plot", "lab", "cli")
# What every room may stand on.
FLOOR = ("files", "progress", "provenance")
# What rests on rooms other than those to its left in the chain.
RESTS_ON = {
    **{room: set(ROOMS[: i + 1]) for i, room in enumerate(ROOMS)},
    "spm": {"spm", "model", "agent"},
    "interop": {"interop", "model", "agent"},
    "errors": set(),
    **{floor: set() for floor in FLOOR},
    "__init__": set(),  # the face names its rooms as text and loads them on use
    "__main__": {"cli"},
}
# They stand left of whoever compares with what others have published.
for user in ("fit", "plot", "lab", "cli"):
    RESTS_ON[user] |= {"spm", "interop"}


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, at the top and within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_a_room_imports_only_from_its_left(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "attach_ai" or len(parts) == 1:
            continue
        allowed = RESTS_ON[room(path)] | {"errors", "__version__", *FLOOR}
        # `attach_ai.load_model` and its like are the package's own face.
        to = parts[1] if (PACKAGE / parts[1]).exists() or parts[1] in RESTS_ON else "errors"
        assert parts[1] == "__version__" or to in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "experiments").glob("*.py"), *(ROOT / "paper").rglob("*.py")]),
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_experiments_and_paper_use_public_names(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "attach_ai":
            assert not any(p.startswith("_") and p != "__version__" for p in parts), name


def test_every_room_is_known() -> None:
    assert {room(p) for p in PACKAGE.rglob("*.py")} <= set(RESTS_ON)

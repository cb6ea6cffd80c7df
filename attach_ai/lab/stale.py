"""What a result rests on, as one hash: when it changes, the result is stale.

Counted are the experiment's file, the declared models it names, its Config, and the library modules
that it imports, directly or not; pictures and the command line are left out. Of Python files only
the code counts: comments, docstrings and line breaks may change freely.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attach_ai
from attach_ai.errors import InputError
from attach_ai.files import digest
from attach_ai.lab.experiments import Experiment

ELSEWHERE = ("instruments", "links", "mappings")  # folders that a name says
PICTURES = ("attach_ai.plot", "attach_ai.cli")


def inputs(experiment: Experiment, root: Path) -> dict[str, str]:
    """Hash of each file that an experiment's numbers rest on, by path."""
    files = sources(experiment.path, root, PICTURES)
    return _hashes([*files, *declared(experiment.module.MODELS, root, experiment.path)], root)


def key(experiment: Experiment, config: Any, root: Path) -> str:
    """One hash of everything that a result rests on."""
    return digest(json.dumps([inputs(experiment, root), as_json(config)], sort_keys=True))[:16]


def figure_key(script: Path, result_key: str, models: Iterable[str], root: Path) -> str:
    """One hash of everything that a figure rests on: its script, the plot room, the result."""
    files = [*sources(script, root), *declared(models, root, script)]
    return digest(json.dumps([_hashes(files, root), result_key], sort_keys=True))[:16]


def as_json(config: Any) -> dict[str, Any]:
    """A Config as JSON would give it back."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return found


def declared(names: Iterable[str], root: Path, place: Path) -> list[Path]:
    """Files of declared models, practices, phenotypes, worlds or histories, by name.

    Of other folders the folder is named too ("links/attachment"): a link may be called as the model
    that it reads.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted((root / "models").rglob("*.toml")):
        bare = path.parent.name not in ELSEWHERE
        files.setdefault(path.stem if bare else f"{path.parent.name}/{path.stem}", []).append(path)
    for name in names:
        if name not in files:
            raise InputError(f"MODELS names '{name}', which models/ does not have", str(place))
    return [path for name in names for path in files[name]]


def sources(path: Path, root: Path, leave_out: tuple[str, ...] = ()) -> list[Path]:
    """A Python file and all project files that it imports, directly or not."""
    roots = (Path(attach_ai.__file__).resolve().parents[1], root)
    found, waiting = {path.resolve()}, [path.resolve()]
    while waiting:
        for name in _imported(waiting.pop(), roots):
            if any(name == out or name.startswith(out + ".") for out in leave_out):
                continue
            for file in _files(name, roots):
                if file not in found:
                    found.add(file)
                    waiting.append(file)
    return sorted(found)


def _hashes(files: Iterable[Path], root: Path) -> dict[str, str]:
    roots = (root, Path(attach_ai.__file__).resolve().parents[1])
    hashes = {}
    for file in files:
        base = next((r for r in roots if file.is_relative_to(r)), file.parent)
        stamp = file.stat()
        hashes[file.relative_to(base).as_posix()] = _hash(file, stamp.st_mtime_ns, stamp.st_size)
    return dict(sorted(hashes.items()))


@cache
def _hash(file: Path, _changed: int, _size: int) -> str:
    return digest("\n".join(_code(file)) if file.suffix == ".py" else file.read_bytes())


def _code(file: Path) -> Iterator[str]:
    """The tokens of a Python file that do something."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}
    structure = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    with file.open("rb") as handle:
        tokens = [t for t in tokenize.tokenize(handle.readline) if t.type not in silent]
    for i, token in enumerate(tokens):
        begins = i == 0 or tokens[i - 1].type in structure
        if token.type == tokenize.STRING and begins and tokens[i + 1].type == tokenize.NEWLINE:
            continue
        yield tokenize.tok_name[token.type] if token.type in structure else token.string


def _imported(file: Path, roots: tuple[Path, ...]) -> Iterator[str]:
    """Dotted names that a file imports, at its top or inside functions."""
    package: tuple[str, ...] = ()
    for root in roots:
        if file.is_relative_to(root):
            package = file.relative_to(root).parent.parts
            break
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # The package's face loads its names on use: whoever imports it may use any.
                yield from attach_ai._HOME.values() if alias.name == "attach_ai" else [alias.name]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield attach_ai._HOME.get(alias.name, full) if base == "attach_ai" else full


def _files(name: str, roots: tuple[Path, ...]) -> Iterator[Path]:
    """Files that importing a dotted name runs; of the package's face nothing but names."""
    parts = name.split(".")
    for root in roots:
        for n in range(1, len(parts) + 1):
            base = root.joinpath(*parts[:n])
            for file in (base / "__init__.py", base.with_suffix(".py")):
                if file.is_file() and (n > 1 or parts[0] != "attach_ai"):
                    yield file.resolve()

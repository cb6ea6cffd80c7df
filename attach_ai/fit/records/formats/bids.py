"""BIDS: tables of `phenotype/`, one a measure, each with a JSON file that says what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import digest, read_json
from attach_ai.fit.records.formats.delimited import read_delimited
from attach_ai.fit.records.formats.table import Problem, Table

SUBJECT, SESSION = "participant_id", "session_id"
PARTICIPANTS = "participants.tsv"


def with_sidecar(table: Table) -> Table:
    """The table with the levels that the JSON file beside it declares, if there is one."""
    subject = SUBJECT if SUBJECT in table.columns else ""
    table = replace(table, subject=subject, wave=SESSION if SESSION in table.columns else "")
    path = table.path.with_suffix(".json")
    if table.path.suffix != ".tsv" or not path.is_file():
        return table
    said = read_json(path)
    if not isinstance(said, Mapping):
        raise InputError("expected an object with a key for each column", str(path))
    labels = {
        name: {str(value): _label(label) for value, label in entry["Levels"].items()}
        for name, entry in said.items()
        if isinstance(entry, Mapping) and isinstance(entry.get("Levels"), Mapping)
    }
    return replace(table, labels=labels)


def read_folder(path: Path) -> Table:
    """All measures of a BIDS data set, joined by participant and session.

    `path` is the data set, or its folder `phenotype`. What `participants.tsv` says of a participant
    holds in each of their sessions. Raises `InputError` where no table is found.
    """
    folder = path / "phenotype" if (path / "phenotype").is_dir() else path
    found = sorted(folder.glob("*.tsv"))
    if not found:
        raise InputError("expected a file, or a folder with BIDS phenotype tables", str(path))
    parts = [with_sidecar(read_delimited(p, p.read_bytes())) for p in found]
    for part in parts:
        if not part.subject:
            raise InputError(f"the column '{SUBJECT}' is missing", str(part.path))
    people = folder.parent / PARTICIPANTS
    n_measures = len(parts)
    if people.is_file():
        parts.append(with_sidecar(read_delimited(people, people.read_bytes())))
    return _joined(path, parts, n_measures)


def _joined(path: Path, parts: list[Table], n_measures: int) -> Table:
    order = {k: None for part in parts[:n_measures] for k in _keys(part)}
    row_of = {key: i for i, key in enumerate(order)}
    columns: dict[str, np.ndarray] = {
        SUBJECT: np.array([k[0] for k in order], object),
        SESSION: np.array([k[1] for k in order], object),
    }
    if not any(part.wave for part in parts):
        del columns[SESSION]
    labels: dict[str, Mapping[str, str]] = {}
    problems: list[Problem] = []
    for part in parts:
        problems += [
            (-1, c, f"{part.path.name}, {part.place(r)}: {m}") for r, c, m in part.problems
        ]
        target = _targets(part, row_of)
        for name in part.columns:
            if name in (SUBJECT, SESSION):
                continue
            if name in columns:
                problems.append((-1, name, f"{part.path.name} is the second file that has it"))
            cells = np.full(len(order), None, object)
            for row, value in zip(target, part.columns[name], strict=True):
                cells[row] = value
            columns[name] = cells
        labels |= part.labels
        seen: set[Any] = set()
        for i, key in enumerate(_keys(part)):
            if key in seen:
                problems.append((-1, "", f"{part.path.name}, {part.place(i)}: {key[0]} again"))
            seen.add(key)
    return Table(
        path=path,
        columns=columns,
        rows=np.array([" ".join(filter(None, k)) for k in order], object),
        sha256=digest("".join(part.sha256 for part in parts)),
        word="",
        labels=labels,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        problems=tuple(problems),
        subject=SUBJECT,
        wave=SESSION if SESSION in columns else "",
    )


def _keys(part: Table) -> list[tuple[str, str]]:
    """Participant and session of each row; "" where there is none."""
    subject = part.texts(SUBJECT) if part.subject else [None] * len(part)
    session = part.texts(SESSION) if part.wave else [None] * len(part)
    return [(s or "", w or "") for s, w in zip(subject, session, strict=True)]


def _targets(part: Table, row_of: Mapping[tuple[str, str], int]) -> list[list[int]]:
    """The rows of the joined table to which each row belongs: all of a person's without session."""
    rows: dict[str, list[int]] = {}
    for (subject, _), i in row_of.items():
        rows.setdefault(subject, []).append(i)
    return [
        [row_of[key]] if part.wave and key in row_of else rows.get(key[0], [])
        for key in _keys(part)
    ]


def _label(value: Any) -> str:
    """The label of a level; BIDS lets it be an object with a description."""
    return str(value.get("Description", "")) if isinstance(value, Mapping) else str(value)

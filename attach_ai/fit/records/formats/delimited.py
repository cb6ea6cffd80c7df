"""CSV and its kin: delimiter and encoding are found out, and said where they were unusual."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import digest
from attach_ai.fit.records.formats.table import Problem, Table

DELIMITERS = (",", "\t", ";", "|")
BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_delimited(path: Path, raw: bytes) -> Table:
    """A table of texts. `InputError` where the bytes are no text or no rows follow a header.

    A row with more or fewer cells than the header is one of the table's `problems`.
    """
    text, notes = decode(path, raw)
    header: list[str] = []
    body: list[list[str]] = []
    lines: list[int] = []
    problems: list[Problem] = []
    try:
        delimiter = "\t" if path.suffix == ".tsv" else sniff(text)
        for line, cells in _records(text, delimiter):
            if not any(c.strip() for c in cells):
                continue
            if not header:
                header = [c.strip() for c in cells]
                continue
            extra = cells[len(header) :]
            if len(cells) < len(header) or any(c.strip() for c in extra):
                said = f"{len(cells)} cells, where the header has {len(header)}"
                problems.append((len(body), "", said))
                cells = [*cells, *[""] * len(header)]
            body.append(cells[: len(header)])
            lines.append(line)
    except csv.Error as problem:
        raise InputError(f"this is not a table of text: {problem}", str(path)) from None
    if not body:
        what = "only a header, and no rows" if header else "nothing"
        raise InputError(f"the file has {what}; expected a row for each answer sheet", str(path))
    for name in dict.fromkeys(n for n in header if n and header.count(n) > 1):
        problems.append((-1, name, f"{header.count(name)} columns have this name"))
    sheet = np.array(body, object).reshape(len(body), len(header))
    columns = {name: sheet[:, j] for j, name in enumerate(header) if name}
    return Table(
        path=path,
        columns=columns,
        rows=np.array(lines),
        sha256=digest(raw),
        notes=notes,
        problems=tuple(problems),
        decimal="," if delimiter == ";" else ".",
    )


def decode(path: Path, raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a note where it was not UTF-8. `InputError` where it is no text."""
    notes: tuple[str, ...] = ()
    marked = [encoding for bom, encoding in BOMS if raw.startswith(bom)]
    try:
        text = raw.decode(marked[0] if marked else "utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        notes = ("The file is not UTF-8 text; it was read as Latin-1.",)
    if "\0" in text:
        raise InputError("this is not a text file; expected CSV, TSV, .parquet or .sav", str(path))
    return text, notes


def sniff(text: str) -> str:
    """The delimiter that parts the first line into most cells; a comma where none does."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(DELIMITERS, key=lambda d: len(next(csv.reader([first], delimiter=d), [])))


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it starts in; a quoted cell may run over several lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    for cells in reader:
        yield start, cells
        start = reader.line_num + 1

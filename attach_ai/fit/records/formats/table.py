"""A file as a table: named columns of texts or numbers, each row with its place in the file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attach_ai.errors import InputError
from attach_ai.model.mapping import value_text

BLANK = frozenset({"", "NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", ".", "#N/A", "<NA>"})
Problem = tuple[int, str, str]  # row of the table (-1: the file as a whole), column, what is wrong


@dataclass(frozen=True)
class Table:
    """Columns of one length; a cell is a number, a text, or missing (NaN or None).

    `rows` says where each row stands in the file, `word` what that counts ("line"). `labels` gives
    the meaning of values, `problems` what is wrong with the file itself. `subject` and `wave` are
    the columns that the format reserves for them. `decimal`: the sign that parts fractions.
    """

    path: Path
    columns: Mapping[str, np.ndarray]
    rows: np.ndarray
    sha256: str
    word: str = "line"
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    subject: str = ""
    wave: str = ""
    decimal: str = "."

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int, column: str = "") -> str:
        """ "line 4, column ecr_rs_1"."""
        parts = [f"{self.word} {self.rows[row]}".strip()] if row >= 0 else []
        return ", ".join([*parts, *([f"column {column}"] if column else [])])

    def texts(self, column: str, missing: Iterable[str] = ()) -> np.ndarray:
        """Each cell as text ("1" for 1.0), None where missing: (row,) of objects."""
        codes, values = pd.factorize(self.columns[column], use_na_sentinel=True)
        absent = BLANK | set(missing)
        made = [None if (t := value_text(v)) in absent else t for v in values]
        return np.array([*made, None], object)[codes]

    def numbers(self, column: str, missing: Iterable[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Each cell as a number, NaN where missing: (row,); and which cells are none: (row,).

        A text that is the label of a value counts as that value.
        """
        codes, values = pd.factorize(self.columns[column], use_na_sentinel=True)
        labels = self.labels.get(column, {})
        meant = {label.strip().casefold(): value for value, label in labels.items()}
        absent = BLANK | set(missing)
        made = [math.nan if value_text(v) in absent else self._number(v, meant) for v in values]
        bad = np.array([*(x is None for x in made), False], bool)
        numbers = np.array([*(math.nan if x is None else x for x in made), math.nan], float)
        return numbers[codes], bad[codes]

    def without(self, columns: Iterable[str], note: str) -> Table:
        """The same table with some columns left out, and a note that says so."""
        gone = set(columns)
        kept = {name: cells for name, cells in self.columns.items() if name not in gone}
        return replace(self, columns=kept, notes=(*self.notes, note))

    def _number(self, value: Any, meant: Mapping[str, str]) -> float | None:
        if not isinstance(value, str):
            return _finite(value)
        value = value.strip()
        if self.decimal == "," and "." not in value:
            value = value.replace(",", ".")
        found = _finite(value)
        return _finite(meant.get(value.casefold())) if found is None else found


def _finite(value: Any) -> float | None:
    """A number, None where it is none; "1_000" and "inf" are none."""
    if value is None or (isinstance(value, str) and "_" in value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def from_frame(path: Path, frame: pd.DataFrame, sha256: str, **given: Any) -> Table:
    """A table from a data frame: rows are counted from 1.

    Raises `InputError` for columns of one name, and for cells that hold more than one value.
    """
    names = [str(c) for c in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two columns are called '{name}'", str(path))
    columns = {}
    for name, column in zip(names, frame.columns, strict=True):
        cells = frame[column]
        if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_numeric_dtype(cells):
            columns[name] = cells.to_numpy(float, na_value=np.nan)
            continue
        cells = cells.astype(object)
        cells = cells.where(cells.notna(), None)
        columns[name] = np.array([None if c is None else str(c) for c in cells], object)
    rows = np.arange(1, len(frame) + 1)
    return Table(path, columns, rows, sha256, word="row", **given)

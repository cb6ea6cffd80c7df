"""REDCap exports: labels from the data dictionary, and identifiers left where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from attach_ai.errors import InputError
from attach_ai.fit.records.formats.delimited import read_delimited
from attach_ai.fit.records.formats.table import Table

EVENT = "redcap_event_name"
NAME, CHOICES, FLAG = (
    ("Variable / Field Name", "field_name"),
    ("Choices, Calculations, OR Slider Labels", "select_choices_or_calculations"),
    ("Identifier?", "identifier"),
)


def find_dictionary(table: Table) -> Path | None:
    """The data dictionary beside an export, where there is exactly one and it starts alike."""
    found = sorted(table.path.parent.glob("*DataDictionary*.csv"))
    if len(found) != 1 or found[0] == table.path or not table.columns:
        return None
    try:
        fields = _texts(read_delimited(found[0], found[0].read_bytes()), NAME)
    except (InputError, OSError):
        return None
    return found[0] if fields and fields[0] == next(iter(table.columns)) else None


def with_dictionary(table: Table, path: Path) -> Table:
    """The export with the dictionary's labels, and without fields that it flags as identifiers.

    The first field is the record: where that one is flagged, records are numbered instead.
    `InputError` where the dictionary is none.
    """
    try:
        dictionary = read_delimited(path, path.read_bytes())
    except OSError as problem:
        raise InputError(f"the dictionary cannot be read ({problem.strerror})", str(path)) from None
    fields = _texts(dictionary, NAME)
    if not fields:
        raise InputError(f"this is no data dictionary: no column '{NAME[0]}'", str(path))
    choices = dict(zip(fields, _texts(dictionary, CHOICES) or [""] * len(fields), strict=True))
    flags = dict(zip(fields, _texts(dictionary, FLAG) or [""] * len(fields), strict=True))
    record = fields[0]
    columns, notes = dict(table.columns), list(table.notes)
    gone = [
        column
        for column in columns
        if flags.get(column.partition("___")[0], "").lower() in ("y", "yes", "1", "true")
    ]
    if record in gone:
        gone.remove(record)
        codes, _ = pd.factorize(columns[record])
        columns[record] = np.array([str(c + 1) if c >= 0 else None for c in codes], object)
        notes.append(f"'{record}' is flagged as an identifier: people are numbered instead.")
    if gone:
        notes.append(f"Left out, being flagged as identifiers: {', '.join(gone)}.")
    return replace(
        table,
        columns={name: cells for name, cells in columns.items() if name not in gone},
        labels={name: _labels(choices.get(name, "")) for name in columns},
        notes=tuple(notes),
        subject=record if record in columns else "",
        wave=EVENT if EVENT in columns else "",
    )


def _texts(table: Table, names: tuple[str, ...]) -> list[str]:
    """A column of a dictionary under any of its names; empty where there is none."""
    for name in names:
        if name in table.columns:
            return [t or "" for t in table.texts(name)]
    return []


def _labels(choices: str) -> dict[str, str]:
    """ "1, Never | 2, Sometimes"."""
    pairs = (choice.partition(",") for choice in choices.split("|"))
    return {value.strip(): label.strip() for value, comma, label in pairs if comma}

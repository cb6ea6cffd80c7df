"""SPSS files, with their labels and user-missing codes, with the optional extra `formats`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from attach_ai.errors import InputError
from attach_ai.files import digest
from attach_ai.fit.records.formats.table import Table, from_frame
from attach_ai.model.mapping import value_text


def read_spss(path: Path, raw: bytes) -> Table:
    """A .sav file. What its author declared missing is missing, and a note says how much that is.

    `InputError` where the file is broken, or pyreadstat is not installed.
    """
    try:
        import pyreadstat
    except ImportError:
        said = "SPSS files need pyreadstat: pip install 'attach-ai[formats]'"
        raise InputError(said, str(path)) from None
    try:
        read: Any = pyreadstat.read_sav(str(path), user_missing=True)
        frame, meta = read
        labels = {
            name: {value_text(value): str(label) for value, label in given.items()}
            for name, given in dict(meta.variable_value_labels).items()
        }
        frame, notes = _without_user_missing(frame, dict(meta.missing_ranges))
        return from_frame(path, frame, digest(raw), labels=labels, notes=notes)
    except InputError:
        raise
    except Exception as problem:  # whatever a broken file makes a foreign parser raise
        said = f"this is not an SPSS file that can be read: {problem or type(problem).__name__}"
        raise InputError(said, str(path)) from None


def _without_user_missing(
    frame: pd.DataFrame, ranges: dict[str, list[dict[str, Any]]]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The frame with user-missing cells emptied; `ranges` gives {lo, hi} by column."""
    n_emptied, made = 0, frame.copy()
    for name, given in ranges.items():
        cells = frame[name]
        declared = pd.Series(False, cells.index)
        for bounds in given:
            low, high = bounds["lo"], bounds["hi"]
            declared |= cells == low if low == high else (cells >= low) & (cells <= high)
        made[name] = cells.mask(declared)
        n_emptied += int(declared.sum())
    if not n_emptied:
        return made, ()
    return made, (f"{n_emptied} cells hold values that the file declares user-missing.",)

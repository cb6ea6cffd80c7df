"""Parquet files, with the optional extra `formats`."""

from __future__ import annotations

import io
from pathlib import Path

from attach_ai.errors import InputError
from attach_ai.files import digest
from attach_ai.fit.records.formats.table import Table, from_frame


def read_parquet(path: Path, raw: bytes) -> Table:
    """A Parquet file. `InputError` where it is broken, or pyarrow is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        said = "Parquet files need pyarrow: pip install 'attach-ai[formats]'"
        raise InputError(said, str(path)) from None
    try:
        return from_frame(
            path, pyarrow.parquet.read_table(io.BytesIO(raw)).to_pandas(), digest(raw)
        )
    except InputError:
        raise
    except Exception as problem:  # whatever a broken file makes a foreign parser raise
        said = f"this is not a Parquet file that can be read: {_first_line(problem)}"
        raise InputError(said, str(path)) from None


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]

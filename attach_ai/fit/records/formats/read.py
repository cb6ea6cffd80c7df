"""Which reader a file needs."""

from __future__ import annotations

from pathlib import Path

from attach_ai.errors import InputError
from attach_ai.fit.records.formats.bids import read_folder, with_sidecar
from attach_ai.fit.records.formats.delimited import read_delimited
from attach_ai.fit.records.formats.parquet import read_parquet
from attach_ai.fit.records.formats.redcap import find_dictionary, with_dictionary
from attach_ai.fit.records.formats.spss import read_spss
from attach_ai.fit.records.formats.table import Table

READERS = {".parquet": read_parquet, ".pq": read_parquet, ".sav": read_spss, ".zsav": read_spss}
SIGNS = {b"PAR1": ".parquet", b"$FL2": ".sav", b"$FL3": ".sav", b"PK\x03\x04": ".xlsx"}


def read_table(path: str | Path, dictionary: str | Path = "") -> Table:
    """A file of answers: CSV, TSV, Parquet, SPSS, REDCap with `dictionary`, or a BIDS folder.

    The kind follows from the file's name and its first bytes; a `.json` beside a TSV, and a data
    dictionary beside a REDCap export, are found. Raises `InputError` for whatever cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return read_folder(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError("there is no such file", str(path)) from None
    except OSError as problem:
        raise InputError(f"the file cannot be read ({problem.strerror})", str(path)) from None
    kind = SIGNS.get(raw[:4], path.suffix.lower())
    if kind in (".xlsx", ".xls", ".ods"):
        raise InputError("this is a spreadsheet; save it as CSV (UTF-8)", str(path))
    if kind in READERS:
        table = READERS[kind](path, raw)
    else:
        table = with_sidecar(read_delimited(path, raw))
        found = Path(dictionary) if str(dictionary) else find_dictionary(table)
        if found is not None:
            table = with_dictionary(table, found)
    if not len(table):
        raise InputError("the file has no rows; expected a row for each answer sheet", str(path))
    return table

"""Everything that is wrong with a file, said at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attach_ai.errors import InputError
from attach_ai.fit.records.formats import Table

SHOWN = 20


class Problems:
    """What was found wrong with a table so far: sentences with their rows and columns."""

    def __init__(self, table: Table):
        self._table = table
        self._found = list(table.problems)
        self._unshown = 0

    def add(self, message: str, column: str = "", row: int = -1) -> None:
        """One problem; row -1 is the file as a whole."""
        self._found.append((row, column, message))

    def cells(self, bad: np.ndarray, column: str, say: Callable[[int], str]) -> None:
        """One for each row where `bad` holds; `say(row)` is only called for those to be shown.

        Of a column that the file lacks nothing more is said of its rows.
        """
        if column and column not in self._table.columns:
            return
        rows = np.flatnonzero(bad)
        self._found += [(int(r), column, say(int(r))) for r in rows[:SHOWN]]
        self._unshown += max(0, len(rows) - SHOWN)

    def error(self) -> InputError | None:
        """What to raise: one sentence a problem, in the order of the file, at most `SHOWN`."""
        if not self._found:
            return None
        found = sorted(self._found, key=lambda p: p[0])
        said = [": ".join(filter(None, (self._table.place(r, c), m))) for r, c, m in found]
        n = len(said) + self._unshown
        if n == 1:
            row, column, message = found[0]
            place = self._table.place(row, column)
            return InputError(message, ", ".join(filter(None, (str(self._table.path), place))))
        shown = said[:SHOWN]
        more = [f"and {n - len(shown)} more"] if n > len(shown) else []
        lines = "\n  ".join((f"{n} problems", *shown, *more))
        return InputError(lines, str(self._table.path))

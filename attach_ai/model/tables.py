"""Tables in normal form: an integer map from combinations of parents to distinct cells.

Whatever a table was declared as (rows, `noisy_or`, `copies`, `keeps`, `set_by`), it ends up as
`cells[index]`, where `index` is a static array with the axes of the table. So building a model is
one gather for each table, and what a table really depends on can be read off its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from attach_ai.model.expression import Expression
from attach_ai.model.rows import Parents, Row


@dataclass(frozen=True)
class Block:
    """Rows as they were declared, for reading and for the report of `check`.

    `title` is empty but for the parts of a noisy-OR; `levels` are what the rows' cells stand for;
    `n_combinations` of parents, all covered unless `n_covered` is smaller (a silent cause).
    """

    title: str
    levels: tuple[str, ...]
    rows: tuple[Row, ...]
    n_combinations: int
    n_covered: int


@dataclass(frozen=True, eq=False)
class Table:
    """One array of a POMDP.

    `index`: (level, *parents, *actions), positions in `cells`. `parents` are names of factors,
    `actions` names of actions, in the order of the axes. `form` is how the table was declared.
    """

    name: str
    levels: tuple[str, ...]
    cells: tuple[Expression, ...]
    index: np.ndarray
    parents: Parents = field(default_factory=lambda: Parents({}, {}))
    form: str = "rows"
    blocks: tuple[Block, ...] = ()
    worst: float = 0.0  # largest error of a column sum over the support

    @property
    def names(self) -> frozenset[str]:
        """Parameters that the table uses."""
        return frozenset().union(*(c.names for c in self.cells))

    @property
    def never(self) -> np.ndarray:
        """True where a cell is zero whatever the parameters; shape of `index`."""
        return np.array([c.constant == 0 for c in self.cells])[self.index]


def from_columns(
    name: str,
    levels: tuple[str, ...],
    columns: Sequence[Sequence[Expression]],
    owner: np.ndarray,
    **more: object,
) -> Table:
    """A table whose combination `c` of parents has the cells `columns[owner[c]]`."""
    numbers: dict[Expression, int] = {}
    for column in columns:
        for c in column:
            numbers.setdefault(c, len(numbers))
    lookup = np.array([[numbers[c] for c in column] for column in columns])  # (column, level)
    index = np.moveaxis(lookup[owner], -1, 0)
    return Table(name, levels, tuple(numbers), index, **more)  # type: ignore[arg-type]

"""Do columns stay probabilities everywhere in the parameters' support?

Corners of the support are where linear cells break, so all of them are tried when a row uses at
most ten parameters, and a few dozen points inside besides. A fixed seed: a file that reads today
reads tomorrow. `Model.build` checks the columns again at the values it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np

from attach_ai.model.document import Place
from attach_ai.model.expression import Expression
from attach_ai.model.parameters import Parameter
from attach_ai.model.rows import Row

MAX_CORNERS = 10  # parameters: 1,024 corners
N_INSIDE = 48
TOLERANCE = 1e-9


class Sampler:
    """Points of the support: `points(names)` gives each parameter as an array over points."""

    def __init__(self, parameters: dict[str, Parameter]):
        self.parameters = parameters
        rng = np.random.default_rng(0)
        self.inside = {
            name: np.append(rng.uniform(*p.support, N_INSIDE), p.default)
            for name, p in parameters.items()
        }
        self.corners: dict[int, np.ndarray] = {}

    def points(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        names = sorted(names)
        n = len(names)
        if n > MAX_CORNERS:
            return {name: self.inside[name] for name in names}
        if n not in self.corners:
            self.corners[n] = np.array(list(product((0, 1), repeat=n)), int).reshape(2**n, n)
        return {
            name: np.append(np.array(self.parameters[name].support)[which], self.inside[name])
            for name, which in zip(names, self.corners[n].T, strict=True)
        }


def _evaluate(cells: Iterable[Expression], points: dict[str, np.ndarray]) -> np.ndarray:
    """Values of cells; shape (cell, point)."""
    n = len(next(iter(points.values()))) if points else 1
    with np.errstate(all="ignore"):
        return np.array([np.broadcast_to(c.evaluate(points), n) for c in cells], float)


def _where(points: dict[str, np.ndarray], at: int) -> str:
    if not points:
        return ""
    return " where " + ", ".join(f"{name} = {float(v[at]):.4g}" for name, v in points.items())


def check_probability(c: Expression, sampler: Sampler, place: Place) -> None:
    """The cell lies in [0, 1] over the support."""
    _check_cells((c,), (place,), sampler.points(c.names), probability=True)


def check_finite(c: Expression, sampler: Sampler, place: Place) -> None:
    """The cell is a finite number over the support."""
    _check_cells((c,), (place,), sampler.points(c.names), probability=False)


def check_positive(c: Expression, sampler: Sampler, place: Place) -> None:
    """The cell is above zero over the support."""
    points = sampler.points(c.names)
    (values,) = _check_cells((c,), (place,), points, probability=False)
    at = int(np.argmin(values))
    if values[at] <= 0:
        raise place.error(f"expected a number above zero, got {values[at]:.4g}{_where(points, at)}")


def check_column(row: Row, levels: tuple[str, ...], sampler: Sampler) -> float:
    """Cells of a row lie in [0, 1] and sum to one over the support; returns the worst error."""
    return check_distribution(row.cells, row.rest, levels, sampler, row.place)


def check_distribution(
    cells: tuple[Expression, ...],
    rest: int | None,
    levels: tuple[str, ...],
    sampler: Sampler,
    place: Place,
) -> float:
    """As `check_column`, for the cells of a flat table."""
    points = sampler.points(frozenset().union(*(c.names for c in cells)))
    # the remainder last, so that the cell that causes its shortfall is blamed first
    order = sorted(range(len(cells)), key=lambda i: i == rest)
    places = [place / f"cell {levels[i]}{' (rest)' * (i == rest)}" for i in order]
    values = _check_cells([cells[i] for i in order], places, points, probability=True)
    error = np.abs(values.sum(axis=0) - 1)
    at = int(np.argmax(error))
    if error[at] > TOLERANCE:
        total = values[:, at].sum()
        raise place.error(f"the column sums to {total:.6g}, not to 1{_where(points, at)}")
    return float(error[at])


def _check_cells(
    cells: Iterable[Expression],
    places: Iterable[Place],
    points: dict[str, np.ndarray],
    probability: bool,
) -> np.ndarray:
    values = _evaluate(cells, points)
    for c, place, v in zip(cells, places, values, strict=True):
        bad = ~np.isfinite(v)
        if bad.any():
            raise place.error(f"'{c}' is not a number{_where(points, int(np.argmax(bad)))}")
        if not probability:
            continue
        for at in (int(np.argmin(v)), int(np.argmax(v))):
            if not -TOLERANCE <= v[at] <= 1 + TOLERANCE:
                raise place.error(
                    f"'{c}' is {v[at]:.4g}, which is no probability,{_where(points, at)}".rstrip(
                        ","
                    )
                )
    return values

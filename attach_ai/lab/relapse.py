"""How fast things fade or grow, and at how many rates: least squares, compared by AIC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Grid = Float[np.ndarray, " time"]
Curve = tuple[Grid, Grid]  # times, values

TINY = 1e-12  # a residual smaller than this is none
FASTEST = 3.0  # a curve that fades by more than exp(-3) a unit of time cannot be told from a jump


@dataclass(frozen=True)
class Fit:
    """Exponential decay: one rate a group of curves (per unit of time), an amplitude a curve."""

    rates: tuple[float, ...]
    amplitudes: tuple[float, ...]
    aic: float

    @property
    def half_lives(self) -> tuple[float, ...]:
        """ln 2 / rate of each group, in units of time; infinite where nothing fades."""
        return tuple(float(np.log(2) / k) if k > 0 else float("inf") for k in self.rates)


def decay(curves: Sequence[Curve], groups: Sequence[int]) -> Fit:
    """Least-squares y = a exp(-k t), one rate k for all curves of a group, an amplitude for each.

    `groups[i]` is the group of curve i, counted from 0. Curves are scaled to their largest absolute
    value first, so that none rules by its size. AIC = n ln(RSS / n) + 2 (rates + amplitudes + 1).
    """
    scales = [max(float(np.abs(y).max()), TINY) for _, y in curves]
    scaled = [(np.asarray(t, float), y / s) for (t, y), s in zip(curves, scales, strict=True)]
    rates, rss = [], 0.0
    for g in range(max(groups) + 1):
        rate, left = _best(
            [c for c, own in zip(scaled, groups, strict=True) if own == g], 0.0, FASTEST
        )
        rates.append(rate)
        rss += left
    amplitudes = [
        s * _amplitude(c, rates[g]) for c, s, g in zip(scaled, scales, groups, strict=True)
    ]
    n = sum(len(t) for t, _ in curves)
    return Fit(tuple(rates), tuple(amplitudes), _aic(rss, n, len(rates) + len(curves) + 1))


def two_rates(fast: Sequence[Curve], slow: Sequence[Curve]) -> tuple[float, Fit, Fit]:
    """Whether two groups of curves fade at a rate each, or all at one.

    Gives AIC(one rate) - AIC(two), positive where two fit better, and both fits.
    """
    curves = [*fast, *slow]
    one = decay(curves, [0] * len(curves))
    two = decay(curves, [0] * len(fast) + [1] * len(slow))
    return one.aic - two.aic, one, two


def exponential_over_linear(x: Grid, y: Grid) -> float:
    """AIC(y = a + b x) - AIC(y = a exp(b x)), both by least squares on y.

    Positive where growth is exponential in x (an escape over a barrier), negative where it is
    linear (counting).
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    line = float(np.sum((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2))
    # Over the whole range growth by more than exp(8) is no matter of data.
    reach = 8.0 / max(float(np.ptp(x)), TINY)
    _, curved = _best([(x, y)], -reach, reach)
    return _aic(line, len(x), 3) - _aic(curved, len(x), 3)


def _best(curves: Sequence[Curve], low: float, high: float) -> tuple[float, float]:
    """The common rate between `low` and `high`, and the squares it leaves."""
    from scipy.optimize import minimize_scalar

    def left(rates: Any) -> Any:
        rates = np.asarray(rates, float)[..., None]
        rss = 0.0
        for t, y in curves:
            shape = np.exp(-rates * t)
            rss = rss + y @ y - (shape @ y) ** 2 / (shape**2).sum(-1)
        return rss

    # Rates differ by orders of magnitude: a coarse look on a bent grid, then a fine one.
    grid = np.concatenate([np.linspace(low, 0, 60)[:-1], high * np.linspace(0, 1, 120) ** 3])
    best = int(np.argmin(left(grid)))
    edges = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(left, bounds=edges, method="bounded", options={"xatol": 1e-10})
    at = min((float(found.x), float(grid[best])), key=left)
    return at, max(float(left(at)), 0.0)


def _amplitude(curve: Curve, rate: float) -> float:
    """The amplitude that fits best at a rate, in closed form."""
    t, y = curve
    shape = np.exp(-rate * t)
    return float(shape @ y / (shape @ shape))


def _aic(rss: float, n: int, k: int) -> float:
    return float(n * np.log(max(rss / n, TINY)) + 2 * k)

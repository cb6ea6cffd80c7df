"""Where a session leaves a prior as it found it (MODEL.md, "Fixed points")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import xarray

Grid = Float[np.ndarray, " point"]


def fixed_points(x: Grid, drift: Grid) -> list[tuple[float, bool]]:
    """Zeros of a drift known on a grid, by linear interpolation: (place, whether it is stable).

    A drift that points outward at an end of the grid makes that end a stable resting place.
    """
    found: list[tuple[float, bool]] = []
    if drift[0] <= 0:
        found.append((float(x[0]), True))
    for i in range(len(x) - 1):
        a, b = drift[i], drift[i + 1]
        if a * b < 0:
            found.append((float(x[i] + (x[i + 1] - x[i]) * a / (a - b)), bool(a > 0)))
        elif b == 0 and i + 2 < len(x):  # a zero on the grid itself
            found.append((float(x[i + 1]), bool(a > 0 > drift[i + 2])))
    if drift[-1] >= 0:
        found.append((float(x[-1]), True))
    return found


def hysteresis(x: Grid, drift: Float[np.ndarray, "control point"]) -> tuple[Grid, Grid]:
    """Resting places while a control rises, and while it falls again.

    At each value of the control the state goes on to rest from where it rested before, so that a
    difference between the two is a fold, not a lag.
    """

    def follow(order: range, start: float) -> np.ndarray:
        at, path = start, np.empty(len(drift))
        for i in order:
            at = _rest(x, drift[i], at)
            path[i] = at
        return path

    up = follow(range(len(drift)), float(x[-1]))
    down = follow(range(len(drift) - 1, -1, -1), float(up[-1]))
    return up, down


def _rest(x: Grid, drift: Grid, start: float) -> float:
    """The stable place that the flow from `start` comes to."""
    here = np.interp(start, x, drift)
    stable = [p for p, s in fixed_points(x, drift) if s]
    ahead = [p for p in stable if (p >= start if here > 0 else p <= start)]
    return min(ahead, key=lambda p: abs(p - start)) if ahead else start


def settle(
    data: xarray.Dataset,
    kappa: float | None = None,
    *,
    pull: float = 1.0,
    anchor: tuple[float, float] = (0.0, 0.0),
    n_starts: int = 8,
    step: float = 0.2,
) -> list[tuple[float, float]]:
    """Places where (fear, trust) comes to rest when both follow their session map.

    `data` has `fear_after` and `trust_after` over `fear`, `trust` and, where one is named, `kappa`.
    What is learned is drawn to `pull` times the map plus `1 - pull` times `anchor`
    (`evidence_share`). Starts cover the grid; places closer than .05 are one.
    """
    from scipy.interpolate import RegularGridInterpolator

    at = data if kappa is None else data.sel(kappa=kappa)
    axes = (at["fear"].values, at["trust"].values)
    # The map is known for fear of contingency; what a session ends with is P(law is not stable).
    both = np.stack([at["fear_after"].values, at["trust_after"].values], -1)
    after: Any = RegularGridInterpolator(axes, pull * both + (1 - pull) * np.array(anchor))
    low, high = (np.array([a[i] for a in axes]) for i in (0, -1))
    starts = np.meshgrid(*(np.linspace(*ends, n_starts) for ends in zip(low, high, strict=True)))
    p = np.stack([x.ravel() for x in starts], -1)
    for _ in range(400):
        p = np.clip(p + step * (after(p) - p), low, high)
    rests: list[tuple[float, float]] = []
    for f, t in p:
        if all(np.hypot(f - a, t - b) > 0.05 for a, b in rests):
            rests.append((float(f), float(t)))
    return rests


def evidence_share(strength: float, retention: float, eta: float) -> float:
    """What share evidence has in a prior at rest; the anchor has the remainder.

    At rest d = retention d + (1 - retention) d0 + eta q, so that p = (1 - a) p0 + a q(p) with
    a = eta / (eta + strength (1 - retention)) and `strength` the anchor's sum, in observations.
    """
    pull = strength * (1 - retention)
    return eta / (eta + pull) if eta + pull > 0 else 0.0


def two_lumps(x: Grid) -> float:
    """Share of the variance of a sample that lies between its two halves at the best cut.

    About .64 for a normal sample, .75 for a uniform one, 1 for two points; 0 without variance.
    """
    x = np.sort(np.asarray(x, float))
    n = len(x)
    if n < 2 or x[-1] - x[0] < 1e-12:
        return 0.0
    below = np.arange(1, n)
    low = np.cumsum(x)[:-1] / below
    high = (x.sum() - np.cumsum(x)[:-1]) / (n - below)
    between = below * (n - below) / n**2 * (high - low) ** 2
    return float(between.max() / x.var())

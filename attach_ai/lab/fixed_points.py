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
    data: xarray.Dataset, kappa: float, *, n_starts: int = 8, step: float = 0.2
) -> list[tuple[float, float]]:
    """Places where (fear, trust) comes to rest when both follow their session map.

    `data` has `fear_after` and `trust_after` over `kappa`, `fear`, `trust`. Starts cover the grid;
    places closer than .05 are one.
    """
    from scipy.interpolate import RegularGridInterpolator

    at = data.sel(kappa=kappa)
    axes = (at["fear"].values, at["trust"].values)
    # The map is known for fear of contingency; what a session ends with is P(law is not stable).
    both = np.stack([at["fear_after"].values, at["trust_after"].values], -1)
    after: Any = RegularGridInterpolator(axes, both)
    low, high = (np.array([a[i] for a in axes]) for i in (0, -1))
    rests: list[tuple[float, float]] = []
    for f in np.linspace(low[0], high[0], n_starts):
        for t in np.linspace(low[1], high[1], n_starts):
            p = np.array([f, t])
            for _ in range(400):
                p = np.clip(p + step * (after(p)[0] - p), low, high)
            if all(np.hypot(p[0] - a, p[1] - b) > 0.05 for a, b in rests):
                rests.append((float(p[0]), float(p[1])))
    return rests

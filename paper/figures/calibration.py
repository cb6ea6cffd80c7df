"""M2. Ranks of what was true: how far their distribution strays from the uniform one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.fit.checks.uniformity import band
from attach_ai.plot.findings import mark, tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LINE,
    PAGE,
    QUIET,
    SHADE,
    heading,
    panel,
    sheet,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]
Found = Mapping[str, Any]

RANKS = 63
LEVEL = 0.05
FITS = {
    "right": ("The study's own posterior", "every_rank_is_uniform"),
    "wrong": ("People differ more than the prior", "a_wrong_fit_is_found"),
    "blind": ("Never looked at the data", "a_blind_fit_is_found"),
}
HEIGHT = 62.0


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw M2, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "Simulation-based calibration"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(70 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center")
    for i, name in enumerate(n for n in FITS if n in cells):
        _ranks(figure, cells[name], verdict, name, i)
    return figure


def strays(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Share of ranks at most j, less what is expected: (quantity, rank); and the ranks' places."""
    ranks = data["rank"].transpose("quantity", "replicate").values
    expected = np.arange(1, RANKS + 1) / (RANKS + 1)
    return (ranks[..., None] <= np.arange(RANKS)).mean(1) - expected, expected


def _ranks(figure: Figure, data: xr.Dataset, verdict: Found, name: str, i: int) -> None:
    axes = panel(figure, 15 + 57 * i, 18, 46, 34, xlabel="rank of the truth, as a share")
    n, names = data.sizes["replicate"], [str(q) for q in data["quantity"].values]
    away, at = strays(data)
    for level, color in ((1 - LEVEL / len(names), SHADE), (1 - LEVEL, QUIET)):
        expected, low, high = band(n, RANKS, level)
        alpha = 1.0 if color == SHADE else 0.45
        axes.fill_between(at, low - expected, high - expected, color=color, lw=0, alpha=alpha)
    for q, line in zip(names, away, strict=True):
        likelihood = q == "log likelihood"
        color, width = (CAUSE, 1.4) if likelihood else (INK, 0.35)
        axes.plot(at, line, color=color, lw=width, zorder=3 if likelihood else 2)
    axes.axhline(0, color=BLUE, lw=0.5)
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    if i == 0:
        axes.set_ylabel("distribution, less uniform")
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        text = f"{len(names)} quantities, {n} data sets;\n95 % bands of one (dark), of all (light)"
        axes.annotate(text, (0, 0), (3, 3), color=LINE, fontsize=6.5, **place)
        axes.annotate(
            "log likelihood", (1, 1), (-2, -8), color=CAUSE, ha="right", fontsize=6.5, **place
        )
    title, finding = FITS[name]
    heading(axes, "abc"[i], f"{title} {mark(verdict, finding, 'all')}", left=10)

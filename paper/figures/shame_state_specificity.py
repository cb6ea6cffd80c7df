"""F8. What is unlearned of "if I am wrong, I am alone", in which state, and by which route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.plot.findings import robustness, tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    GREEN,
    INK,
    LEVEL,
    LINE,
    PAGE,
    PURPLE,
    QUIET,
    SMALLEST,
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]

WORLDS = {"real": "A real other, who stays", "imagined": "An imagined other, body answering"}
ARMS = {  # practised in which state: colour, name, line
    "ashamed": (CAUSE, "ashamed", "-"),
    "both": (PURPLE, "in between", "-"),
    "accepted": (BLUE, "accepted", "-"),
    "never ashamed": (GREEN, "never ashamed", "-"),
    "ashamed, no practice": (LINE, "ashamed, no practice", (0, (3, 1.6))),
}
PROBED = ("ashamed", "accepted", "ashamed, no practice")
LABELS = {
    f"{name}_{world}": f"{text} ({world})"
    for world in WORLDS
    for name, text in {
        "falls_in_shame": "practice in shame unlearns it",
        "beyond_shame_alone": "… beyond shame alone",
        "no_carry_over": "… outside shame it does not",
        "needs_learned_transitions": "… by learned transitions",
        "probe": "condemned, it keeps the other",
    }.items()
} | {
    "flat_without_practice": "null: shame, nobody, no practice",
    "nothing_to_unlearn": "null: kappa = 0",
}
ASHAMED = 1  # in (accepted, ashamed)
HEIGHT = 172.0


def course(cells: Cells, cell: str, arm: str, name: str = "alone") -> xr.Dataset:
    """`mean`, `low`, `high` of P(alone | ashamed) by boundary, for one arm."""
    at = cells[cell].isel(model=0).sel(condition=arm)
    at = at.isel({f"{name}_1": ASHAMED}).rename({f"{name}_0": "time"})
    mean, error = at[f"{name}_mean"], WIDE * at[f"{name}_se"]
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


def fell(cells: Cells, cell: str, arm: str, name: str = "alone") -> float:
    """How far it came down, mean at the reference."""
    mean = course(cells, cell, arm, name)["mean"]
    return float(mean[0] - mean[-1])


def drawn(cells: Cells, arm: str) -> tuple[float, float]:
    """The same over parameter draws: the span that holds `LEVEL` of them."""
    at = cells["exact.arms.draws"]["alone"].sel(condition=arm).isel(alone_1=ASHAMED)
    falls = at.isel(alone_0=0) - at.isel(alone_0=-1)
    low, high = falls.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2]).values
    return float(low), float(high)


@styled
def draw(cells: Cells, verdict: Mapping[str, Any]) -> Figure:
    """Draw F8, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "If I am wrong, I am alone"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    where = f"{tally(verdict)}; a to d: exact"
    figure.text(60 / PAGE, top, where, color=LINE, fontsize=7.5, va="center")
    for i, world in enumerate(WORLDS):
        _courses(figure, cells, world, 14 + i * 88, "ab"[i])
    _routes(figure, cells)
    _probe(figure, cells)
    axes = robustness(figure, verdict, left=62, top=122, width=117, height=38, labels=LABELS)
    heading(axes[0], "e", "Does each prediction hold, and where?", left=57, above=4.5)
    return figure


def _courses(figure: Figure, cells: Cells, world: str, left: float, letter: str) -> None:
    axes = panel(figure, left, 20, 47, 36, xlabel="sessions behind")
    axes.set_ylabel("learned P(alone | ashamed)")
    names = []
    for arm, (color, name, style) in ARMS.items():
        at = course(cells, "exact.arms.reference", f"{world}, {arm}")
        x = np.arange(at.sizes["time"])
        axes.plot(x, at["mean"], color=color, ls=style)
        axes.fill_between(x, at["low"], at["high"], color=color, alpha=0.18, lw=0)
        names.append((float(at["mean"][-1]), name, color))
    every = [
        course(cells, "exact.arms.reference", f"{w}, {arm}")["mean"] for w in WORLDS for arm in ARMS
    ]
    low, high = min(float(y.min()) for y in every), max(float(y.max()) for y in every)
    axes.set(xlim=(0, x[-1]), ylim=(low - 0.03, high + 0.03))
    axes.set_xticks(sorted({0, int(x[-1]) // 2, int(x[-1])}))
    name_ends(axes, x[-1], names)
    heading(axes, letter, WORLDS[world], left=9)


def _routes(figure: Figure, cells: Cells) -> None:
    """(c) By which route: all, with transitions frozen, and the column alone."""
    axes = panel(figure, 50, 75, 46, 30, xlabel="fall of P(alone | ashamed)")
    rows = [("ashamed", CAUSE), ("accepted", BLUE), ("never ashamed", GREEN)]
    for y, (arm, color) in enumerate(rows):
        whole = fell(cells, "exact.arms.reference", f"real, {arm}")
        axes.barh(y, whole, 0.5, color=color)
        axes.plot(drawn(cells, f"real, {arm}"), [y, y], color=INK, lw=0.7)
    frozen = fell(cells, "exact.frozen.reference", "real, ashamed")
    axes.barh(3, frozen, 0.5, facecolor="white", edgecolor=CAUSE, hatch="////")
    column = fell(cells, "exact.arms.reference", "real, ashamed", "edge")
    axes.barh(4, column, 0.5, facecolor="white", edgecolor=CAUSE)
    for row, arm, color in ((5.4, "ashamed", CAUSE), (6.4, "accepted", BLUE)):
        sure = fell(cells, "exact.arms.reference", f"real, {arm}, sure of the law", "edge")
        axes.barh(row, sure, 0.5, color=color, alpha=0.5)
    axes.set(ylim=(7, -0.6))
    axes.axvline(0, color=QUIET, lw=0.8, zorder=0)
    axes.set_yticks(
        [0, 1, 2, 3, 4, 5.4, 6.4],
        [
            "practised ashamed",
            "accepted",
            "never ashamed",
            "ashamed, transitions frozen",
            "ashamed, the column alone",
            "sure of the law: ashamed",
            "accepted",
        ],
    )
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    text = f"By which route, a real other (line: {LEVEL:.0%} of draws)"
    heading(axes, "c", text, left=45)


def _probe(figure: Figure, cells: Cells) -> None:
    """(d) What condemnation costs, with no practice going on: log-odds after affirmation less."""
    axes = panel(figure, 115, 75, 36, 30, ylabel="cost (nats)")
    at = cells["exact.arms.reference"]["probe_mean"].isel(model=0)
    cost = at.isel(probe_1=0) - at.isel(probe_1=1)
    names = []
    for arm in PROBED:
        color, name, style = ARMS[arm]
        y = cost.sel(condition=f"real, {arm}")
        axes.plot([0, 1], y, "o", color=color, ls=style, ms=3.5)
        names.append((float(y[1]), name, color))
    axes.set(xlim=(-0.15, 1.15), xticks=[0, 1], ylim=(0, 1.1 * axes.get_ylim()[1]))
    axes.set_xticklabels(["before", "after"])
    name_ends(axes, 1.15, names, size=SMALLEST)
    heading(axes, "d", "What condemnation costs (probe, real other)", left=9)

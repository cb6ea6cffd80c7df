"""S3. The fitted member beside the core: trajectories, beliefs after practice, and the drive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from attach_ai.plot.findings import mark, robustness, tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LINE,
    ORANGE,
    PAGE,
    QUIET,
    heading,
    panel,
    sheet,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]
Found = Mapping[str, Any]

ARMS = {"practice": CAUSE, "loop cut": ORANGE, "no practice": LINE, "real other": BLUE}
BELIEFS = {"benevolent": "benevolent", "not stable": "law not stable", "ashamed": "ashamed"}
LABELS = {
    **{f"ranked_alike_{b.replace(' ', '_')}": f"{b}: ranked alike" for b in BELIEFS},
    **{f"near_{b.replace(' ', '_')}": f"{b}: near" for b in BELIEFS},
    "arms_in_the_same_order": "arms in the same order",
    "the_drive_is_near_drawn_outcomes": "drive near drawn outcomes",
}
HEIGHT = 168.0


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw S3, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "The fitted member beside the core"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(80 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center")
    for i, belief in enumerate(BELIEFS):
        _course(figure, cells, belief, i)
        _after(figure, cells, verdict, belief, i)
    _drive(figure, cells)
    axes = robustness(figure, verdict, left=132, top=123, width=48, height=26, labels=LABELS)
    heading(axes[0], "d", "Does each prediction hold?", left=36)
    return figure


def days(n_sessions: int) -> np.ndarray:
    """The day before which each session is lived (five in seven)."""
    n = np.arange(n_sessions)
    return n + 2 * (n // 5)


def _course(figure: Figure, cells: Cells, belief: str, i: int) -> None:
    """(a) Means over the grid: the core, and the other with a step a day and a step a week."""
    axes = panel(figure, 14 + 56 * i, 25, 46, 34, xlabel="day")
    core, waves, weeks = (cells[n]["mean"] for n in ("core.grid", "waves.grid", "waves.weeks"))
    at = days(core.sizes["session"])
    for arm, color in ARMS.items():
        one = {"arm": arm, "belief": belief}
        axes.plot(at, core.sel(one).mean("point"), color=color, lw=1.6)
        daily = waves.sel(one).mean("point")
        axes.plot(daily["day"], daily, color=color, lw=0.9, ls=(0, (3, 1.5)))
        weekly = weeks.sel(one).mean("point")
        axes.plot(7 * weekly["day"], weekly, color=color, lw=0.8, ls=":", marker=".", ms=3)
    axes.set(xlim=(0, at[-1]), ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if i == 0:
        axes.set_ylabel("probability")
    text = f"P({BELIEFS[belief]})"
    heading(axes, "a" if i == 0 else "", text, left=9 if i == 0 else 0)
    if i == 0:
        _legend(axes)


def _legend(axes: Any) -> None:
    rows: list[tuple[str, str, Any]] = [(name, color, "-") for name, color in ARMS.items()]
    rows += [
        ("core", INK, "-"),
        ("fitted member, a step a day", INK, (0, (3, 1.5))),
        ("a step a week", INK, ":"),
    ]
    for name, color, style in rows:
        axes.plot([], [], color=color, ls=style, label=name)
    axes.legend(
        loc="lower left", ncols=7, bbox_to_anchor=(-0.2, 1.2), borderpad=0, columnspacing=1.2
    )


def _after(figure: Figure, cells: Cells, verdict: Found, belief: str, i: int) -> None:
    """(b) After the last session, at each point of the grid."""
    axes = panel(figure, 14 + 56 * i, 74, 34, 34, xlabel="core")
    core, waves = cells["core.grid"]["mean"], cells["waves.grid"]["mean"]
    last = float(days(core.sizes["session"])[-1])
    axes.plot([0, 1], [0, 1], color=QUIET, lw=0.7)
    for arm, color in ARMS.items():
        one = {"arm": arm, "belief": belief}
        x, y = core.sel(one).isel(session=-1), waves.sel(one).interp(day=last)
        axes.plot(x, y, ".", color=color, ms=3, mew=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    if i == 0:
        axes.set_ylabel("fitted member, a step a day")
    said = mark(verdict, f"ranked_alike_{belief.replace(' ', '_')}", "all")
    heading(axes, "b" if i == 0 else "", f"At the end {said}", left=9 if i == 0 else 0)


def _drive(figure: Figure, cells: Cells) -> None:
    """(c) What the drive expects, beside the mean of lives with drawn outcomes."""
    lives = cells["waves.lives"]
    for i, belief in enumerate(("benevolent", "ashamed")):
        axes = panel(figure, 14 + 40 * i, 123, 32, 30, xlabel="day")
        for arm, color in ARMS.items():
            at = lives.sel(arm=arm, belief=belief).mean("point")
            axes.plot(at["day"], at["mean"], color=color, lw=1.4)
            axes.plot(at["day"], at["drive"], color=color, lw=0.9, ls=(0, (3, 1.5)))
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if i == 0:
            axes.set_ylabel("probability")
        text = f"P({belief}): lives –, drive - -"
        heading(axes, "c" if i == 0 else "", text, left=9 if i == 0 else 0)

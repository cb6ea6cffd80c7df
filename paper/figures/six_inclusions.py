"""F2. The signatures of six ways to include a cause, and what it costs to believe from little."""

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
    ORANGE,
    PAGE,
    PURPLE,
    QUIET,
    SKY,
    SMALLEST,
    VERMILLION,
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]

COLORS = {
    "field": CAUSE,
    "clamp": PURPLE,
    "condition": BLUE,
    "prior_change": ORANGE,
    "precision": SKY,
    "expand": GREEN,
    "none": LINE,
}
MARKS = {
    "during": "while\nit acts",
    "released": "one step\nafter",
    "next": "next\nsession",
    "parents": "moves\nthe law",
    "body": "follows\nthe body",
    "at_zero": "works at\nP = 0",
}
LABELS = {
    **{f"signature_of_{name}": f"signature of {words(name)}" for name in COLORS},
    "signatures_differ": "no two alike",
    "held_not_suppressed": "held is not suppressed",
    "wrong_level_does_nothing": "null: the wrong level",
    "linear_in_log": "linear in ln(1/ε)",
    "slope_is_one_over_kl": "slope 1/KL",
    "zero_needs_inclusion": "zero needs inclusion",
    "saves_more_the_less_mass": "saves more, the less mass",
    "saves_nothing_at_a_fifth": "null: ε = .2",
}
HEIGHT = 190.0


# ------------------------------------------------------------------ frames


def care(cells: Cells, stance: str) -> xr.Dataset:
    """Steps until believed at the reference: `mean`, `low`, `high`, by ln(1/epsilon)."""
    at = cells["exact.care.reference"].isel(model=0)
    at = at.sel(condition=[c for c in at["condition"].values if c.startswith(stance)])
    depth = [np.log(1 / float(str(c).split(", ")[1])) for c in at["condition"].values]
    mean, error = at["steps_mean"], WIDE * at["steps_se"]
    frame = xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})
    return frame.assign_coords(depth=("condition", depth))


def held(cells: Cells, world: str, mark: str, rows: list[str]) -> xr.DataArray:
    """A mark at the reference under each operator: (epsilon, operator), zero first."""
    at = cells["exact.replay.reference"].isel(model=0)
    names = [c for c in at["condition"].values if c.startswith(world)]
    frame = at[f"{mark}_mean"].sel(condition=names).rename({f"{mark}_0": "operator"})
    depth = [float(str(c).split(", ")[1]) for c in names]
    frame = frame.rename(condition="epsilon").assign_coords(epsilon=depth, operator=rows)
    return frame.sortby("epsilon")


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Mapping[str, Any]) -> Figure:
    """Draw F2, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "Six ways to include a cause"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    where = f"{tally(verdict)}; a to c: exact"
    figure.text(66 / PAGE, top, where, color=LINE, fontsize=7.5, va="center")
    _grid(figure, cells)
    _cromwell(figure, cells, verdict)
    _by_mass(figure, cells)
    axes = robustness(figure, verdict, left=48, top=128, width=131, height=50, labels=LABELS)
    heading(axes[0], "d", "Does each prediction hold, and where?", left=43, above=4.5)
    return figure


def _grid(figure: Figure, cells: Cells) -> None:
    """(a) Operators by marks: dark where the mark is there, framed where that was not declared."""
    frame = cells["exact.signatures.reference"]
    share = cells["exact.signatures.draws"]["shown"]
    axes = panel(figure, 24, 25, 78, 38)
    for i, name in enumerate(frame["operator"].values):
        for j, mark in enumerate(MARKS):
            at = frame.sel(operator=name, mark=mark)
            shown, size = bool(at["shown"] > 0.5), float(at["size"])
            color = COLORS[str(name)]
            face = color if shown else "white"
            axes.add_patch(_cell(j, i, face, QUIET, 0.4))
            if shown != bool(at["declared"]):
                axes.add_patch(_cell(j, i, "none", VERMILLION, 1.6))
            ink = "white" if shown and color not in (ORANGE, SKY) else INK
            text = f"{size:.2f}" if abs(size) >= 0.005 else "0"
            axes.text(j, i - 0.15, text, ha="center", va="center", color=ink, fontsize=7)
            drawn = f"{float(share.sel(operator=name, mark=mark)):.0%}"
            axes.text(j, i + 0.26, drawn, ha="center", va="center", color=ink, fontsize=SMALLEST)
    axes.set(xlim=(-0.5, len(MARKS) - 0.5), ylim=(frame.sizes["operator"] - 0.5, -0.5))
    axes.set_xticks(range(len(MARKS)), list(MARKS.values()))
    axes.xaxis.tick_top()
    axes.set_yticks(
        range(frame.sizes["operator"]), [words(str(n)) for n in frame["operator"].values]
    )
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    heading(
        axes, "a", "Signatures (small: share of draws; frame: not as declared)", left=19, above=9
    )


def _cell(x: float, y: float, face: str, edge: str, width: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, facecolor=face, edgecolor=edge, lw=width)


def _cromwell(figure: Figure, cells: Cells, verdict: Mapping[str, Any]) -> None:
    """(b) Steps of real care until the other is believed in."""
    axes = panel(figure, 119, 20, 38, 43, xlabel="ln(1/ε)", ylabel="steps of care until P > .5")
    forced, free = care(cells, "maintain"), care(cells, "free")
    draws = cells["exact.care.draws"]["steps"].sel(condition=forced["condition"].values)
    low, high = draws.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2], "model").values
    axes.fill_between(forced["depth"], low, high, color=QUIET, alpha=0.35, lw=0)
    axes.errorbar(
        forced["depth"],
        forced["mean"],
        [forced["mean"] - forced["low"], forced["high"] - forced["mean"]],
        fmt="o",
        color=BLUE,
        ms=3.5,
        lw=1,
    )
    axes.plot(free["depth"], free["mean"], "o", mfc="white", color=BLUE, ms=3.5)
    at = cells["exact.care.reference"].isel(model=0)
    says = float(at["says_mean"].isel(condition=0))
    x = np.array([0.0, float(forced["depth"].max())])
    start = float(forced["mean"].mean() - forced["depth"].mean() / says)
    axes.plot(x, start + x / says, color=INK, lw=0.8, ls=(0, (3, 2)))
    included = float(at["included_steps_mean"].isel(condition=0))
    axes.axhline(included, color=GREEN, lw=1)
    axes.set(xlim=(0, x[1] * 1.05), ylim=(0, 1.5 * float(forced["mean"].max())))
    ends = [
        (float(forced["mean"].max()), "care alone", BLUE),
        (start + x[1] / says - 1.5, "slope 1/KL", INK),
        (included, "after inclusion", GREEN),
        (1.45 * float(forced["mean"].max()), "at P = 0: never", LINE),
    ]
    name_ends(axes, axes.get_xlim()[1], ends)
    heading(axes, "b", "When inclusion is needed (○ free choice)", left=9)


def _by_mass(figure: Figure, cells: Cells) -> None:
    """(c) Belief in the other by prior mass, while an operator acts and at the next session."""
    rows = [str(x) for x in cells["exact.signatures.rows"]["row"].values]
    place = 0
    for world, title in (("real", "real"), ("imagined", "imagined")):
        for mark, text in (("during", "while it acts"), ("next", "next session")):
            axes = panel(figure, 14 + place * 38, 82, 32, 30, xlabel="prior mass ε")
            frame = held(cells, world, mark, rows)
            names = []
            for name in [n for n in COLORS if n in rows]:
                at = frame.sel(operator=name)
                known = (
                    slice(0, 1) if name == "expand" else slice(1 if name == "clamp" else 0, None)
                )
                y = at.isel(epsilon=known)
                x = np.arange(at.sizes["epsilon"])[known]
                style: Any = (0, (3, 2)) if name == "none" else "-"
                axes.plot(x, y, ls=style, marker="o", color=COLORS[name], ms=2.2, lw=1)
                names.append((float(y[-1]), words(name), COLORS[name]))
            axes.set(ylim=(-0.03, 1.03))
            _masses(axes, frame["epsilon"].values)
            if place:
                axes.set_yticklabels([])
            else:
                axes.set_ylabel("P(benevolent)")
            if place == 3:
                _key(axes, names)
            axes.set_title(f"{title} other, {text}", fontsize=SMALLEST + 0.3, color=LINE)
            if place == 0:
                heading(
                    axes, "c", "The same outcomes, replayed under each operator", left=9, above=6
                )
            place += 1


def _masses(axes: Axes, epsilons: np.ndarray) -> None:
    short = {0.0: "0", 1e-6: "$10^{-6}$", 0.01: ".01", 0.2: ".2"}
    axes.set_xticks(range(len(epsilons)), [short.get(float(e), "") for e in epsilons])


def _key(axes: Axes, names: list[tuple[float, str, str]]) -> None:
    for i, (_, name, color) in enumerate(names):
        axes.text(
            1.05,
            0.98 - 0.13 * i,
            name,
            transform=axes.transAxes,
            color=color,
            fontsize=SMALLEST,
            va="top",
        )

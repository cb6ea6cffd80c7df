"""F12. What practice does to an old trace of shame, by mismatch and by its place in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.plot.findings import mark, robustness, tally
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
    SMALLEST,
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]
Found = Mapping[str, Any]

ARMS = {
    "short gap": ("after, short gap", CAUSE),
    "long gap": ("after, long gap", ORANGE),
    "practice first": ("before", BLUE),
    "no reminder": ("no reminder", LINE),
}
GAPS = {"short gap": "3", "gap 10": "10", "gap 30": "30", "long gap": "100", "no reminder": "none"}
ALPHAS = {
    "alpha / 10": ("α = .01", "#F4A582"),
    "kernel": ("α = .1", CAUSE),
    "alpha x 10": ("α = 1", "#7F2704"),
}
WITHOUT = {
    "no new causes": ("no new causes", GREEN),
    "flat kernel": ("flat kernel", LINE),
    "only new causes": ("only new causes", PURPLE),
}
ORDERS = {
    "alpha / 10": "α = .01",
    "kernel": "α = .1",
    "alpha x 10": "α = 1",
    "only new causes": "only new causes",
    "flat kernel": "flat kernel (null)",
    "lability, flat kernel": "lability, flat (built in)",
}
LABELS = {
    "inverted_u_in_mismatch": "most change between the ends",
    "too_much_opens_a_new_cause": "too much: a new cause",
    "too_much_brings_the_old_back": "too much: the old returns",
    "after_beats_before": "after beats before",
    "reminder_beats_none": "a reminder beats none",
    "short_gap_beats_long": "a short gap beats a long one",
    "order_needs_the_kernel": "order needs the kernel",
    "optimum_needs_new_causes": "the optimum needs new causes",
}
HEIGHT = 172.0


# ------------------------------------------------------------------ frames


def effects(cells: Cells, variable: str, conditions: list[str]) -> xr.Dataset:
    """`mean`, `low` and `high` (of the mean) at the reference: (condition, mismatch)."""
    at = cells["reference"][variable].sel(condition=conditions)
    mean, error = at.sel(of="mean", drop=True), WIDE * at.sel(of="se", drop=True)
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


def orders(cells: Cells) -> xr.Dataset:
    """How much more practice does after the reminder than before it: (effect, memory)."""
    at = cells["order"].sel(memory=list(ORDERS)).to_dataarray("effect")
    mean, error = at.sel(of="mean", drop=True), WIDE * at.sel(of="se", drop=True)
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


def by_gap(cells: Cells, memory: str) -> xr.DataArray:
    """Change of the old trace: (gap, mismatch)."""
    names = [f"{memory}, {arm}" for arm in GAPS]
    at = effects(cells, "changed", names)["mean"].rename(condition="gap")
    return at.assign_coords(gap=list(GAPS.values()))


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw F12, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top, title = 1 - 4.5 / HEIGHT, "The reconsolidation window"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(62 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center")
    _arms(figure, cells, verdict)
    _gaps(figure, cells)
    _alphas(figure, cells)
    _ablations(figure, cells, verdict)
    _orders(figure, cells)
    axes = robustness(figure, verdict, left=132, top=130, width=44, height=30, labels=LABELS)
    heading(axes[0], "g", "Does each prediction hold, and where?", left=42, above=4.5)
    return figure


def _arms(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(a to c) Trace, test and new causes over mismatch, by where the reminder stands."""
    panels = {
        "changed": ("a", "Change of the old trace", "inverted_u_in_mismatch"),
        "repair": ("b", "What comes back at the test", "too_much_brings_the_old_back"),
        "causes": ("c", "New causes", "too_much_opens_a_new_cause"),
    }
    for i, (variable, (letter, title, finding)) in enumerate(panels.items()):
        axes = panel(figure, 14 + 59 * i, 24, 46, 36, xlabel="mismatch")
        frame = effects(cells, variable, [f"kernel, {arm}" for arm in ARMS])
        for arm, (_, color) in ARMS.items():
            at = frame.sel(condition=f"kernel, {arm}")
            _line(axes, at, color, lw=1.8 if arm == "short gap" else 1.0)
        axes.axhline(0, color=INK, lw=0.6)
        if variable in cells["draws"]:
            swept = cells["draws"][variable]
            low, high = swept.isel(quantile=0), swept.isel(quantile=-1)
            axes.plot(swept["mismatch"], low, color=QUIET, lw=0.7, ls=(0, (3, 2)))
            axes.plot(swept["mismatch"], high, color=QUIET, lw=0.7, ls=(0, (3, 2)))
        _mismatch(axes)
        heading(axes, letter, f"{title} {mark(verdict, finding, 'all')}", left=9)
        axes.set_ylabel("causes opened" if variable == "causes" else "fall of P(shame)")
    down = 1 - 11.5 / HEIGHT
    for at_mm, (name, color) in zip((5, 42, 68, 81), ARMS.values(), strict=True):
        name = f"practice {name}" if at_mm == 5 else name
        style: dict[str, Any] = {"fontsize": SMALLEST + 0.5, "va": "center"}
        figure.text(at_mm / PAGE, down, f"— {name}", color=color, **style)
    text = f"P(shame): mean of alarm, condemn; dashed: {LEVEL:.0%} of draws"
    figure.text(175 / PAGE, down, text, color=LINE, fontsize=SMALLEST, va="center", ha="right")


def _gaps(figure: Figure, cells: Cells) -> None:
    """(d) The window: mismatch against the gap, with the null beside it."""
    from matplotlib.colors import PowerNorm

    maps = {m: by_gap(cells, m) for m in ("kernel", "flat kernel")}
    top = max(float(m.max()) for m in maps.values())
    for i, (memory, values) in enumerate(maps.items()):
        axes = panel(figure, 14 + i * 32, 80, 29, 27, xlabel="mismatch")
        mesh = axes.pcolormesh(
            values["mismatch"],
            np.arange(values.sizes["gap"]),
            values,
            cmap="Oranges",
            norm=PowerNorm(0.5, 0, top, clip=True),
            shading="nearest",
            rasterized=True,
        )
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_yticks(range(values.sizes["gap"]), list(values["gap"].values) if i == 0 else [])
        name = "power law in time" if memory == "kernel" else "flat kernel (null)"
        axes.set_title(name, color=LINE, fontsize=7, pad=2)
        if i == 0:
            axes.set_ylabel("gap after reminder")
            heading(axes, "d", "Change of the old trace by gap", left=9, above=4.5)
    bar = panel(figure, 77, 80, 2, 27)
    figure.colorbar(mesh, cax=bar).set_label("fall of P(shame)")


def _alphas(figure: Figure, cells: Cells) -> None:
    """(e) How readily new causes come."""
    axes = panel(figure, 106, 80, 20, 27, xlabel="mismatch", ylabel="fall of P(shame)")
    names = []
    for memory, (name, color) in ALPHAS.items():
        at = effects(cells, "changed", [f"{memory}, short gap"]).isel(condition=0)
        _line(axes, at, color)
        names.append((float(at["mean"].isel(mismatch=-3)), name, color))
    axes.axhline(0, color=INK, lw=0.6)
    _mismatch(axes)
    name_ends(axes, 1.0, names)
    heading(axes, "e", "By α, and with one thing taken away", left=9, above=4.5)
    axes.set_title("by α", color=LINE, fontsize=7, pad=2)


def _ablations(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(e, right) What is left without one part of memory."""
    axes = panel(figure, 145, 80, 13, 27, xlabel="mismatch")
    names = []
    for memory, (name, color) in WITHOUT.items():
        at = effects(cells, "changed", [f"{memory}, short gap"]).isel(condition=0)
        _line(axes, at, color)
        names.append((float(at["mean"].isel(mismatch=-1)), name, color))
    axes.axhline(0, color=INK, lw=0.6)
    _mismatch(axes)
    name_ends(axes, 1.0, names)
    passed = mark(verdict, "optimum_needs_new_causes", "all")
    axes.set_title(f"without … {passed}", color=LINE, fontsize=7, pad=2)


def _orders(figure: Figure, cells: Cells) -> None:
    """(f) After against before, in the trace and at the test, with the published direction."""
    frame = orders(cells)
    axes = panel(figure, 42, 130, 42, 30, xlabel="after the reminder minus before it")
    looks = {"changed": (-0.15, CAUSE, "old trace"), "repair": (0.15, BLUE, "at the test")}
    for effect, (shift, color, name) in looks.items():
        at = frame.sel(effect=effect)
        rows = np.arange(len(ORDERS)) + shift
        axes.hlines(rows, at["low"], at["high"], color=color, lw=1.8)
        axes.plot(at["mean"], rows, "o", color=color, ms=4, label=name)
    axes.axvline(0, color=INK, lw=0.6)
    axes.set(ylim=(len(ORDERS) - 0.4, -1.4))
    axes.set_yticks(range(len(ORDERS)), list(ORDERS.values()))
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    right = axes.get_xlim()[1]
    axes.annotate(
        "",
        (0.75 * right, -0.9),
        (0, -0.9),
        arrowprops={"arrowstyle": "->", "color": INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0},
    )
    axes.text(
        0,
        -0.9,
        "Selcuk et al. 2012, direction only ",
        fontsize=SMALLEST,
        ha="right",
        va="center",
        color=INK,
    )
    axes.legend(loc="center right", borderpad=0, handletextpad=0.2)
    heading(axes, "f", "After the reminder, or before it?", left=37, above=4.5)


def _mismatch(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])


def _line(axes: Axes, frame: xr.Dataset, color: str, **style: Any) -> None:
    """A mean over mismatch with the interval of the mean."""
    x = frame["mismatch"]
    axes.plot(x, frame["mean"], color=color, **style)
    axes.fill_between(x, frame["low"], frame["high"], color=color, alpha=0.18, lw=0)

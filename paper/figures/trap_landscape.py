"""S2. The trap as a place in a landscape of surprise, and how long it takes to leave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.lab.relapse import decay
from attach_ai.plot.findings import mark, robustness, tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LINE,
    PAGE,
    QUIET,
    SHADE,
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]
Found = Mapping[str, Any]

TRAP = 0.05
WORLDS = {"own": ("the life it believes in", CAUSE), "real": ("a real other", BLUE)}
LABELS = {
    "cheap_under_its_own_model": "cheap under its own model",
    "dear_under_the_world": "dear under the world's",
    "dearer_than_the_life_it_believes_in": "dearer than the life believed in",
    "a_barrier_before_the_way_out": "a barrier before the way out",
    "exponential_in_concentration": "time exponential in concentration",
}
HEIGHT = 122.0


# ------------------------------------------------------------------ frames


def landscape(cells: Cells, perception: str) -> xr.Dataset:
    """Mean surprise in nats a step with the interval of its mean: (world, trust)."""
    at = cells[f"{perception}.landscape.reference"].isel(model=0)
    names = [str(c) for c in at["condition"].values]
    trusts = sorted({float(n.split(", ")[1]) for n in names})
    grid = xr.DataArray(
        [[f"{w}, {x}" for x in trusts] for w in WORLDS],
        {"world": list(WORLDS), "trust": trusts},
        ("world", "trust"),
    )
    at = at.sel(condition=grid)
    mean, error = at["surprise_mean"], WIDE * at["surprise_se"]
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


def escape(cells: Cells, perception: str) -> xr.Dataset:
    """Sessions to leave with the interval of the mean: (condition, concentration)."""
    at = cells[f"{perception}.escape.reference"].isel(model=0)
    mean, error = at["time_mean"], WIDE * at["time_se"]
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw S2, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "The trap in a landscape of surprise"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(80 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center")
    found = [p for p in ("exact", "mean_field") if f"{p}.landscape.reference" in cells]
    for i, p in enumerate(found):
        _landscape(figure, cells, verdict, p, i)
    _fear(figure, cells)
    _times(figure, cells, verdict)
    _forgetting(figure, cells, verdict)
    axes = robustness(figure, verdict, left=134, top=82, width=46, height=20, labels=LABELS)
    heading(axes[0], "e", "Does each prediction hold, and where?", left=34, above=4.5)
    return figure


def _landscape(figure: Figure, cells: Cells, verdict: Found, p: str, i: int) -> None:
    """(a) What each prior trust pays in two lives."""
    axes = panel(figure, 14 + i * 45, 22, 38, 36, xlabel="prior trust of the mind")
    frame = landscape(cells, p)
    ends = []
    for world, (name, color) in WORLDS.items():
        at = frame.sel(world=world)
        axes.plot(at["trust"], at["mean"], color=color, marker="o", ms=2.6)
        axes.fill_between(at["trust"], at["low"], at["high"], color=color, alpha=0.18, lw=0)
        best = at["mean"].argmin("trust")
        axes.plot(at["trust"][best], at["mean"][best], "o", mfc="white", mec=color, ms=6, mew=1.2)
        ends.append((float(at["mean"][-1]), name, color))
    axes.axvline(TRAP, color=QUIET, ls=(0, (3, 2)), lw=0.8)
    low, high = float(frame["low"].min()), float(frame["high"].max())
    axes.set(xlim=(0, 1), ylim=(low - 0.08 * (high - low), high + 0.22 * (high - low)))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.annotate(
        "trap", (TRAP, 1), (2, -1), xycoords=("data", "axes fraction"),
        textcoords="offset points", color=LINE, fontsize=6.5, va="top",
    )  # fmt: skip
    axes.set_title(words(p), color=LINE, fontsize=7, pad=2)
    if i == 0:
        axes.set_ylabel("surprise (nats a step)")
        text = f"Surprise by prior trust (○ lowest) {mark(verdict, 'dear_under_the_world', p)}"
        heading(axes, "a", text, left=9, above=4.5)
        _legend(axes)


def _legend(axes: Any) -> None:
    for i, (name, color) in enumerate(WORLDS.values()):
        axes.annotate(
            name, (1, 1), (-2, -1 - 9 * i), xycoords="axes fraction",
            textcoords="offset points", color=color, fontsize=6.5, ha="right", va="top",
        )  # fmt: skip


def _fear(figure: Figure, cells: Cells) -> None:
    """(b) The same over fear of loss: what is paid beyond each life's best."""
    data = cells["exact.fear"]["surprise"]
    beyond = data - data.min(("fear", "trust"))
    for i, (world, (name, color)) in enumerate(WORLDS.items()):
        axes = panel(figure, 114 + i * 31, 22, 26, 36, xlabel="prior trust")
        at = beyond.sel(world=world)
        shade = axes.contourf(
            at["trust"], at["fear"], at, levels=np.linspace(0, float(beyond.max()) + 1e-9, 9),
            cmap="Greys",
        )  # fmt: skip
        axes.plot(TRAP, 0.5, "s", mfc="white", mec=CAUSE, ms=4.5, mew=1.2)
        axes.set_title(name, color=color, fontsize=7, pad=2)
        axes.set_xticks([0.1, 0.5, 0.9], [".1", ".5", ".9"])
        if i == 0:
            axes.set_ylabel("fear of loss")
            text = f"Beyond the best, dark {float(beyond.max()):.2f} nats (□ trap; exact)"
            heading(axes, "b", text, left=9, above=4.5)
        else:
            axes.set_yticklabels([])
        shade.set_rasterized(True)


def _times(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(c) Sessions to leave, and the two laws."""
    axes = panel(figure, 14, 82, 34, 28, xlabel="concentration (× 10 counts)")
    at = escape(cells, "exact").sel(condition="kept")
    x, y = at["concentration"].values, at["mean"].values
    axes.errorbar(x, y, at["high"] - at["mean"], fmt="o", color=INK, ms=3.4, lw=0.9, zorder=3)
    fine = np.linspace(0, x[-1], 100)
    line = np.polyval(np.polyfit(x, y, 1), fine)
    # Growth is decay of the same curve read from its far end.
    fit = decay([(x[-1] - x, y)], [0])
    curve = fit.amplitudes[0] * np.exp(-fit.rates[0] * (x[-1] - fine))
    axes.plot(fine, line, color=BLUE, lw=1.1)
    axes.plot(fine, curve, color=CAUSE, lw=1.1, ls=(0, (4, 2)))
    axes.set(xlim=(0, x[-1] * 1.04), ylim=(0, None))
    axes.set_ylabel("sessions until trust > .5")
    names = [(float(line[-1]), "counting", BLUE), (float(curve[-1]), "barrier", CAUSE)]
    name_ends(axes, float(fine[-1]) * 1.04, names)
    text = f"Time to leave {mark(verdict, 'exponential_in_concentration', 'exact')}"
    heading(axes, "c", text, left=9, above=2.5)


def _forgetting(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(d) With anchored forgetting the way closes."""
    axes = panel(figure, 74, 82, 22, 28, xlabel="concentration", ylabel="minds that left")
    rows = (f for f in verdict["outcomes"] if f["name"] == "forgetting_closes_the_way")
    m = next(rows)["measured"]
    left = {float(k[8:]): v for k, v in m.items() if k.startswith("left_at_")}
    axes.axvspan(m["closes_at_for_q_.9"], m["closes_at_for_q_1"], color=SHADE, lw=0)
    axes.plot(list(left), list(left.values()), color=INK, marker="o", ms=3)
    axes.set(xlim=(0, max(left) * 1.04), ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])
    heading(axes, "d", "With forgetting", left=9, above=2.5)

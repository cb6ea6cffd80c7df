"""F1. Attachment style as a function of how often the caregiver answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.plot.findings import robustness, tally
from attach_ai.plot.style import (
    BLUE,
    INK,
    LINE,
    ORANGE,
    PAGE,
    PURPLE,
    QUIET,
    SMALLEST,
    WIDE,
    heading,
    panel,
    sheet,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]

# In the model's order; stacked from the last to the first.
BIDS = {"open": BLUE, "guarded": ORANGE, "none": PURPLE}
WORDS = {"none": "avoid", "guarded": "guarded", "open": "seek"}
# Second-hand [U]: where the paper finds each style.
RANGES = {"avoidant": (0.0, 0.15), "ambivalent": (0.3, 0.4), "secure": (0.85, 1.0)}
NULLS = {
    "shuffled": "shuffled feedback",
    "unlearned": "nothing learned",
    "indifferent": "no preferences",
}
HISTORIES = (0.1, 0.35, 0.9)
LABELS = {
    "three_ordered_bands": "three ordered bands",
    "boundaries_where_published": "boundaries as published [U]",
    "avoidant": "q ≤ .15: avoid",
    "ambivalent": "q .3 to .4: guarded seek",
    "secure": "q ≥ .85: seek",
    "needs_the_link": "needs the act's outcome",
}
HEIGHT = 157.0


# ------------------------------------------------------------------ frames


def reference(cells: Cells, name: str = "exact.main.reference") -> xr.Dataset:
    """What the reference point gives, over the one model: (arm, q, bid), courses by exchange."""
    return cells[name].isel(model=0)


def measured(verdict: Mapping[str, Any], name: str) -> dict[str, float]:
    """The figures behind one finding."""
    return next(f["measured"] for f in verdict["outcomes"] if f["name"] == name)


def boundaries(verdict: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Mean, low and high of each boundary at the reference."""
    found = measured(verdict, "three_ordered_bands")
    return {
        k: (found[k], found[k] - WIDE * found[f"{k}_se"], found[k] + WIDE * found[f"{k}_se"])
        for k in ("lower", "upper")
    }


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Mapping[str, Any]) -> Figure:
    """Draw F1, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "One learned number, three styles?"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    words = f"{tally(verdict)}; [U]: of the paper, known second-hand"
    figure.text(78 / PAGE, top, words, color=LINE, fontsize=7.5, va="center")
    _styles(figure, reference(cells), verdict)
    _nulls(figure, reference(cells))
    _worth(figure, reference(cells))
    _courses(figure, reference(cells))
    _precisions(figure, cells["exact.precision"])
    _draws(figure, cells["exact.main.draws"])
    axes = robustness(figure, verdict, left=126, top=119, width=48, height=24, labels=LABELS)
    heading(axes[0], "g", "Does each prediction hold, and where?", left=35, above=4.5)
    return figure


def _styles(figure: Figure, frame: xr.Dataset, verdict: Mapping[str, Any]) -> None:
    """(a) What the infant does after its exchanges, by how often the caregiver answers."""
    axes = panel(figure, 14, 19, 72, 40, ylabel="probability of the bid")
    at = frame.sel(arm="care")
    _stack(axes, at["q"].values, at["policy_mean"])
    for x, name in ((0.08, "none"), (0.56, "guarded"), (0.84, "open")):
        axes.text(x, 0.4, WORDS[name], color="white", fontweight="bold", ha="center", va="center")
    axes.set_xlabel("q: how often the caregiver answers a bid")
    for style, (low, high) in RANGES.items():
        axes.plot([low, high], [1.045] * 2, color=INK, lw=2.2, clip_on=False)
        axes.text((low + high) / 2, 1.075, f"{style} [U]", ha="center", fontsize=SMALLEST)
    ends = measured(verdict, "who_stops_asking_stops_learning")
    for name, (mean, low, high) in boundaries(verdict).items():
        axes.axvline(ends[f"{name}_known"], color="white", lw=1, ls=(0, (3, 2)))
        axes.plot([low, high], [0.03] * 2, color=INK, lw=2.4, solid_capstyle="butt")
        axes.plot(mean, 0.03, "o", color=INK, ms=3.6)
        tried = ends[f"{name}_tried"]
        axes.plot(tried, 0.03, "o", mec=INK, mfc="white", mew=1, ms=3.6)
    text = "Boundaries: ● chooses its bids  ○ tries every bid  ┊ knows q"
    heading(axes, "a", text, left=9, above=6.5)


def _nulls(figure: Figure, frame: xr.Dataset) -> None:
    """(b) Where nothing may happen, and what breaks it."""
    for i, (arm, text) in enumerate(NULLS.items()):
        axes = panel(figure, 97 + 28.5 * i, 19, 24.5, 40, xlabel="q")
        at = frame.sel(arm=arm)
        _stack(axes, at["q"].values, at["policy_mean"])
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        if i:
            axes.set_yticklabels([])
        heading(axes, "", text, above=1)
    heading(figure.axes[-3], "b", "Null (shuffled), and its causes taken out", left=5, above=6.5)


def _worth(figure: Figure, frame: xr.Dataset) -> None:
    """(c) Why: what a bid is worth to one who knows q."""
    axes = panel(figure, 14, 76, 45, 28, xlabel="q", ylabel="worth of a bid (nats)")
    at = frame.sel(arm="care")
    for i, color in enumerate(BIDS.values()):
        value, payoff = at["value_mean"].isel(bid=i), at["pragmatic_mean"].isel(bid=i)
        axes.plot(at["q"], value, color=color)
        axes.plot(at["q"], payoff, color=color, lw=0.8, ls=(0, (2, 1.5)))
    axes.axhline(0, color=QUIET, lw=0.6, zorder=0)
    axes.set(xlim=(0, 1), ylim=(-2.1, 2.1))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    words = "solid: preference + information\ndashed: preference alone"
    axes.text(0.99, -2, words, fontsize=SMALLEST, va="bottom", ha="right")
    heading(axes, "c", "Guarded seeking lives on uncertainty", left=9)


def _courses(figure: Figure, frame: xr.Dataset) -> None:
    """(d) How a style comes about."""
    for i, q in enumerate(HISTORIES):
        axes = panel(figure, 70 + 20 * i, 76, 17, 28)
        at = frame.sel(arm="care").sel(q=q, method="nearest")
        course = at["course_mean"]
        _stack(axes, course["exchange"].values, course)
        axes.locator_params("x", nbins=2)
        axes.set_title(f"q = {q:g}".replace("0.", "."), pad=2, color=LINE, fontsize=7)
        if i:
            axes.set_yticklabels([])
        if i == 1:
            axes.set_xlabel("exchange")
    heading(figure.axes[-3], "d", "How a style comes about", left=5, above=4)


def _precisions(figure: Figure, frame: xr.Dataset) -> None:
    """(e) Boundaries at other precisions."""
    axes = panel(figure, 142, 76, 35, 28, xlabel="q", ylabel="precision")
    policy = frame["policy"].isel(arm=0).transpose("model", "q", "bid")
    colors = np.array([_rgb(c) for c in BIDS.values()])
    best = policy.argmax("bid").values
    strength = policy.max("bid").values[..., None]
    image = 1 - strength * (1 - colors[best])
    axes.imshow(image, origin="lower", aspect="auto", extent=(0, 1, 0, len(image)))
    axes.set_yticks(np.arange(len(image)) + 0.5, [str(m) for m in policy["model"].values])
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.tick_params(length=0)
    heading(axes, "e", "Most probable bid", left=9)


def _draws(figure: Figure, frame: xr.Dataset) -> None:
    """(f) Where the boundaries fall over parameter draws."""
    axes = panel(figure, 14, 119, 45, 24, xlabel="boundary avoid | guarded")
    axes.set_ylabel("guarded | seek")
    ordered = frame["ordered"].values.astype(bool)
    low, high = frame["lower"].values, frame["upper"].values
    for here, color, text in ((~ordered, QUIET, "not ordered"), (ordered, INK, "three ordered")):
        axes.plot(low[here], high[here], "o", color=color, ms=1.8, mew=0, alpha=0.6, label=text)
    axes.plot([0, 1], [0, 1], color=LINE, lw=0.6)
    gap = {"facecolor": ORANGE, "alpha": 0.25, "lw": 0, "label": "published [U]"}
    axes.add_patch(_box((0.15, 0.4), 0.15, 0.45, gap))
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.legend(loc="lower right", borderpad=0, handletextpad=0.3, labelspacing=0.2)
    heading(axes, "f", f"{ordered.mean():.0%} of draws have three ordered bands", left=9)


def _stack(axes: Axes, x: np.ndarray, policy: xr.DataArray) -> None:
    shares = policy.transpose("bid", ...).values[::-1]
    axes.stackplot(x, shares, colors=list(BIDS.values())[::-1], lw=0)
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 1))
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])


def _rgb(color: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def _box(corner: tuple[float, float], width: float, height: float, look: dict[str, Any]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, **look)

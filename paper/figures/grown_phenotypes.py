"""S1. Five minds, born alike, grown up with different care; and what surprises them afterwards."""

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
    LINE,
    ORANGE,
    PAGE,
    PURPLE,
    QUIET,
    SHADE,
    SKY,
    SMALLEST,
    VERMILLION,
    WIDE,
    heading,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]

# Rows of (a): life, name, and the room above it.
ROWS = {
    "secure": ("secure", 0.0),
    "anxious": ("anxious", 0.0),
    "avoidant": ("avoidant", 0.0),
    "disorganised": ("disorganised", 0.0),
    "moralised_abandonment": ("moralised abandonment", 0.0),
    "no contingency": ("the same, not contingent", 0.5),
    "secure by hand": ("set by hand: secure", 0.5),
    "injury by hand": ("set by hand: injury", 0.0),
}
INJURED = {
    "anxious": ORANGE,
    "avoidant": BLUE,
    "disorganised": PURPLE,
    "moralised_abandonment": VERMILLION,
}
# What (a) shows: title, then level -> (colour, its value).
SHARES: dict[str, dict[str, tuple[str, Any]]] = {
    "Who is there": {
        "benevolent": (CAUSE, lambda d: d["trust_mean"]),
        "hostile": (INK, lambda d: d["hostile_mean"]),
        "absent": (QUIET, lambda d: 1 - d["trust_mean"] - d["hostile_mean"]),
    },
    "Whether they stay": {
        "stable": (SKY, lambda d: 1 - d["unstable_mean"] - d["contingent_mean"]),
        "unstable": (QUIET, lambda d: d["unstable_mean"]),
        "contingent": (PURPLE, lambda d: d["contingent_mean"]),
    },
    "What it does": {
        "maintain": (GREEN, lambda d: 1 - d["monitor_mean"] - d["withdraw_mean"]),
        "monitor": (ORANGE, lambda d: d["monitor_mean"]),
        "withdraw": (QUIET, lambda d: d["withdraw_mean"]),
    },
}
MODALITIES = {
    "interoception": "body (safety)",
    "self_talk": "self-talk (worth)",
    "cue": "cue",
    "approval": "approval (control)",
}
EPISODES = {"kindness": "met with kindness", "rejection": "rejected", "everyday": "everyday"}
LABELS = {
    "agent_missing": "the kind other is missing",
    "self_ashamed": "the self is ashamed",
    "contingency_learned": "contingent care is learned as such",
    "spikes_at_safety_and_worth": "surprise at safety and worth above control",
    "spikes_at_rejection": "surprise when rejected",
    "anxious_check": "the anxious check more",
    "avoidant_withdraw": "the avoidant withdraw more",
}
HEIGHT = 167.0


# ------------------------------------------------------------------ frames


def become(cells: Cells) -> xr.Dataset:
    """What each grown mind believes and does: share of each level, by life of `ROWS`."""
    at = cells["exact.grown.reference"].isel(model=0).sel(life=list(ROWS))
    return xr.Dataset(
        {level: value(at) for group in SHARES.values() for level, (_, value) in group.items()}
    )


def excess(cells: Cells) -> xr.Dataset:
    """Surprise beyond the secure, nats a step: `mean`, `low`, `high` (life, episode, modality)."""
    at = cells["exact.grown.reference"].isel(model=0)
    at = at.sel(life=list(INJURED), modality=list(MODALITIES))
    error = WIDE * at["excess_se"]
    mean = at["excess_mean"]
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Mapping[str, Any]) -> Figure:
    """Draw S1, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "What surprises a mind that grew up with injurious care?"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(121 / PAGE, top, tally(verdict), color=LINE, fontsize=SMALLEST, va="center")
    _become(figure, become(cells))
    _excess(figure, excess(cells))
    _draws(figure, cells["exact.grown.draws"]["excess"])
    axes = robustness(figure, verdict, left=64, top=130, width=112, height=25, labels=LABELS)
    heading(axes[0], "d", "Does each prediction hold, and where?", left=59, above=4.5)
    return figure


def _become(figure: Figure, frame: xr.Dataset) -> None:
    """(a) What care has made of them."""
    y = np.cumsum([1 + room for _, room in ROWS.values()]) - 1
    for i, (title, levels) in enumerate(SHARES.items()):
        axes = panel(figure, 37 + i * 48, 19, 43, 40)
        axes.set_xlabel("share of steps" if i == 2 else "probability")
        base = np.zeros(len(ROWS))
        for level, (color, _) in levels.items():
            part = frame[level].values
            axes.barh(y, part, 0.78, base, color=color, lw=0)
            base = base + part
        axes.set(xlim=(0, 1), ylim=(y[-1] + 0.6, -0.6), xticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", ".5", "1"])
        names = [name for name, _ in ROWS.values()] if i == 0 else [""] * len(ROWS)
        axes.set_yticks(y, names)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        heading(axes, "", title, above=6)
        _key(axes, {level: color for level, (color, _) in levels.items()})
        if i == 0:
            heading(axes, "a", "", left=32, above=6)


def _key(axes: Axes, colors: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    axes.legend(
        handles=[Patch(color=c, lw=0, label=name) for name, c in colors.items()],
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.985),
        ncols=3,
        borderpad=0.1,
        handlelength=0.8,
        handleheight=0.8,
        handletextpad=0.4,
        columnspacing=0.9,
    )


def _excess(figure: Figure, frame: xr.Dataset) -> None:
    """(b) The same outcomes, met by five minds."""
    rows = list(MODALITIES)
    widest = 1.08 * float(abs(xr.concat([frame["low"], frame["high"]], "end")).max())
    for i, (episode, title) in enumerate(EPISODES.items()):
        axes = panel(figure, 30 + i * 32, 81, 29, 32)
        at = frame.sel(episode=episode)
        for row, modality in enumerate(rows):
            if row % 2 == 0:
                axes.axhspan(row - 0.5, row + 0.5, color=SHADE, lw=0, zorder=0)
            for k, (life, color) in enumerate(INJURED.items()):
                here, y = at.sel(life=life, modality=modality), row + (k - 1.5) * 0.19
                axes.plot([here["low"], here["high"]], [y, y], color=color, lw=1.2)
                axes.plot(here["mean"], y, "o", color=color, ms=3.2, mew=0, label=words(life))
        axes.axvline(0, color=INK, lw=0.7)
        axes.set(xlim=(-widest, widest), ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(range(len(rows)), [MODALITIES[m] if i == 0 else "" for m in rows])
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.set_title(title, color=LINE, fontsize=7, pad=2)
        if i == 1:
            axes.set_xlabel("surprise beyond the secure mind's (nats a step)")
        if i == 0:
            text = "Surprised by kindness, less by rejection: the same outcomes, met by all"
            heading(axes, "b", text, left=25, above=9)
        if i == 2:
            handles, names = axes.get_legend_handles_labels()
            axes.legend(
                handles[:4],
                names[:4],
                loc="lower right",
                bbox_to_anchor=(1.02, 1.08),
                ncols=4,
                borderpad=0.1,
                handletextpad=0.1,
                columnspacing=0.8,
            )


def _draws(figure: Figure, draws: xr.DataArray) -> None:
    """(c) The refutation's quadrant, over draws of histories and model."""
    axes = panel(figure, 138, 81, 38, 32, xlabel="excess when met with kindness")
    axes.set_ylabel("excess when rejected")
    x, y = draws.sel(episode="kindness").values, draws.sel(episode="rejection").values
    limit = 1.1 * float(max(abs(x).max(), abs(y).max()))
    axes.axhspan(0, limit, xmin=0.5, color=SHADE, lw=0, zorder=0)
    axes.plot(x, y, "o", color=VERMILLION, ms=2.2, mew=0, alpha=0.45)
    axes.axhline(0, color=INK, lw=0.7)
    axes.axvline(0, color=INK, lw=0.7)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axes.locator_params(nbins=5)
    place: dict[str, Any] = {"fontsize": SMALLEST, "ha": "right", "transform": axes.transAxes}
    axes.text(0.98, 0.97, "the claim: spikes", va="top", color=LINE, **place)
    axes.text(0.98, 0.03, "precise pessimists", va="bottom", color=VERMILLION, **place)
    heading(axes, "c", "Body and self-talk, each draw", left=10, above=9)

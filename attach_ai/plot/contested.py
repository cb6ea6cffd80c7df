"""A fit to real data beside its opponents: who predicts better, how answers are met, effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.plot.findings import tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LINE,
    ORANGE,
    PAGE,
    QUIET,
    SMALLEST,
    heading,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SE = 2.0  # standard errors either side
GROUPS = (LINE, BLUE, ORANGE)
ROW = 5.0  # mm


@styled
def contested(
    data: xr.Dataset, verdict: Mapping[str, Any], title: str, clock: str, *, rolling: int = 1
) -> Figure:
    """Draw what `attach_ai.lab.fitted` gives, 180 mm wide.

    `clock` names the axis of occasions; `rolling`: over how many of them scores are averaged.
    """
    scales = [str(s) for s in data["scale"].values]
    effects = [str(q) for q in data["quantity"].values if str(q).startswith("effect[")]
    below = max(34.0, 3.2 * len(effects) + 6)
    height = 24 + 44 + 20 + below + 12
    figure = sheet(PAGE, height)
    top = 1 - 4.5 / height
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(175 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center", ha="right")
    _scores(figure, data, scales, clock, rolling)
    _opponents(figure, data, 90, below)
    _effects(figure, data, effects, 90, below)
    return figure


def _scores(figure: Figure, data: xr.Dataset, scales: list[str], clock: str, rolling: int) -> None:
    """Observed mean scores by group and episode, over the band that the fit predicts."""
    width = (PAGE - 14 - 6 * len(scales)) / len(scales)
    groups = [str(g) for g in data["group"].values]
    episodes = [str(e) for e in data["episode"].values]
    for i, scale in enumerate(scales):
        axes = panel(figure, 13 + i * (width + 6), 22, width, 40, xlabel=clock)
        at = data.sel(scale=scale)
        for g, group in enumerate(groups):
            color = GROUPS[g % len(GROUPS)]
            start = 0
            for episode in episodes:
                here = at.sel(group=group, episode=episode)
                seen = np.flatnonzero(np.isfinite(here["score"].values))
                if not len(seen):
                    continue
                x = start + np.arange(len(seen))
                low, high = (
                    _rolled(here["predicted"].sel(end=e).values[seen], rolling)
                    for e in ("low", "high")
                )
                score = _rolled(here["score"].values[seen], rolling)
                axes.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
                style: dict[str, Any] = {"marker": "o", "ms": 3} if len(seen) < 12 else {}
                axes.plot(x, score, color=color, lw=1.1, **style)
                start += len(seen) + 4
            axes.plot([], [], color=color, lw=1.3, label=words(group))
        if i == 0:
            axes.set_ylabel("mean keyed answer")
            axes.legend(
                loc="upper left", bbox_to_anchor=(-0.05, 1.3), ncols=len(groups), borderpad=0
            )
            heading(axes, "a", "Observed (lines), predicted (89 % bands)", left=8, above=16)
        axes.set_title(words(scale.split(".")[-1]), fontsize=SMALLEST, loc="right", color=QUIET)


def _rolled(values: np.ndarray, n: int) -> np.ndarray:
    if n <= 1 or len(values) < n:
        return values
    return np.convolve(values, np.ones(n) / n, mode="same")[: len(values)]


def _opponents(figure: Figure, data: xr.Dataset, top: float, height: float) -> None:
    """How far ahead the model is of each opponent, in nats: right of zero it predicts better."""
    rivals = [
        m for m in map(str, data["model"].values) if abs(float(data["ahead"].sel(model=m))) > 0
    ]
    rivals = sorted(rivals, key=lambda m: float(data["ahead"].sel(model=m)))
    axes = panel(
        figure, 42, top, 52, height - 4, xlabel="nats by which the model is ahead (± 2 se)"
    )
    y = np.arange(len(rivals))
    axes.axvline(0, color=INK, lw=0.8, zorder=0)
    for name, shift, face, color, label in (
        ("ahead", -0.13, BLUE, BLUE, "people left out"),
        ("waves_ahead", 0.17, "white", LINE, "last occasion left out"),
    ):
        at = data[name].sel(model=rivals).values
        error = SE * np.nan_to_num(data[f"{name}_se"].sel(model=rivals).values)
        axes.hlines(y + shift, at - error, at + error, color=color, lw=1.2)
        axes.scatter(at, y + shift, 16, face, edgecolors=color, lw=1, zorder=3, label=label)
    axes.set_yticks(y, [words(m) for m in rivals])
    axes.set_ylim(len(rivals) - 0.5, -0.5)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.7, -0.16), borderpad=0, handletextpad=0.1)
    heading(axes, "b", "Does it predict better than each opponent?", left=37)


def _effects(
    figure: Figure, data: xr.Dataset, effects: list[str], top: float, height: float
) -> None:
    """Every effect of a covariate on a parameter, log-odds a unit, with its 89 % interval."""
    axes = panel(figure, 140, top, 37, height - 4, xlabel="effect, log-odds (89 %)")
    low, mid, high = (
        data["estimate"].sel(end=e, quantity=effects).values for e in ("low", "median", "high")
    )
    y = np.arange(len(effects))
    axes.axvline(0, color=INK, lw=0.8, zorder=0)
    clear = (low > 0) | (high < 0)
    for i in y:
        color = CAUSE if clear[i] else LINE
        axes.hlines(i, low[i], high[i], color=color, lw=1.2)
        axes.plot(mid[i], i, "o", color=color, ms=3)
    labels = [words(q.removeprefix("effect[").removesuffix("]")) for q in effects]
    axes.set_yticks(y, labels)
    axes.set_ylim(len(effects) - 0.5, -0.5)
    heading(axes, "c", "What moves parameters", left=40)

"""M1. What a cohort gives back: the population's numbers, and single people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.plot.findings import mark, tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LINE,
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

FEW = 4  # people's effects that are shown
OF_PEOPLE = {"mean": CAUSE, "effect": BLUE, "spread": INK}
HEIGHT = 112.0


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw M1, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "What a cohort gives back"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(58 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center")
    every = cells["cohorts"]
    _population(figure, every, verdict)
    _contraction(figure, every)
    _people(figure, every, verdict)
    return figure


def by_site(every: xr.Dataset) -> dict[str, list[int]]:
    """Places of the elements of each site."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(every["element"].values):
        found.setdefault(str(name).split(" ")[0], []).append(i)
    return found


def _population(figure: Figure, every: xr.Dataset, verdict: Found) -> None:
    """(a) Estimate against truth in units of the prior's spread, one colour a kind of site."""
    axes = panel(figure, 14, 18, 46, 38, xlabel="truth (prior standard deviations)")
    scale = every["prior_sd"].isel(cohort=0)
    middle = every["truth"].mean("cohort")
    for name, at in by_site(every).items():
        x, y = (((every[k] - middle) / scale).isel(element=at) for k in ("truth", "mean"))
        color, size = OF_PEOPLE.get(name, QUIET), 4 if name in OF_PEOPLE else 2
        axes.plot(x.values.ravel(), y.values.ravel(), ".", color=color, ms=size, mew=0)
    for row, (name, color) in enumerate({**OF_PEOPLE, "all else": QUIET}.items()):
        axes.annotate(
            name, (1, 1), (3, -4 - 8 * row), xycoords="axes fraction", color=color, fontsize=6.5,
            textcoords="offset points", va="center", annotation_clip=False,
        )  # fmt: skip
    axes.axline((0, 0), slope=1, color=QUIET, lw=0.6, zorder=0)
    axes.set_ylabel("estimate, likewise")
    text = f"Population {mark(verdict, 'intervals_hold_the_truth', 'all')}"
    heading(axes, "a", text, left=9)


def _contraction(figure: Figure, every: xr.Dataset) -> None:
    """(b) How much narrower than the prior, and how often the interval holds."""
    sites = by_site(every)
    axes = panel(figure, 94, 18, 36, 38, xlabel="contraction")
    beside = panel(figure, 138, 18, 36, 38, xlabel="89 % intervals that hold")
    shrunk = 1 - (every["sd"] ** 2).mean("cohort") / every["prior_sd"].isel(cohort=0) ** 2
    holds = ((every["low"] <= every["truth"]) & (every["truth"] <= every["high"])).mean("cohort")
    for row, at in enumerate(sites.values()):
        for panel_, values in ((axes, shrunk), (beside, holds)):
            own = values.isel(element=at).values
            panel_.plot(own, np.full(len(own), row), "|", color=QUIET, ms=6)
            panel_.plot(own.mean(), row, "o", color=INK, ms=3.4)
    axes.set(xlim=(-0.1, 1.05), ylim=(len(sites) - 0.5, -0.5))
    axes.set_yticks(range(len(sites)), [name.replace("_", " ") for name in sites])
    beside.set(xlim=(-0.05, 1.05), ylim=(len(sites) - 0.5, -0.5), yticks=[])
    beside.axvline(0.89, color=CAUSE, lw=0.8, ls=(0, (3, 2)))
    heading(axes, "b", "What is learned, by site", left=26)


def _people(figure: Figure, every: xr.Dataset, verdict: Found) -> None:
    """(c) Single people: estimate against truth."""
    r = next(f for f in verdict["outcomes"] if f["name"] == "trust_tells_people_apart")["measured"]
    for i, effect in enumerate(map(str, every["effect"].values[:FEW])):
        axes = panel(figure, 14 + 43 * i, 74, 32, 28, xlabel="true effect")
        x, y = (every[k].sel(effect=effect).values.ravel() for k in ("person_truth", "person_mean"))
        axes.plot(x, y, ".", color=BLUE if r[effect] >= 0.7 else LINE, ms=2.4, mew=0)
        axes.axline((0, 0), slope=1, color=QUIET, lw=0.6, zorder=0)
        axes.set(xlim=(-3, 3), ylim=(-3, 3))
        if i == 0:
            axes.set_ylabel("estimate")
        said = mark(verdict, "trust_tells_people_apart", "all") if effect == "trust" else ""
        text = f"r = {r[effect]:.2f} {said}".replace("-", "−")
        axes.annotate(
            text, (0, 1), (3, -8), xycoords="axes fraction", textcoords="offset points",
            fontsize=6.5,
        )  # fmt: skip
        name = effect.replace("_", " ").replace("residual ", "residual, ").replace(".", " ")
        heading(axes, "c" if i == 0 else "", name, left=9 if i == 0 else 0)

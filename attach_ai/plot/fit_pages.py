"""Pictures of one fit, a subject each, drawn from its DataTree alone.

Each returns a figure 180 mm wide; `path` saves it as PDF, PNG or SVG, by its ending. `InputError`
where the tree has no such group, or for another ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attach_ai.errors import InputError
from attach_ai.plot import fit_frames as frames
from attach_ai.plot import fit_panels as panels
from attach_ai.plot.fit import clock, flat
from attach_ai.plot.fit_labels import called, plain, reading
from attach_ai.plot.style import (
    LEVEL,
    PAGE,
    VERMILLION,
    heading,
    panel,
    save,
    sheet,
    styled,
    words,
    writable,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 4.4  # mm of a row of a forest
FEW = 6  # occasions that an item's answers are shown by; more are counted together
DEEPEST = 20  # items on one page


@styled
def beliefs(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Every reading of beliefs over time, by group; ticks where answers were given."""
    frame, asked = frames.beliefs(tree), frames.asked(tree)
    names = [str(r) for r in frame["reading"].values]
    figure, every = grid(len(names), 3, 34.0, wide=34.0, left=10.0, above=13.0)
    for i, (axes, name) in enumerate(zip(every, names, strict=True)):
        panels.belief(axes, frame.sel(reading=name), asked, names=frame.sizes["group"] < 4)
        heading(axes, "", panels.wrapped(reading(name), 36), above=1.5)
        if i >= len(names) - 3:
            axes.set_xlabel(clock(tree))
    if frame.sizes["group"] > 3:
        panels.legend(every[0], [str(g) for g in frame["group"].values], right=3.0, above=1.15)
    return done(figure, path)


@styled
def scores(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Mean scores by occasion and group, on what the fit predicts for the same people."""
    frame = frames.scores(tree)
    names = [str(s) for s in frame["scale"].values]
    figure, every = grid(len(names), 3, 34.0, wide=46.0, left=11.0)
    for axes, name in zip(every, names, strict=True):
        panels.score(axes, flat(frame.sel(scale=name)))
        axes.set_xlabel("occasion")
        heading(axes, "", plain(name), above=1.5)
    panels.legend(every[0], [str(g) for g in frame["group"].values], right=1.0, above=1.14)
    every[0].set_ylabel("mean score, points of an item")
    return done(figure, path)


@styled
def effects(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """A forest of what the covariates do to the parameters, in logits per unit of a covariate."""
    frame = frames.rows(tree, ["effect"])
    if not frame.sizes["row"]:
        raise InputError("no effect of a covariate was fitted", "tree of the fit")
    deep = frame.sizes["row"] * ROW
    figure = sheet(PAGE, deep + 18)
    axes = panel(figure, 60, 8, 90, deep, xlabel="effect, logits per unit of the covariate")
    panels.forest(axes, frame, [called(n) for n in frame["label"].values])
    return done(figure, path)


@styled
def learned(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Every population parameter's posterior on its prior, and how much was learned."""
    frame = frames.learned(tree, frames.sites(tree))
    deep = frame.sizes["row"] * ROW
    figure = sheet(PAGE, deep + 18)
    axes = panel(figure, 60, 8, 90, deep, xlabel="prior standard deviations from the prior's mean")
    panels.prior_posterior(axes, frame, [called(n) for n in frame["label"].values])
    return done(figure, path)


@styled
def answers(
    tree: xr.DataTree, items: Sequence[str] | None = None, path: str | Path | None = None
) -> Figure:
    """How often each category of each item was chosen, on predictive intervals; 20 items at most.

    A row per item, a column per occasion (all together where there are more than six). `items`:
    which ones, all by default. A count outside its interval is hollow and red.
    """
    frame = frames.counts(tree, FEW)
    names = [str(i) for i in (frame["item"].values if items is None else items)][:DEEPEST]
    unknown = sorted(set(names) - {str(i) for i in frame["item"].values})
    if unknown:
        raise InputError(f"there is no item '{unknown[0]}' in the fit", "items")
    frame = frame.sel(item=names).dropna("occasion", how="all", subset=["observed"])
    n_rows, n_columns = len(names), frame.sizes["occasion"]
    tall, gap, top, left = 9.0, 1.6, 14.0, 30.0
    wide = min(70.0, (PAGE - left - 6 - 4 * (n_columns - 1)) / n_columns)
    figure = sheet(PAGE, top + n_rows * (tall + gap) + 6)
    for r, item in enumerate(names):
        for c in range(n_columns):
            x, y = left + c * (wide + 4), top + r * (tall + gap)
            axes = panel(figure, x, y, wide, tall)
            at = frame.sel(item=item).isel(occasion=c).dropna("category", how="all")
            _categories(axes, at)
            axes.tick_params(labelbottom=r == n_rows - 1)
            if c == 0:
                axes.set_ylabel(plain(item), rotation=0, ha="right", va="center", labelpad=14)
            if r == 0:
                occasion = str(frame["occasion"].values[c])
                numbered = f"occasion {occasion}" if occasion.isdecimal() else words(occasion)
                heading(axes, "", numbered, above=1)
    held, n = frames.inside(frame)
    figure.text(
        left / PAGE,
        1 - 4 / (figure.get_size_inches()[1] * 25.4),
        f"{held} of {n} counts lie within their {LEVEL:.0%} predictive interval",
        va="center",
    )
    panels.legend(figure.axes[n_columns - 1], [str(g) for g in frame["group"].values], above=1.35)
    return done(figure, path)


@styled
def missingness(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Who answered at each occasion, by group, and (dotted) how many of the items they answered."""
    frame = frames.missing(tree)
    figure = sheet(PAGE, 56)
    axes = panel(figure, 16, 10, 110, 36)
    panels.answered(axes, flat(frame))
    heading(axes, "", "People who answered (dotted: share of the items that they answered)")
    return done(figure, path)


def _categories(axes: Axes, frame: xr.Dataset) -> None:
    """One item at one occasion: (group, category)."""
    from matplotlib.ticker import MaxNLocator

    x, n = frame["category"].values.astype(float), frame.sizes["group"]
    shifts = (np.arange(n) - (n - 1) / 2) * 0.7 / max(n, 2)
    for g in range(n):
        color, mark = panels.look(g)
        at, to = frame.isel(group=g), x + shifts[g]
        axes.vlines(to, at["low"], at["high"], color=color, alpha=0.35, lw=3)
        out = ((at["observed"] < at["low"]) | (at["observed"] > at["high"])).values
        face, edge = np.where(out, "white", color), np.where(out, VERMILLION, color).tolist()
        axes.scatter(to, at["observed"], 7, face, marker=mark, edgecolors=edge, lw=0.8, zorder=3)
    axes.set_xlim(-0.6, max(x, default=1) + 0.6)
    highest = float(np.nanmax([frame["observed"].max(), frame["high"].max(), 1.0]))
    axes.set_ylim(0, 1.15 * highest)
    axes.set_xticks(x)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True, min_n_ticks=2))


def grid(
    n: int, columns: int, tall: float, *, wide: float, left: float, above: float = 10.0
) -> tuple[Figure, list[Axes]]:
    """`n` panels in rows of `columns`, `tall` and `wide` in mm, each with room for its title."""
    step = tall + above + 4
    figure = sheet(PAGE, -(-n // columns) * step + 8)
    every = [
        panel(figure, left + i % columns * PAGE / columns, above + i // columns * step, wide, tall)
        for i in range(n)
    ]
    return figure, every


def done(figure: Figure, path: str | Path | None) -> Figure:
    """The figure, saved if a path is given."""
    if path is not None:
        save(figure, writable(path))
    return figure

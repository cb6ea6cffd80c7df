"""A fit at a glance: what was believed, what was answered, what differs, what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attach_ai.plot import fit_frames as frames
from attach_ai.plot import fit_panels as panels
from attach_ai.plot.fit_labels import called, plain, reading
from attach_ai.plot.style import LEVEL, LINE, PAGE, heading, panel, save, sheet, styled, words
from attach_ai.plot.style import writable as checked

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

# In mm: where the two columns begin, a panel's width, and the rows of a forest.
LEFT, RIGHT, WIDTH, TOP, HIGH, ROW, MOST = 12.0, 114.0, 54.0, 18.0, 42.0, 4.2, 16


@styled
def fit(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Draw a fit, 180 mm wide, from its DataTree alone.

    A: the reading of beliefs that ranges furthest, by group, with the population's uncertainty. B:
    mean scores of the scale asked most often on posterior predictive intervals. C: effects of
    covariates on parameters. D: posteriors on their priors, with the share of the prior's variance
    that the data took away.

    `path` saves it as PDF, PNG or SVG, by its ending. Raises `InputError` for another ending, a
    folder that does not exist, or a tree without a group that is drawn.
    """
    where = None if path is None else checked(path)
    every = frames.rows(tree, ["effect"])
    effects = every.isel(row=slice(MOST))
    names = [n for n in ("mean", "spread", "residual", "wording") if n in tree["posterior"]]
    learned = frames.learned(tree, names).isel(row=slice(MOST))
    deep = max(effects.sizes["row"], learned.sizes["row"], 3) * ROW
    second = TOP + HIGH + 20
    figure = sheet(PAGE, second + deep + 12)

    axes = panel(figure, LEFT, TOP, WIDTH + 14, HIGH)
    if "trajectory" in tree.children:
        held = frames.beliefs(tree)
        first = str(frames.moved(held).idxmax().item())
        panels.belief(axes, held.sel(reading=first), frames.asked(tree))
        axes.set_xlabel(clock(tree))
        heading(axes, "A", panels.wrapped(f"What was believed: {reading(first)}", 56))
    else:
        heading(axes, "A", "What was believed")
        panels.note(axes, "this model has no beliefs")

    points = frames.scores(tree)
    scale = str(points["n"].sum(("group", "episode", "occasion")).idxmax().item())
    axes = panel(figure, RIGHT, TOP, WIDTH, HIGH, ylabel="mean score, points of an item")
    panels.score(axes, flat(points.sel(scale=scale)))
    panels.legend(axes, [str(g) for g in points["group"].values], above=-0.25)
    heading(axes, "B", f"What was answered: {plain(scale)}")

    axes = panel(figure, LEFT + 28, second, WIDTH - 22, deep)
    some = f", {MOST} of {every.sizes['row']}" if every.sizes["row"] > MOST else ""
    heading(axes, "C", f"What differs between people{some}", left=28, above=4)
    if effects.sizes["row"]:
        axes.set_xlabel("effect, logits per unit")
        panels.forest(axes, effects, [called(n) for n in effects["label"].values])
    else:
        panels.note(axes, "no covariate was fitted")

    axes = panel(figure, RIGHT + 26, second, WIDTH - 32, deep)
    heading(axes, "D", "What the data taught", left=26, above=4)
    axes.set_xlabel("prior standard deviations")
    panels.prior_posterior(axes, learned, [called(n) for n in learned["label"].values])

    title(figure, tree)
    if where is not None:
        save(figure, where)
    return figure


def title(figure: Figure, tree: xr.DataTree) -> None:
    """Model, people and intervals, above everything; an exploratory engine says so."""
    design = frames.said(tree, "design", {})
    y = 1 - 5 / (figure.get_size_inches()[1] * 25.4)
    name = words(str(design.get("model", "a fit"))).capitalize()
    at = figure.text(4 / PAGE, y, name, fontsize=9, fontweight="bold", va="center")
    right = at.get_window_extent().x1 / (figure.get_size_inches()[0] * figure.dpi)
    n = tree["observed_data"].sizes["subject"]
    rest = f"{n} {'person' if n == 1 else 'people'}; intervals hold {LEVEL:.0%}"
    if design.get("exploratory"):
        rest += "; EXPLORATORY: intervals are too narrow"
    if design.get("exposure") == "unknown":
        rest += "; exposure unknown"
    figure.text(right + 0.015, y, rest, va="center", color=LINE)


def clock(tree: xr.DataTree) -> str:
    """What a step is, for the axis of time."""
    length = frames.said(tree, "design", {}).get("step_length")
    return {1.0: "day", 7.0: "week"}.get(float(length), "step") if length else "step"


def flat(frame: xr.Dataset) -> xr.Dataset:
    """Episodes after one another, so that occasions are one row."""
    import xarray as xr

    if frame.sizes["episode"] == 1:
        return frame.isel(episode=0, drop=True)
    parts = []
    for e in map(str, frame["episode"].values):
        part = frame.sel(episode=e, drop=True)
        parts.append(part.assign_coords(occasion=[f"{e}\n{o}" for o in part["occasion"].values]))
    return xr.concat(parts, "occasion", data_vars="minimal", coords="minimal", compat="override")

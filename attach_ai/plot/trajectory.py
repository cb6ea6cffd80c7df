"""A life at a glance: what a mind believed, what it did, what that cost, and what paid for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.plot import frames
from attach_ai.plot.ledger import key, stack
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    CYCLE,
    INK,
    LEVEL,
    LINE,
    ORANGE,
    PAGE,
    QUIET,
    SHADE,
    heading,
    name_ends,
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

    from attach_ai.simulation import Trajectory

# In mm: where columns begin, a panel's width, a row's height, and the room around panels.
COLUMNS, WIDTH, ROW, ABOVE, BELOW, TITLE = (12.0, 102.0), 54.0, 38.0, 7.0, 7.0, 10.0


@styled
def trajectory(traj: Trajectory, path: str | Path | None = None) -> Figure:
    """Draw a life, 180 mm wide: beliefs left; choices, costs, affect and ledger right.

    Shown are the factors whose D is learned, or all if none is. Values are means over a session's
    steps; of several minds the mean, with a band that holds 89 % of them. The level that is held
    stands out. Sessions without practice are shaded.

    `path` saves the figure as PDF, PNG or SVG, by its ending. Raises `InputError` for another
    ending or a folder that does not exist.
    """
    where = None if path is None else writable(path)
    beliefs = {
        f: frames.beliefs(traj, f)
        for f in frames.learned(traj) or map(str, traj.tree["belief"].data_vars)
    }
    raised = {f: frames.held_level(b) for f, b in beliefs.items()}
    holds = max(raised, key=lambda f: raised[f][1])  # the others move along with it

    left: list[_Panel] = []
    for f, frame in beliefs.items():
        level = raised[f][0] if f == holds and raised[f][1] > 1e-4 else None
        left.append(_Panel(words(f).capitalize(), "belief", _beliefs, (frame, level)))
    right = [
        _Panel(words(a).capitalize(), "share of steps", _choices, (frames.choices(traj, a),))
        for a in map(str, traj.tree["action"].data_vars)
    ]
    right.append(_Panel("Cost", "nats a step", _costs, (frames.costs(traj),)))
    felt = frames.affect(traj)
    if felt is not None:
        right.append(_Panel("Affect", "nats a step; P", _affect, (felt,)))
    book = frames.ledger(traj)
    if book is not None:
        right.append(_Panel("Evidence ledger", "nats of log-odds", _ledger, (book,)))

    height = ROW * max(len(left), len(right))
    figure = sheet(PAGE, TITLE + height)
    for x, column in zip(COLUMNS, (left, right), strict=True):
        for i, part in enumerate(column):
            tall = height / len(column)
            top = TITLE + i * tall + ABOVE
            axes = panel(figure, x, top, WIDTH, tall - ABOVE - BELOW, ylabel=part.unit)
            _sessions(axes, traj)
            heading(axes, "", part.title, above=1.5)
            part.draw(axes, *part.frames)
        axes.set_xlabel("session")
    _title(figure, traj)
    if where is not None:
        save(figure, where)
    return figure


class _Panel:
    """What a panel shows and how."""

    def __init__(self, title: str, unit: str, draw: Callable[..., None], frames: tuple[Any, ...]):
        self.title, self.unit, self.draw, self.frames = title, unit, draw, frames


def _sessions(axes: Axes, traj: Trajectory) -> None:
    """The axis of time, with sessions that were not practised shaded."""
    from matplotlib.ticker import MaxNLocator

    base = traj.tree["belief"].to_dataset()
    session = base["session"].values
    axes.set_xlim(session[0] - 0.6, session[-1] + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    for s in session[~base["practised"].values]:
        axes.axvspan(s - 0.5, s + 0.5, color=SHADE, lw=0, zorder=0)


def _title(figure: Figure, traj: Trajectory) -> None:
    base = traj.tree["belief"].to_dataset()
    n_minds, n = base.sizes.get("mind", 1), base.sizes["session"]
    parts = [f"{n} session{'s' if n > 1 else ''}"]
    parts.append("one mind" if n_minds == 1 else f"mean of {n_minds} minds, bands hold {LEVEL:.0%}")
    if not base["practised"].values.all():
        parts.append("shaded: not practised")
    y = 1 - 5 / (figure.get_size_inches()[1] * 25.4)
    name = words(str(traj.tree.attrs.get("practice", "a life"))).capitalize()
    at = figure.text(COLUMNS[0] / PAGE, y, name, fontsize=9, fontweight="bold", va="center")
    right = at.get_window_extent().x1 / (figure.get_size_inches()[0] * figure.dpi)
    figure.text(right + 0.015, y, "; ".join(parts), va="center", color=LINE)


def _beliefs(axes: Axes, frame: xr.Dataset, held: str | None) -> None:
    x, free = frame["session"].values, iter(CYCLE * 9)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1])
    ends = []
    for level in map(str, frame["level"].values):
        at = frame.sel(level=level)
        color = CAUSE if level == held else next(free)
        _line(axes, x, at["unheld"], color)
        ends.append((float(at["unheld"].mean("mind")[-1]), words(level), color))
        if "prior" in at:
            boundary = np.append(x - 0.5, x[-1] + 0.5)
            axes.plot(boundary, at["prior"].mean("mind"), ":", color=color, lw=1)
        if level == held:
            axes.plot(x, at["held"].mean("mind"), "--", color=color, lw=0.9)
    name_ends(axes, axes.get_xlim()[1], ends)
    styles = {"believed": "-"} | ({"held": "--"} if held else {})
    _styles(axes, styles | ({"prior": ":"} if "prior" in frame else {}))


def _styles(axes: Axes, styles: dict[str, str]) -> None:
    """What the kinds of line mean, above the axes on the right."""
    from matplotlib.lines import Line2D

    axes.legend(
        handles=[Line2D([], [], color=LINE, lw=1, ls=s, label=n) for n, s in styles.items()],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(styles),
        borderpad=0.2,
        handlelength=1.5,
        columnspacing=1,
        handletextpad=0.4,
    )


def _line(axes: Axes, x: np.ndarray, values: xr.DataArray, color: str) -> None:
    """The mean over minds, and a band that holds most of them."""
    axes.plot(x, values.mean("mind"), color=color, marker="o" if len(x) < 3 else "", ms=2.5)
    if values.sizes["mind"] > 1:
        low, high = values.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2], "mind").values
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)


def _choices(axes: Axes, shares: xr.DataArray) -> None:
    mean = shares.mean("mind")
    x, base = mean["session"].values, np.zeros(mean.sizes["session"])
    colors, ends = iter((BLUE, ORANGE, QUIET, *CYCLE[1:]) * 9), []
    for level in map(str, mean["level"].values):
        part = mean.sel(level=level).values
        axes.bar(x, part, 0.84, base, color=next(colors), lw=0, label=level)
        ends.append((float(base[-1] + part[-1] / 2), words(level), INK))
        base = base + part
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    name_ends(axes, axes.get_xlim()[1], ends)


def _costs(axes: Axes, frame: xr.Dataset) -> None:
    ends = []
    for name, color, meaning in (("vfe", BLUE, "surprise (vfe)"), ("effort", ORANGE, "effort")):
        _line(axes, frame["session"].values, frame[name], color)
        ends.append((float(frame[name].mean("mind")[-1]), meaning, color))
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    name_ends(axes, axes.get_xlim()[1], ends)


def _affect(axes: Axes, frame: xr.Dataset) -> None:
    ends = []
    for name, color, meaning in (
        ("valence", BLUE, "P(positive valence)"),
        ("charge", ORANGE, "charge"),
    ):
        _line(axes, frame["session"].values, frame[name], color)
        ends.append((float(frame[name].mean("mind")[-1]), meaning, color))
    axes.axhline(0, color=QUIET, lw=0.6, zorder=0)
    name_ends(axes, axes.get_xlim()[1], ends)


def _ledger(axes: Axes, book: xr.Dataset) -> None:
    stack(axes, book["session"].values, book.mean("mind"))
    key(axes)

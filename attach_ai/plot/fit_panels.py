"""Parts of the pictures of a fit: each draws one frame of `fit_frames` into axes."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.plot.style import (
    BLUE,
    CYCLE,
    INK,
    LINE,
    MM,
    QUIET,
    SHADE,
    SMALLEST,
    VERMILLION,
    name_ends,
    words,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# A group is told by its colour and by its marker.
MARKS = ("o", "s", "D", "^", "v", "P")
OWN_UNITS = ("entropy", "param")  # readings in nats, or what is declared
GAP = 0.06  # between episodes, as a share of an episode's length


def look(i: int) -> tuple[str, str]:
    """Colour and marker of the i-th group."""
    return CYCLE[i % len(CYCLE)], MARKS[i % len(MARKS)]


def legend(axes: Axes, names: list[str], *, right: float = 1.0, above: float = 1.0) -> None:
    """The groups, above the axes on the right; nothing where there is but one."""
    from matplotlib.lines import Line2D

    if len(names) < 2:
        return
    handles = []
    for i, name in enumerate(names):
        color, mark = look(i)
        handles.append(Line2D([], [], color=color, marker=mark, ms=3, lw=1.2, label=words(name)))
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(right, above),
        ncols=len(names),
        borderpad=0.2,
        handlelength=1.6,
        columnspacing=1.1,
        handletextpad=0.4,
    )


def belief(axes: Axes, frame: xr.Dataset, asked: xr.DataArray, *, names: bool = True) -> None:
    """One reading of each group over time, episodes side by side; ticks where answers were given.

    `frame`: (group, episode, step), its `reading` a label; shares have an axis from 0 to 1.
    `names` writes each group's name beside its line's end.
    """
    step = frame["step"].values.astype(float)
    room = (step[-1] - step[0] + 1) * (1 + GAP)
    ends, top = [], float(frame["high"].max())
    low = float(frame["low"].min())
    share = _is_share(str(frame["reading"].values)) and low >= 0 and top <= 1
    axes.set_ylim(-0.03, 1.03) if share else axes.set_ylim(low - 0.05, top + 0.05)
    if share:
        axes.set_yticks([0, 0.5, 1])
    ticks: dict[float, str] = {}
    for g, name in enumerate(map(str, frame["group"].values)):
        color, _ = look(g)
        last = np.nan
        for e in range(frame.sizes["episode"]):
            at, x = frame.isel(group=g, episode=e), step + e * room
            axes.fill_between(x, at["low"], at["high"], color=color, alpha=0.18, lw=0)
            axes.plot(x, at["mid"], color=color, lw=1.3)
            known = at["mid"].values[np.isfinite(at["mid"].values)]
            last = known[-1] if known.size else last
        ends.append((float(last), words(name), color))
    for e in range(frame.sizes["episode"]):
        for x in np.unique(asked.isel(episode=e).values):
            if np.isfinite(x):
                axes.axvline(x + e * room, 0, 0.035, color=INK, lw=0.9, clip_on=False)
        ticks[step[0] + e * room] = f"{step[0]:g}"
        if frame.sizes["episode"] > 1:
            axes.text(
                e * room + step.mean(),
                1.0,
                words(str(frame["episode"].values[e])),
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=SMALLEST,
                color=LINE,
            )
    axes.set_xlim(step[0], step[-1] + (frame.sizes["episode"] - 1) * room)
    ticks[axes.get_xlim()[1]] = f"{step[-1]:g}"
    if frame.sizes["episode"] > 1:
        axes.set_xticks(list(ticks), list(ticks.values()))
    if names and len(ends) > 1:
        name_ends(axes, axes.get_xlim()[1], ends)


def _is_share(reading: str) -> bool:
    """Whether a reading is a probability or a share of days, told by its kind (its first word)."""
    kind = reading.removeprefix("-").partition(" ")[0]
    return kind not in OWN_UNITS and ("valence" not in reading or kind == "freq")


def wrapped(text: str, width: int) -> str:
    """The text on as many lines as it takes."""
    return "\n".join(wrap(text, width))


def score(axes: Axes, frame: xr.Dataset) -> None:
    """Mean score by occasion: marks are observed, bars what the fit predicts; (group, occasion).

    Occasions at which nobody answered are left out. With many occasions intervals become bands.
    """
    frame = frame.dropna("occasion", how="all", subset=["observed"])
    n, n_groups = frame.sizes["occasion"], frame.sizes["group"]
    many = n > 12
    width = 0 if many else min(0.6, (0.12 + 0.03 * n) * (n_groups - 1))
    shifts = np.linspace(-width / 2, width / 2, n_groups)
    for g in range(n_groups):
        color, mark = look(g)
        at, x = frame.isel(group=g), np.arange(n) + shifts[g]
        if many:
            axes.fill_between(x, at["low"], at["high"], color=color, alpha=0.18, lw=0)
        else:
            axes.vlines(x, at["low"], at["high"], color=color, alpha=0.35, lw=5 if n < 5 else 3)
        out = ((at["observed"] < at["low"]) | (at["observed"] > at["high"])).values
        face = np.where(out, "white", color)
        axes.plot(x, at["observed"], color=color, lw=0 if not many else 0.7)
        axes.scatter(
            x,
            at["observed"],
            9 if many else 16,
            face,
            marker=mark,
            edgecolors=color,
            lw=1,
            zorder=3,
        )
    axes.set_xlim(-0.6, n - 0.4)
    _occasions(axes, frame)


def forest(axes: Axes, frame: xr.Dataset, labels: list[str], *, above: bool = True) -> None:
    """Rows of intervals about zero; filled where the interval excludes it. `above` adds P(> 0)."""
    n = frame.sizes["row"]
    y = np.arange(n)
    axes.axvline(0, color=LINE, lw=0.8, zorder=0)
    clear = ((frame["low"] > 0) | (frame["high"] < 0)).values
    axes.hlines(y, frame["low"], frame["high"], color=np.where(clear, BLUE, LINE), lw=1.3)
    face, edge = np.where(clear, BLUE, "white"), np.where(clear, BLUE, LINE).tolist()
    axes.scatter(frame["mid"], y, 16, face, edgecolors=edge, lw=1, zorder=3)
    _rows(axes, labels)
    if above and n:
        _margin(axes, "P(> 0)", [_chance(p) for p in frame["above"].values])


def prior_posterior(axes: Axes, frame: xr.Dataset, labels: list[str]) -> None:
    """Posterior on prior intervals, in the prior's standard deviations from its mean."""
    y, n = np.arange(frame.sizes["row"]), frame.sizes["row"]
    scale = frame["prior_sd"].where(frame["prior_sd"] > 0)

    def put(name: str) -> np.ndarray:
        return ((frame[name] - frame["prior_mean"]) / scale).values

    axes.hlines(y, put("prior_low"), put("prior_high"), color=QUIET, lw=6, alpha=0.55)
    poor = (frame["contraction"] < 0.1).values
    axes.hlines(y, put("low"), put("high"), color=np.where(poor, VERMILLION, BLUE), lw=1.4)
    face = np.where(poor, "white", BLUE)
    edge = np.where(poor, VERMILLION, BLUE).tolist()
    axes.scatter(put("mid"), y, 14, face, edgecolors=edge, lw=1, zorder=3)
    _rows(axes, labels)
    if n:
        ends = np.abs(np.concatenate([put("low"), put("high"), [2.2]]))
        reach = float(np.nanmax(ends)) * 1.05
        axes.set_xlim(-reach, reach)
        _margin(axes, "learned", [f"{max(c, 0):.0%}" for c in frame["contraction"].values])


def answered(axes: Axes, frame: xr.Dataset) -> None:
    """Share of people who answered at all, by occasion; (group, occasion)."""
    frame = frame.dropna("occasion", how="all", subset=["answered"])
    n = frame.sizes["occasion"]
    ends = []
    for g, name in enumerate(map(str, frame["group"].values)):
        color, mark = look(g)
        at = frame.isel(group=g)
        axes.plot(range(n), at["answered"], color=color, marker="" if n > 12 else mark, ms=3.5)
        axes.plot(range(n), at["items"], color=color, ls=":", lw=1)
        ends.append((float(at["answered"][-1]), f"{words(name)} ({int(at['people'])})", color))
    axes.set(xlim=(-0.3, n - 0.7), ylim=(0, 1.03))
    _occasions(axes, frame)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    name_ends(axes, n - 0.7, ends)


def note(axes: Axes, text: str) -> None:
    """A panel that has nothing to draw says why."""
    axes.set_axis_off()
    axes.text(0, 0.9, text, transform=axes.transAxes, va="top", color=LINE, wrap=True)


def _chance(p: float) -> str:
    """A probability from draws, which are never so many that it is 0 or 1."""
    return "< .01" if p < 0.01 else "> .99" if p > 0.99 else f"{p:.2f}"


def _occasions(axes: Axes, frame: xr.Dataset) -> None:
    """Names of occasions below the axes, as many as have room."""
    names = [words(str(o)) for o in frame["occasion"].values]
    box = axes.get_window_extent().width / axes.get_figure(root=True).dpi / MM  # type: ignore[union-attr]
    longest = max((len(line) for name in names for line in name.split("\n")), default=1)
    room = max(1, int(box / (1.3 * longest + 2)))
    every = max(1, -(-len(names) // room))
    axes.set_xticks(range(0, len(names), every), names[::every])


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", left=False)
    for row in range(len(labels)):
        axes.axhline(row, color=SHADE, lw=0.6, zorder=-1)


def _margin(axes: Axes, title: str, entries: list[str]) -> None:
    """A column of numbers to the right of the rows, with its title above."""
    place: dict[str, Any] = {
        "textcoords": "offset points",
        "annotation_clip": False,
        "fontsize": SMALLEST,
    }
    for row, text in enumerate(entries):
        axes.annotate(
            text, (1, row), (18, 0), xycoords=("axes fraction", "data"), ha="right", va="center",
            color=INK, **place,
        )  # fmt: skip
    axes.annotate(
        title, (1, 1), (18, 2), xycoords="axes fraction", ha="right", va="bottom", color=LINE,
        **place,
    )  # fmt: skip

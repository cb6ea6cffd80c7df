"""One journal style for every picture: sizes as printed, colours that the colour-blind can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM = 1 / 25.4  # inches
COLUMN, PAGE = 85.0, 180.0  # widths of a column and of the page, in mm
SMALLEST = 6.5  # points

# Okabe and Ito's palette (2008)
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILLION, PURPLE = "#D55E00", "#CC79A7"
INK, LINE, QUIET, SHADE = "#222222", "#7A7A7A", "#B4B4B4", "#EFEFEF"
CYCLE = (BLUE, GREEN, PURPLE, ORANGE, SKY, LINE)  # what has no colour of its own
CAUSE = VERMILLION  # the cause that a practice holds

LEVEL = 0.89  # of every interval
WIDE = 1.598  # half-width of that interval of a mean, in standard errors

PASS, FAIL = "✓", "✗"
FORMATS = (".pdf", ".png", ".svg")
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.labelpad": 2,
    "axes.linewidth": 0.6,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.xmargin": 0.02,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "text.color": INK,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": SMALLEST,
    "svg.hashsalt": "attach_ai",
    "pdf.fonttype": 42,
}


def styled[**P](draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in this style, whatever style is set outside."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return inside


def sheet(width: float, height: float) -> Figure:
    """An empty figure of this size in mm."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width * MM, height * MM), dpi=200)


def panel(
    figure: Figure, left: float, top: float, width: float, height: float, **settings: Any
) -> Axes:
    """Axes placed in mm from the sheet's upper left corner."""
    across, down = figure.get_size_inches() / MM
    box = (left / across, 1 - (top + height) / down, width / across, height / down)
    axes = figure.add_axes(box)
    axes.set(**settings)
    return axes


def heading(axes: Axes, letter: str, text: str, *, left: float = 0, above: float = 2.5) -> None:
    """A panel's letter and title, `left` and `above` mm off its upper left corner."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    place |= {"ha": "left", "va": "bottom", "annotation_clip": False}
    x, y = -left * MM * 72, above * MM * 72
    axes.annotate(letter, (0, 1), (x, y), fontsize=9, fontweight="bold", **place)
    shift = 3.6 * MM * 72 if letter else 0
    axes.annotate(text, (0, 1), (x + shift, y), fontsize=7.5, **place)


def spread(wanted: Sequence[float], gap: float) -> np.ndarray:
    """Places at least `gap` apart, near the wanted ones: neighbours push each other apart."""
    at = np.array(wanted, float)
    order = np.argsort(at, kind="stable")
    y = at[order]
    for _ in range(500):
        short = gap - np.diff(y)
        if not (short > 1e-9).any():
            break
        push = np.maximum(short, 0) / 2
        y[:-1] -= push
        y[1:] += push
    at[order] = y
    return at


def name_ends(
    axes: Axes,
    x: float,
    ends: Sequence[tuple[float, str, str]],
    *,
    gap: float = 2.7,
    size: float = SMALLEST,
) -> None:
    """Write names beside the ends of lines, each (y, name, colour), at least `gap` mm apart."""
    low, high = axes.get_ylim()
    bottom, top = axes.get_window_extent().intervaly / axes.get_figure(root=True).dpi / MM  # type: ignore[union-attr]
    unit = (high - low) / (top - bottom)
    for (_, name, color), y in zip(ends, spread([e[0] for e in ends], gap * unit), strict=True):
        axes.annotate(
            name,
            (x, y),
            (3, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=color,
            fontsize=size,
            annotation_clip=False,
        )


def words(name: str) -> str:
    """A declared name as a person reads it."""
    return name.replace("_", " ")


def writable(path: str | Path) -> Path:
    """Where a figure can be saved; `InputError` for another ending or a missing folder."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise InputError(f"a figure is saved as {', '.join(FORMATS)}, got '{path.name}'")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder '{path.parent}'", place=str(path))
    return path


def save(figure: Figure, path: Path) -> None:
    """Write beside the target, then rename, so that no half-written file is left."""
    half = path.with_name(f".{path.name}{path.suffix}")
    try:
        figure.savefig(half, dpi=300)
        os.replace(half, path)
    except OSError as problem:
        raise InputError(f"cannot write ({problem.strerror})", place=str(path)) from None
    finally:
        half.unlink(missing_ok=True)

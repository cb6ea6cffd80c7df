"""The evidence ledger, drawn: what moved the log-odds of one level in each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.plot.style import CAUSE, INK, ORANGE, SKY

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# From zero outward; what a session leaves behind comes first, what is only lent to it last.
ENTRIES = {"body": CAUSE, "cues": SKY, "transitions": "#D6D6D6", "field": ORANGE}
NAMES = {
    "body": "body",
    "cues": "outer cues",
    "transitions": "transitions",
    "field": "held: lent,\nnot counted",
}


def stack(axes: Axes, x: np.ndarray, book: xr.Dataset) -> None:
    """Bars of the entries, gains upward and losses downward from zero, and the carried prior.

    `book`: entries over one dimension, at the places `x`.
    """
    up, down = np.zeros(len(x)), np.zeros(len(x))
    for name in ENTRIES:
        part = book[name].values
        base = np.where(part >= 0, up, down)
        axes.bar(x, part, 0.84, base, label=name, **_look(name))
        up, down = up + np.maximum(part, 0), down + np.minimum(part, 0)
    axes.axhline(0, color=INK, lw=0.5)
    axes.plot(x, book["carried"], color="white", lw=2)
    axes.plot(x, book["carried"], color=INK, marker="o", ms=2, mew=0, lw=1.2, label="carried")


def key(axes: Axes) -> None:
    """What the bars and the line are, to the right of the axes."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    # As in the stack: what lies outermost stands highest.
    handles: list[Any] = [Patch(label=NAMES[n], **_look(n)) for n in reversed(ENTRIES)]
    handles.append(Line2D([], [], color=INK, marker="o", ms=2, lw=1.2, label="carried prior"))
    axes.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handlelength=1.2,
        handletextpad=0.5,
        labelspacing=0.7,
        borderpad=0.3,
    )


def _look(name: str) -> dict[str, Any]:
    """The field is drawn hollow: it is lent for the session and never counted."""
    if name == "field":
        return {"facecolor": "white", "edgecolor": ENTRIES[name], "hatch": "//////", "lw": 0.4}
    return {"facecolor": ENTRIES[name], "lw": 0}

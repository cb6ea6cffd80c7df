"""What a verdict says, for the margin of its figure: shares, false passes, and what held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.plot.style import (
    FAIL,
    GREEN,
    INK,
    LINE,
    PASS,
    QUIET,
    SMALLEST,
    VERMILLION,
    panel,
    words,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SHARES = {
    "share": "parameter draws",
    "variants": "structural variants",
    "false_pass": "false pass: edges shuffled",
}
# Where in a row each stands, and how it looks.
MARKERS: dict[str, tuple[float, dict[str, Any]]] = {
    "share": (-0.2, {"marker": "o", "color": INK, "ms": 3.8, "mew": 0}),
    "variants": (0.0, {"marker": "D", "mfc": "white", "mec": GREEN, "mew": 1, "ms": 3.2}),
    "false_pass": (0.2, {"marker": "x", "color": LINE, "ms": 3.4, "mew": 1.1}),
}


def findings(verdict: Mapping[str, Any]) -> xr.Dataset:
    """Findings that decide, in the verdict's order: (perception, finding), NaN where there is none.

    `passed` is 1 or 0; `share`, `variants` and `false_pass` are the shares of parameter draws, of
    structural variants and of edge-shuffled models in which the sign holds.
    """
    import xarray as xr

    rows = [f for f in verdict["outcomes"] if f["decides"]]
    names = list(dict.fromkeys(f["name"] for f in rows))
    perceptions = list(dict.fromkeys(f["perception"] or "all" for f in rows))
    empty = np.full((len(perceptions), len(names)), np.nan)
    found = {k: empty.copy() for k in ("passed", *SHARES)}
    for f in rows:
        at = perceptions.index(f["perception"] or "all"), names.index(f["name"])
        found["passed"][at] = f["passed"]
        found["share"][at] = _number(f["share"])
        for name in ("variants", "false_pass"):
            found[name][at] = _number(f["measured"].get(name))
    return xr.Dataset(
        {k: (("perception", "finding"), v) for k, v in found.items()},
        {"perception": perceptions, "finding": names},
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def mark(verdict: Mapping[str, Any], name: str, perception: str) -> str:
    """The mark of one finding; empty where the verdict has none of that name."""
    found = [
        f["passed"]
        for f in verdict["outcomes"]
        if f["name"] == name and f["perception"] in (perception, None)
    ]
    return (PASS if found[0] else FAIL) if found else ""


def tally(verdict: Mapping[str, Any]) -> str:
    """How many predictions held, as a phrase for a title."""
    passed = findings(verdict)["passed"]
    parts = []
    for p in map(str, passed["perception"].values):
        at = passed.sel(perception=p).dropna("finding")
        parts.append(f"{int(at.sum())} of {at.size}" + ("" if p == "all" else f" {words(p)}"))
    return f"predictions held: {', '.join(parts)}"


def robustness(
    figure: Figure,
    verdict: Mapping[str, Any],
    *,
    left: float,
    top: float,
    width: float,
    height: float,
    labels: Mapping[str, str] | None = None,
    threshold: float = 0.8,
) -> Sequence[Any]:
    """Draw the findings, one panel a perception: where their signs hold, and the verdict's mark.

    `left` is where panels begin, in mm; names stand to the left of it. A perception under which
    nothing was swept says so. Returns the axes.
    """
    frame = findings(verdict)
    n_panels, n_rows = frame.sizes["perception"], frame.sizes["finding"]
    gap = 9.0
    wide = (width - gap * n_panels) / n_panels
    every = []
    for i, p in enumerate(frame["perception"].values):
        axes = panel(figure, left + i * (wide + gap), top, wide, height)
        axes.set(xlim=(-0.04, 1.04), ylim=(n_rows - 0.5, -0.5), xticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", ".5", "1"])
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        names = [(labels or {}).get(str(n), words(str(n))) for n in frame["finding"].values]
        axes.set_yticks(range(n_rows), names if i == 0 else [""] * n_rows)
        axes.axvline(threshold, color=QUIET, lw=0.8, ls=(0, (3, 2)), zorder=0)
        at = frame.sel(perception=p)
        for row in range(n_rows):
            axes.axhline(row, color=QUIET, lw=0.4, zorder=0)
            passed = float(at["passed"][row])
            mark = "" if np.isnan(passed) else PASS if passed else FAIL
            axes.annotate(
                mark,
                (1, row),
                (7, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                color=INK if passed else VERMILLION,
                fontsize=9,
                fontweight="bold",
                ha="left",
                va="center",
                annotation_clip=False,
            )
        for name, (shift, look) in MARKERS.items():
            rows = np.arange(n_rows) + shift
            axes.plot(at[name], rows, ls="", clip_on=False, label=SHARES[name], **look)
        axes.set_title("" if p == "all" else words(str(p)), fontsize=SMALLEST + 0.5, color=LINE)
        swept = any(np.isfinite(at[name]).any() for name in MARKERS)
        axes.set_xlabel("share" if swept else "reference only")
        every.append(axes)
    every[0].legend(
        loc="upper right",
        bbox_to_anchor=(0, -0.02),
        ncols=1,
        borderpad=0,
        handletextpad=0.1,
        labelspacing=0.25,
    )
    return every

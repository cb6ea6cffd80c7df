"""F3. Where each session's belief in the other came from, and what stayed of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.plot.findings import mark, robustness, tally
from attach_ai.plot.ledger import ENTRIES, key, stack
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LEVEL,
    LINE,
    PAGE,
    PURPLE,
    QUIET,
    SMALLEST,
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]

ARMS = {
    "practice": "Practice, body answers",
    "loop cut": "Practice, loop cut (null)",
    "real other": "Practice, a real other",
    "no practice": "No practice",
}
COLORS = {
    "practice": CAUSE,
    "loop cut": LINE,
    "real other": BLUE,
    "no practice": "#999999",
    "no practice, loop cut": "#999999",
}
MINDS = {"naive": "-", "aware": (0, (3, 1.6))}
LABELS = {
    "flat_without_evidence": "flat without evidence",
    "loop_pays": "the body loop pays",
    "loop_needs_naivety": "… only a naive mind",
    "real_other_pays": "a real other pays an aware mind",
    "orienting_survives_awareness": "orienting survives awareness",
}
BOOK = ("carried", "transitions", "body", "cues", "field")  # the order in which it is kept
HEIGHT = 178.0


# ------------------------------------------------------------------ frames


def books(cells: Cells) -> xr.Dataset:
    """Ledger of each arm (naive, free), seeds averaged: entries in nats, (arm, session).

    `prior` is the probability with which the session starts.
    """
    at = cells["exact.main.reference"].isel(model=0)
    at = at.sel(condition=[f"{a}, naive, free" for a in ARMS]).rename(condition="arm")
    n = at.sizes["ledger_0"]
    at = at.assign_coords(arm=list(ARMS), ledger_0=np.arange(1, n + 1))
    kept = at["ledger_mean"].rename(ledger_0="session")
    book = xr.Dataset({name: kept.isel(ledger_1=i) for i, name in enumerate(BOOK)})
    prior = at["prior_mean"].isel(prior_0=slice(n))
    return book.assign(prior=(("arm", "session"), prior.values))


def reference(cells: Cells, cell: str, variable: str) -> xr.Dataset:
    """`mean`, `low` and `high` (of the mean) at the reference: (condition, boundary or session)."""
    at = cells[cell].isel(model=0)
    mean, error = at[f"{variable}_mean"], WIDE * at[f"{variable}_se"]
    frame = xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})
    return frame.rename({f"{variable}_0": "time"}) if f"{variable}_0" in frame.dims else frame


def ends(cells: Cells, perception: str) -> xr.Dataset:
    """Prior at the end (free stance): the reference, and the span of draws; (source, mind)."""
    at = reference(cells, f"{perception}.main.reference", "prior").isel(time=-1)
    draws = cells[f"{perception}.main.draws"]["prior"].isel(prior_0=-1)
    low, high = draws.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2], "model").values
    frame = at.assign(draws_low=("condition", low), draws_high=("condition", high))
    names = xr.DataArray(
        [[f"{source}, {mind}, free" for mind in MINDS] for source in COLORS],
        {"source": list(COLORS), "mind": list(MINDS)},
    )
    return frame.sel(condition=names)


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Mapping[str, Any]) -> Figure:
    """Draw F3, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    figure.text(5 / PAGE, top, "Who pays for belief?", fontsize=10, fontweight="bold", va="center")
    figure.text(
        50 / PAGE,
        top,
        f"{tally(verdict)}; a, b, d to f: exact",
        color=LINE,
        fontsize=7.5,
        va="center",
    )
    _ledgers(figure, books(cells))
    _priors(figure, cells)
    _ends(figure, cells)
    _effort(figure, cells)
    _fiat(figure, cells)
    _orienting(figure, cells)
    axes = robustness(figure, verdict, left=136, top=143, width=43, height=21, labels=LABELS)
    on_full = mark(verdict, "the_same_on_the_full_model", "exact")
    text = "Does each prediction hold, and where?" + (f"  Full model {on_full}" if on_full else "")
    heading(axes[0], "g", text, left=37, above=4.5)
    return figure


def _ledgers(figure: Figure, frame: xr.Dataset) -> None:
    """(a) The picture of the paper: what each session's belief is made of."""
    entries = frame[list(ENTRIES)].to_dataarray()
    up = float(entries.clip(min=0).sum("variable").max())
    lowest = np.minimum(entries.clip(max=0).sum("variable"), frame["carried"])
    down = float(lowest.min())
    n = frame.sizes["session"]
    for i, (arm, title) in enumerate(ARMS.items()):
        axes = panel(figure, 14 + i * 36, 22, 33.5, 48, xlabel="session")
        book = frame.sel(arm=arm)
        stack(axes, book["session"].values, book)
        axes.set(xlim=(0.2, n + 0.8), ylim=(down * 1.45, up * 1.05))
        axes.set_xticks(sorted({1, (n + 1) // 2, n}))
        axes.locator_params("y", nbins=7, integer=True)
        for at, align in ((0, "left"), (-1, "right")):
            axes.annotate(
                f"{float(book['prior'][at]):.2f}".removeprefix("0"),
                (book["session"][at], book["carried"][at]),
                (0, -3),
                textcoords="offset points",
                ha=align,
                va="top",
                bbox={"facecolor": "white", "lw": 0, "pad": 0.5, "alpha": 0.8},
            )
        heading(axes, "", title, above=1.5)
        if i == 0:
            axes.set_ylabel("nats of log-odds (benevolent)")
            text = "Evidence ledger: what a session's belief is made of (naive mind, free choice)"
            heading(axes, "a", text, left=9, above=6.5)
        else:
            axes.set_yticklabels([])
    key(axes)


def _priors(figure: Figure, cells: Cells) -> None:
    """(b) What is left of it: the prior with which sessions start."""
    axes = panel(figure, 14, 91, 50, 34, xlabel="sessions behind", ylabel="prior P(benevolent)")
    frame = reference(cells, "exact.main.reference", "prior")
    names = []
    for source in ("no practice", "loop cut", "practice", "real other"):
        for mind, style in MINDS.items():
            at = frame.sel(condition=f"{source}, {mind}, free")
            _line(axes, at, COLORS[source], ls=style)
            if source in ("practice", "real other"):
                names.append((float(at["mean"][-1]), f"{source}, {mind}", COLORS[source]))
    null = frame.sel(condition="loop cut, naive, free")["mean"][-1]
    names.append((float(null), "loop cut; no practice", LINE))
    axes.set(xlim=(0, frame.sizes["time"] - 1), ylim=(0, axes.get_ylim()[1]))
    name_ends(axes, axes.get_xlim()[1], names)
    heading(axes, "b", "The prior it leaves behind", left=9, above=4.5)


def _ends(figure: Figure, cells: Cells) -> None:
    """(c) Who pays, under each perception, with the span over parameter draws."""
    rows = list(COLORS)
    found = [p for p in ("exact", "mean_field") if f"{p}.main.reference" in cells]
    for i, p in enumerate(found):
        axes = panel(figure, 123 + i * 28, 91, 25, 34, xlabel="prior at the end")
        frame = ends(cells, p)
        for y, source in enumerate(rows):
            for row, mind in ((y - 0.17, "naive"), (y + 0.17, "aware")):
                at, color = frame.sel(source=source, mind=mind), COLORS[source]
                axes.plot([at["draws_low"], at["draws_high"]], [row, row], color=color, lw=0.7)
                axes.plot([at["low"], at["high"]], [row, row], color=color, lw=2.4)
                face = color if mind == "naive" else "white"
                axes.plot(at["mean"], row, "o", color=color, mfc=face, ms=4.2, mew=1, clip_on=False)
        start = reference(cells, f"{p}.main.reference", "prior").isel(time=0, condition=0)
        axes.axvline(float(start["mean"]), color=QUIET, lw=0.8, ls=(0, (3, 2)), zorder=0)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 0.8), xticks=[0, 0.25, 0.5, 0.75])
        axes.set_xticklabels(["0", ".25", ".5", ".75"])
        _rows(axes, rows if i == 0 else [""] * len(rows))
        axes.set_title(words(p), color=LINE, fontsize=7, pad=2)
        if i == 0:
            text = f"Who pays  (● naive, ○ aware mind; line: {LEVEL:.0%} of draws)"
            heading(axes, "c", text, left=29, above=4.5)


def _effort(figure: Figure, cells: Cells) -> None:
    """(d) What holding costs."""
    axes = panel(figure, 14, 143, 20, 21, xlabel="session", ylabel="nats a step")
    effort = reference(cells, "exact.main.reference", "effort")
    for source in ("practice", "real other"):
        at = effort.sel(condition=f"{source}, naive, free")
        _line(axes, at, COLORS[source], first=1)
        middle = float(at["mean"].isel(time=slice(at.sizes["time"] // 3, None)).mean())
        axes.text(
            0.98,
            middle + 0.018,
            source,
            transform=axes.get_yaxis_transform(),
            color=COLORS[source],
            fontsize=SMALLEST,
            ha="right",
            va="bottom",
        )
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    heading(axes, "d", "Effort of holding", left=9)


def _fiat(figure: Figure, cells: Cells) -> None:
    """(e) Counting the held belief as if it had been observed."""
    axes = panel(figure, 44, 143, 20, 21, xlabel="sessions behind", ylabel="prior")
    fiat = reference(cells, "exact.fiat.reference", "prior").sel(condition="naive")
    null = reference(cells, "exact.main.reference", "prior")
    null = null.sel(condition="loop cut, naive, free")
    for at, color, text in ((fiat, PURPLE, "held, counted"), (null, LINE, "not counted")):
        _line(axes, at, color)
        axes.text(
            0.98,
            float(at["mean"][-1]) + 0.03,
            text,
            transform=axes.get_yaxis_transform(),
            color=color,
            fontsize=SMALLEST,
            ha="right",
            va="bottom",
        )
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    heading(axes, "e", "Counted by fiat", left=7)


def _orienting(figure: Figure, cells: Cells) -> None:
    """(f) What minds learn that orienting does, where it does something and where not."""
    axes = panel(figure, 79, 143, 17, 21, xlabel="learned effect")
    found = reference(cells, "exact.orienting.reference", "effect")
    names = {"naive": "naive", "aware": "aware", "world without the effect": "no effect"}
    for y, name in enumerate(names):
        at = found.sel(condition=name)
        axes.plot([at["low"], at["high"]], [y, y], color=INK, lw=2.4)
        face = "white" if name == "aware" else INK
        axes.plot(at["mean"], y, "o", color=INK, mfc=face, ms=4.2, mew=1)
    axes.axvline(0, color=QUIET, lw=0.8, zorder=0)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(None, 1.15 * float(found["high"].max())))
    _rows(axes, list(names.values()))
    heading(axes, "f", "Orienting calms", left=11)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)


def _line(axes: Axes, frame: xr.Dataset, color: str, first: int = 0, **style: Any) -> None:
    """A mean with the interval of the mean."""
    x = np.arange(frame.sizes["time"]) + first
    axes.plot(x, frame["mean"], color=color, **style)
    axes.fill_between(x, frame["low"], frame["high"], color=color, alpha=0.18, lw=0)

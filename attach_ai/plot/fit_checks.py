"""Pictures of whether a fit is to be believed: what could be told, is recovered, is calibrated.

Each returns a figure 180 mm wide; `path` saves it as PDF, PNG or SVG, by its ending. `InputError`
where the tree has no such group, or for another ending.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attach_ai.plot import fit_check_frames as frames
from attach_ai.plot.fit_labels import called, plain, spaced
from attach_ai.plot.fit_pages import done, grid
from attach_ai.plot.fit_panels import wrapped
from attach_ai.plot.style import (
    BLUE,
    INK,
    LEVEL,
    LINE,
    PAGE,
    QUIET,
    SHADE,
    SMALLEST,
    VERMILLION,
    heading,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUSTED = 0.7  # least correlation of true and estimated at which single people are spoken of
WANTED = 0.8  # power that a design is usually asked for
CELL, WIDE = 4.8, 24.0  # mm of a cell of a heat table


@styled
def identification(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """What the design could tell before any answer was read: shares with their numbers.

    Left, the population: the share of the prior's variance that answers take away, were all else
    known ("alone") and with all else unknown. Right: how reliably people can be told apart.
    """
    told = frames.identified(tree)
    population = told[["alone", "contraction"]].to_array("what").transpose("unknown", "what")
    persons = told["reliability"].expand_dims("what", 1)
    rows = max(population.sizes["unknown"], persons.sizes["effect"])
    figure = sheet(PAGE, 20 + rows * CELL + 4)
    for left, table, titles, head in (
        (58.0, population, ("alone", "with the rest"), "Population: share of prior variance told"),
        (148.0, persons, ("reliability",), "People"),
    ):
        n, columns = table.shape
        if not n:
            continue
        axes = panel(figure, left, 16, WIDE * columns, CELL * n)
        _heat(axes, table.values, [called(str(x)) for x in table[table.dims[0]].values], titles)
        heading(axes, "", head, left=0, above=5)
    return done(figure, path)


@styled
def recovery(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """True against estimated: first of single people, then of the population over replicates.

    Hollow, grey and struck where r < .7: not to be told of single people.
    """
    frame = frames.recovered(tree)
    figure, every = grid(frame.sizes["panel"], 4, 34.0, wide=34.0, left=10.0, above=17.0)
    for i, axes in enumerate(every):
        at = frame.isel(panel=i)
        r, fine = float(at["r"]), not float(at["r"]) < TRUSTED
        color = BLUE if fine else QUIET
        ends = np.nanmin(at["truth"]), np.nanmax(at["truth"])
        axes.plot(ends, ends, color=LINE, lw=0.8, zorder=0)
        face = color if fine else "none"
        axes.scatter(at["truth"], at["estimate"], 6, face, edgecolors=color, lw=0.6, alpha=0.7)
        what = "people: " if bool(at["of_people"]) else ""
        name = spaced(str(at["name"].values))
        heading(axes, "", wrapped(f"{what}{name}", 26), above=4.5)
        said = (
            f"r {_short(r)}{'' if fine else ' ✗'}; {LEVEL:.0%} covers {float(at['coverage']):.0%}"
        )
        axes.annotate(
            said, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points",
            fontsize=SMALLEST, color=LINE if fine else VERMILLION, annotation_clip=False,
        )  # fmt: skip
        if i % 4 == 0:
            axes.set_ylabel("estimated")
        if i >= len(every) - 4:
            axes.set_xlabel("true")
    return done(figure, path)


@styled
def calibration(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Simulation-based calibration: ECDF of ranks less the uniform one, in its simultaneous band.

    The sixteen quantities furthest out. A line that leaves the band is red and struck.
    """
    frame = frames.ranked(tree)
    figure, every = grid(frame.sizes["quantity"], 4, 22.0, wide=32.0, left=12.0)
    for i, axes in enumerate(every):
        at = frame.isel(quantity=i)
        out = bool(((at["ecdf"] < at["low"]) | (at["ecdf"] > at["high"])).any())
        axes.fill_between(at["at"], at["low"], at["high"], color=SHADE, lw=0)
        axes.axhline(0, color=LINE, lw=0.6)
        axes.step(at["at"], at["ecdf"], where="post", color=VERMILLION if out else BLUE, lw=1)
        axes.set(xlim=(0, 1))
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        name = spaced(str(frame["quantity"].values[i]))
        heading(axes, "", f"{name}{' ✗' if out else ''}", above=1.5)
        if i % 4 == 0:
            axes.set_ylabel("ECDF − uniform", fontsize=SMALLEST)
    return done(figure, path)


@styled
def comparison(tree: xr.DataTree, path: str | Path | None = None) -> Figure:
    """Models by how well they predict, best first, and how likely each is to be the commonest.

    A: difference in elpd from the best, in nats, with two standard errors; of people left out
    (filled) and of occasions left out (hollow). B: protected exceedance probability.
    """
    frame = frames.compared(tree)
    n = frame.sizes["model"]
    figure = sheet(PAGE, 25 + n * 7)
    names = [words(str(m)) for m in frame["model"].values]
    y = np.arange(n)
    axes = panel(figure, 48, 12, 68, n * 7, xlabel="elpd less the best model's, nats (± 2 se)")
    axes.axvline(0, color=LINE, lw=0.8, zorder=0)
    for what, shift, face in (("", -0.14, BLUE), ("waves_", 0.2, "white")):
        if f"{what}difference" in frame:
            at, error = frame[f"{what}difference"], 2 * frame[f"{what}difference_se"].fillna(0)
            color = LINE if what else BLUE
            axes.hlines(y + shift, at - error, at + error, color=color, lw=1.2)
            kind = "occasions left out" if what else "people left out"
            axes.scatter(at, y + shift, 16, face, edgecolors=color, lw=1, zorder=3, label=kind)
    _names(axes, names)
    heading(axes, "A", "Predicting what was left out")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.7, -0.1), borderpad=0, handletextpad=0.1)
    axes = panel(figure, 132, 12, 38, n * 7, xlabel="protected exceedance probability")
    axes.barh(y, frame["protected"], 0.5, color=BLUE)
    for i, p in enumerate(frame["protected"].values):
        axes.text(
            0.03 + (p if np.isfinite(p) else 0), i, _short(float(p)), va="center", fontsize=SMALLEST
        )
    axes.set(xlim=(0, 1.15))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    _names(axes, [""] * n)
    heading(axes, "B", "Which is the commonest")
    return done(figure, path)


@styled
def design(data: xr.Dataset, path: str | Path | None = None) -> Figure:
    """Power and assurance by people and waves, and how reliably people are told apart.

    `data`: of a `Design`; a row of panels for each choice of items and dose. Framed: power and
    assurance of .8 or more, a reliability of .7 or more.
    """
    frame = frames.designed(data)
    kinds = [k for k in ("power", "assurance", "reliability") if k in frame]
    rows, columns = frame.sizes["people"], frame.sizes["waves"]
    wide = min(44.0, columns * 11.0)
    figure, every = grid(3 * frame.sizes["panel"], 3, rows * 6.0, wide=wide, left=13.0, above=14.0)
    people = [str(p) for p in frame["people"].values]
    waves = tuple(str(w) for w in frame["waves"].values)
    for i, axes in enumerate(every):
        at, what = frame.isel(panel=i // 3), (*kinds, "")[i % 3]
        if not what:
            axes.set_axis_off()
            continue
        values = at[what]
        if "people" not in values.dims:
            values = values.expand_dims(people=frame["people"])
        wanted = TRUSTED if what == "reliability" else WANTED
        _heat(axes, values.transpose("people", "waves").values, people, waves, wanted)
        name = str(frame["panel"].values[i // 3])
        heading(axes, "", f"{what.capitalize()}{f', {name}' if name else ''}", above=4.5)
        if i % 3 == 0:
            axes.set_ylabel("people")
        axes.set_xlabel("waves")
    return done(figure, path)


@styled
def not_at_random(data: xr.Dataset, path: str | Path | None = None) -> Figure:
    """How effects on scores move where those who left are `delta` logits off those who stayed.

    `data`: of a `NotAtRandom`; red where the interval holds zero.
    """
    pairs = [(c, s) for c in data["contrast"].values for s in data["scale"].values]
    figure, every = grid(len(pairs), 3, 26.0, wide=42.0, left=12.0, above=13.0)
    for i, (axes, (contrast, scale)) in enumerate(zip(every, pairs, strict=True)):
        at, x = data.sel(contrast=contrast, scale=scale), data["delta"].values
        low, high = at["effect_low"].values, at["effect_high"].values
        holds = (low <= 0) & (high >= 0)
        edge = np.where(holds, VERMILLION, BLUE).tolist()
        face = np.where(holds, "white", BLUE)
        axes.axhline(0, color=LINE, lw=0.8)
        axes.axvline(0, color=QUIET, lw=0.6, ls=":")
        axes.vlines(x, low, high, color=edge, lw=1.2)
        axes.scatter(x, at["effect"], 12, face, edgecolors=edge, zorder=3)
        heading(axes, "", f"{plain(str(scale))}\n{plain(str(contrast))}", above=1.5)
        axes.set_xlabel("delta, logits")
        if i % 3 == 0:
            axes.set_ylabel("difference, points")
    return done(figure, path)


def _heat(
    axes: Axes, table: np.ndarray, rows: list[str], columns: tuple[str, ...], wanted: float = 0
) -> None:
    """Shares as cells, darker for more, each with its number.

    Framed: what reaches `wanted`; without it, in red, what stays below a tenth.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    shades = LinearSegmentedColormap.from_list("told", ["#FFFFFF", BLUE])
    axes.imshow(np.clip(table, 0, 1), cmap=shades, vmin=0, vmax=1.15, aspect="auto")
    for (i, j), x in np.ndenumerate(table):
        if np.isfinite(x):
            color = "white" if x > 0.6 else INK
            axes.text(
                j, i, _short(float(x)), ha="center", va="center", color=color, fontsize=SMALLEST
            )
            if (x >= wanted) if wanted else (x < 0.1):
                edge = INK if wanted else VERMILLION
                box = Rectangle((j - 0.47, i - 0.44), 0.94, 0.88, fill=False, ec=edge, lw=0.9)
                axes.add_patch(box)
    axes.set_xticks(range(len(columns)), columns)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _names(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", left=False)
    axes.spines["left"].set_visible(False)


def _short(x: float) -> str:
    """.83, 1.00, −.20"""
    if not np.isfinite(x):
        return "–"
    text = f"{x:.2f}".replace("-", "−")
    return text.replace("0.", ".", 1) if abs(x) < 0.995 else text

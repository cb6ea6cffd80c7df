"""A fit to real data beside its opponents: who predicts better, how answers are met, effects."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.plot.findings import tally
from attach_ai.plot.style import (
    BLUE,
    GREEN,
    INK,
    LEVEL,
    LINE,
    ORANGE,
    PAGE,
    PURPLE,
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

SE = 2.0  # standard errors either side
DESIGNED = ("waves", "items", "dose")
WANTED = 0.8  # power that a design is usually asked for
GROUPS = (GREEN, PURPLE, ORANGE)  # blue and red tell who is ahead
FEW = 12  # occasions up to which each is marked and named
GAP = 4  # occasions between episodes
TOP, SECOND = 24.0, 81.0  # mm


@styled
def contested(
    data: xr.Dataset,
    verdict: Mapping[str, Any],
    title: str,
    clock: str,
    *,
    rolling: int = 1,
    study: xr.Dataset | None = None,
    asked: str = "the effect",
) -> Figure:
    """Draw what `attach_ai.lab.fitted` gives, 180 mm wide.

    `clock` names an occasion; `rolling`: over how many of them scores and bands are averaged.
    `study`, the data of a `Design`: its power to find what is `asked`, by people.
    """
    effects = [str(q) for q in data["quantity"].values if str(q).startswith("effect[")]
    rivals = _ranked(data)
    left = 5.5 * len(rivals) + (48 if study is not None else 5)
    height = SECOND + max(left, 3.4 * len(effects)) + 10
    figure = sheet(PAGE, height)
    top = 1 - 4.5 / height
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(175 / PAGE, top, tally(verdict), color=LINE, fontsize=7.5, va="center", ha="right")
    _scores(figure, data, clock, rolling)
    _opponents(figure, data, rivals)
    _effects(figure, data, effects)
    if study is not None:
        _power(figure, study, asked, SECOND + 5.5 * len(rivals) + 23)
    return figure


def _ranked(data: xr.Dataset) -> list[str]:
    """Opponents, the strongest first; the model itself is at zero to the last digit."""
    every = [str(m) for m in data["model"].values]
    away = {m: float(data["ahead"].sel(model=m)) for m in every}
    return sorted((m for m in every if away[m] != 0), key=lambda m: away[m])


def _scores(figure: Figure, data: xr.Dataset, clock: str, rolling: int) -> None:
    """Observed mean scores by group and episode, over the band that the fit predicts."""
    scales = [str(s) for s in data["scale"].values]
    groups = [str(g) for g in data["group"].values]
    step = (PAGE - 8) / len(scales)
    for i, scale in enumerate(scales):
        axes = panel(figure, 14 + i * step, TOP, step - 10, 38)
        for g, group in enumerate(groups):
            _score(axes, data.sel(scale=scale, group=group), GROUPS[g % len(GROUPS)], rolling)
        _ticks(axes, data.sel(scale=scale), clock)
        instrument, _, name = scale.partition(".")
        axes.set_title(f"{words(instrument)}: {words(name)}" if len(scales) < 4 else words(name))
        if i == 0:
            axes.set_ylabel("mean score, points of an item")
            said = f"Observed (lines) and predicted ({LEVEL:.0%} bands)"
            if rolling > 1:
                said += f" of single {clock}s, both as running means of {rolling}"
            heading(axes, "a", said, left=9, above=6)
    handles = [_line(GROUPS[g % len(GROUPS)], words(n)) for g, n in enumerate(groups)]
    place = (175 / PAGE, 1 - 10.5 / _height(figure))
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=place, ncols=len(groups), borderpad=0
    )


def _score(axes: Axes, data: xr.Dataset, color: str, rolling: int) -> None:
    """One group's scores; nothing where nobody answered."""
    for start, episode in _episodes(data):
        here = data.sel(episode=episode)
        seen = np.flatnonzero(np.isfinite(here["score"].values))
        if not len(seen):
            continue
        low, high = (
            _rolled(here["predicted"].sel(end=e).values[seen], rolling) for e in ("low", "high")
        )
        score = _rolled(here["score"].values[seen], rolling)
        if len(seen) == 1:
            axes.vlines(start + seen, low, high, color=color, alpha=0.3, lw=5)
        axes.fill_between(start + seen, low, high, color=color, alpha=0.25, lw=0)
        style: dict[str, Any] = {"marker": "o", "ms": 3} if len(seen) <= FEW else {}
        axes.plot(start + seen, score, color=color, lw=1.1, **style)


def _episodes(data: xr.Dataset) -> list[tuple[int, str]]:
    """Where each episode begins: they lie side by side."""
    length = data.sizes["occasion"] + GAP
    return [(i * length, str(e)) for i, e in enumerate(data["episode"].values)]


def _ticks(axes: Axes, data: xr.Dataset, clock: str) -> None:
    """Occasions by their labels where they are few; else every twentieth, and episodes' names."""
    n, starts = data.sizes["occasion"], _episodes(data)
    if n <= FEW and len(starts) == 1:
        axes.set_xticks(range(n), [words(str(o)) for o in data["occasion"].values])
        axes.set_xlim(-0.3, n - 0.7)
        axes.set_xlabel(clock)
        return
    axes.set_xticks([s + n / 2 for s, _ in starts], [words(e) for _, e in starts])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel(f"up to {n} {clock}s each")


def _rolled(values: np.ndarray, n: int) -> np.ndarray:
    """Means of `n` neighbours, of those that there are at the ends."""
    if n <= 1:
        return values
    window, there = np.ones(min(n, len(values))), np.ones(len(values))
    total: np.ndarray = np.convolve(values, window, "same")
    return total / np.convolve(there, window, "same")


def _opponents(figure: Figure, data: xr.Dataset, rivals: list[str]) -> None:
    """How far ahead the model is of each opponent, in nats: right of zero it predicts better."""
    axes = panel(figure, 33, SECOND, 46, 5.5 * len(rivals))
    axes.set_xlabel(f"nats by which the model is ahead (± {SE:g} se)")
    y = np.arange(len(rivals))
    _middle(axes, len(rivals))
    for name, shift, mark, label in (
        ("ahead", -0.15, "o", "people left out"),
        ("waves_ahead", 0.2, "D", "occasions left out"),
    ):
        at = data[name].sel(model=rivals).values
        error = SE * np.nan_to_num(data[f"{name}_se"].sel(model=rivals).values)
        sign = np.where(at - error > 0, BLUE, np.where(at + error < 0, VERMILLION, LINE))
        main = mark == "o"
        axes.hlines(y + shift, at - error, at + error, color=sign, lw=1.3 if main else 0.7)
        face = sign if main else np.full(len(rivals), "white")
        axes.scatter(
            at, y + shift, 16 if main else 9, face, marker=mark, edgecolors=list(sign), zorder=3
        )
        axes.scatter(
            [], [], 16 if main else 9, LINE if main else "white", marker=mark, edgecolors=LINE,
            label=label,
        )  # fmt: skip
        if main:
            for row, (nats, wide) in enumerate(zip(at, error, strict=True)):
                told = f"{nats:+.0f} ± {wide:.0f}".replace("-", "−")
                axes.annotate(
                    told, (1, row), (4, 0), xycoords=("axes fraction", "data"), color=sign[row],
                    textcoords="offset points", va="center", fontsize=SMALLEST,
                    annotation_clip=False,
                )  # fmt: skip
    axes.set_yticks(y, [words(m) for m in rivals])
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.62, -0.7 / max(len(rivals), 1) - 0.12), ncols=2,
        borderpad=0, handletextpad=0.1,
    )  # fmt: skip
    heading(axes, "b", "Ahead of (blue) or behind (red) each opponent", left=28)


def _effects(figure: Figure, data: xr.Dataset, effects: list[str]) -> None:
    """Every effect of a covariate on a parameter, log-odds a unit, with its 89 % interval."""
    axes = panel(figure, 138, SECOND, 38, 3.4 * max(len(effects), 1))
    axes.set_xlabel(f"log-odds a unit ({LEVEL:.0%} intervals)")
    low, mid, high = (
        data["estimate"].sel(end=e, quantity=effects).values for e in ("low", "median", "high")
    )
    y = np.arange(len(effects))
    _middle(axes, len(effects))
    clear = (low > 0) | (high < 0)
    color = np.where(clear, BLUE, LINE)
    axes.hlines(y, low, high, color=color, lw=1.2)
    axes.scatter(mid, y, 12, np.where(clear, BLUE, "white"), edgecolors=list(color), zorder=3)
    axes.set_yticks(y, [_effect(q) for q in effects])
    held = f"{clear.sum()} of {len(effects)} leave zero out"
    heading(axes, "c", f"Effects on parameters: {held}", left=33)


def _effect(quantity: str) -> str:
    """ "effect[trust, mbct:after]" as "trust by mbct, after"."""
    parameter, _, covariate = quantity[len("effect[") : -1].partition(", ")
    return words(f"{parameter} by {covariate.replace(':', ', ').replace('.', ' ')}")


def _power(figure: Figure, study: xr.Dataset, asked: str, top: float) -> None:
    """Power by people, a line for each number of waves and choice of items (and dose)."""
    axes = panel(figure, 33, top, 46, 24, xlabel="people (logarithmic)")
    power = study["power"]
    people = power["people"].values.astype(float)
    axes.axhline(WANTED, color=LINE, lw=0.7, ls=(0, (3, 2)))
    every = list(product(*(power[d].values for d in DESIGNED)))
    said = [i for i, d in enumerate(DESIGNED) if power.sizes[d] > 1]
    for at, dark in zip(every, np.linspace(0.35, 1, len(every)), strict=True):
        line = power.sel(dict(zip(DESIGNED, at, strict=True))).values
        named = ", ".join(_axis(DESIGNED[i], at[i]) for i in said)
        axes.plot(people, line, "o-", color=BLUE, alpha=float(dark), ms=2.6, lw=1.1, label=named)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set(ylim=(0, 1.03), yticks=[0, 0.5, WANTED, 1])
    axes.set_xticks(people, [f"{p:.0f}" for p in people])
    axes.set_yticklabels(["0", ".5", ".8", "1"])
    axes.set_ylabel("power")
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), borderpad=0)
    heading(axes, "d", f"The study that would test it: {asked}", left=28)


def _axis(name: str, value: Any) -> str:
    return f"{value} {name}" if name != "dose" else f"dose {value}"


def _middle(axes: Axes, n: int) -> None:
    """Zero, and a hairline under each row."""
    axes.axvline(0, color=INK, lw=0.8, zorder=0)
    for row in range(n):
        axes.axhline(row, color=SHADE, lw=0.6, zorder=-1)
    axes.set_ylim(n - 0.4, -0.6)
    axes.tick_params(axis="y", left=False)
    axes.spines["left"].set_visible(False)


def _line(color: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, lw=1.5, label=label)


def _height(figure: Figure) -> float:
    return float(figure.get_size_inches()[1] * 25.4)

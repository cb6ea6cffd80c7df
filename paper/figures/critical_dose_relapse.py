"""F6. Doses of guided practice and what is left of them; what fades when practice stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.lab.fixed_points import evidence_share, fixed_points
from attach_ai.lab.setting import DEFAULTS
from attach_ai.plot.findings import mark, robustness, tally
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    GREEN,
    INK,
    LINE,
    ORANGE,
    PAGE,
    PURPLE,
    QUIET,
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]
Found = Mapping[str, Any]

DEPTHS = ("#C6DBEF", "#9ECAE1", "#6BAED6", "#2171B5", "#08306B")  # light is little
ARMS = {
    "free": ("imagined, free", CAUSE),
    "maintain forced": ("maintain forced", ORANGE),
    "real": ("real other", BLUE),
}
LABELS = {
    "critical_dose": "high γ: dose stays",
    "two_resting_places": "high γ: two resting places",
    "graded_at_low_precision": "low γ: graded, one place",
    "one_outcome_without_choice": "null: one place",
    "two_rates": "two rates of fading",
    "affect_is_lost": "affect is lost",
    "resource_is_kept": "resource is kept",
    "going_on_keeps_affect": "going on keeps affect",
}
WEEK = 5  # days over which calm is averaged
HEIGHT = 172.0


# ------------------------------------------------------------------ frames


def priors(cells: Cells) -> xr.DataArray:
    """Mean prior with an imagined other at high precision: (dose, boundary)."""
    return cells["exact.curve.reference"]["prior_mean"].isel(model=0).rename(prior_0="boundary")


def measured(verdict: Found, name: str, perception: str = "exact") -> Mapping[str, float]:
    """What stands behind a finding."""
    rows = (f for f in verdict["outcomes"] if (f["name"], f["perception"]) == (name, perception))
    return next(rows)["measured"]


def drift(cells: Cells) -> xr.DataArray:
    """Pull on trust at rest with its anchor, fear as in the phenotype: (arm, trust)."""
    data = cells["exact.map"]
    a = evidence_share(data.attrs["strength"], DEFAULTS["retention"], DEFAULTS["eta"])
    after = data["trust_after"].sel(gamma=8.0).interp(fear=data.attrs["fear"])
    return a * after + (1 - a) * data.attrs["trust"] - data["trust"]


def faded(cells: Cells, dose: int) -> xr.Dataset:
    """What practice gave, against those who never practised, by day after it stopped.

    Calm in weeks of five days, the prior by day; `arm`: stopped or continued.
    """
    data = cells["exact.relapse.reference"].isel(model=0)
    gap = data.sel(condition=["stopped", "continued"]) - data.sel(condition="never")
    # No window reaches over the stop: the last days of practice, then five days from each day on.
    calm = gap["affect_mean"]
    before = calm.isel(affect_0=slice(max(dose - WEEK, 0), dose)).mean("affect_0").values[:, None]
    after = calm.values[:, dose:]
    n = max(after.shape[1] - WEEK + 1, 1)
    weeks = np.stack([after[:, i : i + WEEK].mean(1) for i in range(n)], -1)
    prior = gap["prior_mean"].isel(prior_0=slice(dose, None))
    days = np.arange(prior.sizes["prior_0"])
    path = np.full(prior.shape, np.nan)
    path[:, : n + 1] = np.concatenate([before, weeks], 1)[:, : path.shape[1]]
    rows = {"calm": (("arm", "day"), path), "prior": (("arm", "day"), prior.values)}
    return xr.Dataset(rows, {"arm": ["stopped", "continued"], "day": days})


def release(cells: Cells) -> xr.Dataset:
    """The last day's end, against those who never practised: (step after release, ...)."""
    data = cells["exact.relapse.reference"].isel(model=0)
    gap = data["release_mean"].sel(condition="stopped") - data["release_mean"].sel(
        condition="never"
    )
    steps = np.arange(gap.sizes["release_0"])
    return xr.Dataset(
        {n: (("step",), gap.values[:, i]) for i, n in enumerate(("calm", "belief"))},
        {"step": steps},
    )


def stop(cells: Cells) -> int:
    """Days of practice before it stops: the dose that was also lived with a real other."""
    names = [str(c) for c in cells["exact.doses.reference"]["condition"].values]
    return max(int(n.rpartition(", ")[2]) for n in names if ", real, " in n)


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw F6, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "A critical dose, and what is lost on stopping?"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(
        97 / PAGE, top, f"{tally(verdict)}; a to g: exact", color=LINE, fontsize=6.5, va="center"
    )
    for part in (_lives, _kept, _drift, _ends, _release, _fading, _anchor):
        part(figure, cells, verdict)
    axes = robustness(figure, verdict, left=138, top=124, width=42, height=32, labels=LABELS)
    heading(axes[0], "h", "Does each prediction hold, and where?", left=36, above=4.5)
    return figure


def _lives(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(a) Lives of several doses."""
    axes = panel(figure, 14, 19, 46, 36, xlabel="session", ylabel="prior P(benevolent)")
    frame = priors(cells)
    doses = frame["dose"].values[::2].tolist()
    for g, color in zip(doses, DEPTHS[-len(doses) :], strict=True):
        path = frame.sel(dose=g)
        axes.plot(path["boundary"], path, color=color, lw=1.1)
        axes.plot(g, float(path.isel(boundary=g)), "o", color=color, ms=3.4)
        axes.annotate(
            str(g),
            (g, float(path.isel(boundary=g))),
            (0, 3.5),
            textcoords="offset points",
            color=INK,
            fontsize=6.5,
            ha="center",
        )
    axes.set_xlim(0, frame.sizes["boundary"] - 1)
    axes.set_ylim(0, max(0.5, float(frame.max()) * 1.15))
    text = f"Guided to ●, then free (γ = 8) {mark(verdict, 'critical_dose', 'exact')}"
    heading(axes, "a", text, left=9, above=2.5)


def _kept(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(b) What the dose gave, and what a free follow-up left: precision, rates, the null."""
    axes = panel(figure, 88, 19, 34, 36, xlabel="prior gained by the dose")
    all_settings = measured(verdict, "nothing_learned_nothing_given")
    names = list(dict.fromkeys(k.split(",")[0] for k in all_settings))
    rows = []
    for n in names:
        gave, left = (v for k, v in all_settings.items() if k.split(",")[0] == n)
        rows.append((n.replace("gamma", "γ ="), gave, left, CAUSE))
    null = measured(verdict, "one_outcome_without_choice")
    rows.append(("real other, γ = 8", null["gave"], null["left"], BLUE))
    for i, (_, gave, left, color) in enumerate(rows):
        axes.plot([gave, left], [i, i], color=QUIET, lw=0.8)
        axes.plot(gave, i, "o", mfc="white", mec=color, ms=4, clip_on=False)
        axes.plot(left, i, "o", color=color, ms=4)
    axes.axvline(0, color=INK, lw=0.6)
    axes.set_yticks(range(len(rows)), [r[0] for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    text = f"Gained (○), left later (●) {mark(verdict, 'graded_at_low_precision', 'exact')}"
    heading(axes, "b", text, left=22, above=2.5)


def _drift(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(c) The session map: where trust is drawn, and where it rests."""
    axes = panel(figure, 136, 19, 24, 36, xlabel="trust", ylabel="pull on trust")
    frame = drift(cells)
    axes.axhline(0, color=INK, lw=0.6)
    ends = []
    for arm, (name, color) in ARMS.items():
        at = frame.sel(arm=arm)
        axes.plot(at["trust"], at, color=color)
        for place, stable in fixed_points(at["trust"].values, at.values):
            axes.plot(place, 0, "o", color=color, mfc=color if stable else "white", ms=5, zorder=4)
        ends.append((float(at[-1]), name, color))
    axes.set(xlim=(0, 1))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    name_ends(axes, 1.0, ends)
    text = f"Resting places {mark(verdict, 'two_resting_places', 'exact')}"
    heading(axes, "c", text, left=9, above=2.5)


def _ends(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(d) Where single lives end, by dose."""
    axes = panel(figure, 14, 74, 46, 32, xlabel="guided sessions", ylabel="prior, last session")
    data = cells["exact.lives"]["prior"]
    doses = priors(cells)["dose"].values
    spread = np.random.default_rng(1).uniform(-0.3, 0.3, data.sizes["life"])
    for i, g in enumerate(doses):
        lives = data.sel(dose=g)
        axes.plot(i + spread, lives, ".", color=CAUSE, ms=2, alpha=0.5, mew=0)
        axes.plot([i - 0.35, i + 0.35], [float(lives.mean())] * 2, color=INK, lw=1.2)
    axes.set_xticks(range(len(doses)), [str(g) for g in doses])
    axes.set_ylim(0, 1)
    text = f"Two lumps of lives? (γ = 8) {mark(verdict, 'lives_in_two_lumps', 'exact')}"
    heading(axes, "d", text, left=9, above=2.5)


def _release(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(e) What fades in steps: the end of the last day."""
    axes = panel(figure, 79, 74, 24, 32, xlabel="steps after release", ylabel="more than never")
    frame = release(cells)
    names = []
    for name, color in (("belief", CAUSE), ("calm", GREEN)):
        axes.plot(frame["step"], frame[name], color=color, marker="o", ms=2.4)
        names.append((float(frame[name][-1]), name, color))
    axes.axhline(0, color=INK, lw=0.6)
    axes.axvline(0.5, color=QUIET, ls=(0, (3, 2)), lw=0.8)
    axes.set_xlim(0, frame.sizes["step"] - 1)
    name_ends(axes, frame.sizes["step"] - 1, names)
    heading(axes, "e", "State, last day", left=9, above=2.5)


def _fading(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(f) What fades in days."""
    axes = panel(figure, 125, 74, 30, 32, xlabel="days after stopping", ylabel="more than never")
    frame = faded(cells, stop(cells))
    names = []
    for name, color in (("prior", PURPLE), ("calm", GREEN)):
        for arm, style in (("stopped", "-"), ("continued", ":")):
            at = frame[name].sel(arm=arm)
            axes.plot(at["day"], at, color=color, ls=style, lw=1.1)
            end = at.dropna("day")[-3:]
            names.append((float(end.mean()), f"{name}, {arm}", color))
    data = cells["exact.relapse.reference"]["prior_se"].isel(model=0).sel(condition="stopped")
    error = WIDE * data.values[stop(cells) :]
    at = frame["prior"].sel(arm="stopped")
    axes.fill_between(at["day"], at - error, at + error, color=PURPLE, alpha=0.15, lw=0)
    axes.axhline(0, color=INK, lw=0.6)
    axes.set_xlim(0, frame.sizes["day"] - 1)
    name_ends(axes, frame.sizes["day"] - 1, names)
    heading(axes, "f", f"Days {mark(verdict, 'two_rates', 'exact')}", left=9, above=2.5)


def _anchor(figure: Figure, cells: Cells, verdict: Found) -> None:
    """(g) The published pattern as signs, beside the simulated one."""
    axes = panel(figure, 9, 124, 90, 30)
    axes.set(xlim=(0, 1), ylim=(3.5, -0.6))
    axes.axis("off")

    def passed(name: str) -> bool:
        rows = (f for f in verdict["outcomes"] if (f["name"], f["perception"]) == (name, "exact"))
        return bool(next(rows)["passed"])

    def share(name: str) -> str:
        m = measured(verdict, name)
        return f"{m['left'] / m['gave']:.0%} left" if m["gave"] else "none gained"

    days = measured(verdict, "affect_is_lost")["after_days"]
    rows = [
        (
            "affect, those who go on",
            "kept",
            "kept" if passed("going_on_keeps_affect") else "not sure",
            "",
        ),
        (
            "affect, those who stop",
            "lost",
            "lost" if passed("affect_is_lost") else "not sure",
            share("affect_is_lost"),
        ),
        (
            "resource, those who stop",
            "kept",
            "kept" if passed("resource_is_kept") else "lost",
            share("resource_is_kept"),
        ),
    ]
    for x, text in ((0.38, "published, 15 months"), (0.72, f"simulated, {days:.0f} days")):
        axes.text(x, -0.3, text, color=LINE, fontsize=6.5)
    for i, (name, published, simulated, left) in enumerate(rows):
        agree = published == simulated
        axes.axhline(i + 0.2, color=QUIET, lw=0.4)
        axes.text(0, i + 0.75, name, va="center")
        axes.text(0.38, i + 0.75, published, va="center", color=BLUE, fontweight="bold")
        color = BLUE if agree else CAUSE
        axes.text(0.72, i + 0.75, simulated, va="center", color=color, fontweight="bold")
        axes.text(0.84, i + 0.75, left, va="center", fontsize=6.5, color=LINE)
    source = "Published signs: Cohn & Fredrickson (2010)."
    axes.text(0, 3.7, source, fontsize=6.5, color=LINE)
    heading(axes, "g", "Who keeps what", left=4, above=2.5)

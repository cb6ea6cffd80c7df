"""F5. Fear of loss against the held belief, in worlds where nobody ever leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from attach_ai.lab.fixed_points import fixed_points, hysteresis
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
    WIDE,
    heading,
    name_ends,
    panel,
    sheet,
    styled,
    words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, xr.Dataset]
Found = Mapping[str, Any]

# What the practice arm is compared with, and how it is drawn.
ARMS: dict[str, tuple[str, str]] = {
    "real other": ("a real other", BLUE),
    "kappa 0": ("κ = 0", GREEN),
    "self fixed": ("self fixed", ORANGE),
    "no monitor": ("no monitoring", PURPLE),
}
READOUTS = {"alarm": (GREEN, "alarm"), "checking": (BLUE, "checking"), "loss": (CAUSE, "loss")}
DEPTHS = ("#9ECAE1", "#4292C6", "#08306B")  # of fear, or of kappa: light is little
LABELS = {
    "threshold_in_kappa": "two stable states above some κ",
    "falls_without_withdrawal": "falls though nobody withdraws",
    "not_linear_in_fear": "falls late, not linearly",
    "needs_kappa": "needs κ",
    "needs_shame": "needs shame",
    "needs_monitoring": "needs monitoring",
    "order_of_collapse": "alarm, checking, then loss",
    "monitoring_hurts_imagined_not_real": "checking hurts imagined, not real",
}
HEIGHT = 176.0


# ------------------------------------------------------------------ frames


def falls(cells: Cells, perception: str) -> xr.Dataset:
    """Held belief at the end with the interval of its mean, by arm and fear; NaN where none ran."""
    at = cells[f"{perception}.arms.reference"].isel(model=0, held_0=-1)
    at = at[["held_mean", "held_se"]]
    arms: dict[str, dict[float, xr.Dataset]] = {}
    for name in map(str, at["condition"].values):
        arm, _, fear = name.partition(", fear ")
        if fear:
            arms.setdefault(arm, {})[float(fear)] = at.sel(condition=name, drop=True)
    rows = [
        xr.concat(list(fears.values()), xr.DataArray(list(fears), dims="fear", name="fear"))
        for fears in arms.values()
    ]
    both = xr.concat(rows, xr.DataArray(list(arms), dims="arm", name="arm"), join="outer")
    mean, error = both["held_mean"], WIDE * both["held_se"]
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error}).sortby("fear")


def forced(cells: Cells, perception: str) -> xr.Dataset:
    """Carried belief at the end when a choice is forced: (other, choice)."""
    at = cells[f"{perception}.arms.reference"].isel(model=0, unheld_0=-1)
    names = xr.DataArray(
        [[f"{o} other, {c} forced" for c in ("maintain", "monitor")] for o in ("real", "imagined")],
        {"other": ["real", "imagined"], "choice": ["maintain", "monitor"]},
    )
    at = at.sel(condition=names)
    mean, error = at["unheld_mean"], WIDE * at["unheld_se"]
    return xr.Dataset({"mean": mean, "low": mean - error, "high": mean + error})


def drift(cells: Cells, perception: str) -> xr.DataArray:
    """Change of P(benevolent) over one session, by kappa, fear and trust at its start."""
    data = cells[f"{perception}.map"]
    return data["trust_after"] - data["trust"]


def rests(cells: Cells, perception: str) -> xr.Dataset:
    """Where trust comes to rest while fear rises (`up`) and while it falls again (`down`)."""
    flow = drift(cells, perception).transpose("kappa", "fear", "trust")
    paths = [hysteresis(flow["trust"].values, at.values) for at in flow]
    up, down = (np.array([p[i] for p in paths]) for i in (0, 1))
    axes = ("kappa", "fear")
    return xr.Dataset({"up": (axes, up), "down": (axes, down)}, {k: flow[k] for k in axes})


def course(cells: Cells, perception: str) -> xr.DataArray:
    """What a step of fear changes in the first session, against little fear: (step, readout)."""
    at = cells[f"{perception}.arms.reference"]["course_mean"].isel(model=0)
    fears = falls(cells, perception).sel(arm="kappa 0").dropna("fear")["fear"].values
    gap = at.sel(condition=f"practice, fear {fears[-1]}") - at.sel(
        condition=f"practice, fear {fears[0]}"
    )
    gap = gap.rename(course_0="step", course_1="readout")
    return gap.assign_coords(step=np.arange(1, gap.sizes["step"] + 1), readout=list(READOUTS))


# ------------------------------------------------------------------ drawing


@styled
def draw(cells: Cells, verdict: Found) -> Figure:
    """Draw F5, 180 mm wide. `cells` as the experiment's `summary` gave them."""
    figure = sheet(PAGE, HEIGHT)
    top = 1 - 4.5 / HEIGHT
    title = "Fear of loss where nobody leaves"
    figure.text(5 / PAGE, top, title, fontsize=10, fontweight="bold", va="center")
    figure.text(
        74 / PAGE, top, f"{tally(verdict)}; b to e: exact", color=LINE, fontsize=7.5, va="center"
    )
    found = [p for p in ("exact", "mean_field") if f"{p}.arms.reference" in cells]
    for i, p in enumerate(found):
        _falls(figure, cells, verdict, p, i)
    for part in (_forced, _drift, _rests, _course):
        part(figure, cells, verdict, found[0])
    axes = robustness(figure, verdict, left=130, top=130, width=50, height=31, labels=LABELS)
    on_full = mark(verdict, "the_same_on_the_full_model", "exact")
    text = "Does each prediction hold, and where?" + (f"  Full model {on_full}" if on_full else "")
    heading(axes[0], "f", text, left=42, above=4.5)
    return figure


def _falls(figure: Figure, cells: Cells, verdict: Found, p: str, i: int) -> None:
    """(a) The held belief against fear, and with one thing taken away."""
    axes = panel(figure, 14 + i * 68, 21, 40, 40, xlabel="fear of loss, P(contingent)")
    frame = falls(cells, p)
    names = []
    for arm, (name, color) in ARMS.items():
        at = frame.sel(arm=arm).dropna("fear")
        axes.errorbar(
            at["fear"], at["mean"], at["high"] - at["mean"], color=color, marker="o", ms=3, lw=0.9
        )
        names.append((float(at["mean"][-1]), name, color))
    at = frame.sel(arm="practice").dropna("fear")
    axes.plot(at["fear"], at["mean"], color=CAUSE, lw=1.8, marker="o", ms=2.4)
    axes.fill_between(at["fear"], at["low"], at["high"], color=CAUSE, alpha=0.18, lw=0)
    names.append((float(at["mean"][-1]), "practice", CAUSE))
    axes.set(xlim=(0, 1), ylim=(0, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    name_ends(axes, 1.0, names)
    axes.set_title(
        f"{words(p)} {mark(verdict, 'falls_without_withdrawal', p)}", color=LINE, fontsize=7, pad=2
    )
    if i == 0:
        axes.set_ylabel("held P(benevolent), last session")
        heading(axes, "a", "Held belief and fear of loss", left=9, above=4.5)


def _forced(figure: Figure, cells: Cells, verdict: Found, p: str) -> None:
    """(b) Checking, forced, with an imagined and with a real other."""
    axes = panel(figure, 153, 21, 13, 40, ylabel="carried P(benevolent)")
    frame = forced(cells, p)
    names = []
    for other, color in (("real", BLUE), ("imagined", CAUSE)):
        at = frame.sel(other=other)
        axes.errorbar(
            [0, 1], at["mean"], at["high"] - at["mean"], color=color, marker="o", ms=4, lw=1.1
        )
        names.append((float(at["mean"][-1]), other, color))
    axes.set(xlim=(-0.35, 1.35), ylim=(0, 1.04), xticks=[0, 1], yticks=[0, 0.5, 1])
    axes.set_xticklabels(["maintain", "monitor"], rotation=30, ha="right", rotation_mode="anchor")
    name_ends(axes, 1.2, names)
    text = f"Choice forced {mark(verdict, 'monitoring_hurts_imagined_not_real', p)}"
    heading(axes, "b", text, left=9, above=4.5)


def _drift(figure: Figure, cells: Cells, verdict: Found, p: str) -> None:
    """(c) The session map: where trust goes from where it stands."""
    flow = drift(cells, p)
    fears = flow["fear"].values[[0, flow.sizes["fear"] // 2, -1]]
    for i, kappa in enumerate((flow["kappa"].values[0], flow["kappa"].values[-1])):
        axes = panel(figure, 14 + i * 35, 82, 31, 29, xlabel="trust at the start")
        axes.axhline(0, color=INK, lw=0.6)
        for fear, color in zip(fears, DEPTHS, strict=True):
            at = flow.sel(kappa=kappa, fear=fear)
            axes.plot(at["trust"], at, color=color)
            for place, stable in fixed_points(at["trust"].values, at.values):
                face = color if stable else "white"
                axes.plot(place, 0, "o", color=color, mfc=face, ms=5, mew=1, zorder=4)
        axes.set(xlim=(0, 1), ylim=(-0.85, 0.75), yticks=[-0.5, 0, 0.5])
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_title(f"κ = {kappa:g}", color=LINE, fontsize=7, pad=2)
        if i == 0:
            axes.set_ylabel("change over a session")
            text = "Drift of trust over a session: two stable places above some κ?"
            text = f"{text} {mark(verdict, 'threshold_in_kappa', p)}"
            heading(axes, "c", text, left=9, above=4.5)
        else:
            axes.set_yticklabels([])
            at = flow.sel(kappa=kappa).isel(trust=-1)
            ends = zip(fears, DEPTHS, strict=True)
            name_ends(axes, 1.0, [(float(at.sel(fear=f)), f"fear {f:g}", c) for f, c in ends])


def _rests(figure: Figure, cells: Cells, verdict: Found, p: str) -> None:
    """(d) Where trust rests while fear is swept up and down."""
    axes = panel(figure, 112, 82, 36, 29, xlabel="fear of loss", ylabel="trust at rest")
    frame = rests(cells, p)
    kappas = frame["kappa"].values[[0, frame.sizes["kappa"] // 2, -1]]
    names = []
    for kappa, color in zip(kappas, DEPTHS, strict=True):
        at = frame.sel(kappa=kappa)
        axes.plot(at["fear"], at["up"], color=color, lw=2.4)
        axes.plot(at["fear"], at["down"], "o", ms=2.6, mfc="white", mec=INK, mew=0.6)
        names.append((float(at["up"][-1]), f"κ = {kappa:g}", color))
    axes.set(xlim=(0, 1), ylim=(0, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    name_ends(axes, 1.0, names)
    heading(axes, "d", "Fear swept up (line) and down (○)", left=9, above=4.5)


def _course(figure: Figure, cells: Cells, verdict: Found, p: str) -> None:
    """(e) The order of events after a step of fear."""
    axes = panel(figure, 14, 130, 46, 29, xlabel="step", ylabel="change with fear")
    frame = course(cells, p)
    measured: Mapping[str, float | None] = next(
        (
            f["measured"]
            for f in verdict["outcomes"]
            if (f["name"], f["perception"]) == ("order_of_collapse", p)
        ),
        {},
    )
    axes.axhline(0, color=INK, lw=0.6)
    names = []
    for readout, (color, name) in READOUTS.items():
        at = frame.sel(readout=readout)
        axes.plot(at["step"], at, color=color, lw=1.1)
        names.append((float(at[-5:].mean()), name, color))
        half = measured.get(readout)
        if half is not None:
            axes.plot(half, float(at.sel(step=half)), "v", color=color, ms=5, mec="white", mew=0.6)
    axes.set_xlim(1, frame.sizes["step"])
    name_ends(axes, frame.sizes["step"], names)
    text = f"After a step of fear (▾ half-way) {mark(verdict, 'order_of_collapse', p)}"
    heading(axes, "e", text, left=9, above=4.5)

"""S2. Is the trap of an injured mind a place of high or of low free energy, and how is it left?

The landscape is mean surprise: how many nats a step a mind with prior trust x pays for the outcomes
of a life, L(x) = E[-ln p_x(o | past, choices)] / steps, with outcomes from a world and choices from
that very mind. It is drawn twice, over the life that the injured mind believes in (the world made
of its own model) and over one with a real other. Then the mind lives with the real other and
learns, at several concentrations of its prior, until trust passes one half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from attach_ai.agent import Dirichlet
from attach_ai.lab import Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.fixed_points import fixed_points
from attach_ai.lab.population import KINDS, Condition, Population, Values, holds, signs
from attach_ai.lab.relapse import exponential_over_linear
from attach_ai.lab.setting import DEFAULTS, Setting, reduced
from attach_ai.model import load_phenotype, load_practice
from attach_ai.model.practice import Schedule
from attach_ai.simulation import Record

FIGURE = "S2"
QUESTION = "Is the trap a place of high or of low free energy, and how long does it take to leave?"
PREDICTION = (
    "Under the injured mind's own model the trap is cheap: little trust surprises less than much. "
    "Under the world of a real other it is dear, against much trust there and against the life it "
    "believes in, and it is a local minimum: a barrier stands before the way out. The time to "
    "leave grows exponentially with the concentration of the prior, as over a barrier (Kramers)."
)
REFUTATION = (
    "Little trust surprises more than much under the own model, or less under the world's; or a "
    "trapped mind is less surprised by a real other than by the life it believes in; or no "
    "barrier; or the time to leave grows linearly with concentration, as counts do (AIC)."
)
ABLATION = "the world in place of the own model"
NULL = "the same model on both sides (landscapes coincide); learning rate scaled with concentration"
CLAIMS = (40,)
MODELS = ("attachment_core", "attachment_injury", "waitlist", "real_other")

# Committed before the first full run.
AIC = 2.0  # one law of growth must beat the other by more than this
TRAP, FREE = 0.05, 0.8  # trust in the trap, and out of it
OUT = 0.5  # trust at which the trap is left

TRUSTS = (0.02, TRAP, 0.1, 0.2, 0.35, 0.5, 0.65, FREE, 0.9, 0.98)
FEW = (TRAP, 0.1, 0.2, 0.35, 0.5, FREE)
FEARS = (0.02, 0.25, 0.5, 0.75, 0.98)
CONCENTRATIONS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
COARSE = (0.5, 1.0, 2.0, 3.0)
STEPS = 12
BLOCK = 8  # lives whose mean escape is fitted at once
BENEVOLENT = 2


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` elsewhere, `n_map` at each point of the map.

    `n_sessions`: sessions that make up a point of the landscape; `patience`: those in which a mind
    may leave the trap at the reference under exact inference, `hurry` elsewhere.
    """

    n_seeds: int = 64
    n_draws: int = 64
    n_paired: int = 8
    n_shuffles: int = 24
    n_map: int = 24
    n_sessions: int = 4
    patience: int = 150
    hurry: int = 60
    seed: int = 40
    perceptions: tuple[str, ...] = ("exact",)


SMOKE = Config(
    n_seeds=2, n_draws=2, n_paired=2, n_shuffles=2, n_map=1, n_sessions=2, patience=4, hurry=4
)
STANDARD = Config()
DEEP = Config(
    n_seeds=200, n_draws=1000, n_shuffles=100, n_map=100, perceptions=("exact", "mean_field")
)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Landscape and escape in four populations, the landscape over fear; mean field less."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in config.perceptions:
        for kind in KINDS if p == "exact" else KINDS[:1]:
            work[f"{p}.landscape.{kind}"] = partial(_landscape, config, p, kind)
            work[f"{p}.escape.{kind}"] = partial(_escape, config, p, kind)
    work["exact.fear"] = partial(_fear, config)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: the reference and the landscape over fear."""
    return reduced({n: d for n, d in found.items() if n.endswith((".reference", ".fear"))})


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction, under each perception."""
    outcomes = []
    for p in config.perceptions:
        here = {n.removeprefix(f"{p}."): c for n, c in found.items() if n.startswith(p)}
        outcomes += [*_on_landscape(p, here), *_on_escape(config, p, here)]
    return Verdict("trap_landscape", PREDICTION, REFUTATION, tuple(outcomes))


def _asked(
    found: Mapping[str, xr.Dataset], what: str, contrast: Callable[[xr.Dataset], xr.DataArray]
) -> tuple[bool, dict[str, float]]:
    """The verdict rule, and the figures behind it; where no draws were made, the reference's."""
    kinds = [k for k in KINDS if f"{what}.{k}" in found]
    figures = signs(contrast, {k: found[f"{what}.{k}"] for k in kinds}, kinds)
    return holds({"share": 1.0} | figures), figures


def _on_landscape(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    def level(d: xr.Dataset, world: str, trust: float) -> xr.DataArray:
        return d["surprise"].sel(condition=f"{world}, {trust}")

    def barrier(d: xr.Dataset) -> xr.DataArray:
        """How far the way out rises above the trap before it falls: its first step."""
        return level(d, "real", 0.1) - level(d, "real", TRAP)

    asked: list[tuple[str, str, str, Callable[[xr.Dataset], xr.DataArray]]] = [
        (
            "cheap_under_its_own_model",
            f"in the life it believes in, trust {TRAP} surprises less than trust {FREE}",
            # Gibbs' inequality, but for what choices change.
            "BUILT-IN",
            lambda d: level(d, "own", FREE) - level(d, "own", TRAP),
        ),
        (
            "dear_under_the_world",
            f"with a real other, trust {TRAP} surprises more than trust {FREE}",
            "BUILT-IN",
            lambda d: level(d, "real", TRAP) - level(d, "real", FREE),
        ),
        (
            "dearer_than_the_life_it_believes_in",
            f"at trust {TRAP} a real other surprises more than the life that is believed in",
            "EMERGENT",
            lambda d: level(d, "real", TRAP) - level(d, "own", TRAP),
        ),
        (
            "a_barrier_before_the_way_out",
            "with a real other a little more trust than the trap's surprises more, not less",
            "EMERGENT",
            barrier,
        ),
    ]
    at = found["landscape.reference"].isel(model=0).mean("seed")
    measured = {
        f"{world}_at_{x}": float(level(at, world, x)) for world in ("own", "real") for x in FEW
    } | {f"{world}_lowest_at": _minimum(at, world) for world in ("own", "real")}
    outcomes: list[Finding] = []
    for name, text, kind, contrast in asked:
        passed, m = _asked(found, "landscape", contrast)
        first = measured if not outcomes else {}
        outcomes.append(Finding(name, text, passed, m | first, m.get("share"), p, kind, claim=40))
    return outcomes


def _minimum(mean: xr.Dataset, world: str) -> float:
    """Where a landscape is lowest; all its local minima are stable places of the downhill flow."""
    trusts = np.array(TRUSTS)
    heights = np.array([float(mean["surprise"].sel(condition=f"{world}, {x}")) for x in TRUSTS])
    places = [x for x, stable in fixed_points(trusts, -np.gradient(heights, trusts)) if stable]
    return min(places, key=lambda x: float(np.interp(x, trusts, heights)))


def _on_escape(config: Config, p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    passed, m = _asked(found, "escape", _kramers)
    counted, line = _asked(found, "escape", lambda d: -_kramers(d) - 2 * AIC)
    at = found["escape.reference"].isel(model=0)
    times = at["time"].sel(condition="kept").mean("seed")
    c = times["concentration"].values
    slope = np.polyfit(np.log(c), np.log(times.values), 1)[0]
    outcomes = [
        Finding(
            "exponential_in_concentration",
            "an exponential in concentration fits the time to leave better than a line",
            passed,
            m
            | {f"sessions_at_{x:g}": float(times.sel(concentration=x)) for x in c}
            | {"power_of_concentration": float(slope)},
            share=m.get("share"),
            perception=p,
            claim=40,
        ),
        Finding(
            "linear_in_concentration",
            "a line fits better than an exponential, as conjugate counts have it",
            counted,
            line | {"draws_that_left_in_time": _in_time(found)},
            share=line.get("share"),
            perception=p,
            claim=40,
            decides=False,
        ),
    ]
    if "forgets" not in at["condition"]:
        return outcomes
    stayed = at["time"].sel(condition="forgets") > _last(at)
    left = {f"left_at_{x:g}": 1 - float(stayed.sel(concentration=x).mean()) for x in c}
    return [
        *outcomes,
        Finding(
            "forgetting_closes_the_way",
            "with anchored forgetting (retention .95) the most concentrated priors never leave",
            left[f"left_at_{c[-1]:g}"] < 0.5 < left[f"left_at_{c[0]:g}"],
            left | {"closes_at_for_q_1": _closes(1.0), "closes_at_for_q_.9": _closes(0.9)},
            perception=p,
            kind="BUILT-IN",
            claim=40,
            decides=False,
        ),
    ]


def _last(data: xr.Dataset) -> float:
    return float(data.attrs["sessions"])


def _in_time(found: Mapping[str, xr.Dataset]) -> float:
    """Share of draws in which every life leaves in time at every concentration."""
    if "escape.draws" not in found:
        return float("nan")
    times = found["escape.draws"]["time"].sel(condition="kept").max(("concentration", "seed"))
    return float((times <= _last(found["escape.draws"])).mean())


def _closes(q: float) -> float:
    """Concentration past which trust rests below one half, where sessions end with belief q.

    At rest p = (1 - a) p0 + a q with a = eta / (eta + 10 c (1 - retention)).
    """
    strength = 10.0 * (1 - DEFAULTS["retention"]) * (OUT - TRAP)
    return float(DEFAULTS["eta"] * (q - OUT) / strength)


def _kramers(d: xr.Dataset) -> xr.DataArray:
    """AIC(line) - AIC(exponential) - 2 of the time to leave, by blocks of lives: (model, seed).

    Blocks in which a concentration is never left in time speak for neither: -2.
    """
    times = d["time"].sel(condition="kept")
    size = min(BLOCK, times.sizes["seed"])
    n = times.sizes["seed"] // size
    c = times["concentration"].values
    worth = np.full((times.sizes["model"], n), -AIC)
    for m, i in product(range(times.sizes["model"]), range(n)):
        block = times.isel(model=m, seed=slice(i * size, (i + 1) * size))
        if float(block.max()) <= _last(d):
            worth[m, i] = exponential_over_linear(c, block.mean("seed").values) - AIC
    return xr.DataArray(worth, dims=("model", "seed"))


# ------------------------------------------------------------------ what is run


def _here(learning: Dirichlet, retention: float = 1.0) -> Setting:
    """Ordinary life, a few steps a day; the body reports what is so (gain 0, rate 1)."""
    waitlist = load_practice("waitlist")
    phases = tuple(replace(x, steps=STEPS) for x in waitlist.phases)
    return Setting(
        mind=load_phenotype("attachment_injury"),
        practice=replace(waitlist, schedule=Schedule(steps=STEPS), phases=phases),
        learning=learning,
        # The learning rate is the concentration by another name (docs/decisions.md).
        fixed=("gain", "rate", "hold", "retention", "eta", "trust", "awareness"),
        defaults={**DEFAULTS, "gain": 0.0, "rate": 1.0, "retention": retention},
    )


def _own(here: Setting, group: Population) -> Values:
    """The world as the injured mind believes it to be: its own model, trust as in the trap."""
    mine = {k: v for k, v in here.mind.items() if k in here.model.parameters}
    return {k: v for k, v in mine.items() if k not in group.values} | {"trust": TRAP}


def _landscape(config: Config, p: str, kind: str) -> xr.Dataset:
    here = _here(Dirichlet())
    group = here.population(kind, config)
    worlds = {"own": _own(here, group), "real": here.world("real_other")}
    trusts = TRUSTS if kind == "reference" else FEW
    conditions = {
        f"{name}, {x}": Condition({"trust": x}, world)
        for name, world in worlds.items()
        for x in trusts
    }
    return here.live(p, group, conditions, _surprise, config)


def _fear(config: Config) -> xr.Dataset:
    """The landscape over trust and fear of loss: (world, fear, trust)."""
    here = _here(Dirichlet())
    points = np.array(list(product(FEARS, TRUSTS)))
    values = {"fear_of_loss": points[:, 0], "trust": points[:, 1]}
    names = tuple(str(i) for i in range(len(points)))
    group = Population("map", (here.model,) * len(points), values, names, config.n_map)
    mine = {k: v for k, v in here.mind.items() if k in here.model.parameters}
    worlds = {"own": {**mine, "trust": TRAP}, "real": here.world("real_other")}
    conditions = {name: Condition(world=world) for name, world in worlds.items()}
    data = here.live("exact", group, conditions, _surprise, config)
    coords: dict[str, list[Any]] = {"world": list(worlds), "fear": list(FEARS)}
    coords |= {"trust": list(TRUSTS)}
    shape = tuple(len(c) for c in coords.values())
    means = data["surprise"].mean("seed").values.reshape(shape)
    return xr.Dataset({"surprise": (tuple(coords), means)}, coords)


def _escape(config: Config, p: str, kind: str) -> xr.Dataset:
    """Sessions until trust passes one half, (condition, concentration, model, seed)."""
    whole = kind == "reference" and p == "exact"
    n = config.patience if whole else config.hurry
    every = []
    for retention in (1.0, DEFAULTS["retention"])[: 1 + whole]:
        here = _here(Dirichlet(D=("agents", "law")), retention)
        group = here.population(kind, config)
        conditions = {"real": Condition({"trust": TRAP}, here.world("real_other"))}
        sizes = replace(config, n_sessions=n)
        grid = CONCENTRATIONS if whole else COARSE
        each = [
            # Counts c times as strong are learned from as with a rate c times as small.
            here.live(p, _learning(group, c), conditions, _leaves, sizes).isel(condition=0)
            for c in grid
        ]
        axis = xr.DataArray(list(grid), dims="concentration", name="concentration")
        every.append(xr.concat(each, axis).drop_vars("condition"))
    names = ["kept", "forgets"][: len(every)]
    found = xr.concat(every, xr.DataArray(names, dims="condition", name="condition"))
    return found.assign_attrs(sessions=n)


def _learning(group: Population, concentration: float) -> Population:
    eta = np.full(group.n, DEFAULTS["eta"] / concentration)
    return replace(group, values={**group.values, "eta": eta})


def _surprise(record: Record, arm: Arm) -> dict[str, Any]:
    """Mean surprise a step, in nats."""
    return {"surprise": record.decision.evidence.vfe.mean()}


def _leaves(record: Record, arm: Arm) -> dict[str, Any]:
    """Sessions until trust passes one half; one more than were lived if it never does."""
    counts = jnp.concatenate([record.counts["D.agents"][1:], record.final_counts["D.agents"][None]])
    out = counts[:, BENEVOLENT] / counts.sum(-1) > OUT
    n = out.shape[0]
    first = jnp.where(out, jnp.arange(1, n + 1, dtype=jnp.int32), n + 1).min()
    return {"time": first.astype(counts.dtype)}

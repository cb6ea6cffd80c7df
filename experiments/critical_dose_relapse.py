"""F6. Is there a critical dose of guided practice, and what is lost when practice stops?

A life has so many guided sessions, in which the other is held throughout, and then sessions without
guidance, in which operators still act while one maintains and the choice is one's own. The other is
imagined: what calms is the body's answer to holding, so that evidence hangs on what is chosen. If
choice makes two outcomes there is a dose below which the old prior returns and above which the new
one keeps itself. Afterwards practice stops altogether, ordinary life goes on and is learned from,
and what fades is timed: the held state in steps, the prior in days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from attach_ai.lab import Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.fixed_points import evidence_share, fixed_points, settle, two_lumps
from attach_ai.lab.population import KINDS, Condition, Population, holds, signs
from attach_ai.lab.relapse import two_rates
from attach_ai.lab.setting import DEFAULTS, Setting, reduced
from attach_ai.model import load_phenotype, load_practice
from attach_ai.model.practice import Schedule
from attach_ai.simulation import Days, Record

FIGURE = "F6"
QUESTION = "Is there a critical dose of guided practice, and what is lost when it stops?"
PREDICTION = (
    "At high precision of choice there are two outcomes with a critical dose between them: below "
    "it the old prior returns, above it the new one keeps itself; at low precision, or where "
    "evidence does not hang on what is chosen, there is one outcome and the dose is forgotten. "
    "When practice stops the state fades in steps and the prior in days, two rates and not one: "
    "affect is lost, the resource is kept."
)
REFUTATION = (
    "One resting place at high precision, or less than half of what the dose gave left after a "
    "free follow-up; or as much left with low precision or a real other; or one rate fits the "
    "fading better (AIC); or affect is kept, or the resource is not."
)
ABLATION = "nothing forgotten (retention 1); nothing learned (eta 0); maintain forced throughout"
NULL = "evidence that does not hang on what is chosen: a real other; maintain forced throughout"
CLAIMS = (20, 23)
MODELS = (
    "attachment_core",
    "attachment_injury",
    "loving_kindness",
    "imagined_other",
    "real_other",
)

# Committed before the first full run.
KEPT = 0.5  # of what a dose or practice gave, more than this share counts as kept
GIVES = 0.05  # a dose that raises the prior by less gives next to nothing (reported beside)
AIC = 2.0  # a second rate must be worth more than this
LUMPS = 0.8  # a sample with more of its variance between two halves has two lumps
LOW, HIGH = 0.5, 8.0  # precision of choice (gamma)
GAMMAS = (LOW, 2.0, HIGH, 32.0)

LOOSE, FIRM = f"gamma {LOW:g}", f"gamma {HIGH:g}"
SETTINGS: dict[str, dict[str, float]] = {f"gamma {g:g}": {"gamma": g} for g in GAMMAS} | {
    f"{name} {value:g}": {name: value}
    for name, value in (("retention", 0.9), ("retention", 0.99), ("retention", 1.0), ("eta", 0.0))
}
TRUSTS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.98)
FEARS = (0.02, 0.15, 0.3, 0.5, 0.7, 0.9, 0.98)
MAINTAIN = 0
FREE = (0, 1, 2)
SHORT = {"select": 2, "include": 4, "non_interference": 14}  # steps
RELEASE = 8  # steps without operators at the end of a day, where relapse is watched
WEEK = 5  # days over which calm is averaged
BLOCK = 8  # lives whose mean curve is fitted at once
AGENTS, LAW, BENEVOLENT, BODY, CALM = 1, 4, 2, 0, 0


Contrast = Callable[[xr.Dataset], xr.DataArray]


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` elsewhere, `n_map` at each point of the map.

    `n_sessions`: of follow-up at the reference; `follow`: those that contrasts read; `dose`: guided
    sessions in contrasts, and days of practice before it stops.
    """

    n_seeds: int = 64
    n_draws: int = 64
    n_paired: int = 8
    n_shuffles: int = 24
    n_map: int = 24
    n_sessions: int = 60
    follow: int = 25
    doses: tuple[int, ...] = (0, 3, 6, 10, 15, 20, 30)
    dose: int = 15
    seed: int = 23
    perceptions: tuple[str, ...] = ("exact",)


SMOKE = Config(
    n_seeds=2,
    n_draws=2,
    n_paired=2,
    n_shuffles=2,
    n_map=1,
    n_sessions=3,
    follow=3,
    doses=(0, 1, 2),
    dose=2,
)
STANDARD = Config()
DEEP = Config(
    n_seeds=200, n_draws=1000, n_shuffles=100, n_map=200, perceptions=("exact", "mean_field")
)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Doses and relapse in four populations, and the session map; mean field at the reference."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in config.perceptions:
        for kind in KINDS if p == "exact" else KINDS[:1]:
            work[f"{p}.doses.{kind}"] = partial(_doses, config, p, kind)
            work[f"{p}.relapse.{kind}"] = partial(_relapse, config, p, kind)
        work[f"{p}.map"] = partial(_map, config, p)
    work["exact.curve.reference"] = partial(_curve, config)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: reference and map, and where single lives end at high gamma."""
    whole = {n: d for n, d in found.items() if n.endswith((".reference", ".map"))}
    lives = found["exact.curve.reference"]["prior"].isel(model=0, prior_0=-1)
    return reduced(whole) | {"exact.lives": lives.rename(seed="life").to_dataset()}


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction, under each perception."""
    outcomes = []
    for p in config.perceptions:
        here = {n.removeprefix(f"{p}."): c for n, c in found.items() if n.startswith(p)}
        outcomes += [*_on_doses(config, p, here), *_on_relapse(config, p, here)]
    outcomes += _on_curve(config, found)
    return Verdict("critical_dose_relapse", PREDICTION, REFUTATION, tuple(outcomes))


def _asked(
    found: Mapping[str, xr.Dataset], what: str, contrast: Contrast
) -> tuple[bool, dict[str, float]]:
    """The verdict rule, and the figures behind it; where no draws were made, the reference's."""
    kinds = [k for k in KINDS if f"{what}.{k}" in found]
    figures = signs(contrast, {k: found[f"{what}.{k}"] for k in kinds}, kinds)
    return holds({"share": 1.0} | figures), figures


def _gap(config: Config, d: xr.Dataset, at: str, other: str, after: int) -> xr.DataArray:
    """What the dose has given, so many sessions after its end and after a start without."""
    none, some = (d["prior"].sel(condition=f"{at}, {other}, {g}") for g in (0, config.dose))
    return some.isel(prior_0=config.dose + after) - none.isel(prior_0=after)


def _on_doses(config: Config, p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    gap = partial(_gap, config)

    def stays(at: str, other: str, sign: int) -> tuple[bool, dict[str, float]]:
        def contrast(d: xr.Dataset) -> xr.DataArray:
            return sign * (gap(d, at, other, config.follow) - KEPT * gap(d, at, other, 0))

        passed, figures = _asked(found, "doses", contrast)
        gave, left = (float(gap(mean, at, other, k)) for k in (0, config.follow))
        figures |= {"gave": gave, "left": left}
        if "doses.draws" in found:
            # Where a dose gives next to nothing, what is left of it is noise.
            draws = found["doses.draws"].mean("seed")
            gives = (gap(draws, at, other, 0) > GIVES).values
            share = (contrast(draws).values > 0)[gives]
            figures["gives_in"] = float(gives.mean())
            figures["share_where_it_gives"] = float(share.mean()) if gives.any() else float("nan")
        return passed, figures

    mean = found["doses.reference"].isel(model=0).mean("seed")
    rests = _rests(found["map"])
    two, kept = stays(FIRM, "imagined", 1)
    graded, faded = stays(LOOSE, "imagined", -1)
    null, real = stays(FIRM, "real", -1)
    alone = [rests[f"{arm}, {FIRM}"] == 1 for arm in ("real", "maintain forced")]
    statements = [
        (
            "critical_dose",
            f"at {FIRM} more than half of what the dose gave stays through a free follow-up",
            two,
            kept | {"a_filter_would_leave": kept["gave"] * DEFAULTS["retention"] ** config.follow},
        ),
        (
            "two_resting_places",
            f"at {FIRM} the session map of trust and fear comes to rest in two places",
            rests[f"free, {FIRM}"] >= 2,
            rests,
        ),
        (
            "graded_at_low_precision",
            f"at {LOOSE} less than half stays, and there is one resting place",
            graded and rests[f"free, {LOOSE}"] == 1,
            faded,
        ),
        (
            "one_outcome_without_choice",
            "with a real other less than half stays; there and with maintain forced there is one "
            "resting place",
            null and all(alone),
            real,
        ),
    ]
    return [
        Finding(name, text, passed, m, share=m.get("share"), perception=p, claim=20)
        for name, text, passed, m in statements
    ]


def _on_curve(config: Config, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    """What the dose-response curve and the other settings say: beside the verdict."""
    prior = found["exact.curve.reference"]["prior"].isel(model=0)
    mean = found["exact.doses.reference"].isel(model=0).mean("seed")
    lumps = {g: two_lumps(prior.sel(dose=g).isel(prior_0=-1).values) for g in config.doses}
    turns = _turns(config, prior.mean("seed"))
    left = {
        f"{at}, {when}": float(_gap(config, mean, at, "imagined", k))
        for at in SETTINGS
        for when, k in (("gave", 0), ("left", config.follow))
    }
    beside = partial(Finding, perception="exact", claim=20, decides=False)
    return [
        beside(
            "lives_in_two_lumps",
            f"at some dose the priors of single lives end in two lumps ({FIRM})",
            max(lumps.values()) > LUMPS,
            {f"between_halves_dose_{g}": v for g, v in lumps.items()},
        ),
        beside(
            "drift_turns_upward",
            "along the dose the drift after guidance turns from a fall into a rise",
            bool(turns),
            {"critical_dose": turns[0] if turns else float("nan")},
        ),
        beside(
            "nothing_learned_nothing_given",
            "with eta 0 no dose gives anything; what each setting gives and keeps",
            abs(left["eta 0, gave"]) < 1e-6,
            left,
            kind="BUILT-IN",
        ),
    ]


def _turns(config: Config, prior: xr.DataArray) -> list[float]:
    """Doses at which what follows guidance changes from a fall into a rise: the separatrix."""
    start, end = (
        [float(prior.sel(dose=g).isel(prior_0=g + k)) for g in config.doses]
        for k in (0, config.follow)
    )
    drift = np.array(end) - np.array(start)
    return [x for x, stable in fixed_points(np.array(config.doses, float), drift) if not stable]


def _rests(data: xr.Dataset) -> dict[str, float]:
    """How many resting places (fear, trust) has, forgetting included, and the highest trust."""
    pull = evidence_share(data.attrs["strength"], DEFAULTS["retention"], DEFAULTS["eta"])
    found: dict[str, float] = {}
    for arm, gamma in product(map(str, data["arm"].values), GAMMAS):
        at = data.sel(arm=arm, gamma=gamma)
        places = settle(at, pull=pull, anchor=(data.attrs["fear"], data.attrs["trust"]))
        found[f"{arm}, gamma {gamma:g}"] = float(len(places))
        found[f"{arm}, gamma {gamma:g}, trust"] = max(t for _, t in places)
    found["nothing forgotten"] = float(len(settle(data.sel(arm="free", gamma=HIGH))))
    return found


def _on_relapse(config: Config, p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    dose, day = config.dose, config.dose + config.follow

    def prior(d: xr.Dataset, when: int) -> xr.DataArray:
        at = d["prior"].isel(prior_0=when)
        return at.sel(condition="stopped") - at.sel(condition="never")

    def calm(d: xr.Dataset, arm: str, until: int) -> xr.DataArray:
        at = d["affect"].isel(affect_0=slice(max(until - WEEK, 0), until)).mean("affect_0")
        return at.sel(condition=arm) - at.sel(condition="never")

    def lost(d: xr.Dataset) -> xr.DataArray:
        return KEPT * calm(d, "stopped", dose).mean("seed") - calm(d, "stopped", day)

    def kept(d: xr.Dataset) -> xr.DataArray:
        return prior(d, day) - KEPT * prior(d, dose).mean("seed")

    def goes_on(d: xr.Dataset) -> xr.DataArray:
        return calm(d, "continued", day) - calm(d, "stopped", day)

    mean = found["relapse.reference"].isel(model=0).mean("seed")
    _, one, two = two_rates(*_curves(config, mean))
    half = {
        "half_life_state_steps": two.half_lives[0],
        "half_life_prior_days": two.half_lives[1] / _steps(release=True),
        "half_life_of_counts_days": -np.log(2) / np.log(DEFAULTS["retention"]),
        "half_life_if_one_steps": one.half_lives[0],
    }
    affect = {"gave": float(calm(mean, "stopped", dose)), "left": float(calm(mean, "stopped", day))}
    affect["after_days"] = float(config.follow)
    resource = {"gave": float(prior(mean, dose)), "left": float(prior(mean, day))}
    statements: list[tuple[str, str, Contrast, dict[str, float], str]] = [
        (
            "two_rates",
            "after release the state fades at another rate than the prior: two fit, one does not",
            partial(_second_rate, config),
            half,
            "CONDITIONAL",
        ),
        (
            "affect_is_lost",
            f"{config.follow} days after stopping less than half of the calm that it gave is left",
            lost,
            affect,
            "EMERGENT",
        ),
        (
            "resource_is_kept",
            f"{config.follow} days after stopping more than half of what the prior gained is left",
            kept,
            resource,
            "EMERGENT",
        ),
        (
            "going_on_keeps_affect",
            "those who go on practising are calmer than those who stopped",
            goes_on,
            {},
            "EMERGENT",
        ),
    ]
    outcomes = []
    for name, text, contrast, measured, kind in statements:
        passed, m = _asked(found, "relapse", contrast)
        share = m.get("share")
        outcomes.append(
            Finding(name, text, passed, m | measured, share, perception=p, kind=kind, claim=23)
        )
    lent = float(mean["release"].sel(condition="stopped").isel(release_0=0, release_1=2))
    outcomes.append(
        Finding(
            "the_field_goes_at_once",
            "let go, the held belief falls to the unheld one within the step",
            lent > 0,
            {"lent_by_the_field": lent},
            perception=p,
            kind="BUILT-IN",
            claim=23,
            decides=False,
        )
    )
    return outcomes


def _curves(config: Config, mean: xr.Dataset) -> tuple[list[Any], list[Any]]:
    """What practice had given, as it fades: state (calm, belief) by steps, prior by days."""
    gap = mean.sel(condition="stopped") - mean.sel(condition="never")
    steps = np.arange(1.0, RELEASE + 1)
    state = [(steps, gap["release"].values[1:, i]) for i in (0, 1)]
    days = np.arange(config.follow + 1)
    # Nights are not counted: days stand as near to steps as they can, which favours one rate.
    return state, [(days * float(_steps(release=True)), gap["prior"].values[config.dose + days])]


def _second_rate(config: Config, d: xr.Dataset) -> xr.DataArray:
    """AIC(one rate) - AIC(two) - 2, by blocks of lives in place of seeds: (model, seed)."""
    size = min(BLOCK, d.sizes["seed"])
    means = [
        [
            d.isel(model=m, seed=slice(i, i + size)).mean("seed")
            for i in range(0, d.sizes["seed"] - size + 1, size)
        ]
        for m in range(d.sizes["model"])
    ]
    worth = [[two_rates(*_curves(config, x))[0] - AIC for x in row] for row in means]
    return xr.DataArray(worth, dims=("model", "seed"))


# ------------------------------------------------------------------ what is run


def _steps(release: bool) -> int:
    return sum(SHORT.values()) + RELEASE * release


def _here(values: Mapping[str, float] | None = None, *, release: bool = False) -> Setting:
    """The practice in a few steps, every day; with `release` a day ends without operators."""
    practice = load_practice("loving_kindness")
    phases = tuple(replace(x, steps=SHORT[x.name]) for x in practice.phases)
    if release:
        phases += (replace(phases[0], name="release", steps=RELEASE),)
    schedule = Schedule(steps=_steps(release))
    return Setting(
        mind=load_phenotype("attachment_injury"),
        practice=replace(practice, schedule=schedule, phases=phases),
        fixed=("gamma", "retention", "awareness"),
        ranges={"trust": (0.01, 0.2)},
        defaults={**DEFAULTS, **(values or {})},
    )


def _life(n: int, *, practised: int, guided: int) -> Days:
    """`n` days that all teach, the first ones practised and guided."""
    day = np.arange(n)
    dtype = jnp.zeros(()).dtype
    on, led = (jnp.asarray(day < k, dtype) for k in (practised, guided))
    return Days(practised=on, guided=led, taught=jnp.ones_like(on), rest=jnp.zeros_like(on))


def _guided(config: Config, p: str, kind: str, at: str, lives: list[tuple[str, int]]) -> xr.Dataset:
    """Prior by boundary for each (other, dose): sessions under guidance, then free ones."""
    here = _here(SETTINGS[at])
    whole = kind == "reference"
    n = max(config.doses) + config.n_sessions if whole else config.dose + config.follow
    conditions = {
        f"{at}, {other}, {g}": Condition(
            world=here.world(f"{other}_other"),
            allowed=(MAINTAIN,),
            days=_life(n, practised=n, guided=g),
        )
        for other, g in lives
    }
    sizes, group = replace(config, n_sessions=n), here.population(kind, config)
    return here.live(p, group, conditions, _prior, sizes)


def _doses(config: Config, p: str, kind: str) -> xr.Dataset:
    """A dose and none: at low and high precision, with a real other; all settings once."""
    every = []
    for at in SETTINGS if kind == "reference" and p == "exact" else (LOOSE, FIRM):
        others = ("imagined", "real") if at == FIRM else ("imagined",)
        lives = list(product(others, (0, config.dose)))
        every.append(_guided(config, p, kind, at, lives))
    return xr.concat(every, "condition")


def _curve(config: Config) -> xr.Dataset:
    """The whole dose-response curve at high precision, (dose, model, seed, boundary)."""
    lives = [("imagined", g) for g in config.doses]
    data = _guided(config, "exact", "reference", FIRM, lives)
    return data.rename(condition="dose").assign_coords(dose=list(config.doses))


def _relapse(config: Config, p: str, kind: str) -> xr.Dataset:
    """Those who never practise, who stop, who go on; all in the same everyday life."""
    here = _here(release=True)
    n = config.dose + (config.n_sessions if kind == "reference" else config.follow)
    world = here.world("imagined_other")
    conditions = {
        name: Condition(world=world, days=_life(n, practised=k, guided=k))
        for name, k in (("never", 0), ("stopped", config.dose), ("continued", n))
    }
    sizes, group = replace(config, n_sessions=n), here.population(kind, config)
    return here.live(p, group, conditions, _fading(config.dose - 1), sizes)


def _map(config: Config, p: str) -> xr.Dataset:
    """One session from each (fear, trust): what the unheld belief is at its end, by arm."""
    here = _here()
    mind = here.mind
    fear = mind["fear_of_loss"] + (1 - mind["fear_of_loss"]) * mind["instability"]
    points = np.array(list(product(GAMMAS, FEARS, TRUSTS)))
    # Of what is not stable, contingent keeps the share it has in the phenotype.
    contingent = points[:, 1] * mind["fear_of_loss"] / fear
    values = {
        "gamma": points[:, 0],
        "fear_of_loss": contingent,
        "instability": (points[:, 1] - contingent) / (1 - contingent),
        "trust": points[:, 2],
    }
    names = tuple(str(i) for i in range(len(points)))
    group = Population("map", (here.model,) * len(points), values, names, config.n_map)
    imagined, real = here.world("imagined_other"), here.world("real_other")
    conditions = {
        "free": Condition(world=imagined, allowed=FREE),
        "maintain forced": Condition(world=imagined, allowed=(MAINTAIN,)),
        "real": Condition(world=real, allowed=FREE),
    }
    data = here.live(p, group, conditions, _ends, replace(config, n_sessions=1))
    coords: dict[str, list[Any]] = {"arm": list(conditions), "gamma": list(GAMMAS)}
    coords |= {"fear": list(FEARS), "trust": list(TRUSTS)}
    shape = tuple(len(c) for c in coords.values())
    means = {
        n: (tuple(coords), x.mean("seed").values.reshape(shape)) for n, x in data.data_vars.items()
    }
    strength = float(here.model.build().counts["D.agents"])
    return xr.Dataset(means, coords, {"fear": fear, "trust": mind["trust"], "strength": strength})


def _prior(record: Record, arm: Arm) -> dict[str, Any]:
    """By boundary: the prior that the other is benevolent."""
    counts = jnp.concatenate([record.counts["D.agents"], record.final_counts["D.agents"][None]])
    return {"prior": counts[:, BENEVOLENT] / counts.sum(-1)}


@lru_cache
def _fading(last: int) -> Callable[[Record, Arm], dict[str, Any]]:
    """What is kept of a life in which practice may stop after day `last` (one function a day)."""

    def fading(record: Record, arm: Arm) -> dict[str, Any]:
        """By day: prior, and calm in the steps that practice has; by step: how day `last` ends.

        `release` begins with the last step of practice: calm felt, belief held, and how much of
        that the field lends.
        """
        d = record.decision
        held, unheld = (b[AGENTS][last, -RELEASE - 1 :, BENEVOLENT] for b in (d.held, d.posterior))
        calm = (record.outcome[..., BODY] == CALM).astype(held.dtype)
        end = jnp.stack([calm[last, -RELEASE - 1 :], held, held - unheld], -1)
        return _prior(record, arm) | {"affect": calm[:, :-RELEASE].mean(-1), "release": end}

    return fading


def _ends(record: Record, arm: Arm) -> dict[str, Any]:
    d = record.decision
    return {
        "trust_after": d.posterior[AGENTS][0, -1, BENEVOLENT],
        "fear_after": 1 - d.posterior[LAW][0, -1, 0],
    }

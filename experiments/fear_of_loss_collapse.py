"""F5. Fear of loss: does believing that the other is contingent collapse the state by itself?

Nobody in these worlds ever withdraws: the other is imagined (as in the practice) or real and stays.
What is swept is the prior that they might: P(law =
contingent), and kappa, how surely shame then loses them. A map of one session from (fear, trust) to
(fear, trust) gives fixed points, the fold and hysteresis; a step of fear gives the order of events;
and forced checking is compared between an imagined and a real other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from attach_ai.lab import Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.fixed_points import fixed_points, hysteresis, settle
from attach_ai.lab.population import KINDS, Condition, Population, holds, signs
from attach_ai.lab.setting import Setting, reduced
from attach_ai.model import load_model
from attach_ai.simulation import Record

FIGURE = "F5"
QUESTION = "Does fear of loss collapse the held belief though nobody ever withdraws?"
PREDICTION = (
    "Above a threshold in kappa the session map has two stable states, so that a rising fear of "
    "loss tips the prior and a falling one does not bring it back at once; the fall needs a mind "
    "that is ashamed and a law that is contingent; alarm comes first, then checking, then loss; "
    "and forced checking hurts the belief in an imagined other, not in a real one."
)
REFUTATION = (
    "One stable state at every kappa, or a fall that is linear in fear; or as deep a fall with "
    "kappa = 0 or the self fixed; or loss before checking; or forced checking hurts the belief in "
    "a real other as much."
)
ABLATION = "kappa = 0; no monitor; self fixed; benevolent excluded; unstable instead of contingent"
NULL = "kappa = 0: contingency in name only"
CLAIMS = (7, 8)
MODELS = ("attachment_core", "attachment", "loving_kindness", "imagined_other", "real_other")

# Committed before the first full run.
NEEDS = 0.5  # an ablation must take at least this share of the fall
BEFORE, MIDDLE, AFTER = 0.02, 0.5, 0.98  # a threshold keeps the middle above the straight line
LOW, HIGH = 0.05, 0.8  # fear of loss before and after
# A mind that has the state and may lose it: the declared defaults, with trust already high.
MIND = {"trust": 0.8}
MAINTAIN, MONITOR, WITHDRAW = FREE = 0, 1, 2
CALM_SELF = {"shame": 0.0, "wound": 0.0}  # never ashamed, whatever happens
ORDER = ("alarm", "checking", "loss")

FEARS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
TRUSTS = (0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.98)
KAPPAS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.6, 2.0)


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` in draws, `n_map` at each point of the map."""

    n_seeds: int = 64
    n_draws: int = 64
    n_paired: int = 8
    n_shuffles: int = 24
    n_map: int = 24
    n_full: int = 8  # seeds on the full model
    n_sessions: int = 6
    seed: int = 21
    perceptions: tuple[str, ...] = ("exact", "mean_field")


SMOKE = Config(n_seeds=2, n_draws=2, n_paired=2, n_shuffles=2, n_map=1, n_full=1, n_sessions=2)
STANDARD = Config()
DEEP = Config(n_seeds=200, n_draws=500, n_shuffles=100, n_map=200)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Per perception: the arms in four populations, the session map, the mind without the other."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in config.perceptions:
        for kind in KINDS:
            work[f"{p}.arms.{kind}"] = partial(_arms, config, p, kind)
        work[f"{p}.map"] = partial(_map, config, p)
        work[f"{p}.without.reference"] = partial(_without, config, p)
    work["exact.full.reference"] = partial(_full, config)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: means and standard errors at the reference, ends elsewhere."""
    lean = {}
    for name, data in found.items():
        ends = "held" in data and not name.endswith("reference")
        lean[name] = data[["held", "unheld"]].isel(held_0=-1, unheld_0=-1) if ends else data
    return reduced(lean)


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction, under each perception."""
    outcomes = []
    for p in config.perceptions:
        outcomes += _findings(p, {n.removeprefix(f"{p}."): c for n, c in found.items()})
    outcomes.append(_on_full(found["exact.full.reference"]))
    return Verdict("fear_of_loss_collapse", PREDICTION, REFUTATION, tuple(outcomes))


def _findings(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    arms = {k: found[f"arms.{k}"] for k in KINDS}

    def held(d: xr.Dataset, condition: str) -> xr.DataArray:
        return d["held"].sel(condition=condition).isel(held_0=-1)

    def fall(d: xr.Dataset, arm: str) -> xr.DataArray:
        return held(d, f"{arm}, fear {LOW}") - held(d, f"{arm}, fear {HIGH}")

    def needs(arm: str) -> Callable[[xr.Dataset], xr.DataArray]:
        return lambda d: NEEDS * fall(d, "practice") - fall(d, arm)

    def hurts(d: xr.Dataset, other: str) -> xr.DataArray:
        at = d["unheld"].isel(unheld_0=-1)
        return at.sel(condition=f"{other}, maintain forced") - at.sel(
            condition=f"{other}, monitor forced"
        )

    def interaction(d: xr.Dataset) -> xr.DataArray:
        return hurts(d, "imagined other") - hurts(d, "real other")

    def above_line(d: xr.Dataset) -> xr.DataArray:
        ends = [held(d, f"practice, fear {f}") for f in (BEFORE, AFTER)]
        weight = (MIDDLE - BEFORE) / (AFTER - BEFORE)
        line = (1 - weight) * ends[0] + weight * ends[1]
        return held(d, f"practice, fear {MIDDLE}") - line

    falls = signs(lambda d: fall(d, "practice"), arms)
    stays = signs(lambda d: fall(d, "real other"), arms)
    curve = {f: float(held(arms["reference"], f"practice, fear {f}").mean()) for f in FEARS}
    bend = signs(above_line, arms)
    kappa, selfless, stare = (
        signs(needs(a), arms) for a in ("kappa 0", "self fixed", "no monitor")
    )
    both = signs(interaction, arms)
    order = _order(arms["reference"])
    folds = _folds(found["map"])
    off = found["without.reference"]["held"].isel(model=0, condition=0, held_0=-1)
    return [
        Finding(
            "threshold_in_kappa",
            "above some kappa, and not at 0, the session map has two stable states",
            folds["stable_at_0"] <= 1 and folds["most_stable"] >= 2,
            folds,
            perception=p,
            claim=7,
        ),
        Finding(
            "falls_without_withdrawal",
            "the held belief falls from fear .05 to .8, though nobody withdraws",
            holds(falls),
            falls,
            share=falls["share"],
            perception=p,
            claim=7,
        ),
        Finding(
            "falls_with_a_real_other",
            "the same with a real other who never leaves",
            holds(stays),
            stays,
            share=stays["share"],
            perception=p,
            claim=7,
            decides=False,
        ),
        Finding(
            "not_linear_in_fear",
            "half-way up in fear the belief stands above the straight line between the ends",
            holds(bend),
            bend | {f"held_at_{f}": v for f, v in curve.items()},
            share=bend["share"],
            perception=p,
            claim=7,
        ),
        Finding(
            "needs_kappa",
            "with kappa = 0 less than half of the fall is left",
            holds(kappa),
            kappa,
            share=kappa["share"],
            perception=p,
            claim=7,
        ),
        Finding(
            "needs_shame",
            "with the self fixed at accepted less than half of the fall is left",
            holds(selfless),
            selfless,
            share=selfless["share"],
            perception=p,
            claim=7,
        ),
        Finding(
            "needs_monitoring",
            "without the option to monitor less than half of the fall is left",
            holds(stare),
            stare,
            share=stare["share"],
            perception=p,
            claim=7,
        ),
        Finding(
            "order_of_collapse",
            "after a step of fear alarm moves first, then checking, then the belief is lost",
            order["alarm"] <= order["checking"] <= order["loss"],
            order,
            perception=p,
            claim=7,
        ),
        Finding(
            "monitoring_hurts_imagined_not_real",
            "forced monitoring costs the belief in an imagined other more than in a real one",
            holds(both) and float(hurts(arms["reference"], "imagined other").mean()) > 0,
            both
            | {
                "imagined": float(hurts(arms["reference"], "imagined other").mean()),
                "real": float(hurts(arms["reference"], "real other").mean()),
            },
            share=both["share"],
            perception=p,
            claim=8,
        ),
        Finding(
            "unstable_beside_contingent",
            "a law that is unstable, whatever one does, lowers the belief too",
            float(
                (
                    held(arms["reference"], f"practice, fear {LOW}")
                    - held(arms["reference"], "unstable law")
                ).mean()
            )
            > 0,
            {
                "fall_if_unstable": float(
                    (
                        held(arms["reference"], f"practice, fear {LOW}")
                        - held(arms["reference"], "unstable law")
                    ).mean()
                ),
                "fall_if_contingent": falls["mean"],
                "fall_if_unstable_self_fixed": float(
                    (
                        held(arms["reference"], f"self fixed, fear {LOW}")
                        - held(arms["reference"], "unstable law, self fixed")
                    ).mean()
                ),
            },
            perception=p,
            claim=7,
            decides=False,
        ),
        Finding(
            "nothing_without_benevolent",
            "with agents.benevolent switched off there is no belief to lose",
            bool(off.max() == 0),
            {"held": float(off.max())},
            perception=p,
            kind="BUILT-IN",
            claim=7,
            decides=False,
        ),
    ]


def _on_full(data: xr.Dataset) -> Finding:
    at = data.isel(model=0, held_0=-1, unheld_0=-1).mean("seed")

    def hurts(other: str) -> float:
        unheld = (
            at["unheld"].sel(condition=f"{other}, {n} forced") for n in ("maintain", "monitor")
        )
        return float(next(unheld) - next(unheld))

    fall = float(at["held"].sel(condition=f"fear {LOW}") - at["held"].sel(condition=f"fear {HIGH}"))
    imagined, real = hurts("imagined_other"), hurts("real_other")
    return Finding(
        "the_same_on_the_full_model",
        "on the full model too the belief falls with fear, and checking hurts the imagined more",
        fall > 0 and imagined > max(0.0, real),
        {"fall": fall, "imagined": imagined, "real": real},
        perception="exact",
        claim=7,
        decides=False,
    )


def _order(data: xr.Dataset) -> dict[str, float]:
    """Step at which each readout has gone half its way, fear against no fear, seeds averaged."""
    course = data["course"].isel(model=0)
    after = course.sel(condition=f"practice, fear {HIGH}")
    before = course.sel(condition=f"practice, fear {LOW}")
    gap = (after - before).mean("seed").values  # (step, readout)
    found = {}
    for i, name in enumerate(ORDER):
        path = gap[:, i]
        last = path[-5:].mean()
        reached = np.flatnonzero(path * np.sign(last) >= abs(last) / 2)
        found[name] = float(reached[0] + 1) if reached.size else float("nan")
        found[f"{name}_change"] = float(last)
    return found


def _folds(data: xr.Dataset) -> dict[str, float]:
    """Stable states along fear, by kappa; the first kappa with two; hysteresis in trust."""
    stable, areas = {}, {}
    for k in KAPPAS:
        drift = data["trust_after"].sel(kappa=k) - data["trust"]
        found = [fixed_points(np.array(TRUSTS), drift.sel(fear=f).values) for f in FEARS]
        stable[k] = max(sum(s for _, s in points) for points in found)
        up, down = hysteresis(np.array(TRUSTS), drift.values)
        areas[k] = float(np.trapezoid(np.abs(down - up), FEARS))
    two = [k for k, n in stable.items() if n >= 2]
    joint = settle(data, kappa=max(KAPPAS))
    return {
        "stable_at_0": stable[0.0],
        "most_stable": max(stable.values()),
        "first_kappa_with_two": min(two) if two else float("nan"),
        "hysteresis_at_0": areas[0.0],
        "largest_hysteresis": max(areas.values()),
        "resting_points_when_fear_learns": float(len(joint)),
    }


# ------------------------------------------------------------------ what is run


def _here() -> Setting:
    return Setting(
        mind=MIND,
        fixed=("fear_of_loss", "instability", "awareness", "kappa"),
        ranges={"kappa": (0.3, 1.5), "wound": (0.1, 0.3), "shame": (0.1, 0.7)},
    )


def _conditions(here: Setting) -> dict[str, Condition]:
    real, imagined = here.world("real_other"), here.world("imagined_other")

    def at(fear: float, world: Mapping[str, float], /, **mind: float) -> Condition:
        # Free at every step: a practice that forbids checking could not show it.
        return Condition({"fear_of_loss": fear, **mind}, world, allowed=FREE)

    conditions = {f"practice, fear {f}": at(f, imagined) for f in (LOW, HIGH, *FEARS)}
    for f in (LOW, HIGH):
        conditions |= {
            f"real other, fear {f}": at(f, real),
            f"kappa 0, fear {f}": at(f, imagined, kappa=0.0),
            f"self fixed, fear {f}": at(f, imagined, **CALM_SELF),
            f"no monitor, fear {f}": Condition(
                {"fear_of_loss": f}, imagined, allowed=(MAINTAIN, WITHDRAW)
            ),
        }
    unstable = {"fear_of_loss": 0.0, "instability": HIGH}
    conditions["unstable law"] = Condition(unstable, imagined, allowed=FREE)
    conditions["unstable law, self fixed"] = Condition(unstable | CALM_SELF, imagined, allowed=FREE)
    for other, world in (("real other", real), ("imagined other", imagined)):
        for name, choice in (("maintain", MAINTAIN), ("monitor", MONITOR)):
            conditions[f"{other}, {name} forced"] = Condition({}, world, allowed=(choice,))
    return conditions


def _arms(config: Config, p: str, kind: str) -> xr.Dataset:
    here = _here()
    return here.live(p, here.population(kind, config), _conditions(here), _belief, config)


def _map(config: Config, p: str) -> xr.Dataset:
    """One session from each (kappa, fear, trust): what the unheld belief is at its end."""
    here = replace(_here(), mind={"hostility": 0.0})
    points = np.array(list(product(KAPPAS, FEARS, TRUSTS)))
    group = Population(
        "map",
        (here.model,) * len(points),
        {k: points[:, i] for i, k in enumerate(("kappa", "fear_of_loss", "trust"))},
        tuple(str(i) for i in range(len(points))),
        config.n_map,
    )
    conditions = {"practice": Condition({}, here.world("imagined_other"), allowed=FREE)}
    data = here.live(p, group, conditions, _ends, replace(config, n_sessions=1))
    shape = (len(KAPPAS), len(FEARS), len(TRUSTS))
    coords = {"kappa": list(KAPPAS), "fear": list(FEARS), "trust": list(TRUSTS)}
    axes = ("kappa", "fear", "trust")
    at = data.isel(condition=0)
    found = {}
    for name in ("trust_after", "fear_after"):
        found[name] = (axes, at[name].mean("seed").values.reshape(shape))
        error = at[name].std("seed") / np.sqrt(config.n_map)
        found[f"{name}_se"] = (axes, error.values.reshape(shape))
    return xr.Dataset(found, coords)


def _full(config: Config) -> xr.Dataset:
    here = replace(_here(), model=load_model("attachment"))
    few = replace(config, n_seeds=config.n_full)
    worlds = {n: here.world(n) for n in ("imagined_other", "real_other")}
    conditions = {
        f"fear {f}": Condition({"fear_of_loss": f}, worlds["imagined_other"], allowed=FREE)
        for f in (LOW, HIGH)
    } | {
        f"{other}, {name} forced": Condition({}, world, allowed=(choice,))
        for other, world in worlds.items()
        for name, choice in (("maintain", MAINTAIN), ("monitor", MONITOR))
    }
    return here.live("exact", here.population("reference", few), conditions, _held, few)


def _without(config: Config, p: str) -> xr.Dataset:
    here = replace(_here(), model=load_model("attachment_core").without("agents.benevolent"))
    few = replace(config, n_seeds=config.n_paired)
    conditions = {"benevolent off": Condition({"fear_of_loss": HIGH}, {})}
    return here.live(p, here.population("reference", few), conditions, _belief, few)


AGENTS, THREAT, LAW, BENEVOLENT, LAST = 1, 2, 4, 2, 10


def _belief(record: Record, arm: Arm) -> dict[str, Any]:
    """By session: belief held and unheld; by step of the first session: alarm, checking, loss."""
    import jax.numpy as jnp

    d = record.decision
    unheld = d.posterior[AGENTS][..., BENEVOLENT]
    held = d.held[AGENTS][..., BENEVOLENT]
    alarm = d.posterior[THREAT][0, :, 1]
    checking = d.plan.q_pi[0, :, MONITOR]
    return {
        "held": held[:, -LAST:].mean(-1),
        "unheld": unheld[:, -LAST:].mean(-1),
        "fear": 1 - d.posterior[LAW][:, -1, 0],
        "checking": (d.choice == MONITOR).mean(-1),
        "course": jnp.stack([alarm, checking, 1 - held[0]], -1),
    }


def _held(record: Record, arm: Arm) -> dict[str, Any]:
    """By session: belief held and unheld, in any member that has the factor."""
    agents = arm.mind.layout.factor("agents")
    held, unheld = (
        b[agents][..., -LAST:, BENEVOLENT].mean(-1)
        for b in (record.decision.held, record.decision.posterior)
    )
    return {"held": held, "unheld": unheld}


def _ends(record: Record, arm: Arm) -> dict[str, Any]:
    d = record.decision
    return {
        "trust_after": d.posterior[AGENTS][0, -1, BENEVOLENT],
        "fear_after": 1 - d.posterior[LAW][0, -1, 0],
    }

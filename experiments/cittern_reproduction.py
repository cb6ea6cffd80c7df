"""F1. Attachment style as a function of how often the caregiver answers.

After Cittern, Nolte, Friston and Edalat (2018) PLoS ONE 13(4):e0193955: an infant under stress
seeks closeness openly, guardedly or not at all, and learns from each exchange what its bids bring.
Of that paper only the abstract was read. Its parameter values and the ranges of q at which it finds
each style are known second-hand [U]; everything else here is an assumption, and swept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from attach_ai.agent import Dirichlet, ExpectedFreeEnergy
from attach_ai.lab import ROBUST, Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.population import KINDS, Condition, Population, holds, signs
from attach_ai.lab.setting import DEFAULTS, Setting, reduced
from attach_ai.model import POMDP, Schedule, load_model, load_practice
from attach_ai.simulation import Days, Record

FIGURE = "F1"
QUESTION = "Does one learned number, how often the caregiver answers, make three attachment styles?"
PREDICTION = (
    "As the caregiver answers more often the most probable bid goes from none (avoidant) over a "
    "guarded one (ambivalent) to an open one (secure): none for q up to .15, guarded at .3 to .4, "
    "open from .85, with the boundaries in the gaps between (second-hand values of the paper)."
)
REFUTATION = (
    "Fewer than three bands, another order, or boundaries outside the gaps; or the bands stand "
    "though outcomes are dealt without regard to what was done."
)
ABLATION = "nothing is learned; no preferences; other precisions; curiosity about the own table"
NULL = "shuffled feedback: outcomes dealt from the same marginal whatever the bid"
CLAIMS = (2,)
MODELS = ("caregiving", "waitlist")

# Committed before the first run. Second-hand [U]: where the paper finds each style.
SEEK, GUARDED, AVOID = 0, 1, 2
UNCHANGED = 2  # the stress with which every exchange begins
STYLES = {"avoidant": (AVOID, 0.0, 0.15), "ambivalent": (GUARDED, 0.3, 0.4)}
STYLES |= {"secure": (SEEK, 0.85, 1.0)}
GAPS = {"lower": (0.15, 0.30), "upper": (0.40, 0.85)}
PRECISION = 250.0  # alpha in the paper [U]; here gamma, with alpha 1: what counts is their product
PRECISIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 250.0)
FINE, COARSE = np.linspace(0, 1, 21), np.linspace(0, 1, 11)
EVERY = 4  # exchanges between the points of a learning curve
FLAT = 0.05  # a probability that moves less than this with q has not moved

# Other structures: parameters at another end, one at a time.
VARIANTS: Mapping[str, Mapping[str, float]] = {
    "guarded bids are heard less": {"heard": 0.75},
    "guarding spares nothing": {"cost_guarded": 2.0},
    "guarding costs nothing when met": {"gain_guarded": 2.0},
    "avoidance soothes": {"self_calm": 0.3},
    "care is half understood": {"link": 0.7},
    "much happens by chance": {"slip": 0.2},
    "care is expected": {"q": 0.9},
    "rejection is expected": {"q": 0.1},
}
SHARES = {"draws": "share", "variants": "variants", "shuffles": "false_pass"}
ARMS = ("care", "shuffled", "unlearned", "indifferent")
NO_PREFERENCE = dict.fromkeys(("gain_open", "gain_guarded", "cost_open", "cost_guarded"), 0.0)


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` in draws; a session is one exchange."""

    n_seeds: int = 64
    n_draws: int = 200
    n_paired: int = 8
    n_shuffles: int = 24
    n_sessions: int = 100
    seed: int = 18
    perceptions: tuple[str, ...] = ("exact",)


SMOKE = Config(n_seeds=16, n_draws=3, n_shuffles=3, n_sessions=5)
STANDARD = Config()
DEEP = Config(n_seeds=200, n_draws=1000, n_shuffles=100, perceptions=("exact", "mean_field"))


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Exact: four populations, precisions, curiosity, and bids tried at random. Mean field: the
    reference, as a check, since with one hidden factor it is exact."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in dict.fromkeys(("exact", *config.perceptions)):
        for kind in KINDS if p == "exact" else ("reference",):
            work[f"{p}.main.{kind}"] = partial(_main, config, p, kind)
    work["exact.precision"] = partial(_aside, config, "policy", PRECISIONS, False)
    work["exact.curious.reference"] = partial(_aside, config, "policy", (PRECISION,), True)
    work["exact.explored.reference"] = partial(_aside, config, "judged", (0.0,), False)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: means and standard errors at the reference; where draws' bands end."""
    lean = {n: d for n, d in found.items() if n.endswith((".reference", ".precision"))}
    draws = found["exact.main.draws"].sel(arm="care")
    bands = _bands(draws["policy"]).mean("seed")
    lean["exact.main.draws"] = bands.assign(ordered=_ordered(draws["policy"].mean("seed")))
    return reduced(lean)


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction."""
    exact = {n.removeprefix("exact."): d for n, d in found.items() if n.startswith("exact.")}
    main = {k: exact[f"main.{k}"] for k in KINDS}
    outcomes = [*_decide(main), *_beside(exact)]
    for p in config.perceptions:
        if p != "exact":
            here, there = (_mean(found[f"{x}.main.reference"], "care") for x in ("exact", p))
            apart = float(abs(here - there).max())
            outcomes.append(
                Finding(
                    "the_same_inference",
                    "with one hidden factor mean field is exact, and so are the styles",
                    apart <= FLAT,
                    {"largest_difference": apart},
                    perception=p,
                    kind="BUILT-IN",
                    decides=False,
                )
            )
    return Verdict("cittern_reproduction", PREDICTION, REFUTATION, tuple(outcomes))


def _decide(main: Mapping[str, xr.Dataset]) -> list[Finding]:
    finding = partial(Finding, perception="exact", kind="CONDITIONAL")
    edges = _bands(main["reference"]["policy"].sel(arm="care").isel(model=0))
    bands = {name: float(edges[name].mean()) for name in GAPS}
    errors = {f"{k}_se": float(edges[k].std() / np.sqrt(edges.sizes["seed"])) for k in GAPS}
    order = {k: float(_ordered(_mean(d, "care")).mean()) for k, d in main.items()}
    shares = {name: order[kind] for kind, name in SHARES.items()}
    found = [
        finding(
            "three_ordered_bands",
            "with q the most probable bid goes from avoid over guarded to seek, each with a band",
            order["reference"] == 1 and order["draws"] >= ROBUST,
            bands | errors | shares,
            order["draws"],
        ),
        finding(
            "boundaries_where_published",
            "the boundaries lie in the gaps .15 to .30 and .40 to .85 (second-hand)",
            all(low <= bands[name] <= high for name, (low, high) in GAPS.items()),
            bands | errors,
        ),
    ]
    for style, where in STYLES.items():
        sign = _most_probable(main, "care", *where)
        statement = f"for q from {where[1]:g} to {where[2]:g} the {style} bid is the most probable"
        found.append(finding(style, statement, holds(sign), sign, sign["share"]))
    null = signs(_follows, main, ("reference", "draws"))
    reference = {"reference": main["reference"]}
    kept = {
        style: holds(_most_probable(reference, "shuffled", *where) | {"share": 1.0})
        for style, where in STYLES.items()
    }
    found.append(
        finding(
            "needs_the_link",
            "styles suit the caregiver more than under shuffled feedback, which has not all bands",
            holds(null) and not all(kept.values()),
            null | {f"shuffled_{k}": float(v) for k, v in kept.items()},
            null["share"],
            kind="EMERGENT",
        )
    )
    return found


def _beside(found: Mapping[str, xr.Dataset]) -> list[Finding]:
    """What explains the bands, and what learning does to them; reported, not decided on."""
    finding = partial(Finding, perception="exact", decides=False)
    at = found["main.reference"].isel(model=0)
    truth = at.sel(arm="care").isel(seed=0)
    value = found["main.draws"]["value"].sel(arm="care").isel(seed=0)
    known = _bands(truth["value"])
    spread = {f"spread_{arm}": _spread(at["policy"].sel(arm=arm)) for arm in ARMS}
    ends = {f"{k}_known": float(known[k]) for k in GAPS}
    for name, cell, variable in (
        ("chosen", "main", "policy"),
        ("tried", "explored", "judged"),
        ("curious", "curious", "policy"),
    ):
        policy = found[f"{cell}.reference"][variable].sel(arm="care").isel(model=0)
        ends |= {f"{k}_{name}": float(_bands(policy)[k].mean()) for k in GAPS}
    return [
        finding(
            "guarded_needs_uncertainty",
            "by preferences alone a guarded bid is nowhere best; by its open outcome it is",
            bool((_best(truth["pragmatic"]) != GUARDED).all() and _ordered(truth["value"])),
            {name: float(known[name]) for name in GAPS},
            float(_ordered(value).mean()),
            kind="BUILT-IN",
        ),
        finding(
            "who_stops_asking_stops_learning",
            "an infant left to choose avoids up to a higher q than one who tries every bid",
            ends["lower_chosen"] > ends["lower_tried"],
            ends,
        ),
        finding(
            "nothing_learned_one_style",
            "a mind that does not learn has one style, whatever the caregiver does",
            spread["spread_unlearned"] <= FLAT,
            spread,
            kind="BUILT-IN",
        ),
        finding(
            "no_preference_no_bands",
            "without preferences over stress there are not three ordered bands",
            not _ordered(at["policy"].sel(arm="indifferent").mean("seed")),
            kind="BUILT-IN",
        ),
    ]


# ------------------------------------------------------------------ what is read off


def _mean(data: xr.Dataset, arm: str) -> xr.DataArray:
    return data["policy"].sel(arm=arm).mean("seed")


def _best(value: xr.DataArray) -> xr.DataArray:
    return value.argmax("bid")


def _bands(value: xr.DataArray) -> xr.Dataset:
    """Up to which q `avoid` is best, and from which `seek` is: by the length of q where it is, so
    that it is defined whether or not bands are in one piece."""
    best = _best(value)
    lower, upper = ((best == bid).astype(float).integrate("q") for bid in (AVOID, SEEK))
    return xr.Dataset({"lower": lower, "upper": 1 - upper})


def _ordered(value: xr.DataArray) -> xr.DataArray:
    """Whether best bids along q are avoid, then guarded, then seek, each somewhere."""
    best = _best(value).transpose("q", ...)
    falls = (best.diff("q") <= 0).all("q")
    every = [(best == bid).any("q") for bid in (SEEK, GUARDED, AVOID)]
    return falls & every[0] & every[1] & every[2]


def _most_probable(
    cells: Mapping[str, xr.Dataset], arm: str, bid: int, low: float, high: float
) -> dict[str, float]:
    """`signs` of a bid's probability less that of its strongest rival, mean over a range of q."""

    def lead(rival: int, data: xr.Dataset) -> xr.DataArray:
        policy = data["policy"].sel(arm=arm, q=slice(low - 1e-6, high + 1e-6)).mean("q")
        return policy.sel(bid=bid) - policy.sel(bid=rival)

    rivals = [partial(lead, rival) for rival in (SEEK, GUARDED, AVOID) if rival != bid]
    found = min((signs(r, cells, ("reference",)) for r in rivals), key=lambda f: f["mean"])
    for kind, name in SHARES.items():
        if kind in cells:
            leads = [r(cells[kind]).mean("seed").values > 0 for r in rivals]
            found[name] = float(np.mean(np.logical_and(*leads)))
    return found


def _follows(data: xr.Dataset) -> xr.DataArray:
    """How much more probable the bid that suits the caregiver is than under shuffled feedback."""
    best = _best(data["value"].sel(arm="care"))
    gained = data["policy"].sel(arm="care") - data["policy"].sel(arm="shuffled")
    return gained.isel(bid=best).mean("q")


def _spread(policy: xr.DataArray) -> float:
    """How far the probability of a bid moves along q, for the one that moves most."""
    mean = policy.mean("seed")
    return float((mean.max("q") - mean.min("q")).max())


# ------------------------------------------------------------------ what is run


def _here(novelty: bool = False) -> Setting:
    """One exchange a session: stress as it is, a bid, what it brings; then it is learned from."""
    practice = load_practice("waitlist")
    phase = replace(practice.phases[0], steps=2)
    return Setting(
        model=load_model("caregiving"),
        practice=replace(practice, schedule=Schedule(steps=2), phases=(phase,)),
        learning=Dirichlet(B=("stress",)),
        planning=ExpectedFreeEnergy(novelty=novelty),
        fixed=("hold", "gain", "rate", "link"),
        ranges={
            "gamma": (0.0, float(np.log(PRECISION))),  # of its logarithm
            "retention": (0.9, 1.0),
            "self_calm": (0.0, 0.3),
        },
        defaults={**DEFAULTS, "gamma": PRECISION, "retention": 1.0},
    )


def _group(here: Setting, kind: str, config: Config) -> Population:
    if kind == "variants":
        names = [*dict.fromkeys(k for v in VARIANTS.values() for k in v)]
        default = here.model.defaults
        values = {n: np.array([v.get(n, default[n]) for v in VARIANTS.values()]) for n in names}
        models = (here.model,) * len(VARIANTS)
        return Population(kind, models, values, tuple(VARIANTS), config.n_paired)
    group = here.population(kind, config)
    if kind == "draws":
        group = replace(group, values={**group.values, "gamma": np.exp(group.values["gamma"])})
    return group


def _live(
    here: Setting,
    p: str,
    group: Population,
    qs: np.ndarray,
    arms: tuple[str, ...],
    config: Config,
) -> xr.Dataset:
    """Every caregiver in every arm: variables lead with (arm, q, model, seed)."""
    always = here.study(p, config.n_sessions).days
    never = Days(always.practised, always.guided, 0 * always.taught, always.rest)
    found = []
    for arm in arms:
        world = {"link": 0.0} if arm == "shuffled" else {}
        condition = Condition(
            mind=NO_PREFERENCE if arm == "indifferent" else {},
            days=never if arm == "unlearned" else None,
        )
        conditions = {f"{q:.2f}": replace(condition, world=world | {"q": float(q)}) for q in qs}
        found.append(here.live(p, group, conditions, _final, config))
    data = xr.concat(found, xr.DataArray(list(arms), dims="arm", name="arm"))
    names = {"condition": "q", "course_0": "exchange", "course_1": "bid"}
    names |= {f"{variable}_0": "bid" for variable in ("policy", "value", "pragmatic", "judged")}
    data = data.rename(names).assign_coords(q=qs)
    data["exchange"] = 1 + EVERY * np.arange(data.sizes["exchange"])
    return data if group.kind == "reference" else data.drop_vars("course")


def _main(config: Config, p: str, kind: str) -> xr.Dataset:
    here = _here()
    few = {"reference": ARMS if p == "exact" else ARMS[:1], "draws": ARMS[:2]}
    arms = few.get(kind, ARMS[:1])
    qs = FINE if kind == "reference" else COARSE
    return _live(here, p, _group(here, kind, config), qs, arms, config)


def _aside(config: Config, kept: str, gammas: tuple[float, ...], novelty: bool) -> xr.Dataset:
    """Care at other precisions, or with curiosity; `kept` is the variable that is asked for."""
    here = _here(novelty)
    labels = tuple(f"{g:g}" for g in gammas)
    models, values = (here.model,) * len(gammas), {"gamma": np.array(gammas)}
    group = Population("reference", models, values, labels, config.n_seeds)
    return _live(here, "exact", group, FINE, ("care",), config)[[kept]]


def _final(record: Record, arm: Arm) -> dict[str, Any]:
    """The policy at the last exchange, and its course; what each bid is worth to one who knows.

    `value`: the negative expected free energy of one step under the world's table, in nats, of
    which `pragmatic` is what preferences contribute; `judged`: the policy at full precision that
    follows from the table as learned.
    """
    counts = record.final_counts["B.stress"][:, UNCHANGED]
    pragmatic, information = _worth(arm.mind, arm.world.B[0][:, UNCHANGED])
    learnt = sum(_worth(arm.mind, counts / counts.sum(0, keepdims=True)))
    policy = jnp.exp(record.decision.plan.log_p[:, 0])  # (session, bid)
    return {
        "policy": policy[-1],
        "course": policy[::EVERY],
        "value": pragmatic + information,
        "pragmatic": pragmatic,
        "judged": jax.nn.softmax(PRECISION * learnt),
    }


def _worth(mind: POMDP, change: Any) -> tuple[Any, Any]:
    """Pragmatic value and information gain of each bid, in nats; `change`: (stress, bid)."""
    A, C = mind.A[0], mind.C[0]
    expected = A @ change
    return C @ expected, _entropy(expected) - _entropy(A) @ change


def _entropy(p: Any) -> Any:
    """Of each column, in nats."""
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0), axis=0)

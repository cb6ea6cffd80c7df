"""M1. What does a cohort of three waves give back of the default model?

Populations are drawn from the priors, their answers to ECR-RS and PHQ-9 from the model under the
cohort's own arms and schedule, and each is fitted: bias, coverage, correlation and contraction of
every number of the population, and how well single people are told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import xarray as xr

from attach_ai.fit.checks.recovery import WANTED, recover
from attach_ai.fit.checks.replicates import Blind, Fit
from attach_ai.fit.sampling.sample import Refit
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.planned import planned_records
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.lab import Finding, Verdict

FIGURE = "M1"
QUESTION = "Of people drawn from the default model, what does a fit give back?"
PREDICTION = (
    "89 % intervals hold the truth in .82 to .96 of the numbers of the population, and people are "
    "told apart by their trust with r of at least .7."
)
REFUTATION = "Coverage outside of that, or a correlation for trust below .7."
ABLATION = "fear of loss, of which three items of one scale speak"
NULL = "a parameter that nothing measures: no contraction"
CLAIMS = ()
MODELS = (
    "attachment_waves",
    "links/attachment",
    "mappings/cohort",
    "loving_kindness_day",
    "waitlist_day",
    "imagined_other",
    "instruments/ecr_rs",
    "instruments/phq9",
)

# Committed before the first run.
COVERED = (0.82, 0.96)
FREE = ("trust", "fear_of_loss", "hold")
OWN = ("trust", "fear_of_loss")
BLOCK = 3  # cohorts of one cell: the first compiles, the others run side by side


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` people, each with luck of their own, in each of `n_cohorts`; `n_items` of
    each scale (0: all); `n_draws` of each posterior after `n_warmup`
    (0: of the prior, to see it run)."""

    n_seeds: int = 60
    n_cohorts: int = 3
    n_items: int = 3
    n_draws: int = 300
    n_warmup: int = 300
    seed: int = 45


SMOKE = Config(n_seeds=3, n_cohorts=1, n_items=1, n_draws=64, n_warmup=0)
STANDARD = Config()
DEEP = Config(n_seeds=200, n_cohorts=9, n_items=0, n_draws=500, n_warmup=500)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """A few cohorts a cell."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for first in range(1, config.n_cohorts + 1, BLOCK):
        last = min(first + BLOCK - 1, config.n_cohorts)
        work[f"cohorts.{first}-{last}"] = partial(_cohorts, config, f"{first}-{last}")
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """All cohorts together."""
    return {"cohorts": joined(found)}


def joined(found: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """All cohorts, those with the same people side by side."""
    return xr.concat(list(found.values()), "cohort", data_vars="all")


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction."""
    every = joined(found)
    inside = (every["low"] <= every["truth"]) & (every["truth"] <= every["high"])
    covered = float(inside.mean())
    r = individual(every)
    shrunk = contraction(every)
    outcomes = (
        Finding(
            "intervals_hold_the_truth",
            f"89 % intervals hold the truth in {COVERED[0]} to {COVERED[1]} of the numbers",
            COVERED[0] <= covered <= COVERED[1],
            {"covered": covered, "numbers": inside.size}
            | {f"covered, {s}": float(inside.sel(element=at).mean()) for s, at in sites(every)},
        ),
        Finding(
            "trust_tells_people_apart",
            f"estimated trust follows true trust over people with r of at least {WANTED}",
            float(r.sel(effect="trust")) >= WANTED,
            {str(e): float(r.sel(effect=e)) for e in r["effect"].values},
        ),
        Finding(
            "what_is_learned_of_the_population",
            "every site's uncertainty is at least a tenth below the prior's",
            bool((shrunk >= 0.1).all()),
            {s: float(shrunk.sel(element=at).mean()) for s, at in sites(every)}
            | {str(e): float(shrunk.sel(element=e)) for e in shrunk["element"].values[:12]},
            decides=False,
        ),
    )
    return Verdict("recovery", PREDICTION, REFUTATION, outcomes)


def individual(every: xr.Dataset) -> xr.DataArray:
    """Correlation over people within a cohort, averaged by Fisher's z: (effect,)."""
    r = (
        xr.corr(every["person_truth"], every["person_mean"], dim="subject")
        .clip(-0.999, 0.999)
        .fillna(0.0)
    )
    z: xr.DataArray = xr.apply_ufunc(np.arctanh, r)
    mean: xr.DataArray = xr.apply_ufunc(np.tanh, z.mean("cohort"))
    return mean


def contraction(every: xr.Dataset) -> xr.DataArray:
    """1 - E[posterior variance] / prior variance: (element,)."""
    return 1 - (every["sd"] ** 2).mean("cohort") / every["prior_sd"].isel(cohort=0) ** 2


def sites(every: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Names of the elements of each site."""
    names = [str(e) for e in every["element"].values]
    first = dict.fromkeys(n.split(" ")[0] for n in names)
    return [(site, [n for n in names if n.split(" ")[0] == site]) for site in first]


# ------------------------------------------------------------------ what is run


def _cohorts(config: Config, only: str) -> xr.Dataset:
    found = recover(
        study(config),
        config.seed,
        n_replicates=config.n_cohorts,
        only=only,
        fit=_fitting(config),
        progress=False,
    )
    at, people, n = found.sites, found.people, len(found.effective)
    values = {"truth": at.truth, "mean": at.mean, "sd": at.sd}
    values |= {"low": at.ends[..., 2], "high": at.ends[..., 3]}
    values["prior_sd"] = np.broadcast_to(at.prior_sd, (n, len(at.prior_sd)))
    own = ("cohort", "subject", "effect")
    return xr.Dataset(
        {
            **{name: (("cohort", "element"), x) for name, x in values.items()},
            "person_truth": (own, people.truth),
            "person_mean": (own, people.mean),
            "effective": (("cohort",), found.effective),
            "divergences": (("cohort",), found.divergences),
        },
        {"element": list(found.elements), "effect": list(found.effects)},
    )


@lru_cache(maxsize=1)
def _fitting(config: Config) -> Fit:
    """One compilation for all cohorts."""
    if config.n_warmup == 0:
        return Blind(study(config), config.n_draws)
    return Refit(study(config), warmup=config.n_warmup, draws=config.n_draws)


@lru_cache(maxsize=1)
def study(config: Config) -> POMDPStudy:
    """The default model of the cohort: two arms, three waves."""
    records = planned_records("cohort", config.n_seeds, items=config.n_items or None)
    return build_study("attachment_waves", None, records, FREE, individual=OWN)

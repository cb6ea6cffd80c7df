"""M2. Does the sampler draw from the posterior of the default model? Simulation-based calibration.

A reduced design (few people and items, one step a week) is drawn from the priors again and again
and fitted; the rank of what was true among the draws must be uniform, for every number of the
population, for people's effects and for the log-likelihood. A fit that is wrong on purpose must be
found out, or the test could not have found anything; so must one that never looks at the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpyro.distributions as dist
import xarray as xr

from attach_ai.fit.checks.calibration import Calibration, calibrate
from attach_ai.fit.checks.replicates import Blind, Fit
from attach_ai.fit.checks.uniformity import band
from attach_ai.fit.sampling.sample import Refit
from attach_ai.fit.study.abstract import Fixed
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.planned import planned_records
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.lab import Finding, Verdict

FIGURE = "M2"
QUESTION = "Are posteriors of the default model calibrated?"
PREDICTION = (
    "Ranks of what was true are uniform for every number of the population, for people's effects "
    "and for the log-likelihood: all lie in their simultaneous bands at a joint level of .05."
)
REFUTATION = "Some quantity leaves its band once bands are corrected for their number."
ABLATION = "people who differ five times as much as the fit's prior says"
NULL = "the same, and a fit that never looks at the data: the test must fail there"
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
WIDER = 5.0  # times the spread's prior scale, in the truth of a fit that is wrong on purpose
RANKS = 63
BLOCK = 50  # replicates of one cell
FREE = ("trust", "fear_of_loss", "hold")
OWN = ("trust", "fear_of_loss")


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` data sets of `n_people` x 3 waves x `n_items` a scale, `n_null` for each of
    the wrong fits; `n_draws` of each posterior after `n_warmup` (0: of the prior, to see it run).
    """

    n_seeds: int = 24
    n_null: int = 8
    n_people: int = 12
    n_items: int = 2
    n_draws: int = 252
    n_warmup: int = 200
    seed: int = 44


SMOKE = Config(n_seeds=2, n_null=0, n_people=3, n_items=1, n_draws=64, n_warmup=0)
STANDARD = Config()
DEEP = Config(n_seeds=200, n_null=40, n_draws=504)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Blocks of replicates that came from the study that is fitted, and from another."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    sizes = {"right": config.n_seeds, "wrong": config.n_null, "blind": config.n_null}
    for name, n in sizes.items():
        for first in range(1, n + 1, BLOCK):
            only = f"{first}-{min(first + BLOCK - 1, n)}"
            work[f"{name}.{only}"] = partial(_ranks, config, name, only)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Ranks of each fit, all blocks together."""
    names = dict.fromkeys(n.partition(".")[0] for n in found)
    return {name: joined(found, name) for name in names}


def joined(found: Mapping[str, xr.Dataset], name: str) -> xr.Dataset:
    """All blocks of one fit."""
    blocks = [d for n, d in found.items() if n.partition(".")[0] == name]
    return xr.concat(blocks, "replicate", data_vars="all")


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction."""
    fits = {name: read(data) for name, data in summary(found).items()}
    right = fits.pop("right")
    lost = {
        "fits_with_divergences": float(np.mean(right.divergences > 0)),
        "fits_with_fewer_effective_draws_than_ranks": right.correlated,
    }
    outcomes = [
        Finding(
            "every_rank_is_uniform",
            "all quantities lie in their simultaneous bands, corrected for their number",
            right.passed,
            _figures(right) | lost,
        )
    ]
    asked = {
        "wrong": "where people differ more than the prior of the fit says, some quantity leaves",
        "blind": "of a fit that never looks at the data, some quantity leaves",
    }
    outcomes += [
        Finding(f"a_{n}_fit_is_found", asked[n], not fit.passed, _figures(fit))
        for n, fit in fits.items()
    ]
    return Verdict("calibration", PREDICTION, REFUTATION, tuple(outcomes))


def read(data: xr.Dataset) -> Calibration:
    """Ranks as they were when they were made."""
    return Calibration(
        quantities=tuple(map(str, data["quantity"].values)),
        ranks=data["rank"].transpose("replicate", "quantity").values.astype(int),
        n_ranks=RANKS,
        effective=data["effective"].values,
        divergences=data["divergences"].values,
        sizes={},
    )


def _figures(found: Calibration) -> dict[str, Any]:
    worst = min(found.p, key=lambda q: found.p[q])
    _, low, high = band(len(found.ranks), found.n_ranks)
    return {
        "replicates": len(found.ranks),
        "quantities": len(found.quantities),
        "smallest_p": found.p[worst],
        "corrected": found.overall,
        "worst": f"{worst}: {found.words(worst)}",
        "share_outside_their_own_band": float(np.mean([p < 0.05 for p in found.p.values()])),
        "log_likelihood_p": found.p["log likelihood"],
        "half_width_of_the_band": float((high - low).max() / 2),
    }


# ------------------------------------------------------------------ what is run


def _ranks(config: Config, name: str, only: str) -> xr.Dataset:
    true = study(config)
    found = calibrate(
        _widened(true) if name == "wrong" else true,
        config.seed,
        n_replicates=config.n_seeds,
        only=only,
        n_ranks=RANKS,
        draws=config.n_draws,
        fit=_fitting(config, blind=name == "blind"),
        progress=False,
    )
    return xr.Dataset(
        {
            "rank": (("replicate", "quantity"), found.ranks),
            "effective": (("replicate",), found.effective),
            "divergences": (("replicate",), found.divergences),
        },
        {"quantity": list(found.quantities)},
    )


@lru_cache(maxsize=2)
def _fitting(config: Config, blind: bool) -> Fit:
    """One compilation for all blocks."""
    if blind or config.n_warmup == 0:
        return Blind(study(config), config.n_draws)
    return Refit(study(config), warmup=config.n_warmup, draws=config.n_draws)


@lru_cache(maxsize=1)
def study(config: Config) -> POMDPStudy:
    """The default model of a small cohort: two arms, three waves, one step a week."""
    records = planned_records("cohort", config.n_people, items=config.n_items)
    return build_study("attachment_waves", None, records, FREE, individual=OWN)


def _widened(study: POMDPStudy) -> POMDPStudy:
    prior = study.priors["spread"]
    shape = prior.distribution.shape()
    scale = WIDER * prior.distribution.mean * np.sqrt(np.pi / 2)  # of a half-normal
    wide = replace(prior, distribution=dist.HalfNormal(scale).expand(shape))
    return replace(study, priors=Fixed({**study.priors, "spread": wide}))

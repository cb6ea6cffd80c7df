"""Recovery: of people drawn from the study itself, how much does this design give back?

Bias, root mean square error, coverage of 50 % and 89 % intervals, correlation of estimate and
truth, and contraction 1 - E[posterior variance] / prior variance, for every number among the sites
over replicates, and for each person's effects within them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Float

from attach_ai.fit.checks.replicates import (
    Arrays,
    Drawing,
    Fit,
    Truth,
    chosen,
    elements,
    flat,
    identity,
    replicated,
)
from attach_ai.fit.sampling.chain import plain_rules
from attach_ai.fit.sampling.sample import Refit
from attach_ai.fit.study.abstract import AbstractStudy, Sites

if TYPE_CHECKING:
    import xarray

    from attach_ai.fit.sampling.sample import Draws

WANTED = 0.7  # individual parameters recovered worse than this are not reported
INTERVALS = {"50": (0.25, 0.75), "89": (0.055, 0.945)}
QUANTILES = tuple(q for ends in INTERVALS.values() for q in ends)
PRIOR_DRAWS = 400
PARTS = ("truth", "mean", "sd", "ends")


@dataclass(frozen=True)
class Estimates:
    """What was true and what was estimated, replicates first.

    `mean`, `sd`: of the posterior; `ends`: its quantiles (..., `QUANTILES`); `prior_sd`: of each
    number, without the axis of replicates.
    """

    truth: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    ends: np.ndarray
    prior_sd: np.ndarray

    def bias(self) -> np.ndarray:
        """Mean of estimate minus truth, over replicates."""
        return (self.mean - self.truth).mean(0)

    def rmse(self) -> np.ndarray:
        """Root mean square of estimate minus truth, over replicates."""
        return np.sqrt(((self.mean - self.truth) ** 2).mean(0))

    def coverage(self, interval: str) -> np.ndarray:
        """Share of replicates whose interval ("50" or "89") holds the truth."""
        low, high = (self.ends[..., QUANTILES.index(q)] for q in INTERVALS[interval])
        return ((low <= self.truth) & (self.truth <= high)).mean(0)

    def contraction(self) -> np.ndarray:
        """1 - E[posterior variance] / prior variance."""
        return 1 - (self.sd**2).mean(0) / self.prior_sd**2


@dataclass(frozen=True)
class Recovery:
    """What a design gives back of each parameter.

    `sites` (replicate, element) named by `elements`; `people` (replicate, subject, effect) named by
    `effects`. `effective`: smallest effective sample size of each fit; `divergences`: of its draws.
    """

    elements: tuple[str, ...]
    effects: tuple[str, ...]
    subjects: tuple[Any, ...]
    sites: Estimates
    people: Estimates
    effective: np.ndarray
    divergences: np.ndarray

    @property
    def population_r(self) -> dict[str, float]:
        """Correlation of estimate and truth over replicates; NaN where the truth was given."""
        at = self.sites
        return {name: _r(at.truth[:, i], at.mean[:, i]) for i, name in enumerate(self.elements)}

    @property
    def individual_r(self) -> dict[str, float]:
        """Of each effect, correlation over people within a replicate, averaged (Fisher's z).

        What covariates explain of a person is not in it.
        """
        found = {}
        for i, name in enumerate(self.effects):
            r = [
                _r(t, m)
                for t, m in zip(self.people.truth[..., i], self.people.mean[..., i], strict=True)
            ]
            known = np.clip([x for x in r if np.isfinite(x)], -0.999, 0.999)
            found[name] = float(np.tanh(np.arctanh(known).mean())) if len(known) else float("nan")
        return found

    @property
    def hidden(self) -> tuple[str, ...]:
        """Effects recovered too badly to be reported of a person."""
        return tuple(name for name, r in self.individual_r.items() if not r >= WANTED)

    def table(self) -> str:
        """A line a parameter, then a line an effect of persons."""
        return "\n".join(
            [
                _heading(f"population, {len(self.effective)} replicates"),
                *_lines(self.elements, self.sites, self.population_r),
                "",
                _heading(f"of each of {len(self.subjects)} people"),
                *_lines(self.effects, _pooled(self.people), self.individual_r),
                "",
                self.verdict_text(),
            ]
        )

    def verdict_text(self) -> str:
        """What it comes to, in plain words."""
        covered = self.sites.coverage("89").mean()
        n = len(self.effective)
        text = (
            f"89 % intervals held the truth in {covered:.0%} of the numbers, over {n} replicates."
        )
        if self.hidden:
            text += (
                f" Of single people {', '.join(self.hidden)} cannot be told apart (r below "
                f"{WANTED}) and should not be reported."
            )
        if self.divergences.any():
            text += f" {np.mean(self.divergences > 0):.0%} of the fits had divergent draws."
        return text

    def to_tree(self) -> xarray.DataTree:
        """Groups `sites` (replicate, element) and `people` (replicate, subject, effect).

        Each has `truth`, `mean`, `sd` and `ends` (..., quantile); beside them `summary` has bias,
        rmse, coverages, r and contraction of each element, `individual` of each effect.
        """
        import xarray as xr

        def dataset(of: Estimates, dims: tuple[str, ...], coords: dict[str, Any]) -> Any:
            values = {k: (("replicate", *dims), getattr(of, k)) for k in ("truth", "mean", "sd")}
            values["ends"] = (("replicate", *dims, "quantile"), of.ends)
            return xr.Dataset(values, {**coords, "quantile": list(QUANTILES)})

        def summary(of: Estimates, r: dict[str, float], dim: str) -> Any:
            values = {k: (dim, v) for k, v in _columns(of, r).items()}
            return xr.Dataset(values, {dim: list(r)})

        element, effect = {"element": list(self.elements)}, {"effect": list(self.effects)}
        subject = {"subject": list(self.subjects)}
        return xr.DataTree.from_dict(
            {
                "sites": dataset(self.sites, ("element",), element),
                "people": dataset(self.people, ("subject", "effect"), effect | subject),
                "summary": summary(self.sites, self.population_r, "element"),
                "individual": summary(_pooled(self.people), self.individual_r, "effect"),
            }
        )


def recover(
    study: AbstractStudy,
    seed: int,
    *,
    n_replicates: int = 10,
    only: str | Sequence[int] | None = None,
    at: Sites | None = None,
    chains: int = 1,
    warmup: int = 500,
    draws: int = 500,
    target_accept: float = 0.8,
    fit: Fit | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Recovery:
    """Draw populations from the priors (or with the sites `at` given), fit them, and compare.

    The people, their waves, items, missing answers and exposure are the study's own. `only`,
    `folder`: as for `calibrate`. `fit`: another way to fit people than NUTS.

    Raises `InputError` for sites, ranges and folders that do not fit.
    """
    which = chosen(only, n_replicates)
    options: dict[str, Any] = {"chains": chains, "warmup": warmup, "draws": draws}
    what = identity(study, what="recovery", **options)
    if at:
        what["at"] = {k: np.asarray(v, float).round(6).tolist() for k, v in at.items()}
    found = replicated(
        Drawing(study, seed, at),
        which,
        fit or Refit(study, target_accept=target_accept, **options),
        _Summing(study),
        folder=folder,
        what=what,
        progress=progress,
    )
    every = [x for i, x in found.items() if i <= n_replicates]

    def estimates(of: str, prior_sd: np.ndarray) -> Estimates:
        parts = {k: np.stack([x[f"{of}_{k}"] for x in every]) for k in PARTS}
        return Estimates(**parts, prior_sd=prior_sd)

    return Recovery(
        elements=elements(study),
        effects=tuple(study.effects),
        subjects=tuple(study.coords["subject"]),
        sites=estimates("sites", _prior_sd(study)),
        people=estimates("people", np.ones(())),
        effective=np.array([float(x["effective"]) for x in every]),
        divergences=np.array([int(x["divergences"]) for x in every]),
    )


class _Summing:
    """Means, standard deviations and quantiles of the draws, beside the truth."""

    def __init__(self, study: AbstractStudy):
        self.study = study

    def __call__(self, truth: Truth, draws: Draws) -> Arrays:
        drawn = flat(self.study, draws.sites, lead=2)
        found: Arrays = {
            "effective": array_stats.ess(drawn, chain_axis=0, draw_axis=1).min(),
            "divergences": np.asarray(draws.divergences),
        }
        pairs = {
            "sites": (flat(self.study, truth.sites), drawn),
            "people": (truth.sites["effects"], draws.sites["effects"]),
        }
        for name, (true, values) in pairs.items():
            values = np.concatenate(values)  # chains one after the other
            found |= {
                f"{name}_truth": np.asarray(true),
                f"{name}_mean": values.mean(0),
                f"{name}_sd": values.std(0, ddof=1),
                f"{name}_ends": np.moveaxis(np.quantile(values, QUANTILES, axis=0), 0, -1),
            }
        return found


def _prior_sd(study: AbstractStudy) -> Float[np.ndarray, " element"]:
    with plain_rules():
        drawn = {
            name: np.asarray(p.distribution.sample(jax.random.key(i), (PRIOR_DRAWS,)))
            for i, (name, p) in enumerate(study.priors.items())
        }
    return flat(study, drawn, lead=1).std(0)


def _pooled(of: Estimates) -> Estimates:
    """People of all replicates as if they were replicates."""
    pooled = {k: np.concatenate(getattr(of, k)) for k in PARTS}
    return Estimates(**pooled, prior_sd=of.prior_sd)


def _columns(of: Estimates, r: dict[str, float]) -> dict[str, np.ndarray]:
    return {
        "bias": of.bias(),
        "rmse": of.rmse(),
        "coverage_50": of.coverage("50"),
        "coverage_89": of.coverage("89"),
        "r": np.array(list(r.values())),
        "contraction": of.contraction(),
    }


def _heading(what: str) -> str:
    return f"{what:<44}" + "".join(
        f"{w:>8}" for w in ("bias", "rmse", "50 %", "89 %", "r", "contr.")
    )


def _lines(names: Sequence[str], of: Estimates, r: dict[str, float]) -> list[str]:
    columns = list(_columns(of, r).values())
    return [
        f"{name:<44}" + "".join(f"{column[i]:>8.2f}" for column in columns)
        for i, name in enumerate(names)
    ]


def _r(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])

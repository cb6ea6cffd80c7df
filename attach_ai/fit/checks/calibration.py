"""Simulation-based calibration: does the sampler draw from the posterior of this very study?

Populations are drawn from the priors, their answers from the model, and each data set is fitted.
The rank of what was true among the draws is then uniform (Talts et al. 2018, arXiv:1804.06788), for
every number among the sites, for people's effects, and for the log-likelihood, a quantity of the
data too, without which a posterior that never looked at them passes (Modrák et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Int

from attach_ai.errors import InputError
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
from attach_ai.fit.checks.uniformity import band, departure, p_value
from attach_ai.fit.sampling.chain import plain_rules
from attach_ai.fit.sampling.sample import Refit
from attach_ai.fit.study.abstract import AbstractStudy, Sites

if TYPE_CHECKING:
    import xarray

    from attach_ai.fit.sampling.sample import Draws

LEVEL = 0.05  # of the test of all quantities together
PEOPLE = 3  # whose effects are ranked
LIKELIHOOD = "log likelihood"


@dataclass(frozen=True)
class Calibration:
    """Ranks of what was true among `n_ranks` draws, 0 to `n_ranks`: (replicate, quantity).

    `effective`: the smallest effective sample size of each fit; `divergences`: its draws that left
    the path. `sizes`: how many quantities each site has.
    """

    quantities: tuple[str, ...]
    ranks: Int[np.ndarray, "replicate quantity"]
    n_ranks: int
    effective: np.ndarray
    divergences: np.ndarray
    sizes: dict[str, tuple[int, ...]]

    @cached_property
    def p(self) -> dict[str, float]:
        """Of each quantity, the p-value of the simultaneous band."""
        return {
            name: p_value(self.ranks[:, i], self.n_ranks) for i, name in enumerate(self.quantities)
        }

    @property
    def overall(self) -> float:
        """The smallest p-value, corrected for their number (Bonferroni)."""
        return min(1.0, min(self.p.values()) * len(self.p))

    @property
    def passed(self) -> bool:
        """Whether all quantities together are compatible with uniform ranks."""
        return self.overall >= LEVEL

    @property
    def correlated(self) -> float:
        """Share of fits with fewer effective draws than are ranked: their ranks are too coarse."""
        return float(np.mean(self.effective < self.n_ranks))

    def words(self, quantity: str) -> str:
        """Of one quantity: "uniform", or how it departs; "by itself" where only it does so."""
        if self.p[quantity] >= LEVEL:
            return "uniform"
        own = departure(self.ranks[:, self.quantities.index(quantity)], self.n_ranks)
        return own if self.p[quantity] * len(self.p) < LEVEL else f"{own}, by itself"

    def table(self) -> str:
        """A line a quantity, those that depart first; sites of many numbers by their worst."""
        n = len(self.ranks)
        lines = [f"{'quantity':<44}{'p':>7}  ranks of what was true, {n} replicates"]
        for name in sorted(self._shown(), key=lambda q: self.p[q]):
            lines.append(f"{name:<44}{self.p[name]:>7.3f}  {self.words(name)}")
        return "\n".join([*lines, "", self.verdict_text()])

    def verdict_text(self) -> str:
        """What it comes to, in plain words."""
        n, k = self.ranks.shape
        inside = "calibrated" if self.passed else "not calibrated"
        text = (
            f"{inside}: the most extreme of {k} quantities in {n} replicates has p = "
            f"{min(self.p.values()):.4f}, {self.overall:.3f} once corrected for their number."
        )
        if self.correlated > 0.05:
            text += (
                f" In {self.correlated:.0%} of the fits some quantity has fewer effective draws "
                f"than the {self.n_ranks} that are ranked; draw more of them."
            )
        if self.divergences.any():
            text += f" {np.mean(self.divergences > 0):.0%} of the fits had divergent draws."
        return text

    def to_tree(self) -> xarray.DataTree:
        """Group `prior_sbc`: PIT values by site (chain, draw, ...), for `arviz.plot_ecdf_pit`.

        Group `calibration`: `rank` (replicate, quantity), `p` and the band's `expected`, `low`,
        `high` (rank), with what the fits were like.
        """
        import xarray as xr

        # A rank stands for an interval of values, within which any is as good.
        shift = np.random.default_rng(0).random(self.ranks.shape)
        pit = (self.ranks + shift) / (self.n_ranks + 1)
        values: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        at = 0
        for name, shape in self.sizes.items():
            size = int(np.prod(shape))
            own = pit[:, at : at + size].reshape(1, -1, *shape)
            dims = ("chain", "draw", *(f"{name}_dim_{i}" for i in range(len(shape))))
            values[name] = (dims, own)
            coords |= {d: np.arange(n) for d, n in zip(dims, own.shape, strict=True)}
            at += size
        expected, low, high = band(len(self.ranks), self.n_ranks)
        found = xr.Dataset(
            {
                "rank": (("replicate", "quantity"), self.ranks),
                "p": (("quantity",), list(self.p.values())),
                "expected": (("rank_at",), expected),
                "low": (("rank_at",), low),
                "high": (("rank_at",), high),
                "effective": (("replicate",), self.effective),
                "divergences": (("replicate",), self.divergences),
            },
            {"quantity": list(self.quantities)},
            {"n_ranks": self.n_ranks, "verdict": self.verdict_text()},
        )
        return xr.DataTree.from_dict(
            {"prior_sbc": xr.Dataset(values, coords), "calibration": found}
        )

    def _shown(self) -> list[str]:
        """All quantities of small sites, and of the others the most extreme."""
        shown, at = [], 0
        for shape in self.sizes.values():
            size = int(np.prod(shape))
            own = list(self.quantities[at : at + size])
            shown += own if size <= 12 else [min(own, key=lambda q: self.p[q])]
            at += size
        return shown


def calibrate(
    study: AbstractStudy,
    seed: int,
    *,
    n_replicates: int = 200,
    only: str | Sequence[int] | None = None,
    n_ranks: int = 63,
    chains: int = 1,
    warmup: int = 300,
    draws: int = 504,
    target_accept: float = 0.8,
    at: Sites | None = None,
    fitted: AbstractStudy | None = None,
    fit: Fit | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Calibration:
    """Draw `n_replicates` populations and their answers from `study`, fit each, rank the truth.

    `only`: replicates of these numbers alone ("1-50"), for work shared by several machines: with a
    `folder` each replicate leaves a file there, and all that lie in it are counted. `n_ranks` draws
    of each fit are ranked, evenly spaced along its `chains` x `draws`. `fitted`: another study of
    the same sites to fit with, to see that the test fails where it should; `fit`: another way to
    fit people than NUTS. `at`: values of sites that are not to be drawn (nothing is promised then).

    Raises `InputError` for ranges and folders that do not fit, and fewer draws than ranks.
    """
    which = chosen(only, n_replicates)
    if chains * draws < n_ranks:
        raise InputError(f"{chains * draws} draws cannot give {n_ranks} ranks", "calibrate")
    fitting = fitted or study
    if list(fitting.priors) != list(study.priors) or fitting.effects != study.effects:
        raise InputError("the study to fit with has other sites or effects", "calibrate")
    options: dict[str, Any] = {"chains": chains, "warmup": warmup, "draws": draws}
    what = identity(study, what="calibration", n_ranks=n_ranks, **options)
    if fitted is not None:
        what["fitted"] = identity(fitted)["study"]
    found = replicated(
        Drawing(study, seed, at),
        which,
        fit or Refit(fitting, target_accept=target_accept, **options),
        _Ranking(fitting, n_ranks),
        folder=folder,
        what=what,
        progress=progress,
    )
    found = {i: x for i, x in found.items() if i <= n_replicates}
    n_people = min(PEOPLE, len(study.coords["subject"]))
    people = study.coords["subject"][:n_people]
    names = [f"{e} of {p}" for p in people for e in study.effects]
    sizes = {n: tuple(p.distribution.shape()) for n, p in study.priors.items()}
    if study.effects:
        sizes["effects"] = (n_people, len(study.effects))
    return Calibration(
        quantities=(*elements(study), *names, LIKELIHOOD),
        ranks=np.stack([x["rank"] for x in found.values()]),
        n_ranks=n_ranks,
        effective=np.array([float(x["effective"]) for x in found.values()]),
        divergences=np.array([int(x["divergences"]) for x in found.values()]),
        sizes={**sizes, LIKELIHOOD: ()},
    )


class _Ranking:
    """Ranks of the truth among draws spaced evenly along all chains."""

    def __init__(self, study: AbstractStudy, n_ranks: int):
        self.study, self.n_ranks = study, n_ranks

        def likelihood(sites: Any, people: Any) -> Any:
            def one(at: Any) -> Any:
                return study.log_likelihood(at, at["effects"], people).sum()

            return jax.lax.map(one, sites)

        self._likelihood = jax.jit(likelihood)

    def __call__(self, truth: Truth, draws: Draws) -> Arrays:
        first = next(iter(draws.sites.values()))
        n = first.shape[0] * first.shape[1]
        at = np.linspace(0, n - 1, self.n_ranks).round().astype(int)
        sites = {k: v.reshape(n, *v.shape[2:])[at] for k, v in draws.sites.items()}
        true = {k: np.asarray(v)[None] for k, v in truth.sites.items()}
        both = {k: np.concatenate([true[k].astype(v.dtype), v]) for k, v in sites.items()}
        with plain_rules():
            log_p = np.asarray(self._likelihood(both, truth.people))
        people = both["effects"][:, :PEOPLE].reshape(self.n_ranks + 1, -1)
        every = np.concatenate([flat(self.study, both, lead=1), people, log_p[:, None]], axis=1)
        drawn = flat(self.study, draws.sites, lead=2)
        return {
            "rank": (every[1:] < every[:1]).sum(0),
            "effective": array_stats.ess(drawn, chain_axis=0, draw_axis=1).min(),
            "divergences": np.asarray(draws.divergences),
        }

"""What the data changed, and what would change with another prior or a weaker likelihood.

Contraction: the share of the prior variance that the data took away. Power-scaling (Kallioinen et
al. 2024, Stat Comput 34:57): how far a posterior moves when the prior, or the likelihood, is raised
to a power near one, by reweighting the draws.

The more numbers a density is the product of, the more its logarithm differs between draws, and the
further reweighting moves anything by chance: with the 130 unknowns of a small study, .2 at 400
draws, where .05 is called sensitive. So each unknown is scaled by the prior of its own site, and
what the same weights do to draws out of step with them is the noise that a shift must exceed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.fit.checks.information import flatten
from attach_ai.fit.study.abstract import AbstractStudy

if TYPE_CHECKING:
    import xarray

    from attach_ai.fit.sampling.sample import Draws

SENSITIVE = 0.05  # of power-scaling, the bound that Kallioinen et al. propose
UNMOVED = 0.1  # contraction under which a posterior is its prior
NEAR = 1.0  # prior standard deviations within which its centre has not moved
SETTLED = 0.5  # contraction from which on the data have the larger say
SHIFTS = 8  # ways to put draws out of step
MOST = 2000  # draws whose likelihood is evaluated again


@dataclass(frozen=True)
class Sensitivity:
    """Of each unknown of the population, on the scale that is sampled; `str` is the table.

    `data` (unknown): `prior_mean`, `prior_sd`, `mean`, `sd`, `contraction` = 1 - (sd / prior sd)^2,
    `shift` = (mean - prior mean) / prior sd, `to_prior` and `to_likelihood` (power-scaling), the
    largest of each that chance alone gave (`prior_noise`, `likelihood_noise`), and `verdict`.
    """

    data: xarray.Dataset

    def table(self) -> str:
        """One line an unknown, what needs a look first."""
        d = self.data
        names = [str(n) for n in d.unknown.values]
        wide = max(map(len, [*names, "unknown"]))
        lines = [f"  {'unknown':<{wide}}  contraction  shift  to prior  to data  verdict"]
        for i in np.argsort(d.verdict.values == "", kind="stable"):
            lines.append(
                f"  {names[i]:<{wide}}  {d.contraction.values[i]:>11.0%}"
                f"  {d['shift'].values[i]:>5.1f}  {d.to_prior.values[i]:>8.3f}"
                f"  {d.to_likelihood.values[i]:>7.3f}  {d.verdict.values[i]}"
            )
        return "\n".join(line.rstrip() for line in lines)

    __str__ = table


def sensitivity(study: AbstractStudy, draws: Draws, *, most: int = MOST) -> Sensitivity:
    """Contraction and power-scaling sensitivity of every unknown.

    The prior that is scaled is that of the unknown's own site; people's effects belong to the
    model. The likelihood is that of each person given their effects. At most `most` draws are used,
    evenly taken from each chain.
    """
    import xarray as xr

    flat = flatten(study)
    sites = _thinned(draws, most)
    x = flat.vector({name: sites[name] for name in study.priors})
    log_prior, log_likelihood = log_densities(study, sites)
    to_prior, prior_noise = np.zeros((2, len(flat.labels)))
    for k, name in enumerate(study.priors):
        own = np.array(flat.names) == name
        to_prior[own], prior_noise[own] = _scaled(x[..., own], log_prior[..., k], "prior")
    to_likelihood, likelihood_noise = _scaled(x, log_likelihood.sum(-1), "likelihood")
    # All draws know the moments better than those whose likelihood was evaluated.
    whole = flat.vector({name: draws.sites[name] for name in study.priors})
    mean, sd = whole.mean((0, 1)), whole.std((0, 1))
    contraction = 1 - (sd / flat.sd) ** 2
    moved = to_prior > np.maximum(SENSITIVE, prior_noise)
    told = to_likelihood > np.maximum(SENSITIVE, likelihood_noise)
    shift = (mean - flat.mean) / flat.sd
    verdict = [_verdict(*row) for row in zip(contraction, shift, moved, told, strict=True)]
    columns = {
        "prior_mean": flat.mean,
        "prior_sd": flat.sd,
        "mean": mean,
        "sd": sd,
        "contraction": contraction,
        "shift": shift,
        "to_prior": to_prior,
        "to_likelihood": to_likelihood,
        "prior_noise": prior_noise,
        "likelihood_noise": likelihood_noise,
        "verdict": np.array(verdict, str),
    }
    return Sensitivity(
        xr.Dataset(
            {k: ("unknown", v) for k, v in columns.items()},
            coords={"unknown": list(flat.labels), "site": ("unknown", list(flat.names))},
        )
    )


def _verdict(contraction: float, shift: float, moved: bool, told: bool) -> str:
    if contraction < UNMOVED and abs(shift) < NEAR and not told:
        return "the prior, as it was: the data say next to nothing"
    if moved and told:
        return "prior and data pull apart: another prior would give another answer"
    if moved and contraction < SETTLED:
        return "the prior decides more than the data"
    return ""


def _scaled(
    x: Float[np.ndarray, "chain draw unknown"], log: Float[np.ndarray, "chain draw"], group: str
) -> tuple[Float[np.ndarray, " unknown"], Float[np.ndarray, " unknown"]]:
    """Power-scaling sensitivity to a log density, and the largest of draws out of step with it.

    Draws are shifted along their chains, which keeps how alike neighbours are. Where a chain stood
    still, so that the greatest weights are all one, nothing can be told: NaN.
    """
    import xarray as xr
    from arviz import psense

    def moved(x: np.ndarray) -> np.ndarray:
        nodes = {
            "posterior": xr.Dataset({"x": (("chain", "draw", "unknown"), x)}),
            f"log_{group}": xr.Dataset({"log": (("chain", "draw"), log)}),
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Number of tail draws", UserWarning)
            try:
                found: np.ndarray = psense(xr.DataTree.from_dict(nodes), group=group)["x"].values
            except ValueError:
                return np.full(x.shape[-1], np.nan)
        return found

    n = x.shape[1]
    steps = np.unique(np.linspace(0.1 * n, 0.9 * n, SHIFTS).round().astype(int))
    return moved(x), np.max([moved(np.roll(x, step, axis=1)) for step in steps], axis=0)


def log_densities(
    study: AbstractStudy, sites: dict[str, np.ndarray]
) -> tuple[Float[np.ndarray, "chain draw site"], Float[np.ndarray, "chain draw subject"]]:
    """Log prior of each site, and log likelihood of each person, of every draw (nats)."""
    shape = next(iter(sites.values())).shape[:2]
    n = shape[0] * shape[1]
    flat = {k: jnp.asarray(v.reshape(n, *v.shape[2:])) for k, v in sites.items()}

    @jax.jit
    def densities(draws: dict[str, Array]) -> tuple[Array, Array]:
        def one(draw: dict[str, Array]) -> tuple[Array, Array]:
            prior = [p.distribution.log_prob(draw[name]).sum() for name, p in study.priors.items()]
            return jnp.stack(prior), study.log_likelihood(draw, draw["effects"], study.people)

        return jax.lax.map(one, draws)

    prior, likelihood = densities(flat)
    return (
        np.asarray(prior, float).reshape(*shape, -1),
        np.asarray(likelihood, float).reshape(*shape, -1),
    )


def _thinned(draws: Draws, most: int) -> dict[str, np.ndarray]:
    """Sites (chain, draw, ...) of at most `most` draws in all."""
    n_chains, n = draws.sites["effects"].shape[:2]
    at = np.unique(np.linspace(0, n - 1, min(n, max(2, most // n_chains))).round().astype(int))
    return {name: np.asarray(x)[:, at] for name, x in draws.sites.items()}

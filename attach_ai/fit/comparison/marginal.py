"""A person's answers with the person averaged out, by importance sampling.

log p(y_i | population) = log ∫ p(y_i | population, z) N(z; 0, 1) dz. The proposal is a Gaussian
with the mean and covariance of the person's posterior effects, widened, and mixed with the prior
(the balance heuristic; Owen & Zhou 2000): weights are bounded wherever the likelihood is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.fit.study.abstract import AbstractStudy, People, Sites

if TYPE_CHECKING:
    from attach_ai.fit.sampling.sample import Draws

WIDEN = 1.2  # standard deviations of the proposal, in those of the posterior
FROM_PRIOR = 8  # one importance draw in so many comes from the prior
LIVES = 256  # lives evaluated side by side, when people are few


class Proposal(eqx.Module):
    """Where to look for each person's effects: mean, a factor of the covariance, its inverse."""

    mean: Float[Array, "subject effect"]
    factor: Float[Array, "subject effect effect"]
    inverse: Float[Array, "subject effect effect"]


def thinned(draws: Draws, most: int) -> dict[str, np.ndarray]:
    """Every site (sample, ...) of at most `most` draws, evenly spaced over all chains."""
    flat = {
        name: np.asarray(x).reshape(math.prod(x.shape[:2]), *x.shape[2:])
        for name, x in draws.sites.items()
    }
    n = next(iter(flat.values())).shape[0]
    at = np.linspace(0, n - 1, min(most, n)).round().astype(int)
    return {name: x[at] for name, x in flat.items()}


def proposal(draws: Draws, dtype: Any) -> Proposal:
    """Fitted to each person's posterior effects over all draws (chain, draw, subject, effect)."""
    effects = np.asarray(draws.sites["effects"], float)
    effects = effects.reshape(math.prod(effects.shape[:2]), *effects.shape[2:])
    n, _, n_effects = effects.shape
    mean = effects.mean(0)
    off = effects - mean
    spread = np.einsum("nse,nsf->sef", off, off) / max(n - 1, 1)
    # Few draws of many effects know variances better than covariances.
    own = np.eye(n_effects) * spread
    trust = n / (n + 2 * n_effects + 1)
    spread = trust * spread + (1 - trust) * own + 1e-4 * np.eye(n_effects)
    factor = WIDEN * np.linalg.cholesky(spread)
    return Proposal(*(jnp.asarray(x, dtype) for x in (mean, factor, np.linalg.inv(factor))))


class Integrator:
    """What averages people out of a study's likelihood; compiled once for people of a shape.

    The study's own people are not read: those given count.
    """

    def __init__(self, study: AbstractStudy, n_importance: int = 64):
        def marginal(key: Array, sites: Sites, at: Proposal, people: People) -> Any:
            z, log_ratio = _draw(key, at, n_importance)
            # A divisor, so that no remainder is compiled for as well.
            side_by_side = math.gcd(z.shape[0], 2 ** int(math.log2(max(1, LIVES // z.shape[1]))))
            log_l = jax.lax.map(
                lambda z: study.log_likelihood(sites, z, people), z, batch_size=side_by_side
            )
            log_w = log_l + log_ratio
            log_p = jax.nn.logsumexp(log_w, axis=0)
            excess = jnp.sum(jnp.exp(log_w - log_p[None]) ** 2, axis=0) - 1 / z.shape[0]
            return log_p - np.log(z.shape[0]), jnp.sqrt(jnp.maximum(excess, 0.0))

        self._marginal = jax.jit(
            lambda x, at, people: jax.lax.map(lambda y: marginal(y[0], y[1], at, people), x)
        )
        self._conditional = jax.jit(
            lambda x, people: jax.lax.map(lambda y: study.log_likelihood(y[0], y[1], people), x)
        )

    def marginal(
        self, population: Mapping[str, np.ndarray], at: Proposal, people: People, key: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """log p(what is known of each person | population) (sample, subject), and its noise.

        `population`: sites (sample, ...), as `thinned` leaves them. The noise is the Monte Carlo
        standard deviation; both in nats. One key gives the same importance draws whatever the
        answers are, so that noise cancels in differences.
        """
        sites, _ = _apart(population, at.mean.dtype)
        keys = jax.random.split(key, next(iter(sites.values())).shape[0])
        # In one thread: batched linear algebra in two at a time can wait for each other for ever.
        log_p, noise = self._marginal((keys, sites), at, people)
        return np.asarray(log_p, float), np.asarray(noise, float)

    def conditional(self, population: Mapping[str, np.ndarray], people: People) -> np.ndarray:
        """The same given the effects that were drawn (sample, subject), nats."""
        x = _apart(population, people.measure.dtype)
        return np.asarray(self._conditional(x, people), float)


def _draw(key: Array, at: Proposal, n: int) -> tuple[Array, Array]:
    """Effects (draw, subject, effect), and log prior - log proposal of each (draw, subject)."""
    n_subjects, n_effects = at.mean.shape
    if n_effects == 0:
        return jnp.zeros((1, n_subjects, 0), at.mean.dtype), jnp.zeros((1, n_subjects))
    x = jax.random.normal(key, (n, n_subjects, n_effects), at.mean.dtype)
    n_prior = max(1, n // FROM_PRIOR)
    found = at.mean[None] + jnp.einsum("sef,nsf->nse", at.factor, x)
    z = jnp.where((jnp.arange(n) < n_prior)[:, None, None], x, found)
    standard = jnp.einsum("sef,nsf->nse", at.inverse, z - at.mean[None])
    scale = jnp.log(jnp.diagonal(at.factor, axis1=-2, axis2=-1)).sum(-1)
    # Constants of the two Gaussians are the same and cancel.
    log_prior = -0.5 * jnp.sum(z**2, axis=-1)
    log_found = -0.5 * jnp.sum(standard**2, axis=-1) - scale[None]
    share = n_prior / n
    log_q = jnp.logaddexp(np.log(share) + log_prior, np.log1p(-share) + log_found)
    return z, log_prior - log_q


def _apart(population: Mapping[str, np.ndarray], dtype: Any) -> tuple[dict[str, Array], Array]:
    """Sites and effects in one precision."""
    sites = {
        k: jnp.asarray(x, dtype if np.issubdtype(x.dtype, np.floating) else None)
        for k, x in population.items()
    }
    return sites, sites.pop("effects")

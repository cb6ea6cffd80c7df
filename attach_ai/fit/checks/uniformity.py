"""Are ranks uniform? Their empirical distribution against a band that holds all of it at once.

The band of Säilynoja, Bürkner & Vehtari (2022, Statistics and Computing 32:32), for ranks 0 to L:
under uniformity the number of N ranks that are at most j is binomial with p = (j + 1) / (L + 1),
and how far out its most extreme value lies has a distribution that is simulated once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binom

SIMULATIONS = 10_000


def p_value(ranks: Int[np.ndarray, " replicate"], n_ranks: int) -> float:
    """How often uniform ranks stray from their distribution as far as these, anywhere along it."""
    far, _ = _null(len(ranks), n_ranks)
    own = _extreme(_counts(np.asarray(ranks)[None], n_ranks), len(ranks), n_ranks)[0]
    return float((1 + np.sum(far <= own)) / (1 + len(far)))


def band(
    n_replicates: int, n_ranks: int, level: float = 0.95
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, " rank"], Float[np.ndarray, " rank"]]:
    """Where the distribution of uniform ranks lies as a whole, in `level` of cases.

    Expected share of ranks that are at most j, and the lowest and highest share inside the band,
    for j from 0 to L - 1.
    """
    far, expected = _null(n_replicates, n_ranks)
    gamma = float(np.quantile(far, 1 - level))
    low = binom.ppf(gamma / 2, n_replicates, expected) / n_replicates
    high = binom.ppf(1 - gamma / 2, n_replicates, expected) / n_replicates
    return expected, low, high


def departure(ranks: Int[np.ndarray, " replicate"], n_ranks: int) -> str:
    """In words how ranks of the truth among draws differ most from uniform ones."""
    pit = (np.asarray(ranks) + 0.5) / (n_ranks + 1)
    n = len(pit)
    # Standard errors of the mean and of the variance of a uniform sample.
    shift = (pit.mean() - 0.5) * np.sqrt(12 * n)
    spread = (np.mean((pit - 0.5) ** 2) - 1 / 12) * np.sqrt(180 * n)
    if abs(shift) > abs(spread):
        return "estimates too low" if shift > 0 else "estimates too high"
    return "posterior too narrow" if spread > 0 else "posterior too wide"


@lru_cache(maxsize=8)
def _null(n: int, n_ranks: int) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " rank"]]:
    """How extreme uniform ranks are, by simulation, and the expected distribution."""
    ranks = np.random.default_rng(0).integers(0, n_ranks + 1, (SIMULATIONS, n))
    expected = np.arange(1, n_ranks + 1) / (n_ranks + 1)
    far = np.concatenate(
        [_extreme(_counts(part, n_ranks), n, n_ranks) for part in np.array_split(ranks, 20)]
    )
    return far, expected


def _counts(ranks: Int[np.ndarray, "draw replicate"], n_ranks: int) -> Int[np.ndarray, "draw rank"]:
    """How many ranks are at most j."""
    n_draws = len(ranks)
    at = ranks + (n_ranks + 1) * np.arange(n_draws)[:, None]
    found = np.bincount(at.ravel(), minlength=n_draws * (n_ranks + 1))
    return found.reshape(n_draws, -1).cumsum(1)[:, :-1]


def _extreme(
    counts: Int[np.ndarray, "draw rank"], n: int, n_ranks: int
) -> Float[np.ndarray, " draw"]:
    """Twice the smallest tail probability along the distribution; small is far out."""
    tails = _tails(n, n_ranks)
    return tails[np.arange(n_ranks), counts].min(1)


@lru_cache(maxsize=8)
def _tails(n: int, n_ranks: int) -> Float[np.ndarray, "rank count"]:
    p = np.arange(1, n_ranks + 1)[:, None] / (n_ranks + 1)
    count = np.arange(n + 1)
    return 2 * np.minimum(binom.cdf(count, n, p), binom.sf(count - 1, n, p))

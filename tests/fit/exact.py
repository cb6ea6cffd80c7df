"""A study whose posterior is known: two means seen through Gaussian answers, no effects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attach_ai.fit.sampling.sample import Draws
from attach_ai.fit.study.abstract import People
from tests.fit.toy import NOISE, ToyStudy, toy


def study(n_subjects: int = 6, n_occasions: int = 3) -> ToyStudy:
    return toy(n_subjects, n_occasions, 0, n_continuous=1, missing=0.0, individual=False)


def posterior(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (level, trend), of which the prior is standard normal."""
    y = np.asarray(people.measure)[:, 0, :, 0]
    t = np.linspace(0, 1, y.shape[1])
    x = np.tile(np.stack([np.ones_like(t), t], 1), (len(y), 1))
    covariance = np.linalg.inv(np.eye(2) + x.T @ x / NOISE**2)
    return covariance @ x.T @ y.ravel() / NOISE**2, covariance


def fitting(
    n_draws: int = 63, *, wider: float = 1.0, blind: bool = False
) -> Callable[[People, int], Draws]:
    """Independent draws from the posterior; `wider`: its spread times this; `blind`: the prior."""

    def fit(people: People, seed: int) -> Draws:
        mean, covariance = (np.zeros(2), np.eye(2)) if blind else posterior(people)
        rng = np.random.default_rng(seed)
        drawn = rng.multivariate_normal(mean, wider**2 * covariance, n_draws)
        effects = np.zeros((1, n_draws, people.answer.shape[0], 0))
        return Draws({"mean": drawn[None], "effects": effects}, {}, 0.0, "exact")

    return fit

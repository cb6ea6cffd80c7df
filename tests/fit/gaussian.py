"""People whose every density is a closed form: the toy's continuous items with a known spread.

y_i = X m + spread * z_i + noise, m ~ N(0, 1): the posterior of m is Gaussian, and so is what it
says of a person who was left out.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from attach_ai.fit.study.abstract import People
from tests.fit.toy import NOISE, ToyStudy, toy

SPREAD = 0.8


def study(n_subjects: int = 12, n_occasions: int = 3) -> ToyStudy:
    return toy(n_subjects, n_occasions, 0, n_continuous=2, missing=0.0)


def rows(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Values (subject, answer), NaN missing, and the design of each answer (answer, 2)."""
    y = np.asarray(people.measure)[:, 0]
    t = np.linspace(0, 1, y.shape[1])
    design = np.stack([np.ones_like(t), t], 1).repeat(y.shape[2], axis=0)
    return y.reshape(len(y), -1), design


def posterior(people: People, spread: float = SPREAD) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of m, people averaged out."""
    values, design = rows(people)
    precision, weighted = np.eye(2), np.zeros(2)
    for y in values:
        seen = ~np.isnan(y)
        if seen.any():
            x = design[seen]
            inverse = np.linalg.inv(own(int(seen.sum()), spread))
            precision += x.T @ inverse @ x
            weighted += x.T @ inverse @ y[seen]
    covariance = np.linalg.inv(precision)
    return covariance @ weighted, covariance


def own(n: int, spread: float = SPREAD) -> np.ndarray:
    return spread**2 * np.ones((n, n)) + NOISE**2 * np.eye(n)


def log_predictive(y: np.ndarray, design: np.ndarray, m: np.ndarray, v: np.ndarray) -> float:
    """log p(y of one person) where m ~ N(m, v)."""
    seen = ~np.isnan(y)
    if not seen.any():
        return 0.0
    x = design[seen]
    return float(multivariate_normal.logpdf(y[seen], x @ m, x @ v @ x.T + own(int(seen.sum()))))


def exact_draws(people: People, n: int = 400, seed: int = 0, spread: float = SPREAD) -> Any:
    """Independent draws from the posterior, as two chains."""
    rng = np.random.default_rng(seed)
    values, design = rows(people)
    mean, covariance = posterior(people, spread)
    m = rng.multivariate_normal(mean, covariance, n)
    effects = np.zeros((n, len(values), 1))
    for i, y in enumerate(values):
        seen = ~np.isnan(y)
        precision = 1 + seen.sum() * spread**2 / NOISE**2
        off = (y[seen] - m @ design[seen].T).sum(1) * spread / NOISE**2
        effects[:, i, 0] = off / precision + rng.normal(size=n) / np.sqrt(precision)
    sites = {
        "mean": m,
        "spread": np.full((n, 1), spread),
        "cut_first": np.full((n, 2), -1.0),
        "effects": effects,
    }
    return SimpleNamespace(sites={k: v.reshape(2, n // 2, *v.shape[1:]) for k, v in sites.items()})


def without(people: People, i: int) -> People:
    return People(jnp.delete(people.answer, i, 0), jnp.delete(people.measure, i, 0))

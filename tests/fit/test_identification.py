"""Expected information against closed forms, and what cannot be told, named."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jaxtyping import Array

from attach_ai.fit.checks.identification import Identification, identification, reliabilities
from attach_ai.fit.checks.information import flatten, known
from attach_ai.fit.study.abstract import AbstractStudy, People, Prior
from tests.fit.toy import NOISE, ToyStudy, empty, toy


class Heights(AbstractStudy):
    """y = a + b + spread z1 + spread_b z2 + N(0, 1): a and b only together, z2 only at occasion 1.

    `idle` informs nothing.
    """

    people: People
    priors: Any = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Any = eqx.field(static=True)

    def _theta(self, sites: Any, effects: Array, people: People) -> Array:
        mean = sites["a"] + sites["b"] + jnp.exp(sites["log_spread"]) * effects[:, 0]
        first = jnp.zeros(people.measure.shape[2]).at[0].set(0.1)
        theta = mean[:, None] + effects[:, 1][:, None] * first[None]
        return jnp.broadcast_to(theta[:, None, :, None], people.measure.shape)

    def by_answer(self, sites: Any, effects: Array, people: People) -> Array:
        known = ~jnp.isnan(people.measure)
        value = jnp.where(known, people.measure, 0.0)
        density = dist.Normal(self._theta(sites, effects, people), 1.0).log_prob(value)
        return jnp.where(known, density, 0.0)

    def log_likelihood(self, sites: Any, effects: Array, people: People) -> Array:
        return self.by_answer(sites, effects, people).sum((1, 2, 3))

    def draw(self, key: Array, sites: Any, effects: Array, people: People) -> People:
        theta = self._theta(sites, effects, people)
        noise = jax.random.normal(key, theta.shape, theta.dtype)
        measure = jnp.where(jnp.isnan(people.measure), jnp.nan, theta + noise)
        return eqx.tree_at(lambda p: p.measure, people, measure)

    def quantities(self, sites: Any, effects: Array) -> dict[str, Any]:
        return {}


def heights(n: int = 40, n_items: int = 4) -> Heights:
    priors = {
        name: Prior(dist.Normal(m, sd))
        for name, m, sd in [
            ("a", 0.0, 2.0),
            ("b", 0.0, 2.0),
            ("log_spread", -0.5, 1.0),
            ("idle", 0.0, 1.0),
        ]
    }
    coords = {"individual": ("height", "start")}
    return Heights(empty(n, 2, 0, n_items), priors, ("height", "start"), coords)


@pytest.fixture(scope="module")
def found() -> Identification:
    return identification(heights(), jax.random.key(0), n_draws=60)


def test_information_of_a_gaussian_study_is_the_closed_form(found: Identification) -> None:
    spread2, n, k = np.exp(-1.0), 40, 8
    first = np.repeat([0.1, 0.0], 4)
    v = spread2 * np.ones((k, k)) + np.outer(first, first) + np.eye(k)
    inverse = np.linalg.inv(v)
    of_mean = n * inverse.sum()
    dv = 2 * spread2 * np.ones((k, k))
    of_spread = n * np.trace(inverse @ dv @ inverse @ dv) / 2
    information = found.expected.information
    # 2,400 scores: about 3 % of Monte Carlo error
    np.testing.assert_allclose(information[:2, :2], of_mean, rtol=0.1)
    np.testing.assert_allclose(information[2, 2], of_spread, rtol=0.15)
    assert not information[3].any()


def test_reliability_is_that_of_a_mean_of_answers(found: Identification) -> None:
    spread2 = np.exp(-1.0)
    load = np.stack([np.full(8, spread2**0.5), np.repeat([0.1, 0.0], 4)], 1)
    remaining = np.linalg.inv(np.eye(2) + load.T @ load)
    np.testing.assert_allclose(list(found.reliability.values()), 1 - np.diag(remaining), atol=0.01)
    assert found.individual() == ("height",)
    cheap = reliabilities(heights(), jax.random.key(1))
    np.testing.assert_allclose(list(cheap.values()), list(found.reliability.values()), atol=0.02)
    assert found.expected.effective > 0.8


def test_the_expected_posterior_is_information_and_prior_together(found: Identification) -> None:
    label = list(found.flat.labels)
    # a + b is known, a - b is not: half of the prior variance stays
    np.testing.assert_allclose(found.contraction[label.index("a")], 0.5, atol=0.02)
    assert found.contraction[label.index("idle")] == pytest.approx(0, abs=1e-3)
    assert found.alone[label.index("a")] > 0.9


def test_what_cannot_be_told_is_named(found: Identification) -> None:
    assert found.silent == ("idle",)
    assert found.together == (("a", "b"),)
    text = " ".join(found.unidentified)
    for sentence in ("next to nothing about idle", "only combinations of a, b", "apart in start"):
        assert sentence in text
    assert text in found.to_dataset().attrs["verdict"]
    assert "log_spread" in str(found)


def test_graded_answers_to_one_item_carry_samejimas_information() -> None:
    study = toy(400, 1, 1, n_levels=3, individual=False, missing=0.0)
    flat = flatten(study)
    study = study.restricted(empty(400, 1, 1))
    found = identification(study, jax.random.key(1), n_draws=20)
    # log odds of y > k: 1 - k, from the study's fixed cutpoints
    past = 1 / (1 + np.exp([-1.0, 0.0]))
    edges = np.array([1.0, *past, 0.0])
    p, slope = -np.diff(edges), -np.diff(edges * (1 - edges))
    level = list(flat.labels).index("mean[level]")
    np.testing.assert_allclose(
        found.expected.information[level, level], 400 * (slope**2 / p).sum(), rtol=0.05
    )
    assert found.reliability == {}


def test_scores_of_given_answers_are_those_of_the_marginal_likelihood() -> None:
    study: ToyStudy = toy(3, 3, 0, n_continuous=2, missing=0.0)
    flat = flatten(study)
    x = jnp.asarray(flat.mean)

    start = jnp.zeros((3, 1))

    def marginal(x: Array) -> Array:
        sites = flat.sites(x)
        centre = study.theta(sites, jnp.zeros((3, 1)), 3)[:, :, None]
        y = jnp.broadcast_to(study.people.measure[:, 0] - centre, (3, 3, 2)).reshape(3, 6)
        v = sites["spread"][0] ** 2 * jnp.ones((6, 6)) + NOISE**2 * jnp.eye(6)
        lower = jnp.linalg.cholesky(v)
        white = jax.scipy.linalg.solve_triangular(lower, y.T, lower=True)
        return -0.5 * (white**2).sum(0) - jnp.log(jnp.diag(lower)).sum()

    at = jax.jit(lambda: known(study, flat, x, study.people, start, jax.random.key(0), 1024))()
    np.testing.assert_allclose(at.score, jax.jit(jax.jacobian(marginal))(x), rtol=0.03, atol=0.05)


def test_sites_are_flattened_with_their_labels_and_come_back() -> None:
    study = toy(3)
    flat = flatten(study)
    assert flat.labels[:3] == ("mean[level]", "mean[trend]", "spread[level]")
    np.testing.assert_allclose(flat.sd[:2], 1.0, atol=1e-4)
    # the logarithm of a half-normal number: mean and sd in closed form
    np.testing.assert_allclose(flat.mean[2], -(np.euler_gamma + np.log(2)) / 2, atol=1e-3)
    np.testing.assert_allclose(flat.sd[2], np.pi / 8**0.5, atol=1e-3)
    np.testing.assert_allclose(flat.vector(flat.sites(jnp.asarray(flat.mean))), flat.mean)

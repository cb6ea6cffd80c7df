"""Coordinates of chains: they make a posterior round, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

from attach_ai.fit.comparison.rivals import rivals
from attach_ai.fit.records.records import Records
from attach_ai.fit.sampling.chain import Density, plain_rules, unbounded
from attach_ai.fit.sampling.geometry import Geometry, blank, measured
from attach_ai.fit.study.abstract import Prior
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.planned import answered, planned_records
from attach_ai.fit.study.pomdp import POMDPStudy, contrasts
from attach_ai.model.mapping import load_mapping
from tests.fit import gaussian


@pytest.fixture(scope="module")
def records() -> Records:
    blank = planned_records(load_mapping("cohort"), 12, items=3, instruments=("ecr_s", "phq9"))
    free = ("trust", "fear_of_loss")
    empty = build_study("attachment_waves", None, blank, free, individual=free)
    records = answered(empty, blank, jax.random.key(2))
    classes = pd.Series([i % 3 for i in range(12)], index=records.subjects)
    return replace(records, cluster=classes)


@pytest.fixture(scope="module")
def study(records: Records) -> POMDPStudy:
    free = ("trust", "fear_of_loss")
    return build_study("attachment_waves", None, records, free, individual=free)


@pytest.fixture(scope="module")
def density(study: POMDPStudy) -> Density:
    return Density(study)


@pytest.fixture(scope="module")
def geometry(density: Density) -> Geometry:
    points = 0.3 * np.random.default_rng(0).normal(size=(4, density.n)) * density.spread
    with plain_rules():
        return measured(density, points, density.study.people)


def test_a_gaussian_posterior_becomes_round() -> None:
    study = gaussian.study()
    # Given its spread the toy is Gaussian: every second derivative is the same everywhere.
    density = Density(study)
    x = np.zeros(density.n)
    with plain_rules():
        found = measured(density, [x, x], study.people)
        hessian = jax.hessian(lambda z: -density(found(z), study.people))(jnp.zeros(density.n))
    off = np.asarray(hessian) - np.diag(np.diagonal(hessian))
    np.testing.assert_allclose(off, 0.0, atol=0.01)
    # The spread alone is not Gaussian.
    assert (np.abs(np.diagonal(hessian) - 1) > 1e-3).sum() == 1


def test_there_and_back(density: Density, geometry: Geometry) -> None:
    z = np.random.default_rng(3).normal(size=density.n)
    with plain_rules():
        x = geometry(jnp.asarray(z))
        np.testing.assert_allclose(geometry.inverse(x), z, atol=1e-8)
        np.testing.assert_array_equal(blank(density)(jnp.asarray(z)), z)


def test_the_axes_are_a_rotation(study: POMDPStudy) -> None:
    assert study.planes  # attachment anxiety follows fear of loss
    sites, axes = study.draw_prior(jax.random.key(0))
    turned = study.turned(sites, axes)
    assert not np.allclose(turned, axes)
    np.testing.assert_allclose((turned**2).sum(1), (axes**2).sum(1), rtol=1e-12)
    one = jax.jacfwd(lambda a: study.turned(sites, a[None])[0])(axes[0])
    np.testing.assert_allclose(np.linalg.det(one), 1.0, rtol=1e-12)


def test_along_the_axes_a_scale_feels_the_sum_alone(study: POMDPStudy) -> None:
    """When the two spreads trade places the first axis moves what is read as much as before."""
    scale, own, slope = study.planes[0]
    sites, axes = study.draw_prior(jax.random.key(0))
    n_own = len(study.coords["individual"])
    axes = jnp.zeros_like(axes).at[:, own].set(1.0)

    def moved(spread: float, residual: float) -> float:
        now = dict(sites) | {
            "spread": sites["spread"].at[own].set(spread),
            "residual": sites["residual"].at[scale].set(residual),
        }
        e = study.turned(now, axes)[0]
        return float(slope * spread * e[own] + residual * e[n_own + scale])

    same = np.hypot(1.0, 0.5)
    assert moved(1.0 / abs(slope), 0.5) == pytest.approx(same, rel=0.02)
    assert moved(0.5 / abs(slope), 1.0) == pytest.approx(same, rel=0.02)


def test_the_density_is_priors_and_likelihood(study: POMDPStudy, density: Density) -> None:
    x = jnp.asarray(0.5 * np.random.default_rng(4).normal(size=density.n) * density.spread)
    with plain_rules():
        sites = density.constrain(x)
        effects = sites["effects"]
        assert all((sites[n] > 0).all() for n, p in study.priors.items() if p.mirrored)
        told = eqx.filter_jit(study.log_likelihood)(sites, effects, study.people).sum()
        told += dist.Normal(0.0, 1.0).log_prob(effects).sum()
        free, _ = density.split(x)
        for name, prior in study.priors.items():
            told += prior.distribution.log_prob(sites[name]).sum()
            told -= np.log(2) * free[name].size if prior.mirrored else 0.0
            each = jax.grad(lambda z, name=name: density.transforms[name](z).sum())(free[name])
            told += jnp.log(jnp.abs(each)).sum() if prior.distribution.shape() else jnp.log(each)
        np.testing.assert_allclose(jax.jit(density)(x, study.people), told, rtol=1e-9)


def test_a_mirrored_spread_says_the_same_of_mirrored_effects(
    study: POMDPStudy, records: Records
) -> None:
    growth = rivals(study, records)["growth"]
    for one, mirrored in (
        (study, ["spread", "cluster_spread", "residual", "wording"]),
        (growth, ["wording"]),
    ):
        density = Density(one)
        x = 0.5 * np.random.default_rng(5).normal(size=density.n) * density.spread
        assert [n for n, p in one.priors.items() if p.mirrored] == mirrored
        with plain_rules():
            found = density.constrain(jnp.asarray(x))
            likelihood = eqx.filter_jit(one.log_likelihood)
            free, axes = density.split(jnp.asarray(x))
            raw = {n: density.transforms[n](z) for n, z in free.items()}
            signed = likelihood(raw, one.turned(raw, axes), one.people)
            folded = likelihood(found, found["effects"], one.people)
        assert min(float(raw[n].min()) for n in mirrored) < 0
        assert all(float(found[n].min()) > 0 for n in mirrored)
        np.testing.assert_allclose(signed, folded, rtol=1e-10)
        assert found["effects"].shape == (density.n_subjects, len(one.effects))


def test_at_zero_nothing_is_folded_away(study: POMDPStudy) -> None:
    sites, effects = study.draw_prior(jax.random.key(1))
    still = {**sites, "spread": sites["spread"] * 0.0}
    found, folded = study.folded(still, effects)
    np.testing.assert_array_equal(folded, effects)
    np.testing.assert_array_equal(found["spread"], still["spread"])


def test_standard_deviations_are_sampled_as_they_are_and_near_zero_as_logarithms() -> None:
    prior = dist.HalfNormal(jnp.full(3, 2.0))
    way = unbounded(Prior(prior))
    z = jnp.asarray([1.0, -2.0, 3.0])
    with plain_rules():
        value = way(z)
        np.testing.assert_allclose(way.inv(value), z, atol=1e-9)
        slope = jax.grad(lambda z: way(z).sum())(z)
        np.testing.assert_allclose(way.log_abs_det_jacobian(z, value), np.log(slope), atol=1e-9)
    assert np.all(value > 0)
    assert slope[0] == pytest.approx(1.0, abs=0.01)
    assert float(way(z - 1.0)[1] / value[1]) == pytest.approx(np.exp(-1 / 0.16), rel=0.02)


def test_items_differ_along_orthonormal_contrasts() -> None:
    found = contrasts([0, 1, 0, 0, 1, 2])
    assert found.shape == (6, 3)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-12)
    same = np.array([0, 1, 0, 0, 1, 2])
    for k in range(3):
        np.testing.assert_allclose(found[same == k].sum(0), 0.0, atol=1e-12)
    # Independent items, counted from the mean of their scale.
    centred = np.eye(6) - (same[:, None] == same) / (same[:, None] == same).sum(1)
    np.testing.assert_allclose(found @ found.T, centred, atol=1e-12)

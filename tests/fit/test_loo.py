"""Leaving people, waves and groups out, against closed forms and against fits without them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.comparison import loo, marginal
from attach_ai.fit.sampling.sample import Draws, sample
from attach_ai.fit.study.abstract import AbstractStudy, without_answers
from tests.fit import gaussian
from tests.fit.toy import toy

KEY = jax.random.key(1)


def fit_exactly(study: AbstractStudy) -> object:
    return gaussian.exact_draws(study.people)


@pytest.fixture(scope="module")
def study() -> AbstractStudy:
    return gaussian.study()


@pytest.fixture(scope="module")
def integrate(study: AbstractStudy) -> marginal.Integrator:
    return marginal.Integrator(study, 128)


def test_people_are_averaged_out_as_the_closed_form_says(
    study: AbstractStudy, integrate: marginal.Integrator
) -> None:
    draws = gaussian.exact_draws(study.people)
    population = marginal.thinned(draws, 20)
    at = marginal.proposal(draws, study.people.measure.dtype)
    log_p, noise = integrate.marginal(population, at, study.people, KEY)
    values, design = gaussian.rows(study.people)
    exact = np.array(
        [
            [gaussian.log_predictive(y, design, m, np.zeros((2, 2))) for y in values]
            for m in population["mean"]
        ]
    )
    off = log_p - exact
    assert np.abs(off).max() < 0.5
    # The noise that is reported is the noise that there is.
    assert 0.8 < off.std() / np.sqrt((noise**2).mean()) < 1.25


def test_leave_one_out_agrees_with_posteriors_without_the_person(
    study: AbstractStudy, integrate: marginal.Integrator
) -> None:
    found = loo.integrated(study, gaussian.exact_draws(study.people), KEY, integrate=integrate)
    values, design = gaussian.rows(study.people)
    exact = np.array(
        [
            gaussian.log_predictive(
                y, design, *gaussian.posterior(gaussian.without(study.people, i))
            )
            for i, y in enumerate(values)
        ]
    )
    np.testing.assert_allclose(found.elpd, exact, atol=0.15)
    assert abs(found.total - exact.sum()) < 0.4
    assert found.k_share == 0.0
    # Weights that take out the person's own effect with the person are far worse.
    assert found.conditional_k.mean() > found.pareto_k.mean() + 0.2
    assert 0.5 < found.p_loo < 3  # two means


def test_a_left_out_occasion_agrees_with_the_closed_form(
    study: AbstractStudy, integrate: marginal.Integrator
) -> None:
    people = study.people
    found = loo.leave_wave_out(
        study, gaussian.exact_draws(people), KEY, "each", integrate=integrate
    )
    assert found.folds == ("w1", "w2", "w3")
    exact = np.zeros((3, 12))
    for t in range(3):
        for i in range(12):
            cell = np.zeros(people.answer.shape, bool)
            cell[i, :, t] = True
            rest = without_answers(people, cell)
            m, v = gaussian.posterior(gaussian.without(people, i))
            values, design = gaussian.rows(people)
            others, _ = gaussian.rows(rest)
            exact[t, i] = gaussian.log_predictive(
                values[i], design, m, v
            ) - gaussian.log_predictive(others[i], design, m, v)
    np.testing.assert_allclose(found.elpd, exact, atol=0.15)
    last = loo.leave_wave_out(study, gaussian.exact_draws(people), KEY, "last", integrate=integrate)
    np.testing.assert_allclose(last.elpd[0], found.elpd[2], atol=0.1)


def test_folds_hold_out_the_last_answers_and_nobodys_only_ones() -> None:
    study = toy(4, 3, 2, missing=0.0)
    gone = np.zeros((4, 1, 3, 1), bool)
    gone[0, 0, 2] = True  # the last wave of one
    gone[1, 0, 1:] = True  # all but the first of another
    gone[2] = True  # all of a third
    study = study.restricted(without_answers(study.people, gone))
    labels, held_out = loo.wave_folds(study)
    assert labels == ("last",)
    np.testing.assert_array_equal(np.argwhere(held_out[0]), [[0, 0, 1], [3, 0, 2]])
    labels, held_out = loo.wave_folds(study, "each")
    assert labels == ("w1", "w2", "w3")
    assert held_out.sum((1, 2, 3)).tolist() == [2, 2, 1]
    with pytest.raises(InputError, match='expected "last" or "each"'):
        loo.wave_folds(study, "first")


def test_failed_weights_are_replaced_by_a_fit_without_the_person(
    study: AbstractStudy, integrate: marginal.Integrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loo, "BAD", -np.inf)
    draws = gaussian.exact_draws(study.people)
    found = loo.integrated(study, draws, KEY, integrate=integrate, refit=fit_exactly, max_refits=2)
    assert found.refitted.sum() == 2
    values, design = gaussian.rows(study.people)
    for i in np.flatnonzero(found.refitted):
        m, v = gaussian.posterior(gaussian.without(study.people, i))
        assert abs(found.elpd[i] - gaussian.log_predictive(values[i], design, m, v)) < 0.15
    assert found.k_share == 10 / 12
    waves = loo.leave_wave_out(study, draws, KEY, "last", integrate=integrate, refit=fit_exactly)
    assert waves.refitted.all()
    assert waves.k_share == 0
    plain = loo.integrated(study, draws, KEY, integrate=integrate)
    np.testing.assert_array_equal(plain.elpd[~found.refitted], found.elpd[~found.refitted])


def test_groups_are_predicted_by_the_others(
    study: AbstractStudy, integrate: marginal.Integrator
) -> None:
    people = study.people
    group = ["a", "b"] * 6
    draws = gaussian.exact_draws(people)
    found = loo.grouped(study, group, draws, KEY, fit=fit_exactly, integrate=integrate)
    values, design = gaussian.rows(people)
    for label in ("a", "b"):
        kept = jax.tree.map(lambda x, k=label: x[np.array(group) != k], people)
        m, v = gaussian.posterior(kept)
        for i in np.flatnonzero(np.array(group) == label):
            assert abs(found.elpd[i] - gaussian.log_predictive(values[i], design, m, v)) < 0.15
    with pytest.raises(InputError, match="at least two groups"):
        loo.grouped(study, ["a"] * 12, draws, KEY, fit=fit_exactly)


def test_a_study_without_effects_needs_no_integration() -> None:
    study = toy(6, 2, 2, individual=False)
    rng = np.random.default_rng(0)
    sites = {"mean": rng.normal(size=(2, 20, 2)) * 0.1, "effects": np.zeros((2, 20, 6, 0))}
    draws = type("Draws", (), {"sites": sites})()
    found = loo.integrated(study, draws, KEY)
    assert (found.noise == 0).all()
    first = jax.jit(lambda x: study.log_likelihood({"mean": x}, jnp.zeros((6, 0)), study.people))(
        jnp.asarray(sites["mean"][0, 0])
    )
    np.testing.assert_allclose(found.log_p[0], first, rtol=1e-12)


def test_what_does_not_vary_needs_no_weights() -> None:
    log_p = np.stack([np.ones(50), np.random.default_rng(0).normal(-2, 0.3, 50)], 1)
    elpd, k = loo.psis(log_p)
    assert elpd[0] == 1.0
    assert k[0] == -np.inf
    assert elpd[1] == pytest.approx(-np.log(np.exp(-log_p[:, 1]).mean()), abs=0.02)
    with pytest.raises(InputError, match=r"3 draws; .* takes 25 or more"):
        loo.psis(log_p[:3])


@pytest.mark.slow
def test_leave_one_out_of_graded_answers_agrees_with_refits() -> None:
    """Every person left out in earnest, by a sampler, against weights."""
    study = toy(8, 3, 3)

    def fit(study: AbstractStudy) -> Draws:
        options = {"chains": 2, "warmup": 400, "draws": 1000, "processes": 1}
        return sample(study, 3, progress=False, **options)

    draws = fit(study)
    found = loo.integrated(study, draws, KEY, max_draws=500)
    earnest = loo.grouped(study, range(8), draws, KEY, fit=fit, max_draws=500)
    good = found.pareto_k < loo.BAD
    assert good.sum() >= 7
    np.testing.assert_allclose(found.elpd[good], earnest.elpd[good], atol=0.15)
    assert found.conditional_k_share > found.k_share


def test_weights_of_a_chain_that_stood_still_have_failed() -> None:
    """Where the greatest weights are all one there is no tail; they are said to have failed."""
    log_p = np.random.default_rng(0).normal(size=(60, 3))
    log_p[:25, 1] = -9.0
    log_p[:, 2] = 1.0
    elpd, k = loo.psis(log_p)
    assert k[1] == np.inf
    assert k[2] == -np.inf
    assert elpd[1] == pytest.approx(np.log(60) - np.log(np.exp(-log_p[:, 1]).sum()))
    assert elpd[2] == 1
    np.testing.assert_allclose([elpd[0], k[0]], [x[0] for x in loo.psis(log_p[:, :1])])

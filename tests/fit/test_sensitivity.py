"""Contraction and power-scaling against conjugate posteriors; what leaves with those who left."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jaxtyping import Array

from attach_ai.errors import InputError
from attach_ai.fit.checks.not_at_random import (
    NotAtRandom,
    _imputed,
    _shift,
    after_dropout,
    missing_not_at_random,
)
from attach_ai.fit.checks.power import ancova
from attach_ai.fit.checks.sensitivity import Sensitivity, log_densities, sensitivity
from attach_ai.fit.sampling.sample import Draws
from attach_ai.fit.study.abstract import Prior
from tests.fit.toy import NOISE, ToyStudy, toy

ARMS = ["waiting", "practice"] * 30
ITEMS = {"toy": ("toy.1", "toy.2")}


def line(n: int, centre: float, seed: int = 0) -> tuple[ToyStudy, Draws, np.ndarray]:
    """y = level + trend t + N(0, NOISE), prior N(0, 1) each, data about `centre`; exact draws."""
    study = toy(n, 3, 0, n_continuous=1, individual=False, missing=0.0)
    rng = np.random.default_rng(seed)
    y = centre + NOISE * rng.standard_normal((n, 1, 3, 1))
    study = eqx.tree_at(lambda s: s.people.measure, study, jnp.asarray(y))
    x = np.tile(np.stack([np.ones(3), [0, 0.5, 1]], 1), (n, 1))
    covariance = np.linalg.inv(np.eye(2) + x.T @ x / NOISE**2)
    mean = covariance @ x.T @ y.reshape(-1) / NOISE**2
    drawn = rng.multivariate_normal(mean, covariance, (4, 500))
    return (
        study,
        Draws({"mean": drawn, "effects": np.zeros((4, 500, n, 0))}, {}, 0.0, ""),
        covariance,
    )


@pytest.mark.parametrize(("centre", "flagged"), [(0.5, False), (6.0, True)])
def test_a_prior_far_from_the_data_is_noticed(centre: float, flagged: bool) -> None:
    study, draws, covariance = line(4, centre)
    found = sensitivity(study, draws)
    np.testing.assert_allclose(found.data.contraction, 1 - np.diag(covariance), atol=0.02)
    verdict = str(found.data.verdict.sel(unknown="mean[level]").values)
    assert ("pull apart" in verdict) == flagged, found
    assert (found.data.to_likelihood > 0.05).all()


def test_a_posterior_that_is_its_prior_is_named() -> None:
    study, draws, _ = line(4, 0.5)
    priors = {**study.priors, "idle": Prior(dist.Normal(0.0, 2.0))}
    study = ToyStudy(study.people, priors, (), study.coords, study.n_levels)
    idle = 2 * np.random.default_rng(5).standard_normal((4, 500))
    draws = Draws({**draws.sites, "idle": idle}, {}, 0.0, "")
    found = sensitivity(study, draws)
    assert "next to nothing" in str(found.data.verdict.sel(unknown="idle").values)
    first = Sensitivity.table(found).splitlines()[1]
    assert first.split()[0] == "idle"


def test_what_chance_alone_does_is_not_sensitivity() -> None:
    study, draws, _ = line(4, 0.5)
    rng = np.random.default_rng(6)
    # A hundred numbers that the answers tell, far from their priors' centres and from each other.
    many = Prior(dist.Normal(jnp.zeros(100), jnp.ones(100)), dims=("number",))
    coords = {**study.coords, "number": tuple(map(str, range(100)))}
    study = ToyStudy(study.people, {**study.priors, "many": many}, (), coords, study.n_levels)
    sites = {"many": 1.5 + 0.3 * rng.standard_normal((4, 500, 100)), **draws.sites}
    few = {k: v[:2, :100] for k, v in sites.items()}
    found = sensitivity(study, Draws(few, {}, 0.0, "")).data
    assert (found.prior_noise.sel(unknown="mean[level]") < 0.1).all()
    own = found.verdict.values[found.site.values == "mean"]
    assert (own == "").all(), own


def test_of_a_chain_that_stood_still_nothing_is_told() -> None:
    study, draws, _ = line(4, 0.5)
    stuck = {k: np.repeat(v[:2, :1], 60, axis=1) for k, v in draws.sites.items()}
    found = sensitivity(study, Draws(stuck, {}, 0.0, "")).data
    assert np.isnan(found.to_likelihood).all()
    assert "prior and data pull apart" not in " ".join(found.verdict.values)


def test_densities_of_draws_are_those_of_the_model() -> None:
    study, draws, _ = line(4, 0.5)
    few = {k: v[:2, :3] for k, v in draws.sites.items()}
    prior, likelihood = log_densities(study, few)
    theta = few["mean"][..., :1] + few["mean"][..., 1:] * np.array([0, 0.5, 1])
    y = np.asarray(study.people.measure).reshape(4, 3)
    off = (y - theta[:, :, None]) / NOISE
    constant = np.log(2 * np.pi) / 2
    np.testing.assert_allclose(prior.sum(-1), -(few["mean"] ** 2).sum(-1) / 2 - 2 * constant)
    np.testing.assert_allclose(likelihood, -(off**2).sum(-1) / 2 - 3 * (constant + np.log(NOISE)))


SIDE = np.linspace(-1.5, 2.5, 41)
GRID = np.stack(np.meshgrid(SIDE, SIDE, indexing="ij"), -1).reshape(-1, 2)


def left() -> tuple[ToyStudy, Draws]:
    """Sixty people of whom every third is gone after the first occasion; draws from a grid."""
    study = toy(60, 3, 2, individual=False, missing=0.0, seed=4)
    gone = np.zeros((60, 1, 3, 2), bool)
    gone[::3, :, 1:] = True
    answer = jnp.where(gone, -1, study.people.answer)
    study = eqx.tree_at(lambda s: s.people.answer, study, answer)
    p = on_grid(study)(study.people.answer)
    at = np.random.default_rng(0).choice(len(GRID), (2, 200), p=np.asarray(p))
    return study, Draws({"mean": GRID[at], "effects": np.zeros((2, 200, 60, 0))}, {}, 0, "")


def on_grid(study: ToyStudy) -> Callable[[Array], Array]:
    """The posterior of the two means, over `GRID`, given answers."""

    @jax.jit
    def posterior(answer: Array) -> Array:
        people = eqx.tree_at(lambda p: p.answer, study.people, answer)

        def one(mean: Array) -> Array:
            none = jnp.zeros((answer.shape[0], 0))
            return study.log_likelihood({"mean": mean}, none, people).sum() - (mean**2).sum() / 2

        return jax.nn.softmax(jax.lax.map(one, jnp.asarray(GRID), batch_size=64))

    return posterior


@pytest.fixture(scope="module")
def moved() -> tuple[ToyStudy, Draws, NotAtRandom]:
    study, draws = left()
    found = missing_not_at_random(
        study,
        draws,
        [-1.0, 1.0],
        jax.random.key(0),
        group=ARMS,
        scales=ITEMS,
        unknowns=["mean[trend]"],
        shifted=["practice"],
    )
    return study, draws, found


def test_who_left_is_who_never_came_back() -> None:
    study, _ = left()
    answer = np.array(study.people.answer)
    answer[1, 0, 1] = -1  # came back
    answer[2, 0, 1, 0] = -1  # answered the other item
    answer[:, 0, 2, 1] = -1  # was not asked of anybody
    people = eqx.tree_at(lambda p: p.answer, study.people, jnp.asarray(answer))
    gone = after_dropout(people)
    assert gone[::3, 0, 1].all()
    assert gone[::3, 0, 2, 0].all()
    assert gone.sum() == 20 * 3


def test_delta_zero_changes_nothing(moved: tuple[ToyStudy, Draws, NotAtRandom]) -> None:
    _, draws, found = moved
    at = found.data.sel(delta=0.0, unknown="mean[trend]")
    np.testing.assert_allclose(at.unknown_mean, draws.sites["mean"][..., 1].mean())
    np.testing.assert_array_equal(found.data.missing, [40, 40])


def test_one_newton_step_is_close_to_fitting_again(
    moved: tuple[ToyStudy, Draws, NotAtRandom],
) -> None:
    study, draws, found = moved
    gone = after_dropout(study.people)
    shifted = gone & (np.arange(60) % 2 == 1)[:, None, None, None]
    rows = _imputed(study, draws, [0.0, 1.0], gone, shifted, jax.random.key(7), 10)
    posterior = on_grid(study)
    exact = [np.mean([posterior(p.answer) @ GRID[:, 1] for p in row]) for row in rows]
    step = found.data.unknown_mean.sel(unknown="mean[trend]")
    moved_by = float(step.sel(delta=1.0) - step.sel(delta=0.0))
    assert moved_by > 0.05
    np.testing.assert_allclose(moved_by, exact[1] - exact[0], rtol=0.2)


def test_the_effect_on_scores_follows_the_arm_that_is_shifted(
    moved: tuple[ToyStudy, Draws, NotAtRandom],
) -> None:
    found = moved[2]
    effect = found.data.effect.sel(contrast="practice against waiting", scale="toy").values
    assert np.diff(effect).min() > 0.05  # one third of an arm, a logit each
    assert (found.data.effect_low < found.data.effect).all()
    assert "answers missing after a last one: waiting 40, practice 40" in str(found)
    tips = found.tipping("practice against waiting", "toy")
    assert tips is None or tips in found.data.delta.values


def test_imputed_answers_have_the_odds_asked_for() -> None:
    p = np.array([0.0, 0.2, 0.9, 1.0])
    with np.errstate(divide="ignore"):
        log_odds = np.log(p / (1 - p + (p == 1) * 0.0))
        np.testing.assert_allclose(np.log(_shift(p, 1.5) / (1 - _shift(p, 1.5))), log_odds + 1.5)


def test_where_nobody_left_the_effect_is_the_plain_one() -> None:
    study = toy(60, 3, 2, individual=False, missing=0.0)
    draws = Draws({"mean": np.zeros((1, 4, 2)), "effects": np.zeros((1, 4, 60, 0))}, {}, 0, "")
    found = missing_not_at_random(
        study, draws, [2.0], jax.random.key(0), group=ARMS, scales=ITEMS, n_imputations=3
    )
    plain = ancova(np.asarray(study.people.answer, float)[:, 0], np.arange(60) % 2 * 1.0)
    assert plain is not None
    np.testing.assert_allclose(found.data.effect.values.reshape(-1), plain.effect)
    assert "nothing hangs on why" in str(found)


def test_labels_that_are_not_there_are_named() -> None:
    study, draws, _ = line(4, 0.0)
    with pytest.raises(InputError, match="unknowns: no unknown of this study is called 'meen'"):
        missing_not_at_random(study, draws, [1.0], jax.random.key(0), unknowns=["meen"])
    with pytest.raises(InputError, match="shifted: no arm is called 'c'"):
        missing_not_at_random(
            study, draws, [1.0], jax.random.key(0), group=["a", "b"] * 2, shifted=["c"]
        )

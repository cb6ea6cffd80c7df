"""Response models: exact where floats are scarce, and the same as others find them."""

from __future__ import annotations

import os
import warnings
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from attach_ai.fit.study import answers
from attach_ai.fit.study.answers import cutpoints, shared_cutpoints

# Compiled whole: op by op would compile each.
graded = jax.jit(answers.graded)
graded_draw = jax.jit(answers.graded_draw)
probabilities = jax.jit(answers.probabilities)
reached = jax.jit(answers.reached)
information = jax.jit(answers.information)
density = jax.jit(answers.continuous)

CUTS = np.array([[-1.0, 0.5, 2.0], [0.0, 0.1, np.inf], [1.0, np.inf, np.inf]])  # K = 4, 3, 2
N_LEVELS = (4, 3, 2)


def exact(y: int, eta: float, cuts: np.ndarray) -> tuple[float, float]:
    """ln P(y) and its derivative by eta, as differences of sigmoids to 80 digits."""
    with localcontext() as context:
        context.prec = 80
        c = [Decimal(float(x)) for x in cuts if np.isfinite(x)]
        reach = [1 / (1 + (x - Decimal(eta)).exp()) for x in c]
        reach = [Decimal(1), *reach, Decimal(0)]
        p = reach[y] - reach[y + 1]
        slope = [r * (1 - r) for r in reach]
        return float(p.ln()), float((slope[y] - slope[y + 1]) / p)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients_are_right_however_unlikely_the_answer(dtype: str) -> None:
    distances = (0.3, 5.0, 17.0, 50.0, 85.0)
    asked = [
        (item, answer, CUTS[item, 0] + sign * far)
        for item, k in enumerate(N_LEVELS)
        for answer in range(k)
        for far in distances
        for sign in (-1, 1)
    ]
    y, eta = np.full((len(asked), 3), -1), np.zeros((len(asked), 3))
    for row, (item, answer, at) in enumerate(asked):
        y[row, item], eta[row, item] = answer, at
    given = jnp.asarray(eta, dtype), jnp.asarray(np.repeat(CUTS[None], len(asked), 0), dtype)

    @jax.jit
    def found(eta: Any, cuts: Any) -> Any:
        slopes = jax.grad(lambda e, c: graded(y, e, c).sum(), argnums=(0, 1))(eta, cuts)
        return graded(y, eta, cuts), *slopes

    y = jnp.asarray(y, jnp.int32)
    value, by_eta, by_cuts = found(*given)
    tight = 1e-5 if dtype == "float32" else 1e-12
    assert value.dtype == dtype
    assert np.isfinite(by_cuts).all()
    for row, (item, answer, _) in enumerate(asked):
        at = float(given[0][row, item])
        expected, slope = exact(answer, at, np.asarray(given[1][row, item]))
        assert float(value[row, item]) == pytest.approx(expected, rel=tight, abs=tight)
        assert float(by_eta[row, item]) == pytest.approx(slope, rel=tight, abs=tight)
        # Moving all cutpoints is moving eta the other way.
        assert float(by_cuts[row].sum()) == pytest.approx(-slope, abs=10 * tight)
    assert not value[y < 0].any()


def test_gradients_by_cutpoints_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(-1, 4, (6, 2, 3))
    y = jnp.asarray(np.where(y >= np.array(N_LEVELS), -1, y))
    eta = rng.normal(size=(6, 2, 3))
    first, gaps = rng.normal(size=3), rng.normal(size=(3, 2))

    def total(first: Any, gaps: Any) -> Any:
        return graded(y, eta, cutpoints(first, gaps, N_LEVELS)).sum()

    by_first, by_gaps = jax.jit(jax.grad(total, argnums=(0, 1)))(first, gaps)
    again, h = jax.jit(total), 1e-6
    for i in range(3):
        step = h * np.eye(3)[i]
        slope = (again(first + step, gaps) - again(first - step, gaps)) / (2 * h)
        assert float(by_first[i]) == pytest.approx(float(slope), abs=1e-7)
        for g in range(2):
            step = np.zeros((3, 2))
            step[i, g] = h
            slope = (again(first, gaps + step) - again(first, gaps - step)) / (2 * h)
            assert float(by_gaps[i, g]) == pytest.approx(float(slope), abs=1e-7)
    # Gaps that an item does not have are left to their prior.
    assert not np.any(by_gaps[1, 1:])
    assert not np.any(by_gaps[2])


def test_options_of_items_of_any_number_sum_to_one() -> None:
    eta = np.linspace(-30.0, 30.0, 41)[:, None] * np.ones((1, 3))
    p = np.asarray(probabilities(eta, CUTS))
    np.testing.assert_allclose(p.sum(-1), 1.0, rtol=1e-12)
    assert not p[:, 1, 3:].any()
    assert not p[:, 2, 2:].any()
    for k in range(4):
        y = np.full((41, 3), k)
        said = graded(y, eta, CUTS)
        has = np.array(N_LEVELS) > k
        np.testing.assert_allclose(np.exp(said[:, has]), p[:, has, k], rtol=1e-12)
    mean = p @ np.arange(4.0)
    np.testing.assert_allclose(reached(eta, CUTS).sum(-1), mean, rtol=1e-12)


def test_two_options_are_bernoulli() -> None:
    eta, cut = np.array([[-3.0], [0.2], [4.0]]), np.array([[0.5]])
    for y, sign in ((1, 1.0), (0, -1.0)):
        found = graded(np.full((3, 1), y), eta, cut)
        np.testing.assert_allclose(found, -np.log1p(np.exp(-sign * (eta - 0.5))), rtol=1e-14)


def test_cutpoints_may_differ_between_waves() -> None:
    rng = np.random.default_rng(2)
    y, eta = rng.integers(0, 3, (5, 2, 3)), rng.normal(size=(5, 2, 3))
    cuts = np.sort(rng.normal(size=(2, 3, 2)))
    found = graded(y, eta, cuts)
    for w in range(2):
        np.testing.assert_allclose(found[:, w], graded(y[:, w], eta[:, w], cuts[w]), rtol=1e-14)


def test_a_category_nobody_used_stays_regular() -> None:
    """Its likelihood only falls as its gap opens; a gap that closes costs the others nothing."""
    y, eta = jnp.array([[0], [2], [2]], jnp.int32), jnp.array([[-1.0], [1.0], [0.3]], jnp.float32)

    def total(gap: Any) -> Any:
        return graded(y, eta, cutpoints(jnp.zeros(1, jnp.float32), gap[None, None])).sum()

    both = jax.jit(jax.value_and_grad(total))
    for log_gap in (-80.0, -20.0, 0.0, 4.0):
        value, slope = both(jnp.float32(log_gap))
        assert np.isfinite(value)
        assert np.isfinite(slope)
        assert slope <= 0
    assert both(jnp.float32(-20.0))[0] > both(jnp.float32(0.0))[0]
    # One who did use it, between cutpoints that a float cannot tell apart.
    y = jnp.array([[1]], jnp.int32)
    at = jnp.full(1, 30.0, jnp.float32)
    alone = jax.jit(jax.value_and_grad(lambda g: graded(y, eta[:1], cutpoints(at, g)).sum()))
    value, slope = alone(jnp.full((1, 1), -30.0, jnp.float32))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_items_of_a_rating_scale_share_their_gaps() -> None:
    location, log_gaps = jnp.array([-1.0, 0.0, 2.0]), jnp.log(jnp.array([0.5, 1.5]))
    cuts = shared_cutpoints(location, log_gaps)
    np.testing.assert_allclose(cuts.mean(-1), location, atol=1e-12)
    np.testing.assert_allclose(np.diff(cuts), np.exp(log_gaps)[None].repeat(3, 0), rtol=1e-12)
    assert np.isinf(shared_cutpoints(location, log_gaps, (4, 3, 4))[1, 2])


def test_draws_follow_the_probabilities_and_rise_with_eta() -> None:
    uniform = (np.arange(4000)[:, None] + 0.5) / 4000 * np.ones((1, 3))
    eta = np.array([0.7, -0.4, 1.2]) * np.ones((4000, 1))
    y = np.asarray(graded_draw(uniform, eta, CUTS))
    p = probabilities(eta[:1], CUTS)[0]
    shares = np.stack([(y == k).mean(0) for k in range(4)], axis=-1)
    np.testing.assert_allclose(shares, p, atol=1 / 2000)
    assert (graded_draw(uniform, eta + 0.5, CUTS) >= y).all()


def test_information_is_the_expected_curvature() -> None:
    eta = np.array([[-2.0, 0.3, 1.0], [3.0, -1.0, 0.0]])
    p = np.asarray(probabilities(eta, CUTS))
    expected = np.zeros((2, 3))

    @jax.jit
    def second(eta: Any, y: Any) -> Any:
        slope = jax.grad(lambda e: graded(y, e, jnp.asarray(CUTS)).sum())
        return jax.jvp(slope, (eta,), (jnp.ones_like(eta),))[1]

    for k in range(4):
        y = np.where(k < np.array(N_LEVELS), k, -1) * np.ones((2, 1), int)
        expected -= p[..., k] * np.asarray(second(eta, y))
    np.testing.assert_allclose(information(eta, CUTS), expected, rtol=1e-9)


def test_a_continuous_answer_is_normal() -> None:
    value, eta = jnp.array([[40.0, np.nan], [55.0, 3.0]]), jnp.array([[2.0, 1.0], [-1.0, 0.5]])
    intercept, noise = jnp.array([50.0, 2.0]), jnp.array([8.0, 0.5])
    found = density(value, eta, intercept, noise)
    assert found[0, 1] == 0
    right = norm.logpdf(np.array([40.0, 55.0, 3.0]), [52.0, 49.0, 2.5], [8.0, 8.0, 0.5])
    np.testing.assert_allclose([found[0, 0], found[1, 0], found[1, 1]], right, rtol=1e-12)
    slope = jax.jit(jax.grad(lambda e: density(value, e, intercept, noise).sum()))(eta)
    assert np.isfinite(slope).all()
    assert slope[0, 1] == 0
    drawn = answers.continuous_draw(jnp.array([[1.0, 0.0]]), eta[:1], intercept, noise)
    np.testing.assert_allclose(drawn, [[60.0, 3.0]])


# ------------------------------------------------------------------ against girth


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(31)


def marginal(y: np.ndarray, a: Any, cuts: Any) -> Any:
    """Log likelihood of answers (person, item) with standard normal people averaged out."""
    shape = (len(y), len(NODES), y.shape[1])
    eta = jnp.broadcast_to((jnp.asarray(NODES)[:, None] * a[None])[None], shape)
    every = jnp.broadcast_to(jnp.asarray(y, jnp.int32)[:, None], shape)
    log_p = graded(every, eta, cuts).sum(-1) + jnp.log(WEIGHTS / WEIGHTS.sum())[None]
    return jax.nn.logsumexp(log_p, axis=1).sum()


def marginal_fit(y: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Discriminations and thresholds (c / a) at the mode; y (person, item)."""
    n = y.shape[1]

    def unpack(x: Any) -> Any:
        return jnp.exp(x[:n]), cutpoints(x[n : 2 * n], x[2 * n :].reshape(n, -1))

    @jax.jit
    @jax.value_and_grad
    def loss(x: Any) -> Any:
        # A weak prior, so that the test does not hang on an item that hardly discriminates.
        prior = jnp.sum(x[:n] ** 2) / 2 + jnp.sum(x[2 * n :] ** 2) / 8
        return prior - marginal(y, *unpack(x))

    start = np.concatenate([np.zeros(n), np.full(n, -1.5), np.zeros(n * (n_levels - 2))])
    found = minimize(lambda x: tuple(map(np.asarray, loss(x))), start, jac=True, method="L-BFGS-B")
    a, cuts = unpack(jnp.asarray(found.x))
    return np.asarray(a), np.asarray(cuts / a[:, None])


def girth_fit(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        girth = pytest.importorskip("girth")
        found = girth.grm_mml(y.T + 1)
    return found["Discrimination"], found["Difficulty"]


@pytest.mark.slow
def test_item_parameters_are_those_of_girth_on_simulated_answers() -> None:
    rng = np.random.default_rng(5)
    a = np.exp(rng.normal(0.2, 0.3, 6))
    cuts = np.sort(rng.normal(0, 1.2, (6, 3)) + np.array([-1.2, 0.0, 1.2]))
    theta = rng.normal(size=600)
    eta = jnp.asarray(theta[:, None] * a)
    y = np.asarray(graded_draw(jnp.asarray(rng.random((600, 6))), eta, jnp.asarray(cuts)))
    ours, theirs = marginal_fit(y, 4), girth_fit(y)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0.06)
    np.testing.assert_allclose(ours[1], theirs[1], atol=0.12)
    np.testing.assert_allclose(ours[0], a, rtol=0.35)  # both near what made the answers


@pytest.mark.slow
def test_item_parameters_are_those_of_girth_on_real_answers() -> None:
    folder = os.environ.get("ATTACH_AI_DATA")
    if not folder:
        pytest.skip("ATTACH_AI_DATA is not set: no real answers to compare on")
    table = pd.read_csv(Path(folder) / "01_keng_depress_3wave_attachment.csv")
    items = table[[f"depr1{i:02d}" for i in range(1, 21)]].dropna()
    y = items.to_numpy(int) - 1
    used = [j for j in range(20) if set(y[:, j]) == {0, 1, 2, 3}]
    y = y[:, used]
    ours, theirs = marginal_fit(y, 4), girth_fit(y)
    # girth looks for thresholds within 6 of the mean: items that hardly discriminate end there.
    free = np.abs(theirs[1]).max(1) < 5.5
    assert free.sum() >= 14
    np.testing.assert_allclose(ours[0][free], theirs[0][free], rtol=0.1)
    np.testing.assert_allclose(ours[1][free], theirs[1][free], atol=0.25)
    log_p = [
        float(marginal(y, jnp.asarray(a), jnp.asarray(b * a[:, None]))) for a, b in (ours, theirs)
    ]
    assert log_p[0] > log_p[1] - 1

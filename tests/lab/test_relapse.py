"""Fits of fading and growth, two outcomes against one, and what their equations promise."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from attach_ai.agent import Dirichlet
from attach_ai.lab.fixed_points import evidence_share, fixed_points, settle, two_lumps
from attach_ai.lab.relapse import decay, exponential_over_linear, two_rates
from attach_ai.model import POMDP, load_model

STEPS, DAYS = np.arange(1.0, 9.0), np.arange(31) * 20.0


def noisy(curve: np.ndarray, seed: int) -> np.ndarray:
    return curve + np.random.default_rng(seed).normal(0, 0.004, curve.shape)


@pytest.mark.parametrize("rates", [(0.3, 0.0026), (0.05, 0.05)])
def test_decay_finds_the_rates_and_amplitudes_that_were_put_in(rates: tuple[float, float]) -> None:
    curves = [(STEPS, 0.4 * np.exp(-rates[0] * STEPS)), (DAYS, -0.2 * np.exp(-rates[1] * DAYS))]
    fit = decay(curves, [0, 1])
    np.testing.assert_allclose(fit.rates, rates, rtol=1e-5)
    np.testing.assert_allclose(fit.amplitudes, (0.4, -0.2), rtol=1e-5)
    np.testing.assert_allclose(fit.half_lives, np.log(2) / np.array(rates), rtol=1e-5)


def test_a_second_rate_is_found_only_where_there_is_one() -> None:
    def worth(fast: float, slow: float, seed: int) -> float:
        state = [(STEPS, noisy(a * np.exp(-fast * STEPS), seed)) for a in (0.3, 0.5)]
        return two_rates(state, [(DAYS, noisy(0.2 * np.exp(-slow * DAYS), seed + 50))])[0]

    assert min(worth(0.2, 0.0026, i) for i in range(10)) > 20
    # One rate too many costs 2 and wins little.
    assert np.mean([worth(0.0026, 0.0026, i) for i in range(10)]) < 0


def test_what_never_fades_has_no_half_life() -> None:
    fit = decay([(DAYS, np.full(31, 0.2))], [0])
    assert fit.rates == (0.0,)
    assert fit.half_lives == (float("inf"),)


def test_growth_is_told_as_exponential_or_linear() -> None:
    x = np.array([0.5, 1, 2, 4, 8])
    assert exponential_over_linear(x, noisy(10 * x, 1)) < -2
    assert exponential_over_linear(x, noisy(2 * np.exp(0.5 * x), 1)) > 2


def test_variance_between_halves_tells_one_lump_from_two() -> None:
    draw = np.random.default_rng(3).normal(size=4000)
    assert two_lumps(draw) == pytest.approx(2 / np.pi, abs=0.01)
    assert two_lumps(np.linspace(0, 1, 4001)) == pytest.approx(0.75, abs=1e-3)
    assert two_lumps(np.concatenate([draw, draw + 8])) > 0.9
    assert two_lumps(np.array([0.0, 0.0, 1.0])) == pytest.approx(1)
    assert two_lumps(np.full(5, 0.3)) == 0


@pytest.mark.parametrize(("retention", "eta"), [(0.9, 0.5), (0.95, 1.0), (1.0, 1.0), (0.95, 0.0)])
def test_a_prior_rests_where_evidence_and_anchor_balance(retention: float, eta: float) -> None:
    """With evidence that hangs on nothing there is one resting place, (1 - a) p0 + a q."""
    anchor, q, d = np.array([0.5, 9.5]), np.array([0.8, 0.2]), np.array([4.0, 6.0])
    for _ in range(3000):
        d = retention * d + (1 - retention) * anchor + eta * q
    a = evidence_share(10.0, retention, eta)
    expected = (1 - a) * 0.05 + a * 0.8
    assert d[0] / d.sum() == pytest.approx(expected, abs=2e-3)
    grid = np.linspace(0, 1, 101)
    ((place, stable),) = fixed_points(grid, a * 0.8 + (1 - a) * 0.05 - grid)
    assert stable
    assert place == pytest.approx(expected, abs=1e-9)


def test_settling_feels_the_pull_of_the_anchor() -> None:
    x = np.linspace(0, 1, 41)
    steep = 1 / (1 + np.exp(-14 * (x - 0.5)))
    after = np.broadcast_to(steep, (5, 41))
    axes = ("fear", "trust")
    data = xr.Dataset(
        {"trust_after": (axes, after), "fear_after": (axes, np.full((5, 41), 0.4))},
        {"fear": np.linspace(0, 1, 5), "trust": x},
    )
    free = settle(data)
    assert len([t for _, t in free if t < 0.1 or t > 0.9]) == 2
    held = settle(data, pull=0.4, anchor=(0.7, 0.05))
    assert len(held) == 1
    assert held[0][0] == pytest.approx(0.4 * 0.4 + 0.6 * 0.7, abs=1e-6)
    assert held[0][1] == pytest.approx(0.03, abs=0.01)


def test_counts_stronger_and_a_rate_smaller_by_the_same_factor_are_one() -> None:
    """Concentration acts through its ratio to the learning rate alone."""
    pomdp = load_model("attachment_core").build()
    strong = eqx.tree_at(lambda p: p.counts["D.agents"], pomdp, pomdp.counts["D.agents"] * 4)
    q = np.array([0.1, 0.2, 0.7])

    def prior(model: POMDP, eta: float) -> list[np.ndarray]:
        learning = Dirichlet(D=("agents",), retention=jnp.asarray(0.9), eta=jnp.asarray(eta))
        anchor = learning.counts(model)
        counts, path = anchor, []
        one = jnp.ones(())
        for _ in range(6):
            counts = learning.end_session(
                counts, anchor, {"D.agents": jnp.asarray(q)}, one, 0 * one
            )
            d = np.asarray(counts["D.agents"])
            path.append(d / d.sum())
        return path

    np.testing.assert_allclose(prior(strong, 4.0), prior(pomdp, 1.0), atol=1e-14)

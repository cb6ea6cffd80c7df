"""What is still to be learned of A and B, as part of expected free energy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, Dirichlet, ExpectedFreeEnergy
from attach_ai.agent.learning import column_gain
from attach_ai.errors import InputError
from tests.agent.lives import field, live, lived, program
from tests.agent.random_pomdps import LAYOUT, random_pomdp
from tests.oracles import Oracle, dirichlet_kl

STEPS = 2
IDLE = program(LAYOUT, steps=STEPS)
LEARNS = Dirichlet(A=["face", "pulse"], B=["body", "echo"], D=["mood"])
INDEX = {"A.face": ("A", 0), "A.pulse": ("A", 1), "B.body": ("B", 1), "B.echo": ("B", 2)}


def counted(pomdp: Any) -> dict[tuple[str, int], np.ndarray]:
    counts = LEARNS.counts(pomdp)
    return {where: np.asarray(counts[name]) for name, where in INDEX.items()}


def test_the_gain_of_a_column_is_an_expected_divergence() -> None:
    counts = np.random.default_rng(0).gamma(0.5, 3.0, size=(4, 3, 2))
    counts[0, 0] = 0.0
    gain = np.asarray(column_gain(jnp.asarray(counts)))
    assert gain.shape == (1, 3, 2)
    for i in np.ndindex(3, 2):
        column = counts[(slice(None), *i)]
        each = [dirichlet_kl(column + (np.arange(4) == o), column) for o in range(4)]
        assert gain[(0, *i)] == pytest.approx(column / column.sum() @ each, abs=1e-12)
    np.testing.assert_array_equal(column_gain(jnp.zeros((3, 1))), 0)


def test_spm_uses_the_leading_term() -> None:
    """1/2 (1/a_o - 1/a0): the error falls a hundredfold where counts grow tenfold."""
    share = np.array([0.5, 0.3, 0.2])
    errors = []
    for strength in (1e2, 1e3):
        a = strength * share
        exact = float(column_gain(jnp.asarray(a))[0])
        spm = share @ (1 / a - 1 / a.sum()) / 2
        errors.append(abs(exact - spm))
        assert spm == pytest.approx((len(a) - 1) / (2 * strength))
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)
    assert errors[0] < 1e-3


@pytest.mark.parametrize("horizon", [1, 2])
def test_novelty_is_what_enumeration_expects(horizon: int) -> None:
    """Of the held belief and its predictions, in the context that is in force."""
    pomdp = random_pomdp(50, zeros=0.1)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, 1, STEPS)
    planner = ExpectedFreeEnergy(horizon, 1.5, novelty=True)
    agent = Agent(planning=planner, learning=LEARNS)
    held = program(LAYOUT, field("mood.b", 1.0), steps=STEPS)
    _, decision = live(agent, pomdp, held, outcome, choice)

    def tilt(q: np.ndarray) -> np.ndarray:
        return oracle.tilt(q, 0, 1, 1.0)

    for t in range(STEPS):
        q = tilt(oracle.posterior(outcome[: t + 1], choice))
        plan = jax.tree.map(lambda x, t=t: x[t], decision.plan)
        found = [
            oracle.weigh(q, pi, hold=tilt, counts=counted(pomdp)) for pi in oracle.policies(horizon)
        ]
        for part in ("novelty", "efe", "epistemic", "pragmatic"):
            np.testing.assert_allclose(getattr(plan, part), [x[part] for x in found], atol=1e-10)
        q_pi, p = oracle.choose([x["efe"] for x in found], horizon, gamma=1.5)
        np.testing.assert_allclose(plan.q_pi, q_pi, atol=1e-10)
        np.testing.assert_allclose(np.exp(plan.log_p), p, atol=1e-10)
    assert np.ptp(decision.plan.novelty) > 1e-3


def test_novelty_that_is_not_sought_is_zero() -> None:
    pomdp = random_pomdp(51)
    outcome, choice = lived(Oracle(pomdp), 0, STEPS)
    off, on = (
        live(
            Agent(planning=ExpectedFreeEnergy(novelty=novelty), learning=LEARNS),
            pomdp,
            IDLE,
            outcome,
            choice,
        )[1].plan
        for novelty in (False, True)
    )
    np.testing.assert_array_equal(off.novelty, 0)
    for part in ("risk", "ambiguity", "epistemic"):
        np.testing.assert_array_equal(getattr(off, part), getattr(on, part))
    np.testing.assert_allclose(off.efe - on.efe, on.novelty, atol=1e-12)


def test_the_less_known_is_sought_and_novelty_wears_off() -> None:
    """Nothing is preferred and nothing can be known of states: only counts tell choices apart."""
    pomdp = random_pomdp(52)
    even = tuple(jnp.full_like(a, 1 / a.shape[0]) for a in pomdp.A)
    still = tuple(jnp.full_like(e, 1 / e.shape[0]) for e in pomdp.E)
    flat = tuple(jnp.zeros_like(c) for c in pomdp.C)
    # The strength of each column of B.mood: of what `speak` does, its second level is hardly known.
    strength = jnp.broadcast_to(jnp.asarray([40.0, 1.0]), (1, 3, 2, 2))
    pomdp = replace(pomdp, A=even, E=still, C=flat, counts={"B.mood": strength})
    learning = Dirichlet(B=["mood"])
    agent = Agent(planning=ExpectedFreeEnergy(gamma=5.0, novelty=True), learning=learning)
    outcome, choice = lived(Oracle(pomdp), 0, STEPS)
    p = np.exp(live(agent, pomdp, IDLE, outcome, choice)[1].plan.log_p[0])
    second = np.array([u[0] == 1 for u in LAYOUT.choices])
    assert p[second].sum() > 0.8
    known = replace(pomdp, counts={"B.mood": jnp.full_like(strength, 1e5)})
    _, decision = live(agent, known, IDLE, outcome, choice)
    np.testing.assert_allclose(decision.plan.novelty, 0, atol=1e-4)
    np.testing.assert_allclose(np.exp(decision.plan.log_p), 1 / 6, atol=1e-4)


def test_pymdp_agrees_where_states_are_known() -> None:
    """It multiplies q(o) by q(s) as if they were independent: right only for a known state."""
    from pymdp.control import calc_negative_pA_info_gain

    pomdp = random_pomdp(53)
    counts = 5.0 * pomdp.A[0]
    gain = column_gain(counts)[0]

    def theirs(mood: Any, body: Any) -> float:
        seen = jnp.einsum("omb,m,b->o", pomdp.A[0], mood, body)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return -float(calc_negative_pA_info_gain([counts], [seen], [mood, body], [[0, 1]]))

    known = jnp.eye(3)[1], jnp.eye(2)[0]
    assert theirs(*known) == pytest.approx(float(gain[1, 0]), abs=1e-10)
    unknown = jnp.full(3, 1 / 3), jnp.full(2, 0.5)
    assert abs(theirs(*unknown) - float(gain.mean())) > 0.01


def test_novelty_of_nothing_is_an_error() -> None:
    pomdp = random_pomdp(0)
    agent = Agent(planning=ExpectedFreeEnergy(novelty=True), learning=Dirichlet(D=["mood"]))
    with pytest.raises(InputError, match="planning: novelty is sought, but no A or B is learned"):
        agent.prepare(pomdp)

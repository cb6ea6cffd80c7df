"""Affect: precision moves as policies are borne out, and only then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from attach_ai.agent import Agent, Exact, ExpectedFreeEnergy, Habit, MeanField
from attach_ai.agent.affect import Affect, affective_charge, valence_evidence
from attach_ai.errors import InputError
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.pomdp import POMDP
from tests.agent.lives import live, lived, program
from tests.agent.random_pomdps import LAYOUT, random_pomdp
from tests.oracles import Oracle

# Two doors: behind each is warmth or cold, and which one it is shows at once.
DOORS = Layout(
    factors=(Factor("warmth", ("warm", "cold"), parents=(), actions=(0,)),),
    modalities=(Modality("skin", ("warm", "cold"), parents=(0,)),),
    actions=(Action("door", ("left", "right")),),
)


def doors(left: float = 0.8, right: float = 0.3) -> POMDP:
    """`left`, `right`: believed P(warm) behind each door; warmth is preferred by 2 nats."""
    return POMDP(
        A=(jnp.array([[0.9, 0.1], [0.1, 0.9]]),),
        B=(jnp.array([[left, right], [1 - left, 1 - right]]),),
        C=(jnp.array([2.0, 0.0]),),
        D=(jnp.array([0.5, 0.5]),),
        E=(jnp.array([0.5, 0.5]),),
        counts={},
        layout=DOORS,
    )


def feel(pomdp: POMDP, agent: Agent, outcome: Any, choice: Any) -> Any:
    outcome, choice = jnp.asarray(outcome, jnp.int32), jnp.asarray(choice, jnp.int32)
    plain = program(pomdp.layout, steps=len(choice))
    return live(agent, pomdp, plain, outcome, choice)[1].feeling


def test_without_evidence_that_tells_policies_apart_the_charge_is_zero() -> None:
    rng = np.random.default_rng(0)
    log_prior, efe = jnp.asarray(rng.normal(size=6)), jnp.asarray(rng.normal(size=6))
    gamma = jnp.asarray(3.0)
    assert affective_charge(log_prior, efe, jnp.zeros(6), gamma) == 0
    same = affective_charge(log_prior, efe, jnp.full(6, 1.7), gamma)
    np.testing.assert_allclose(same, 0, atol=1e-15)
    impossible = affective_charge(log_prior, efe, jnp.full(6, jnp.inf), gamma)
    assert impossible == 0


def test_the_charge_is_positive_where_the_better_policy_is_borne_out() -> None:
    efe, flat, gamma = jnp.array([1.0, 2.0]), jnp.zeros(2), jnp.asarray(1.0)
    assert affective_charge(flat, efe, jnp.array([0.2, 1.5]), gamma) > 0
    assert affective_charge(flat, efe, jnp.array([1.5, 0.2]), gamma) < 0
    ruled_out = jnp.array([0.0, -jnp.inf])
    assert affective_charge(ruled_out, efe, jnp.array([1.5, 0.2]), gamma) == 0


@pytest.mark.parametrize("misfit", [[0.2, 1.0], [1.0, 0.2], [0.0, 0.0]])
def test_charge_is_what_beta_loses(misfit: list[float]) -> None:
    affect = Affect(betas=(1.0, 1.0), n_iter=200)
    mood = affect.begin(None, 2)
    mood = eqx.tree_at(lambda m: m.efe, mood, jnp.array([1.0, 1.6]))
    after, feeling = affect.feel(mood, jnp.asarray(misfit))
    np.testing.assert_allclose(1.0 - after.beta, feeling.charge, atol=1e-12)
    assert np.sign(feeling.charge) == np.sign(misfit[1] - misfit[0])


@pytest.mark.parametrize("beta", [0.7, 1.0, 1.8])
def test_valence_weighs_its_levels_by_the_evidence_of_a_gamma_prior(beta: float) -> None:
    prior, betas = 1.1, np.array([0.6, 2.0])
    found = valence_evidence(jnp.asarray(prior), jnp.asarray(beta), jnp.asarray(betas))

    def direct(own: float) -> float:
        # E over the posterior of p_j(gamma) / p(gamma)
        def integrand(g: float) -> float:
            return beta * own / prior * np.exp(-(beta + own - prior) * g)

        return quad(integrand, 0, np.inf, epsabs=1e-13)[0]

    np.testing.assert_allclose(np.exp(found), [direct(b) for b in betas], rtol=1e-9)


def test_what_bears_the_hope_out_feels_good_and_its_reversal_bad() -> None:
    agent = Agent(planning=ExpectedFreeEnergy(gamma=1.0), affect=Affect(betas=(0.5, 1.5)))
    # Always the left door: warm for sixteen steps, then the doors are exchanged.
    outcome = np.array([0] * 16 + [1] * 16)[:, None]
    feeling = feel(doors(), agent, outcome, np.zeros(32))
    charge, valence = np.asarray(feeling.charge), np.asarray(feeling.valence)
    assert charge[0] == 0  # nothing had been planned yet
    assert (charge[1:16] > 0).all()
    assert (charge[16:] < 0).all()
    assert valence[15] > valence[0] > valence[-1]
    assert feeling.beta[15] < feeling.beta[0] < feeling.beta[-1]


def test_where_actions_change_nothing_nothing_is_felt() -> None:
    agent = Agent(planning=ExpectedFreeEnergy(gamma=1.0), affect=Affect(betas=(0.5, 1.5)))
    outcome = np.random.default_rng(1).integers(2, size=(20, 1))
    choice = np.random.default_rng(2).integers(2, size=20)
    feeling = feel(doors(0.6, 0.6), agent, outcome, choice)
    np.testing.assert_allclose(feeling.charge, 0, atol=1e-15)
    np.testing.assert_allclose(feeling.beta, feeling.beta[0], atol=1e-12)


def test_a_precision_that_cannot_move_is_the_planners_own() -> None:
    # With no policy told apart and one expected beta, gamma is 1 / beta throughout.
    pomdp = doors(0.6, 0.6)
    outcome = jnp.asarray(np.random.default_rng(3).integers(2, size=(12, 1)), jnp.int32)
    choice = jnp.zeros(12, jnp.int32)
    plain = program(DOORS, steps=12)
    fixed = Agent(planning=ExpectedFreeEnergy(gamma=4.0))
    moving = Agent(affect=Affect(betas=(0.25, 0.25)))
    one, other = (live(a, pomdp, plain, outcome, choice)[1].log_p for a in (fixed, moving))
    np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("see", [Exact(), MeanField(), MeanField("vmp", 4)], ids=str)
def test_the_misfit_is_what_each_choice_would_have_foreseen(see: Any) -> None:
    # By enumeration: -ln p(o | past, u) in the context in force, then the charge in closed form.
    pomdp = random_pomdp(5)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, 4, 3)
    affect = Affect(betas=(0.5, 1.5), n_iter=100)
    planning = ExpectedFreeEnergy(horizon=2)
    agent = Agent(perception=see, planning=planning, affect=affect)
    plain = program(LAYOUT, steps=3)
    decisions = live(agent, pomdp, plain, outcome, choice)[1]
    assert np.isfinite(np.asarray(decisions.feeling.charge)).all()
    assert np.abs(np.asarray(decisions.feeling.charge[1:])).max() > 1e-4
    if not isinstance(see, Exact):
        return
    plan = jax.tree.map(lambda x: x[0], decisions.plan)
    q = oracle.start() * oracle.given(outcome[0])
    seen, hidden = oracle.given(outcome[1]), LAYOUT.hidden
    actual = oracle.choices[int(choice[0])][1]
    here = oracle.level[3] == actual  # the stance that was really taken
    misfit = []
    for u in range(len(oracle.choices)):
        ahead = oracle.marginal(oracle.transition(u) @ (q / q.sum()), hidden)
        misfit.append(
            -np.log(np.sum(ahead[tuple(oracle.level[list(hidden)][:, here])] * seen[here]))
        )
    repeated = np.repeat(misfit, len(oracle.choices))
    gamma = float(1 / decisions.feeling.beta[1])
    log_prior = np.log(plan.q_pi) + np.asarray(plan.efe) / float(decisions.feeling.beta[0])
    expected = affective_charge(log_prior, plan.efe, jnp.asarray(repeated), jnp.asarray(gamma))
    np.testing.assert_allclose(decisions.feeling.charge[1], expected, atol=1e-10)


def test_bad_settings_are_one_sentence() -> None:
    with pytest.raises(InputError, match="expected 0 < positive <= negative"):
        Affect(betas=(2.0, 0.5))
    with pytest.raises(InputError, match=r"persistence is 1\.2; expected a number from 0 to 1"):
        Affect(persistence=1.2)
    with pytest.raises(InputError, match="two numbers"):
        Affect(betas=(1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="only ExpectedFreeEnergy has"):
        Agent(planning=Habit(), affect=Affect())


def test_a_felt_life_compiles_once_for_all_its_settings() -> None:
    pomdp, traces = doors(), []
    outcome = jnp.zeros((4, 1), jnp.int32)

    @eqx.filter_jit
    def run(agent: Agent) -> Any:
        traces.append(1)
        return live(agent, pomdp, program(DOORS, steps=4), outcome, jnp.zeros(4, jnp.int32))[1]

    for b in (0.5, 0.75):
        run(Agent(affect=replace(Affect(), betas=jnp.array([b, 2.0]))))
    assert len(traces) == 1

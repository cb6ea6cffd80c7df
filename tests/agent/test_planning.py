"""Expected free energy and choice against enumeration of joint outcomes and states."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attach_ai.agent import Agent, Exact, ExpectedFreeEnergy, Habit, policies, prospect
from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.model.pomdp import POMDP
from tests.agent.lives import examples, live, lived, program
from tests.agent.random_pomdps import LAYOUT, LAYOUTS, random_pomdp
from tests.oracles import Oracle

STEPS = 2
IDLE = [program(layout, steps=STEPS) for layout in LAYOUTS]
SEEDS = st.integers(0, 2**32 - 1)
PARTS = ("efe", "risk", "ambiguity", "pragmatic", "epistemic", "novelty")


def assert_plan_is_enumerated(
    oracle: Oracle, planner: ExpectedFreeEnergy, q: np.ndarray, plan: Any, atol: float = 1e-12
) -> None:
    per_modality = planner.information == "per_modality"
    found = [
        oracle.weigh(q, pi, per_modality=per_modality) for pi in oracle.policies(planner.horizon)
    ]
    for part in PARTS:
        np.testing.assert_allclose(getattr(plan, part), [x[part] for x in found], atol=atol)
    np.testing.assert_allclose(plan.efe, plan.risk + plan.ambiguity, atol=1e-13)
    np.testing.assert_allclose(plan.efe, -(plan.pragmatic + plan.epistemic), atol=1e-13)
    q_pi, p = oracle.choose(
        [x["efe"] for x in found],
        planner.horizon,
        gamma=float(planner.gamma),
        alpha=float(planner.alpha),
    )
    np.testing.assert_allclose(plan.q_pi, q_pi, atol=1e-11)
    np.testing.assert_allclose(np.exp(plan.log_p), p, atol=1e-11)


@pytest.mark.parametrize(
    ("information", "horizon", "layouts"),
    [
        ("joint", 1, range(len(LAYOUTS))),
        ("per_modality", 1, [1, 3, 5]),
        ("joint", 2, [0, 2, 3]),
        ("per_modality", 2, [1]),
    ],
)
def test_policies_are_weighed_as_enumerated(information: Any, horizon: int, layouts: Any) -> None:
    which = st.sampled_from(list(layouts))

    @examples(3 * len(layouts))
    @given(which, SEEDS, st.sampled_from([0.5, 4.0]), st.sampled_from([0.3, 1.0, 5.0]))
    def check(which: int, seed: int, gamma: float, alpha: float) -> None:
        pomdp = random_pomdp(seed, LAYOUTS[which], zeros=0.15 * (seed % 2))
        oracle = Oracle(pomdp)
        outcome, choice = lived(oracle, seed, STEPS, unseen=0.2)
        planner = ExpectedFreeEnergy(horizon, gamma, alpha, information)
        _, decision = live(Agent(planning=planner), pomdp, IDLE[which], outcome, choice)
        for t in range(STEPS):
            q = oracle.posterior(outcome[: t + 1], choice)
            plan = jax.tree.map(lambda x, t=t: x[t], decision.plan)
            assert_plan_is_enumerated(oracle, planner, q, plan)
            assert decision.log_p[t] == plan.log_p[choice[t]]

    check()


def test_a_declared_model_is_planned_with_what_each_stance_lets_be_seen() -> None:
    pomdp = load_model("attachment_core").build(awareness=0.3)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, 1, STEPS)
    planner = ExpectedFreeEnergy(gamma=2.0)
    idle = program(pomdp.layout, steps=STEPS)
    _, decision = live(Agent(planning=planner), pomdp, idle, outcome, choice)
    assert pomdp.layout.modalities[3].outcomes is not None
    q = oracle.posterior(outcome, choice)
    assert_plan_is_enumerated(oracle, planner, q, jax.tree.map(lambda x: x[1], decision.plan))


def test_habit_looks_at_nothing_but_habit() -> None:
    pomdp = random_pomdp(2)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, 0, STEPS)
    _, decision = live(Agent(planning=Habit()), pomdp, IDLE[0], outcome, choice)
    expected = np.outer(*oracle.E).reshape(-1)
    for t in range(STEPS):
        np.testing.assert_allclose(np.exp(decision.plan.log_p[t]), expected, atol=1e-14)


@pytest.mark.parametrize("planner", [Habit(), ExpectedFreeEnergy(gamma=1.5, alpha=2.0)])
def test_what_is_not_allowed_is_never_chosen(planner: Any) -> None:
    pomdp = random_pomdp(3)
    oracle = Oracle(pomdp)
    allowed = {"next_stance": ("a", "c")}
    restricted = program(LAYOUT, steps=STEPS, allowed=allowed)
    may = [u[1] != 1 for u in oracle.choices]
    outcome, _ = lived(oracle, 0, STEPS)
    choice = jnp.array([1, 3], jnp.int32)  # the first is not allowed, the second is
    _, decision = live(Agent(planning=planner), pomdp, restricted, outcome, choice)
    log_p = np.asarray(decision.plan.log_p)
    assert (np.isneginf(log_p) == ~np.array(may)).all()
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
    assert decision.log_p[0] == -np.inf
    assert np.isfinite(decision.log_p[1])
    if isinstance(planner, ExpectedFreeEnergy):
        _, p = oracle.choose(decision.plan.efe[0], 1, gamma=1.5, alpha=2.0, allowed=may)
        np.testing.assert_allclose(np.exp(log_p[0]), p, atol=1e-12)
        assert (np.asarray(decision.plan.q_pi)[:, ~np.array(may)] == 0).all()
    # The belief takes the choice as it came.
    free, _ = live(Agent(planning=planner), pomdp, IDLE[0], outcome, choice)
    barred, _ = live(Agent(planning=planner), pomdp, restricted, outcome, choice)
    np.testing.assert_array_equal(free.state, barred.state)


@pytest.mark.parametrize("planner", [Habit(), ExpectedFreeEnergy()])
def test_a_habit_of_zero_rules_a_choice_out_and_keeps_gradients_finite(planner: Any) -> None:
    pomdp = random_pomdp(4)
    outcome, choice = lived(Oracle(pomdp), 0, STEPS)
    choice = choice.at[:].set(3)

    def log_p(strength: Any) -> Any:
        E = (pomdp.E[0], jnp.stack([strength, 1 - strength, 0 * strength]))
        C = tuple(strength * c for c in pomdp.C)
        changed = eqx.tree_at(lambda p: (p.C, p.E), pomdp, (C, E))
        restricted = program(LAYOUT, steps=STEPS, allowed={"speak": ("b",)})
        _, decision = live(Agent(planning=planner), changed, restricted, outcome, choice)
        return decision.log_p.sum(), decision.plan.log_p

    (total, every), gradient = jax.value_and_grad(log_p, has_aux=True)(jnp.asarray(0.6))
    assert np.isfinite(total)
    assert np.isfinite(gradient)
    assert gradient != 0
    ruled_out = [u[1] == 2 or u[0] == 0 for u in LAYOUT.choices]
    assert (np.isneginf(every) == ruled_out).all()


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[3]])
def test_a_large_model_is_contracted_modality_by_modality(
    layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pomdp = random_pomdp(7, layout)
    one = jax.jit(lambda p: plan_of(ExpectedFreeEnergy(), p))(pomdp)
    monkeypatch.setattr(prospect, "DENSE_JOINT", 0)
    other = jax.jit(lambda p: plan_of(ExpectedFreeEnergy(), p))(pomdp)
    for part in PARTS:
        np.testing.assert_allclose(getattr(other, part), getattr(one, part), atol=1e-13)


def plan_of(planner: Any, pomdp: POMDP) -> Any:
    """What is planned at the start, before any outcome."""
    see = Exact()
    tables = see.prepare(pomdp)
    ahead = see.forecast(tables, see.begin(tables, pomdp.D), pomdp.layout.first_context)
    allowed = jnp.ones(len(pomdp.layout.choices), bool)
    now, context = see.begin(tables, pomdp.D), pomdp.layout.first_context
    plans = planner.prepare(pomdp)
    return planner.plan(see, tables, plans, now, context, ahead, lambda b, c: b, allowed)


def test_too_large_a_joint_names_the_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prospect, "JOINT_LIMIT", 10)
    with pytest.raises(InputError, match="per_modality"):
        ExpectedFreeEnergy().prepare(random_pomdp(0))
    ExpectedFreeEnergy(information="per_modality").prepare(random_pomdp(0))


def test_a_horizon_below_one_is_an_error() -> None:
    with pytest.raises(InputError, match="horizon is 0"):
        ExpectedFreeEnergy(horizon=0)


def test_policies_are_listed_with_the_last_step_fastest() -> None:
    pairs = policies(LAYOUT, 2)
    assert pairs[:2] == [(0, 0), (0, 1)]
    assert len(pairs) == len(LAYOUT.choices) ** 2


def test_a_horizon_with_too_many_policies_is_refused() -> None:
    pomdp = random_pomdp(0)
    with pytest.raises(InputError, match=r"planning: a horizon of 40 steps has .* policies"):
        ExpectedFreeEnergy(horizon=40).prepare(pomdp)

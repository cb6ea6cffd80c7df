"""Holding: what a field tilts, what a clamp moves, and what neither of them touches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attach_ai.agent import Agent, ExpectedFreeEnergy, Habit, compile_program
from attach_ai.agent.hold import Instruction
from attach_ai.errors import InputError
from attach_ai.model import OperatorSpec, Phase, load_model
from attach_ai.model.expression import parse
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.parameters import Parameter
from attach_ai.model.pomdp import POMDP
from tests.agent.lives import clamp, examples, field, hidden, hold, live, lived, practice, program
from tests.agent.random_pomdps import LAYOUT, LAYOUTS, random_pomdp
from tests.oracles import Do, Oracle, kl

STEPS = 4
SEEDS = st.integers(0, 2**32 - 1)
WHICH = st.sampled_from([0, 1, 3, 4])
HABIT = Agent(planning=Habit())


def target(layout: Layout) -> tuple[int, int, str]:
    """The last level of the first hidden factor."""
    f = layout.hidden[0]
    factor = layout.factors[f]
    return f, len(factor.levels) - 1, f"{factor.name}.{factor.levels[-1]}"


def gate(layout: Layout) -> tuple[dict[str, tuple[str, ...]], dict[int, tuple[int, ...]]]:
    """While a known factor is at its first level, by name and by index; or else always."""
    if not layout.known:
        return {}, {}
    g = layout.known[0]
    return {layout.factors[g].name: layout.factors[g].levels[:1]}, {g: (0,)}


# -------------------------------------------------------------------------------- field


@examples(15)
@given(WHICH, SEEDS, st.floats(0.1, 4.0))
def test_a_field_adds_its_strength_to_the_log_odds_and_never_piles_up(
    which: int, seed: int, strength: float
) -> None:
    layout = LAYOUTS[which]
    pomdp = random_pomdp(seed, layout)
    oracle = Oracle(pomdp)
    f, level, name = target(layout)
    while_, on = gate(layout)
    outcome, choice = lived(oracle, seed, STEPS, unseen=0.2)
    held = program(layout, field(name, strength, **while_), steps=STEPS)
    belief, decision = live(HABIT, pomdp, held, outcome, choice)
    for t in range(STEPS):
        q = oracle.posterior(outcome[: t + 1], choice)
        # The unheld chain is what it would be without any operator, and goes on so.
        np.testing.assert_allclose(belief.posterior[t], hidden(oracle, layout, q), atol=1e-12)
        ahead = hidden(oracle, layout, oracle.moves[choice[t]] @ q)
        np.testing.assert_allclose(belief.state[t], ahead, atol=1e-12)
        tilted = oracle.tilt(q, f, level, strength, on)
        np.testing.assert_allclose(belief.held[t], hidden(oracle, layout, tilted), atol=1e-12)
        engaged = all(oracle.marginal(q, [g])[0] > 0.5 for g in on)
        p, held_p = (d[f][t][level] for d in (decision.posterior, decision.held))
        gained = np.log(held_p / (1 - held_p)) - np.log(p / (1 - p))
        assert gained == pytest.approx(strength * engaged, abs=1e-9)
        assert decision.effort[t] == pytest.approx(kl(tilted, q), abs=1e-10)


def test_a_field_of_strength_zero_is_none() -> None:
    pomdp = random_pomdp(1)
    outcome, choice = lived(Oracle(pomdp), 1, STEPS)
    belief, with_it = live(Agent(), pomdp, program(LAYOUT, field("mood.c", 0.0)), outcome, choice)
    _, without = live(Agent(), pomdp, program(LAYOUT), outcome, choice)
    np.testing.assert_allclose(belief.held, belief.posterior, atol=1e-15)
    np.testing.assert_allclose(with_it.effort, 0, atol=1e-15)
    np.testing.assert_allclose(with_it.plan.log_p, without.plan.log_p, atol=1e-13)


def test_evidence_can_cancel_a_field() -> None:
    """A likelihood ratio of exp(-strength) and the field leave the odds where they were."""
    strength, p = 1.2, 0.3
    here = 0.2
    there = here * np.exp(strength)
    yes_no = ("no", "yes")
    pomdp = POMDP(
        A=(jnp.array([[there, here], [1 - there, 1 - here]]),),
        B=(jnp.eye(2),),
        C=(jnp.zeros(2),),
        D=(jnp.array([1 - p, p]),),
        E=(jnp.ones(1),),
        counts={},
        layout=Layout(
            (Factor("someone", yes_no, (0,)),),
            (Modality("sound", yes_no, (0,)),),
            (Action("wait", ("on",)),),
        ),
    )
    held = program(pomdp.layout, field("someone.yes", strength), steps=3)
    outcome, choice = jnp.zeros((3, 1), jnp.int32), jnp.zeros(3, jnp.int32)
    _, decision = live(HABIT, pomdp, held, outcome, choice)
    assert decision.held[0][0][1] == pytest.approx(p, abs=1e-14)
    # Evidence goes on, the field does not grow: further outcomes of the same kind win.
    assert decision.held[0][2][1] < decision.held[0][1][1] < p


@pytest.mark.parametrize(("horizon", "foresees"), [(1, True), (1, False), (2, True), (2, False)])
def test_planning_starts_from_the_held_belief_and_foresees_the_field(
    horizon: int, foresees: bool
) -> None:
    pomdp = random_pomdp(8)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, 8, 2)
    planning = ExpectedFreeEnergy(horizon, gamma=2.0, foresees_hold=foresees)
    held = program(LAYOUT, field("mood.b", 1.5, stance=("a", "c")), steps=2)
    _, decision = live(Agent(planning=planning), pomdp, held, outcome, choice)

    def tilt(q: np.ndarray) -> np.ndarray:
        return oracle.tilt(q, 0, 1, 1.5, {3: (0, 2)})

    for t in range(2):
        q = tilt(oracle.posterior(outcome[: t + 1], choice))
        found = [
            oracle.weigh(q, pi, hold=tilt if foresees else lambda p: p)["efe"]
            for pi in oracle.policies(horizon)
        ]
        np.testing.assert_allclose(decision.plan.efe[t], found, atol=1e-12)
        _, p = oracle.choose(found, horizon, gamma=2.0)
        np.testing.assert_allclose(np.exp(decision.plan.log_p[t]), p, atol=1e-11)


def test_body_is_predicted_from_the_held_belief() -> None:
    layout = LAYOUTS[1]
    inner = [m for m, x in enumerate(layout.modalities) if x.inner]
    assert len(inner) == 3
    pomdp = random_pomdp(9, layout)
    oracle = Oracle(pomdp)
    for operator, held in (
        (field("f0.b", 2.0), lambda q: oracle.tilt(q, 0, 1, 2.0)),
        (clamp("f0.b"), lambda q: oracle.intervene(q, 0, 1)),
    ):
        q = held(oracle.start())
        found = first_prediction(pomdp, program(layout, operator, steps=2))
        for m, p in zip(inner, found, strict=True):
            expected = [
                sum(
                    w * oracle.given([o if i == m else -1 for i in range(3)]) @ np.eye(len(q))[s]
                    for s, w in enumerate(q)
                )
                for o in range(len(layout.modalities[m].levels))
            ]
            np.testing.assert_allclose(p, expected, atol=1e-12)


def first_prediction(pomdp: POMDP, held: Any) -> Any:
    tables = HABIT.prepare(pomdp)
    now = Instruction(held.operators, held.active[0], held.allowed[0], held.gates)
    return HABIT.predict(tables, HABIT.init(tables, pomdp, held), now)


# -------------------------------------------------------------------------------- clamp


@examples(15)
@given(WHICH, SEEDS)
def test_a_clamp_is_surgery_on_the_graph(which: int, seed: int) -> None:
    layout = LAYOUTS[which]
    pomdp = random_pomdp(seed, layout)
    oracle = Oracle(pomdp)
    f, level, name = target(layout)
    outcome, choice = lived(oracle, seed, STEPS, unseen=0.2)
    held = program(layout, clamp(name), steps=STEPS)
    belief, decision = live(HABIT, pomdp, held, outcome, choice)
    for t in range(STEPS):
        q = oracle.posterior(outcome[: t + 1], choice, Do(f, level, range(t + 1)))
        np.testing.assert_allclose(belief.held[t], hidden(oracle, layout, q), atol=1e-12)
        assert decision.held[f][t][level] == pytest.approx(1, abs=1e-14)
        unheld = oracle.posterior(outcome[: t + 1], choice)
        assert decision.effort[t] == pytest.approx(kl(q, unheld), abs=1e-9)
        np.testing.assert_allclose(belief.posterior[t], hidden(oracle, layout, unheld), atol=1e-12)


@examples(12)
@given(st.sampled_from([0, 2, 4, 5]), SEEDS)
def test_on_release_a_clamped_factor_returns_to_its_unheld_marginal(which: int, seed: int) -> None:
    layout = LAYOUTS[which]
    pomdp = random_pomdp(seed, layout)
    oracle = Oracle(pomdp)
    f, level, name = target(layout)
    while_, on = gate(layout)
    assert on
    (known,) = on
    outcome, choice = lived(oracle, seed, STEPS)
    belief, _ = live(
        HABIT, pomdp, program(layout, clamp(name, **while_), steps=STEPS), outcome, choice
    )
    expected = chain = oracle.start()
    was_on = False
    for t in range(STEPS):
        is_on = oracle.marginal(expected, [known])[0] > 0.5
        if was_on and not is_on:
            chain = oracle.splice(chain, expected, f)
            np.testing.assert_allclose(
                oracle.marginal(chain, [f]), oracle.marginal(expected, [f]), atol=1e-12
            )
        if is_on:
            chain = oracle.intervene(chain, f, level)
        was_on = is_on
        seen = oracle.given(outcome[t])
        chain, expected = chain * seen / (chain @ seen), expected * seen / (expected @ seen)
        np.testing.assert_allclose(belief.held[t], hidden(oracle, layout, chain), atol=1e-12)
        np.testing.assert_allclose(
            belief.posterior[t], hidden(oracle, layout, expected), atol=1e-12
        )
        chain, expected = (oracle.moves[choice[t]] @ q for q in (chain, expected))


def test_children_of_a_clamped_factor_move_and_its_parents_do_not() -> None:
    """In the core, law is a parent of agents, which no outcome reads; self_state is a child."""
    pomdp = load_model("attachment_core").build(fear_of_loss=0.3)
    layout = pomdp.layout
    rng = np.random.default_rng(0)
    outcome = jnp.asarray(rng.integers(0, 3, (STEPS, 6)), jnp.int32).at[:, (0, 2, 3)].set(2)
    outcome = outcome.at[:, 4].set(0).at[:, 5].set(0).at[:, 3].set(1)
    choice = jnp.zeros(STEPS, jnp.int32)
    held = program(layout, clamp("agents.benevolent"), steps=STEPS)
    _, decision = live(HABIT, pomdp, held, outcome, choice)
    law, self_state = layout.factor("law"), layout.factor("self_state")
    prior = np.asarray(pomdp.D[law])
    for t in range(STEPS):
        np.testing.assert_allclose(decision.held[law][t], prior, atol=1e-12)
        prior = np.asarray(pomdp.B[law]) @ prior
    assert np.abs(decision.posterior[law][-1] - decision.held[law][-1]).max() > 1e-3
    assert np.abs(decision.posterior[self_state][-1] - decision.held[self_state][-1]).max() > 1e-2


def test_planning_foresees_a_clamp() -> None:
    pomdp = random_pomdp(10)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, 10, 1)
    planning = ExpectedFreeEnergy(horizon=2)
    held = program(LAYOUT, clamp("body.b"), steps=1)
    _, decision = live(Agent(planning=planning), pomdp, held, outcome, choice)
    q = oracle.posterior(outcome, choice, Do(1, 1, [0]))
    efe = [
        oracle.weigh(q, pi, hold=lambda p: oracle.intervene(p, 1, 1))["efe"]
        for pi in oracle.policies(2)
    ]
    np.testing.assert_allclose(decision.plan.efe[0], efe, atol=1e-12)


def test_one_clamp_may_follow_another_and_the_first_return() -> None:
    pomdp = random_pomdp(11)
    outcome, choice = lived(Oracle(pomdp), 11, STEPS)
    levels = [0, 1, 0, 2]
    phases = [Phase(f"p{t}", 1, (clamp(f"mood.{'abc'[i]}"),)) for t, i in enumerate(levels)]
    held = compile_program(practice(*phases), LAYOUT)
    _, decision = live(HABIT, pomdp, held, outcome, choice)
    np.testing.assert_allclose(decision.held[0], np.eye(3)[levels], atol=1e-14)


def test_holding_what_is_believed_impossible_costs_infinitely_much() -> None:
    pomdp = random_pomdp(12)
    pomdp = eqx.tree_at(lambda p: p.D, pomdp, (jnp.array([0.4, 0.6, 0.0]), *pomdp.D[1:]))
    outcome, choice = lived(Oracle(pomdp), 12, 1)
    _, decision = live(HABIT, pomdp, program(LAYOUT, clamp("mood.c"), steps=1), outcome, choice)
    assert decision.effort[0] == np.inf
    _, decision = live(
        HABIT, pomdp, program(LAYOUT, field("mood.c", 3.0), steps=1), outcome, choice
    )
    np.testing.assert_allclose(decision.effort[0], 0, atol=1e-15)
    assert decision.held[0][0][2] == 0


# -------------------------------------------------------------------------------- switched off


def test_a_level_that_is_switched_off_cannot_be_clamped_and_no_field_brings_it_back() -> None:
    model = load_model("attachment_core").without("agents.benevolent")
    pomdp = model.build()
    layout = pomdp.layout
    with pytest.raises(InputError, match="switched off"):
        program(layout, clamp("agents.benevolent"))
    outcome, choice = lived(Oracle(pomdp), 0, STEPS)
    belief, decision = live(
        HABIT, pomdp, program(layout, field("agents.benevolent", 4.0)), outcome, choice
    )
    np.testing.assert_allclose(belief.held, belief.posterior, atol=1e-15)
    agents = layout.factor("agents")
    np.testing.assert_array_equal(decision.held[agents][:, layout.level("agents.benevolent")[1]], 0)
    np.testing.assert_allclose(decision.held[agents].sum(1), 1)


# -------------------------------------------------------------------------------- programs


def test_a_program_follows_its_phases() -> None:
    strong = Parameter("strong", 2.0, (0.0, 4.0))
    spec = OperatorSpec("field", "mood", "c", parse("strong * 2"), {"stance": ("a", "b")})
    phases = (
        Phase("rest", 1),
        Phase("hold", 2, (spec,), {"next_stance": ("a",), "speak": ("b",)}),
        Phase("both", 1, (spec, clamp("body.a")), {"speak": ("a",)}),
    )
    declared = replace(practice(*phases), declared=(strong,))
    found = compile_program(declared, LAYOUT)
    np.testing.assert_array_equal(found.active, [[0, 0], [1, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(found.gates, [[1, 1, 0], [1, 1, 1]])
    speaks = np.array([u[0] for u in LAYOUT.choices])
    next_stance = np.array([u[1] for u in LAYOUT.choices])
    np.testing.assert_array_equal(found.allowed[0], np.ones(6, bool))
    np.testing.assert_array_equal(found.allowed[1], (next_stance == 0) & (speaks == 1))
    np.testing.assert_array_equal(found.allowed[3], speaks == 0)
    assert found.operators[0].strength == 4.0
    assert compile_program(declared, LAYOUT, strong=1.5).operators[0].strength == 3.0
    slope = jax.grad(lambda s: compile_program(declared, LAYOUT, strong=s).operators[0].strength)
    assert slope(1.0) == 2.0
    with pytest.raises(InputError, match="no parameter 'stong'; did you mean 'strong'"):
        compile_program(declared, LAYOUT, stong=1.0)
    with pytest.raises(InputError, match="strong = 5 lies outside its support"):
        compile_program(declared, LAYOUT, strong=5.0)


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        (field("stance.a", 1.0), "set by an action"),
        (clamp("stance.a"), "set by an action"),
        (field("mood.c", 1.0, body=("a",)), "'body', which is hidden"),
        (field("moos.c", 1.0), "no factor 'moos'; did you mean 'mood'"),
        (field("mood.z", 1.0), "z"),
        (field("mood.c", 1.0, stance=("z",)), "z"),
    ],
)
def test_an_operator_that_cannot_act_is_named(operator: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        compile_program(hold(operator, steps=2), LAYOUT)


def test_an_action_that_is_not_there_cannot_be_allowed() -> None:
    with pytest.raises(InputError, match="several actions"):
        compile_program(hold(steps=1, allowed={"": ("a",)}), LAYOUT)
    with pytest.raises(InputError, match="no action 'walk'"):
        compile_program(hold(steps=1, allowed={"walk": ("a",)}), LAYOUT)

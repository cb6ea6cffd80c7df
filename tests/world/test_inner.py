"""The inner loop: body and self-talk follow what the mind predicts, as far as the gain goes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attach_ai
from attach_ai.agent import Agent, Habit
from attach_ai.agent.hold import Instruction
from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.world import Inner, World
from tests.agent.lives import field, hold, program
from tests.agent.random_pomdps import LAYOUTS, random_pomdp
from tests.oracles import Oracle

LAYOUT = LAYOUTS[1]  # three modalities, all of them inner


@pytest.mark.parametrize("load", [{}, {"m1": [0.1, 0.2, 0.7]}])
def test_the_loop_follows_its_equation_step_by_step(load: dict[str, Any]) -> None:
    """x_t = (1 - rate) x_{t-1} + rate [g A p~_t + (1 - g) e], by hand, with the held prediction."""
    rate, gain, strength, steps = 0.3, 0.6, 2.0, 4
    mind, truth = random_pomdp(50, LAYOUT), random_pomdp(51, LAYOUT)
    oracle, real = Oracle(mind), Oracle(truth)
    world = World(truth, Inner(rate, gain, load))
    world_tables = world.prepare(LAYOUT)
    agent = Agent(planning=Habit())
    tables = agent.prepare(mind)
    held = program(LAYOUT, field("f0.c", strength), steps=steps)
    now = Instruction(held.operators, held.active[0], held.allowed[0], held.gates)
    belief = agent.init(tables, mind, held)
    draws = np.random.default_rng(0).random((steps + 1, 6))

    def shown(o: Oracle, m: int, q: np.ndarray) -> np.ndarray:
        """P(outcome of modality m) under a belief."""
        n = o.A[m].shape[0]
        return np.array([o.given([i if k == m else -1 for k in range(3)]) @ q for i in range(n)])

    def elsewhere(levels: Any) -> list[np.ndarray]:
        s = np.eye(len(real.states))[real.states.index(tuple(int(i) for i in levels))]
        return [
            np.array(load.get(x.name, shown(real, m, s))) for m, x in enumerate(LAYOUT.modalities)
        ]

    state = world.begin(world_tables, jnp.asarray(draws[0, :2]))
    x = elsewhere(state.levels)
    q = oracle.start()
    for t in range(steps):
        tilted = oracle.tilt(q, 0, 2, strength)
        x = [
            (1 - rate) * old + rate * (gain * shown(oracle, m, tilted) + (1 - gain) * e)
            for m, (old, e) in enumerate(zip(x, elsewhere(state.levels), strict=True))
        ]
        predicted = agent.predict(tables, belief, now)
        state, outcome = world.emit(world_tables, state, predicted, jnp.asarray(draws[t + 1, :3]))
        for mine, theirs in zip(state.inner, x, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-12)
        drawn = [int(np.sum(np.cumsum(p) <= d)) for p, d in zip(x, draws[t + 1, :3], strict=True)]
        assert outcome.tolist() == drawn
        choice = jnp.asarray(t % len(LAYOUT.choices), jnp.int32)
        belief, _ = agent.step(tables, belief, outcome, now, choice=choice)
        state = world.change(world_tables, state, choice, jnp.asarray(draws[t + 1, 3:5]))
        seen = oracle.given(outcome)
        q = oracle.moves[int(choice)] @ (q * seen / (q @ seen))


@pytest.mark.parametrize(("gain", "same"), [(0.0, True), (1.0, False)])
def test_without_gain_the_mind_cannot_move_its_body(gain: float, same: bool) -> None:
    """The same luck and the same choices, with and without something held."""
    model = load_model("teaching")
    world = World(model.build(trust=0.0, return_rate=0.0), Inner(rate=0.5, gain=gain))
    keys = jax.random.split(jax.random.key(0), 8)
    felt = {}
    for strength in (0.0, 4.0):
        practice = hold(
            field("agents.benevolent", strength), steps=20, allowed={"next_stance": ("maintain",)}
        )
        agent = Agent(planning=Habit())
        life = attach_ai.simulate(keys, agent, model.build(), world, practice, 1)
        felt[strength] = life.outcome("interoception").values
    assert (felt[0.0] == felt[4.0]).all() == same
    if not same:
        assert felt[4.0].mean() < felt[0.0].mean()  # level 0 is calm


def test_a_load_takes_the_place_of_what_the_process_would_show() -> None:
    model = load_model("teaching")
    world = World(model.build(), Inner(rate=1.0, gain=0.0, load={"interoception": [0.0, 1.0]}))
    practice = hold(steps=10)
    life = attach_ai.simulate(jax.random.key(1), Agent(), model.build(), world, practice, 2)
    assert (life.outcome("interoception").values == 1).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": 1.5}, "rate is 1.5"),
        ({"gain": -0.1}, "gain is -0.1"),
        ({"load": {"m1": [0.5, 0.6, 0.2]}}, "load on 'm1' is .* expected a distribution"),
        ({"load": {"m1": [1.5, -0.5, 0.0]}}, "expected a distribution"),
        ({"load": {"cue": [0.5, 0.5]}}, "'cue' is not an inner modality"),
        ({"load": {"m1": [0.5, 0.5]}}, r"has shape \(2,\); expected \(3,\)"),
    ],
)
def test_a_loop_that_makes_no_sense_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        World(random_pomdp(0, LAYOUT), Inner(**settings)).prepare(LAYOUT)

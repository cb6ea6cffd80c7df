"""Surprise by modality: against enumeration, and zero on average for a mind that is right."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, compile_program
from attach_ai.model import load_model
from attach_ai.simulation import days, rollout, surprise
from attach_ai.world import Inner, World
from tests.agent.lives import hold, lived
from tests.agent.random_pomdps import LAYOUTS, random_pomdp
from tests.oracles import Oracle


@pytest.mark.parametrize("which", range(3))
def test_each_modality_is_predicted_from_the_past_alone(which: int) -> None:
    pomdp = random_pomdp(which, LAYOUTS[which])
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, which, 3, unseen=0.2)
    found = surprise(Agent(), pomdp, outcome[None], choice[None])
    outcomes = outcome.tolist()
    predicted = oracle.start()
    for t, seen in enumerate(outcomes):
        for m, o in enumerate(seen):
            only = [[v if i == m else -1 for i in range(len(seen))] for v in range(4)]
            n = oracle.A[m].shape[0]
            p = np.array([predicted @ oracle.given(v) for v in only[:n]])
            expected = -(p * np.log(np.where(p > 0, p, 1))).sum()
            want = (-np.log(p[o]), expected) if o >= 0 else (0.0, 0.0)
            got = (found.found[0, t, m], found.expected[0, t, m])
            np.testing.assert_allclose(got, want, atol=1e-10)
        q = predicted * oracle.given(seen)
        predicted = oracle.transition(int(choice[t])) @ (q / q.sum())


def test_a_mind_in_the_world_it_believes_in_is_as_surprised_as_it_expects() -> None:
    model = load_model("attachment_core")
    mind = model.build()
    idle = hold(steps=30)
    program, calendar = compile_program(idle, model.layout), days(idle, 4)
    world = World(mind, Inner(gain=0.0, rate=1.0))

    @jax.jit
    @jax.vmap
    def signed(key: jax.Array) -> jax.Array:
        record = rollout(key, Agent(), mind, world, program, calendar)
        found = surprise(Agent(), mind, record.outcome, record.decision.choice)
        return found.signed.mean((0, 1))

    means = signed(jax.random.split(jax.random.key(0), 64))
    error = means.std(0) / 8
    assert (jnp.abs(means.mean(0)) <= 3 * error + 1e-9).all()
    assert (error[:4] > 0).all()
    np.testing.assert_allclose(means[:, -1], 0, atol=1e-9)  # one's own posture is known

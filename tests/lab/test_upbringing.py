"""Grown and tried: histories cut and exchanged, and common luck in guided sessions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Dirichlet, Exact
from attach_ai.lab.population import Population, known
from attach_ai.lab.upbringing import (
    Upbringing,
    childhoods,
    episodes,
    exchanged,
    grow_all,
    shortened,
    trial,
)
from attach_ai.model import load_history, load_model
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation import Record, Surprise

MORALISED, SECURE = load_history("moralised_abandonment"), load_history("secure")


@pytest.mark.parametrize("n", [1, 3, 4, 40])
def test_a_shortened_history_keeps_its_proportions(n: int) -> None:
    short = shortened(MORALISED, n)
    assert short.sessions == n
    if n >= 4:
        assert [s.sessions for s in short.stages] == [3 * n // 4, n // 4]


def test_half_a_childhood_is_exchanged() -> None:
    mixed = exchanged(MORALISED, SECURE)
    assert [(s.name, s.sessions) for s in mixed.stages] == [("condition", 20), ("care", 20)]
    ours, theirs = mixed.worlds(responsiveness=0.5)
    assert (ours["trust"], theirs["trust"]) == (0.5, SECURE.worlds()[0]["trust"])


def _told(grown: POMDP, record: Record, said: Surprise) -> dict[str, jax.Array]:
    return {"outcome": record.outcome, "D": grown.D[1], "found": said.found}


def test_all_minds_meet_the_same_when_they_are_guided() -> None:
    model = load_model("attachment_core")
    group = Population("draws", (model,) * 2, {"w_other": np.array([0.5, 0.8])}, ("a", "b"), 2)
    tests = trial(
        Exact(),
        Dirichlet(D=["agents"]),
        model.layout,
        n_steps=6,
        prescribed=("maintain", "monitor"),
        guided=(0, 1),
        free=(1,),
    )
    worlds = episodes(group, [{"trust": 1.0}, {"trust": 0.0}])
    one = jnp.ones(2)

    def arm(name: str, eta: float) -> Upbringing:
        home = childhoods(group, shortened(load_history(name), 2), {}, 2)
        return Upbringing(
            group.build(known(model, SECURE.newborn()), {}), home, worlds, 8 * one, one, eta * one
        )

    arms = jax.tree.map(lambda *x: jnp.concatenate(x), arm("secure", 1.0), arm("anxious", 0.0))
    keys = jax.random.split(jax.random.key(0), 2)
    found = grow_all(tests, arms, keys, _told, fill=False)
    assert found["outcome"].shape == (4, 2, 3, 6, 6)
    guided = found["outcome"][:, :, :2]
    np.testing.assert_array_equal(guided[:2], guided[2:])
    posture = guided[..., model.layout.modality("posture")]
    np.testing.assert_array_equal(posture[0, 0, 0], [0, 0, 1, 0, 1, 0])
    np.testing.assert_allclose(found["D"][2:], 1 / 3, atol=1e-12)  # who learns nothing stays
    assert (found["D"][:2] != found["D"][2:]).any()
    filled = grow_all(tests, arms, keys, _told)
    for name, values in found.items():
        np.testing.assert_allclose(values, filled[name], atol=1e-12)

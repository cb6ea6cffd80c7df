"""A world must speak the mind's language."""

from __future__ import annotations

from dataclasses import replace

import jax
import pytest

import attach_ai
from attach_ai.agent import Agent
from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.world import World
from tests.agent.lives import hold
from tests.agent.random_pomdps import LAYOUT, random_pomdp


def changed(what: str) -> object:
    first, *rest = getattr(LAYOUT, what)
    return replace(LAYOUT, **{what: (replace(first, name="other"), *rest)})


@pytest.mark.parametrize("what", ["factors", "modalities", "actions"])
def test_other_names_are_refused(what: str) -> None:
    with pytest.raises(InputError, match=f"world: the process .* have other {what}"):
        World(random_pomdp(0)).prepare(changed(what))


def test_a_modality_is_inner_in_both_or_in_neither() -> None:
    first, *rest = LAYOUT.modalities
    with pytest.raises(InputError, match="other modalities"):
        World(random_pomdp(0)).prepare(
            replace(LAYOUT, modalities=(replace(first, inner=True), *rest))
        )


def test_what_reads_what_may_differ() -> None:
    """The truth may be simpler than what is believed."""
    first, *rest = LAYOUT.factors
    World(random_pomdp(0)).prepare(replace(LAYOUT, factors=(replace(first, parents=(0,)), *rest)))


def test_simulate_refuses_a_world_of_another_model() -> None:
    mind, other = load_model("attachment_core").build(), load_model("teaching").build()
    with pytest.raises(InputError, match="other factors"):
        attach_ai.simulate(jax.random.key(0), Agent(), mind, World(other), hold(steps=3), 1)

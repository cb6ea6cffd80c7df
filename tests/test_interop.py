"""To pymdp and back: nothing is lost that both can say."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import policies
from attach_ai.errors import InputError
from attach_ai.interop import from_pymdp, pymdp_env, pymdp_tables, to_pymdp
from attach_ai.model import load_model
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from tests.agent.random_pomdps import LAYOUT, random_pomdp


@pytest.fixture(autouse=True)
def _as_pymdp_expects() -> Any:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def names_of(layout: Layout) -> dict[str, dict[str, tuple[str, ...]]]:
    kinds = {
        "factors": layout.factors,
        "modalities": layout.modalities,
        "actions": layout.actions,
    }
    return {kind: {x.name: x.levels for x in things} for kind, things in kinds.items()}


def assert_same_tables(found: POMDP, pomdp: POMDP, tables: str = "ABCDE") -> None:
    for name in tables:
        for mine, their in zip(getattr(found, name), getattr(pomdp, name), strict=True):
            np.testing.assert_allclose(mine, their, atol=1e-12, err_msg=name)


def test_the_core_model_survives_the_round_trip() -> None:
    pomdp = load_model("attachment_core").build()
    layout = pomdp.layout
    found = from_pymdp(to_pymdp(pomdp, policy_len=2), names=names_of(layout))
    assert_same_tables(found, pomdp)
    assert found.layout.known == layout.known
    assert found.layout.choices == layout.choices
    for mine, their in zip(found.layout.factors, layout.factors, strict=True):
        for what in ("name", "levels", "parents", "actions", "set_by", "start"):
            assert getattr(mine, what) == getattr(their, what)
    for mine, their in zip(found.layout.modalities, layout.modalities, strict=True):
        assert (mine.name, mine.levels, mine.parents) == (their.name, their.levels, their.parents)


def test_actions_that_factors_share_are_found_again() -> None:
    pomdp = random_pomdp(0)
    found = from_pymdp(to_pymdp(pomdp, batch_size=2), member=1)
    assert found.layout.choices == LAYOUT.choices
    assert [f.actions for f in found.layout.factors] == [f.actions for f in LAYOUT.factors]
    assert found.layout.known == LAYOUT.known
    assert found.layout.first_context == LAYOUT.first_context
    assert_same_tables(found, pomdp, "ACDE")
    # In pymdp every factor reads itself; where it did not, the new axis makes no difference.
    assert [f.parents for f in found.layout.factors] == [(0, 1), (1, 3), (0, 2), (3,)]
    for level in range(2):
        np.testing.assert_array_equal(found.B[2][:, :, level], pomdp.B[2])


def test_policies_and_habits_stand_in_our_order() -> None:
    pomdp = random_pomdp(1)
    tables = pymdp_tables(pomdp, horizon=2)
    p = np.asarray(jnp.multiply.outer(*pomdp.E)).reshape(-1)
    for i, (first, second) in enumerate(policies(LAYOUT, 2)):
        np.testing.assert_allclose(tables.E[i], p[first] * p[second])
        for step, choice in enumerate((first, second)):
            speak, stance = LAYOUT.choices[choice]
            body = speak * 3 + stance
            assert tuple(tables.policies[i, step]) == (speak, body, 0, stance)
            np.testing.assert_array_equal(tables.B[1][..., body], pomdp.B[1][..., speak, stance])


def test_tables_are_assembled_under_tracing() -> None:
    minds = jax.tree.map(lambda *x: jnp.stack(x), random_pomdp(2), random_pomdp(3))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        B, E = jax.jit(jax.vmap(lambda p: (pymdp_tables(p).B, pymdp_tables(p).E)))(minds)
    theirs = pymdp_tables(random_pomdp(3))
    for mine, their in zip([*B, E], [*theirs.B, theirs.E], strict=True):
        np.testing.assert_allclose(mine[1], their)


def test_the_environment_follows_the_tables() -> None:
    pomdp = load_model("attachment_core").build()
    env = pymdp_env(pomdp)
    outcome, state = env.reset(jax.random.PRNGKey(0))
    layout = pomdp.layout
    stance, posture = layout.factor("stance"), layout.modality("posture")
    assert int(outcome[posture][0]) == layout.factors[stance].start
    monitor = pymdp_tables(pomdp).policies[1, 0]
    outcome, state = env.step(jax.random.PRNGKey(1), state, jnp.asarray(monitor))
    assert int(state[stance]) == int(outcome[posture][0]) == 1
    ambiguous = layout.modalities[layout.modality("cue")].levels.index("ambiguous")
    assert int(outcome[layout.modality("cue")][0]) != ambiguous


def peer(**changes: Any) -> Any:
    """A pymdp agent of two controlled factors, with the parents of A listed backwards."""
    from pymdp.agent import Agent

    rng = np.random.default_rng(0)

    def columns(n: int, *shape: int) -> jax.Array:
        return jnp.asarray(np.moveaxis(rng.dirichlet(np.ones(n), size=shape), -1, 0))

    settings = {
        "A": [columns(4, 3, 2)],
        "B": [columns(2, 2, 2), columns(3, 3, 3)],
        "C": [jnp.arange(4.0)],
        "A_dependencies": [[1, 0]],
        "B_dependencies": [[0], [1]],
    }
    return Agent(**settings | changes)


def test_a_pymdp_agent_becomes_a_model_with_generic_names() -> None:
    agent = peer()
    found = from_pymdp(agent)
    assert [a.name for a in found.layout.actions] == ["action_0", "action_1"]
    assert found.layout.factors[1].levels == ("level_0", "level_1", "level_2")
    assert [f.actions for f in found.layout.factors] == [(0,), (1,)]
    assert found.layout.modalities[0].parents == (0, 1)
    np.testing.assert_array_equal(found.A[0], jnp.swapaxes(agent.A[0][0], 1, 2))
    np.testing.assert_allclose(found.E[1], 1 / 3)
    back = to_pymdp(found)
    np.testing.assert_array_equal(back.policies.policy_arr, agent.policies.policy_arr)
    np.testing.assert_allclose(back.E, agent.E)


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"C": [jnp.ones((1, 2, 4))], "policy_len": 2}, {}, "change with time"),
        (
            {"policies": jnp.array([[[0, 0], [1, 1]], [[1, 1], [0, 0]]])},
            {},
            "2 policies are not all sequences of its 2 choices",
        ),
        ({"E": jnp.array([0.5, 0, 0, 0, 0, 0.5])}, {}, "not a product"),
        ({}, {"names": {"factors": {"mood": ("low", "high")}}}, r"\[2\] levels; expected \[2, 3\]"),
        ({}, {"member": 1}, "member is 1"),
    ],
)
def test_what_a_model_cannot_say_is_refused(
    changes: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        from_pymdp(peer(**changes), **options)

"""Lives: luck, calendars, batches, and the evidence ledger."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, Dirichlet, ExpectedFreeEnergy, compile_program
from attach_ai.errors import InputError
from attach_ai.model import Phase, load_model
from attach_ai.model.expression import parse
from attach_ai.model.parameters import Parameter
from attach_ai.simulation import days, rollout, simulate
from attach_ai.simulation.batch import in_chunks
from attach_ai.world import Inner, World
from tests.agent.lives import clamp, field, hold, practice
from tests.agent.random_pomdps import random_pomdp

TEACHING = load_model("teaching")
WORLD = World(TEACHING.build(trust=0.0), Inner(gain=0.8))
HELD = field("agents.benevolent", 1.5, stance=("maintain",))


def lives(key: Any, n_sessions: int = 2, agent: Agent | None = None, **settings: Any) -> Any:
    agent = agent or Agent(learning=Dirichlet(D=["agents"]))
    practised = settings.pop("practised", hold(HELD, steps=6))
    return simulate(key, agent, TEACHING.build(), WORLD, practised, n_sessions, **settings)


def assert_same(one: Any, other: Any, atol: float = 0.0) -> None:
    for group in one.tree.children:
        for name, values in one.tree[group].to_dataset().data_vars.items():
            np.testing.assert_allclose(
                values, other.tree[group][name], atol=atol, rtol=0, err_msg=f"{group}.{name}"
            )


def test_the_same_key_gives_the_same_life_and_another_key_another() -> None:
    one, same, other = (lives(jax.random.key(k)) for k in (1, 1, 2))
    assert_same(one, same)
    assert (one.outcome("cue") != other.outcome("cue")).any()


def test_a_mind_lives_the_same_alone_and_among_others() -> None:
    keys = jax.random.split(jax.random.key(3), 5)
    many = lives(keys)
    assert many.belief("agents").dims == ("mind", "session", "step", "agents_level")
    for i in (0, 4):
        alone = lives(keys[i])
        assert_same(alone, type(many)(many.tree.isel(mind=i)), atol=1e-12)


def test_results_do_not_depend_on_chunks() -> None:
    batch = (jax.random.split(jax.random.key(4), 7), np.linspace(0.1, 0.9, 7))
    practised = hold(HELD, steps=4)
    agent = Agent(learning=Dirichlet(D=["agents"]))
    program = compile_program(practised, TEACHING.layout)

    @jax.jit
    @jax.vmap
    def many(one: Any) -> Any:
        key, trust = one
        pomdp = TEACHING.build(trust=trust)
        found = rollout(key, agent, pomdp, WORLD, program, days(practised, 2))
        return found.outcome, found.decision.choice, found.decision.held[0], found.final_counts

    whole = many(batch)
    for chunk in (1, 2, 3, 128):
        pieces = in_chunks(many, batch, chunk=chunk)
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(pieces), strict=True):
            assert isinstance(b, np.ndarray)
            np.testing.assert_allclose(a, b, atol=1e-12, rtol=0)


def test_new_values_do_not_compile_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("attach_ai.simulation.simulate")
    traced = []

    def counted(*args: Any) -> Any:
        traced.append(1)
        return rollout(*args)

    monkeypatch.setattr(module, "rollout", counted)
    strength = Parameter("strength", 1.5, (0.0, 4.0))
    on = replace(HELD, strength=parse("strength"))
    practised = replace(hold(on, steps=5), declared=(strength,))
    found = []
    for seed, trust, value, gamma, gain in ((0, 0.2, 1.0, 8.0, 0.0), (1, 0.6, 3.0, 2.0, 1.0)):
        agent = Agent(
            planning=ExpectedFreeEnergy(gamma=gamma),
            learning=Dirichlet(D=["agents"], retention=1 - trust),
        )
        world = World(TEACHING.build(trust=trust), Inner(gain=gain))
        mind = TEACHING.build(trust=trust)
        key = jax.random.key(seed)
        found.append(simulate(key, agent, mind, world, practised, 3, strength=value))
    assert len(traced) == 1
    assert (found[0].belief("agents") != found[1].belief("agents")).any()
    simulate(jax.random.key(0), Agent(), TEACHING.build(), WORLD, practised, 4)
    assert len(traced) == 2


def test_arms_with_one_key_share_their_luck() -> None:
    """Forced to the same choices, two minds see the same of a world they do not move."""
    keys = jax.random.split(jax.random.key(5), 4)
    forced = hold(steps=8, allowed={"next_stance": ("monitor",)})
    world = World(TEACHING.build(trust=0.6), Inner(gain=0.0))
    one, other = (
        simulate(keys, Agent(), TEACHING.build(trust=p), world, forced, 2) for p in (0.1, 0.8)
    )
    for group in ("outcome", "world", "action"):
        for name in one.tree[group].data_vars:
            assert (one.tree[group][name] == other.tree[group][name]).all()
    assert (one.belief("agents") != other.belief("agents")).any()


# -------------------------------------------------------------------------------- calendars


def test_rest_days_come_after_each_run_of_days_until_the_practice_stops() -> None:
    calendar = days(practice(Phase("a", 3), days_on=2, days_off=3, stop_after=5), 7)
    np.testing.assert_array_equal(calendar.practised, [1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(calendar.rest, [0, 3, 0, 3, 0, 0, 0])
    always = days(practice(Phase("a", 3), days_on=7), 9)
    np.testing.assert_array_equal(always.practised, np.ones(9))
    np.testing.assert_array_equal(always.rest, np.zeros(9))


def test_after_the_practice_stops_nothing_is_held_barred_or_learned() -> None:
    practised = hold(HELD, steps=12, allowed={"next_stance": ("maintain",)})
    schedule = replace(practised.schedule, stop_after=2)
    agent = Agent(
        planning=ExpectedFreeEnergy(gamma=0.1), learning=Dirichlet(D=["agents"], retention=0.5)
    )
    keys = jax.random.split(jax.random.key(6), 3)
    life = lives(keys, 4, agent, practised=replace(practised, schedule=schedule))
    np.testing.assert_array_equal(life.belief("agents").practised, [True, True, False, False])
    apart = np.abs(life.belief("agents", held=True) - life.belief("agents"))
    apart = apart.max(("mind", "step", "agents_level")).values
    assert (apart[:2] > 1e-3).all()
    np.testing.assert_allclose(apart[2:], 0, atol=1e-12)
    checked = life.action("next_stance").any(("mind", "step"))
    assert checked.values.tolist() == [False, False, True, True]
    counts = life.tree["counts"]["D_agents"].values
    anchor = counts[:, 0]
    for k in (2, 3):
        np.testing.assert_allclose(counts[:, k + 1], 0.5 * counts[:, k] + 0.5 * anchor, atol=1e-12)


def test_less_than_one_session_is_an_error() -> None:
    with pytest.raises(InputError, match="n_sessions is 0"):
        lives(jax.random.key(0), 0)


# -------------------------------------------------------------------------------- ledger


@pytest.mark.parametrize("operator", [HELD, clamp("agents.benevolent", stance=("monitor",))])
def test_the_ledger_adds_up(operator: Any) -> None:
    """Carried prior + all that came since is the log-odds at the end; + field the held ones."""
    keys = jax.random.split(jax.random.key(7), 4)
    practised = hold(operator, steps=10)
    life = lives(keys, 3, practised=practised, track="agents.benevolent")
    ledger = life.tree["ledger"]

    def log_odds(p: Any) -> Any:
        p = p.sel(agents_level="benevolent").drop_vars("agents_level")
        return np.log(p) - np.log1p(-p)

    unheld = log_odds(life.belief("agents"))
    prior = log_odds(life.prior("agents").isel(boundary=slice(0, -1)))
    carried = ledger["expected"].isel(step=0)
    np.testing.assert_allclose(carried, prior, atol=1e-9)
    # In this model who is there next depends on who is there now alone.
    stays, returns = TEACHING.build().B[0][1, 1], TEACHING.build().B[0][1, 0]
    alone = 1 / (1 + np.exp(-carried.values))
    for step in range(ledger.sizes["step"]):
        entry = ledger["expected"].isel(step=step)
        np.testing.assert_allclose(entry, np.log(alone / (1 - alone)), atol=1e-9)
        alone = stays * alone + returns * (1 - alone)
    entries = ledger["expected"] + ledger["body"] + ledger["cues"]
    np.testing.assert_allclose(entries, unheld, atol=1e-9)
    if operator is HELD:
        held = log_odds(life.belief("agents", held=True))
        np.testing.assert_allclose(unheld + ledger["field"], held, atol=1e-9)
        maintained = np.abs(ledger["field"].values) > 1e-9
        np.testing.assert_allclose(ledger["field"].values[maintained], 1.5, atol=1e-9)
        assert 0 < maintained.mean() <= 1
    assert np.abs(ledger["body"]).max() > 0.01
    assert np.abs(ledger["cues"]).max() > 0.01


def test_a_body_that_says_nothing_has_no_share_in_the_ledger() -> None:
    """No outcome of this model is inner."""
    pomdp = random_pomdp(70)
    life = simulate(
        jax.random.key(8), Agent(), pomdp, World(pomdp), hold(steps=4), 2, track="mood.b"
    )
    np.testing.assert_allclose(life.tree["ledger"]["body"], 0, atol=1e-12)
    assert np.abs(life.tree["ledger"]["cues"]).max() > 0.01


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("agents", "factor.level"),
        ("agents.kind", "no level of agents"),
        ("stance.monitor", "set by an action"),
    ],
)
def test_what_cannot_be_tracked_is_named(track: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        lives(jax.random.key(0), track=track)


def test_what_is_switched_off_cannot_be_tracked() -> None:
    pomdp = load_model("attachment_core").without("agents.hostile").build()
    with pytest.raises(InputError, match="hostile' is switched off"):
        simulate(
            jax.random.key(0),
            Agent(),
            pomdp,
            World(pomdp),
            hold(steps=2),
            1,
            track="agents.hostile",
        )


def test_a_ledger_may_be_kept_of_every_mind_of_a_batch() -> None:
    found = eqx.filter_eval_shape(
        jax.vmap(
            lambda k: (
                rollout(
                    k,
                    Agent(),
                    TEACHING.build(),
                    WORLD,
                    compile_program(hold(steps=3), TEACHING.layout),
                    days(hold(steps=3), 2),
                    (0, 1),
                ).decision.ledger.body
            )
        ),
        jax.random.split(jax.random.key(0), 6),
    )
    assert found.shape == (6, 2, 3)
    assert found.dtype == jnp.float64

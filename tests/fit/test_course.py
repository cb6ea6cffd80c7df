"""Lives given in part: the fast way, the step by step way, and the simulator are one."""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, Dirichlet, ExpectedFreeEnergy, Field, Habit, MeanField
from attach_ai.agent.hold import Program, compile_program
from attach_ai.errors import InputError
from attach_ai.fit.study.course import Given, acts_by_habit, by_habit, by_step, course
from attach_ai.fit.study.lives import expected_outcomes
from attach_ai.model import Model, load_model, load_practice, load_world
from attach_ai.model.practice import Schedule
from attach_ai.simulation import condition, days, log_likelihood, rollout
from attach_ai.simulation.rollout import Observed
from attach_ai.world import Inner, World

WAVES = Agent(planning=Habit(), learning=Dirichlet())


@pytest.fixture(scope="module")
def waves() -> Model:
    return load_model("attachment_waves")


def held(strength: float) -> Program:
    field = Field("agents", "benevolent", jnp.asarray(strength))
    return Program((field,), jnp.ones((1, 1)), jnp.ones((1, 3), bool), jnp.ones((1, 1)))


def known_in_part(model: Model, n_steps: int, loop: tuple[int, ...], seed: int = 0) -> Given:
    """Outcomes as levels, as shares, and unseen; choices made and not recorded."""
    rng = np.random.default_rng(seed)
    shares = []
    for modality in model.layout.modalities:
        n = len(modality.levels)
        share = rng.dirichlet(np.ones(n), n_steps)
        share[rng.random(n_steps) < 0.3] = 0.0
        share[rng.random(n_steps) < 0.3] = np.eye(n)[rng.integers(n)]
        shares.append(jnp.asarray(share))
    n_choices = len(model.layout.choices)
    choice = np.eye(n_choices)[rng.integers(n_choices, size=n_steps)]
    choice[rng.random(n_steps) < 0.5] = 0.0
    return Given(
        shares=tuple(shares),
        fed=jnp.asarray((rng.random(n_steps) < 0.7).astype(float)),
        gain=jnp.asarray(0.6),
        rate=jnp.asarray(0.4),
        choice=jnp.asarray(choice),
        dose=jnp.asarray(rng.random((n_steps, 1))),
        allowed=jnp.ones((n_steps, n_choices), bool),
        loop=loop,
    )


@pytest.mark.parametrize("loop", [(), (0,), (0, 1)])
def test_the_fast_way_is_the_step_by_step_way(waves: Model, loop: tuple[int, ...]) -> None:
    given = known_in_part(waves, 12, loop)
    pomdp = waves.build(trust=0.4, contam_received=0.3, awareness=0.2)
    assert acts_by_habit(WAVES, pomdp, held(1.5))
    fast, slow = by_habit(pomdp, held(1.5), given), by_step(WAVES, pomdp, held(1.5), given)
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(slow), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_an_impossible_outcome_leaves_both_ways_alike_and_finite(waves: Model) -> None:
    given = known_in_part(waves, 6, ())
    never = waves.build(calm_base=0.0, w_other=0.0)
    given = eqx.tree_at(
        lambda g: g.shares[0], given, jnp.asarray(np.eye(3)[np.zeros(6, int)])
    )  # calm, every day
    grad = jax.grad(lambda s: by_habit(never, held(s), given).after[:, 3].sum())(1.0)
    assert np.isfinite(grad)
    assert np.isfinite(np.asarray(by_habit(never, held(1.0), given).after)).all()


def test_the_likelihood_is_the_simulators_step() -> None:
    """A life of the core, simulated; then its choices scored in the three ways there are."""
    model = load_model("attachment_core")
    practice = load_practice("loving_kindness")
    agent = Agent(planning=ExpectedFreeEnergy(), learning=Dirichlet())
    pomdp = model.build(trust=0.3)
    program = compile_program(practice, model.layout, hold=1.2)
    world = World(process=model.build(load_world("imagined_other")), inner=Inner())
    calendar = days(practice, 1)
    record = rollout(jax.random.key(4), agent, pomdp, world, program, calendar)
    lived = record.outcome[0], record.decision.choice[0]
    given = Given(
        shares=tuple(
            jax.nn.one_hot(lived[0][:, m], len(x.levels), dtype=jnp.zeros(()).dtype)
            for m, x in enumerate(model.layout.modalities)
        ),
        fed=jnp.zeros(40),
        gain=jnp.zeros(()),
        rate=jnp.ones(()),
        choice=jax.nn.one_hot(lived[1], 3, dtype=jnp.zeros(()).dtype),
        dose=program.active,
        allowed=program.allowed,
    )
    found = course(agent, pomdp, program, given)
    total = log_likelihood(agent, pomdp, record.outcome, record.decision.choice, practice, hold=1.2)
    np.testing.assert_allclose(found.scored.sum(), total, atol=1e-10)
    observed = Observed(record.outcome, record.decision.choice)
    again = condition(agent, pomdp, observed, program, calendar)
    agents = found.after.reshape(40, *model.layout.shape).sum((1, 3, 4, 5))
    np.testing.assert_allclose(agents, again.decision.posterior[1][0], atol=1e-11)


def test_the_drive_follows_the_mean_of_many_lives(waves: Model) -> None:
    n_days = 28
    practice = replace(load_practice("waitlist"), schedule=Schedule(steps=n_days))
    practice = replace(practice, phases=(replace(practice.phases[0], steps=n_days),))
    mind, real = waves.build(trust=0.3), load_world("real_other")
    inner = Inner(rate=1.0, gain=0.5)
    world = World(process=waves.build(real), inner=inner)
    program = compile_program(practice, waves.layout)
    keys = jax.random.split(jax.random.key(0), 256)
    many = jax.vmap(
        lambda k: rollout(k, WAVES, mind, world, program, days(practice, 1)).decision.posterior[1]
    )(keys)[:, 0, -1, 2]
    shown = expected_outcomes(waves, "real_other", n_days)
    given = Given(
        shares=tuple(jnp.asarray(x) for x in shown),
        fed=jnp.ones(n_days),
        gain=inner.gain,
        rate=inner.rate,
        choice=jnp.zeros((n_days, 3)),
        dose=jnp.zeros((n_days, 0)),
        allowed=jnp.ones((n_days, 3), bool),
        loop=(0, 1),
    )
    found = course(WAVES, mind, program, given).after[-1].reshape(waves.layout.shape)
    # Declared an approximation: the drive leaves out how outcomes scatter around their mean.
    assert abs(float(found.sum((0, 2))[2]) - float(many.mean())) < 0.1


def test_what_cannot_be_lived_is_said(waves: Model) -> None:
    with pytest.raises(InputError, match="Exact"):
        course(Agent(perception=MeanField()), waves.build(), held(1.0), known_in_part(waves, 3, ()))
    core = load_model("attachment_core")
    with pytest.raises(InputError, match="depends on what is chosen"):
        expected_outcomes(core, "imagined_other", 3)

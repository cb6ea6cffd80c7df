"""The simulator and the likelihood are one function, and it can be differentiated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, Dirichlet, ExpectedFreeEnergy, compile_program
from attach_ai.errors import InputError
from attach_ai.model import Phase, load_model, load_practice
from attach_ai.model.expression import parse
from attach_ai.model.parameters import Parameter
from attach_ai.simulation import Record, Trajectory, days, log_likelihood, rollout, simulate
from attach_ai.world import Inner, World
from tests.agent.lives import clamp, field, hold, practice
from tests.agent.random_pomdps import LAYOUT, LAYOUTS, random_pomdp
from tests.oracles import Oracle

STRENGTH = Parameter("strength", 1.5, (0.0, 4.0))
TEACHING = load_model("teaching")


def observed(trajectory: Trajectory, layout: Any) -> tuple[Any, Any]:
    """A trajectory's outcomes and choices, as `log_likelihood` takes them."""
    outcome = np.stack([trajectory.outcome(m.name) for m in layout.modalities], axis=-1)
    acts = np.stack([trajectory.action(a.name) for a in layout.actions], axis=-1)
    sizes = [len(a.levels) for a in layout.actions]
    choice = np.ravel_multi_index(tuple(np.moveaxis(acts, -1, 0).astype(int)), sizes)
    return outcome, choice


CASES = {
    "one step ahead, a field, D and B learned": (
        LAYOUT,
        Agent(
            planning=ExpectedFreeEnergy(gamma=3.0, alpha=1.5),
            learning=Dirichlet(D=["mood"], B=["body"], retention=0.8),
        ),
        (Phase("free", 1), Phase("hold", 3, (field("mood.b", 2.0, stance=("a", "b")),))),
    ),
    "two steps ahead, a clamp, everything felt": (
        LAYOUTS[1],
        Agent(
            planning=ExpectedFreeEnergy(horizon=2, information="per_modality"),
            learning=Dirichlet(D=["f0", "f1"], counted="held"),
        ),
        (Phase("hold", 2, (clamp("f1.a"),), {"act_0": ("b",)}), Phase("free", 2)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_likelihood_of_a_simulated_life_is_what_the_simulator_said(case: str) -> None:
    layout, agent, phases = CASES[case]
    pomdp, truth = random_pomdp(60, layout), random_pomdp(61, layout)
    practised = practice(*phases, days_on=2, days_off=2, stop_after=3)
    life = simulate(jax.random.key(2), agent, pomdp, World(truth), practised, 4)
    log_p = life.tree["vfe"]["log_p"].values
    assert len(np.unique(log_p)) > 8
    scored = jax.jit(lambda o, u: log_likelihood(agent, pomdp, o, u, practised))
    total = scored(*observed(life, layout))
    assert float(total) == pytest.approx(log_p.sum(), abs=1e-10)


def test_a_likelihood_is_what_enumeration_gives() -> None:
    """One session of the random model: habits and expected free energy of enumerated beliefs."""
    pomdp = random_pomdp(62)
    oracle = Oracle(pomdp)
    agent = Agent(planning=ExpectedFreeEnergy(gamma=2.0))
    practised = hold(field("mood.b", 1.0), steps=3)
    life = simulate(jax.random.key(0), agent, pomdp, World(pomdp), practised, 1)
    outcome, choice = observed(life, LAYOUT)

    def tilt(q: np.ndarray) -> np.ndarray:
        return oracle.tilt(q, 0, 1, 1.0)

    total = 0.0
    for t in range(3):
        q = tilt(oracle.posterior(outcome[0, : t + 1], choice[0]))
        efe = [oracle.weigh(q, pi, hold=tilt)["efe"] for pi in oracle.policies(1)]
        total += np.log(oracle.choose(efe, 1, gamma=2.0)[1][choice[0, t]])
    found = log_likelihood(agent, pomdp, outcome, choice, practised)
    assert float(found) == pytest.approx(total, abs=1e-11)


def checked_gradient(f: Any, x: Any, h: float = 1e-6) -> np.ndarray:
    """The gradient of f, once it has been found to equal central differences."""
    both = jax.jit(jax.value_and_grad(f))
    gradient = np.asarray(both(x)[1])
    differences = [(both(x + s)[0] - both(x - s)[0]) / (2 * h) for s in h * np.eye(len(x))]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-6)
    return gradient


def test_gradients_are_those_of_finite_differences() -> None:
    """In the model's parameters, the practice's strength, gamma, alpha, retention and eta."""
    names = ("trust", "h0", "calm_base", "w_other", "reliability", "like", "vigilance")
    on = replace(field("agents.benevolent", 0.0, stance=("maintain",)), strength=parse("strength"))
    practised = replace(hold(on, steps=12), declared=(STRENGTH,))

    def log_p(x: Any) -> Any:
        *values, strength, gamma, alpha, retention, eta = x
        pomdp = TEACHING.build(dict(zip(names, values, strict=True)))
        agent = Agent(
            planning=ExpectedFreeEnergy(gamma=gamma, alpha=alpha),
            learning=Dirichlet(D=["agents"], retention=retention, eta=eta),
        )
        return log_likelihood(agent, pomdp, outcome, choice, practised, strength=strength)

    agent = Agent(planning=ExpectedFreeEnergy(gamma=2.0), learning=Dirichlet(D=["agents"]))
    pomdp = TEACHING.build()
    life = simulate(jax.random.key(3), agent, pomdp, World(pomdp), practised, 3)
    outcome, choice = observed(life, pomdp.layout)
    x = jnp.array([*(TEACHING.defaults[n] for n in names), 1.5, 2.0, 1.2, 0.9, 0.8])
    gradient = checked_gradient(log_p, x)
    assert (np.abs(np.delete(gradient, names.index("like"))) > 1e-4).all()


def test_gradients_flow_through_learned_transitions_and_past_barred_choices() -> None:
    layout = LAYOUTS[2]
    pomdp = random_pomdp(63, layout)
    held = (field("f1.b", 1.0),)
    practised = practice(Phase("barred", 2, held, {"act_0": ("a",)}), Phase("free", 2, held))
    life = simulate(jax.random.key(4), Agent(), pomdp, World(pomdp), practised, 3)
    outcome, choice = observed(life, layout)
    outcome[:, 1, 0] = -1  # unseen

    def log_p(x: Any) -> Any:
        retention, eta, warm = x
        warmed = [
            t * jnp.exp(warm * jnp.arange(float(len(t)))).reshape(-1, *[1] * (t.ndim - 1))
            for t in (pomdp.A[1], pomdp.B[1])
        ]
        normalised = tuple(t / t.sum(0, keepdims=True) for t in warmed)
        changed = eqx.tree_at(lambda p: (p.A[1], p.B[1]), pomdp, normalised)
        agent = Agent(learning=Dirichlet(B=["f1"], retention=retention, eta=eta))
        return log_likelihood(agent, changed, outcome, choice, practised)

    x = jnp.array([0.8, 1.3, 0.2])
    gradient = checked_gradient(log_p, x)
    assert (np.abs(gradient) > 1e-4).all()


def test_gradients_of_the_headline_model_are_finite() -> None:
    """Every parameter of the core, under the practice that bars choices and has rest days."""
    model, practised = load_model("attachment_core"), load_practice("loving_kindness")
    agent = Agent(learning=Dirichlet(D=["agents", "law"]))
    program = compile_program(practised, model.layout)
    pomdp = model.build()
    record: Record = eqx.filter_jit(rollout)(
        jax.random.key(5), agent, pomdp, World(pomdp, Inner(gain=1.0)), program, days(practised, 2)
    )

    def log_p(parameters: Any) -> Any:
        pomdp = model.build({k: v for k, v in parameters.items() if k != "hold"})
        given = (record.outcome, record.decision.choice)
        return log_likelihood(agent, pomdp, *given, practised, hold=parameters["hold"])

    at = {k: jnp.asarray(v) for k, v in (model.defaults | practised.defaults).items()}
    value, gradient = jax.jit(jax.value_and_grad(log_p))(at)
    assert float(value) == pytest.approx(float(record.decision.log_p.sum()), abs=1e-10)
    assert all(np.isfinite(g) for g in gradient.values())
    assert all(abs(gradient[k]) > 1e-6 for k in ("trust", "reliability", "vigilance", "hold"))


def test_a_barred_choice_has_no_probability_and_spoils_nothing_else() -> None:
    pomdp = TEACHING.build()
    outcome = jnp.zeros((1, 2, 3), jnp.int32).at[..., 1].set(1)
    practised = hold(steps=2, allowed={"next_stance": ("maintain",)})
    barred = jnp.array([[1, 0]], jnp.int32)
    assert log_likelihood(Agent(), pomdp, outcome, barred, practised) == -np.inf
    kept = log_likelihood(Agent(), pomdp, outcome, 0 * barred, practised)
    assert float(kept) == pytest.approx(0.0, abs=1e-12)


def test_new_values_do_not_compile_anew() -> None:
    pomdp = TEACHING.build()
    practised = replace(
        hold(replace(field("agents.benevolent", 0.0), strength=parse("strength")), steps=3),
        declared=(STRENGTH,),
    )
    traces = []

    @jax.jit
    def log_p(trust: Any, strength: Any, gamma: Any, outcome: Any, choice: Any) -> Any:
        traces.append(1)
        agent = Agent(planning=ExpectedFreeEnergy(gamma=gamma))
        built = TEACHING.build(trust=trust)
        return log_likelihood(agent, built, outcome, choice, practised, strength=strength)

    found = []
    for seed, trust, strength, gamma in ((0, 0.2, 1.0, 2.0), (1, 0.7, 3.0, 9.0)):
        life = simulate(jax.random.key(seed), Agent(), pomdp, World(pomdp), practised, 2)
        found.append(float(log_p(trust, strength, gamma, *observed(life, pomdp.layout))))
    assert len(traces) == 1
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("outcome", "choice", "said"),
    [
        ((2, 3, 3), (2, 4), r"outcome has shape \(2, 3, 3\); expected \(2, 4, 3\)"),
        ((2, 4, 2), (2, 4), r"outcome has shape \(2, 4, 2\); expected \(2, 4, 3\)"),
        ((2, 4, 3), (2, 3), r"choice has shape \(2, 3\); expected \(2, 4\)"),
    ],
)
def test_data_of_another_shape_are_named(outcome: Any, choice: Any, said: str) -> None:
    given = (jnp.zeros(outcome, jnp.int32), jnp.zeros(choice, jnp.int32))
    with pytest.raises(InputError, match=said):
        log_likelihood(Agent(), TEACHING.build(), *given, hold(steps=4))


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_choice_that_is_none_of_the_models_is_named(wrong: int) -> None:
    choice = jnp.array([[0, 1], [wrong, 0]], jnp.int32)
    outcome = jnp.zeros((2, 2, 3), jnp.int32)
    with pytest.raises(InputError, match=f"session 2, step 1: choice is {wrong}; expected 0 to 1"):
        log_likelihood(Agent(), TEACHING.build(), outcome, choice, hold(steps=2))


@pytest.mark.parametrize("wrong", [-2, 3])
def test_an_outcome_that_is_none_of_the_models_is_named(wrong: int) -> None:
    outcome = jnp.zeros((1, 2, 3), jnp.int32).at[0, 1, 1].set(wrong)
    choice = jnp.zeros((1, 2), jnp.int32)
    with pytest.raises(InputError, match=f"step 2: outcome of cue is {wrong}; expected -1 to 2"):
        log_likelihood(Agent(), TEACHING.build(), outcome, choice, hold(steps=2))

"""Mean field is pymdp's: the same beliefs and policies as its own closed loop."""

from __future__ import annotations

from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, Exact, ExpectedFreeEnergy, Program
from attach_ai.agent.hold import Instruction
from attach_ai.agent.mean_field import MeanField, pymdp_controls
from attach_ai.errors import InputError
from attach_ai.interop import pymdp_env, to_pymdp
from attach_ai.model import load_model
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.pomdp import POMDP
from tests.agent.random_pomdps import random_pomdp

# pymdp's environment hands its agent outcomes as floats, of which JAX disapproves.
pytestmark = pytest.mark.filterwarnings("ignore:jax.nn.one_hot input:DeprecationWarning")

STEPS = 50
CASES = list(product(["attachment_core", "random_1"], ["fpi", "vmp", "mmp"], [1, 2]))
# Compiling pymdp's loop takes seconds, so the other cases wait for `make test-all`.
EVERY_TIME = [CASES[i] for i in (1, 6, 8, 11)]


def model(name: str) -> POMDP:
    if name.startswith("random"):
        return random_pomdp(int(name.split("_")[1]))
    return load_model(name).build()


def their_loop(pomdp: POMDP, algorithm: str, horizon: int, gamma: float) -> dict[str, Any]:
    """pymdp's own rollout, its agent in an environment with the same tables."""
    from pymdp.envs.rollout import rollout

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        agent = to_pymdp(
            pomdp,
            policy_len=horizon,
            gamma=gamma,
            inference_algo=algorithm,
            inference_horizon=None if algorithm == "fpi" else 8,
        )
        env = pymdp_env(pomdp)
        _, info = jax.jit(lambda key: rollout(agent, env, STEPS - 1, key))(jax.random.PRNGKey(3))
    outcome = np.stack([o[0, :, 0] for o in info["observation"]], axis=-1)
    controls = list(pymdp_controls(pomdp.layout))
    choice = [controls.index(tuple(map(int, u))) for u in np.asarray(info["action"][0])]
    return {
        "outcome": jnp.asarray(outcome, jnp.int32),
        "choice": jnp.asarray(choice, jnp.int32),
        "qs": [q[0] for q in info["qs"]],
        "q_pi": info["qpi"][0],
        "efe": -info["neg_efe"][0],
    }


def our_loop(agent: Agent, pomdp: POMDP, outcome: Any, choice: Any) -> Any:
    """The same outcomes and choices, step by step, through `Agent.step`."""
    n = len(pomdp.layout.choices)
    dtype = pomdp.A[0].dtype
    program = Program(
        operators=(),
        active=jnp.zeros((1, 0), dtype),
        allowed=jnp.ones((1, n), bool),
        gates=jnp.zeros((0, len(pomdp.layout.contexts)), dtype),
    )
    now = Instruction((), program.active[0], program.allowed[0], program.gates)

    @jax.jit
    def run(pomdp: POMDP) -> Any:
        tables = agent.prepare(pomdp)

        def step(belief: Any, x: Any) -> tuple[Any, Any]:
            return agent.step(tables, belief, x[0], now, choice=x[1])

        return jax.lax.scan(step, agent.init(tables, pomdp, program), (outcome, choice))[1]

    return run(pomdp)


def assert_same_loop(
    name: str, algorithm: str, horizon: int, atol: float, gamma: float = 4.0
) -> None:
    pomdp = model(name)
    theirs = their_loop(pomdp, algorithm, horizon, gamma)
    agent = Agent(
        perception=MeanField(algorithm),
        planning=ExpectedFreeEnergy(horizon=horizon, gamma=gamma, information="per_modality"),
    )
    ours = our_loop(agent, pomdp, theirs["outcome"], theirs["choice"])
    for mine, their in zip(ours.posterior, theirs["qs"], strict=True):
        assert mine.dtype == pomdp.A[0].dtype
        np.testing.assert_allclose(mine, their, atol=atol)
    np.testing.assert_allclose(ours.plan.q_pi, theirs["q_pi"], atol=atol)
    # pymdp's preferences are unnormalised: a constant that no policy feels.
    gap = np.asarray(ours.plan.efe - theirs["efe"])
    np.testing.assert_allclose(gap, gap.mean(), atol=20 * atol)


@pytest.mark.parametrize(
    ("name", "algorithm", "horizon"),
    [c if c in EVERY_TIME else pytest.param(*c, marks=pytest.mark.slow) for c in CASES],
)
def test_fifty_steps_are_those_of_pymdp(name: str, algorithm: str, horizon: int) -> None:
    assert_same_loop(name, algorithm, horizon, atol=1e-10)


def test_fifty_steps_are_those_of_pymdp_in_float32() -> None:
    with jax.enable_x64(False):
        assert_same_loop("attachment_core", "fpi", horizon=1, atol=1e-6, gamma=1.0)


def two_causes(shared: bool) -> POMDP:
    """Two binary causes, each with an outcome of its own or, `shared`, one noisy-OR of both."""
    one = jnp.array([[0.95, 0.25], [0.05, 0.75]])
    quiet = 0.95 * jnp.array([[1.0, 0.2], [0.3, 0.06]])
    stay = jnp.array([[0.9, 0.2], [0.1, 0.8]])
    names = ("no", "yes")
    factors = tuple(Factor(n, names, parents=(f,)) for f, n in enumerate(["wind", "rain"]))
    if shared:
        modalities = (Modality("noise", names, parents=(0, 1)),)
        A = (jnp.stack([quiet, 1 - quiet]),)
    else:
        modalities = tuple(Modality(n, names, parents=(f,)) for f, n in enumerate(["dust", "wet"]))
        A = (one, one[:, ::-1])
    return POMDP(
        A=A,
        B=(stay, stay),
        C=tuple(jnp.zeros(2) for _ in A),
        D=(jnp.array([0.7, 0.3]), jnp.array([0.6, 0.4])),
        E=(jnp.ones(1),),
        counts={},
        layout=Layout(factors, modalities, (Action("wait", ("on",)),)),
    )


def test_exact_and_mean_field_agree_when_causes_are_independent() -> None:
    pomdp = two_causes(shared=False)
    outcome = jnp.asarray(np.random.default_rng(0).integers(-1, 2, (20, 2)), jnp.int32)
    choice = jnp.zeros(20, jnp.int32)
    exact = our_loop(Agent(perception=Exact()), pomdp, outcome, choice)
    mean_field = our_loop(Agent(perception=MeanField()), pomdp, outcome, choice)
    for p, q in zip(exact.posterior, mean_field.posterior, strict=True):
        np.testing.assert_allclose(p, q, atol=1e-10)
    for name in ("vfe", "complexity", "accuracy"):
        mine, theirs = (getattr(x.evidence, name) for x in (mean_field, exact))
        np.testing.assert_allclose(mine, theirs, atol=1e-9)


def test_mean_field_misses_how_one_cause_explains_the_other_away() -> None:
    pomdp = two_causes(shared=True)
    found = {}
    for see in (Exact(), MeanField(n_iter=64)):
        tables = see.prepare(pomdp)
        state = see.begin(tables, pomdp.D)
        _, belief, evidence = see.update(tables, state, 0, jnp.array([1], jnp.int32))
        found[type(see)] = see.read(tables, belief, (0, 1)), evidence
    (joint, exact), (product_, bound) = found[Exact], found[MeanField]
    both = [q[1, 1] - q[1].sum() * q[:, 1].sum() for q in (joint, product_)]
    assert both[0] < -0.05
    assert abs(both[1]) < 1e-12
    assert np.abs(joint.sum(1) - product_.sum(1)).max() > 0.02
    assert bound.vfe > exact.vfe + 0.02  # the bound is loose where the posterior is no product


@pytest.mark.parametrize("see", [MeanField(), MeanField("vmp", n_iter=4)])
def test_what_was_not_seen_teaches_nothing(see: MeanField) -> None:
    pomdp = random_pomdp(3)
    tables = see.prepare(pomdp)
    state = see.begin(tables, pomdp.D)
    update = jax.jit(see.update, static_argnums=(2, 4))
    _, nothing, evidence = update(tables, state, 0, jnp.full(3, -1, jnp.int32))
    for q, d in zip(nothing, pomdp.D, strict=True):
        np.testing.assert_allclose(q, d, atol=1e-12)
    np.testing.assert_allclose(evidence.accuracy, 0, atol=1e-12)
    np.testing.assert_allclose(evidence.vfe, 0, atol=1e-12)
    _, some, _ = update(tables, state, 0, jnp.array([1, 0, 2], jnp.int32), (1,))
    _, same, _ = update(tables, state, 0, jnp.array([-1, 0, -1], jnp.int32))
    for p, q in zip(some, same, strict=True):
        np.testing.assert_array_equal(p, q)
    assert np.abs(some[1] - pomdp.D[1]).max() > 1e-3


@pytest.mark.parametrize("see", [MeanField(), MeanField("mmp", n_iter=4)])
def test_what_is_switched_off_has_no_probability_at_all(see: MeanField) -> None:
    pomdp = load_model("attachment_core").without("agents.benevolent").build()
    agents, level = pomdp.layout.level("agents.benevolent")
    tables = see.prepare(pomdp)
    outcome = jnp.array([0, 0, 0, 1, 0, 0], jnp.int32)  # all that a benevolent other would bring
    _, belief, evidence = jax.jit(see.update, static_argnums=2)(
        tables, see.begin(tables, pomdp.D), 0, outcome
    )
    assert belief[agents][level] == 0
    np.testing.assert_allclose(belief[agents].sum(), 1)
    assert np.isfinite(evidence.vfe)


def test_operators_touch_one_marginal() -> None:
    pomdp = random_pomdp(4)
    see = MeanField()
    tables = see.prepare(pomdp)
    belief, donor = pomdp.D, random_pomdp(5).D
    tilted = see.tilt(tables, belief, 0, 1, jnp.asarray(1.5))
    log_odds = [np.log(q[0][1] / (1 - q[0][1])) for q in (belief, tilted)]
    np.testing.assert_allclose(log_odds[1] - log_odds[0], 1.5)
    clamped = see.clamp(tables, belief, 0, 1)
    np.testing.assert_array_equal(clamped[0], [0, 1, 0])
    spliced = see.splice(tables, belief, donor, 0)
    np.testing.assert_array_equal(spliced[0], donor[0])
    for changed in (tilted, clamped, spliced):
        for f in (1, 2, 3):
            np.testing.assert_array_equal(changed[f], belief[f])
    np.testing.assert_allclose(see.divergence(clamped, belief), -np.log(belief[0][1]))
    np.testing.assert_allclose(see.divergence(belief, belief), 0, atol=1e-15)
    joint = see.read(tables, belief, (1, 0))
    np.testing.assert_allclose(joint, np.outer(belief[1], belief[0]))


def test_statistics_are_products_of_filtered_marginals() -> None:
    pomdp = random_pomdp(6)
    layout = pomdp.layout
    see = MeanField()
    tables = see.prepare(pomdp)
    rng = np.random.default_rng(1)
    beliefs = tuple(jnp.asarray(rng.dirichlet(np.ones(d.size), 5)) for d in pomdp.D)
    choices = jnp.array([4, 0, 3, 5, 1], jnp.int32)
    contexts = jnp.array([2, 1, 0, 0, 2], jnp.int32)  # the stance at each step
    body = np.zeros(pomdp.B[1].shape)
    for t in range(4):
        u, stance = layout.choices[choices[t]], contexts[t]
        pair = np.outer(beliefs[1][t + 1], beliefs[1][t])
        body[:, :, stance, u[0], u[1]] += pair
    found, (together,) = see.statistics(
        tables, beliefs, choices, contexts, pairs=layout.hidden, reads=((0, 2),)
    )
    np.testing.assert_allclose(together, beliefs[0][:, :, None] * beliefs[2][:, None, :])
    np.testing.assert_allclose(found[1], body)
    for f, counts in zip(layout.hidden, found, strict=True):
        assert counts.shape == pomdp.B[f].shape
        np.testing.assert_allclose(counts.sum(), 4)


@pytest.mark.parametrize("algorithm", ["fpi", pytest.param("mmp", marks=pytest.mark.slow)])
def test_a_gradient_flows_through_every_mind_of_a_batch(algorithm: str) -> None:
    pomdp = random_pomdp(7)
    agent = Agent(perception=MeanField(algorithm, n_iter=4), planning=ExpectedFreeEnergy())
    outcome = jnp.array([[0, 1, 2], [2, 0, -1], [1, 1, 0]], jnp.int32)
    choice = jnp.array([1, 5, 0], jnp.int32)

    def log_p(weight: jax.Array) -> jax.Array:
        mood = pomdp.D[0] * jnp.exp(weight * jnp.arange(3.0))
        D = (mood / mood.sum(), *pomdp.D[1:])
        found = our_loop(agent, eqx.tree_at(lambda p: p.D, pomdp, D), outcome, choice)
        return found.log_p.sum()

    weights = jnp.array([-0.5, 0.0, 0.7])
    gradient = jax.vmap(jax.grad(log_p))(weights)
    h = 1e-5
    above, below = jax.vmap(log_p)(jnp.concatenate([weights + h, weights - h])).reshape(2, 3)
    slope = (above - below) / (2 * h)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-8)
    assert np.abs(gradient).min() > 1e-4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"algorithm": "bp"}, "expected fpi, vmp or mmp"),
        ({"n_iter": 0}, "at least 1"),
        ({"window": 4}, "takes no window"),
        ({"algorithm": "vmp", "window": 1}, "at least 2 steps"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        MeanField(**settings)


def test_a_clamp_needs_a_one_step_method() -> None:
    pomdp = random_pomdp(8)
    see = MeanField("vmp")
    tables = see.prepare(pomdp)
    with pytest.raises(InputError, match="use MeanField\\('fpi'\\) or Exact"):
        see.believe(tables, see.begin(tables, pomdp.D), pomdp.D)

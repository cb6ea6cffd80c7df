"""Many lives in many conditions, with common luck: the engine room of the experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.agent.agent import Agent
from attach_ai.agent.hold import Program
from attach_ai.agent.learning import Dirichlet
from attach_ai.agent.perception import AbstractPerception
from attach_ai.agent.planning import ExpectedFreeEnergy
from attach_ai.model.model import Model
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation.batch import CHUNK, in_chunks
from attach_ai.simulation.rollout import Record, rollout
from attach_ai.simulation.schedule import Days
from attach_ai.world.inner import Inner
from attach_ai.world.world import World

Settings = Mapping[str, Any]


class Arm(eqx.Module):
    """One condition: a mind, a world, what is held, and how mind and body answer.

    `active` (step, operator) and `allowed` (step, choice) replace those of the shared program,
    `hold` is the strength of its operators in nats, `days` what each session is, `gain` and `rate`
    the body loop's, `load` what reaches inner modalities from elsewhere.
    """

    mind: POMDP
    world: POMDP
    active: Float[Array, "step operator"]
    allowed: Array
    hold: Float[Array, ""]
    days: Days
    gain: Float[Array, ""]
    rate: Float[Array, ""]
    gamma: Float[Array, ""]
    retention: Float[Array, ""]
    eta: Float[Array, ""]
    load: dict[str, Float[Array, " outcome"]]


class Study(eqx.Module):
    """What all arms share: how minds perceive, plan and learn, and which operators a step has.

    `days` is the calendar of arms that have none of their own. Precision, retention and learning
    rate are an arm's.
    """

    perception: AbstractPerception
    program: Program
    days: Days
    learning: Dirichlet = eqx.field(default_factory=Dirichlet)
    planning: ExpectedFreeEnergy = eqx.field(default_factory=ExpectedFreeEnergy)
    track: tuple[int, int] | None = eqx.field(static=True, default=None)

    def live(self, arm: Arm, key: Array) -> Record:
        """One mind's life in one arm."""
        rates = (arm.retention, arm.eta)
        agent = Agent(
            perception=self.perception,
            planning=eqx.tree_at(lambda p: p.gamma, self.planning, arm.gamma),
            learning=eqx.tree_at(lambda x: (x.retention, x.eta), self.learning, rates),
        )
        operators = tuple(
            eqx.tree_at(lambda o: o.strength, o, arm.hold) if hasattr(o, "strength") else o
            for o in self.program.operators
        )
        program = Program(operators, arm.active, arm.allowed, self.program.gates, self.program.name)
        world = World(process=arm.world, inner=Inner(arm.rate, arm.gain, arm.load))
        return rollout(key, agent, arm.mind, world, program, arm.days, self.track)


# Seeds live in blocks of this size, so that a reference point with many seeds and draws with few
# share one compiled function.
BLOCK = 8
BUILT = 64  # models are built in multiples of this


def live_all(
    study: Study,
    arms: Arm,
    keys: Array,
    summary: Callable[[Record, Arm], dict[str, Array]],
) -> dict[str, np.ndarray]:
    """Every key's life in every arm, summarised; results lead with (arm, key).

    `arms` is one `Arm` whose arrays lead with the arm axis. All arms live with the same keys, so
    that differences between arms are paired. `summary` should be a function of a module: it is part
    of what is compiled once.
    """
    n_arms, n_keys = arms.gain.shape[0], len(keys)
    block = BLOCK if n_keys % BLOCK == 0 else n_keys
    blocks = keys.reshape(-1, block)
    batch = (
        jax.tree.map(lambda x: np.repeat(np.asarray(x), len(blocks), axis=0), arms),
        blocks[jnp.tile(jnp.arange(len(blocks), dtype=jnp.int32), n_arms)],
    )
    chunk = max(1, CHUNK // block)
    found = in_chunks(lambda x: _live_chunk(study, x[0], x[1], summary), batch, chunk=chunk)
    return {k: v.reshape(n_arms, n_keys, *v.shape[2:]) for k, v in found.items()}


@eqx.filter_jit
def _live_chunk(
    study: Study, arms: Arm, keys: Array, summary: Callable[[Record, Arm], dict[str, Array]]
) -> dict[str, Array]:
    """Compiled once per shape: every draw, variant and shuffle of a study shares it."""

    def one(arm: Arm, own: Array) -> dict[str, Array]:
        return jax.vmap(lambda key: summary(study.live(arm, key), arm))(own)

    return jax.vmap(one)(arms, keys)


def build_all(model: Model, settings: Settings, n: int) -> POMDP:
    """`n` models at once: each setting is a number, or an array with one value per model."""
    dtype = jnp.zeros(()).dtype
    # Compiling takes longer than building: numbers of models are rounded up, so that few differ.
    at = np.minimum(np.arange(-(-n // BUILT) * BUILT), n - 1)
    table = {
        k: jnp.asarray(np.broadcast_to(np.asarray(v, float), (n,))[at], dtype)
        for k, v in {**model.defaults, **settings}.items()
    }
    return jax.tree.map(lambda x: x[:n], _builder(model)(table))


@lru_cache(maxsize=16)
def _builder(model: Model) -> Callable[[dict[str, Array]], POMDP]:
    """Compiled once per model and some numbers of models, with every parameter open."""
    return jax.jit(jax.vmap(model.build))


def repeat(tree: Any, n: int) -> Any:
    """Give every leaf a leading axis of length `n`."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), tree)


def concatenate(arms: list[Arm]) -> Arm:
    """Stacks of arms, one after the other."""
    return jax.tree.map(lambda *x: jnp.concatenate(x), *arms)

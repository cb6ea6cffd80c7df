"""Minds that grow up first and are then tried: many histories, many models, common luck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.agent.agent import Agent
from attach_ai.agent.hold import Program, compile_program
from attach_ai.agent.learning import Dirichlet
from attach_ai.agent.perception import AbstractPerception
from attach_ai.agent.planning import ExpectedFreeEnergy
from attach_ai.lab.arms import BLOCK
from attach_ai.lab.population import Population
from attach_ai.model.expression import number
from attach_ai.model.history import History, Stage
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from attach_ai.model.practice import Phase, Practice, Schedule
from attach_ai.simulation.batch import CHUNK, in_chunks
from attach_ai.simulation.develop import Childhood, staged
from attach_ai.simulation.rollout import Record, rollout
from attach_ai.simulation.schedule import Days
from attach_ai.simulation.surprise import Surprise, surprise
from attach_ai.world.inner import Inner
from attach_ai.world.world import World


class Upbringing(eqx.Module):
    """One arm: who is born, into what, and the episodes in which the grown mind is tried.

    Arrays of `episodes` lead with the episode. A mind that `eta` 0 keeps from learning is tried as
    it was born.
    """

    newborn: POMDP
    childhood: Childhood
    episodes: World
    gamma: Float[Array, ""]
    retention: Float[Array, ""]
    eta: Float[Array, ""]


class Trial(eqx.Module):
    """What all arms share: how minds perceive, plan and learn, and how they are tried.

    In a guided session (`days.guided`) everyone does as `program` says, so that all minds of one
    model and seed meet the very same outcomes; in others they choose. `episode` (session,) says
    which world each session has. Nothing is learned any more, and the body reports what is so.
    """

    perception: AbstractPerception
    learning: Dirichlet
    planning: ExpectedFreeEnergy
    program: Program
    days: Days
    episode: Int[Array, " session"]

    def live(self, arm: Upbringing, key: Array) -> tuple[POMDP, Record, Surprise]:
        """One mind grown, the record of its trial, and how surprising that was."""
        growing, trying = jax.random.split(key)
        rates = (arm.retention, arm.eta)
        learning = eqx.tree_at(lambda x: (x.retention, x.eta), self.learning, rates)
        planning = eqx.tree_at(lambda p: p.gamma, self.planning, arm.gamma)
        child, adult = Agent(self.perception, planning, learning), Agent(self.perception, planning)
        counts = arm.childhood.live(growing, child, arm.newborn).final_counts
        grown = learning.grown(arm.newborn, counts)
        record = rollout(
            trying, adult, grown, arm.episodes, self.program, self.days, stage=self.episode
        )
        return grown, record, surprise(adult, grown, record.outcome, record.decision.choice)


def trial(
    perception: AbstractPerception,
    learning: Dirichlet,
    layout: Layout,
    *,
    n_steps: int,
    prescribed: Sequence[str],
    guided: Sequence[int],
    free: Sequence[int],
) -> Trial:
    """Sessions of these episodes: guided ones, with choices going round `prescribed`, then free."""
    phases = tuple(
        Phase(f"step_{t}", 1, (), {"": (prescribed[t % len(prescribed)],)}) for t in range(n_steps)
    )
    plan = Practice("trial", "", (), Schedule(n_steps), phases)
    dtype = jnp.zeros(()).dtype
    on = jnp.asarray([1.0] * len(guided) + [0.0] * len(free), dtype)
    return Trial(
        perception=perception,
        learning=learning,
        planning=ExpectedFreeEnergy(),
        program=compile_program(plan, layout),
        days=Days(practised=on, guided=on, taught=jnp.zeros_like(on), rest=jnp.zeros_like(on)),
        episode=jnp.asarray([*guided, *free], jnp.int32),
    )


def shortened(history: History, n_sessions: int) -> History:
    """The same stages in proportion, in so many sessions altogether."""
    ends = np.cumsum([0, *(s.sessions for s in history.stages)]) / history.sessions * n_sessions
    sessions = np.diff(np.round(ends).astype(int)).tolist()
    lived = zip(history.stages, sessions, strict=True)
    return replace(history, stages=tuple(replace(s, sessions=n) for s, n in lived if n > 0))


def exchanged(history: History, other: History) -> History:
    """The first half of one history and the second half of another, at the latter's defaults."""
    half = history.sessions // 2
    rest: list[Stage] = []
    for stage, world in zip(other.stages, other.worlds(), strict=True):
        rest.append(replace(stage, world={k: number(v) for k, v in world.items()}))
    stages = (*_cut(history.stages, 0, half), *_cut(rest, half, history.sessions))
    return replace(history, stages=stages)


def _cut(stages: Sequence[Stage], start: int, stop: int) -> list[Stage]:
    """Sessions `start` to `stop` of these stages."""
    found, at = [], 0
    for stage in stages:
        n = min(at + stage.sessions, stop) - max(at, start)
        at += stage.sessions
        if n > 0:
            found.append(replace(stage, sessions=n))
    return found


def childhoods(
    group: Population, history: History, parameters: Mapping[str, Any], n_stages: int
) -> Childhood:
    """A history in every model of a population: arrays lead with the model.

    `parameters` are the history's own, each a number or one value per model.
    """
    model, dtype = group.models[0], jnp.zeros(()).dtype
    values = {
        k: np.broadcast_to(np.asarray(parameters.get(k, default), float), (group.n,))
        for k, default in history.bind(model).defaults.items()
    }
    processes = [
        group.build(
            {}, {k: c.evaluate(values) for k, c in s.world.items() if k in model.parameters}
        )
        for s in history.stages
    ]
    own = {k: jnp.asarray(v, dtype) for k, v in values.items()}
    return jax.vmap(lambda p, v: staged(history, p, n_stages=n_stages, **v))(processes, own)


def episodes(group: Population, worlds: Sequence[Mapping[str, Any]]) -> World:
    """The worlds of a trial in every model of a population: arrays lead with (model, episode)."""
    built = [group.build({}, w) for w in worlds]
    process = jax.tree.map(lambda *x: jnp.stack(x, axis=1), *built)
    ones = jnp.ones((group.n, len(worlds)), jnp.zeros(()).dtype)
    inner = jax.vmap(jax.vmap(lambda x: Inner(rate=x, gain=0 * x)))(ones)
    return World(process=process, inner=inner)


def grow_all(
    trial: Trial,
    arms: Upbringing,
    keys: Array,
    summary: Callable[[POMDP, Record, Surprise], dict[str, Array]],
    *,
    fill: bool = True,
) -> dict[str, np.ndarray]:
    """Every key's life in every arm, summarised; results lead with (arm, key).

    As `lab.arms.live_all`: arms live with the same keys, and `summary` is a function of a module.
    `fill`: small batches are filled up, so that populations of every size share what is compiled.
    """
    n_arms, n_keys = arms.gamma.shape[0], len(keys)
    block = BLOCK if n_keys % BLOCK == 0 else n_keys
    blocks, chunk = keys.reshape(-1, block), max(1, CHUNK // block)
    n = n_arms * len(blocks)
    at = np.minimum(np.arange(max(n, 2 * chunk if fill else 0)), n - 1)
    batch = (
        jax.tree.map(lambda x: np.asarray(x)[at // len(blocks)], arms),
        blocks[jnp.asarray(at % len(blocks), jnp.int32)],
    )
    found = in_chunks(lambda x: _grow_chunk(trial, x[0], x[1], summary), batch, chunk=chunk)
    return {k: v[:n].reshape(n_arms, n_keys, *v.shape[2:]) for k, v in found.items()}


@eqx.filter_jit
def _grow_chunk(
    trial: Trial,
    arms: Upbringing,
    keys: Array,
    summary: Callable[[POMDP, Record, Surprise], dict[str, Array]],
) -> dict[str, Array]:
    def one(arm: Upbringing, own: Array) -> dict[str, Array]:
        return jax.vmap(lambda key: summary(*trial.live(arm, key)))(own)

    return jax.vmap(one)(arms, keys)

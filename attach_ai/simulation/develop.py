"""How a mind becomes someone: it lives through a caregiving history, and learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attach_ai.agent.agent import Agent
from attach_ai.agent.hold import Program, compile_program
from attach_ai.agent.learning import Counts, Dirichlet
from attach_ai.errors import InputError
from attach_ai.model.history import History
from attach_ai.model.model import Model
from attach_ai.model.pomdp import POMDP
from attach_ai.model.practice import Phase, Practice, Schedule
from attach_ai.simulation.rollout import Record, rollout
from attach_ai.simulation.schedule import Days, days
from attach_ai.world.inner import Inner
from attach_ai.world.world import World


class Childhood(eqx.Module):
    """A history in the words of a model: the worlds of its stages, and who lives in which when.

    Arrays of `world` lead with the stage axis; `stage` (session,) is the index along it. `program`
    holds nothing and allows everything.
    """

    world: World
    stage: Int[Array, " session"]
    program: Program
    days: Days

    def live(self, key: Array, agent: Agent, pomdp: POMDP) -> Record:
        """One mind's childhood, in one scan over all its sessions."""
        return rollout(key, agent, pomdp, self.world, self.program, self.days, stage=self.stage)


def childhood(history: History, model: Model, **parameters: Any) -> Childhood:
    """What a history makes true for minds of this model.

    `parameters` are the history's own: numbers, or JAX values under a transformation. Raises
    `InputError` for what `History.bind` refuses, and for a parameter outside its support.
    """
    history.bind(model)
    whole = _with_every_level(model)
    worlds = history.worlds(**parameters)
    return staged(history, [whole.build(w) for w in worlds], **parameters)


def staged(
    history: History, processes: Sequence[POMDP], *, n_stages: int | None = None, **parameters: Any
) -> Childhood:
    """The same from processes already built, one a stage.

    `n_stages` repeats the last world up to so many stages, so that histories can be stacked.
    """
    values, dtype = history.values(**parameters), jnp.zeros(()).dtype
    worlds = []
    for stage, process in zip(history.stages, processes, strict=True):
        rate, gain = (jnp.asarray(c.evaluate(values), dtype) for c in (stage.rate, stage.gain))
        worlds.append(World(process=_start(process, stage.start), inner=Inner(rate, gain)))
    worlds += [worlds[-1]] * ((n_stages or 0) - len(worlds))
    day = Phase("day", history.steps)
    idle = Practice("growing up", "", (), Schedule(history.steps), (day,))
    when = np.repeat(np.arange(len(history.stages)), [s.sessions for s in history.stages])
    return Childhood(
        world=jax.tree.map(lambda *x: jnp.stack(x), *worlds),
        stage=jnp.asarray(when, jnp.int32),
        program=compile_program(idle, processes[0].layout),
        days=days(idle, history.sessions),
    )


def formative_learning(pomdp: POMDP, *, retention: Any = 1.0, eta: Any = 1.0) -> Dirichlet:
    """What growing up teaches unless told otherwise: each D, B and E that has a strength, no A.

    What outcomes mean is shared by all minds, so that they differ by what they have lived through.
    Nothing is forgotten (`retention` 1): an assumption, to be varied.
    """
    D, B, E = (tuple(n[2:] for n in pomdp.counts if n[0] == table) for table in "DBE")
    return Dirichlet(D=D, B=B, E=E, retention=retention, eta=eta)


def develop(
    key: Array,
    agent: Agent,
    pomdp: POMDP,
    history: History,
    *,
    model: Model | None = None,
    **parameters: Any,
) -> POMDP:
    """The mind that a history makes of `pomdp`.

    It lives through all stages, learns what `agent.learning` learns from `pomdp`'s own counts, and
    comes back with its tables as they have become and, in `counts`, how firmly it now holds each
    column (in observations): a life can go on from there. `model.build(history.newborn())` is the
    mind that the history is meant to meet. `key`: one JAX random key, or an array of n keys for n
    minds (leaves then lead with that axis). `model` gives the words in which the history is to be
    read, if not the ones `pomdp` was declared in. `parameters`: the history's own, such as
    `responsiveness=0.3`.

    Raises `InputError` for an agent that learns nothing, a POMDP that no model declares, and a
    history that speaks of what the model lacks.
    """
    if not agent.learning.tables(pomdp.layout):
        raise InputError(
            "the agent learns no table, so no history can make anything of it", "develop"
        )
    model = model or pomdp.layout.declared
    if model is None:
        raise InputError(
            "this POMDP comes from no declared model; say in whose words to read the history "
            "(model=...)",
            "develop",
        )
    counts = _grow(key, agent, pomdp, childhood(history, model, **parameters))
    # Outside of what is compiled: a layout that a cache keeps may have been declared elsewhere.
    grown = agent.learning.grown
    return jax.vmap(lambda c: grown(pomdp, c))(counts) if jnp.ndim(key) else grown(pomdp, counts)


@eqx.filter_jit
def _grow(key: Array, agent: Agent, pomdp: POMDP, childhood: Childhood) -> Counts:
    def one(k: Array) -> Counts:
        return childhood.live(k, agent, pomdp).final_counts

    return jax.vmap(one)(key) if jnp.ndim(key) else one(key)


def _with_every_level(model: Model) -> Model:
    """What a mind leaves out of its model is not thereby out of the world."""
    factors = tuple(replace(f, excluded=()) for f in model.layout.factors)
    return replace(model, layout=replace(model.layout, factors=factors))


def _start(process: POMDP, start: Any) -> POMDP:
    """The process with some factors certain at the start of a session."""
    D = list(process.D)
    for name, level in start.items():
        names = [f.name for f in process.layout.factors]
        if name in names:  # the others are optional, and this model does without
            f = names.index(name)
            at = process.layout.factors[f].levels.index(level)
            D[f] = jnp.zeros_like(D[f]).at[at].set(1.0)
    return eqx.tree_at(lambda p: p.D, process, tuple(D))

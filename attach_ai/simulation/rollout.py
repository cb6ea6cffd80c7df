"""Who does what when: steps within sessions, sessions within a life.

One function lives through sessions, whether a world gives the outcomes and the mind samples its
choices (`rollout`), or both were observed and their probability is asked for (`condition`).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attach_ai.agent.agent import Agent, Belief, Decision, Tables
from attach_ai.agent.hold import Instruction, Program
from attach_ai.agent.learning import Counts, Lived
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation.schedule import Days
from attach_ai.world.world import AbstractWorld, WorldState


class Record(eqx.Module):
    """Everything that happened; all arrays lead with (session, step) unless said otherwise.

    `levels`: what was true (None when conditioned on data). `counts`: counts of learned tables at
    the start of each session, (session, ...); `final_counts`: after the last one.
    """

    decision: Decision
    outcome: Int[Array, "session step modality"]
    levels: Int[Array, "session step factor"] | None
    counts: Counts
    final_counts: Counts


class Observed(eqx.Module):
    """What one person was shown and did: -1 marks an outcome that was not seen."""

    outcome: Int[Array, "session step modality"]
    choice: Int[Array, "session step"]


class _Life(eqx.Module):
    """What stays the same over a life."""

    agent: Agent
    pomdp: POMDP
    program: Program
    world: AbstractWorld | None
    world_tables: Any
    track: tuple[int, int] | None = eqx.field(static=True)

    def at(self, stage: Int[Array, ""] | None) -> _Life:
        """The life in one of its stages; None where it has no stages."""
        if stage is None:
            return self
        world, tables = jax.tree.map(lambda x: x[stage], (self.world, self.world_tables))
        return _Life(self.agent, self.pomdp, self.program, world, tables, self.track)


def rollout(
    key: Array,
    agent: Agent,
    pomdp: POMDP,
    world: AbstractWorld,
    program: Program,
    days: Days,
    track: tuple[int, int] | None = None,
    stage: Int[Array, " session"] | None = None,
) -> Record:
    """Let one mind live in a world for as many sessions as `days` has.

    All chance comes from uniform draws made from `key` session by session, so that arms that share
    a key share their luck. `track` is a (factor, level) whose evidence ledger is kept. Where the
    world changes between sessions its arrays lead with an axis of stages, and `stage` says in which
    of them each session is lived.
    """
    if stage is None:
        world_tables = world.prepare(pomdp.layout)
    else:
        world_tables = jax.vmap(lambda w: w.prepare(pomdp.layout))(world)
    mind = program.begin(pomdp, days.practised)
    life = _Life(agent, mind, program, world, world_tables, track)
    n_sessions, n_steps = days.practised.shape[0], program.active.shape[0]
    layout = pomdp.layout
    n_draws = len(layout.factors) + len(layout.modalities) + 1

    def draws(k: Array) -> Float[Array, "step draw"]:
        # The first row sets the scene; each further one serves a step and the change after it.
        return jax.random.uniform(k, ((n_steps + 1) * n_draws,)).reshape(n_steps + 1, n_draws)

    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n_sessions, dtype=jnp.int32))
    return _sessions(life, days, (keys, stage), lambda x: (life.at(x[1]), draws(x[0])))


def condition(
    agent: Agent, pomdp: POMDP, observed: Observed, program: Program, days: Days
) -> Record:
    """The same life with outcomes and choices given: `decision.log_p` is their log probability."""
    mind = program.begin(pomdp, days.practised)
    life = _Life(agent, mind, program, None, None, None)
    return _sessions(life, days, observed, lambda given: (life, given))


def _sessions(life: _Life, days: Days, source: Any, unpack: Any) -> Record:
    learning = life.agent.learning
    learned = learning.tables(life.pomdp.layout)
    anchor = learning.counts(life.pomdp)
    # Tables depend on A, B, C and E alone: made once unless one of these is learned.
    fixed = None
    if all(table == "D" for _, table, _ in learned):
        fixed = life.agent.prepare(life.pomdp)

    def session(counts: Counts, x: Any) -> tuple[Counts, Any]:
        given, today = x
        pomdp = learning.learned(life.pomdp, counts)
        seen = learning.perceived(life.pomdp, counts)
        tables = life.agent.prepare(pomdp, seen, counts) if fixed is None else fixed
        pomdp = pomdp if seen is None else seen
        here, lived = unpack(given)
        evidence, steps = _session(here, tables, pomdp, lived, today)
        evidence = life.program.end(pomdp.layout, evidence, today.practised)
        after = learning.end_session(counts, anchor, evidence, today.taught, today.rest)
        return after, (counts, steps)

    final, (counts, steps) = jax.lax.scan(session, anchor, (source, days))
    decision, outcome, levels = steps
    return Record(decision, outcome, levels, counts, final)


def _session(
    life: _Life, tables: Tables, pomdp: POMDP, source: Any, today: Days
) -> tuple[Counts, Any]:
    """One session: a scan over its steps, then what it adds to the counts."""
    agent, program = life.agent, life.program
    # On a day without practice no operator acts and every action is allowed.
    active = program.active * today.practised
    allowed = program.allowed | (today.guided == 0)
    n_factors = len(pomdp.layout.factors)
    learned = agent.learning.tables(pomdp.layout)
    follow = any(table in "AB" for _, table, _ in learned)
    held = getattr(agent.learning, "counted", "unheld") == "held"

    def step(carry: tuple[Belief, WorldState | None], x: Any) -> tuple[Any, Any]:
        belief, state = carry
        given, on, may = x
        now = Instruction(program.operators, on, may, program.gates)
        context = belief.context
        if life.world is None or state is None:
            belief, decision = agent.step(
                tables, belief, given.outcome, now, choice=given.choice, track=life.track
            )
            outcome, levels = given.outcome, None
        else:
            predicted = agent.predict(tables, belief, now)
            to_emit, draw = given[n_factors:-1], given[-1]
            state, outcome = life.world.emit(life.world_tables, state, predicted, to_emit)
            levels = state.levels
            belief, decision = agent.step(tables, belief, outcome, now, draw, track=life.track)
            to_change = given[:n_factors]
            state = life.world.change(life.world_tables, state, decision.choice, to_change)
        kept = (belief.held if held else belief.posterior, context) if follow else None
        return (belief, state), (decision, outcome, levels, kept)

    state: WorldState | None = None
    if life.world is not None:
        state = life.world.begin(life.world_tables, source[0, :n_factors])
        source = source[1:]
    start = (agent.init(tables, pomdp, program, ledger=life.track is not None), state)
    (last, _), (decision, outcome, levels, kept) = jax.lax.scan(
        step, start, (source, active, allowed)
    )
    final = last.held if held else last.posterior
    beliefs, contexts = kept if follow else (None, None)
    over = Lived(final, beliefs, outcome, decision.choice, contexts)
    evidence = agent.learning.evidence(agent.perception, tables.perception, pomdp, over)
    return evidence, (decision, outcome, levels)

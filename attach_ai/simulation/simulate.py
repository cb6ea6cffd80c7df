"""The two ways to use a mind: let it live, or ask how probable a life was."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.agent.agent import Agent
from attach_ai.agent.hold import compile_program
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from attach_ai.model.practice import Practice
from attach_ai.simulation.rollout import Observed, Record, condition, rollout
from attach_ai.simulation.schedule import Days, days
from attach_ai.simulation.trajectory import Trajectory, label
from attach_ai.world.world import AbstractWorld


def simulate(
    key: Array,
    agent: Agent,
    pomdp: POMDP,
    world: AbstractWorld,
    practice: Practice,
    n_sessions: int,
    *,
    track: str | None = None,
    **parameters: float,
) -> Trajectory:
    """Let a mind live and practise in a world.

    `key`: one JAX random key, or an array of n keys for n minds (a leading `mind` dimension).
    `n_sessions`: sessions, the days after the practice's `stop_after` included. `track`: a level
    such as "agents.benevolent" whose evidence ledger is kept (nats of log-odds from carried prior,
    body, cues and field). `parameters`: the practice's own, such as `hold=1.5`.

    Raises `InputError` for names the model lacks, or a world of another shape.
    """
    if n_sessions < 1:
        raise InputError(f"n_sessions is {n_sessions}; expected at least 1", "simulate")
    program = compile_program(practice, pomdp.layout, **parameters)
    calendar = days(practice, n_sessions)
    # Looked at here, before tracing, where an expansion that cannot be is still an error.
    layout = program.begin(pomdp, calendar.practised).layout
    target = None
    if track is not None:
        try:
            target = layout.level(track)
        except LookupError as error:
            raise InputError(str(error), "track") from None
        if target[0] in layout.known:
            raise InputError(f"'{track}' is set by an action; nothing to track", "track")
        if target[1] in layout.factors[target[0]].excluded:
            raise InputError(f"'{track}' is switched off in this model; nothing to track", "track")
    record = _live(key, agent, pomdp, world, program, calendar, target)
    return label(
        record,
        layout,
        calendar,
        horizon=getattr(agent.planning, "horizon", 1),
        phases=[p.name for p in practice.phases for _ in range(p.steps)],
        attrs={"practice": practice.name} | ({"ledger": track} if track else {}),
    )


@eqx.filter_jit
def _live(
    key: Array,
    agent: Agent,
    pomdp: POMDP,
    world: AbstractWorld,
    program: Any,
    calendar: Days,
    target: tuple[int, int] | None,
) -> Record:
    def one(k: Array) -> Record:
        return rollout(k, agent, pomdp, world, program, calendar, target)

    return jax.vmap(one)(key) if jnp.ndim(key) else one(key)


def log_likelihood(
    agent: Agent,
    pomdp: POMDP,
    outcome: Array,
    choice: Array,
    practice: Practice,
    **parameters: float | Array,
) -> Float[Array, ""]:
    """Sum of ln p(choice_t | held belief_t) over a life, in nats; outcomes are inputs, not scored.

    `outcome`: (session, step, modality) level indices, -1 where the person did not see one.
    `choice`: (session, step) indices into `layout.choices`. It runs the very step that `simulate`
    runs, and can be differentiated in every parameter. A choice the practice does not allow has
    log probability -inf.

    Raises `InputError` for data of another shape than the practice's sessions, and for an index
    that is no level of the model's.
    """
    observed = _observed(pomdp.layout, practice, outcome, choice)
    program = compile_program(practice, pomdp.layout, **parameters)
    record = condition(agent, pomdp, observed, program, days(practice, outcome.shape[0]))
    return record.decision.log_p.sum()


def _observed(layout: Layout, practice: Practice, outcome: Array, choice: Array) -> Observed:
    """The data as whole numbers, looked over as far as their values are known."""
    time = (*jnp.shape(outcome)[:1], practice.schedule.steps)
    shapes = {"outcome": (*time, len(layout.modalities)), "choice": time}
    for name, data in (("outcome", outcome), ("choice", choice)):
        if jnp.shape(data) != shapes[name]:
            raise InputError(
                f"{name} has shape {jnp.shape(data)}; expected {shapes[name]} for sessions of "
                f"{practice.schedule.steps} steps",
                "log_likelihood",
            )
    if not isinstance(outcome, jax.core.Tracer):
        for m, modality in enumerate(layout.modalities):
            levels = np.asarray(outcome)[..., m]
            _within(f"outcome of {modality.name}", levels, -1, len(modality.levels) - 1)
    if not isinstance(choice, jax.core.Tracer):
        _within("choice", np.asarray(choice), 0, len(layout.choices) - 1)
    return Observed(jnp.asarray(outcome, jnp.int32), jnp.asarray(choice, jnp.int32))


def _within(what: str, data: np.ndarray, lowest: int, highest: int) -> None:
    for session, step in np.argwhere((data < lowest) | (data > highest)):
        raise InputError(
            f"{what} is {data[session, step]}; expected {lowest} to {highest}",
            f"session {session + 1}, step {step + 1}",
        )

"""Short lives for tests: a mind that is shown outcomes and choices, step by step."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings

from attach_ai.agent import Agent, Belief, Decision, Program, compile_program
from attach_ai.agent.hold import Instruction
from attach_ai.model import OperatorSpec, Phase, Practice, Schedule
from attach_ai.model.expression import number
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from tests.oracles import Oracle


def examples(n: int) -> settings:
    """Always the same `n` examples, however long they take."""
    return settings(derandomize=True, database=None, deadline=None, max_examples=n)


def field(target: str, strength: float, **gate: tuple[str, ...]) -> OperatorSpec:
    factor, level = target.split(".")
    return OperatorSpec("field", factor, level, number(strength), gate)


def clamp(target: str, **gate: tuple[str, ...]) -> OperatorSpec:
    factor, level = target.split(".")
    return OperatorSpec("clamp", factor, level, None, gate)


def operator(
    kind: str,
    target: str,
    strength: float | None = None,
    column: str = "template",
    **gate: tuple[str, ...],
) -> OperatorSpec:
    """Any of the six; `target` is "factor.level", or a modality for a precision."""
    cell = None if strength is None else number(strength)
    if kind == "precision":
        return OperatorSpec(kind, "", "", cell, gate, modality=target)
    factor, level = target.split(".")
    return OperatorSpec(kind, factor, level, cell, gate, column=column)


def practice(*phases: Phase, **schedule: int) -> Practice:
    steps = sum(p.steps for p in phases)
    return Practice("test", "", (), Schedule(steps, **schedule), phases)


def hold(*operators: OperatorSpec, steps: int, allowed: Any = None) -> Practice:
    """The same operators and the same choices at every step."""
    return practice(Phase("all", steps, operators, allowed))


def program(
    layout: Layout, *operators: OperatorSpec, steps: int = 4, allowed: Any = None
) -> Program:
    return compile_program(hold(*operators, steps=steps, allowed=allowed), layout)


@eqx.filter_jit
def live(
    agent: Agent,
    pomdp: POMDP,
    program: Program,
    outcome: Any,
    choice: Any,
    track: tuple[int, int] | None = None,
) -> tuple[Belief, Decision]:
    """Every step's belief and decision, stacked; one step per row of `program`."""
    tables = agent.prepare(pomdp)

    def step(belief: Belief, x: Any) -> Any:
        o, u, active, allowed = x
        now = Instruction(program.operators, active, allowed, program.gates)
        belief, decision = agent.step(tables, belief, o, now, choice=u, track=track)
        return belief, (belief, decision)

    given = (outcome, choice, program.active, program.allowed)
    return jax.lax.scan(step, agent.init(tables, pomdp, program), given)[1]


def lived(oracle: Oracle, seed: int, n_steps: int, unseen: float = 0.0) -> tuple[Any, Any]:
    """Outcomes and choices that can happen, -1 where one is not seen; choices are uniform."""
    rng = np.random.default_rng(seed)
    choices = rng.integers(len(oracle.choices), size=n_steps)
    state, outcomes = rng.choice(len(oracle.states), p=oracle.start()), []
    for u in choices:
        outcomes.append(
            oracle.outcomes[rng.choice(len(oracle.outcomes), p=oracle.likelihood[:, state])]
        )
        state = rng.choice(len(oracle.states), p=oracle.transition(u)[:, state])
    outcome = np.where(rng.random(np.shape(outcomes)) < unseen, -1, outcomes)
    return jnp.asarray(outcome, jnp.int32), jnp.asarray(choices, jnp.int32)


def hidden(oracle: Oracle, layout: Layout, q: np.ndarray) -> np.ndarray:
    """An oracle's belief over all states, as `Exact` keeps it: over hidden states."""
    return oracle.marginal(q, layout.hidden).reshape(-1)

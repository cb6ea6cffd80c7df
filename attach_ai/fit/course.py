"""The course of one life's beliefs, given what is known of what happened in it.

The step is `Agent.step`, which simulates too (MODEL.md, "Likelihood of data"). What nobody
recorded enters by its expectation: the *exposure drive*, an approximation whose error a test
measures against Monte Carlo.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attach_ai.agent import Agent
from attach_ai.agent.exact import Exact
from attach_ai.agent.hold import Instruction, Program
from attach_ai.agent.slicing import by_context
from attach_ai.errors import InputError
from attach_ai.model.pomdp import POMDP
from attach_ai.world import World

UNSEEN = -1  # an outcome that the person did not see
EXPECTED = -2  # one they saw and nobody recorded: what the declared world would show


class Given(eqx.Module):
    """What is known of one life, step by step.

    `outcome`: a level, `UNSEEN` or `EXPECTED`. `choice`: an index into `layout.choices`, -1 where
    nobody recorded it. `dose`: the share at which each operator of the practices acts (0: it does
    not); `allowed`: which choices the practice in force leaves.
    """

    outcome: Int[Array, "step modality"]
    choice: Int[Array, " step"]
    dose: Float[Array, "step operator"]
    allowed: Bool[Array, "step choice"]


class Course(eqx.Module):
    """What was believed, unheld, over hidden joint states, and how choices were weighed.

    `before`: expected before the step's outcome. `after`: once it was seen. `log_p`: log
    probability of each choice, from the held belief; `scored`: of the one made (0 where nobody
    recorded it).
    """

    before: Float[Array, "step joint"]
    after: Float[Array, "step joint"]
    log_p: Float[Array, "step choice"]
    scored: Float[Array, " step"]


def course(
    agent: Agent, pomdp: POMDP, program: Program, world: World | None, given: Given
) -> Course:
    """Live through one session as `given`, with `program`'s operators at the doses given.

    `world` says what `EXPECTED` outcomes are: outer ones as its process shows them, inner ones by
    its loop from what the mind, holding, predicts. Without a world they count as unseen. One life;
    `jax.vmap` makes many.

    Raises `InputError` for perception other than `Exact`, and where a choice that nobody recorded
    would leave unknown a factor that actions set.
    """
    if not isinstance(agent.perception, Exact):
        raise InputError("beliefs over joint states are needed: use perception=Exact()", "fit")
    layout = pomdp.layout
    tables = agent.prepare(pomdp)
    belief = agent.init(tables, pomdp, program)
    elsewhere = None if world is None else _Elsewhere(world, pomdp)
    # Levels need a choice each where choices set factors; elsewhere shares serve as well.
    n_choices = len(layout.choices)

    def step(carry: tuple[Any, Any], x: Given) -> tuple[tuple[Any, Any], Course]:
        belief, state = carry
        now = Instruction(program.operators, x.dose, x.allowed, program.gates)
        shown: tuple[Array, ...] = ()
        if elsewhere is not None:
            state, shown = elsewhere.show(state, agent.predict(tables, belief, now))
        outcome = _shares(pomdp, x.outcome, shown)
        choice = x.choice
        if not layout.known:
            choice = jax.nn.one_hot(x.choice, n_choices, dtype=belief.state.dtype)
        before = belief.state
        belief, decision = agent.step(tables, belief, outcome, now, choice=choice)
        if elsewhere is not None:
            state = elsewhere.change(state, decision.choice)
        log_p = decision.plan.log_p
        return (belief, state), Course(before, belief.posterior, log_p, decision.log_p)

    start = None if elsewhere is None else elsewhere.begin()
    _, found = jax.lax.scan(step, (belief, start), given)
    return found


def _shares(
    pomdp: POMDP, outcome: Int[Array, " modality"], shown: tuple[Array, ...]
) -> tuple[Float[Array, " outcome"], ...]:
    """Each outcome as shares of its levels: one, none, or as the world would show it."""
    found = []
    for m, modality in enumerate(pomdp.layout.modalities):
        share = jax.nn.one_hot(outcome[m], len(modality.levels), dtype=pomdp.D[0].dtype)
        if shown:
            share = jnp.where(outcome[m] == EXPECTED, shown[m], share)
        found.append(share)
    return tuple(found)


class _Elsewhere:
    """What a world is expected to show, its own state averaged out."""

    def __init__(self, world: World, pomdp: POMDP):
        world.prepare(pomdp.layout)  # checks that the world speaks the mind's language
        if pomdp.layout.known:
            names = ", ".join(pomdp.layout.factors[f].name for f in pomdp.layout.known)
            raise InputError(f"what the world shows depends on {names}, which actions set", "fit")
        self.world, self.see = world, Exact()
        self.tables = self.see.prepare(world.process)
        self.layout = world.process.layout

    def begin(self) -> tuple[Array, tuple[Array, ...]]:
        true = self.see.begin(self.tables, self.world.process.D)
        process = self._process(true)
        return true, tuple(self._load(m, process) for m in self._inner())

    def show(
        self, state: tuple[Array, tuple[Array, ...]], predicted: tuple[Array, ...]
    ) -> tuple[tuple[Array, tuple[Array, ...]], tuple[Array, ...]]:
        """The expected outcome of each modality, and the state with the inner loop moved on."""
        true, inner = state
        shown = self._process(true)
        follow = self.world.inner.follow
        inner = tuple(
            follow(x, p, self._load(m, shown))
            for m, x, p in zip(self._inner(), inner, predicted, strict=True)
        )
        for m, x in zip(self._inner(), inner, strict=True):
            shown[m] = x
        return (true, inner), tuple(shown)

    def change(self, state: tuple[Array, Any], choice: Array) -> tuple[Array, Any]:
        ahead = self.see.forecast(self.tables, state[0], 0)
        return self.see.advance(self.tables, state[0], ahead, choice), state[1]

    def _inner(self) -> list[int]:
        return [m for m, x in enumerate(self.layout.modalities) if x.inner]

    def _process(self, true: Array) -> list[Array]:
        found = []
        for m, modality in enumerate(self.layout.modalities):
            p = self.see.read(self.tables, true, modality.parents)
            found.append(jnp.tensordot(by_context(self.world.process, m)[0], p, axes=p.ndim))
        return found

    def _load(self, m: int, process: list[Array]) -> Array:
        return self.world.inner.load.get(self.layout.modalities[m].name, process[m])

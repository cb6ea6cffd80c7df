"""The course of one life's beliefs, given what is known of what happened in it.

The step is `Agent.step`, which simulates too (MODEL.md, "Likelihood of data"). What nobody
recorded enters by its expectation: the *exposure drive*, an approximation whose error a test
measures against Monte Carlo.
"""

from __future__ import annotations

from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attach_ai.agent import Agent, Field, Habit
from attach_ai.agent.exact import Exact
from attach_ai.agent.hold import Instruction, Program
from attach_ai.agent.planning import log_habit
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP


class Given(eqx.Module):
    """What is known of one life, step by step.

    `shares`: of each modality the share of each level: one where it was recorded, expected ones
    where it was not, zeros where the person saw nothing. The inner modalities `loop` are fed by
    the mind itself at steps where `fed` is 1, and their shares are then what comes from elsewhere,
    e_m; `gain`, `rate`: of that loop. `choice`: the probability of each choice, one where it was
    recorded, all zeros where it was not. `dose`: the share at which each operator acts; `allowed`:
    which choices the practice in force leaves.
    """

    shares: tuple[Float[Array, "step outcome"], ...]
    fed: Float[Array, " step"]
    gain: Float[Array, ""]
    rate: Float[Array, ""]
    choice: Float[Array, "step choice"]
    dose: Float[Array, "step operator"]
    allowed: Bool[Array, "step choice"]
    loop: tuple[int, ...] = eqx.field(static=True, default=())


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


def inner_modalities(pomdp: POMDP) -> list[int]:
    """Indices of the modalities that a mind may feed itself."""
    return [m for m, x in enumerate(pomdp.layout.modalities) if x.inner]


def course(agent: Agent, pomdp: POMDP, program: Program, given: Given) -> Course:
    """Live through one session as `given`, with `program`'s operators at the doses given.

    One life; `jax.vmap` makes many. Raises `InputError` for perception other than `Exact`.
    """
    if not isinstance(agent.perception, Exact):
        raise InputError("beliefs over joint states are needed: use perception=Exact()", "fit")
    if acts_by_habit(agent, pomdp, program):
        return by_habit(pomdp, program, given)
    return by_step(agent, pomdp, program, given)


def by_step(agent: Agent, pomdp: POMDP, program: Program, given: Given) -> Course:
    """Step by step, for any mind."""
    tables = agent.prepare(pomdp)
    inner = [m for m, x in enumerate(pomdp.layout.modalities) if x.inner]
    fed_by = [(i, m) for i, m in enumerate(inner) if m in given.loop]
    known = bool(pomdp.layout.known)

    def step(carry: tuple[Any, tuple[Array, ...]], x: Given) -> tuple[Any, Course]:
        belief, felt = carry
        now = Instruction(program.operators, x.dose, x.allowed, program.gates)
        shares = list(x.shares)
        if fed_by:
            predicted = agent.predict(tables, belief, now)
            felt = tuple(
                (1 - x.rate) * f + x.rate * (x.gain * predicted[i] + (1 - x.gain) * shares[m])
                for f, (i, m) in zip(felt, fed_by, strict=True)
            )
        for f, (_, m) in zip(felt, fed_by, strict=True):
            shares[m] = jnp.where(x.fed > 0, f, shares[m])
        # Where choices set factors each must have been recorded; its index says which.
        choice = jnp.argmax(x.choice).astype(jnp.int32) if known else x.choice
        before = agent.perception.expect(tables.perception, belief.state)
        belief, decision = agent.step(tables, belief, tuple(shares), now, choice=choice)
        log_p = decision.plan.log_p
        return (belief, felt), Course(before, belief.posterior, log_p, decision.log_p)

    start = agent.init(tables, pomdp, program), tuple(given.shares[m][0] for _, m in fed_by)
    return jax.lax.scan(step, start, _steps(given))[1]


def acts_by_habit(agent: Agent, pomdp: POMDP, program: Program) -> bool:
    """Whether nothing but outcomes moves beliefs, and nothing but fields is held."""
    layout = pomdp.layout
    return (
        isinstance(agent.planning, Habit)
        and agent.affect is None
        and not layout.known
        and not any(layout.factors[f].actions for f in layout.hidden)
        and all(isinstance(o, Field) for o in program.operators)
    )


def by_habit(pomdp: POMDP, program: Program, given: Given) -> Course:
    """The same numbers where choices move nothing, several times faster.

    Log likelihoods of what is known are made for all steps at once. The inner loop is linear in
    what is felt, so its log likelihood y_t(s) = sum_o x_t(o) ln A(o|s) follows the recursion of x,
    with M = A' ln A in place of A: y_t = (1 - rate) y_{t-1} + rate [gain M' p~_t + (1 - gain) e_t].
    """
    layout = pomdp.layout
    tables = Exact("dense").prepare(pomdp)
    assert tables.transition is not None
    transition = tables.transition[0, 0]
    start = Exact().begin(tables, pomdp.D)
    # What is impossible stays next to impossible, and every logarithm finite.
    least = jnp.finfo(start.dtype).tiny ** 0.5
    A = [a[0] for a in tables.likelihood]  # (outcome, *hidden shape, 1 where it does not read)
    log_A = [jnp.log(jnp.maximum(a, least)) for a in A]
    n_steps, joint = given.fed.shape[0], (layout.n_hidden,)
    outer = _said([m for m in range(len(A)) if m not in given.loop], given, log_A, layout.shape)
    outer = outer.reshape(n_steps, *joint)
    # Of the loop only what its modalities read between them is looked at.
    read = tuple(
        max(A[m].shape[1 + i] for m in given.loop) if given.loop else 1
        for i in range(len(layout.shape))
    )
    unread = tuple(i for i, n in enumerate(read) if n == 1)
    elsewhere = _said(list(given.loop), given, log_A, read)
    flat = (
        [jnp.broadcast_to(a, (a.shape[0], *read)).reshape(a.shape[0], -1) for a in A]
        if given.loop
        else []
    )
    loop = sum(
        (flat[m].T @ jnp.log(jnp.maximum(flat[m], least)) for m in given.loop),
        jnp.zeros((prod(read), prod(read)), start.dtype),
    )
    fields = [(_at(layout, o), o.strength) for o in program.operators if isinstance(o, Field)]

    def step(
        carry: tuple[Array, Array], x: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        before, felt = carry
        log, own, fed, dose = x
        if given.loop:
            held = before
            for i, (at, strength) in enumerate(fields):
                held = jnp.where(at, held * jnp.exp(strength * dose[i]), held)
            held = held.reshape(layout.shape).sum(unread).reshape(-1)
            predicted = ((held @ loop) / held.sum()).reshape(read)
            felt = (1 - given.rate) * felt + given.rate * (
                given.gain * predicted + (1 - given.gain) * own
            )
            inner = jnp.broadcast_to(jnp.where(fed > 0, felt, own), layout.shape)
            log = log + inner.reshape(joint)
        weighed = before * jnp.exp(log)
        evidence = weighed.sum()
        after = jnp.where(evidence > 0, weighed / jnp.where(evidence > 0, evidence, 1.0), before)
        return (transition @ after, felt), (before, after)

    steps = (outer, elsewhere, given.fed, given.dose)
    _, (before, after) = jax.lax.scan(step, (start, elsewhere[0]), steps)
    log_p = jax.nn.log_softmax(jnp.where(given.allowed, log_habit(pomdp), -jnp.inf))
    scored = jnp.sum(given.choice * jnp.where(given.choice > 0, log_p, 0.0), axis=-1)
    return Course(before, after, log_p, scored)


def _said(
    modalities: list[int], given: Given, log_A: list[Array], shape: tuple[int, ...]
) -> Float[Array, "step *state"]:
    """Log likelihood of what is given of some modalities, all steps at once."""
    total = jnp.zeros((given.fed.shape[0], *shape), given.fed.dtype)
    for m in modalities:
        total = total + jnp.tensordot(given.shares[m], log_A[m], axes=1)
    return total


def _at(layout: Layout, field: Field) -> np.ndarray:
    """Which hidden joint states lie in the level that a field holds."""
    factor, level = layout.level(f"{field.factor}.{field.level}")
    return np.indices(layout.shape)[layout.hidden.index(factor)].reshape(-1) == level


def _steps(given: Given) -> Given:
    """What differs from step to step, to be scanned over."""
    n = given.fed.shape[0]
    every = (jnp.broadcast_to(given.gain, (n,)), jnp.broadcast_to(given.rate, (n,)))
    return eqx.tree_at(lambda g: (g.gain, g.rate), given, every)

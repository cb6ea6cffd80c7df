"""Two models of one life: what it was worth as evidence for either."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from attach_ai.agent.agent import Agent
from attach_ai.agent.hold import Program
from attach_ai.errors import InputError
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation.rollout import Observed, Record, condition
from attach_ai.simulation.schedule import Days


def evidence(record: Record) -> Float[Array, "*mind session"]:
    """Log evidence of a mind's model by session, in nats: minus the sum of vfe over its steps.

    Exactly ln p(outcomes | choices, past) under `Exact`, and what variational free energy puts in
    its place under `MeanField`. Steps at which a `Precision` or a `Condition` acts are no
    evidence in this sense.
    """
    return -record.decision.evidence.vfe.sum(-1)


@eqx.filter_jit
def compare(
    agent: Agent, m0: POMDP, m1: POMDP, observed: Observed, program: Program, days: Days
) -> Float[Array, " session"]:
    """Cumulative log Bayes factor of `m1` against `m0` after each session, in nats.

    Both live through the same outcomes and choices (which are given and not scored), each learning
    what `agent` learns. An outcome that only one of the models makes impossible settles it (inf or
    -inf); one that both do leaves it undefined (nan). `agent.structure.keep` says what follows.

    Raises `InputError` for models with other factors, modalities or actions.
    """
    for what in ("factors", "modalities", "actions"):
        one, other = ([(x.name, x.levels) for x in getattr(m.layout, what)] for m in (m0, m1))
        if one != other:
            raise InputError(f"the two models have other {what}", "compare")
    first, second = (evidence(condition(agent, m, observed, program, days)) for m in (m0, m1))
    return jnp.cumsum(second - first)

"""How surprising each kind of outcome was, and how surprising it was expected to be."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attach_ai.agent.agent import Agent
from attach_ai.agent.perception import entropy
from attach_ai.agent.slicing import by_context, select
from attach_ai.model.pomdp import POMDP


class Surprise(eqx.Module):
    """By modality, in nats.

    `found` is -ln p(o_m | past), `expected` the entropy of that prediction: what a mind would find
    on average if it were right. Their difference is the *signed conditional surprise*: its mean is
    zero for a mind in the very world it believes in, above zero for one that was too sure of
    something else, below zero for one that was too unsure.
    """

    found: Float[Array, "session step modality"]
    expected: Float[Array, "session step modality"]

    @property
    def signed(self) -> Float[Array, "session step modality"]:
        """Found less expected."""
        return self.found - self.expected


def surprise(
    agent: Agent,
    pomdp: POMDP,
    outcome: Int[Array, "session step modality"],
    choice: Int[Array, "session step"],
) -> Surprise:
    """Go through a life again, holding and learning nothing; every session starts from D.

    Outcomes and choices are level indices as in `Record`. An outcome that was not seen (-1) has
    zero in both parts. Each modality is predicted from the past alone, not from the others of its
    step: the parts of one step do not add up to the joint surprise.
    """
    see, layout = agent.perception, pomdp.layout
    tables = see.prepare(pomdp)
    likelihood = [by_context(pomdp, m) for m in range(len(layout.modalities))]
    hidden = [tuple(p for p in m.parents if p in layout.hidden) for m in layout.modalities]

    def step(carry: tuple[Any, Array], x: tuple[Array, Array]) -> tuple[Any, Any]:
        (state, context), (seen, chosen) = carry, x
        expected = see.expect(tables, state)
        found, entropies = [], []
        for m, (a, parents) in enumerate(zip(likelihood, hidden, strict=True)):
            states = see.read(tables, expected, parents)
            here = a[0] if a.shape[0] == 1 else select(a, context)
            p = jnp.tensordot(here, states, axes=states.ndim)
            there = seen[m] >= 0
            found.append(jnp.where(there, -jnp.log(p[jnp.maximum(seen[m], 0)]), 0.0))
            entropies.append(jnp.where(there, entropy(p), 0.0))
        state, posterior, _ = see.update(tables, state, context, seen)
        ahead = see.forecast(tables, posterior, context)
        after = select(jnp.asarray(layout.context_after, jnp.int32), chosen)
        state = see.advance(tables, state, ahead, chosen)
        return (state, after), Surprise(jnp.stack(found), jnp.stack(entropies))

    def session(seen: Array, chosen: Array) -> Surprise:
        start = (see.begin(tables, pomdp.D), jnp.asarray(layout.first_context, jnp.int32))
        said: Surprise = jax.lax.scan(step, start, (seen, chosen))[1]
        return said

    return jax.vmap(session)(outcome, choice)

"""What a choice would let be seen, worked out once for each context."""

from __future__ import annotations

from math import prod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.agent.perception import entropy
from attach_ai.errors import InputError
from attach_ai.model.pomdp import POMDP

# Above this many (joint outcome, state) pairs the joint information gain is refused.
JOINT_LIMIT = 2**21
# Up to this many pairs one matrix is used, above it a contraction modality by modality.
DENSE_JOINT = 4096


class Prospect(eqx.Module):
    """What one choice would let be seen: outcomes as a function of the factors they read.

    `modalities[i]`: (outcome, *own reads); `joint`: (joint outcome, state) or None when too large;
    `value`, `ambiguity`: (state,), expected log preference and expected outcome entropy;
    `noise`: entropy of outcomes that depend on nothing here. `novelty`: (state,), expected gain
    about learned A (None unless it is sought).
    """

    modalities: tuple[Float[Array, "..."], ...]
    joint: Float[Array, "outcome state"] | None
    value: Float[Array, " state"]
    ambiguity: Float[Array, " state"]
    noise: Float[Array, ""]
    novelty: Float[Array, " state"] | None
    reads: tuple[int, ...] = eqx.field(static=True)
    own_reads: tuple[tuple[int, ...], ...] = eqx.field(static=True)


def prospect_of(
    pomdp: POMDP,
    context: int,
    log_C: list[Array],
    joint: bool,
    gains: dict[str, Array] | None,
) -> Prospect:
    """The prospect of choices that lead to `context`.

    `log_C`: log preference by modality; `joint`: whether joint outcomes are wanted; `gains`:
    `column_gain` of learned tables by name, where novelty is sought.
    """
    layout = pomdp.layout
    levels = layout.contexts[context]
    every = [layout.reads(m, context) for m in range(len(layout.modalities))]
    reads = tuple(f for f in layout.hidden if any(f in r for r in every))
    shape = tuple(len(layout.factors[f].levels) for f in reads)
    dtype = pomdp.A[0].dtype
    value, ambiguity = jnp.zeros(shape or (1,), dtype), jnp.zeros(shape or (1,), dtype)
    noise, table = jnp.zeros((), dtype), jnp.ones((), dtype)
    novelty = None if gains is None else jnp.zeros(shape or (1,), dtype)
    informative, own_reads = [], []
    for m, modality in enumerate(layout.modalities):
        index = tuple(
            levels[layout.known.index(p)]
            if p in layout.known
            else (slice(None) if p in every[m] else 0)
            for p in modality.parents
        )
        possible = np.array(layout.outcomes(m, context))
        a = pomdp.A[m][(slice(None), *index)][possible]
        own = tuple(p for p in modality.parents if p in every[m])
        # Parents stand in the order of factors, as do `reads`: a reshape is enough to broadcast.
        spread = tuple(len(layout.factors[f].levels) if f in own else 1 for f in reads) or (1,)
        value = value + jnp.tensordot(log_C[m][possible], a, axes=1).reshape(spread)
        uncertain = entropy(a)
        ambiguity = ambiguity + uncertain.reshape(spread)
        if gains is not None and novelty is not None and f"A.{modality.name}" in gains:
            gain = gains[f"A.{modality.name}"][(0, *index)]
            novelty = novelty + gain.reshape(spread)
        if own:
            informative.append(a)
            own_reads.append(own)
        else:
            noise = noise + uncertain
    n_outcomes, n_states = prod(a.shape[0] for a in informative), prod(shape)
    if joint and n_outcomes * n_states > JOINT_LIMIT:
        raise InputError(
            f"joint information gain needs {n_outcomes} joint outcomes x {n_states} states, more "
            f"than {JOINT_LIMIT}; use ExpectedFreeEnergy(information='per_modality')",
            "planning",
        )
    dense = joint and n_outcomes * n_states <= DENSE_JOINT
    for i, (a, own) in enumerate(zip(informative, own_reads, strict=True)):
        ones = [1] * len(informative)
        ones[i] = a.shape[0]
        spread = tuple(len(layout.factors[f].levels) if f in own else 1 for f in reads)
        table = table * a.reshape(*ones, *spread) if dense else table
    full = (*(a.shape[0] for a in informative), *shape)
    return Prospect(
        modalities=tuple(informative),
        joint=jnp.broadcast_to(table, full).reshape(n_outcomes, n_states) if dense else None,
        value=value.reshape(-1),
        ambiguity=ambiguity.reshape(-1),
        noise=noise,
        novelty=None if novelty is None else novelty.reshape(-1),
        reads=reads,
        own_reads=tuple(own_reads),
    )


def joint_outcomes(prospect: Prospect, states: Float[Array, "..."]) -> Float[Array, "..."]:
    """Joint distribution of outcomes, modality by modality."""
    names = {f: chr(ord("a") + i) for i, f in enumerate(prospect.reads)}
    outs = [chr(ord("A") + i) for i in range(len(prospect.modalities))]
    terms = [
        o + "".join(names[f] for f in own) for o, own in zip(outs, prospect.own_reads, strict=True)
    ]
    spec = ",".join(["".join(names.values()), *terms]) + "->" + "".join(outs)
    return jnp.einsum(spec, states, *prospect.modalities)

"""On what scale a study's readings are counted, and which parameters they follow."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attach_ai.fit.study.pomdp import POMDPStudy

NARROW = 0.05  # a reading that moves less than this under the prior is not blown up to one
PRIOR_DRAWS = 64  # populations from which the centre and width of readings are taken
FLAT = 0.1  # logits per log-odds; a parameter that moves a scale less shares no axis with it


def standard(study: POMDPStudy) -> tuple[Any, Any, np.ndarray]:
    """Mean and standard deviation of each reading over people, occasions and prior draws.

    And how steeply it follows each parameter that differs between people: a regression of what is
    read of them, in these standard deviations, on their distance (log-odds) from the mean.
    """
    at = study.people.rest.at[..., None]
    n_own = len(study.coords["individual"])

    def one(key: Any) -> tuple[Any, ...]:
        sites, effects = study.draw_prior(key)
        raw = study.raw_readings(sites, effects, study.people.rest)[0]
        seen = at >= 0
        raw = jnp.where(seen, raw, 0.0)
        count = seen.astype(raw.dtype)
        own = effects[:, :n_own] * sites["spread"][None] if n_own else effects[:, :0]
        each = raw.sum((1, 2)) / jnp.maximum(count.sum((1, 2)), 1.0)
        each = each - each.mean(0, keepdims=True)
        moments = raw.sum((0, 1, 2)), (raw**2).sum((0, 1, 2)), count.sum((0, 1, 2))
        return *moments, own.T @ own, own.T @ each

    keys = jax.random.split(jax.random.key(0), PRIOR_DRAWS)
    total, squares, count, among, onto = (
        x.sum(0) for x in eqx.filter_jit(lambda k: jax.lax.map(one, k))(keys)
    )
    mean = total / count
    width = jnp.maximum(jnp.sqrt(jnp.maximum(squares / count - mean**2, 0.0)), NARROW)
    slopes = np.linalg.lstsq(np.asarray(among), np.asarray(onto), rcond=None)[0]
    return mean, width, slopes / np.asarray(width)


def planes(
    study: POMDPStudy, slopes: Float[np.ndarray, "individual reading"]
) -> tuple[tuple[int, int, float], ...]:
    """Which scale goes with which parameter: steepest first, neither of them twice."""
    reads = {q.scale: q.reading for q in study.questions if q.reading is not None}
    found: list[tuple[int, int, float]] = []
    pairs = [(abs(slopes[p, r]), k, p) for k, r in reads.items() for p in range(len(slopes))]
    for steep, k, p in sorted(pairs, reverse=True):
        if steep > FLAT and k not in (x[0] for x in found) and p not in (x[1] for x in found):
            found.append((k, p, float(slopes[p, reads[k]])))
    return tuple(found)

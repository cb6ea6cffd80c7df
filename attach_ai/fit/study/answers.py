"""What a person answers, given how strongly an item is drawn out of them (eta).

Three response models. *Graded* (Samejima 1969, Psychometrika Monograph 17): each boundary between
two options has a cutpoint of its own, P(y >= k) = sigmoid(eta - c_k). *Rating scale* (Andrich 1978,
Psychometrika 43, in its cumulative form: Muraki 1990): the items of a set share the gaps between
their cutpoints. *Continuous*: a normal density, for visual-analogue items.

Everything is in logits (or, of continuous items, in the item's own units) and keeps its last axis
for items. Values and gradients are finite and right in single precision to |eta - c| = 50 and far
beyond, because with u = eta - c_y and l = eta - c_{y+1}, the logits either side of an answer,

    ln [sigmoid(u) - sigmoid(l)] = ln sigmoid(u) + ln sigmoid(-l) + ln (1 - exp(l - u)),

where l - u is a gap between cutpoints, which eta does not enter.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

BEYOND = 1e6  # logits; stands for infinity, with derivatives that are zero instead of NaN
LEAST_GAP = 1e-6  # logits between two cutpoints; less cannot be told from none


def graded(
    y: Int[Array, "*n item"], eta: Float[Array, "*n item"], cuts: Float[Array, "*m item cut"]
) -> Float[Array, "*n item"]:
    """Log probability of each answer 0..K-1, in nats; 0 where it is missing (-1).

    `cuts`: K-1 ascending cutpoints of each item, +inf where an item has fewer options than others;
    leading axes, if any, are the last ones of `eta` before the items (cutpoints of a wave, say).
    """
    low, high = _bounds(cuts, eta.ndim)
    at = y[..., None] == _lead(jnp.arange(low.shape[-1], dtype=y.dtype), eta.ndim + 1)
    within = _log1mexp(jnp.maximum(high - low, LEAST_GAP))
    below, above = eta - _pick(at, low), eta - _pick(at, high)
    return jnp.where(y < 0, 0.0, _between(below, above) + _pick(at, within))


def graded_draw(
    uniform: Float[Array, "*n item"],
    eta: Float[Array, "*n item"],
    cuts: Float[Array, "*m item cut"],
) -> Int[Array, "*n item"]:
    """An answer 0..K-1 for each number uniform on [0, 1), by the inverse of the distribution.

    A person who is drawn higher answers no lower with the same number.
    """
    return jnp.sum(uniform[..., None] < reached(eta, cuts), axis=-1, dtype=jnp.int32)


def reached(
    eta: Float[Array, "*n item"], cuts: Float[Array, "*m item cut"]
) -> Float[Array, "*n item cut"]:
    """P(y >= k) for k = 1..K-1; 0 where an item has no such option. Their sum is the mean of y."""
    return jax.nn.sigmoid(eta[..., None] - _lead(_finite(cuts), eta.ndim + 1))


def probabilities(
    eta: Float[Array, "*n item"], cuts: Float[Array, "*m item cut"]
) -> Float[Array, "*n item option"]:
    """P(y = k) for k = 0..K-1; 0 where an item has no such option."""
    low, high = _bounds(cuts, eta.ndim)
    low, high = (jnp.broadcast_to(x, (*eta.shape, x.shape[-1])) for x in (low, high))
    within = _log1mexp(jnp.maximum(high - low, LEAST_GAP))
    below, above = eta[..., None] - low, eta[..., None] - high
    p = jnp.exp(_between(below, above) + within)
    return jnp.where(low < BEYOND, p, 0.0)


def information(
    eta: Float[Array, "*n item"], cuts: Float[Array, "*m item cut"]
) -> Float[Array, "*n item"]:
    """Fisher information of an answer about eta, E[(d ln p / d eta)^2].

    From sigmoid'(x) = sigmoid(x) (1 - sigmoid(x)) the score of an answer is
    1 - P(y >= k) - P(y >= k + 1), with P(y >= 0) = 1 and P(y >= K) = 0.
    """
    above = reached(eta, cuts)
    ends = [(0, 0)] * eta.ndim
    at_least = jnp.pad(above, [*ends, (1, 0)], constant_values=1.0)
    more = jnp.pad(above, [*ends, (0, 1)])
    return jnp.sum(probabilities(eta, cuts) * (1 - at_least - more) ** 2, axis=-1)


def continuous(
    value: Float[Array, "*n item"],
    eta: Float[Array, "*n item"],
    intercept: Float[Array, "*m item"],
    noise: Float[Array, "*m item"],
) -> Float[Array, "*n item"]:
    """Log density of value ~ Normal(intercept + eta, noise); 0 where it is missing (NaN)."""
    missing = jnp.isnan(value)
    noise = _lead(noise, eta.ndim)
    z = (jnp.where(missing, 0.0, value) - eta - _lead(intercept, eta.ndim)) / noise
    log_p = -0.5 * z**2 - jnp.log(noise) - 0.5 * np.log(2 * np.pi).item()
    return jnp.where(missing, 0.0, log_p)


def continuous_draw(
    normal: Float[Array, "*n item"],
    eta: Float[Array, "*n item"],
    intercept: Float[Array, "*m item"],
    noise: Float[Array, "*m item"],
) -> Float[Array, "*n item"]:
    """A value for each standard normal number."""
    return eta + _lead(intercept, eta.ndim) + _lead(noise, eta.ndim) * normal


def cutpoints(
    first: Float[Array, "*n item"],
    log_gaps: Float[Array, "*n item gap"],
    n_levels: Sequence[int] | None = None,
) -> Float[Array, "*n item cut"]:
    """Ascending cutpoints from free numbers: the first, and logarithms of the K-2 gaps after it.

    `n_levels`: how many options each item has, where they differ; what lies beyond is +inf and
    has no derivative, so that the gaps there are left to their prior.
    """
    cuts = jnp.concatenate([first[..., None], jnp.exp(log_gaps)], axis=-1).cumsum(-1)
    return _only(cuts, n_levels)


def shared_cutpoints(
    location: Float[Array, "*n item"],
    log_gaps: Float[Array, "*n gap"],
    n_levels: Sequence[int] | None = None,
) -> Float[Array, "*n item cut"]:
    """Cutpoints of a rating scale: the same gaps for all items, each item at a place of its own.

    `location` is the mean of an item's cutpoints (of all K-1, the lastmost included).
    """
    steps = jnp.pad(jnp.exp(log_gaps).cumsum(-1), [(0, 0)] * (log_gaps.ndim - 1) + [(1, 0)])
    steps = steps - steps.mean(-1, keepdims=True)
    return _only(location[..., None] + steps[..., None, :], n_levels)


def _only(cuts: Array, n_levels: Sequence[int] | None) -> Array:
    """+inf where an item has no such option."""
    if n_levels is None:
        return cuts
    real = np.arange(1, cuts.shape[-1] + 1) < np.asarray(n_levels)[:, None]
    return jnp.where(_lead(jnp.asarray(real), cuts.ndim), cuts, jnp.inf)


def _bounds(cuts: Array, ndim: int) -> tuple[Array, Array]:
    """Cutpoint below and above each option: (..., item, option), broadcasting against answers."""
    cuts = _lead(_finite(cuts), ndim + 1)
    ends = [(0, 0)] * ndim
    low = jnp.pad(cuts, [*ends, (1, 0)], constant_values=-BEYOND)
    return low, jnp.pad(cuts, [*ends, (0, 1)], constant_values=BEYOND)


def _finite(cuts: Array) -> Array:
    return jnp.where(cuts < BEYOND, cuts, BEYOND)


def _lead(x: Array, ndim: int) -> Array:
    """With leading axes of length one, so that it has `ndim` axes."""
    return x.reshape((1,) * (ndim - x.ndim) + x.shape)


def _pick(at: Array, table: Array) -> Array:
    """The entry of each answer; a masked sum, because gathers are slow on CPU. 0 where missing."""
    return jnp.sum(jnp.where(at, table, 0.0), axis=-1)


def _between(below: Array, above: Array) -> Array:
    """ln sigmoid(below) + ln sigmoid(-above), with one logarithm for both."""
    a, b = jnp.exp(-jnp.abs(below)), jnp.exp(-jnp.abs(above))
    return jnp.minimum(below, 0.0) + jnp.minimum(-above, 0.0) - jnp.log1p(a + b + a * b)


def _log1mexp(gap: Array) -> Array:
    """ln(1 - exp(-gap)) for a gap above zero, accurate for small ones too."""
    small = gap < 0.7
    near, far = jnp.where(small, gap, 0.5), jnp.where(small, 1.0, gap)
    return jnp.where(small, jnp.log(-jnp.expm1(-near)), jnp.log1p(-jnp.exp(-far)))

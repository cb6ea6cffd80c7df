"""The smallest study there is: a straight line per person, read by graded answers.

theta = mean[level] + mean[trend] * t + spread * effect, t from 0 to 1 over the occasions; item j
answers past level k with log odds theta - cut_first[j] - k. Without effects only the two means are
unknown, so that a grid finds the posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from attach_ai.fit.study.abstract import AbstractStudy, People, Prior, Sites

PARAMETERS = ("level", "trend")
NOISE = 0.5  # of a continuous item


class ToyStudy(AbstractStudy):
    """Ordinal items of `n_levels` levels, then `n_continuous` ones that show theta with noise."""

    people: People
    priors: Mapping[str, Prior] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Mapping[str, tuple[Any, ...]] = eqx.field(static=True)
    n_levels: int = eqx.field(static=True)

    def theta(
        self, sites: Sites, effects: Float[Array, "subject effect"], n_occasions: int
    ) -> Float[Array, "subject occasion"]:
        t = jnp.linspace(0.0, 1.0, n_occasions)
        line = sites["mean"][0] + sites["mean"][1] * t
        own = jnp.zeros(effects.shape[:1])
        if self.effects:
            own = sites["spread"][0] * effects[:, 0]
        return own[:, None] + line[None, :]

    def _cuts(self, sites: Sites) -> Float[Array, "item cut"]:
        n_items = len(self.coords["item"])
        first = sites["cut_first"] if "cut_first" in sites else jnp.full(n_items, -1.0)
        return first[:, None] + jnp.arange(self.n_levels - 1.0)[None, :]

    def by_answer(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion item"]:
        theta = self.theta(sites, effects, people.answer.shape[2])[:, None, :, None]
        past = theta[..., None] - self._cuts(sites)[None, None, None]  # log odds of y > k
        sure = jnp.full_like(past[..., :1], 40.0)
        over = jnp.concatenate([sure, past, -sure], -1)
        y = jnp.maximum(people.answer, 0)[..., None]
        upper = jnp.take_along_axis(over, y, -1)[..., 0]
        lower = jnp.take_along_axis(over, y + 1, -1)[..., 0]
        ordinal = (
            jax.nn.log_sigmoid(upper)
            + jax.nn.log_sigmoid(-lower)
            + jnp.log(-jnp.expm1(lower - upper))
        )
        shown = ~jnp.isnan(people.measure)
        value = jnp.where(shown, people.measure, 0.0)
        density = dist.Normal(theta, NOISE).log_prob(value)
        return jnp.where(people.answer >= 0, ordinal, 0.0) + jnp.where(shown, density, 0.0)

    def log_likelihood(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, " subject"]:
        return self.by_answer(sites, effects, people).sum((1, 2, 3))

    def draw(
        self, key: Array, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> People:
        key, noise = jax.random.split(key)
        theta = self.theta(sites, effects, people.answer.shape[2])[:, None, :, None]
        p_past = jax.nn.sigmoid(theta[..., None] - self._cuts(sites)[None, None, None])
        u = jax.random.uniform(key, people.answer.shape, p_past.dtype)
        answer = (u[..., None] < p_past).sum(-1, dtype=people.answer.dtype)
        value = theta + NOISE * jax.random.normal(noise, people.measure.shape, theta.dtype)
        return eqx.tree_at(
            lambda p: (p.answer, p.measure),
            people,
            (
                jnp.where(people.answer >= 0, answer, -1),
                jnp.where(jnp.isnan(people.measure), jnp.nan, value),
            ),
        )

    def quantities(
        self, sites: Sites, effects: Float[Array, "subject effect"]
    ) -> dict[str, tuple[tuple[str, ...], Array]]:
        found: dict[str, tuple[tuple[str, ...], Array]] = {
            "mean trend": ((), sites["mean"][1]),
        }
        if self.effects:
            own = sites["mean"][0] + sites["spread"][0] * effects[:, 0]
            found["person level"] = (("subject",), own)
        return found


def toy(
    n_subjects: int = 12,
    n_occasions: int = 3,
    n_items: int = 2,
    *,
    n_levels: int = 4,
    n_continuous: int = 0,
    individual: bool = True,
    missing: float = 0.1,
    seed: int = 0,
) -> ToyStudy:
    """A study of people who rise from about 0 to 1; some answers are missing.

    `individual=False` leaves no effects and fixed cutpoints: two unknown means.
    """
    people = empty(n_subjects, n_occasions, n_items, n_continuous)
    everything = n_items + n_continuous
    priors = {
        "mean": Prior(dist.Normal(jnp.zeros(2), jnp.ones(2)), ("parameter",), "standard"),
    }
    if individual:
        priors["spread"] = Prior(dist.HalfNormal(jnp.ones(1)), ("individual",), "standard")
        priors["cut_first"] = Prior(
            dist.Normal(jnp.full(everything, -1.0), jnp.full(everything, 0.5)), ("item",), "weak"
        )
    coords = {
        "subject": tuple(f"p{i}" for i in range(n_subjects)),
        "episode": ("study",),
        "occasion": tuple(f"w{i + 1}" for i in range(n_occasions)),
        "item": tuple(f"toy.{i + 1}" for i in range(everything)),
        "parameter": PARAMETERS,
        "individual": PARAMETERS[:1],
    }
    effects = ("level",) if individual else ()
    study = ToyStudy(people, priors, effects, coords, n_levels)
    # NumPy draws the answers: it compiles nothing.
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n_subjects, 1)) * (1.0 if individual else 0.0)
    theta = (own + np.linspace(0.0, 1.0, n_occasions))[:, None, :, None]
    cuts = np.arange(n_levels - 1) - 1.0
    past = rng.random(people.answer.shape)[..., None] < 1 / (1 + np.exp(cuts - theta[..., None]))
    value = theta + NOISE * rng.normal(size=people.answer.shape)
    lost = rng.random(people.answer.shape) < missing
    answer = np.where((np.asarray(people.answer) < 0) | lost, -1, past.sum(-1))
    measure = np.where(lost, np.nan, value + 0 * np.asarray(people.measure))
    known = jnp.asarray(answer, jnp.int32), jnp.asarray(measure, people.measure.dtype)
    return eqx.tree_at(lambda s: (s.people.answer, s.people.measure), study, known)


def empty(n_subjects: int, n_occasions: int, n_items: int, n_continuous: int = 0) -> People:
    """People of whom every answer is expected and none is known yet."""
    shape = (n_subjects, 1, n_occasions, n_items + n_continuous)
    ordinal = np.arange(n_items + n_continuous) < n_items
    answer = np.broadcast_to(np.where(ordinal, 0, -1), shape)
    measure = np.broadcast_to(np.where(ordinal, np.nan, 0.0), shape)
    return People(jnp.asarray(answer, jnp.int32), jnp.asarray(measure, jnp.result_type(float)))

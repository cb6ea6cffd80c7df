"""The field's standard analysis: a linear mixed model of scale scores, by arm and period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from attach_ai.fit.comparison.rivals.known import Known
from attach_ai.fit.study.abstract import AbstractStudy, People, Prior, Sites
from attach_ai.fit.study.answers import continuous, continuous_draw


class ScoreModel(AbstractStudy):
    """score_ikt ~ Normal(level_k + F b_k + spread_k z_ik + slope_spread_k z'_ik t, noise_k).

    Scores are shares of their range, 0 to 1; they stand in `people.measure` with scales for items.
    """

    people: People
    priors: Mapping[str, Prior] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Mapping[str, tuple[Any, ...]] = eqx.field(static=True)

    def by_answer(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion item"]:
        mean = self._mean(sites, effects, people)
        return continuous(people.measure, mean, sites["level"], sites["noise"])

    def log_likelihood(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, " subject"]:
        return self.by_answer(sites, effects, people).sum((1, 2, 3))

    def draw(
        self, key: Array, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> People:
        mean = self._mean(sites, effects, people)
        z = jax.random.normal(key, mean.shape, mean.dtype)
        value = continuous_draw(z, mean, sites["level"], sites["noise"])
        measure = jnp.where(jnp.isnan(people.measure), jnp.nan, value)
        return eqx.tree_at(lambda p: p.measure, people, measure)

    def quantities(
        self, sites: Sites, effects: Float[Array, "subject effect"]
    ) -> dict[str, tuple[tuple[str, ...], Array]]:
        return {k: (self.priors[k].dims, x) for k, x in sites.items()}

    def _mean(self, sites: Sites, effects: Array, people: People) -> Array:
        known: Known = people.rest
        n = len(self.coords["scale"])
        level = (effects[:, :n] * sites["spread"][None])[:, None, None]
        slope = (effects[:, n:] * sites["slope_spread"][None])[:, None, None]
        found = level + known.time[..., None] * slope
        if "effect" in sites:
            found = found + jnp.einsum("seoc,kc->seok", known.fixed, sites["effect"])
        return found


def score_priors(n_scales: int, n_columns: int) -> dict[str, Prior]:
    """Weak ones, for scores between 0 and 1."""

    def half(sd: float) -> dist.Distribution:
        return dist.HalfNormal(jnp.full(n_scales, sd))

    priors = {
        "level": Prior(
            dist.Normal(jnp.full(n_scales, 0.5), jnp.full(n_scales, 0.25)),
            ("scale",),
            "of its range",
        ),
        "spread": Prior(half(0.25), ("scale",), "between people, of the range"),
        "slope_spread": Prior(half(0.15), ("scale",), "over the whole study, of the range"),
        "noise": Prior(half(0.25), ("scale",), "from occasion to occasion, of the range"),
    }
    if n_columns:
        shape = (n_scales, n_columns)
        priors["effect"] = Prior(
            dist.Normal(jnp.zeros(shape), jnp.full(shape, 0.15)),
            ("scale", "column"),
            "of the range",
        )
    return priors

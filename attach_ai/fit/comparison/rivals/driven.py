"""Courses that something drives: the last answers and recorded events. Equations: `latent`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from attach_ai.fit.comparison.rivals.known import Known
from attach_ai.fit.comparison.rivals.latent import (
    AbstractLatent,
    Place,
    Priors,
    each,
    half,
    normal,
    over,
)
from attach_ai.fit.study.abstract import People, Prior, Sites


class Autoregression(AbstractLatent):
    """The last score carried over, and events: of the same step, or of those "before" it.

    `items`: which scale each item is of, `top`: its highest level (1 for a continuous one);
    `centre`, `width`: of each scale's scores in the sample. Where nothing came before, a person's
    level counts `start` times, for it has no past score to stand in for it. `interval`: steps
    between neighbouring occasions, on average.
    """

    place: Place
    items: tuple[int, ...] = eqx.field(static=True)
    top: tuple[int, ...] = eqx.field(static=True)
    centre: tuple[float, ...] = eqx.field(static=True)
    width: tuple[float, ...] = eqx.field(static=True)
    interval: float = eqx.field(static=True)
    n_events: int = eqx.field(static=True)
    when: str = eqx.field(static=True, default="same")

    @property
    def sequential(self) -> bool:
        return True

    def priors(self) -> Priors:
        n = len(self.place.scales)
        found = self.place.priors()
        found["carry"] = Prior(
            normal(0.5, 0.5, n), ("scale",), "logits a standard deviation of the last score"
        )
        found["fading"] = Prior(
            half(0.5, n), ("scale",), "of the carry, a usual interval more; weak"
        )
        found["start"] = Prior(
            dist.LogNormal(jnp.zeros(n), jnp.full(n, 0.5)),
            ("scale",),
            "as the level alone, roughly",
        )
        return found | event_priors(n, self.n_events)

    def effects(self) -> tuple[str, ...]:
        return (*self.place.effects(), *(("reactivity",) * (self.n_events > 0)))

    def theta(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion scale"]:
        known: Known = people.rest
        own = over(self.place.own(sites, effects, known))
        last, ago = self._past(people)
        ever = ago > 0
        kept = jnp.exp(-each(sites["fading"]) * jnp.where(ever, ago - 1, 0.0))
        theta = self.place.fixed(sites, known) + jnp.where(
            ever, own + each(sites["carry"]) * kept * last, own * each(sites["start"])
        )
        if self.n_events:
            moved = self._events(known) @ sites["event"].T
            theta = theta + moved * _reactivity(sites, effects, len(self.place.effects()))
        return theta

    def _past(self, people: People) -> tuple[Array, Array]:
        """Last score before each occasion, standardised, and how many intervals ago; 0 if none."""
        known: Known = people.rest
        score, seen = scale_scores(people, self.items, self.top, len(self.place.scales))
        centre, width = (each(jnp.asarray(x, score.dtype)) for x in (self.centre, self.width))
        z = (score - centre) / width
        step = known.at.astype(z.dtype)

        def go(carry: tuple[Array, Array], x: tuple[Array, Array, Array]) -> Any:
            last, when = carry
            z, seen, step = x
            known = when >= 0
            ago = jnp.where(known, jnp.maximum((step[..., None] - when) / self.interval, 1e-3), 0.0)
            after = (jnp.where(seen, z, last), jnp.where(seen, step[..., None], when))
            return after, (jnp.where(known, last, 0.0), ago)

        first = (jnp.zeros_like(z[:, :, 0]), jnp.full_like(z[:, :, 0], -1.0))
        xs = (jnp.moveaxis(z, 2, 0), jnp.moveaxis(seen, 2, 0), jnp.moveaxis(step, 2, 0))
        _, (last, ago) = jax.lax.scan(go, first, xs)
        return jnp.moveaxis(last, 0, 2), jnp.moveaxis(ago, 0, 2)

    def _events(self, known: Known) -> Float[Array, "subject episode occasion event"]:
        at = jnp.maximum(known.at, 0)[..., None]
        if self.when == "before":
            # Mean of the steps from the occasion before on, this one's own left out.
            total = jnp.pad(jnp.cumsum(known.event, axis=2), [(0, 0), (0, 0), (1, 0), (0, 0)])
            start = jnp.pad(at[:, :, :-1], [(0, 0), (0, 0), (1, 0), (0, 0)])
            taken = jnp.take_along_axis(total, at, 2) - jnp.take_along_axis(total, start, 2)
            found = taken / jnp.maximum(at - start, 1).astype(taken.dtype)
        else:
            found = jnp.take_along_axis(known.event, at, axis=2)
        return jnp.where(known.at[..., None] >= 0, found, 0.0)


class EventFilter(AbstractLatent):
    """Events leave a trace that fades: what a filter does, without beliefs."""

    place: Place
    n_events: int = eqx.field(static=True)

    @property
    def sequential(self) -> bool:
        return False

    def priors(self) -> Priors:
        n = len(self.place.scales)
        kept = Prior(normal(0.0, 1.5, n), ("scale",), "logit of what a step leaves of the trace")
        return self.place.priors() | event_priors(n, self.n_events) | {"memory": kept}

    def effects(self) -> tuple[str, ...]:
        return (*self.place.effects(), "reactivity")

    def theta(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion scale"]:
        known: Known = people.rest
        keep = jax.nn.sigmoid(sites["memory"])
        pushed = jnp.moveaxis(known.event @ sites["event"].T, 2, 0)

        def go(trace: Array, push: Array) -> tuple[Array, Array]:
            trace = keep[None, None] * trace + push
            return trace, trace

        _, trace = jax.lax.scan(go, jnp.zeros_like(pushed[0]), pushed)
        at = jnp.maximum(known.at, 0)[..., None]
        found = jnp.take_along_axis(jnp.moveaxis(trace, 0, 2), at, axis=2)
        found = found * _reactivity(sites, effects, len(self.place.effects()))
        own = over(self.place.own(sites, effects, known))
        return self.place.fixed(sites, known) + own + found


def scale_scores(
    people: People, items: tuple[int, ...], top: tuple[int, ...], n_scales: int
) -> tuple[Float[Array, "subject episode occasion scale"], Array]:
    """Mean of the items answered, each a share of its range, and whether any was answered."""
    dtype = people.measure.dtype
    ordinal = people.answer >= 0
    share = jnp.where(
        ordinal,
        people.answer.astype(dtype) / each(jnp.asarray(top, dtype)),
        jnp.nan_to_num(people.measure),
    )
    seen = (ordinal | ~jnp.isnan(people.measure)).astype(dtype)
    onto = jnp.asarray(np.eye(n_scales)[list(items)], dtype)
    count = seen @ onto
    return (share * seen) @ onto / jnp.maximum(count, 1), count > 0


def event_priors(n_scales: int, n_events: int) -> Priors:
    """How events move each scale, and how far people differ in it; none where there are none."""
    if not n_events:
        return {}
    return {
        "event": Prior(normal(0.0, 0.5, n_scales, n_events), ("scale", "event"), "logits; weak"),
        "reactivity": Prior(half(0.5, n_scales), ("scale",), "people differ, relative to the mean"),
    }


def _reactivity(sites: Sites, effects: Array, at: int) -> Array:
    return over(1 + effects[:, at, None] * sites["reactivity"][None])

"""A rival: another latent course behind the very items, slopes, cutpoints and priors of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attach_ai.fit.comparison.rivals.known import Known
from attach_ai.fit.comparison.rivals.latent import AbstractLatent, each
from attach_ai.fit.study import answers
from attach_ai.fit.study.abstract import AbstractStudy, Fixed, People, Prior, Sites, side
from attach_ai.fit.study.pomdp import POMDPStudy

CUTS = ("cut_first", "cut_location", "cut_gap")
MEASURING = ("wording", "discrimination", *CUTS, "intercept", "noise")


class Rival(AbstractStudy):
    """Answers as `POMDPStudy` has them, theta from `latent`: so that only the latent part differs.

    eta = a_j (theta_k + wording w_i [j is reverse-keyed]). Without "discrimination" among the
    priors all items of a scale count alike, as they do in a sum score. `measured`: the study whose
    items these are, without its people.
    """

    people: People
    priors: Mapping[str, Prior] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Mapping[str, tuple[Any, ...]] = eqx.field(static=True)
    latent: AbstractLatent
    measured: POMDPStudy

    def by_answer(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion item"]:
        eta, cuts = self._eta(sites, effects, people), self.measured.cuts(sites, people)
        found = answers.graded(people.answer, eta, cuts)
        if "noise" in sites:
            found = found + answers.continuous(people.measure, eta, *self._continuous(sites))
        return found

    def log_likelihood(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, " subject"]:
        return self.by_answer(sites, effects, people).sum((1, 2, 3))

    def folded(
        self, sites: dict[str, Array], effects: Float[Array, "subject effect"]
    ) -> tuple[dict[str, Array], Float[Array, "subject effect"]]:
        if "wording" not in sites:
            return sites, effects
        signs = side(sites["wording"])
        own = effects.shape[1] - signs.shape[0]  # wording comes last
        folded = jnp.concatenate([effects[:, :own], effects[:, own:] * signs[None]], axis=1)
        return sites | {"wording": jnp.abs(sites["wording"])}, folded

    def draw(
        self, key: Array, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> People:
        cuts = self.measured.cuts(sites, people)
        first, second = jax.random.split(key)
        shape, dtype = people.answer.shape, people.measure.dtype
        uniform = jax.random.uniform(first, shape, dtype)
        noise = jax.random.normal(second, shape, dtype)

        def drawn(people: People) -> People:
            eta = self._eta(sites, effects, people)
            answer = answers.graded_draw(uniform, eta, cuts)
            measure = people.measure
            if "noise" in sites:
                value = answers.continuous_draw(noise, eta, *self._continuous(sites))
                measure = jnp.where(jnp.isnan(measure), jnp.nan, value)
            return replace(people, answer=jnp.where(people.answer < 0, -1, answer), measure=measure)

        if not self.latent.sequential:
            return drawn(people)

        # What comes first moves what follows: one occasion after the other.
        def go(people: People, o: Array) -> tuple[People, None]:
            now = (jnp.arange(shape[2]) == o)[None, None, :, None]
            new = drawn(people)
            return replace(
                people,
                answer=jnp.where(now, new.answer, people.answer),
                measure=jnp.where(now, new.measure, people.measure),
            ), None

        return jax.lax.scan(go, people, jnp.arange(shape[2]))[0]

    def quantities(
        self, sites: Sites, effects: Float[Array, "subject effect"]
    ) -> dict[str, tuple[tuple[str, ...], Array]]:
        skip = (*MEASURING, "cluster")
        own = {k: (self.priors[k].dims, x) for k, x in sites.items() if k not in skip}
        return own | {"slope": (("item",), jnp.exp(self.measured.log_slopes(sites)))}

    def _eta(self, sites: Sites, effects: Array, people: People) -> Array:
        questions, dtype = self.measured.questions, people.measure.dtype
        theta = self.latent.theta(sites, effects, people)
        eta = (
            theta
            @ jax.nn.one_hot(
                jnp.array([q.scale for q in questions]), theta.shape[-1], dtype=dtype
            ).T
        )
        if "wording" in sites:
            names = self.coords["instrument"]
            onto = jnp.array(
                [[q.reverse and q.name.partition(".")[0] == i for q in questions] for i in names]
            )
            own = effects[:, len(self.latent.effects()) :] * sites["wording"][None]
            eta = eta + (own @ onto.astype(dtype))[:, None, None]
        return eta * each(jnp.exp(self.measured.log_slopes(sites)))

    def _continuous(self, sites: Sites) -> tuple[Array, Array]:
        """Intercept and noise of every item; 0 and 1 of ordinal ones."""
        questions = self.measured.questions
        at = jnp.array([j for j, q in enumerate(questions) if q.n_levels is None])
        n, dtype = len(questions), sites["noise"].dtype
        intercept = jnp.zeros(n, dtype).at[at].set(sites["intercept"])
        return intercept, jnp.ones(n, dtype).at[at].set(sites["noise"])


def rival(
    base: POMDPStudy,
    latent: AbstractLatent,
    known: Known,
    labels: Mapping[str, tuple[Any, ...]],
    *,
    slopes: bool = True,
) -> Rival:
    """A rival of `base` over the same answers; `labels` are of the latent's own axes.

    `slopes`: whether items of a scale may differ in how strongly they are drawn.
    """
    kept = [k for k in MEASURING if k in base.priors and (slopes or k != "discrimination")]
    nobody = jax.tree.map(lambda x: x[:0], base.people)
    worded = base.coords["instrument"] if "wording" in kept else ()
    return Rival(
        people=People(base.people.answer, base.people.measure, known),
        priors=Fixed(latent.priors() | {k: base.priors[k] for k in kept}),
        effects=(*latent.effects(), *(f"wording {i}" for i in worded)),
        coords=Fixed(dict(base.coords) | dict(labels)),
        latent=latent,
        measured=replace(base, people=nobody),
    )

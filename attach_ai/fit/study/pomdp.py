"""The models of the family as models of people: beliefs that move, and the answers that read them.

For a person i in episode e each free parameter is, on the log-odds of its support,

    x = mean + covariates . effect + spread u_i + cluster,     u_i ~ Normal(0, 1),

the model is built at x, lived through (`course.py`), and read at each occasion by the functionals
theta of a link. Item j of scale k is answered from

    eta = a_j (theta_k + residual_k v_ik + wording w_i ([j is reverse-keyed] - share of k that is)),

theta counted from someone at the population's mean and in standard deviations under the prior, so
that a of one means a logit a standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import block_diag, helmert

from attach_ai.agent import Agent
from attach_ai.fit.study import answers
from attach_ai.fit.study.abstract import AbstractStudy, People, Prior, Sites, side
from attach_ai.fit.study.course import Course, course
from attach_ai.fit.study.functionals import Readings
from attach_ai.fit.study.lives import Lives, Practices
from attach_ai.fit.study.priors import transform
from attach_ai.model import Model
from attach_ai.model.parameters import Parameter

NEAR = 0.1  # logits; a parameter's spread that is below it turns no axis


@dataclass(frozen=True, eq=False)
class Question:
    """An item as the link reads it: its scale, its reading (None: no belief), its options."""

    name: str
    scale: int
    reading: int | None
    n_levels: int | None  # None: continuous
    reverse: bool


@dataclass(frozen=True, eq=False)
class Free:
    """A parameter that is estimated: its declaration, prior, and whether it differs by person."""

    parameter: Parameter
    mean: float
    sd: float
    reason: str
    individual: bool
    anchored: bool  # its mean is held at the prior's: location stands in the cutpoints

    @property
    def name(self) -> str:
        return self.parameter.name


class POMDPStudy(AbstractStudy):
    """People whose answers read the beliefs of a declared model.

    `settings`: values of the model's parameters that are not free. `response`: "graded" or
    "rating". `centre`, `width`: of each reading under the prior. `planes`: pairs of a scale and a
    parameter that moves it, with the slope (`turned`). Build it with `build_study`.
    """

    people: People
    priors: Mapping[str, Prior] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Mapping[str, tuple[Any, ...]] = eqx.field(static=True)
    agent: Agent
    centre: Float[Array, " reading"]
    width: Float[Array, " reading"]
    declared: Model = eqx.field(static=True)
    settings: Mapping[str, float] = eqx.field(static=True)
    practices: Practices = eqx.field(static=True)
    free: tuple[Free, ...] = eqx.field(static=True)
    questions: tuple[Question, ...] = eqx.field(static=True)
    readings: Readings
    link: str = eqx.field(static=True)
    response: str = eqx.field(static=True)
    location: str = eqx.field(static=True, default="cutpoints")
    planes: tuple[tuple[int, int, float], ...] = eqx.field(static=True, default=())

    def by_answer(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion item"]:
        return self._answered(sites, self._eta(sites, effects, people)[0], people)

    def log_likelihood(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, " subject"]:
        eta, scored = self._eta(sites, effects, people)
        return self._answered(sites, eta, people).sum((1, 2, 3)) + scored.sum((1, 2))

    def turned(
        self, sites: Sites, axes: Float[Array, "subject effect"]
    ) -> Float[Array, "subject effect"]:
        """Answers to a scale tell the sum of what a parameter and the residual put into it, and
        hardly their shares: in each of `planes` the sum is one axis.

        Chains would otherwise follow a bent ridge, on which every person's two effects change
        with the two spreads.
        """
        n_own = len(self.coords["individual"])
        for scale, own, slope in self.planes:
            across = jnp.hypot(slope * sites["spread"][own], NEAR)
            along = sites["residual"][scale]
            cos, sin = (x / jnp.hypot(across, along) for x in (np.sign(slope) * across, along))
            total, rest = axes[:, own], axes[:, n_own + scale]
            axes = axes.at[:, own].set(cos * total - sin * rest)
            axes = axes.at[:, n_own + scale].set(sin * total + cos * rest)
        return axes

    def folded(
        self, sites: dict[str, Array], effects: Float[Array, "subject effect"]
    ) -> tuple[dict[str, Array], Float[Array, "subject effect"]]:
        known = [n for n in ("spread", "residual", "wording") if n in sites]
        signs = jnp.concatenate([side(sites[n]) for n in known])
        found = sites | {n: jnp.abs(sites[n]) for n in known}
        if "cluster" in sites:
            spread = sites["cluster_spread"]
            found["cluster"] = sites["cluster"] * side(spread)[None]
            found["cluster_spread"] = jnp.abs(spread)
        return found, effects * signs[None]

    def draw(
        self, key: Array, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> People:
        eta, _ = self._eta(sites, effects, people)
        shape = eta.shape
        uniform, normal = jax.random.split(key)
        answer = answers.graded_draw(
            jax.random.uniform(uniform, shape, eta.dtype), eta, self.cuts(sites, people)
        )
        answer = jnp.where(people.answer < 0, -1, answer)
        measure = people.measure
        if "noise" in sites:
            drawn = answers.continuous_draw(
                jax.random.normal(normal, shape, eta.dtype),
                eta,
                self._every(sites["intercept"], 0.0),
                self._every(sites["noise"], 1.0),
            )
            measure = jnp.where(jnp.isnan(people.measure), jnp.nan, drawn)
        return eqx.tree_at(lambda p: (p.answer, p.measure), people, (answer, measure))

    def quantities(
        self, sites: Sites, effects: Float[Array, "subject effect"]
    ) -> dict[str, tuple[tuple[str, ...], Array]]:
        x = self.parameters(sites, effects, self.people.rest)
        natural = jnp.stack(
            [transform(f.parameter)[0](x[..., i]) for i, f in enumerate(self.free)], -1
        )
        mean = jnp.stack(
            [transform(f.parameter)[0](m) for f, m in zip(self.free, self.mean(sites), strict=True)]
        )
        found: dict[str, tuple[tuple[str, ...], Array]] = {"population": (("parameter",), mean)}
        if self.coords["individual"]:
            at = np.array([i for i, f in enumerate(self.free) if f.individual])
            found["person"] = (("subject", "episode", "individual"), natural[..., at])
        found["slope"] = (("item",), jnp.exp(self.log_slopes(sites)))
        return found

    def trajectory(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode step reading"]:
        """Every reading at every step, on a scale a reader knows (`readings.units`)."""
        n_steps = people.rest.given.fed.shape[-1]
        at = jnp.arange(n_steps, dtype=jnp.int32)

        def one(x: Array, lives: Lives) -> Array:
            pomdp, values, lived = self._live(x, lives)
            return self.readings.natural(self.readings(pomdp, values, lived, at))

        x = self.parameters(sites, effects, people.rest)
        return jax.vmap(jax.vmap(one))(x, _by_life(people.rest))

    @property
    def fingerprint(self) -> str:
        """What the arrays do not show: declared files, readings, and what is switched off."""
        layout = self.declared.layout
        said = [
            self.declared.sha256,
            *(p.sha256 for p in self.practices.named.values()),
            *self.coords["reading"],
            *(f"{f.name}: {f.excluded}" for f in layout.factors),
            repr(sorted(self.settings.items())),
            repr([(q.name, q.scale, q.reading, q.reverse) for q in self.questions]),
            self.response,
            self.location,
        ]
        return "\n".join(said)

    # ------------------------------------------------------------------ parameters

    def mean(self, sites: Sites) -> Float[Array, " parameter"]:
        """Population means on the log-odds of each support; anchored ones at their prior's."""
        floating = iter(range(len(self.free)))
        return jnp.stack(
            [
                jnp.asarray(f.mean, self.centre.dtype)
                if f.anchored
                else sites["mean"][next(floating)]
                for f in self.free
            ]
        )

    def parameters(
        self, sites: Sites, effects: Float[Array, "subject effect"], lives: Lives
    ) -> Float[Array, "subject episode parameter"]:
        """x of each person and episode (log-odds of each parameter's support)."""
        n, e = lives.at.shape[:2]
        x = jnp.broadcast_to(self.mean(sites)[None, None], (n, e, len(self.free)))
        if "effect" in sites:
            x = x + jnp.einsum("sec,pc->sep", lives.covariate, sites["effect"])
        own = np.array([f.individual for f in self.free])
        if own.any():
            onto = jnp.asarray(np.eye(len(self.free))[own], x.dtype)
            u = effects[:, : int(own.sum())] * sites["spread"][None]
            if "cluster" in sites:
                n_clusters = len(self.coords["cluster"])
                # About their mean, which location in the cutpoints already holds.
                apart = jnp.asarray(contrasts([0] * n_clusters), x.dtype) @ sites["cluster"]
                among = jax.nn.one_hot(lives.cluster, n_clusters, dtype=x.dtype)
                u = u + among @ (apart * sites["cluster_spread"][None])
            x = x + (u @ onto)[:, None]
        return x

    # ------------------------------------------------------------------ items

    def log_slopes(self, sites: Sites) -> Float[Array, " item"]:
        """ln a of each item; within a scale they average to zero (FITTING: the anchor)."""
        if "discrimination" not in sites:
            return jnp.zeros(len(self.questions), self.centre.dtype)
        apart = contrasts([q.scale for q in self.questions])
        return jnp.asarray(apart, self.centre.dtype) @ sites["discrimination"]

    def cuts(self, sites: Sites, people: People) -> Float[Array, "*n item cut"]:
        """Cutpoints of every item, +inf where it has fewer options (all, if it is continuous)."""
        levels = [q.n_levels or 1 for q in self.questions]
        if self.response == "rating":
            scale = np.array([q.scale for q in self.questions], np.int32)
            shared = jax.vmap(lambda g: answers.shared_cutpoints(jnp.zeros(1, g.dtype), g)[0])
            cuts = sites["cut_location"][:, None] + shared(sites["cut_gap"])[scale]
            cuts = jnp.where(
                np.arange(1, cuts.shape[1] + 1) < np.array(levels)[:, None], cuts, jnp.inf
            )
        else:
            cuts = answers.cutpoints(sites["cut_first"], sites["cut_gap"], levels)
        if self.location == "belief":
            scales = [q.scale for q in self.questions]
            first = np.array([k not in scales[:j] for j, k in enumerate(scales)])[:, None]
            real = jnp.isfinite(cuts)
            n = real.astype(cuts.dtype).sum(1, keepdims=True)
            mean = jnp.where(real, cuts, 0.0).sum(1, keepdims=True) / n
            cuts = jnp.where(first, cuts - mean, cuts)
        if "dif_location" in sites:
            cuts = (
                cuts
                + jnp.einsum("seoc,jc->seoj", people.rest.contrast, sites["dif_location"])[
                    ..., None
                ]
            )
        return cuts

    def _eta(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> tuple[Float[Array, "subject episode occasion item"], Float[Array, "subject episode step"]]:
        theta, scored = self._theta(sites, effects, people.rest)
        n_own = sum(f.individual for f in self.free)
        n_scales = len(self.coords["scale"])
        residual = effects[:, n_own : n_own + n_scales] * sites["residual"][None]
        shared = sites.get("wording", jnp.zeros(0, effects.dtype))
        wording = effects[:, n_own + n_scales :] * shared[None]
        eta = theta @ self._loads("reading") + self._per_person(residual, "scale")
        if wording.shape[1]:
            eta = eta + self._per_person(wording, "instrument")
        slope = self.log_slopes(sites)[None, None, None]
        if "dif_slope" in sites:
            slope = slope + jnp.einsum("seoc,jc->seoj", people.rest.contrast, sites["dif_slope"])
        return eta * jnp.exp(slope), scored

    def _per_person(self, values: Array, what: str) -> Array:
        return (values @ self._loads(what))[:, None, None, :]

    def _loads(self, what: str) -> Float[Array, "source item"]:
        """Which reading, residual, or wording factor each item takes up."""
        names = self.coords[what]
        loads = np.zeros((len(names), len(self.questions)))
        for j, q in enumerate(self.questions):
            if what == "reading" and q.reading is not None:
                loads[q.reading, j] = 1.0
            elif what == "scale":
                loads[q.scale, j] = 1.0
            elif what == "instrument" and (book := q.name.partition(".")[0]) in names:
                # A contrast within the scale, so that it takes nothing from the residual.
                same = [p.reverse for p in self.questions if p.scale == q.scale]
                loads[names.index(book), j] = q.reverse - sum(same) / len(same)
        return jnp.asarray(loads, self.centre.dtype)

    def _answered(self, sites: Sites, eta: Array, people: People) -> Array:
        found = answers.graded(people.answer, eta, self.cuts(sites, people))
        if "noise" in sites:
            intercept, noise = (
                self._every(sites["intercept"], 0.0),
                self._every(sites["noise"], 1.0),
            )
            found = found + answers.continuous(people.measure, eta, intercept, noise)
        return found

    def _every(self, values: Array, otherwise: float) -> Array:
        """Values of the continuous items among all items."""
        at = [j for j, q in enumerate(self.questions) if q.n_levels is None]
        full = jnp.full(len(self.questions), otherwise, values.dtype)
        return full.at[np.array(at, np.int32)].set(values)

    # ------------------------------------------------------------------ beliefs

    def raw_readings(
        self, sites: Sites, effects: Float[Array, "subject effect"], lives: Lives
    ) -> tuple[
        Float[Array, "subject episode occasion reading"], Float[Array, "subject episode step"]
    ]:
        """Every reading at every occasion, not standardised, and ln p of recorded choices."""

        def one(x: Array, lives: Lives) -> tuple[Array, Array]:
            pomdp, values, lived = self._live(x, lives)
            return self.readings(pomdp, values, lived, lives.at), lived.scored

        x = self.parameters(sites, effects, lives)
        return jax.vmap(jax.vmap(one))(x, _by_life(lives))

    def _theta(
        self, sites: Sites, effects: Float[Array, "subject effect"], lives: Lives
    ) -> tuple[Array, Array]:
        raw, scored = self.raw_readings(sites, effects, lives)
        lead = (None, None, None)
        return (raw - self._origin(sites)[lead]) / self.width[lead], scored

    def _origin(self, sites: Sites) -> Float[Array, " reading"]:
        """What is read, at the first occasion, of someone at the population's mean.

        Where location stands in the cutpoints they are counted from here: else every one of them
        would have to move with the mean, and chains would walk along that ridge.
        """
        if self.location != "cutpoints":
            return self.centre
        first = jax.tree.map(lambda leaf: leaf[0, 0], _by_life(self.people.rest))
        pomdp, values, lived = self._live(self.mean(sites), first)
        asked = jnp.where(first.at < 0, first.given.fed.shape[0] - 1, first.at).min()
        return self.readings(pomdp, values, lived, asked[None])[0]

    def _live(
        self, x: Float[Array, " parameter"], lives: Lives
    ) -> tuple[Any, dict[str, Any], Course]:
        natural = {f.name: transform(f.parameter)[0](x[i]) for i, f in enumerate(self.free)}
        own = {k: v for k, v in natural.items() if k in self.declared.parameters}
        pomdp = self.declared.build(self.settings, **own)
        values = self.declared.defaults | dict(self.settings) | natural
        return (
            pomdp,
            values,
            course(self.agent, pomdp, self.practices.program(natural), lives.given),
        )


def contrasts(scales: Sequence[int]) -> Float[np.ndarray, "item contrast"]:
    """Orthonormal differences between the items of each scale (Helmert's), one fewer than items.

    Independent normals along them are what independent normals of the items are about their mean,
    without the direction that no answer can tell.
    """
    blocks = [helmert(scales.count(k)).T for k in dict.fromkeys(scales)]
    order = [j for k in dict.fromkeys(scales) for j, own in enumerate(scales) if own == k]
    return block_diag(*blocks)[np.argsort(order)]


def _by_life(lives: Lives) -> Lives:
    """Leaves that lead with (subject, episode) alone: a cluster is repeated over episodes."""
    cluster = jnp.broadcast_to(lives.cluster[:, None], lives.at.shape[:2])
    return eqx.tree_at(lambda x: x.cluster, lives, cluster)

"""What moves answers where no belief does: three latent courses for each scale k of a person i.

*Growth*:          theta = F b_k + own_ik + slope_ik t
*Autoregression*:  theta = F b_k + own_ik + carry_k s_{k,t-1} + (1 + r_k z_i) g_k . e_t
*Event filter*:    theta = F b_k + own_ik + (1 + r_k z_i) m_kt,   m_kt = l_k m_{k,t-1} + g_k . e_t

F are fixed effects (arms, covariates, periods), s the person's last score on the scale, e events.
own_ik = spread_k z_ik + shared_k z_i0 lets a person's scales hang together, as one belief would.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from attach_ai.fit.comparison.rivals.known import Known
from attach_ai.fit.study.abstract import People, Prior, Sites

Priors = dict[str, Prior]


class AbstractLatent(eqx.Module):
    """A course for each scale, on the logits of answers."""

    @property
    @abstractmethod
    def sequential(self) -> bool:
        """Whether answers move what follows."""

    @abstractmethod
    def priors(self) -> Priors:
        """Of the sites that `theta` reads."""

    @abstractmethod
    def effects(self) -> tuple[str, ...]:
        """Names of a person's effects that `theta` reads, in order."""

    @abstractmethod
    def theta(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion scale"]:
        """Before slopes and wording; `people.rest` is a `Known`."""


class Place(eqx.Module):
    """Fixed effects, persons and clusters: what the three courses have in common.

    `sign`: of each scale's correlation with the first over people, which makes the loadings of the
    common factor identified. `prior_sd`: of each fixed effect.
    """

    scales: tuple[str, ...] = eqx.field(static=True)
    sign: tuple[int, ...] = eqx.field(static=True)
    prior_sd: tuple[float, ...] = eqx.field(static=True)
    n_clusters: int = eqx.field(static=True)

    def priors(self) -> Priors:
        n = len(self.scales)
        found = {
            "spread": Prior(half(1.0, n), ("scale",), "logits between people; weak"),
        }
        if self.prior_sd:
            sd = jnp.broadcast_to(jnp.asarray(self.prior_sd), (n, len(self.prior_sd)))
            found["effect"] = Prior(
                dist.Normal(jnp.zeros_like(sd), sd),
                ("scale", "column"),
                "logits a unit: periods 1, all else 0.5",
            )
        if n > 1:
            found["shared"] = Prior(
                half(0.75, n), ("scale",), "how far a person's scales move together"
            )
        if self.n_clusters > 1:
            found["cluster_spread"] = Prior(
                half(0.3, n), ("scale",), "between clusters; they are few"
            )
            found["cluster"] = Prior(
                normal(0.0, 1.0, self.n_clusters, n),
                ("cluster", "scale"),
                "a cluster's own place, in units of cluster_spread",
            )
        return found

    def effects(self) -> tuple[str, ...]:
        return (*(f"level {s}" for s in self.scales), *(("common level",) * (len(self.scales) > 1)))

    def fixed(self, sites: Sites, known: Known) -> Float[Array, "subject episode occasion scale"]:
        if "effect" in sites:
            return jnp.einsum("seoc,kc->seok", known.fixed, sites["effect"])
        return jnp.zeros((*known.at.shape, len(self.scales)), known.time.dtype)

    def own(self, sites: Sites, effects: Array, known: Known) -> Float[Array, "subject scale"]:
        n = len(self.scales)
        own = effects[:, :n] * sites["spread"][None]
        if n > 1:
            own = (
                own
                + effects[:, n, None] * (sites["shared"] * jnp.asarray(self.sign, own.dtype))[None]
            )
        if "cluster" in sites:
            among = jax.nn.one_hot(known.cluster, self.n_clusters, dtype=own.dtype)
            own = own + among @ (sites["cluster"] * sites["cluster_spread"][None])
        return own


class Growth(AbstractLatent):
    """Fixed effects, and a level and a slope of each person's own on each scale."""

    place: Place

    @property
    def sequential(self) -> bool:
        return False

    def priors(self) -> Priors:
        n = len(self.place.scales)
        own = Prior(half(0.5, n), ("scale",), "logits over the whole study; weak")
        return self.place.priors() | {"slope_spread": own}

    def effects(self) -> tuple[str, ...]:
        return (*self.place.effects(), *(f"slope {s}" for s in self.place.scales))

    def theta(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion scale"]:
        known: Known = people.rest
        first = len(self.place.effects())
        own = effects[:, first : first + len(self.place.scales)]
        slope = own * sites["slope_spread"][None]
        line = known.time[..., None] * over(slope)
        return self.place.fixed(sites, known) + over(self.place.own(sites, effects, known)) + line


def normal(mean: float, sd: float, *shape: int) -> dist.Distribution:
    """Independent normals of one mean and standard deviation."""
    return dist.Normal(jnp.full(shape, mean), jnp.full(shape, sd))


def half(sd: float, *shape: int) -> dist.Distribution:
    """Independent half-normals of one scale."""
    return dist.HalfNormal(jnp.full(shape, sd))


def over(x: Float[Array, "subject scale"]) -> Float[Array, "subject 1 1 scale"]:
    """For every episode and occasion alike."""
    return x[:, None, None]


def each(x: Float[Array, " scale"]) -> Float[Array, "1 1 1 scale"]:
    """For every person, episode and occasion alike."""
    return x[None, None, None]

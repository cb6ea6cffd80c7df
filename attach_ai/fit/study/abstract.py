"""What can be fitted and compared: priors of a population, and what one person's answers say.

Every model of people here, ours and its rivals, is hierarchical in one way: a population with
independent priors, and for each person a vector of effects that are standard normal a priori
(non-centred). Sampling, prediction, cross-validation and comparison need no more than that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

Sites = Mapping[str, Array]  # a value for each prior, by name


@dataclass(frozen=True)
class Prior:
    """What is believed of a site before any data.

    `distribution`: its batch shape is the site's shape, `dims` names these axes (keys of
    `AbstractStudy.coords`). `reason`: why it is what it is, in a few words for the prior table.
    `mirrored`: a half-normal standard deviation that only ever multiplies effects, so that its
    negative says the same of mirrored effects; a chain may then pass through zero (`folded`).
    """

    distribution: dist.Distribution
    dims: tuple[str, ...] = ()
    reason: str = ""
    mirrored: bool = False


class Fixed(dict[str, Any]):
    """A mapping that is not to change, equal to itself alone: it can be a static field."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class People(eqx.Module):
    """What is known of each person; every leaf leads with the axis `subject`.

    `answer`: the level 0..K-1 of an ordinal item in its keyed direction (reversed where the key
    says so), -1 missing. `measure`: the value of a continuous item, keyed likewise, NaN missing.
    Both are (subject, episode, occasion, item); an item is one or the other. `rest`: whatever else
    a study needs (exposure, covariates, times).
    """

    answer: Int[Array, "subject episode occasion item"]
    measure: Float[Array, "subject episode occasion item"]
    rest: Any = None


class AbstractStudy(eqx.Module):
    """A model of people, and the people.

    `people`: the data. `priors`: by site. `effects`: names of a person's standard-normal effects.
    `coords`: labels of every named axis ("subject", "episode", "occasion", "item", ...).
    """

    people: eqx.AbstractVar[People]
    priors: eqx.AbstractVar[Mapping[str, Prior]]
    effects: eqx.AbstractVar[tuple[str, ...]]
    coords: eqx.AbstractVar[Mapping[str, tuple[Any, ...]]]

    @abstractmethod
    def by_answer(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion item"]:
        """Log probability (ordinal, nats) or density (continuous) of each answer; 0 if missing.

        `people` may be any number of people, not only the study's own.
        """

    @abstractmethod
    def log_likelihood(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, " subject"]:
        """Log likelihood of all that is known of each person: answers, and choices if any."""

    @abstractmethod
    def draw(
        self, key: Array, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> People:
        """The same people with answers drawn anew, where an answer was expected.

        Answers that are missing in `people` stay missing.
        """

    @abstractmethod
    def quantities(
        self, sites: Sites, effects: Float[Array, "subject effect"]
    ) -> dict[str, tuple[tuple[str, ...], Array]]:
        """What is reported, by name: (dims, value), on scales a reader knows."""

    def turned(
        self, sites: Sites, axes: Float[Array, "subject effect"]
    ) -> Float[Array, "subject effect"]:
        """Effects from the coordinates that chains move in: any rotation, for it leaves standard
        normals standard normal. Here none. Mirrored sites may be negative, here as in
        `log_likelihood`."""
        return axes

    def folded(
        self, sites: dict[str, Array], effects: Float[Array, "subject effect"]
    ) -> tuple[dict[str, Array], Float[Array, "subject effect"]]:
        """The same sites and effects with every mirrored site positive. Here none is mirrored."""
        return sites, effects

    def model(self) -> None:
        """The NumPyro model: `numpyro.infer.NUTS(study.model)`."""
        sites = {name: numpyro.sample(name, p.distribution) for name, p in self.priors.items()}
        n = self.people.answer.shape[0]
        with numpyro.plate("subject", n):
            effects = numpyro.sample(
                "effects", dist.Normal(0.0, 1.0).expand((len(self.effects),)).to_event(1)
            )
        numpyro.factor("data", self.log_likelihood(sites, effects, self.people).sum())

    def draw_prior(self, key: Array) -> tuple[dict[str, Array], Float[Array, "subject effect"]]:
        """A population from the priors, and effects for the study's people."""
        keys = jax.random.split(key, len(self.priors) + 1)
        sites = {
            name: p.distribution.sample(k)
            for k, (name, p) in zip(keys[1:], self.priors.items(), strict=True)
        }
        shape = (self.people.answer.shape[0], len(self.effects))
        return sites, jax.random.normal(keys[0], shape, self.people.measure.dtype)

    def restricted(self, people: People) -> AbstractStudy:
        """The same model of other people, or of fewer answers."""
        return eqx.tree_at(lambda s: s.people, self, people)


def without_answers(people: People, held_out: Any) -> People:
    """The people with some answers taken out; `held_out` broadcasts against `people.answer`."""
    answer = jnp.where(held_out, -1, people.answer)
    return eqx.tree_at(
        lambda p: (p.answer, p.measure),
        people,
        (answer, jnp.where(held_out, jnp.nan, people.measure)),
    )


def side(site: Array) -> Array:
    """On which side of zero a mirrored site stands: 1 or -1, and 1 at zero itself."""
    return jnp.where(site < 0, -1.0, 1.0).astype(site.dtype)

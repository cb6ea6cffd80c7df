"""What a study could tell, said before the sampler runs.

Expected information of the answers under the study's own design at the centre of the priors:
information and prior precision together, inverted, give the expected posterior of the population;
the expected covariance of a person's effects gives how reliably people can be told apart. This is
the large-sample normal: what a posterior's tails add (to the logarithm of a spread near zero, say)
is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, Float

from attach_ai.fit.checks.information import Expected, Flat, expected_at, flatten
from attach_ai.fit.study.abstract import AbstractStudy, Sites

if TYPE_CHECKING:
    import xarray

BLIND = 0.1  # share of the prior variance that data must take away for them to say anything
LINKED = (
    0.1  # of a silent direction, the share two unknowns must have in common to be named together
)
RELIABLE = 0.3  # from which on people's effects are told apart well enough to be fitted
POORLY = 0.5  # share of importance draws under which the figures themselves are doubtful


@dataclass(frozen=True)
class Identification:
    """Expected knowledge of each unknown; `str` is the report.

    Unknowns are on the scale that is sampled (the logarithm of what is positive). `alone`: share of
    the prior variance that data would take away were all else known; `contraction`: the share they
    take away with all else unknown. `silent`: what data say next to nothing about; `together`: sets
    of which data inform some combinations only. `pooled`: sites of items and clusters, in a line
    each and in no sentence of their own. `reliability` of a person's effect, in a population
    that is known: 1 - E[posterior variance] / prior variance, other effects unknown.
    """

    flat: Flat
    expected: Expected
    effects: tuple[str, ...]
    individuals: tuple[str, ...]
    pooled: tuple[str, ...]
    n_answers: int

    @property
    def prior_sd(self) -> Float[np.ndarray, " unknown"]:
        return self.flat.sd

    @property
    def covariance(self) -> Float[np.ndarray, "unknown unknown"]:
        """Expected posterior covariance of the population."""
        return covariance(self.expected.information, self.flat.sd)

    @property
    def posterior_sd(self) -> Float[np.ndarray, " unknown"]:
        return np.sqrt(np.diag(self.covariance))

    @property
    def contraction(self) -> Float[np.ndarray, " unknown"]:
        return 1 - (self.posterior_sd / self.flat.sd) ** 2

    @property
    def alone(self) -> Float[np.ndarray, " unknown"]:
        told = np.diag(self.expected.information) * self.flat.sd**2
        return told / (1 + told)

    @property
    def reliability(self) -> dict[str, float]:
        """By effect."""
        remaining = np.diag(self.expected.remaining)
        return {e: float(1 - v) for e, v in zip(self.effects, remaining, strict=True)}

    @property
    def silent(self) -> tuple[str, ...]:
        return tuple(n for n, a in zip(self.flat.labels, self.alone, strict=True) if a < BLIND)

    @property
    def together(self) -> tuple[tuple[str, ...], ...]:
        """Unknowns that share a direction about which data say next to nothing."""
        heard = np.flatnonzero(self.alone >= BLIND)
        scaled = self.expected.information * np.outer(self.flat.sd, self.flat.sd)
        values, vectors = np.linalg.eigh(scaled[np.ix_(heard, heard)])
        null = vectors[:, values < BLIND / (1 - BLIND)]
        # The projector does not depend on which basis of these directions came out.
        linked = np.abs(null @ null.T) > LINKED
        return tuple(
            tuple(self.flat.labels[heard[i]] for i in group) for group in _components(linked)
        )

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Plain sentences on what data cannot tell; empty if there is nothing to say."""
        found = []
        nuisance = {
            n for n, s in zip(self.flat.labels, self.flat.names, strict=True) if s in self.pooled
        }
        silent = [n for n in self.silent if n not in nuisance]
        if silent:
            what = ", ".join(silent)
            found.append(f"The answers say next to nothing about {what}: the prior will decide.")
        for group in self.together:
            if not nuisance.issuperset(group):
                what = ", ".join(_summed(group, self.flat, self.pooled))
                found.append(
                    f"The answers inform only combinations of {what}: fix or anchor one of them."
                )
        for name, r in self.reliability.items():
            if name in self.individuals and r < RELIABLE:
                found.append(
                    f"People cannot be told apart in {name} (expected reliability {r:.2f}): "
                    "estimate it for the population only."
                )
        if self.expected.effective < POORLY:
            found.append(
                f"Only {self.expected.effective:.0%} of the importance draws counted: "
                "these figures are rough."
            )
        return tuple(found)

    def individual(self, min_reliability: float = RELIABLE) -> tuple[str, ...]:
        """Parameters in which people can be told apart at least so reliably."""
        return tuple(e for e in self.individuals if self.reliability[e] >= min_reliability)

    def table(self) -> str:
        """The report, as lines to read."""
        e = self.expected
        named = [
            n
            for n, s in zip(self.flat.labels, self.flat.names, strict=True)
            if s not in self.pooled
        ]
        wide = max(len(name) for name in (*named, *self.effects, "population"))
        head = f"  {'population':<{wide}}  prior sd  expected posterior sd  contraction  alone"
        lines = [
            f"expected from {e.n_people:,} people and {self.n_answers:,} answers, at the centre of "
            f"the priors ({e.n_draws} simulated data sets)",
            head,
        ]
        for i, name in enumerate(self.flat.labels):
            if self.flat.names[i] not in self.pooled:
                lines.append(
                    f"  {name:<{wide}}  {self.prior_sd[i]:>8.3g}  {self.posterior_sd[i]:>21.3g}"
                    f"  {self.contraction[i]:>11.0%}  {self.alone[i]:>5.0%}"
                )
        for site in self.pooled:
            here = np.array([n == site for n in self.flat.names])
            c = self.contraction[here]
            lines.append(
                f"  {site}: {here.sum()} numbers, contraction {c.min():.0%} to {c.max():.0%}"
            )
        if self.effects:
            lines += ["", f"  {'person':<{wide}}  expected reliability"]
            lines += [f"  {n:<{wide}}  {r:>20.2f}" for n, r in self.reliability.items()]
        return "\n".join([*lines, "", *(self.unidentified or ("Everything can be told.",))])

    __str__ = table

    def to_dataset(self) -> xarray.Dataset:
        """The figures, labelled: (unknown) and (effect); the sentences in `attrs["verdict"]`."""
        import xarray as xr

        population = {
            "prior_sd": self.prior_sd,
            "posterior_sd": self.posterior_sd,
            "contraction": self.contraction,
            "alone": self.alone,
        }
        return xr.Dataset(
            {k: ("unknown", v) for k, v in population.items()}
            | {"reliability": ("effect", list(self.reliability.values()))}
            | {"correlation": (("unknown", "unknown_"), _correlation(self.covariance))},
            coords={
                "unknown": list(self.flat.labels),
                "unknown_": list(self.flat.labels),
                "site": ("unknown", list(self.flat.names)),
                "effect": list(self.effects),
            },
            attrs={
                "verdict": " ".join(self.unidentified),
                "n_people": self.expected.n_people,
                "n_answers": self.n_answers,
            },
        )


def identification(
    study: AbstractStudy,
    key: Array,
    *,
    at: Sites | None = None,
    n_draws: int | None = None,
    n_importance: int = 32,
) -> Identification:
    """What the study's design could tell of its population and its people.

    `at`: the population to stand at, by default `Flat.centre`: prior means on the unconstrained
    scale. `n_draws`: data sets simulated, by default enough for the information to be invertible.
    """
    flat = flatten(study)
    x = flat.centre(study) if at is None else flat.vector(at)
    found = expected_at(study, flat, n_draws, n_importance)(x, key)
    return summarise(study, flat, found)


def reliabilities(study: AbstractStudy, key: Array, *, n_draws: int = 4) -> dict[str, float]:
    """How reliably each effect of a person would be told: `Identification.reliability` alone.

    Much cheaper than the whole, to choose by.
    """
    flat = flatten(study)
    found = expected_at(study, flat, n_draws, scored=False)(flat.centre(study), key)
    remaining = np.diag(found.remaining)
    return {e: float(1 - v) for e, v in zip(study.effects, remaining, strict=True)}


def summarise(study: AbstractStudy, flat: Flat, expected: Expected) -> Identification:
    """An expectation with the names a reader knows."""
    individuals = study.coords.get("individual", study.effects)
    many = {"item", "contrast", "cluster", "between"}
    pooled = tuple(n for n, p in study.priors.items() if many & set(p.dims))
    return Identification(
        flat,
        expected,
        tuple(study.effects),
        tuple(e for e in study.effects if e in individuals),
        pooled,
        n_answers(study),
    )


def n_answers(study: AbstractStudy) -> int:
    """How many answers are known, or expected, in a study."""
    people = study.people
    return int((np.asarray(people.answer) >= 0).sum() + np.isfinite(people.measure).sum())


def covariance(
    information: Float[np.ndarray, "unknown unknown"], prior_sd: Float[np.ndarray, " unknown"]
) -> Float[np.ndarray, "unknown unknown"]:
    """Posterior covariance, from information and independent priors."""
    scaled = information * np.outer(prior_sd, prior_sd) + np.eye(len(prior_sd))
    return np.linalg.inv(scaled) * np.outer(prior_sd, prior_sd)


def _correlation(cov: np.ndarray) -> np.ndarray:
    sd = np.sqrt(np.diag(cov))
    return cov / np.outer(sd, sd)


def _components(linked: np.ndarray) -> list[list[int]]:
    """Connected sets of at least two."""
    left = {int(i) for i in np.flatnonzero(linked.diagonal())}
    found = []
    while left:
        group = {left.pop()}
        while more := {j for i in group for j in left if linked[i, j]}:
            group |= more
            left -= more
        if len(group) > 1:
            found.append(sorted(group))
    return found


def _summed(labels: Sequence[str], flat: Flat, pooled: Sequence[str]) -> list[str]:
    """Labels, those of items and clusters by their number."""
    site = dict(zip(flat.labels, flat.names, strict=True))
    found = [n for n in labels if site[n] not in pooled]
    return found + [f"{n} of {s}" for s in pooled if (n := sum(site[x] == s for x in labels))]

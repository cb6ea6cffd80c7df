"""What a study predicts: answers drawn anew, kept as scores and counts of categories.

Answers themselves are not kept: there are too many of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attach_ai.fit.sampling.chain import plain_rules
from attach_ai.fit.study.abstract import AbstractStudy, People

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

CHUNK = 25  # draws to one call
ALL = "all"  # the group of everybody where there are no arms


@dataclass(frozen=True)
class Sheet:
    """How answers are summed up: the scale (-1 none) and `low`, the first option, of each item, the
    group of each person, and how many categories there are."""

    scales: tuple[str, ...]
    of_scale: Int[np.ndarray, " item"]
    low: Float[np.ndarray, " item"]
    groups: tuple[str, ...]
    of_group: Int[np.ndarray, " subject"]
    n_categories: int

    def score(self, people: People) -> Float[Array, "subject episode occasion scale"]:
        """Mean of the items answered, in points of an item in its scale's direction; else NaN."""
        ordinal = people.answer >= 0
        low = jnp.asarray(self.low, people.measure.dtype)
        value = jnp.where(ordinal, people.answer + low, people.measure)
        known = ~jnp.isnan(value)
        loads = self.of_scale[:, None] == np.arange(len(self.scales))
        onto = jnp.asarray(loads, value.dtype)
        n = known.astype(value.dtype) @ onto
        return jnp.where(n > 0, jnp.where(known, value, 0.0) @ onto / jnp.maximum(n, 1.0), jnp.nan)

    def count(self, people: People) -> Int[Array, "group occasion item category"]:
        """How many people of a group chose each category, over all episodes."""
        chosen = jax.nn.one_hot(people.answer, self.n_categories, dtype=jnp.float32)
        member = jnp.asarray(self._member, jnp.float32)
        return jnp.einsum("gs,seoic->goic", member, chosen).astype(jnp.int32)

    @property
    def _member(self) -> Bool[np.ndarray, "group subject"]:
        return self.of_group == np.arange(len(self.groups))[:, None]


def sheet(study: AbstractStudy, records: Records | None = None) -> Sheet:
    """Scales and options as the instruments of `records` have them, and its groups.

    Without records the items of an instrument make one scale, and options begin at 0.
    """
    items = [str(name) for name in study.coords["item"]]
    of, low, levels = [], [], [int(np.asarray(study.people.answer).max(initial=1)) + 1]
    for name in items:
        instrument, _, item = name.partition(".")
        book = None if records is None else records.instruments.get(instrument)
        if book is None:
            of.append(instrument)
            low.append(0.0)
            continue
        scale = book.scale_of(item)
        of.append("" if scale is None else f"{instrument}.{scale}")
        low.append(book.item(item).low)
        levels.append(book.item(item).n_levels)
    scales = tuple(dict.fromkeys(s for s in of if s))
    n = study.people.answer.shape[0]
    labels = [ALL] * n
    groups: tuple[str, ...] = (ALL,)
    if records is not None and records.group is not None:
        labels = [str(records.group[s]) for s in records.subjects]
        groups = tuple(
            dict.fromkeys([*(a for a in map(str, records.arms) if a in labels), *labels])
        )
    return Sheet(
        scales,
        np.array([scales.index(s) if s else -1 for s in of]),
        np.array(low),
        groups,
        np.array([groups.index(g) for g in labels]),
        max(levels),
    )


def predict(
    study: AbstractStudy, sheet: Sheet, sites: Mapping[str, np.ndarray], key: Array
) -> dict[str, np.ndarray]:
    """ "score" (sample, subject, episode, occasion, scale) and "count" (sample, group, occasion,
    item, category) of people drawn from each of `sites` (sample, ...), "effects" among them."""

    def one(x: tuple[Array, dict[str, Array]]) -> dict[str, Array]:
        key, at = x
        drawn = study.draw(key, at, at["effects"], study.people)
        return {"score": sheet.score(drawn), "count": sheet.count(drawn)}

    return over_draws(one, (jax.random.split(key, _length(sites)), dict(sites)))


def trajectories(
    study: Any, sheet: Sheet, sites: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "sample group episode step reading"]:
    """Each reading at each step, averaged over a group's people."""

    def one(at: dict[str, Array]) -> Array:
        read = study.trajectory(at, at["effects"], study.people)
        member = jnp.asarray(sheet._member, read.dtype)
        total = jnp.einsum("gs,setr->getr", member, read)
        return total / member.sum(1)[:, None, None, None]

    return over_draws(one, dict(sites))


def prior_draws(study: AbstractStudy, key: Array, n: int) -> dict[str, np.ndarray]:
    """Populations and people from the priors: every site (sample, ...), and "effects"."""

    def one(key: Array) -> dict[str, Array]:
        sites, effects = study.draw_prior(key)
        return {**sites, "effects": effects}

    return over_draws(one, jax.random.split(key, n))


def over_draws(one: Any, draws: Any) -> Any:
    """`one(draw)` for every draw of a tree (sample, ...), in chunks; NumPy arrays come back."""
    n = _length(draws)
    size = min(CHUNK, n)
    with plain_rules():
        some = jax.jit(lambda x: jax.lax.map(one, x))
        parts = []
        for start in range(0, n, size):
            # The last chunk is padded, so that it compiles once.
            at = np.minimum(np.arange(start, start + size), n - 1)
            part = some(jax.tree.map(lambda x, at=at: x[at], draws))
            parts.append(jax.tree.map(np.asarray, part))
    return jax.tree.map(lambda *x: np.concatenate(x)[:n], *parts)


def _length(draws: Any) -> int:
    n: int = jax.tree.leaves(draws)[0].shape[0]
    return n

"""Items that answer differently in a later wave are found; items that do not are left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.checks.invariance import Offset, _folds, freed, invariance
from attach_ai.fit.sampling.sample import Draws
from attach_ai.fit.study.abstract import AbstractStudy, Fixed, People, Prior, Sites
from tests.fit.toy import toy

NOISE = 0.3


class Items(AbstractStudy):
    """Item j shows mean - offset of j with noise; the simplest study that reads offsets."""

    people: People
    priors: Mapping[str, Prior] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Mapping[str, tuple[Any, ...]] = eqx.field(static=True)

    def eta(self, sites: Sites, people: People) -> jax.Array:
        eta = jnp.broadcast_to(sites["mean"], people.measure.shape)
        for name, scale in (("dif_location", -1.0), ("dif_slope", 1.0)):
            if name in sites:
                eta = eta + scale * people.rest.contrast @ sites[name].T
        return eta

    def by_answer(self, sites: Sites, effects: jax.Array, people: People) -> jax.Array:
        shown = ~jnp.isnan(people.measure)
        value = jnp.where(shown, people.measure, 0.0)
        density = dist.Normal(self.eta(sites, people), NOISE).log_prob(value)
        return jnp.where(shown, density, 0.0)

    def log_likelihood(self, sites: Sites, effects: jax.Array, people: People) -> jax.Array:
        return self.by_answer(sites, effects, people).sum((1, 2, 3))

    def draw(self, key: Any, sites: Sites, effects: jax.Array, people: People) -> People:
        value = self.eta(sites, people)
        value = value + NOISE * jax.random.normal(key, value.shape, value.dtype)
        return eqx.tree_at(lambda p: p.measure, people, value)

    def quantities(self, sites: Sites, effects: jax.Array) -> dict[str, Any]:
        return {}


def items(shift: float = 0.0, n_subjects: int = 24) -> Items:
    """Three waves of four items; the last item shifts in the last wave."""
    rng = np.random.default_rng(0)
    value = 0.5 + NOISE * rng.normal(size=(n_subjects, 1, 3, 4))
    value[:, :, 2, 3] -= shift
    rest = _Rest(jnp.zeros((n_subjects, 1, 3, 0)))
    people = People(jnp.full(value.shape, -1, jnp.int32), jnp.asarray(value), rest)
    coords = {
        "subject": tuple(range(n_subjects)),
        "episode": ("study",),
        "occasion": ("w1", "w2", "w3"),
        "item": tuple(f"short.{j}" for j in range(1, 5)),
    }
    priors = {"mean": Prior(dist.Normal(jnp.zeros(()), jnp.ones(())))}
    return Items(people, Fixed(priors), (), Fixed(coords))


class _Rest(eqx.Module):
    contrast: jax.Array


def by_least_squares(study: AbstractStudy, name: str) -> Draws:
    """A Gaussian posterior: offsets of unit scale times .3, on means of items and levels."""
    n_draws = 60
    rng = np.random.default_rng(1)
    value = np.asarray(study.people.measure)[:, 0]
    sites: dict[str, np.ndarray] = {}
    mean, n = value.mean(), value.size
    sites["mean"] = mean + NOISE / np.sqrt(n) * rng.normal(size=n_draws)
    if isinstance(study, Offset):
        scale = 0.3
        basis = np.asarray(study.people.rest.contrast)[0, 0]  # (occasion, contrast)
        apart = mean - value.mean(0)  # (occasion, item)
        precision = len(value) * scale**2 / NOISE**2
        share = precision / (precision + 1)
        unit = share * (basis.T @ apart).T / scale
        size = (n_draws, *unit.shape)
        sites["dif_location"] = unit + rng.normal(size=size) / np.sqrt(precision + 1)
        if "dif_slope" in study.priors:
            sites["dif_slope"] = 0.01 * rng.normal(size=size)
        sites["dif_spread"] = np.full((n_draws, len(study.coords["offset"])), scale)
    effects = np.zeros((1, n_draws, len(value), 0))
    return Draws({**{k: v[None] for k, v in sites.items()}, "effects": effects}, {}, 0, "exact")


def test_a_shifted_item_is_found_and_says_which() -> None:
    found = invariance(items(0.6), "waves", 1, fit=by_least_squares, n_folds=3)
    assert found.holds == "metric"
    gain, se = found.gain("metric")
    assert gain > 2 * se
    item, level = np.unravel_index(np.abs(found.offsets["dif_location"]).argmax(), (4, 3))
    assert (found.items[item], found.levels[level]) == ("short.4", "w3")
    # Two thirds of the shift, less its mean over items, and a little shrunken.
    assert found.offsets["dif_location"][3, 2] == pytest.approx(0.6 * 2 / 3 * 3 / 4, abs=0.1)
    assert "short.4, w3" in found.table()
    assert "freeing them predicts better" in found.verdict_text()


def test_equal_items_stay_equal() -> None:
    found = invariance(items(), "waves", 1, fit=by_least_squares, n_folds=3)
    assert found.holds == "scalar"
    assert "may be held equal" in found.verdict_text()


def test_offsets_sum_to_zero_over_levels_and_items_and_none_is_the_study_itself() -> None:
    plain = items()
    study = freed(plain, ["a", "b", "c", "a"] * 6, "configural")
    assert isinstance(study, Offset)
    sites, effects = study.draw_prior(jax.random.key(3))
    assert sites["dif_slope"].shape == (4, 2)
    for name in ("dif_location", "dif_slope"):
        offset = np.asarray(study.quantities(sites, effects)[name][1])
        np.testing.assert_allclose(offset.sum(0), 0, atol=1e-12)
        np.testing.assert_allclose(offset.sum(1), 0, atol=1e-12)
        assert np.abs(offset).max() > 1e-3
    still = {**sites, "dif_spread": 0 * sites["dif_spread"]}
    np.testing.assert_allclose(
        study.log_likelihood(still, effects, study.people),
        plain.log_likelihood({"mean": sites["mean"]}, effects, plain.people),
    )
    assert freed(plain, "waves", "scalar") is plain


def test_folds_hold_every_arm() -> None:
    arms = ["a"] * 7 + ["b"] * 5
    fold = np.array(_folds(arms, 3, 0))
    for arm in "ab":
        counts = np.bincount(fold[np.array(arms) == arm], minlength=3)
        assert np.ptp(counts) <= 1
    assert np.ptp(np.bincount(fold)) <= 1


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(InputError, match="'strict'; expected one of scalar, metric, configural"):
        freed(items(), "waves", "strict")
    with pytest.raises(InputError, match="3 labels for 24 people"):
        freed(items(), ["a", "b", "c"], "metric")
    with pytest.raises(InputError, match="one level alone"):
        freed(items(), ["a"] * 24, "metric")
    with pytest.raises(InputError, match="every scale has one item"):
        freed(items(), "waves", "metric", scales=range(4))
    with pytest.raises(InputError, match="items cannot be moved"):
        freed(toy(4), "waves", "metric")
    with pytest.raises(InputError, match="40 folds of 24 people"):
        invariance(items(), "waves", 1, fit=by_least_squares, n_folds=40)

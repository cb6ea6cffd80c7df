"""The outer world: samples follow its tables, and nothing impossible is ever drawn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from attach_ai.agent.agent import sample
from attach_ai.world import process
from tests.agent.random_pomdps import LAYOUT, LAYOUTS, random_pomdp

N = 20_000
EDGES = [0.0, 0.5, float(np.nextafter(1, 0))]


def assert_drawn_from(levels: np.ndarray, p: np.ndarray) -> None:
    counts = np.bincount(levels, minlength=len(p))
    assert (counts[p == 0] == 0).all()
    if (p > 0).sum() == 1:  # nothing left to chance
        return
    assert chisquare(counts[p > 0], N * p[p > 0] / p.sum()).pvalue > 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_levels_and_outcomes_follow_the_tables(layout: object) -> None:
    pomdp = random_pomdp(40, layout, zeros=0.2)
    layout = pomdp.layout
    n_factors = len(layout.factors)
    levels = jnp.asarray([len(f.levels) - 1 for f in layout.factors], jnp.int32)
    choice = len(layout.choices) - 2
    acts = layout.choices[choice]

    @jax.jit
    def run(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        tables = process.prepare(pomdp)
        draws = jax.random.uniform(key, (N, n_factors + len(layout.modalities)))
        start = jax.vmap(lambda d: process.begin(tables, d))(draws[:, :n_factors])
        u = jnp.asarray(choice, jnp.int32)
        after = jax.vmap(lambda d: process.change(tables, levels, u, d))(draws[:, :n_factors])
        edges = tables.edges[process.outcome_rows(tables, levels)]
        outcome = jax.vmap(lambda d: process.inverse_cdf(edges, d))(draws[:, n_factors:])
        return start, after, outcome

    start, after, outcome = map(np.asarray, run(jax.random.key(3)))
    for f, factor in enumerate(layout.factors):
        assert_drawn_from(start[:, f], np.asarray(pomdp.D[f]))
        given = (*(int(levels[p]) for p in factor.parents), *(acts[a] for a in factor.actions))
        assert_drawn_from(after[:, f], np.asarray(pomdp.B[f])[(slice(None), *given)])
    for m, modality in enumerate(layout.modalities):
        given = tuple(int(levels[p]) for p in modality.parents)
        assert_drawn_from(outcome[:, m], np.asarray(pomdp.A[m])[(slice(None), *given)])


@pytest.mark.parametrize("draw", EDGES)
@pytest.mark.parametrize("seed", range(4))
def test_padding_and_impossible_levels_are_never_drawn(seed: int, draw: float) -> None:
    pomdp = random_pomdp(seed, LAYOUT, zeros=0.5)
    tables = process.prepare(pomdp)
    p = np.asarray(tables.p)
    found = process.inverse_cdf(tables.edges, jnp.full(len(p), draw))
    assert (np.take_along_axis(p, np.asarray(found)[:, None], axis=1) > 0).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("n", [3, 9, 33])
def test_a_choice_of_no_probability_is_never_sampled(n: int, dtype: object) -> None:
    rng = np.random.default_rng(n)
    p = rng.dirichlet(np.ones(n), size=500) * (rng.random((500, n)) < 0.5)
    p[:, rng.integers(n)] += 1e-3
    p = jnp.asarray(p / p.sum(1, keepdims=True), dtype)
    for draw in (0.0, 0.25, 0.999, float(np.nextafter(dtype(1), dtype(0)))):
        drawn = jax.vmap(sample, (0, None))(p, jnp.asarray(draw, dtype))
        assert (np.take_along_axis(np.asarray(p), np.asarray(drawn)[:, None], axis=1) > 0).all()

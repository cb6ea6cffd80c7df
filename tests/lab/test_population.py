"""Populations: what is drawn, varied and shuffled, and what stays."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from attach_ai.lab.arms import build_all
from attach_ai.lab.design import COMBINATIONS, VARIANTS, latin_hypercube, shuffle_edges, sweep
from attach_ai.lab.fixed_points import fixed_points, hysteresis
from attach_ai.lab.population import population
from attach_ai.model import load_model, load_phenotype


def test_a_hypercube_has_one_draw_in_each_stratum() -> None:
    draws = latin_hypercube({"a": (0.0, 2.0), "b": (-1.0, 1.0)}, 50, seed=3)
    for name, (low, width) in {"a": (0.0, 2.0), "b": (-1.0, 2.0)}.items():
        strata = np.floor((draws[name] - low) / width * 50).astype(int)
        assert sorted(strata) == list(range(50))


def test_a_sweep_stays_inside_the_supports_and_covers_every_assumption() -> None:
    model = load_model("attachment_core")
    ranges = sweep(model, dict(load_phenotype("attachment_injury")) | {}, fixed=("trust",))
    marked = {n for n, p in model.parameters.items() if p.meaning.endswith("; A")}
    assert marked <= set(ranges)
    assert "trust" not in ranges
    for name, (low, high) in ranges.items():
        if name in model.parameters:
            a, b = model.parameters[name].support
            assert a <= low <= high <= b, name


def test_shuffled_edges_keep_columns_and_what_actions_set() -> None:
    pomdp = load_model("attachment_core").build()
    dealt = shuffle_edges(jax.random.key(1), pomdp)
    changed = 0
    for before, after in zip((*pomdp.A, *pomdp.B), (*dealt.A, *dealt.B), strict=True):
        columns = [np.sort(np.asarray(t).reshape(t.shape[0], -1), axis=1) for t in (before, after)]
        np.testing.assert_array_equal(*columns)
        np.testing.assert_allclose(np.asarray(after).sum(0), 1, atol=1e-12)
        changed += not np.array_equal(before, after)
    assert changed >= 4
    stance = pomdp.layout.factor("stance")
    np.testing.assert_array_equal(dealt.B[stance], pomdp.B[stance])


def test_variants_are_as_many_as_declared_and_differ() -> None:
    model = load_model("attachment_core")
    group = population("variants", model, {}, n=0, n_seeds=2, seed=0)
    assert 8 <= group.n == len(VARIANTS) + len(COMBINATIONS) <= 16
    built = group.build({}, {})
    tables = [
        np.concatenate([np.asarray(t[i]).ravel() for t in (*built.A, *built.B)])
        for i in range(group.n)
    ]
    assert len({t.tobytes() for t in tables}) == group.n


@pytest.mark.parametrize("n", [1, 5])
def test_building_many_equals_building_each(n: int) -> None:
    model = load_model("attachment_core")
    trust = np.linspace(0.1, 0.8, n)
    many = build_all(model, {"trust": trust}, n)
    for i in range(n):
        one = model.build(trust=trust[i])
        for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(a[i], b, atol=1e-14)


def test_fixed_points_of_a_known_fold() -> None:
    x = np.linspace(-2, 2, 401)
    points = fixed_points(x, x - x**3)
    assert [round(p, 6) for p, _ in points] == [-1, 0, 1]
    assert [stable for _, stable in points] == [True, False, True]


def test_hysteresis_is_a_fold_and_not_a_lag() -> None:
    x, control = np.linspace(-2, 2, 401), np.linspace(-1, 1, 41)
    folded = np.array([x - x**3 - c for c in control])
    up, down = hysteresis(x, folded)
    assert up[20] == pytest.approx(1, abs=0.02)
    assert down[20] == pytest.approx(-1, abs=0.02)
    single = np.array([-x - c for c in control])
    up, down = hysteresis(x, single)
    np.testing.assert_allclose(up, down, atol=1e-12)

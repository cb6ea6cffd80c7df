"""Studies held against each other: figures, weights, and the words that they are put in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.comparison.compare import Comparison, compare_studies, stacking
from attach_ai.fit.sampling.sample import Draws
from tests.fit import gaussian


def exact(study: gaussian.ToyStudy, spread: float = gaussian.SPREAD) -> Draws:
    sites = gaussian.exact_draws(study.people, 200, spread=spread).sites
    return Draws(sites, {}, 0.0, "exact")


@pytest.fixture(scope="module")
def found() -> Comparison:
    """Ours knows how people differ; the rival hardly lets them."""
    ours = gaussian.study(16)
    mean = jnp.where(jnp.arange(16) < 8, 1.2, -1.2)[:, None, None, None]
    measure = jnp.zeros((16, 1, 3, 2)) + mean
    noise = 0.5 * jax.random.normal(jax.random.key(3), measure.shape)
    ours = replace(ours, people=replace(ours.people, measure=measure + noise))
    draws = {"ours": exact(ours), "stiff": exact(ours, 0.05)}
    return compare_studies({"ours": ours, "stiff": ours}, 1, fitted=draws, progress=False)


def test_the_better_one_is_found_and_said(found: Comparison) -> None:
    table = found.table()
    assert list(table.index) == ["ours", "stiff"]
    assert table.loc["ours", "difference"] == 0
    difference, se = found.difference("stiff", "ours")
    assert table.loc["stiff", "difference"] == difference
    assert difference < -4 * se < 0
    assert table.loc["ours", "weight"] > 0.95
    assert table.loc["ours", "protected"] > 0.95
    assert table.loc["stiff", "waves_difference"] < 0
    text = found.verdict_text()
    nats = f"{abs(difference):.0f}"
    assert re.search(f"people left out, stiff predicts worse by {nats} nats .* than ours", text)
    assert "most people follow is ours" in text
    other = found.verdict_text("stiff")
    assert f"ours predicts better by {nats} nats" in other
    with pytest.raises(InputError, match="no study is called 'none'"):
        found.verdict_text("none")


def test_what_cannot_be_told_apart_is_said_so(found: Comparison) -> None:
    twins = Comparison(
        {"ours": found.loo["ours"], "twin": found.loo["ours"]},
        {"ours": found.waves["ours"], "twin": found.waves["ours"]},
        {"ours": 0.5, "twin": 0.5},
        None,
        exploratory=("twin",),
    )
    text = twins.verdict_text()
    assert "twin predicts about as well (+0.0 nats, standard error 0.0) as ours" in text
    assert "The fit of twin is exploratory" in text


def test_the_tree_holds_all_of_it(found: Comparison, tmp_path: Path) -> None:
    tree = found.to_tree()
    assert tree["people"].sizes == {"model": 2, "subject": 16}
    assert tree["waves"]["elpd"].dims == ("model", "fold", "subject")
    assert tree.attrs["verdict"] == found.verdict_text()
    tree.to_netcdf(tmp_path / "comparison.nc", engine="h5netcdf")
    total = float(tree["people"]["elpd"].sel(model="stiff").sum())
    assert total == pytest.approx(float(tree["table"]["elpd"].sel(model="stiff")))


def test_stacking_agrees_with_arviz() -> None:
    rng = np.random.default_rng(0)
    log_p = rng.normal([-2.9, -3.0, -3.4], 1, (60, 3))
    ours = stacking(log_p)
    # A model whose likelihood does not vary over draws has the same elpd left out or not.
    trees = {
        name: az.from_dict(
            {
                "posterior": {"x": rng.normal(size=(2, 50))},
                "log_likelihood": {"y": np.broadcast_to(log_p[:, k], (2, 50, 60)) + tiny(rng)},
            }
        )
        for k, name in enumerate("abc")
    }
    theirs = az.compare(trees, method="stacking", round_to="none")["weight"]
    np.testing.assert_allclose(ours, [theirs[k] for k in "abc"], atol=0.01)
    assert ours.sum() == pytest.approx(1)


def tiny(rng: np.random.Generator) -> np.ndarray:
    return 1e-4 * rng.normal(size=(2, 50, 60))


def test_studies_of_other_answers_are_not_compared() -> None:
    with pytest.raises(InputError, match="'a' and 'b' do not have the same answers"):
        compare_studies({"a": gaussian.study(6), "b": gaussian.study(7)}, 0)
    with pytest.raises(InputError, match="nothing to compare"):
        compare_studies({}, 0)

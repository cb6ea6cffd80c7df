"""A fit as a labelled tree: what it holds, that ArviZ reads it, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import arviz
import jax
import numpy as np
import pytest
import xarray as xr

from attach_ai.errors import InputError
from attach_ai.fit.sampling import predictive, tree
from attach_ai.fit.sampling.diagnostics import diagnostics, worst
from attach_ai.fit.sampling.sample import Draws
from attach_ai.fit.sampling.tree import load_tree, people_of, population_of, save_tree, to_tree
from tests.fit.toy import toy

CHAINS, LENGTH = 2, 400
STUDY = toy(6, 3, 2, n_continuous=1)
# Independent draws of the prior stand in for a sampler's.
PRIOR = predictive.prior_draws(STUDY, jax.random.key(1), CHAINS * LENGTH)
NOISE = np.random.default_rng(0)
DRAWS = Draws(
    {k: v.reshape(CHAINS, LENGTH, *v.shape[1:]) for k, v in PRIOR.items()},
    {
        "diverging": np.zeros((CHAINS, LENGTH), bool),
        "energy": NOISE.normal(size=(CHAINS, LENGTH)),
        "tree_depth": np.full((CHAINS, LENGTH), 3),
        "lp": NOISE.normal(size=(CHAINS, LENGTH)),
    },
    12.34,
    "NUTS (NumPyro)",
)


@pytest.fixture(scope="module")
def fit() -> xr.DataTree:
    return to_tree(STUDY, DRAWS, n_predictive=50, notes=["One note."], methods="Said so.")


def test_everything_is_labelled(fit: xr.DataTree) -> None:
    posterior = fit["posterior"]
    assert posterior["mean"].dims == ("chain", "draw", "parameter")
    assert list(posterior["parameter"].values) == ["level", "trend"]
    assert posterior["effects"].dims == ("chain", "draw", "subject", "own")
    assert posterior["person level"].dims == ("chain", "draw", "subject")
    np.testing.assert_array_equal(posterior["mean"], DRAWS.sites["mean"])
    # Quantities follow from the very same draws.
    one = {k: v[1, 7] for k, v in DRAWS.sites.items()}
    level = one["mean"][0] + one["spread"][0] * one["effects"][:, 0]
    np.testing.assert_allclose(posterior["person level"][1, 7], level, rtol=1e-12)
    assert set(fit["prior"].data_vars) == {"mean", "spread", "cut_first", "mean trend"}
    assert fit["prior"].sizes["draw"] == tree.N_PRIOR
    assert fit["posterior_predictive"]["score"].shape == (50, 6, 1, 3, 1)
    assert fit["prior_predictive"]["count"].dims == (
        "sample",
        "group",
        "occasion",
        "item",
        "category",
    )
    assert "trajectory" not in fit.children  # this study has no beliefs
    assert {k: json.loads(v) for k, v in fit.attrs.items()}["notes"] == ["One note."]
    assert json.loads(fit.attrs["design"])["engine"] == "NUTS (NumPyro)"
    assert json.loads(fit.attrs["priors"])[0]["site"] == "mean"


def test_scores_and_counts_are_those_of_the_answers(fit: xr.DataTree) -> None:
    answer, measure = np.asarray(STUDY.people.answer), np.asarray(STUDY.people.measure)
    value = np.where(answer >= 0, answer, measure)
    data = fit["observed_data"]
    np.testing.assert_allclose(data["score"][..., 0], np.nanmean(value, -1), rtol=1e-12)
    for occasion in range(3):
        for item in range(2):
            chosen = answer[:, 0, occasion, item]
            counted = np.bincount(chosen[chosen >= 0], minlength=4)
            np.testing.assert_array_equal(data["count"][0, occasion, item], counted)
    # What was not asked is not predicted either.
    n = fit["posterior_predictive"]["count"].sum("category")
    assert (n == data["count"].sum("category")).all()
    predicted = fit["posterior_predictive"]["score"]
    assert (predicted.isel(sample=0).isnull() == data["score"].isnull()).all()


def test_predictions_follow_the_draws() -> None:
    """Drawn at one point, categories come as often as their probabilities say."""
    at = {k: np.repeat(v[:1, 0], 400, axis=0) for k, v in DRAWS.sites.items()}
    by = predictive.sheet(STUDY)
    count = predictive.predict(STUDY, by, at, jax.random.key(2))["count"].mean(0)[0, 1, 0]
    # By hand: person i passes level k with log odds theta - cut_first - k.
    theta = at["mean"][0] @ (1.0, 0.5) + at["spread"][0] * at["effects"][0][:, 0]
    past = 1 / (1 + np.exp(at["cut_first"][0, 0] + np.arange(3) - theta[:, None]))
    p = -np.diff(np.concatenate([np.ones((6, 1)), past, np.zeros((6, 1))], 1))
    asked = np.asarray(STUDY.people.answer)[:, 0, 1, 0] >= 0
    expected = p[asked].sum(0)
    np.testing.assert_allclose(count, expected, atol=4 * np.sqrt(asked.sum() / 4 / 400))


def test_it_is_written_and_read_back(fit: xr.DataTree, tmp_path: Path) -> None:
    save_tree(fit, tmp_path / "fit.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]
    back = load_tree(tmp_path / "fit.nc")
    assert back.attrs == fit.attrs
    for name, node in fit.children.items():
        xr.testing.assert_identical(node.to_dataset(), back[name].to_dataset())
    summary = arviz.summary(back, var_names=["mean", "spread"])
    assert list(summary.index) == ["mean[level]", "mean[trend]", "spread[level]"]
    assert arviz.ess(back, var_names=["mean trend"]) is not None


@pytest.mark.parametrize("content", [b"", b"not a tree"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fit.nc"
    path.write_bytes(content)
    with pytest.raises(InputError, match="could not be read as a fit"):
        load_tree(path)
    with pytest.raises(InputError, match="could not be read as a fit"):
        load_tree(tmp_path / "none.nc")


def test_people_are_kept_apart_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "LARGE", 100)
    monkeypatch.setattr(tree, "N_PERSON", 20)
    population, person = tree._posterior(
        STUDY, DRAWS, {k: v.reshape(-1, *v.shape[2:]) for k, v in DRAWS.sites.items()}
    )
    assert person is not None
    assert set(person.data_vars) == {"effects", "person level"}
    assert person.sizes["draw"] == 10
    kept = DRAWS.sites["effects"][:, person["draw"].values]
    np.testing.assert_array_equal(person["effects"], kept)
    whole = xr.DataTree.from_dict({"posterior": population, "person": person})
    assert set(people_of(whole).data_vars) == set(person.data_vars)
    assert set(population_of(whole).data_vars) == {"mean", "spread", "cut_first", "mean trend"}


def said(draws: Draws, fit: xr.DataTree) -> dict[str, bool]:
    """What the checks say of other draws in the same tree."""
    again = fit.copy()
    for group, changed in (("posterior", draws.sites), ("sample_stats", draws.stats)):
        for name, values in changed.items():
            again[group][name] = again[group][name].copy(data=values)
    return {c.name: c.good for c in diagnostics(again)}


def test_good_draws_are_green(fit: xr.DataTree) -> None:
    assert all(said(DRAWS, fit).values())
    assert worst(fit)["r_hat"] < 1.01


def test_each_fault_turns_its_own_check_red(fit: xr.DataTree) -> None:
    apart = DRAWS.sites["mean"] + np.array([0.0, 3.0])[:, None, None]
    assert not said(replace(DRAWS, sites={**DRAWS.sites, "mean": apart}), fit)["chains agree"]
    lost = DRAWS.stats["diverging"].copy()
    lost[0, 3] = True
    found = said(replace(DRAWS, stats={**DRAWS.stats, "diverging": lost}), fit)
    assert [name for name, good in found.items() if not good] == ["no divergent draws"]
    slow = np.cumsum(DRAWS.stats["energy"], axis=1)
    found = said(replace(DRAWS, stats={**DRAWS.stats, "energy": slow}), fit)
    assert [name for name, good in found.items() if not good] == ["energy explored"]
    deep = np.full((CHAINS, LENGTH), 10)
    found = said(replace(DRAWS, stats={**DRAWS.stats, "tree_depth": deep}), fit)
    assert [name for name, good in found.items() if not good] == ["paths long enough"]


def test_an_exploratory_fit_is_red(fit: xr.DataTree) -> None:
    again = fit.copy()
    again.attrs["design"] = json.dumps({"exploratory": True, "notice": "exploratory: too narrow"})
    (check,) = diagnostics(again)
    assert not check.good
    assert check.text == "Exploratory: too narrow."

"""What a design gives back is what a closed form says it must."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.checks.recovery import recover
from tests.fit import exact
from tests.fit.toy import toy

STUDY = exact.study()


def test_bias_coverage_r_and_contraction_are_those_of_the_known_posterior() -> None:
    found = recover(STUDY, 3, n_replicates=200, fit=exact.fitting(400), progress=False)
    _, covariance = exact.posterior(STUDY.people)  # the same whatever is answered
    variance = np.diag(covariance)
    assert found.elements == ("mean level", "mean trend")
    np.testing.assert_allclose(found.sites.bias(), 0, atol=0.06)
    np.testing.assert_allclose(found.sites.rmse(), np.sqrt(variance), rtol=0.15)
    np.testing.assert_allclose(found.sites.contraction(), 1 - variance, atol=0.05)
    np.testing.assert_allclose(found.sites.coverage("50"), 0.5, atol=0.1)
    np.testing.assert_allclose(found.sites.coverage("89"), 0.89, atol=0.07)
    r = list(found.population_r.values())
    np.testing.assert_allclose(r, np.sqrt(1 - variance), atol=0.04)
    assert found.individual_r == {}
    assert "mean trend" in found.table()


def test_a_given_population_is_the_one_that_is_drawn(tmp_path: Path) -> None:
    at = {"mean": np.array([1.0, -1.0])}
    found = recover(STUDY, 3, n_replicates=20, at=at, fit=exact.fitting(), folder=tmp_path)
    np.testing.assert_allclose(found.sites.truth, [[1.0, -1.0]] * 20)
    np.testing.assert_allclose(found.sites.mean.mean(0), [1.0, -1.0], atol=0.3)  # shrunken
    assert all(np.isnan(r) for r in found.population_r.values())
    with pytest.raises(InputError, match=r"at was .* and is now"):
        recover(STUDY, 3, n_replicates=20, at={"mean": np.zeros(2)}, folder=tmp_path)
    with pytest.raises(InputError, match="no site is called 'trend'; there are mean"):
        recover(STUDY, 3, at={"trend": np.zeros(1)})
    with pytest.raises(InputError, match=r"mean has shape \(3,\); expected \(2,\)"):
        recover(STUDY, 3, at={"mean": np.zeros(3)})


def test_people_are_told_apart_as_far_as_their_answers_allow(tmp_path: Path) -> None:
    """By sampling: much data each, so that individual effects come back."""
    at = {"spread": np.array([1.0])}
    with jax.enable_x64(False):  # as outside of tests
        study = toy(10, 3, 0, n_continuous=3, missing=0.0)
        found = recover(
            study, 5, n_replicates=2, at=at, warmup=80, draws=80, folder=tmp_path, progress=False
        )
        again = recover(
            study, 5, n_replicates=2, at=at, warmup=80, draws=80, folder=tmp_path, progress=False
        )
    np.testing.assert_array_equal(found.people.mean, again.people.mean)
    assert found.individual_r["level"] > 0.9
    assert found.hidden == ()
    tree = found.to_tree()
    assert tree["people"]["mean"].dims == ("replicate", "subject", "effect")
    assert float(tree["individual"]["r"].sel(effect="level")) == found.individual_r["level"]
    blurred = {
        **found.__dict__,
        "people": found.people.__class__(
            **{**found.people.__dict__, "mean": np.random.default_rng(0).random((2, 10, 1))}
        ),
    }
    assert found.__class__(**blurred).hidden == ("level",)

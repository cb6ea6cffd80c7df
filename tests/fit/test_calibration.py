"""Ranks are uniform where draws are from the posterior, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

from attach_ai.errors import InputError
from attach_ai.fit.checks.calibration import Calibration, calibrate
from attach_ai.fit.checks.replicates import chosen
from attach_ai.fit.checks.uniformity import band, departure, p_value
from tests.fit import exact
from tests.fit.toy import toy

STUDY = exact.study()


def ranked(**options: object) -> Calibration:
    own = {"n_replicates": 120, "progress": False, "fit": exact.fitting(), **options}
    return calibrate(STUDY, 7, **own)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def calibrated() -> Calibration:
    return ranked()


def test_draws_from_the_posterior_are_calibrated(calibrated: Calibration) -> None:
    assert calibrated.passed
    assert calibrated.quantities == ("mean level", "mean trend", "log likelihood")
    assert calibrated.ranks.shape == (120, 3)
    assert "calibrated" in calibrated.table()


@pytest.mark.parametrize(("wider", "word"), [(0.5, "too narrow"), (2.5, "too wide")])
def test_a_wrong_spread_is_found_and_named(wider: float, word: str) -> None:
    found = ranked(fit=exact.fitting(wider=wider))
    assert not found.passed
    assert word in found.words("mean level")


def test_a_posterior_that_never_saw_the_data_is_found_by_the_likelihood_alone() -> None:
    found = ranked(fit=exact.fitting(blind=True))
    assert found.p["mean level"] > 0.01
    assert found.p["log likelihood"] < 0.001
    assert not found.passed


def test_shares_of_the_work_come_together_in_one_folder(
    calibrated: Calibration, tmp_path: Path
) -> None:
    fits = []
    whole = exact.fitting()

    def counted(people: object, seed: int) -> object:
        fits.append(seed)
        return whole(people, seed)  # type: ignore[arg-type]

    first = ranked(only="61-120", folder=tmp_path, fit=counted)
    assert len(first.ranks) == len(fits) == 60
    both = ranked(only="1-61", folder=tmp_path, fit=counted)
    assert len(fits) == 120  # what lies there is not made again
    np.testing.assert_array_equal(both.ranks, calibrated.ranks)
    with pytest.raises(InputError, match="n_ranks was 63 and is now 31"):
        ranked(only="1", folder=tmp_path, n_ranks=31)
    (tmp_path / "replicate_00001.npz").write_bytes(b"torn")
    with pytest.raises(InputError, match="is no file of a replicate"):
        ranked(only="1", folder=tmp_path)


def test_pit_values_are_arviz_s(calibrated: Calibration) -> None:
    tree = calibrated.to_tree()
    pit = tree["prior_sbc"]["mean"]
    assert pit.dims[:2] == ("chain", "draw")
    assert pit.shape == (1, 120, 2)
    assert kstest(pit.values[..., 0].ravel(), "uniform").pvalue > 0.01
    own = tree["calibration"]
    share = (calibrated.ranks[:, 0, None] <= np.arange(63)).mean(0)
    assert ((own["low"].values <= share) & (share <= own["high"].values)).all()


def test_the_band_holds_all_of_a_uniform_distribution_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    _, low, high = band(100, 31)
    inside, p = [], []
    for _ in range(400):
        ranks = rng.integers(0, 32, 100)
        share = (ranks[:, None] <= np.arange(31)).mean(0)
        inside.append(((low <= share) & (share <= high)).all())
        p.append(p_value(ranks, 31))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.04)
    # The band and the p-value are two readings of one test.
    assert np.mean(np.array(inside) == (np.array(p) >= 0.05)) > 0.98


def test_departures_have_names() -> None:
    rng = np.random.default_rng(2)
    assert departure(rng.integers(30, 64, 200), 63) == "estimates too low"
    assert departure(rng.integers(0, 30, 200), 63) == "estimates too high"
    assert departure(rng.choice([0, 63], 200), 63) == "posterior too narrow"
    assert departure(rng.integers(25, 40, 200), 63) == "posterior too wide"


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("1-x", "'1-x' is no range"),
        ("0", "there is no replicate 0; they are numbered from 1 to 9"),
        ("8-10", "there is no replicate 10"),
        ([], "the range is empty"),
        ("3-2", "the range is empty"),
    ],
)
def test_a_range_that_is_none_is_named(only: str | list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        chosen(only, 9)


def test_ranges() -> None:
    assert chosen("1-3, 7", 9) == [1, 2, 3, 7]
    assert chosen([5, 2], 9) == [2, 5]
    assert chosen(None, 3) == [1, 2, 3]


def test_what_cannot_be_calibrated_is_said() -> None:
    with pytest.raises(InputError, match="20 draws cannot give 63 ranks"):
        calibrate(STUDY, 1, draws=20)
    with pytest.raises(InputError, match="has other sites or effects"):
        calibrate(STUDY, 1, fitted=toy(3))

"""What the page takes from a fit: numbers with their intervals, and what they decide."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from attach_ai.fit.comparison.compare import Comparison
from attach_ai.fit.comparison.loo import Integrated, Waves
from attach_ai.lab.fitted import contested, effects_of, estimates, mixing, over_opponents
from tests import fit_trees


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return fit_trees.fitted(12)


def test_estimates_have_names_ends_and_no_people(tree: xr.DataTree) -> None:
    found = estimates(tree)
    draws = tree["posterior"]["effect"].sel(parameter="trust", covariate="age").values
    ours = found["estimate"].sel(quantity="effect[trust, age]")
    np.testing.assert_allclose(ours, np.quantile(draws, [0.055, 0.5, 0.945]))
    assert list(found["end"].values) == ["low", "median", "high"]
    assert "subject" not in found.dims
    assert not [q for q in found["quantity"].values if "effects" in q or "item" in q]
    score = tree["observed_data"]["score"]
    arm = tree["constant_data"]["group"].values == "practice"
    np.testing.assert_allclose(
        found["score"].sel(group="practice").values,
        score.values[arm].mean(0, where=np.isfinite(score.values[arm])),
    )
    assert found["predicted"].dims == ("end", "group", "episode", "occasion", "scale")
    assert mixing(found).measured == found.attrs  # each under the name by which it is judged
    assert found.attrs["divergences"] == 0


def left_out(elpd: list[float]) -> tuple[Integrated, Waves]:
    """Densities of people and of their last occasion, with all weights sound."""
    e, nothing = np.array(elpd), np.zeros(len(elpd))
    people = tuple(map(str, range(len(elpd))))
    never = np.zeros(len(elpd), bool)
    one = Integrated(people, e[None], e, e, nothing, nothing, nothing, never)
    return one, Waves(people, ("last",), e[None] / 2, nothing[None], never[None])


def test_how_far_ours_is_ahead_is_counted_from_ours() -> None:
    ours, best = [-3.0, -4.0, -5.0], [-2.0, -3.5, -3.0]
    pairs = {"ours": left_out(ours), "best": left_out(best)}
    loo, waves = ({k: p[i] for k, p in pairs.items()} for i in (0, 1))
    found = contested(Comparison(loo, waves, {"ours": 0.1, "best": 0.9}, None))  # type: ignore[arg-type]
    assert float(found["ahead"].sel(model="ours")) == 0
    away = np.array(ours) - np.array(best)
    assert float(found["ahead"].sel(model="best")) == pytest.approx(away.sum())
    se = np.sqrt(3) * away.std(ddof=1)
    assert float(found["ahead_se"].sel(model="best")) == pytest.approx(se)
    assert float(found["waves_ahead"].sel(model="best")) == pytest.approx(away.sum() / 2)
    assert "best predicts" in found.attrs["verdict"]


def test_an_opponent_is_beaten_by_more_than_two_standard_errors_or_not_at_all() -> None:
    data = xr.Dataset(
        {
            "ahead": ("model", [0.0, 5.0, 3.0, -9.0]),
            "ahead_se": ("model", [0.0, 2.0, 2.0, 1.0]),
            "waves_ahead": ("model", np.zeros(4)),
            "waves_ahead_se": ("model", np.zeros(4)),
            "k_share": ("model", np.zeros(4)),
        },
        {"model": ["ours", "without law", "mixed", "autoregression, events before"]},
    )
    names = ("without law", "mixed", "autoregression, events before", "event filter")
    outcomes = over_opponents(data, names)
    assert [(f.name, f.passed) for f in outcomes] == [
        ("better_than_without_law", True),
        ("better_than_mixed", False),
        ("better_than_autoregression_events_before", False),
    ]


def test_an_effect_moves_where_its_interval_leaves_zero_out() -> None:
    names = ["effect[trust, arm]", "effect[hold, arm]", "effect[trust, age]", "mean[trust]"]
    ends = np.array([[0.1, -0.2, 1.0, 1.0], [0.3, 0.1, 2.0, 2.0], [0.5, 0.4, 3.0, 3.0]])
    data = xr.Dataset(
        {"estimate": (("end", "quantity"), ends)},
        {"end": ["low", "median", "high"], "quantity": names},
    )
    assert effects_of(data, "arm") == (
        ["effect[trust, arm]"],
        {"effect[trust, arm]": 0.3, "effect[hold, arm]": 0.1},
    )


@pytest.mark.parametrize(("rhat", "agree"), [(1.01, True), (1.02, False), (float("nan"), False)])
def test_chains_agree_or_are_said_not_to(rhat: float, agree: bool) -> None:
    found = mixing(xr.Dataset(attrs={"rhat": rhat, "ess": 400.0, "divergences": 0.0}))
    assert (found.passed, found.decides) == (agree, False)

"""Pictures of a fit, from a made-up tree: they show the numbers they were given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.text
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from attach_ai.errors import InputError
from attach_ai.plot import fit_check_frames as check_frames
from attach_ai.plot import fit_checks as checks
from attach_ai.plot import fit_frames as frames
from attach_ai.plot import fit_pages as pages
from attach_ai.plot.fit import fit, title
from attach_ai.plot.fit_labels import called, reading, told
from attach_ai.plot.style import MM, SMALLEST, sheet
from tests import fit_trees
from tests.fit_trees import fitted

TREE = fitted()
TREE["identification"] = xr.DataTree(fit_trees.identified())
PAGES = {
    "fit": fit,
    "beliefs": pages.beliefs,
    "scores": pages.scores,
    "effects": pages.effects,
    "learned": pages.learned,
    "answers": pages.answers,
    "missingness": pages.missingness,
}


def shown(figure: Figure) -> list[matplotlib.text.Text]:
    return [t for t in figure.findobj(matplotlib.text.Text) if t.get_text() and t.get_visible()]


def texts(figure: Figure) -> set[str]:
    return {t.get_text() for t in shown(figure)}


def legible(figure: Figure) -> None:
    """It fits the page, and its smallest letters can be read."""
    width, height = figure.get_size_inches() / MM
    assert width == pytest.approx(180)
    assert height < 240
    assert min(t.get_fontsize() for t in shown(figure)) >= SMALLEST
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())  # in inches
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width * MM + 0.01
    assert box.y1 <= height * MM + 0.01


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_legible(name: str) -> None:
    legible(PAGES[name](TREE))


CHECKS = {
    "identification": lambda: checks.identification(TREE),
    "recovery": lambda: checks.recovery(fit_trees.recovered()),
    "calibration": lambda: checks.calibration(fit_trees.calibrated(1)),
    "comparison": lambda: checks.comparison(fit_trees.compared()),
    "design": lambda: checks.design(fit_trees.designed()),
    "not_at_random": lambda: checks.not_at_random(fit_trees.shifted()),
}


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_legible(name: str) -> None:
    legible(CHECKS[name]())


def test_what_cannot_be_told_is_framed() -> None:
    population, people = checks.identification(TREE).axes
    # Parameters of items are left out; of the rest, two numbers are below a tenth.
    assert len(population.get_yticklabels()) == 6
    assert {".95", ".04", ".02"} <= {t.get_text() for t in population.texts}
    assert len(population.patches) == 2
    assert {".80", ".40"} <= {t.get_text() for t in people.texts}


def test_poor_recovery_is_struck_and_hollow() -> None:
    good, poor, *population = checks.recovery(fit_trees.recovered((0.9, 0.5))).axes
    assert len(population) == 2  # a mean and an effect, no parameter of an item
    assert any("r .50 ✗" in t.get_text() for t in poor.texts)
    assert not any("✗" in t.get_text() for t in good.texts)
    assert len(poor.collections[0].get_facecolor()) == 0
    frame = check_frames.recovered(fit_trees.recovered())
    truth = fit_trees.recovered()["people"]["truth"].isel(effect=1).values.ravel()
    np.testing.assert_array_equal(frame["truth"].isel(panel=1), truth)


def test_a_line_that_leaves_its_band_is_struck() -> None:
    worst, *others = checks.calibration(fit_trees.calibrated(1)).axes
    assert any("trust: mean ✗" in t.get_text() for t in worst.texts)
    assert not any("✗" in t.get_text() for axes in others for t in axes.texts)
    rank = fit_trees.calibrated(1)["calibration"]["rank"].sel(quantity="mean trust").values
    frame = check_frames.ranked(fit_trees.calibrated(1))
    wanted = (rank[:, None] <= np.arange(15)).mean(0) - np.arange(1, 16) / 16
    np.testing.assert_allclose(frame["ecdf"].sel(quantity="mean trust"), wanted)


def test_the_best_model_stands_first() -> None:
    tree = fit_trees.compared()
    tree["table"] = tree["table"].to_dataset().isel(model=[1, 2, 0])
    left, right = checks.comparison(tree).axes
    assert left.get_yticklabels()[0].get_text() == "autoregression"
    np.testing.assert_allclose([b.get_width() for b in right.patches], [0.97, 0.02, 0.01])


def test_a_design_has_a_row_of_panels_for_each_dose() -> None:
    axes = checks.design(fit_trees.designed()).axes
    assert len(axes) == 6
    assert {t.get_text() for t in axes[3].texts} >= {"Power, dose 1.0", ".89"}
    assert len(axes[3].patches) == 1  # the one cell that reaches .8


def test_intervals_of_beliefs_are_those_of_the_draws() -> None:
    frame = frames.beliefs(TREE)
    drawn = TREE["trajectory"]["belief"].isel(group=1, episode=0, step=5, reading=2)
    at = frame.isel(group=1, episode=0, step=5, reading=2)
    wanted = np.quantile(drawn, [0.055, 0.5, 0.945])
    np.testing.assert_allclose([at["low"], at["mid"], at["high"]], wanted)


def test_only_probabilities_have_the_axis_of_probabilities() -> None:
    tree = fitted()
    names = ["entropy a", "cond a.b | c.d", "freq negative_valence"]
    tree["trajectory"] = tree["trajectory"].to_dataset().assign_coords(reading=names) * 0.5
    ends = [
        tuple(np.round(axes.get_ylim(), 2)) == (-0.03, 1.03) for axes in pages.beliefs(tree).axes
    ]
    assert ends == [False, True, True]


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        (
            "prior law.unstable|contingent | agents = benevolent",
            "prior P(law unstable or contingent | agents benevolent)",
        ),
        (
            "policy next_stance.withdraw : maintain",
            "P(next stance withdraw rather than maintain)",
        ),
        ("freq negative_valence, 14 d", "negative valence, share of 14 d"),
        ("-window attachment.proximal, 30 d", "1 − P(attachment proximal), over 30 d"),
        ("now valence", "expected valence"),
        ("-entropy self_state", "less entropy of self state, nats"),
        ("anything else", "anything else"),
    ],
)
def test_readings_are_said_plainly(label: str, wanted: str) -> None:
    assert reading(label) == wanted


def test_numbers_are_called_by_their_names() -> None:
    assert called("cluster[2, trust]") == "trust, difference 2 between clusters"
    assert told("combinations of mean[heal], effect[heal, age]: fix one.") == (
        "combinations of heal: mean, heal by age: fix one."
    )


def test_the_overview_shows_what_moves() -> None:
    ranges = frames.moved(frames.beliefs(TREE))
    assert str(ranges.idxmax().item()) == "entropy of self_state"
    assert any("entropy of self state, nats" in t for t in texts(fit(TREE)))


def test_a_group_s_score_is_the_mean_of_those_who_answered() -> None:
    frame = frames.scores(TREE)
    of = frames.groups(TREE).values
    data = TREE["observed_data"]["score"].values[of == "waitlist", 0, 2, 1]
    at = frame.sel(group="waitlist", scale="ecr_rs.avoidance").isel(occasion=2, episode=0)
    assert float(at["observed"]) == pytest.approx(np.nanmean(data))
    assert int(at["n"]) == np.isfinite(data).sum() < len(data)
    # What is predicted for those who did not answer does not count.
    again = TREE["posterior_predictive"]["score"].values[:, of == "waitlist", 0, 2, 1]
    low = np.quantile(again[:, np.isfinite(data)].mean(1), 0.055)
    assert float(at["low"]) == pytest.approx(low)


def test_categories_that_an_item_does_not_have_are_left_out() -> None:
    frame = frames.counts(TREE)
    assert frame["observed"].sel(item="ecr_rs.1").notnull().all("category").all()
    phq = frame["observed"].sel(item="phq9.1").isel(group=0, occasion=0)
    assert phq.notnull().values.tolist() == [True] * 4 + [False] * 3
    held, n = frames.inside(frame)
    assert n == 2 * 3 * (4 * 7 + 2 * 4)
    assert held <= n


def test_many_occasions_are_counted_together_before_intervals_are_taken() -> None:
    frame = frames.counts(TREE, most=2)
    assert frame["occasion"].values.tolist() == ["all 3 occasions"]
    raw = TREE["posterior_predictive"]["count"].sum("occasion").isel(group=0, item=0, category=2)
    at = frame.isel(group=0, item=0, category=2, occasion=0)
    assert float(at["high"]) == pytest.approx(np.quantile(raw, 0.945))


def test_effects_are_filled_where_their_interval_leaves_zero_out() -> None:
    tree = fitted()
    drawn = tree["posterior"]["effect"].copy(deep=True)
    drawn[{"parameter": 1, "covariate": 0}] -= float(drawn.isel(parameter=1, covariate=0).mean())
    tree["posterior"]["effect"] = drawn
    (axes,) = pages.effects(tree).axes
    dots = axes.collections[-1]
    blue = [tuple(np.round(c[:3], 2)) != (1, 1, 1) for c in dots.get_facecolor()]
    assert blue == [True, True, False, True, True, True]
    np.testing.assert_allclose(dots.get_offsets()[:, 0], frames.rows(tree, ["effect"])["mid"])


def test_a_number_that_no_draw_moves_has_no_row() -> None:
    tree = fitted()
    drawn = tree["posterior"]["effect"].copy(deep=True)
    drawn[{"parameter": 0, "covariate": 1}] = 0.0
    tree["posterior"]["effect"] = drawn
    assert "effect[trust, age]" not in frames.rows(tree, ["effect"])["label"].values
    assert frames.rows(tree, ["effect"]).sizes["row"] == 5
    assert frames.rows(tree, ["nothing"]).sizes["row"] == 0


def test_what_was_learned_is_the_variance_taken_away() -> None:
    table = frames.learned(TREE, ["mean"])
    after = TREE["posterior"]["mean"].isel(parameter=0).values.var()
    before = TREE["prior"]["mean"].isel(parameter=0).values.var()
    assert float(table["contraction"][0]) == pytest.approx(1 - after / before)


def test_reliability_of_people_is_the_variance_taken_away() -> None:
    drawn = TREE["posterior"]["effects"].values[..., 1].reshape(-1, 40)
    frame = frames.persons(TREE)
    assert float(frame["reliability"].sel(effect="precision")) == pytest.approx(
        1 - drawn.var(0).mean()
    )


def test_who_left_is_counted_by_group() -> None:
    frame = frames.missing(TREE)
    answer = TREE["observed_data"]["answer"].values[frames.groups(TREE).values == "waitlist", 0, 2]
    some = (answer >= 0).any(-1)
    at = frame.sel(group="waitlist").isel(episode=0, occasion=2)
    assert float(at["answered"]) == pytest.approx(some.mean())
    assert float(at["items"]) == pytest.approx((answer[some] >= 0).mean())


def test_the_title_warns() -> None:
    tree = fitted(groups=("all",), exploratory=True, exposure="unknown")
    figure = sheet(180, 20)
    title(figure, tree)
    name, said = (t.get_text() for t in figure.texts)
    assert name == "Attachment waves"
    assert said.startswith("40 people; ")
    assert "EXPLORATORY" in said
    assert "exposure unknown" in said


def test_episodes_lie_side_by_side() -> None:
    tree = twice(TREE)
    figure = fit(tree)
    legible(figure)
    assert {"before", "after"} <= texts(figure)
    names = [t.get_text() for t in figure.axes[1].get_xticklabels()]
    assert "before\nbaseline" in names


def twice(tree: xr.DataTree) -> xr.DataTree:
    """The same tree with its episode lived twice."""
    nodes: dict[str, Any] = {}
    for name, node in tree.children.items():
        data = node.to_dataset()
        if "episode" in data.dims:
            data = data.isel(episode=[0, 0]).assign_coords(episode=["before", "after"])
        nodes[name] = data
    found = xr.DataTree.from_dict(nodes)
    found.attrs = tree.attrs
    return found


def test_one_person_and_nothing_to_compare() -> None:
    tree = fitted(1, groups=("all",))
    legible(fit(tree))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    bare = xr.DataTree.from_dict({"posterior": TREE["posterior"].to_dataset()})
    with pytest.raises(InputError, match="there is no group 'trajectory', only posterior"):
        pages.beliefs(bare)
    with pytest.raises(InputError, match=r"there is no item 'phq9\.10'"):
        pages.answers(TREE, ["phq9.10"])
    with pytest.raises(InputError, match="saved as"):
        fit(TREE, tmp_path / "a.gif")
    fit(TREE, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_attributes_are_read_as_they_are() -> None:
    tree = xr.DataTree()
    tree.attrs = {"design": json.dumps({"model": "a"}), "methods": "plain words"}
    assert frames.said(tree, "design", {}) == {"model": "a"}
    assert frames.said(tree, "methods", "") == "plain words"
    assert frames.said(tree, "notes", []) == []

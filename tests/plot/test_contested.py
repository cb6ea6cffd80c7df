"""The picture of a fit to real data: who is ahead, what moved, and the study that is missing."""

from __future__ import annotations

from typing import Any

import matplotlib.text
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from attach_ai.plot.contested import contested
from attach_ai.plot.style import BLUE, MM, VERMILLION
from tests import fit_trees

VERDICT: dict[str, Any] = {
    "outcomes": [
        {
            "name": name,
            "decides": True,
            "passed": passed,
            "perception": None,
            "share": None,
            "measured": {},
        }
        for name, passed in (("a", True), ("b", False))
    ]
}
DATA = fit_trees.contested()


@pytest.fixture(scope="module")
def waves() -> Any:
    study = fit_trees.designed()
    return contested(DATA, VERDICT, "Pupils", "wave", study=study, asked="an effect on trust")


def test_it_fits_the_page(waves: Any) -> None:
    diary = fit_trees.contested(SCALES, episodes=("before", "after"), n_occasions=60)
    for figure in (waves, contested(diary, VERDICT, "A diary", "beep", rolling=10)):
        width, height = figure.get_size_inches() / MM
        assert width == pytest.approx(180)
        assert height < 240
        box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())  # in inches
        assert min(box.x0, box.y0) >= -0.01
        assert box.x1 <= width * MM + 0.01
        assert box.y1 <= height * MM + 0.01


SCALES = ("m.cheerful", "m.sad", "m.worry", "m.fearful", "m.relaxed")


def test_who_is_ahead_is_told_in_number_and_colour(waves: Any) -> None:
    opponents = waves.axes[len(DATA["scale"])]
    names = [t.get_text() for t in opponents.get_yticklabels()]
    assert names[0] == "autoregression"
    assert "attachment waves" not in names
    told = {t.get_text(): t.get_color() for t in opponents.texts}
    assert told["−120 ± 34"] == VERMILLION
    assert told["+30 ± 12"] == BLUE
    assert told["+2 ± 4"] not in (BLUE, VERMILLION)


def test_effects_say_how_many_leave_zero_out(waves: Any) -> None:
    effects = waves.axes[len(DATA["scale"]) + 1]
    ends = DATA["estimate"].sel(end=["low", "high"]).values
    clear = int(((ends > 0).all(0) | (ends < 0).all(0)).sum())
    heads = [t.get_text() for t in effects.findobj(matplotlib.text.Text)]
    assert f"Effects on parameters: {clear} of {ends.shape[1]} leave zero out" in heads


def test_power_has_a_line_for_each_design(waves: Any) -> None:
    power = waves.axes[-1]
    names = {t.get_text() for t in power.get_legend().get_texts()}
    assert {"2 waves, dose 0.5", "4 waves, dose 1.0"} <= names
    wanted = fit_trees.designed()["power"].sel(waves=4, dose=1.0, items="all")
    assert any(np.array_equal(line.get_ydata(), wanted) for line in power.lines)


def test_a_running_mean_keeps_its_level_at_the_ends() -> None:
    flat = DATA.assign(score=DATA["score"] * 0 + 2)
    figure = contested(flat, VERDICT, "Flat", "wave", rolling=2)
    for axes in figure.axes[: len(DATA["scale"])]:
        for line in axes.lines:
            np.testing.assert_allclose(line.get_ydata(), 2)

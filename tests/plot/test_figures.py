"""The paper's figures, from made-up results: they show the numbers they were given."""

from __future__ import annotations

from typing import Any

import matplotlib.text
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from attach_ai.plot.style import FAIL, MM, PASS, SMALLEST
from tests.plot import cells as made_up

CELLS = {
    "who_pays_for_belief": made_up.who_pays,
    "fear_of_loss_collapse": made_up.fear_of_loss,
}


def drawn(name: str, **verdict: Any) -> tuple[Any, dict[str, Any], Figure]:
    module, cells = made_up.figure(name), CELLS[name]()
    return module, cells, module.draw(cells, made_up.verdict(name, **verdict))


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


@pytest.mark.parametrize("name", CELLS)
def test_it_fits_the_page_and_is_legible(name: str) -> None:
    _, _, figure = drawn(name)
    width, height = figure.get_size_inches() / MM
    assert width == pytest.approx(180)
    assert height < 240
    shown = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text() and t.get_visible()]
    assert min(t.get_fontsize() for t in shown) >= SMALLEST
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    for t in shown:
        box = t.get_window_extent()
        assert box.x0 >= page.x0 - 1, t.get_text()
        assert box.x1 <= page.x1 + 1, t.get_text()
        assert box.y0 >= page.y0 - 1, t.get_text()
        assert box.y1 <= page.y1 + 1, t.get_text()


@pytest.mark.parametrize("name", CELLS)
def test_marks_and_title_come_from_the_verdict(name: str) -> None:
    labels = made_up.figure(name).LABELS
    failed = next(iter(labels))
    _, _, figure = drawn(name, failed=(failed,))
    n = len(labels)
    title = f"predictions held: {n - 1} of {n} exact, {n - 1} of {n} mean field"
    assert any(t.startswith(title) for t in texts(figure))
    marks = [t for t in texts(figure) if t in (PASS, FAIL)]
    assert marks.count(FAIL) == 2
    assert marks.count(PASS) == 2 * (n - 1)
    assert labels[failed] in texts(figure)


def test_ledger_bars_are_the_ledger() -> None:
    module, cells, figure = drawn("who_pays_for_belief")
    books = module.books(cells)
    kept = cells["exact.main.reference"]["ledger_mean"].sel(condition="loop cut, naive, free")
    np.testing.assert_allclose(books.sel(arm="loop cut")["body"], kept.isel(model=0, ledger_1=2))
    for axes, arm in zip(figure.axes, module.ARMS, strict=False):
        for bars in axes.containers:
            heights = [bar.get_height() for bar in bars]
            np.testing.assert_allclose(heights, books.sel(arm=arm)[bars.get_label()])
        (carried,) = (line for line in axes.lines if line.get_label() == "carried")
        np.testing.assert_allclose(carried.get_ydata(), books.sel(arm=arm)["carried"])


def test_ends_are_the_last_priors() -> None:
    module, cells, _ = drawn("who_pays_for_belief")
    ends = module.ends(cells, "mean_field")
    at = cells["mean_field.main.reference"].isel(model=0, prior_0=-1)
    mean = at["prior_mean"].sel(condition="real other, aware, free")
    assert float(ends["mean"].sel(source="real other", mind="aware")) == float(mean)
    assert bool((ends["draws_low"] <= ends["draws_high"]).all())
    assert bool((ends["low"] < ends["mean"]).all())


def test_fear_is_in_order_and_no_arm_is_lost() -> None:
    module, cells, figure = drawn("fear_of_loss_collapse")
    frame = module.falls(cells, "exact")
    assert frame["fear"].values.tolist() == sorted(frame["fear"].values)
    at = cells["exact.arms.reference"].isel(model=0, held_0=-1)["held_mean"]
    for arm in ("practice", *module.ARMS):
        for fear in (0.05, 0.8):
            mean = float(at.sel(condition=f"{arm}, fear {fear}"))
            assert float(frame["mean"].sel(arm=arm, fear=fear)) == mean
    curve = max(figure.axes[0].lines, key=lambda line: len(line.get_xdata()))
    practice = frame["mean"].sel(arm="practice").dropna("fear")
    np.testing.assert_allclose(curve.get_ydata(), practice)


def test_a_map_with_one_resting_place_has_no_hysteresis() -> None:
    module, cells, _ = drawn("fear_of_loss_collapse")
    rests = module.rests(cells, "exact")
    np.testing.assert_allclose(rests["up"], rests["down"], atol=1e-12)
    at = rests["up"].sel(kappa=1.2)
    np.testing.assert_allclose(at, 0.6 - 0.24 * at["fear"], atol=1e-12)


def test_forced_choices_are_those_of_the_carried_belief() -> None:
    module, cells, _ = drawn("fear_of_loss_collapse")
    frame = module.forced(cells, "mean_field")
    at = cells["mean_field.arms.reference"].isel(model=0, unheld_0=-1)["unheld_mean"]
    mean = at.sel(condition="imagined other, monitor forced")
    assert float(frame["mean"].sel(other="imagined", choice="monitor")) == float(mean)


def test_the_model_is_drawn_with_and_without_its_cause() -> None:
    module = made_up.figure("model")
    figure = module.draw()
    assert "attachment_core" in module.MODELS
    assert [t for t in texts(figure) if t.startswith("with")] == [
        "with agents.benevolent",
        "without agents.benevolent",
    ]

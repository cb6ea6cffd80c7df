"""Labels keep their distance, sheets their size, and importing draws nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.plot.style import MM, name_ends, panel, sheet, spread, styled, writable


@pytest.mark.parametrize(
    "wanted", [[0.0, 0.0, 0.0], [3.0, 1.0, 1.1, 0.9], [5.0], [2.0, 1.0, 0.0], []]
)
def test_labels_are_pushed_apart_in_order(wanted: list[float]) -> None:
    at = spread(wanted, 0.5)
    gaps = np.diff(at[np.argsort(wanted, kind="stable")])
    assert (gaps >= 0.5 - 1e-6).all()
    assert np.mean(at) == pytest.approx(np.mean(wanted)) if wanted else at.size == 0


def test_labels_with_room_stay_where_they_are() -> None:
    np.testing.assert_array_equal(spread([0.0, 2.0, 1.0], 0.5), [0, 2, 1])


def test_panels_are_placed_in_millimetres() -> None:
    figure = sheet(85, 50)
    axes = panel(figure, 10, 5, 40, 30, ylim=(0, 1))
    np.testing.assert_allclose(figure.get_size_inches(), np.array([85, 50]) * MM)
    box = axes.get_position()
    np.testing.assert_allclose([box.x0 * 85, box.width * 85], [10, 40])
    np.testing.assert_allclose([(1 - box.y1) * 50, box.height * 50], [5, 30])
    name_ends(axes, 1.0, [(0.5, "one", "k"), (0.5, "two", "k")], gap=3)
    low, high = sorted(t.xy[1] for t in axes.texts)
    assert (high - low) * 30 == pytest.approx(3)


def test_style_stays_inside() -> None:
    before = dict(matplotlib.rcParams)

    @styled
    def draw() -> matplotlib.figure.Figure:
        assert matplotlib.rcParams["font.size"] == 7
        return sheet(85, 50)

    draw()
    assert dict(matplotlib.rcParams) == before


def test_figures_have_known_endings_and_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"saved as \.pdf, \.png, \.svg, got 'a\.jpg'"):
        writable(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="there is no folder"):
        writable(tmp_path / "none" / "a.png")


def test_importing_loads_no_matplotlib_and_names_are_functions() -> None:
    script = """
import sys
from attach_ai.plot.graph import edges
import attach_ai
assert callable(attach_ai.plot.graph) and callable(attach_ai.plot.trajectory)
assert not {"matplotlib", "xarray", "jax"} & set(sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

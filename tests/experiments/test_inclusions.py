"""What the comparison of six inclusions computes beside the lives themselves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from attach_ai.lab.experiments import load
from attach_ai.model import load_model

MODULE = load(Path(__file__).parents[2] / "experiments" / "six_inclusions.py").module


def test_a_line_through_times_gives_its_slope_and_its_fit() -> None:
    depth = np.log(1 / np.array(MODULE.EPSILONS))
    bent = depth * 2 + 3 * (-1.0) ** np.arange(len(depth))
    at = xr.DataArray([depth * 2 + 1, bent], dims=("model", "epsilon"))
    slope, fit = MODULE.line(at.assign_coords(epsilon=list(MODULE.EPSILONS)))
    assert slope.values[0] == pytest.approx(2)
    assert fit.values[0] == pytest.approx(1)
    expected = np.polyfit(depth, bent, 1)
    left = bent - np.polyval(expected, depth)
    assert slope.values[1] == pytest.approx(expected[0])
    assert fit.values[1] == pytest.approx(1 - left @ left / np.sum((bent - bent.mean()) ** 2))


def test_what_a_step_says_is_read_from_the_tables() -> None:
    """Silence and calm alone differ between someone kind and nobody, where nobody is hostile."""
    model = load_model("attachment_core")
    mind = model.build(hostility=0.0, alertness=0.0, shame=0.0)
    world = model.build(trust=1.0, alertness=0.0, shame=0.0)
    arm = SimpleNamespace(mind=mind, world=world)
    calm, none = 1 - 0.8 * 0.3, 0.2
    felt = calm * np.log(calm / none) + (1 - calm) * np.log((1 - calm) / (1 - none))
    kind, nobody = np.array([0.07, 0.9, 0.03]), np.array([0.05, 0.9, 0.05])
    heard = np.sum(kind * np.log(kind / nobody))
    assert float(MODULE._says(arm)) == pytest.approx(felt + heard, rel=1e-6)

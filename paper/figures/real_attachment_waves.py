"""R1. Pupils over three waves: the model beside its opponents, and the study they are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from attach_ai.plot.contested import contested

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(cells: Mapping[str, xr.Dataset], verdict: Mapping[str, Any]) -> Figure:
    """Draw R1, 180 mm wide."""
    title = "Pupils of four classes, three waves"
    return contested(
        cells["school"],
        verdict,
        title,
        "wave",
        study=cells.get("design"),
        asked="an arm's effect on trust",
    )

"""R2. A diary before and after training or waiting: the model beside its opponents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from attach_ai.plot.contested import contested

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(cells: Mapping[str, xr.Dataset], verdict: Mapping[str, Any]) -> Figure:
    """Draw R2, 180 mm wide."""
    title = "A diary before and after training or waiting"
    return contested(cells["diary"], verdict, title, "beep", rolling=10)

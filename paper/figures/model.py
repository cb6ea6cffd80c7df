"""The model: who reads whom, with and without the benevolent other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attach_ai.model import load_model
from attach_ai.plot import graph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = ("attachment_core",)


def draw() -> Figure:
    """Draw the factor graph of the core, 180 mm wide, beside itself without the switched cause."""
    return graph(load_model("attachment_core"), without="agents.benevolent")

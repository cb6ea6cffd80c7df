"""Edges that make no difference at the defaults are drawn faintly, not hidden."""

from __future__ import annotations

import numpy as np
import pytest

from attach_ai.model import load_model
from attach_ai.plot.graph import Edge, edges, graph


def test_silent_edges_speak_once_their_parameter_does() -> None:
    """`watched` is 0 and `source_clarity` .5: neither edge moves any table at the defaults."""
    model = load_model("attachment_core")
    layout = model.layout
    silent = [e for e in edges(model) if e.silent]
    assert silent == [
        Edge("action", 0, layout.factor("agents"), silent=True),
        Edge("now", layout.factor("author"), layout.modality("source"), silent=True),
    ]
    for name, table, axis, spoken in (
        ("B.agents", lambda p: p.B[layout.factor("agents")], -1, {"watched": 0.5}),
        ("A.source", lambda p: p.A[layout.modality("source")], 1, {"source_clarity": 0.9}),
    ):
        quiet, loud = (np.asarray(table(model.build(s))) for s in ({}, spoken))
        assert np.ptp(quiet, axis=axis).max() == pytest.approx(0, abs=1e-12), name
        assert np.ptp(loud, axis=axis).max() > 0.1, name


def test_the_legend_names_them_only_where_there_are_any() -> None:
    for name, there in (("attachment_core", True), ("teaching", False)):
        (legend,) = graph(load_model(name)).legends
        assert ("silent at defaults" in [t.get_text() for t in legend.get_texts()]) == there

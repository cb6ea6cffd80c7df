"""The benchmark of fitting runs from end to end, at a size that says nothing about speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attach_ai.lab.bench_fit import Size, bench_fit


@pytest.mark.slow
def test_every_figure_is_measured(tmp_path: Path) -> None:
    size = Size(6, 8, chains=1, warmup=10, draws=6, seconds=0.0, engines=("nuts",))
    found = bench_fit(tmp_path / "fit.json", size)
    assert json.loads((tmp_path / "fit.json").read_text()) == found
    figures = {r["figure"]: r["value"] for r in found["rows"]}
    assert all(value >= 0 for value in figures.values())
    assert figures["gradient, 6 people (ms, least)"] <= figures["gradient, 6 people (ms, median)"]
    assert 0.1 < figures["gradient, 8 people: peak memory of the process (GiB)"] < 4
    assert "nuts, 1 x (10 + 6): divergent draws" in figures

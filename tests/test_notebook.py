"""The notebook runs from its first cell to its last, on fewer people and draws."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "fit_your_data.ipynb"
SMALLER = {
    "N_PEOPLE = 120": "N_PEOPLE = 12",
    '"warmup": 300, "draws": 300': '"warmup": 10, "draws": 8',
}


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    for size, small in SMALLER.items():
        assert size in code
        code = code.replace(size, small)
    # A process of its own: the library's usual precision, and no compiled functions left behind.
    environment = os.environ | {"MPLBACKEND": "Agg"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    html = (tmp_path / "fit.html").read_text(encoding="utf-8")
    assert "not clinical advice" in html
    assert all(not c.get("outputs") for c in cells if c["cell_type"] == "code")

"""The code of the README works as written."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.figure
import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    code = "".join(blocks) + "\nfigure = aa.plot.trajectory(traj)"
    scope: dict = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert "no problems" in capsys.readouterr().out
    belief = scope["traj"].belief("agents")
    assert belief.dims == ("session", "step", "agents_level")
    assert float(abs(belief.sum("agents_level") - 1).max()) < 1e-6
    assert isinstance(scope["figure"], matplotlib.figure.Figure)
    assert (scope["grown"].counts["D.agents"] > scope["newborn"].counts["D.agents"]).all()
    assert "affect" in scope["life"].tree.children


def test_what_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target

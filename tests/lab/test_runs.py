"""Runs go on where they stopped, and know what they rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray

from attach_ai.errors import InputError
from attach_ai.lab import experiments, runs, stale
from attach_ai.progress import Progress


def plan(root: Path, scale: str = "standard", **settings: str) -> runs.Run:
    return runs.plan(experiments.load(root / "experiments" / "tiny.py"), scale, root, settings)


def execute(run: runs.Run) -> dict:
    with Progress(len(run.pending())) as progress:
        return runs.execute(run, progress)


def done(root: Path) -> list[str]:
    return (root / "log.txt").read_text().split()


def test_an_interrupted_run_goes_on_and_ends_the_same(checkout: Path) -> None:
    (checkout / "interrupt").touch()
    with pytest.raises(KeyboardInterrupt):
        execute(plan(checkout))
    assert list(plan(checkout).pending()) == ["second"]
    (checkout / "interrupt").unlink()
    resumed = execute(plan(checkout))
    assert done(checkout) == ["first", "second", "second"]

    cells = plan(checkout).cells()
    for path in plan(checkout).folder.rglob("*.*"):
        path.unlink()
    assert execute(plan(checkout)) == resumed
    for name, cell in plan(checkout).cells().items():
        xarray.testing.assert_identical(cell, cells[name])


def test_a_finished_run_is_not_done_again(checkout: Path) -> None:
    verdict = execute(plan(checkout))
    assert verdict["passed"]
    assert verdict["outcomes"][0]["label"] == "conditional"
    assert verdict["outcomes"][1]["measured"] == {"nan": None}
    assert verdict["claims"] == [6]
    assert plan(checkout).finished
    assert execute(plan(checkout)) == verdict
    assert done(checkout) == ["first", "second"]


def test_the_record_says_where_a_result_came_from(checkout: Path) -> None:
    run = plan(checkout, growth="3")
    execute(run)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["config"] == {
        "growth": 3.0,
        "n_seeds": 3,
        "arms": ["first", "second"],
        "half": False,
        "limit": None,
    }
    assert set(record["seconds"]) == {"first", "second"}
    inputs = set(record["inputs"])
    assert {"experiments/tiny.py", "models/generative/tiny.toml"} < inputs
    assert "attach_ai/lab/verdict.py" in inputs
    assert not any("plot" in name or "cli" in name for name in inputs)


def test_nothing_half_written_stays(checkout: Path) -> None:
    execute(plan(checkout))
    assert not [p for p in checkout.rglob(".*") if p.is_file()]


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"),
    [
        ("experiments/tiny.py", "growth: float = 2.0", "growth: float = 2.5", True),
        ("experiments/tiny.py", "second > first", "second >= first", True),
        ("experiments/tiny.py", "Do numbers grow?", "Do they?", True),
        ("experiments/tiny.py", '"""A cheap experiment."""', '"""Other words."""  # more', False),
        ("experiments/tiny.py", "    def cell(i):\n", "\n    def cell(i):  # why\n", False),
        ("models/generative/tiny.toml", "tiny", "small", True),
        ("paper/figures/tiny.py", "(2, 2)", "(3, 3)", False),
    ],
)
def test_staleness_follows_what_counts(
    checkout: Path, name: str, old: str, new: str, changes: bool
) -> None:
    before = plan(checkout).key
    path = checkout / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert (plan(checkout).key != before) is changes


def test_staleness_follows_the_config(checkout: Path) -> None:
    keys = {plan(checkout, s).key for s in experiments.SCALES}
    keys.add(plan(checkout, half="true").key)
    assert len(keys) == 4
    assert plan(checkout, growth="2").key == plan(checkout).key


def test_sources_follow_imports_within_functions_and_relative_ones(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("from pack.a import x")
    (package / "a.py").write_text("def x():\n    from . import b\n")
    (package / "b.py").write_text("import json")
    (package / "c.py").write_text("")
    (tmp_path / "use.py").write_text("import pack")
    found = stale.sources(tmp_path / "use.py", tmp_path)
    assert [p.name for p in found] == ["__init__.py", "a.py", "b.py", "use.py"]


def test_the_lazy_face_counts_as_what_it_gives(tmp_path: Path) -> None:
    script = tmp_path / "use.py"
    script.write_text("from attach_ai import Exact")
    names = {p.name for p in stale.sources(script, tmp_path)}
    assert "exact.py" in names
    assert "simulate.py" not in names
    script.write_text("import attach_ai as aa")
    assert "simulate.py" in {p.name for p in stale.sources(script, tmp_path)}


def test_an_unreadable_cell_is_named(checkout: Path) -> None:
    run = plan(checkout)
    run.cell("first").parent.mkdir(parents=True)
    run.cell("first").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"first\.nc: cannot be read"):
        execute(run)


def test_a_cell_must_name_a_file(checkout: Path) -> None:
    with pytest.raises(InputError, match="cell 'a/b' cannot name a file"):
        plan(checkout, arms="a/b,c").pending()

"""From experiments to the PDF, doing only what is stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.lab.reproduce import StaleError, reproduce

ALL = ("tiny", "figure tiny", "paper.pdf")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_only_what_is_stale_is_done(checkout: Path) -> None:
    report = reproduce(root=checkout)
    assert report.done == ALL
    assert report.verdicts == {"tiny": True}
    assert report.paper.read_bytes().startswith(b"%PDF")
    for kind in ("pdf", "svg", "png"):
        assert (checkout / f"paper/generated/figures/tiny.{kind}").is_file()
    assert reproduce(root=checkout).done == ()

    replace(checkout / "paper/figures/tiny.py", "(2, 2)", "(3, 2)")
    assert reproduce(root=checkout).done == ALL[1:]
    replace(checkout / "paper/main.typ", "#values.scale", "Scale: #values.scale")
    assert reproduce(root=checkout).done == ALL[2:]
    (checkout / "paper/generated/figures/tiny.png").unlink()
    assert reproduce(root=checkout).done == ALL[1:2]
    replace(checkout / "models/generative/tiny.toml", "tiny", "changed")
    assert reproduce(root=checkout).done == ALL


def test_numbers_of_the_paper_come_from_the_verdicts(checkout: Path) -> None:
    reproduce(root=checkout)
    generated = checkout / "paper" / "generated"
    values = json.loads((generated / "values.json").read_text())
    assert values["scale"] == "standard"
    tiny = values["experiments"]["tiny"]
    assert tiny["all"]["grows"] == {"gain": 3.0, "passed": True, "share": 0.5}
    assert tiny["config"]["n_seeds"] == 3
    verdict = json.loads((generated / "verdicts.json").read_text())["tiny"]
    assert verdict["passed"] is True
    assert verdict["figure"] == "F99"
    assert verdict["prediction"] == "The second is larger."


def test_shallow_redraws_committed_results_and_refuses_stale_ones(checkout: Path) -> None:
    with pytest.raises(StaleError, match="tiny has no deep result"):
        reproduce(scale="shallow", root=checkout)
    reproduce(scale="deep", root=checkout)
    kept = {p.name for p in (checkout / "paper/data/tiny").iterdir()}
    assert kept == {"both.nc", "verdict.json", "run.json"}

    figure = checkout / "paper/generated/figures/tiny.svg"
    drawn = figure.read_text()
    for folder in ("results", "paper/generated"):
        for path in sorted((checkout / folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert reproduce(scale="shallow", root=checkout).done == ALL[1:]
    assert figure.read_text() == drawn
    assert json.loads((checkout / "paper/generated/values.json").read_text())["scale"] == "deep"

    replace(checkout / "experiments/tiny.py", "growth: float = 2.0", "growth: float = 2.5")
    with pytest.raises(StaleError, match="tiny has changed"):
        reproduce(scale="shallow", root=checkout)


def test_only_names_an_experiment_or_its_figure(checkout: Path) -> None:
    assert reproduce(["F99"], root=checkout).done == ALL
    assert reproduce(["tiny", "f99"], root=checkout).done == ()
    with pytest.raises(InputError, match="no experiment is called 'F98'"):
        reproduce(["F98"], root=checkout)


def test_a_figure_without_an_experiment(checkout: Path) -> None:
    script = checkout / "paper/figures/diagram.py"
    script.write_text(
        "from matplotlib.figure import Figure\n\nMODELS = ('tiny',)\n\n\n"
        "def draw():\n    return Figure()\n"
    )
    (checkout / "paper/figures/_style.py").write_text("raise RuntimeError")
    assert "figure diagram" in reproduce(root=checkout).done
    replace(checkout / "models/generative/tiny.toml", "tiny", "changed")
    assert "figure diagram" in reproduce(root=checkout).done


def test_a_paper_that_does_not_compile_is_named(checkout: Path) -> None:
    replace(checkout / "paper/main.typ", "#values.scale", "#values.nothing")
    with pytest.raises(InputError, match=r"main\.typ: does not compile"):
        reproduce(root=checkout)
    assert not (checkout / "paper/generated/paper.pdf").exists()


def test_where_data_are_not_at_hand_the_committed_result_is_shown(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduce(scale="deep", root=checkout)
    monkeypatch.delenv("ATTACH_AI_DATA", raising=False)
    replace(checkout / "experiments/tiny.py", "CLAIMS =", 'DATA = ("school",)\nCLAIMS =')
    report = reproduce(root=checkout)  # changed since, and not to be run: nothing is shown of it
    assert report.lacking == {"tiny": ("school",)}
    assert report.verdicts == {}
    assert "tiny" not in report.done

"""The table of claims is complete, and says where each stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.lab import claims

ROOT = Path(__file__).parents[2]


def test_every_claim_is_there() -> None:
    found, figures = claims.read(ROOT / "paper" / "claims.toml")
    assert [c.id for c in found] == list(range(1, 42))
    assert {c.seed for c in found} == {"000", "001", "002", "003"}
    beside = ("S1", "S2", "S3", "M1", "M2", "R1", "R2")
    assert list(figures) == [*(f"F{n}" for n in range(1, 15)), *beside]
    assert [c.id for c in found if c.status == "excluded"] == [41]
    assert len({c.title for c in found}) == 41


def write(folder: Path, old: str = "", new: str = "") -> Path:
    text = """
[figures]
F1 = "one"

[[claims]]
id = 1
title = "t"
seed = "000"
quote = "q"
verdict_kind = "EMERGENT"
prediction = "p"
refutation = "r"
ablation = "a"
figures = ["F1"]
status = "measured"
"""
    assert old in text
    path = folder / "paper" / "claims.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace(old, new) if old else text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('title = "t"', "", "claim 1: 'title' is missing"),
        ('title = "t"', 'titel = "t"\ntitle = "t"', "no field is called 'titel'"),
        ('title = "t"', 'title = ""', "'title' should be a text that is not empty"),
        ("EMERGENT", "EMERGING", "verdict_kind is 'EMERGING'; expected one of BUILT-IN"),
        ("measured", "done", "status is 'done'; expected one of measured"),
        ('"q"', f'"{"word " * 16}"', "the quote has more than 15 words"),
        ('["F1"]', '["F2"]', "no figure is called 'F2'"),
        ('["F1"]', "[]", "is measured, and names no figure"),
        ("id = 1", "id = 2", "claim 2 stands at place 1"),
        ("id = 1", "id = ", "could not be read"),
    ],
)
def test_a_malformed_claim_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        claims.read(write(tmp_path, old, new))


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        ([(None, True, True)], "F1 passed"),
        ([(None, True, True), (None, False, False)], "F1 passed"),
        ([(None, True, True), (1, False, True)], "F1 failed"),
        ([(7, True, True), (1, False, False)], "F1 failed (reported beside)"),
        ([(7, True, True)], ""),
    ],
)
def test_results_come_from_the_findings_that_decide_else_from_those_beside(
    tmp_path: Path, outcomes: list[tuple[int | None, bool, bool]], result: str
) -> None:
    write(tmp_path)
    rows = [{"claim": c, "passed": p, "decides": d} for c, p, d in outcomes]
    verdict = {"figure": "F1", "claims": [1], "outcomes": rows}
    folder = tmp_path / "paper" / "data" / "one"
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(json.dumps(verdict))
    row = json.loads(claims.as_json(tmp_path))[0]
    assert row["result"] == result
    assert row["experiment"] == ["one"]
    assert (result or "not run yet") in claims.as_table(tmp_path)

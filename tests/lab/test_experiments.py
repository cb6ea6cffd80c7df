"""Finding experiments, and changing their Config from text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from attach_ai.errors import InputError
from attach_ai.lab import Finding, Verdict, experiments, label
from attach_ai.lab.verdict import render


@dataclass(frozen=True)
class Config:
    n: int = 1
    rate: float = 0.5
    loud: bool = False
    name: str = "a"
    values: tuple[float, ...] = ()
    limit: int | None = 3
    kind: Literal["x", "y"] = "x"


def test_text_becomes_what_a_field_declares() -> None:
    texts = {"n": "4", "rate": "2", "loud": "True", "name": "b", "values": "1, 2.5"}
    made = experiments.override(Config(), {**texts, "limit": "none", "kind": "y"}, "here")
    assert made == Config(4, 2.0, True, "b", (1.0, 2.5), None, "y")
    assert experiments.override(Config(), {"limit": "7"}, "here").limit == 7


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("n", "4.5", "n is '4.5'; expected int"),
        ("loud", "yes", "loud is 'yes'; expected bool"),
        ("values", "1,b", "values is '1,b'; expected tuple"),
        ("kind", "z", "kind is 'z'; expected"),
        ("limit", "many", "limit is 'many'; expected int | None"),
        ("rat", "1", "no field is called 'rat'; did you mean 'rate'?"),
    ],
)
def test_text_that_does_not_fit(name: str, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        experiments.override(Config(), {name: text}, "here")
    assert str(raised.value).startswith(f"here: {sentence}")


def test_an_experiment_is_found_by_name_or_path(checkout: Path) -> None:
    path = checkout / "experiments" / "tiny.py"
    assert experiments.find("tiny", checkout) == path
    assert experiments.find("experiments/tiny.py", checkout) == path
    assert list(experiments.available(checkout)) == ["tiny"]
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        experiments.find("tinny", checkout)
    with pytest.raises(InputError, match="no such experiment file"):
        experiments.find("other.py", checkout)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("DEEP = Config(n_seeds=5)", "", "missing: DEEP"),
        ('NULL = "Zero."', 'NULL = " "', "NULL is empty"),
        ("def run(config):", "def run(config:", "line "),
    ],
)
def test_an_incomplete_experiment_says_what_it_lacks(
    checkout: Path, old: str, new: str, sentence: str
) -> None:
    path = checkout / "experiments" / "tiny.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=sentence):
        experiments.load(path)


def test_labels_at_their_bounds() -> None:
    assert [label(s) for s in (1.0, 0.8, 0.79, 0.2, 0.19, 0.0)] == [
        "robust",
        "robust",
        "conditional",
        "conditional",
        "refuted",
        "refuted",
    ]
    with pytest.raises(ValueError, match="between 0 and 1"):
        label(1.2)


def test_a_verdict_passes_when_all_that_decides_does() -> None:
    good = Finding("a", "a holds", True, {"x": 1.0}, perception="exact")
    bad = Finding("b", "b holds", False, kind="CONDITIONAL")
    beside = Finding("c", "c holds", False, decides=False)
    assert Verdict("e", "p", "r", (good, beside)).passed
    failed = Verdict("e", "p", "r", (good, bad))
    assert not failed.passed
    lines = render(failed.as_dict()).splitlines()
    assert lines[0] == "e: FAIL"
    assert lines[2] == "  pass [exact] a holds (EMERGENT)"
    assert lines[4] == "  FAIL b holds (CONDITIONAL)"
    with pytest.raises(ValueError, match="expected one of BUILT-IN"):
        Finding("a", "a", True, kind="EMERGING")


def test_an_experiment_says_which_data_it_lacks(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "experiments" / "tiny.py"
    assert experiments.load(path).lacks == ()
    path.write_text(path.read_text().replace("CLAIMS =", 'DATA = ("school", "diary")\nCLAIMS ='))
    monkeypatch.setenv("ATTACH_AI_DATA", str(checkout))  # a folder without them
    assert experiments.load(path).lacks == ("school", "diary")
    monkeypatch.delenv("ATTACH_AI_DATA")
    assert experiments.load(path).lacks == ("school", "diary")

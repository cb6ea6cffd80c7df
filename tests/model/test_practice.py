"""Practices with any of the six operators: what a file may say, and one practice made another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attach_ai.errors import InputError
from attach_ai.model import Practice, load_model, load_practice
from attach_ai.model.library import root
from attach_ai.model.practice import NUMBERS, read_practice

KINDNESS = load_practice("loving_kindness")
SETTINGS: dict[str, dict[str, Any]] = {
    "field": {},
    "clamp": {},
    "condition": {},
    "prior_change": {"amount": 1.5},
    "precision": {"modality": "interoception", "zeta": 0.2},
    "expand": {"mass": 0.05},
}


def only(practice: Practice) -> Any:
    """The one operator of a practice, the same in all its phases."""
    (operator,) = {
        (o.kind, o.target, str(o.strength), tuple(o.while_), o.column)
        for p in practice.phases
        for o in p.operators
    }
    return operator


@pytest.mark.parametrize("kind", NUMBERS)
def test_one_practice_becomes_another_by_its_operator_alone(kind: str) -> None:
    other = KINDNESS.replacing(kind, **SETTINGS[kind])
    assert other.schedule == KINDNESS.schedule
    for ours, theirs in zip(other.phases, KINDNESS.phases, strict=True):
        assert (ours.steps, ours.allowed) == (theirs.steps, theirs.allowed)
        assert len(ours.operators) == len(theirs.operators)
    found, target, strength, while_, column = only(other)
    assert found == kind
    assert target == ("interoception" if kind == "precision" else "agents.benevolent")
    given = next(iter(v for k, v in SETTINGS[kind].items() if k == NUMBERS[kind]), "hold")
    assert strength == ("None" if kind == "clamp" else str(given))
    assert while_ == (() if kind in ("prior_change", "expand") else ("stance",))
    assert column == "template"
    for name in ("attachment", "attachment_core"):
        other.bind(load_model(name).layout)
    if kind != "precision":
        assert KINDNESS.replacing(kind, **SETTINGS[kind]).replacing("field", strength=1.0)


@pytest.mark.parametrize("kind", [k for k in NUMBERS if k != "field"])
def test_the_shipped_ones_are_loving_kindness_by_another_operator(kind: str) -> None:
    shipped = load_practice(f"inclusion_by_{kind}")
    number = NUMBERS[kind]
    cells = {number: next(iter(shipped.parameters))} if number else {}
    assert shipped.schedule == KINDNESS.schedule
    for ours, theirs in zip(shipped.phases, KINDNESS.phases, strict=True):
        assert (ours.name, ours.steps, ours.allowed) == (theirs.name, theirs.steps, theirs.allowed)
    expected = shipped.replacing(kind, **{**SETTINGS[kind], **cells})
    assert only(shipped) == only(expected)
    shipped.bind(load_model("attachment_core").layout, load_model("attachment_core").parameters)


def test_what_replaces_may_be_a_cell() -> None:
    half = KINDNESS.replacing("condition", strength="hold / 4")
    assert only(half)[2] == "hold / 4"
    assert only(KINDNESS.replacing("expand", mass=0.1, column="flat"))[4] == "flat"
    assert only(KINDNESS.replacing("field", level="hostile"))[1] == "agents.hostile"


BROKEN: dict[str, tuple[str, str, str]] = {
    "no strength": ('kind = "condition"', "", "a condition needs a 'strength'"),
    "no amount": ('kind = "prior_change"', "", "a prior_change needs an 'amount'"),
    "no zeta": ('kind = "precision", modality = "cue"', "", "a precision needs a 'zeta'"),
    "no mass": ('kind = "expand"', "", "an expand needs a 'mass'"),
    "another's number": (
        'kind = "prior_change", amount = 1, strength = 1',
        "",
        "unknown key 'strength'",
    ),
    "waits for no stance": (
        'kind = "expand", mass = 0.1, while = { stance = "maintain" }',
        "",
        "an expand acts between sessions, so it takes no 'while'",
    ),
    "a level of a modality": (
        'kind = "precision", modality = "cue", zeta = 1, level = "x"',
        "",
        "unknown key 'level'",
    ),
    "no modality": ('kind = "precision", zeta = 1', "", "'modality' is missing"),
    "negative amount": (
        'kind = "prior_change", amount = -1',
        ", amount",
        "expected a number of at least 0, got -1",
    ),
    "negative zeta": (
        'kind = "precision", modality = "cue", zeta = "-x"',
        ", zeta",
        "expected a number of at least 0, got -2",
    ),
    "no mass at all": (
        'kind = "expand", mass = "x"',
        ", mass",
        "expected a probability above 0 and below 1, got 0",
    ),
    "all mass": (
        'kind = "expand", mass = 1',
        ", mass",
        "expected a probability above 0 and below 1, got 1",
    ),
    "column": (
        'kind = "expand", mass = 0.1, column = "flt"',
        ", column",
        "expected template or flat, got 'flt'; did you mean 'flat'?",
    ),
    "column of a field": (
        'kind = "field", strength = 1, column = "flat"',
        "",
        "unknown key 'column'",
    ),
    "kind is missing": ("strength = 1", "", "'kind' is missing"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_operator_that_makes_no_sense_is_one_sentence_with_its_place(
    what: str, tmp_path: Path
) -> None:
    said, place, sentence = BROKEN[what]
    target = "" if "precision" in said else 'factor = "agents", level = "benevolent", '
    path = tmp_path / "broken.toml"
    path.write_text(
        'format = 1\nname = "broken"\n'
        'parameters.x = { default = 1.0, support = [0.0, 2.0], meaning = "x; A" }\n'
        "schedule.steps = 1\n"
        f'phases = [{{ name = "p", steps = 1, operators = [ {{ {target}{said} }} ] }}]\n'
    )
    with pytest.raises(InputError) as caught:
        read_practice(path)
    assert caught.value.place.partition(", ")[2] == f"phase 1, p, operator 1{place}"
    assert sentence in str(caught.value)


def test_a_modality_that_the_model_lacks() -> None:
    other = KINDNESS.replacing("precision", modality="interception", zeta=0.0)
    with pytest.raises(
        InputError, match="no modality 'interception'; did you mean 'interoception'"
    ):
        other.bind(load_model("attachment_core").layout)


def test_every_shipped_practice_is_read() -> None:
    for path in sorted((root() / "practices").glob("*.toml")):
        assert read_practice(path).name == path.stem

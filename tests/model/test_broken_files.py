"""Practices, phenotypes and worlds that cannot be: one clear sentence, with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.model import load_model, load_phenotype, load_practice
from attach_ai.model.library import root

KINDNESS = (root() / "practices" / "loving_kindness.toml").read_text()

PRACTICES = {
    "steps": ("steps      = 40", "steps = 41", "phases", "the phases have 40 steps together"),
    "no days": (
        "days_on    = 5",
        "days_on = 0",
        "schedule, days_on",
        "a whole number of at least 1",
    ),
    "half a day": ("days_off   = 2", "days_off = 2.5", "schedule, days_off", "got 2.5"),
    "unknown key": ("stop_after", "stop_afer", "schedule", "did you mean 'stop_after'?"),
    "kind": (
        'kind = "field"',
        'kind = "feild"',
        "phase 2, include, operator 1, kind",
        "no operator is called 'feild'; did you mean 'field'?",
    ),
    "field without strength": (
        ', strength = "hold"',
        "",
        "phase 2, include, operator 1",
        "a field needs a 'strength'",
    ),
    "clamp with strength": (
        'kind = "field"',
        'kind = "clamp"',
        "phase 2, include, operator 1",
        "a clamp takes no 'strength'",
    ),
    "strength of nothing": (
        'strength = "hold"',
        'strength = "hodl"',
        "phase 2, include, operator 1, strength",
        "no parameter is called 'hodl'; did you mean 'hold'?",
    ),
    "nothing allowed": (
        'allowed   = ["maintain", "withdraw"]',
        "allowed = []",
        "phase 3, non_interference, allowed",
        "the list is empty",
    ),
    "no phases": ('[[phases]]\nname      = "select"', '[[phase]]\nname = "select"', "", "'phase'"),
}

# found only when the practice meets a model
UNBOUND = {
    "factor": (
        'factor = "agents"',
        'factor = "agent"',
        "no factor 'agent'; did you mean 'agents'?",
    ),
    "level": ('level = "benevolent"', 'level = "kind"', "agents has no level 'kind'"),
    "while factor": ("while = { stance", "while = { stnce", "no factor 'stnce'"),
    "while level": ('stance = "maintain"', 'stance = "mantain"', "stance has no level 'mantain'"),
    "allowed": (
        '["maintain", "withdraw"]',
        '["maintain", "rest"]',
        "next_stance has no level 'rest'",
    ),
    "action": (
        'allowed   = ["maintain", "withdraw"]',
        'allowed = { next = ["maintain"] }',
        "no action",
    ),
}


def written(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", PRACTICES)
def test_practices(kind: str, tmp_path: Path) -> None:
    old, new, place, sentence = PRACTICES[kind]
    assert old in KINDNESS
    with pytest.raises(InputError) as caught:
        load_practice(written(KINDNESS.replace(old, new, 1), tmp_path))
    assert caught.value.place.partition(", ")[2] == place
    assert sentence in str(caught.value)


@pytest.mark.parametrize("kind", UNBOUND)
def test_practices_that_do_not_fit_the_model(kind: str, tmp_path: Path) -> None:
    old, new, sentence = UNBOUND[kind]
    assert old in KINDNESS
    practice = load_practice(written(KINDNESS.replace(old, new, 1), tmp_path))
    with pytest.raises(InputError) as caught:
        practice.bind(load_model("attachment_core").layout)
    assert "broken.toml, phase " in caught.value.place
    assert sentence in str(caught.value)


SETTINGS = {
    "no source": ("trust = 0.5", "parameters, trust", "needs a source, or assumption = true"),
    "no assumption": (
        "trust = { value = 0.5, assumption = false }",
        "parameters, trust",
        "needs a source",
    ),
    "no value": ("trust = { assumption = true }", "parameters, trust", "'value' is missing"),
    "no number": (
        'trust = { value = "high", assumption = true }',
        "parameters, trust",
        "expected a number, got 'high'",
    ),
    "unknown key": (
        "trust = { value = 0.5, assumed = true }",
        "parameters, trust",
        "unknown key 'assumed'",
    ),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings(kind: str, tmp_path: Path) -> None:
    line, place, sentence = SETTINGS[kind]
    text = f'format = 1\nname = "someone"\n[parameters]\n{line}\n'
    with pytest.raises(InputError) as caught:
        load_phenotype(written(text, tmp_path))
    assert caught.value.place.partition(", ")[2] == place
    assert sentence in str(caught.value)


def test_an_optional_parameter_must_be_there(tmp_path: Path) -> None:
    text = 'format = 1\nname = "someone"\nassumption = true\noptional = ["warmth"]\n[parameters]\n'
    with pytest.raises(InputError, match="'warmth' is not among the parameters"):
        load_phenotype(written(text, tmp_path))


def test_a_value_outside_the_models_support_names_the_file(tmp_path: Path) -> None:
    text = 'format = 1\nname = "someone"\nassumption = true\n[parameters]\ntrust = 1.5\n'
    with pytest.raises(InputError, match=r"trust = 1.5 lies outside its support") as caught:
        load_model("attachment_core").build(load_phenotype(written(text, tmp_path)))
    assert caught.value.place.endswith("broken.toml")

"""Histories: what is shipped, what they make true, and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.model import History, load_history, load_model, names
from attach_ai.model.library import root

NAMES = ("anxious", "avoidant", "disorganised", "moralised_abandonment", "secure")
MORALISED = (root() / "histories" / "moralised_abandonment.toml").read_text()


@pytest.fixture(scope="module")
def shipped() -> dict[str, History]:
    return {name: load_history(name) for name in NAMES}


def test_what_is_shipped(shipped: dict[str, History]) -> None:
    assert tuple(names("history")) == NAMES
    first, *others = shipped.values()
    for other in others:  # only what the caregiver does differs
        assert dict(other.newborn()) == dict(first.newborn())
        assert (other.sessions, other.steps) == (first.sessions, first.steps)
    assert all(p.meaning.endswith("; A") for h in shipped.values() for p in h.declared)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("member", ["attachment_core", "attachment"])
def test_they_speak_of_the_family(shipped: dict[str, History], name: str, member: str) -> None:
    model, history = load_model(member), shipped[name]
    history.bind(model)
    newborn = model.build(history.newborn())
    for factor in ("agents", "law"):  # no opinion before any care
        np.testing.assert_allclose(newborn.D[newborn.layout.factor(factor)], 1 / 3, rtol=1e-12)
    np.testing.assert_allclose(newborn.E[0], 1 / 3, rtol=1e-12)
    for world in history.worlds():
        model.build(world)


def test_parameters_of_a_history_move_its_worlds_and_nothing_else(
    shipped: dict[str, History],
) -> None:
    history = shipped["moralised_abandonment"]
    care, loss = history.worlds(responsiveness=0.6, contingency=0.4, loss=0.5)
    assert care["trust"] == 0.6
    assert care["kappa"] == loss["kappa"] == 0.4
    assert loss["trust"] == pytest.approx(0.3)
    assert loss["return_rate"] == pytest.approx(0.06)
    assert care["w_own"] == loss["w_own"] == 0  # what [world] says holds in every stage
    assert dict(history.newborn(loss=0.5)) == dict(history.newborn())
    assert [s.start for s in history.stages] == [{"law": "contingent"}] * 2


def test_the_body_reports_what_is_so_unless_a_stage_says_otherwise(tmp_path: Path) -> None:
    changed = MORALISED.replace('name     = "loss"', 'name = "loss"\ninner = { gain = "loss / 2" }')
    first, last = load_history(written(changed, tmp_path)).stages
    assert (first.gain.evaluate({}), first.rate.evaluate({})) == (0, 1)
    assert last.gain.evaluate({"loss": 0.5}) == 0.25


# what is replaced, by what, where the error is, what it says
BROKEN = {
    "no origin": (
        "assumption = true",
        "assumption = false",
        "",
        "needs a source, or assumption = true",
    ),
    "unknown key": ("[schedule]", "[calendar]", "", "unknown key 'calendar'"),
    "no steps": ("steps = 24", "steps = 0", "schedule, steps", "at least 1, got 0"),
    "another schedule": ("steps = 24", "steps = 24\ndays_on = 5", "schedule", "unknown key"),
    "no sessions": ("sessions = 30", "sessions = 0", "stage 1, condition, sessions", "got 0"),
    "half a session": ("sessions = 10", "sessions = 9.5", "stage 2, loss, sessions", "got 9.5"),
    "stage without a name": (
        'name     = "condition"\n',
        "",
        "stage 1",
        "'name' is missing",
    ),
    "unknown key in a stage": (
        'name     = "loss"',
        'name = "loss"\nhoursx = 3',
        "stage 2",
        "unknown key 'hoursx'",
    ),
    "cell of nothing": (
        '"contingency"',
        '"contingancy"',
        "stage 1, condition, world, kappa",
        "no parameter is called 'contingancy'; did you mean 'contingency'?",
    ),
    "cell that is no number": (
        'kappa = "contingency" }',
        'kappa = "1 / contingency" }',
        "stage 1, condition, world, kappa",
        "is not a number where contingency = 0",
    ),
    "level that is no text": (
        'start    = { law = "contingent" }',
        "start = { law = 2 }",
        "stage 1, condition, start, law",
        "expected text in quotes",
    ),
    "gain above one": (
        'name     = "loss"',
        'name = "loss"\ninner = { gain = 1.5 }',
        "stage 2, loss, inner, gain",
        "no probability",
    ),
    "unknown key of the loop": (
        'name     = "loss"',
        'name = "loss"\ninner = { lag = 1 }',
        "stage 2, loss, inner",
        "unknown key 'lag'",
    ),
    "optional for nothing": (
        'optional   = ["fragmentation"',
        'optional = ["warmth"',
        "optional",
        "nothing here says what 'warmth' is",
    ),
    "newborn": ('trust         = "1 / 3"', 'trust = "1 / "', "newborn, trust", "cannot read"),
}

# found only when the history meets a model
UNBOUND = {
    "level": (
        'start    = { law = "contingent" }',
        'start = { law = "contingant" }',
        "stage 1, condition, start",
        "law has no level 'contingant'; did you mean 'contingent'?",
    ),
    "factor": (
        'start    = { law = "contingent" }',
        'start = { lawe = "contingent" }',
        "stage 1, condition, start",
        "the model has no factor 'lawe'; did you mean 'law'?",
    ),
    "parameter": (
        'world    = { kappa = "contingency" }',
        'world = { kapa = "contingency" }',
        "stage 1, condition, world",
        "the model has no parameter 'kapa'; did you mean 'kappa'?",
    ),
    "parameter of the newborn": (
        'trust         = "1 / 3"',
        'turst = "1 / 3"',
        "newborn",
        "no parameter 'turst'; did you mean 'trust'?",
    ),
    "support": (
        "[0.0, 2.0]",
        "[0.0, 3.0]",
        "stage 1, condition, world, kappa",
        "'contingency' can be 3, outside the support [0, 2] of kappa",
    ),
    "one name for two things": (
        "loss           = {",
        "w_other = {",
        "parameters",
        "'w_other' is a parameter of the model too",
    ),
}


def written(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    return path


def changed(old: str, new: str, tmp_path: Path) -> Path:
    assert old in MORALISED
    text = MORALISED.replace(old, new, 1)
    if "seed document" in text and old == "assumption = true":
        text = "\n".join(line for line in text.splitlines() if not line.startswith("source"))
    if old.startswith("loss  "):
        text = text.replace("1 - loss", "1 - w_other")
    return written(text, tmp_path)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_wrong_file_is_refused_with_its_place(kind: str, tmp_path: Path) -> None:
    old, new, place, sentence = BROKEN[kind]
    with pytest.raises(InputError) as caught:
        load_history(changed(old, new, tmp_path))
    assert caught.value.place.partition(", ")[2] == place
    assert sentence in str(caught.value)


@pytest.mark.parametrize("kind", UNBOUND)
def test_a_history_that_does_not_fit_the_model(kind: str, tmp_path: Path) -> None:
    old, new, place, sentence = UNBOUND[kind]
    history = load_history(changed(old, new, tmp_path))
    with pytest.raises(InputError) as caught:
        history.bind(load_model("attachment_core"))
    assert caught.value.place.partition(", ")[2] == place
    assert sentence in str(caught.value)


def test_no_stage_is_no_history(tmp_path: Path) -> None:
    text = MORALISED[: MORALISED.index("[[stages]]")]
    with pytest.raises(InputError, match="'stages' is missing"):
        load_history(written(text, tmp_path))
    text = text.replace("[schedule]", "stages = []\n\n[schedule]").split("[parameters]")
    top, empty = text[1].split("stages = []")
    with pytest.raises(InputError, match="the list is empty, expected at least one stage"):
        load_history(written(f"{text[0]}stages = []\n[parameters]{top}{empty}", tmp_path))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"responsivenes": 0.2}, "did you mean 'responsiveness'?"),
        ({"responsiveness": 1.2}, "responsiveness = 1.2 lies outside its support"),
        ({"loss": "much"}, "loss is a number, got 'much'"),
        ({"loss": np.zeros(3)}, "loss is a scalar"),
    ],
)
def test_a_value_that_cannot_be(
    shipped: dict[str, History], given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence.replace("?", r"\?")) as caught:
        shipped["moralised_abandonment"].worlds(**given)
    assert caught.value.place.endswith("moralised_abandonment.toml, parameters")

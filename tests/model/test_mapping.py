"""Mappings: what is shipped, and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from attach_ai.agent.hold import compile_program
from attach_ai.errors import InputError
from attach_ai.model import load_model, load_practice, names
from attach_ai.model.library import root
from attach_ai.model.mapping import days, expand, load_mapping, value_text

COHORT = (root() / "mappings" / "cohort.toml").read_text()


def test_what_is_shipped() -> None:
    assert names("mapping") == ["cohort", "diary_mbct", "school_waves"]
    school, diary, cohort = (load_mapping(n) for n in ("school_waves", "diary_mbct", "cohort"))
    assert [m.time.wide for m in (school, diary, cohort)] == [True, False, False]
    assert school.instruments["zung_sds"].column("4", "2") == "depr204"
    assert school.instruments["ecr_rs"].column("7", "1") == "ecr102"  # the file has its own order
    assert school.arms is diary.arms is None
    assert (school.time.step, diary.time.step, cohort.time.step) == (7, 0.1, 7)
    assert diary.events["approval"].values["-3"] == "rejected"
    assert any("assumption" in note for note in school.notes)


@pytest.mark.parametrize("arm", ["practice", "waitlist"])
def test_arms_of_the_cohort_speak_of_the_fitted_member(arm: str) -> None:
    declared = load_mapping("cohort").arms
    assert declared is not None
    layout = load_model("attachment_waves").layout
    program = compile_program(load_practice(declared[arm].practice), layout)
    assert program.active.shape == (1, 1 if arm == "practice" else 0)


@pytest.mark.parametrize(
    ("pattern", "column"),
    [
        ("depr{wave}{item:02d}", "depr207"),
        ("{target}_{item}_t{wave}", "mother_7_t2"),
        ("{item:3}", "007"),
        ("plain", "plain"),
    ],
)
def test_patterns(pattern: str, column: str) -> None:
    assert expand(pattern, item="7", wave="2", target="mother") == column


def test_values_and_lengths() -> None:
    assert [value_text(v) for v in (1.0, "1.0", " 2 ", -99.0, "1.50", "007")] == [
        *("1", "1", "2", "-99", "1.50", "007")
    ]
    assert [days(t) for t in ("1 d", "2w", "6 h", "0.5 days")] == [1, 14, 0.25, 0.5]
    for wrong in ("d", "1", "0 d", "1.2.3 d", "one week"):
        with pytest.raises(ValueError, match="expected a length"):
            days(wrong)


# what is replaced, by what, where the error is, what it says
BROKEN = {
    "unknown key": ("[group]", "[groups]", "", "did you mean 'group'?"),
    "shape": ('subject = "id"', 'shape = "wide"', "shape", "[time] names a column"),
    "no such shape": ('subject = "id"', 'shape = "tall"', "shape", "expected long or wide"),
    "step": ('step  = "1 w"', 'step = "weekly"', "time, step", "such as '1 d'"),
    "steps": ("steps = 9", "steps = 6", "time, waves", "a wave at step 8 lies past 6 steps"),
    "order": ("2 = 4", "2 = 12", "time, waves", "not later than step 12 of wave '2'"),
    "beep": ('wave  = "wave"', 'beep = "b"', "time", "'beep' and 'beeps_a_day' together"),
    "two times": ('wave  = "wave"', 'wave = "w"\nday = "d"', "time", "not from both"),
    "pattern": (
        '"phq9_{item}"',
        '"phq9_{itme}"',
        "instruments, phq9, columns",
        "'{itme}' is not one of",
    ),
    "wave in a long file": (
        '"phq9_{item}"',
        '"phq9_{wave}_{item}"',
        "instruments, phq9",
        "in a wide file only",
    ),
    "labels": (
        '{ waitlist = "waitlist", practice = "practice" }',
        '{ waitlist = "a", practice = "a" }',
        "group, labels",
        "two values have the same label",
    ),
    "covariate": (
        "standardise = true",
        "standardise = true, factor = true",
        "covariates, age",
        "cannot be standardised",
    ),
    "exposure": ('kind = "schedule"', 'kind = "unknown"', "exposure", "a schedule needs 'arms'"),
    "gain": (
        "gain = 0.5",
        "gain = 1.5",
        "exposure, arms, practice, inner, gain",
        "expected a number from 0 to 1",
    ),
    "days": (
        "days_a_week = 5",
        "days_a_week = 8",
        "exposure, arms, practice, period 1, days_a_week",
        "from 0 to 7",
    ),
    "period": ("to = 8", "to = 0", "exposure, arms, practice, period 1, to", "at least 1, got 0"),
    "overlap": (
        "[ { from = 0, to = 8, days_a_week = 5 } ]",
        "[ { to = 5 }, { from = 3, to = 8 } ]",
        "exposure, arms, practice, period 2",
        "before period 1 ends at step 5",
    ),
    "minutes": (
        "days_a_week = 5",
        "minutes = 20",
        "exposure, arms, practice, period 1",
        "need 'session_minutes'",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_wrong_mapping_is_refused_with_its_place(kind: str, tmp_path: Path) -> None:
    old, new, place, sentence = BROKEN[kind]
    assert old in COHORT
    path = tmp_path / "broken.toml"
    path.write_text(COHORT.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_mapping(path)
    assert caught.value.place.partition(", ")[2] == place
    assert sentence in str(caught.value)


def test_codings(tmp_path: Path) -> None:
    def read(entry: str) -> object:
        path = tmp_path / "m.toml"
        path.write_text(f'format = 1\nname = "m"\n[events]\nmood = {{ column = "x", {entry} }}\n')
        return load_mapping(path).events["mood"]

    made = read('cuts = [0, 2.5], levels = ["low", "middle", "high"], missing = "unseen"')
    assert (made.cuts, made.missing) == ((0, 2.5), "unseen")  # type: ignore[attr-defined]
    for entry, sentence in {
        'cuts = [1, 0], levels = ["a", "b", "c"]': "rising 'cuts'",
        'cuts = [1], levels = ["a"]': "one more of 'levels'",
        "values = { a = 1, b = [1, 2] }": "listed twice",
        "values = { a = 1 }, cuts = [0]": "either 'values'",
        "values = { a = 1 }, missing = 'lost'": "expected 'expected' or 'unseen'",
    }.items():
        with pytest.raises(InputError, match=sentence):
            read(entry)

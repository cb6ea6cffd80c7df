"""Records: what a file says, what is wrong with it, and what is only odd."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.records.exposure import Exposure
from attach_ai.fit.records.records import Records, missingness, read_records
from attach_ai.model.exposure import Arm, Period
from attach_ai.model.library import root

DATA = os.environ.get("ATTACH_AI_DATA")
REVERSED = (1, 2, 3, 4)  # of ecr_rs


def cohort(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """People at three waves, one trait behind all answers; ECR-RS items as they are worded."""
    rng = np.random.default_rng(seed)
    trait = np.repeat(rng.normal(size=n), 3)
    made = {
        "id": np.repeat(np.arange(101, 101 + n), 3),
        "wave": np.tile([1, 2, 3], n),
        "arm": np.repeat(np.where(np.arange(n) % 2, "practice", "waitlist"), 3),
        "age": np.repeat(rng.integers(20, 60, n), 3),
    }
    for i in range(1, 10):
        level = np.clip(np.round(4 + trait + rng.normal(size=3 * n)), 1, 7).astype(int)
        made[f"ecr_rs_{i}"] = 8 - level if i in REVERSED else level
    for i in range(1, 10):
        made[f"phq9_{i}"] = rng.integers(0, 4, 3 * n)
    return pd.DataFrame(made)


def written(frame: pd.DataFrame, folder: Path, name: str = "cohort.csv", **how: Any) -> Path:
    path = folder / name
    frame.to_csv(path, index=False, **how)
    return path


def changed(row: int, **cells: Any) -> pd.DataFrame:
    frame = cohort().astype(object)
    for column, value in cells.items():
        frame.loc[row, column] = value
    return frame


def mapping(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f'format = 1\nname = "mine"\n{text}')
    return path


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return read_records(written(cohort(), tmp_path_factory.mktemp("r")), mapping="cohort")


class TestALongFile:
    def test_answers(self, records: Records) -> None:
        assert records.subjects[:2] == ("101", "102")
        assert (records.episodes, records.occasions) == (("study",), ("1", "2", "3"))
        assert (records.n_steps, records.step_length, len(records.answers)) == (9, 7, 40 * 3 * 18)
        frame = cohort()
        first = records.answers[records.answers.subject == "101"]
        assert first.step.unique().tolist() == [0, 4, 8]
        row = first[(first.step == 4) & (first.instrument == "ecr_rs")].set_index("item")
        for i in range(1, 10):
            raw = frame.loc[1, f"ecr_rs_{i}"]
            assert row.value[str(i)] == raw
            assert row.keyed[str(i)] == (7 - raw if i in REVERSED else raw - 1)

    def test_people(self, records: Records) -> None:
        assert records.group is not None
        assert records.arms == ("waitlist", "practice")
        assert records.group["102"] == "practice"
        assert list(records.covariates) == ["age", "practice"]
        assert records.roles == {"age": "covariate", "practice": "group"}
        assert records.covariates.loc[("102", "study"), "practice"] == 1
        age = records.covariates.age
        assert abs(age.mean()) < 1e-12
        assert age.std(ddof=0) == pytest.approx(1)
        assert any("age is standardised" in n for n in records.notes)

    def test_the_schedule(self, records: Records) -> None:
        exposure = records.exposure
        assert exposure.kind == "schedule"
        dose = exposure.dose("practice")
        assert dose == pytest.approx([5 / 7] * 8 + [0])  # the last wave ends the practice
        assert not exposure.dose("waitlist").any()
        assert exposure.practice("practice").name == "loving_kindness_day"
        assert exposure.world("practice")["awareness"] == 1
        with pytest.raises(InputError, match="no arm is called 'practise'; did you mean"):
            exposure.dose("practise")

    def test_it_pickles(self, records: Records) -> None:
        again = pickle.loads(pickle.dumps(records))
        pd.testing.assert_frame_equal(again.answers, records.answers)
        assert again.notes == records.notes
        assert again.instruments == records.instruments
        assert set(records.sha256) == {"data", "mapping"}

    def test_no_mapping_is_needed_where_columns_are_called_by_item(
        self, records: Records, tmp_path: Path
    ) -> None:
        path = written(cohort(), tmp_path)
        plain = read_records(
            path,
            ["ecr_rs", "phq9"],
            group="arm",
            covariates=["age"],
            waves={1: 0, 2: 4, 3: 8},
            step="1 w",
        )
        pd.testing.assert_frame_equal(plain.answers, records.answers)
        assert plain.exposure.kind == "unknown"
        assert any("nothing is claimed of a practice" in n for n in plain.notes)
        one = read_records(path, ["phq9"], wave="wave", subject="id")
        assert list(one.instruments) == ["phq9"]
        assert one.n_steps == 3
        assert any("one step apart" in n for n in one.notes)

    def test_rows_in_any_order_say_the_same(self, records: Records, tmp_path: Path) -> None:
        frame = cohort()
        shuffled = frame.sample(frac=1, random_state=1)
        found = read_records(written(shuffled, tmp_path), mapping="cohort")
        keys = ["subject", "step", "instrument", "item"]
        pd.testing.assert_frame_equal(
            found.answers.sort_values(keys, ignore_index=True),
            records.answers.sort_values(keys, ignore_index=True),
        )


# which cells are wrong, where, what is said
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "out of range": (
        {"ecr_rs_2": 9.5},
        "line 7, column ecr_rs_2",
        "expected a whole number from 1 to 7, got '9.5'",
    ),
    "text": ({"phq9_3": "often"}, "line 7, column phq9_3", "from 0 to 3, got 'often'"),
    "half": ({"phq9_3": 1.5}, "line 7, column phq9_3", "got '1.5'"),
    "nobody": ({"id": None}, "line 7, column id", "nobody's id is given"),
    "no wave": ({"wave": ""}, "line 7, column wave", "the wave is missing"),
    "unknown wave": ({"wave": 4}, "line 7, column wave", "'4' is none of 1, 2, 3"),
    "duplicate": ({"wave": 2}, "line 7", "the same person and time as line 6"),
    "unknown arm": ({"arm": "sham"}, "line 7, column arm", "'sham' is none of waitlist, practice"),
    "two arms": (
        {"arm": "waitlist"},
        "line 7, column arm",
        "the group of '102' is 'waitlist' here and 'practice' before",
    ),
    "age": ({"age": "old"}, "line 7, column age", "expected a number, got 'old'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_cell_is_named(kind: str, tmp_path: Path) -> None:
    cells, place, sentence = WRONG[kind]
    with pytest.raises(InputError) as caught:
        read_records(written(changed(5, **cells), tmp_path), mapping="cohort")
    assert caught.value.place.endswith(f"cohort.csv, {place}")
    assert sentence in str(caught.value)


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    frame = cohort().astype(object)
    frame.loc[2, "ecr_rs_1"] = 12
    frame.loc[4, "wave"] = 1
    frame.loc[10:, "phq9_1"] = "x"
    frame = frame.drop(columns=["phq9_9"])
    with pytest.raises(InputError) as caught:
        read_records(written(frame, tmp_path), mapping="cohort")
    said = str(caught.value).splitlines()
    assert said[0].endswith("cohort.csv: 113 problems")
    assert "the file has no column 'phq9_9'" in said[1]
    assert said[2] == "  line 4, column ecr_rs_1: expected a whole number from 1 to 7, got '12'"
    assert "line 6: the same person and time as line 5" in said[3]
    assert len(said) == 22
    assert said[-1] == "  and 93 more"


def test_names_that_the_file_lacks(tmp_path: Path) -> None:
    path = written(cohort(), tmp_path)
    with pytest.raises(InputError, match="no column 'sex'"):
        read_records(path, ["phq9"], covariates=["sex"])
    with pytest.raises(InputError, match=r"no column 'grp' \(group\)"):
        read_records(path, ["phq9"], group="grp")
    with pytest.raises(InputError, match=r"codebook missing.*did you mean 'phq9'"):
        read_records(path, ["phq8"])
    with pytest.raises(InputError, match=r"gad7\.1' \(gad7: nor any other"):
        read_records(path, ["gad7"])
    with pytest.raises(InputError, match="which instruments were answered"):
        read_records(path)
    text = '[instruments.phq9]\ncolumns = { 1 = "phq9_1", 12 = "phq9_2" }\n'
    with pytest.raises(InputError, match="phq9 has no item '12'"):
        read_records(path, mapping=mapping(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,wave,phq9_1\n", "only a header, and no rows"),
        ("", "the file has nothing"),
        ("id,wave,phq9_1\n1,1,\n2,1,NA\n", "all answers are missing: there is nothing to fit"),
        ("id,wave,phq9_1\n1,1,0,3\n", "line 2: 4 cells, where the header has 3"),
        ("id,id,phq9_1\n1,1,0\n", "2 columns have this name"),
        ('id,wave,phq9_1\n1,1,"0\n2,2,1\n', "not a table of text"),
        ("\x00\x01,\x02", "not a text file"),
    ],
)
def test_files_that_hold_nothing(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_records(path, ["phq9"])
    assert "cohort.csv" in caught.value.place


class TestCorrectResults:
    def test_codes_for_no_answer(self, tmp_path: Path) -> None:
        frame = cohort()
        frame.loc[3, "phq9_2"], frame.loc[4, "phq9_2"] = -99, 999
        found = read_records(written(frame, tmp_path), mapping="cohort")
        assert len(found.answers) == 40 * 3 * 18 - 2
        assert "Codes that no item has were taken as missing: -99 (1), 999 (1)." in found.notes
        declared = read_records(written(frame, tmp_path), ["phq9"], missing=[-99, 999, 3])
        assert declared.answers.value.max() == 2

    def test_latin_1_quotes_and_commas(self, tmp_path: Path) -> None:
        frame = cohort().rename(columns={"age": 'age, "in years"'}).astype({"id": str})
        frame["id"] = "Zoë " + frame.id
        path = written(frame, tmp_path, encoding="latin-1", sep=";")
        found = read_records(path, ["phq9"], covariates=['age, "in years"'])
        assert found.subjects[0] == "Zoë 101"
        assert 'age, "in years"' in found.covariates
        assert any("Latin-1" in n for n in found.notes)

    def test_odd_answers_are_noted(self, tmp_path: Path) -> None:
        frame = cohort()
        frame["phq9_4"] = frame["phq9_4"].clip(upper=2)
        frame["ecr_rs_2"] = 8 - frame["ecr_rs_2"]  # reversed by the depositor, nobody says so
        frame.loc[frame.wave.eq(3) & (frame.id > 120), "phq9_1":] = np.nan
        frame["class"] = np.where(frame.arm == "practice", "A", "B")
        found = read_records(written(frame, tmp_path), mapping="cohort", cluster="class")
        notes = " ".join(found.notes)
        assert "ecr_rs.2 is reverse-keyed, and once keyed it runs against" in notes
        assert "already_reversed" in notes
        assert "ecr_rs.1 is" not in notes
        assert "phq9: a category that nobody used in item 4" in notes
        assert "Arms are whole clusters (2 in 2 arms)" in notes

    def test_one_person(self, tmp_path: Path) -> None:
        found = read_records(written(cohort(1), tmp_path), ["phq9"])
        assert found.subjects == ("101",)
        assert any("nothing can be pooled" in n for n in found.notes)

    def test_a_missing_covariate_keeps_the_person(self, tmp_path: Path) -> None:
        frame = cohort()
        frame["sex"] = np.where(frame.id % 3, "f", "m")
        frame.loc[frame.id == 101, ["age", "sex"]] = np.nan
        text = (
            '[instruments.phq9]\n[covariates]\nage = {}\nsex = { factor = true, reference = "m" }\n'
        )
        found = read_records(written(frame, tmp_path), mapping=mapping(tmp_path, text))
        assert found.covariates.loc[("101", "study"), "age"] == 0
        share = found.covariates["sex.f"].drop("101").mean()
        assert found.covariates.loc[("101", "study"), "sex.f"] == pytest.approx(share)
        assert any("1 person lacks the covariate age" in n for n in found.notes)

    def test_missingness(self, tmp_path: Path) -> None:
        frame = cohort()
        frame = frame[~(frame.wave.eq(3) & frame.arm.eq("practice") & (frame.id <= 110))]
        frame.loc[frame.id == 101, "phq9_1"] = np.nan
        found = read_records(written(frame, tmp_path), mapping="cohort")
        table = missingness(found).set_index(["group", "occasion"])
        assert table.loc[("practice", "3"), ["people", "answered"]].tolist() == [20, 15]
        assert table.loc[("waitlist", "1"), "items"] == pytest.approx(1 - 1 / 18 / 20)
        assert any("Arm practice: of 20 people, answered at 1: 20" in n for n in found.notes)

    def test_fifty_thousand_rows(self, tmp_path: Path) -> None:
        frame = pd.concat([cohort(50)] * 334, ignore_index=True).iloc[:50_000]
        frame["id"] = np.arange(50_000) // 3
        frame = frame[["id", "wave", *(f"phq9_{i}" for i in range(1, 10))]]
        path = written(frame, tmp_path)
        start = time.process_time()
        assert len(read_records(path, ["phq9"]).answers) == 450_000
        assert time.process_time() - start < 5


class TestOtherShapes:
    def test_a_wide_file_with_events_and_choices(self, tmp_path: Path) -> None:
        text = """
[time]
waves = { pre = 0, post = 4 }
steps = 6
[instruments.phq9]
columns = "p{item}_{wave}"
items = "1-2"
[instruments.gad7]
columns = { 1 = "g" }
waves = ["post"]
[events.approval]
column = "life_{wave}"
values = { confirmed = "good", rejected = ["bad", "worse"] }
[choices.next_stance]
column = "did"
values = { maintain = 1, withdraw = 0 }
missing = "unseen"
"""
        frame = pd.DataFrame(
            {
                "id": ["a", "b"],
                "p1_pre": [0, 1],
                "p2_pre": [3, None],
                "p1_post": [2, None],
                "p2_post": [2, None],
                "g": [1, None],
                "life_pre": ["good", None],
                "life_post": ["worse", None],
                "did": [1, 0],
            }
        )
        found = read_records(written(frame, tmp_path), mapping=mapping(tmp_path, text))
        assert found.occasions == ("pre", "post")
        assert found.n_steps == 6
        assert found.answers.groupby("subject").size().to_dict() == {"a": 5, "b": 1}
        assert found.answers[found.answers.instrument == "gad7"].step.tolist() == [4]
        assert found.events[["step", "level"]].values.tolist() == [
            [0, "confirmed"],
            [4, "rejected"],
        ]
        # b answered before, and nobody wrote down what happened; afterwards b was not there
        assert found.missing_events.values.tolist() == [["b", "study", 0, "approval"]]
        assert found.choices.level.tolist() == ["maintain", "withdraw"]

    def test_a_diary(self, tmp_path: Path) -> None:
        text = """
subject = "id"
[time]
day = "day"
beep = "beep"
beeps_a_day = 3
[episode]
column = "post"
labels = { 0 = "before", 1 = "after" }
[instruments.esm_affect]
items = ["sad"]
[events.approval]
column = "event"
cuts = [-0.5, 0.5]
levels = ["rejected", "nothing", "confirmed"]
[group]
column = "arm"
labels = { 0 = "waitlist", 1 = "mbct" }
"""
        frame = pd.DataFrame(
            {
                "id": 1.0,
                "post": [0, 0, 0, 0, 1],
                "day": [1, 1, 2, 2, 1],
                "beep": [3, None, 1, None, 2],
                "sad": [4, 5, 1, 7, 2],
                "event": [-2, None, 0, 3, 1.0],
                "arm": 1.0,
            }
        )
        path = mapping(tmp_path, text)
        found = read_records(written(frame, tmp_path), mapping=path)
        assert (found.n_steps, found.step_length) == (6, pytest.approx(1 / 3))
        # the row without a beep after place 3 takes the first free one; that of day 2 the next
        assert found.answers.step.tolist() == [0, 2, 3, 4, 1]
        assert found.answers.occasion.tolist() == ["1.1", "1.3", "2.1", "2.2", "1.2"]
        levels = ["rejected", "nothing", "confirmed", "confirmed"]
        assert found.events.level.tolist() == levels
        assert found.missing_events.step.tolist() == [0]
        assert any("2 rows say no beep" in n for n in found.notes)
        assert found.roles == {"mbct": "group", "after": "episode", "mbct:after": "product"}
        assert found.covariates.loc[("1", "after")].tolist() == [1, 1, 1]
        assert found.covariates.loc[("1", "before")].tolist() == [1, 0, 0]
        frame.loc[0, "beep"] = 4
        with pytest.raises(InputError, match="column beep: expected a whole number, 1 to 3"):
            read_records(written(frame, tmp_path), mapping=path)

    def test_time_in_days_and_dates(self, tmp_path: Path) -> None:
        text = '[time]\ncolumn = "t"\nstep = "1 w"\n[instruments.phq9]\nitems = [1]\n'
        frame = pd.DataFrame({"id": [1, 1, 2], "t": [0, 15.5, 7], "phq9_1": [0, 1, 2]})
        path = mapping(tmp_path, text)
        found = read_records(written(frame, tmp_path), mapping=path)
        assert found.answers.step.tolist() == [0, 2, 1]
        frame["t"] = ["2024-05-31", "2024-06-14", "2024-01-01"]
        found = read_records(written(frame, tmp_path), mapping=path)
        assert found.answers.step.tolist() == [0, 2, 0]
        frame["t"] = [3, 5, -1]
        with pytest.raises(InputError) as caught:
            read_records(written(frame, tmp_path), mapping=path)
        assert "line 3: the same person and time as line 2; a shorter step" in str(caught.value)
        assert "line 4, column t: day -1 lies before the start" in str(caught.value)

    def test_time_that_goes_backwards(self, tmp_path: Path) -> None:
        text = '[time]\ncolumn = "t"\nwave = "w"\n[instruments.phq9]\nitems = [1]\n'
        frame = pd.DataFrame({"id": 1, "w": [1, 2, 3], "t": [0, 30, 20], "phq9_1": [0, 1, 2]})
        with pytest.raises(
            InputError, match="line 4, column t: time goes backwards: day 20 at wave 3, day 30"
        ):
            read_records(written(frame, tmp_path), mapping=mapping(tmp_path, text))

    def test_several_targets_and_a_codebook_of_ones_own(self, tmp_path: Path) -> None:
        (tmp_path / "book.toml").write_text(
            'format = 1\nname = "mine_a"\nfull_name = "Mine"\n'
            "items = [{ count = 2, low = 0, high = 10 }]\n[scales]\nall = '1-2'\n"
        )
        text = """
[instruments.mine_a]
codebook = "book.toml"
columns = { 1 = "q1", 2 = "q2" }
[instruments.ecr_rs]
columns = "{target}{item}"
targets = ["mother", "partner"]
"""
        frame = pd.DataFrame({"id": [1, 2], "q1": [10, 0], "q2": [5, 5]})
        for target in ("mother", "partner"):
            for i in range(1, 10):
                frame[f"{target}{i}"] = [1, 7]
        found = read_records(written(frame, tmp_path), mapping=mapping(tmp_path, text))
        assert len(found.answers) == 2 * (2 + 18)
        theirs = found.answers[found.answers.item == "partner_1"]
        assert theirs.keyed.tolist() == [6, 0]


class TestExposure:
    def test_every_step_up_to_the_last_wave_needs_an_exposure(self, tmp_path: Path) -> None:
        declared = (root() / "mappings" / "cohort.toml").read_text()
        path = tmp_path / "short.toml"
        path.write_text(declared.replace("to = 8, days_a_week = 5", "to = 4, days_a_week = 5"))
        with pytest.raises(InputError, match=r"wave 3 of arm 'practice' has no exposure.* step 4"):
            read_records(written(cohort(), tmp_path), mapping=path)
        path.write_text(declared.replace("exposure.arms.waitlist", "exposure.arms.sham"))
        with pytest.raises(InputError, match="no arm 'waitlist', only practice, sham"):
            read_records(written(cohort(), tmp_path), mapping=path)
        path.write_text(declared.replace('"waitlist_day"', '"waitlist_dya"'))
        with pytest.raises(InputError, match="did you mean 'waitlist_day'"):
            read_records(written(cohort(), tmp_path), mapping=path)

    @pytest.mark.parametrize(
        ("length", "expected"),
        [
            (7.0, [5 / 7, 5 / 7, 0.0]),
            (1.0, [1, 1, 1]),
            (0.5, [1, 1, 1]),
            (3.5, [1, 1.5 / 3.5, 1.0]),
        ],
    )
    def test_dose(self, length: float, expected: list[float]) -> None:
        end = 2 if length == 7 else 10
        arm = Arm("waitlist_day", "real_other", 0.5, 1.0, (Period(0, end, 5, 1.0),))
        assert Exposure(3, length, {"a": arm}).dose("a") == pytest.approx(expected)

    def test_days_of_a_week_are_practised_as_often_as_declared(self) -> None:
        periods = (Period(3, 31, 2.5, 0.5),)
        arm = Arm("waitlist_day", "real_other", 0.5, 1.0, periods)
        dose = Exposure(40, 1.0, {"a": arm}).dose("a")
        assert dose.sum() == pytest.approx(4 * 2.5 * 0.5)
        assert dose[3:7].tolist() == [0.5, 0.5, 0.25, 0]


needs_data = pytest.mark.skipif(DATA is None, reason="ATTACH_AI_DATA is not set")


@needs_data
def test_the_school_file() -> None:
    path = Path(DATA or "") / "01_keng_depress_3wave_attachment.csv"
    found = read_records(path, mapping="school_waves")
    assert len(found.subjects) == 185
    assert (found.n_steps, found.step_length) == (24, 7)
    frame = pd.read_csv(path)
    items = [c for c in frame if c.startswith(("ecr1", "depr1", "depr2", "depr3")) and len(c) > 5]
    assert len(found.answers) == frame[items].notna().sum().sum()
    means = found.answers.query("instrument == 'zung_sds' and occasion == '3'")
    means = means.groupby("subject").keyed.mean() + 1
    theirs = frame.set_index(frame.id.astype(str)).depr3
    complete = (
        frame.set_index(frame.id.astype(str)).filter(regex=r"^depr3\d\d$").notna().all(axis=1)
    )
    np.testing.assert_allclose(means[complete[complete].index], theirs[complete], rtol=1e-9)
    assert any("Arms are whole clusters (4 in 2 arms)" in n for n in found.notes)
    assert not any("reverse-keyed" in n for n in found.notes)
    assert found.exposure.kind == "unknown"


@needs_data
def test_the_diary() -> None:
    path = Path(DATA or "") / "03_geschwind_mbct_rct_esm.csv"
    found = read_records(path, mapping="diary_mbct")
    frame = pd.read_csv(path)
    items = ["cheerful", "worry", "fearful", "sad", "relaxed"]
    assert len(found.answers) == frame[items].notna().sum().sum()
    assert (found.n_steps, found.step_length) == (100, 0.1)
    assert len(found.events) == frame.event_pleasantness.notna().sum()
    assert (
        len(found.missing_events)
        == (frame.event_pleasantness.isna() & frame[items].notna().any(axis=1)).sum()
    )
    assert found.group is not None
    assert found.group.value_counts().to_dict() == {"waitlist": 66, "mbct": 63}
    assert any("42 rows say no beep" in n for n in found.notes)

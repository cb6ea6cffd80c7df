"""Scores by each instrument's rule, against sums made by hand and by a depositor."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.records.records import read_records
from attach_ai.fit.records.score import score
from attach_ai.model.instrument import Instrument, load_instrument

DATA = os.environ.get("ATTACH_AI_DATA")


@dataclass
class Answers:
    """What `score` needs of records."""

    answers: pd.DataFrame
    instruments: dict[str, Instrument]
    subjects: tuple[str, ...] = ("a", "b")
    episodes: tuple[str, ...] = ("study",)
    occasions: tuple[str, ...] = ("w0", "w1")


def answered(name: str, sheets: dict[tuple[str, str], dict[str, float]]) -> Answers:
    """Raw answers by (subject, occasion)."""
    instrument = load_instrument(name)
    rows: list[dict[str, Any]] = []
    for (subject, occasion), given in sheets.items():
        for item, value in given.items():
            rows.append(
                {
                    "subject": subject,
                    "episode": "study",
                    "step": int(occasion[1:]),
                    "occasion": occasion,
                    "instrument": name,
                    "item": item,
                    "value": value,
                    "keyed": instrument.keyed(item, value),
                }
            )
    return Answers(pd.DataFrame(rows), {name: instrument})


def numbered(values: list[float]) -> dict[str, float]:
    return {str(i): v for i, v in enumerate(values, start=1) if not np.isnan(v)}


def test_a_mean_with_reversed_items_and_one_missing() -> None:
    full = numbered([7, 7, 7, 7, 1, 1, 4, 5, 6])
    some = {k: v for k, v in full.items() if k != "5"}
    few = {k: v for k, v in full.items() if k not in ("5", "6", "9")}
    made = score(answered("ecr_rs", {("a", "w0"): full, ("a", "w1"): some, ("b", "w0"): few}))
    at = made.score.sel(episode="study")
    assert at.sel(subject="a", occasion="w0", scale="ecr_rs.avoidance") == 1.0
    assert at.sel(subject="a", occasion="w0", scale="ecr_rs.anxiety") == 5.0
    assert at.sel(subject="a", occasion="w1", scale="ecr_rs.avoidance") == 1.0  # five of six
    assert np.isnan(at.sel(subject="b", occasion="w0", scale="ecr_rs.avoidance"))  # four of six
    assert np.isnan(at.sel(subject="b", occasion="w0", scale="ecr_rs.anxiety"))  # two of three
    assert np.isnan(at.sel(subject="b", occasion="w1")).all()
    assert made.answered.sel(subject="b", occasion="w0", scale="ecr_rs.avoidance") == 4
    assert made.answered.sel(subject="b", occasion="w1").sum() == 0
    assert (float(made.lowest[0]), float(made.highest[0]), int(made.needed[0])) == (1, 7, 5)


def test_sums_are_prorated() -> None:
    nan = np.nan
    sheets = {
        ("a", "w0"): numbered([0, 1, 2, 3, 0, 1, 2, 3, 0]),
        ("a", "w1"): numbered([1, 1, 1, 1, 1, 3, 3, nan, nan]),
        ("b", "w0"): numbered([1, 1, 1, 1, 1, 3, nan, nan, nan]),
    }
    made = score(answered("phq9", sheets)).score.squeeze(("episode", "scale"))
    assert made.sel(subject="a", occasion="w0") == 12
    assert made.sel(subject="a", occasion="w1") == pytest.approx(11 * 9 / 7)
    assert np.isnan(made.sel(subject="b", occasion="w0"))


def test_sums_that_are_multiplied() -> None:
    made = score(answered("who5", {("a", "w0"): numbered([5, 4, 3, 2, 1])}))
    assert float(made.score.sel(subject="a", occasion="w0").squeeze()) == 60
    assert float(made.highest[0]) == 100
    dass = score(answered("dass21", {("a", "w0"): numbered([1.0] * 20 + [3])})).score
    assert float(dass.sel(subject="a", occasion="w0", scale="dass21.depression").squeeze()) == 2 * (
        6 + 3
    )


def test_a_total_turns_round_what_its_subscales_do_not() -> None:
    harsh = {"1", "4", "8", "9", "11", "12"}
    sheet = {str(i): 5.0 if str(i) in harsh else 2.0 for i in range(1, 13)}
    made = (
        score(answered("scs_sf", {("a", "w0"): sheet}))
        .score.sel(subject="a", occasion="w0")
        .squeeze()
    )
    assert made.sel(scale="scs_sf.self_judgment") == 5
    assert made.sel(scale="scs_sf.self_kindness") == 2
    assert made.sel(scale="scs_sf.self_compassion") == pytest.approx((6 * 1 + 6 * 2) / 12)


def test_each_target_is_scored_alone_and_all_together() -> None:
    instrument = load_instrument("ecr_rs").for_targets("mother", "friend")
    rows = [
        {
            "subject": "a",
            "episode": "study",
            "step": 0,
            "occasion": "w0",
            "instrument": "ecr_rs",
            "item": item.name,
            "keyed": float(item.key(2.0 if item.name.startswith("mother") else 6.0)),
        }
        for item in instrument.items
    ]
    made = score(Answers(pd.DataFrame(rows), {"ecr_rs": instrument}))
    at = made.score.sel(subject="a", occasion="w0").squeeze()
    assert at.sel(scale="ecr_rs.mother_anxiety") == 2
    assert at.sel(scale="ecr_rs.friend_anxiety") == 6
    assert at.sel(scale="ecr_rs.anxiety") == 4


def test_nothing_to_score_is_said() -> None:
    with pytest.raises(InputError, match="there is no instrument to be scored"):
        score(Answers(pd.DataFrame({"step": [], "occasion": []}), {}))


SCHOOL = """format = 1
name = "school"
subject = "id"
[time]
step = "1 w"
waves = { 1 = 0, 2 = 8, 3 = 16 }
[instruments.zung_sds]
columns = "depr{wave}{item:02d}"
already_reversed = true
[instruments.ecr_rs]
waves = ["1"]
already_reversed = true
[instruments.ecr_rs.columns]
1 = "ecr{wave}03"
2 = "ecr{wave}04"
3 = "ecr{wave}06"
4 = "ecr{wave}09"
5 = "ecr{wave}01"
6 = "ecr{wave}08"
7 = "ecr{wave}02"
8 = "ecr{wave}05"
9 = "ecr{wave}07"
"""


@pytest.mark.skipif(DATA is None, reason="ATTACH_AI_DATA is not set: no school data to score")
def test_the_depositors_own_means_of_the_school_data(tmp_path: Path) -> None:
    (tmp_path / "school.toml").write_text(SCHOOL)
    path = Path(DATA or "") / "01_keng_depress_3wave_attachment.csv"
    made = score(read_records(path, mapping=tmp_path / "school.toml"))
    frame = pd.read_csv(path)
    frame.index = frame["id"].astype(int).astype(str)
    frame = frame.loc[list(made.subject.values)]
    theirs = {f"depr{w}": (w, "zung_sds.depression", 20) for w in "123"}
    theirs |= {"attach_anx": ("1", "ecr_rs.anxiety", 3), "attach_avo": ("1", "ecr_rs.avoidance", 6)}
    for column, (wave, scale, items) in theirs.items():
        ours = made.sel(occasion=wave, scale=scale).squeeze("episode")
        complete = (ours.answered == items).to_numpy()
        assert complete.sum() > 150
        mean = ours.score.to_numpy() / (items if scale.startswith("zung") else 1)
        np.testing.assert_allclose(mean[complete], frame[column].to_numpy()[complete], atol=1e-9)

"""Formats: the same answers from every kind of file, and one sentence where a file is broken."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.records.formats import read_table
from attach_ai.fit.records.records import read_records

FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "wave": [1, 1, 2],
        "arm": ["x", "y", "x"],
        "phq9_1": [0.0, 3.0, np.nan],
        "phq9_2": [1.0, 2.0, 3.0],
    }
)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "plain.csv"
    FRAME.to_csv(path, index=False)
    return path


def answers(path: Path, **given: Any) -> pd.DataFrame:
    return read_records(path, ["phq9"], **given).answers


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("a.csv", ";", "utf-8"),
        ("a.csv", "\t", "utf-8-sig"),
        ("a.tsv", "\t", "utf-8"),
        ("a.txt", "|", "utf-16"),
        ("a.csv", ",", "latin-1"),
    ],
)
def test_delimiters_and_encodings(
    name: str, separator: str, encoding: str, csv: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    FRAME.rename(columns={"arm": "Gruppe: ä"}).to_csv(
        path, sep=separator, encoding=encoding, index=False
    )
    pd.testing.assert_frame_equal(answers(path), answers(csv))
    assert "Gruppe: ä" in read_table(path).columns
    assert len(read_table(path).notes) == (encoding == "latin-1")


def test_a_quoted_cell_may_run_over_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,say,phq9_1\n1,"two\nlines, and ""quotes""",0\n\n2,,7\n')
    table = read_table(path)
    assert table.columns["say"][0] == 'two\nlines, and "quotes"'
    assert table.rows.tolist() == [2, 5]
    with pytest.raises(InputError, match="line 5, column phq9_1"):
        answers(path)


def test_a_comma_parts_fractions_where_semicolons_part_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id;age;phq9_1\n1;20,5;0\n2;30,5;1\n")
    found = read_records(path, ["phq9"], covariates=["age"])
    assert any("0 stands for 25.5" in n for n in found.notes)
    path.write_text('id,age,phq9_1\n1,"20,5",0\n')
    with pytest.raises(InputError, match="column age: expected a number, got '20,5'"):
        read_records(path, ["phq9"], covariates=["age"])


def test_parquet(csv: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    FRAME.assign(arm=FRAME.arm.astype("category")).to_parquet(path)
    pd.testing.assert_frame_equal(answers(path), answers(csv))
    FRAME.assign(phq9_2=[1, 2, 5]).to_parquet(path)
    with pytest.raises(InputError, match=r"row 3, column phq9_2: .* got '5"):
        answers(path)
    for damaged in (path.read_bytes()[:200], b"PAR1" * 9):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a Parquet file"):
            read_table(path)


def test_spss(csv: Path, tmp_path: Path) -> None:
    pyreadstat = pytest.importorskip("pyreadstat")
    path = tmp_path / "a.sav"
    pyreadstat.write_sav(
        FRAME.assign(phq9_1=[0.0, 3.0, -8.5], arm=[0.0, 1.0, 0.0]),
        str(path),
        variable_value_labels={"phq9_2": {1.0: "Some days"}, "arm": {0.0: "control", 1.0: "kind"}},
        missing_ranges={"phq9_1": [{"lo": -9, "hi": -8}]},
    )
    found = read_records(path, ["phq9"], group="arm")
    pd.testing.assert_frame_equal(found.answers, answers(csv))
    assert found.arms == ("control", "kind")
    assert "1 cells hold values that the file declares user-missing." in found.notes
    assert read_table(path).labels["phq9_2"] == {"1": "Some days"}
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="not an SPSS file"):
        read_table(path)


@pytest.mark.parametrize(("name", "needs"), [("a.parquet", "pyarrow"), ("a.sav", "pyreadstat")])
def test_an_extra_that_is_not_installed_is_named(
    name: str, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(module: str, *given: Any, **named: Any) -> Any:
        if module.startswith(needs):
            raise ImportError(module)
        return real(module, *given, **named)

    path = tmp_path / name
    path.write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=rf"need {needs}: pip install 'attach-ai\[formats\]'"):
        read_table(path)


DICTIONARY = """Variable / Field Name,Form Name,"Choices, Calculations, OR Slider Labels",\
Identifier?
record_id,base,,
email,base,,y
ills,base,"1, Asthma | 2, Other",y
phq9_1,mood,"0, Never | 1, Some days | 2, Most days | 3, Every day",
phq9_2,mood,"0, Never | 1, Some days | 2, Most days | 3, Every day",
"""
EXPORT = """record_id,redcap_event_name,email,ills___1,ills___2,phq9_1,phq9_2
7,baseline_arm_1,x@y.z,0,1,Never,1
7,later_arm_1,,,,Some days,
8,baseline_arm_1,q@y.z,0,0,3,Every day
"""


def test_redcap(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(EXPORT)
    book = tmp_path / "Study_DataDictionary_2024.csv"
    book.write_text(DICTIONARY)
    table = read_table(path)
    assert list(table.columns) == ["record_id", "redcap_event_name", "phq9_1", "phq9_2"]
    assert table.notes == ("Left out, being flagged as identifiers: email, ills___1, ills___2.",)
    found = read_records(path, ["phq9"])
    assert found.occasions == ("baseline_arm_1", "later_arm_1")
    assert found.answers.keyed.tolist() == [0, 1, 1, 3, 3]
    book.write_text(DICTIONARY.replace("record_id,base,,", "record_id,base,,y"))
    assert read_records(path, ["phq9"]).subjects == ("1", "2")
    with pytest.raises(InputError, match="this is no data dictionary"):
        read_table(path, dictionary=path)
    with pytest.raises(InputError, match="dictionary cannot be read"):
        read_table(path, dictionary=tmp_path / "none.csv")


def test_a_dictionary_of_something_else_is_left_alone(csv: Path) -> None:
    (csv.parent / "X_DataDictionary.csv").write_text(DICTIONARY)
    assert "id" in read_table(csv).columns


def test_bids(tmp_path: Path) -> None:
    folder = tmp_path / "phenotype"
    folder.mkdir()
    phq = folder / "phq9.tsv"
    phq.write_text(
        "participant_id\tsession_id\tphq9_1\tphq9_2\n"
        "sub-1\tses-1\t0\tn/a\nsub-1\tses-2\t1\t2\nsub-2\tses-1\tOften\t3\n"
    )
    said = {"MeasurementToolMetadata": {}, "phq9_1": {"Levels": {"2": "often"}}}
    phq.with_suffix(".json").write_text(json.dumps(said))
    (folder / "gad7.tsv").write_text(
        "participant_id\tsession_id\tgad7_1\nsub-2\tses-1\t3\nsub-1\tses-1\t0\n"
    )
    (tmp_path / "participants.tsv").write_text("participant_id\tsex\nsub-1\tf\nsub-2\tm\n")
    alone = read_records(phq, ["phq9"])
    assert alone.subjects == ("sub-1", "sub-2")
    assert alone.occasions == ("ses-1", "ses-2")
    assert alone.answers.keyed.tolist() == [0, 1, 2, 2, 3]
    for path in (tmp_path, folder):
        both = read_records(path, ["phq9", "gad7"], group="sex")
        assert both.arms == ("f", "m")
        assert len(both.answers) == 7
    (folder / "gad7.tsv").write_text("participant_id\tsession_id\tgad7_1\nsub-2\tses-1\t9\n")
    with pytest.raises(InputError, match=r"sub-2 ses-1, column gad7_1: .* got '9'"):
        read_records(tmp_path, ["phq9", "gad7"])
    phq.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match="could not be read as JSON"):
        read_table(phq)


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="a folder with BIDS phenotype tables"):
        read_table(tmp_path)
    book = tmp_path / "a.csv"
    book.write_bytes(b"PK\x03\x04....")
    with pytest.raises(InputError, match="this is a spreadsheet; save it as CSV"):
        read_table(book)

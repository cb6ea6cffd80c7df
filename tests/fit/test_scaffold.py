"""Skeletons guessed from a table: what they guess right, and that our own readers accept them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.records.records import read_records
from attach_ai.fit.records.scaffold import scaffold, skeletons, write_scaffold
from attach_ai.model.instrument import Instrument, read_instrument
from attach_ai.model.mapping import DataMapping, read_mapping

DATA = os.environ.get("ATTACH_AI_DATA")


def csv(path: Path, columns: dict[str, object], rows: int = 40) -> Path:
    """A file of these columns; what is no list is repeated."""
    cells = {c: v if isinstance(v, list) else [v] * rows for c, v in columns.items()}
    lines = [",".join('"' + c.replace('"', '""') + '"' for c in cells)]
    lines += [",".join(str(v[i]) for v in cells.values()) for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def read_all(path: Path) -> tuple[DataMapping, dict[str, Instrument]]:
    """What our readers make of the skeletons of a file."""
    *books, mapping = write_scaffold(path, path.parent / "made")
    return read_mapping(mapping), {b.stem: read_instrument(b) for b in books}


def likert(rng: np.random.Generator, low: int, high: int, n: int = 40) -> list[object]:
    values = [int(v) for v in rng.integers(low, high + 1, n)]
    return [*values[:-2], low, high]


def test_waves_in_column_names_padding_codes_and_a_turned_item(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=40)
    columns: dict[str, object] = {"id": list(range(40)), "arm": ["a", "b"] * 20, "Age": 30}
    for wave in (1, 2):
        for item in range(1, 12):
            sign = -1 if item == 3 else 1
            raw = np.clip(np.round(3 + sign * truth + 0.3 * rng.normal(size=40)), 1, 5)
            columns[f"mood{wave}{item:02d}"] = [int(v) for v in raw[:-1]] + [-99]
    mapping, books = read_all(csv(tmp_path / "new.csv", columns))
    assert (mapping.subject, mapping.group.column) == ("id", "arm")  # type: ignore[union-attr]
    assert mapping.missing == ("-99",)
    assert mapping.time.waves == {"1": 0, "2": 1}
    assert mapping.instruments["mood"].column("3", wave="2") == "mood203"
    assert mapping.covariates["age"].column == "Age"
    assert [i.name for i in books["mood"].items] == [str(i) for i in range(1, 12)]
    assert {(i.low, i.high) for i in books["mood"].items} == {(1, 5)}
    assert 'reverse  = "3"' in skeletons(tmp_path / "new.csv")["mood.toml"]


@pytest.mark.parametrize("form", ["x_w{w}_{i}", "t{w}_x_{i}", "x_{i}_w{w}", "X.T{w}.{i:02d}"])
def test_other_ways_to_write_waves(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    columns = {"pid": list(range(40))} | {
        form.format(w=w, i=i): likert(rng, 0, 4) for w in (1, 2, 3) for i in range(1, 5)
    }
    mapping, books = read_all(csv(tmp_path / "new.csv", columns))
    ((name, asked),) = mapping.instruments.items()
    assert asked.waves == ("1", "2", "3")
    assert asked.column("4", wave="2") == form.format(w=2, i=4)
    assert len(books[name].items) == 4


def test_a_declared_instrument_is_recognised_by_name_number_and_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    columns = {"subject": list(range(40)), "session": ["pre", "post"] * 20}
    columns |= {f"PHQ9_{i}": likert(rng, 0, 3) for i in range(1, 10)}
    columns |= {f"gad7_{i}": likert(rng, 1, 4) for i in range(1, 8)}  # not as it is coded
    columns |= {n: likert(rng, 1, 7) for n in ("cheerful", "worry", "fearful", "sad", "relaxed")}
    mapping, books = read_all(csv(tmp_path / "new.csv", columns))
    assert not mapping.instruments["phq9"].codebook
    assert mapping.instruments["esm_affect"].column("sad") == "sad"
    assert set(books) == {"gad7"}
    assert mapping.instruments["gad7"].codebook == "gad7.toml"
    assert mapping.time.wave == "session"
    assert set(mapping.time.waves) == {"pre", "post"}


def test_a_line_is_continuous_and_computed_scores_are_no_items(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    columns: dict[str, object] = {"id": list(range(40))}
    columns |= {f"vas{i}": [round(float(v), 1) for v in rng.uniform(0, 100, 40)] for i in (1, 2, 3)}
    columns |= {f"mean{i}": [round(float(v), 3) for v in rng.uniform(1, 5, 40)] for i in (1, 2, 3)}
    _, books = read_all(csv(tmp_path / "new.csv", columns))
    assert set(books) == {"vas"}
    assert {i.kind for i in books["vas"].items} == {"continuous"}
    assert '"mean1"' in scaffold(tmp_path / "new.csv")


def test_odd_names_and_files_without_items_still_give_what_our_readers_accept(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(4)
    odd = {'a,"b" {x}': 1, "rest1": likert(rng, 1, 5), "rest2": likert(rng, 1, 5)}
    odd |= {"rest3": likert(rng, 1, 5), "1a": likert(rng, 1, 5), "ü\\7": likert(rng, 1, 5)}
    odd |= {f"1a{i}": likert(rng, 1, 5) for i in range(1, 4)}
    mapping, books = read_all(csv(tmp_path / "2024 data.csv", odd))
    assert mapping.name == "data_2024_data"
    assert set(books) == {"rest_items", "items_1a"}
    mapping, books = read_all(csv(tmp_path / "empty.csv", {"who": 1, "what": "x"}))
    assert not books
    assert mapping.subject == "who"
    with pytest.raises(InputError, match="there is no such file"):
        scaffold(tmp_path / "none.csv")


@pytest.mark.skipif(DATA is None, reason="ATTACH_AI_DATA is not set: no real files to look at")
@pytest.mark.parametrize("name", ["01_keng_depress_3wave_attachment", "03_geschwind_mbct_rct_esm"])
def test_real_files_are_read_by_their_skeletons(name: str, tmp_path: Path) -> None:
    path = Path(DATA or "") / f"{name}.csv"
    records = read_records(path, mapping=write_scaffold(path, tmp_path)[-1])
    school = name.startswith("01")
    assert (len(records.subjects), len(records.episodes)) == ((185, 1) if school else (129, 2))
    assert records.group is not None
    expected = {"ecr_rs", "depr"} if school else {"esm_affect"}
    assert expected <= set(records.instruments)
    mapping = read_mapping(tmp_path / f"data_{name}.toml")
    if school:
        assert mapping.instruments["depr"].pattern == "depr{wave}{item:02d}"
        assert mapping.cluster == "class"
        assert read_instrument(tmp_path / "depr.toml").items[-1].high == 4

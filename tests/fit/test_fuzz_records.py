"""Whatever the file, the reader gives records or one clear error; it never crashes."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attach_ai.errors import InputError
from attach_ai.fit.records.records import read_records
from attach_ai.model.mapping import load_mapping

QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LONG = settings(QUICK, max_examples=500)
CELLS = st.sampled_from(
    [*("0", "1", "2", "3", "-99", "9", "1.5", "", "NA", "x", '"', "1e400", "²", "é", "a,b", "1_0")]
)
NAMES = st.sampled_from(["id", "wave", "day", "beep", "arm", "phq9_1", "phq9_2", "age", "", "é,"])
TEXT = """format = 1
name = "mine"
[time]
{time}
[instruments.phq9]
columns = "phq9_{{item}}"
items = "1-2"
[events.approval]
column = "age"
cuts = [0]
levels = ["rejected", "confirmed"]
[group]
column = "arm"
[covariates]
age = {{}}
"""
TIMES = ('wave = "wave"', 'day = "day"\nbeep = "beep"\nbeeps_a_day = 2', 'column = "day"', "")


def tries(path: Path, mapping: Path | None = None) -> None:
    with suppress(InputError):
        given = None if mapping is None else load_mapping(mapping)
        found = read_records(path, ["phq9"], mapping=given)
        assert len(found.answers) + len(found.choices) > 0
        assert found.answers.keyed.between(0, 3).all()
        assert found.answers.step.between(0, found.n_steps - 1).all()
        assert not found.covariates.isna().any(axis=None)
        pickle.loads(pickle.dumps(found))


def table(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, min_size=1, max_size=7))
    rows = draw(st.lists(st.lists(CELLS, min_size=1, max_size=7), max_size=6))
    separator = draw(st.sampled_from([",", ";", "\t"]))
    return "\n".join(separator.join(cells) for cells in [names, *rows])


TABLES = st.composite(table)()
SUFFIXES = st.sampled_from([".csv", ".tsv", ".sav", ".parquet", ".txt"])
HEADS = st.sampled_from([b"", b"id,wave,phq9_1\n", b"PAR1", b"$FL2", b"\xff\xfe", b"\xef\xbb\xbf"])


def _bytes(tmp_path: Path, raw: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(raw)
    tries(path)


def _table(tmp_path: Path, text: str, time: str) -> None:
    path, mapping = tmp_path / "any.csv", tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    mapping.write_text(TEXT.format(time=time))
    tries(path)
    tries(path, mapping)


def _good(tmp_path: Path) -> list[Path]:
    """A small valid file of every binary kind, and a TSV with its JSON."""
    import pyreadstat

    frame = pd.DataFrame({"id": ["a", "b"], "phq9_1": [0.0, 3.0], "phq9_2": [1.0, 2.0]})
    made = [tmp_path / name for name in ("a.parquet", "a.sav", "a.json")]
    frame.to_parquet(made[0])
    pyreadstat.write_sav(frame, str(made[1]), variable_value_labels={"phq9_1": {0.0: "never"}})
    made[2].write_text('{"phq9_1": {"Levels": {"0": "never", "1": {"Description": "some"}}}}')
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    return made


def _damaged(path: Path, whole: bytes, cut: int, at: int, byte: int) -> None:
    damaged = bytearray(whole[: max(0, len(whole) - cut)])
    if damaged:
        damaged[at % len(damaged)] = byte
    path.write_bytes(damaged)
    tries(path.with_suffix(".tsv") if path.suffix == ".json" else path)


@QUICK
@given(raw=st.builds(bytes.__add__, HEADS, st.binary(max_size=200)), suffix=SUFFIXES)
def test_any_bytes(tmp_path: Path, raw: bytes, suffix: str) -> None:
    _bytes(tmp_path, raw, suffix)


@QUICK
@given(text=TABLES, time=st.sampled_from(TIMES))
def test_any_table(tmp_path: Path, text: str, time: str) -> None:
    _table(tmp_path, text, time)


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["parquet", "sav", "json"])
def test_damaged_files(tmp_path: Path, kind: int) -> None:
    path = _good(tmp_path)[kind]
    whole = path.read_bytes()

    @settings(QUICK, max_examples=15)
    @given(st.integers(0, len(whole)), st.integers(0, len(whole)), st.integers(0, 255))
    def check(cut: int, at: int, byte: int) -> None:
        _damaged(path, whole, cut, at, byte)

    check()


@pytest.mark.slow
@LONG
@given(raw=st.builds(bytes.__add__, HEADS, st.binary(max_size=2000)), suffix=SUFFIXES)
def test_any_bytes_at_length(tmp_path: Path, raw: bytes, suffix: str) -> None:
    _bytes(tmp_path, raw, suffix)


@pytest.mark.slow
@LONG
@given(text=TABLES, time=st.sampled_from(TIMES))
def test_any_table_at_length(tmp_path: Path, text: str, time: str) -> None:
    _table(tmp_path, text, time)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["parquet", "sav", "json"])
def test_damage_at_length(tmp_path: Path, kind: int) -> None:
    path = _good(tmp_path)[kind]
    whole = path.read_bytes()

    @LONG
    @given(st.integers(0, 40), st.integers(0, len(whole)), st.integers(0, 255))
    def check(cut: int, at: int, byte: int) -> None:
        _damaged(path, whole, cut, at, byte)

    check()

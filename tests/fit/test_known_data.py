"""Data sets by name: where they are had, how they are known again, and the one that we make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.files import digest
from attach_ai.fit.records.records import read_records
from attach_ai.fit.study import known_data
from attach_ai.fit.study.planned import simulated_cohort
from attach_ai.model import names


def test_each_says_how_it_is_read_where_it_lies_and_under_what_licence() -> None:
    assert {one.mapping for one in known_data.SETS} == set(names("mapping"))
    said = known_data.table()
    for one in known_data.SETS:
        assert all(x in said for x in (one.name, one.source, one.licence, one.sha256))


def test_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not fetched; take it from: Qingyao Zhang"):
        known_data.get("school", tmp_path / "s.csv")
    with pytest.raises(InputError, match="no data set is called 'dairy'; did you mean 'diary'"):
        known_data.get("dairy", tmp_path / "d.csv")
    assert not list(tmp_path.iterdir())


def test_a_file_is_known_by_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    school = known_data.known("school")
    ours = replace(school, sha256=digest(b"id,ecr101\n"))
    monkeypatch.setattr(known_data, "SETS", (ours,))
    monkeypatch.delenv(known_data.FOLDER, raising=False)
    assert known_data.at_hand("school") is None
    with pytest.raises(InputError, match=r"'school' is not at hand; take it from .* Keng"):
        known_data.needed("school")
    monkeypatch.setenv(known_data.FOLDER, str(tmp_path))
    (tmp_path / "a_copy.csv").write_text("id,ecr101\n1,2\n")  # another version of it
    assert known_data.at_hand("school") is None
    (tmp_path / "whatever.txt").write_text("id,ecr101\n")
    assert known_data.needed("school") == tmp_path / "whatever.txt"
    monkeypatch.setenv(known_data.FOLDER, str(tmp_path / "nowhere"))
    assert known_data.at_hand("school") is None


@pytest.mark.slow
def test_the_cohort_is_read_back_by_its_mapping(tmp_path: Path) -> None:
    path = simulated_cohort(tmp_path / "cohort.csv", n_people=20, seed=3)
    found = read_records(path, mapping="cohort")
    assert (len(found.subjects), found.occasions) == (20, ("1", "2", "3"))
    assert found.arms == ("waitlist", "practice")
    assert not [n for n in found.notes if "reverse-keyed" in n]
    assert set(found.answers.query("instrument == 'phq9'")["item"]) == {*map(str, range(1, 10))}
    there = found.missingness().set_index(["group", "occasion"])["share"]
    assert (there[:, ["1", "2"]] == 1).all()  # people leave before the last wave only
    again = simulated_cohort(tmp_path / "again.csv", n_people=20, seed=3)
    assert again.read_bytes() == path.read_bytes()

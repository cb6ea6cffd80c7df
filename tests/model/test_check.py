"""The report on a model, and what data could identify."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.model import Information, Model, load_model, names, show
from attach_ai.model.check import identify
from attach_ai.model.library import root
from attach_ai.model.schema import schema, written


@pytest.fixture(autouse=True)
def nothing_to_simulate_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attach_ai.model.check._information", None)


@pytest.mark.parametrize("name", names("model"))
def test_every_shipped_model_is_sound(name: str) -> None:
    report = load_model(name).check()
    assert report.ok, report.problems
    assert all(t.worst < 1e-12 for t in report.tables)
    assert "no problems" in str(report)


def test_silence_of_a_cause_is_counted() -> None:
    report = load_model("attachment_core").check()
    other = next(t for t in report.tables if t.name.endswith("cause other"))
    assert (other.n_combinations, other.n_covered) == (24, 8)
    assert "silent in 16" in str(report)


def test_a_level_nothing_leads_to_and_an_idle_parameter_are_problems(tmp_path: Path) -> None:
    text = (root() / "generative" / "teaching.toml").read_text()
    text = text.replace('benevolent = "trust", absent = "rest"', "absent = 1")
    text = text.replace('benevolent = "return_rate", absent = "rest"', "absent = 1")
    path = tmp_path / "cromwell.toml"
    path.write_text(text)
    report = load_model(path).check()
    assert not report.ok
    assert report.problems == (
        "agents.benevolent cannot be reached from D through B",
        "no cell uses the parameter trust",
        "no cell uses the parameter return_rate",
    )


def test_a_switched_off_level_is_no_problem() -> None:
    assert load_model("teaching").without("agents.benevolent").check().ok


def information(matrix: np.ndarray) -> tuple[Model, Information]:
    model = load_model("teaching")
    chosen = ("trust", "h0", "w_other", "like")
    return model, Information(chosen, matrix, n_trajectories=8, n_steps=40)


def test_rank_names_what_nothing_identifies_and_what_only_together() -> None:
    """trust informs alone, h0 not at all, w_other and like only through their sum."""
    both = np.array([0, 0, 1, 1.0])
    matrix = np.diag([4.0, 0, 0, 0]) + np.outer(both, both)
    rank, blind, together = identify(*information(matrix))
    assert rank == 2
    assert blind == ("h0",)
    assert together == (("w_other", "like"),)


def test_full_rank_names_nothing_and_no_information_names_all() -> None:
    assert identify(*information(np.eye(4)))[0] == 4
    assert identify(*information(np.eye(4)))[1:] == ((), ())
    rank, blind, _ = identify(*information(np.zeros((4, 4))))
    assert (rank, len(blind)) == (0, 4)


def test_the_report_prints_what_is_unidentified(monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = information(np.diag([4.0, 0, 1, 1]))
    monkeypatch.setattr("attach_ai.model.check._information", lambda _: found)
    report = model.check()
    assert report.rank == 3
    assert "nothing identifies: h0" in str(report)
    assert "8 people x 40 steps, rank 3 of 4" in str(report)


@pytest.mark.parametrize("name", names("model"))
def test_tables_are_shown_within_100_columns(name: str) -> None:
    model = load_model(name)
    text = show(model)
    assert max(map(len, text.splitlines())) <= 100
    for thing in (*model.layout.factors, *model.layout.modalities, *model.declared):
        assert thing.name in text


def test_rows_read_as_sentences_with_their_numbers() -> None:
    text = show(load_model("attachment_core"))
    assert (
        "when agents was benevolent and law was contingent and self_state was ashamed and\n"
        "      next_stance is monitor\n"
        "        -> absent: 1 - (1 - h0) * exp(-kappa) = 0.7, benevolent: the rest = 0.3"
    ) in text
    assert "when threat was high and next_stance is maintain" in text
    assert "posture: a copy of stance" in text
    assert "calm has several causes; each may bring it on its own (noisy-OR)" in text
    variant = show(load_model("attachment_core").combining("max"))
    assert "calm has several causes; the strongest alone counts" in variant
    assert "switched off: agents.benevolent" in show(
        load_model("attachment_core").without("agents.benevolent")
    )


def test_the_committed_schema_is_current() -> None:
    assert (root() / "schema.json").read_text() == written()
    assert json.loads(written()) == schema()


def test_check_and_show_refuse_nothing_they_can_read() -> None:
    with pytest.raises(InputError, match="no model is called 'atachment'; did you mean"):
        load_model("atachment")

"""The verbs of questionnaires as someone meets them: what they write, and how they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from attach_ai import cli
from attach_ai.model.library import root

MAPPING = """
format  = 1
name    = "mine"
subject = "id"
[time]
step  = "1 w"
wave  = "wave"
waves = { 1 = 0, 2 = 2 }
[instruments.ecr_rs]
columns = "e{item}"
items   = "5-9"
[group]
column = "arm"
labels = { wait = "wait", practice = "practice" }
[exposure]
kind = "schedule"
[exposure.arms.practice]
practice = "loving_kindness_day"
world    = "imagined_other"
inner    = { gain = 0.5, rate = 1.0 }
periods  = [ { from = 0, to = 2, days_a_week = 7 } ]
[exposure.arms.wait]
practice = "waitlist_day"
world    = "imagined_other"
inner    = { gain = 0.5, rate = 1.0 }
periods  = [ { from = 0, to = 2, days_a_week = 0 } ]
"""
ITEMS = [f"e{i}" for i in range(5, 10)]


def sheets(n: int = 12) -> pd.DataFrame:
    """Two waves of `n` people, two arms, five items of the ECR-RS."""
    rng = np.random.default_rng(0)
    trait = np.repeat(rng.normal(size=n), 2)
    made = {"id": np.repeat(np.arange(n), 2), "wave": np.tile([1, 2], n)}
    made["arm"] = np.repeat(np.where(np.arange(n) % 2, "practice", "wait"), 2)
    noise = rng.normal(size=(2 * n, len(ITEMS)))
    answers = np.clip(np.round(4 + trait[:, None] + noise), 1, 7).astype(int)
    return pd.DataFrame(made | dict(zip(ITEMS, answers.T, strict=True)))


def put(frame: pd.DataFrame, **how: str) -> None:
    frame.to_csv("mine.csv", index=False, **how)  # type: ignore[call-overload]
    Path("mine.toml").write_text(MAPPING)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(sheets())
    return tmp_path


FIT = ["fit", "mine.csv", "--mapping", "mine.toml", "--free", "fear_of_loss"]
FIT += ["--individual", "fear_of_loss"]
SIZE = ["--chains", "2", "--warmup", "10", "--draws", "60", "--every", "20", "--processes", "1"]
OUT = ["--out", "f.nc"]
DESIGN = ["design", "--free", "trust", "--effect", "0.5", "--people", "12"]
DESIGN += ["--individual", "trust", "--mapping"]


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a refusal says; nothing is written."""
    before = {p.name for p in Path().iterdir()}
    assert cli.main(argv) == 2
    assert {p.name for p in Path().iterdir()} == before
    found = capsys.readouterr()
    assert found.err.startswith("attach-ai: ")
    assert "Traceback" not in found.err
    assert not found.out
    return found.err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([*FIT, "--out", "nowhere/f.nc"], "the folder 'nowhere' does not exist"),
        ([*FIT, "--out", "f.csv"], "should end in .nc"),
        ([*FIT, *OUT, "--figure", "f.gif"], "should end in .png"),
        ([*FIT[:4], *OUT, "--free", "trsut"], "has a parameter 'trsut'; did you mean 'trust'?"),
        ([*FIT[:4], *OUT, "--free", "trust", "trust"], "'trust' is named twice"),
        ([*FIT, *OUT, "--individual", "hold"], "'hold' is not free"),
        ([*FIT, *OUT, "--instruments", "ecr_rss"], "did you mean 'ecr_rs'?"),
        ([*FIT, *OUT, "--instruments", "gad7"], "nor any other of its items"),
        ([*FIT, *OUT, "--mapping", "none.toml"], "none.toml: there is no such file"),
        ([*FIT, *OUT, "--mapping", "mine.csv"], "no mapping is called 'mine.csv'"),
        ([*FIT, *OUT, "--mapping", "cohrot"], "did you mean 'cohort'?"),
        ([*FIT, *OUT, "--model", "atachment"], "did you mean 'attachment"),
        ([*FIT, *OUT, "--model", "attachment"], "a member such as attachment_waves"),
        ([*FIT, *OUT, "--link", "atachment"], "did you mean 'attachment'?"),
        ([*FIT, *OUT, "--alternative", "ecr_rs.avoidance=9"], "there is no alternative 9"),
        ([*FIT, *OUT, "--set", "heal=soon"], "heal is 'soon'; expected a number"),
        ([*FIT, *OUT, "--without", "agents.kind"], "no level of agents is called 'kind'"),
        ([*FIT, *OUT, "--group", "grp"], "no column 'grp' (group)"),
        (["fit", "none.csv", *FIT[2:], *OUT], "none.csv: there is no such file"),
        ([*FIT, *OUT, "--warmup", "3"], "warmup = 3; expected 10 or more"),
        ([*FIT, *OUT, "--chains", "0"], "'0' is not a whole number of at least 1"),
        (["report", "mine.csv"], "could not be read as the tree of a fit"),
        (["report", "none.nc"], "none.nc: there is no fit here"),
        (["compare", *FIT[1:], *OUT, "--only", "nobody"], "no opponent is called 'nobody'"),
        (["recover", *FIT[1:], *OUT, "--only", "5-3"], "the range is empty"),
        (["calibrate", *FIT[1:], *OUT, "--only", "300"], "there is no replicate 300"),
        ([*DESIGN[:-1], "--target", "mean[trust]"], "a design needs a mapping"),
        ([*DESIGN, "diary_mbct", "--target", "mean[trust]"], "a design needs [time] waves"),
        ([*DESIGN, "mine.toml", "--target", "a", "--waves", "9"], "the mapping declares 2"),
        (["instruments", "new"], "expected a file of answers"),
        (["instruments", "phq8"], "did you mean 'phq9'?"),
        (["data", "cohrot"], "did you mean 'cohort'?"),
        (["data", "diary"], "is not fetched; take it from: Geschwind"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    said = refused(capsys, *argv)
    assert says in said
    assert len(said.splitlines()) == 1


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    text = MAPPING.replace("to = 2, days_a_week = 7", "to = 1, days_a_week = 7")
    Path("mine.toml").write_text(text)
    return frame


WRONG: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "out of range": (lambda f: f.replace({"e5": {f.e5[3]: 9}}), "expected a whole number from 1"),
    "unknown item": (lambda f: f.rename(columns={"e9": "e10"}), "no column 'e9' (ecr_rs, item 9)"),
    "a comma": (lambda f: f.rename(columns={"e9": "e9, anxious"}), "no column 'e9' (ecr_rs,"),
    "a row twice": (lambda f: pd.concat([f, f[:1]]), "line 26: the same person and time as line 2"),
    "no exposure": (bare, "wave 2 of arm 'practice' has no exposure"),
    "no people": (lambda f: f.drop(columns="id"), "no column 'id' (subject)"),
    "all missing": (lambda f: f.assign(**dict.fromkeys(ITEMS, "")), "all answers are missing"),
    "no rows": (lambda f: f[:0], "only a header, and no rows"),
    "another arm": (lambda f: f.replace("wait", "sham"), "'sham' is none of wait, practice"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_a_file_is_said_before_anything_is_computed(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    spoil, says = WRONG[kind]
    frame = sheets()
    put(frame)
    spoil(frame).to_csv("mine.csv", index=False)
    assert says in refused(capsys, *FIT, *OUT)


def test_a_mapping_that_is_no_toml_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, says in ((b"a = = b", "not valid TOML"), (b"\xff\xfe\x00", "not UTF-8")):
        Path("mine.toml").write_bytes(text)
        assert says in refused(capsys, *FIT, *OUT)


def test_what_is_drafted_for_a_file_reads_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from attach_ai.fit.records.records import read_records

    assert cli.main(["instruments", "new", "mine.csv", "--out", "drafts"]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written[-1] == "Every line is a guess to be checked."
    assert all(Path(line).is_file() for line in written[:-1])
    found = read_records("mine.csv", mapping="drafts/mine.toml")
    assert len(found.answers) == 12 * 2 * len(ITEMS)
    assert found.arms == ("practice", "wait")


def test_what_there_is_can_be_looked_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["instruments"]) == cli.main(["instruments", "phq9"]) == cli.main(["data"]) == 0
    said = capsys.readouterr().out
    for path in (root() / "instruments").glob("*.toml"):
        assert path.stem in said
    assert "no permission required" in said


# ------------------------------------------------------------------ one fit: a minute to compile


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fit of twelve people, much too short. Single precision, as at the shell."""
    folder = tmp_path_factory.mktemp("fit")
    with (
        pytest.MonkeyPatch.context() as patch,
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
    ):
        patch.chdir(folder)
        put(sheets())
        assert cli.main([*FIT, *SIZE, *OUT]) == 0
    return folder


@pytest.mark.slow
def test_a_fit_holds_what_was_asked(fitted: Path) -> None:
    with xr.open_datatree(fitted / "f.nc", engine="h5netcdf") as tree:
        assert dict(tree["posterior"].sizes)["chain"] == 2
        assert dict(tree["posterior"].sizes)["draw"] == 60
        assert {"prior", "posterior_predictive", "identification"} <= set(tree.children)
        assert np.isfinite(tree["posterior"]["effect"]).all()
    assert not list(fitted.glob(".*"))


@pytest.mark.slow
def test_a_fit_goes_on_where_it_was_killed(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last blocks of a chain are lost; the draws come out as they were."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    (tmp_path / "f.nc").unlink()
    blocks = sorted((tmp_path / "f.draws").glob("chain-1-*.npz"))
    for path in blocks[-2:]:
        path.unlink()
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        assert cli.main([*FIT, *SIZE, *OUT]) == 0
    assert sorted((tmp_path / "f.draws").glob("chain-1-*.npz")) == blocks
    with (
        xr.open_datatree(fitted / "f.nc", engine="h5netcdf") as one,
        xr.open_datatree("f.nc", engine="h5netcdf") as other,
    ):
        xr.testing.assert_equal(one["posterior"].to_dataset(), other["posterior"].to_dataset())


@pytest.mark.slow
def test_a_folder_of_another_fit_is_refused(
    fitted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fitted)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        assert cli.main([*FIT, *SIZE, "--out", "g.nc", "--folder", "f.draws", "--seed", "3"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("attach-ai: f.draws")
    assert not Path("g.nc").exists()


@pytest.mark.slow
def test_a_fit_becomes_a_page(
    fitted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fitted)
    assert cli.main(["report", "f.nc"]) == 0
    assert capsys.readouterr().out.strip() == "f.html"
    page = Path("f.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "R-hat" in page
    # A tree of something else is no recovery, and leaves the page that is there as it is.
    assert cli.main(["report", "f.nc", "--recovery", "f.nc"]) == 2
    assert "tree of the recovery" in capsys.readouterr().err
    assert Path("f.html").read_text() == page

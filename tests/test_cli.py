"""The command line: what it says, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import xarray

from attach_ai import cli
from attach_ai.cli import modelling

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("attach-ai: ")
    return lines[0]


SIMULATE = ["simulate", "teaching", "--sessions", "2", "--out", "t.nc"]
CORE = ["simulate", "attachment_core", "--sessions", "1", "--out", "t.nc"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "VERB"),
        (["simulat"], "invalid choice: 'simulat'"),
        (["models", "attachment_cor"], "did you mean 'attachment_core'?"),
        (["models", "--graph", "g.svg"], "need the name of a model"),
        (["models", "waitlist", "--graph", "g.svg"], "'waitlist' is a practice"),
        (["models", "teaching", "--graph", "g.txt"], "g.txt: the file should end in .svg"),
        (["check", "missing.toml"], "missing.toml"),
        (["simulate", "teaching"], "--out"),
        ([*SIMULATE, "--sessions", "0"], "'0' is not a whole number of at least 1"),
        ([*SIMULATE, "--sessions", "two"], "'two' is not a whole number"),
        ([*SIMULATE, "--gain", "1.5"], "'1.5' is not a number from 0 to 1"),
        ([*SIMULATE, "--out", "t.csv"], "t.csv: the file should end in .nc"),
        ([*SIMULATE, "--out", "nowhere/t.nc"], "the folder 'nowhere' does not exist"),
        ([*SIMULATE, "--figure", "t.bmp"], "t.bmp: the file should end in .png"),
        ([*SIMULATE, "--practice", "loving_kindnes"], "did you mean 'loving_kindness'?"),
        ([*SIMULATE, "--phenotype", "happy"], "no phenotype is called 'happy'"),
        ([*SIMULATE, "--world", "moon"], "no world is called 'moon'"),
        ([*SIMULATE, "--history", "anxios"], "did you mean 'anxious'?"),
        ([*SIMULATE, "--history", "secure", "--phenotype", "secure"], "give one"),
        ([*SIMULATE, "--history", "anxious"], "the model has no parameter"),
        ([*CORE, "--history", "anxious", "--set", "turnover=2"], "turnover = 2 lies outside"),
        ([*CORE, "--history", "anxious", "--set", "loss=.2"], "no parameter 'loss'"),
        ([*SIMULATE, "--set", "trust"], "'trust' should be written name=value"),
        ([*SIMULATE, "--set", "trust=much"], "trust is 'much'; expected a number"),
        ([*SIMULATE, "--set", "trust=.1", "trust=.2"], "'trust' is set twice"),
        ([*SIMULATE, "--set", "trsut=.1"], "did you mean 'trust'?"),
        ([*SIMULATE, "--set", "trust=7"], "trust"),
        ([*SIMULATE, "--without", "agents.angel"], "angel"),
        ([*SIMULATE, "--without", "agents"], "agents"),
        ([*SIMULATE, "--perception", "guess"], "invalid choice: 'guess'"),
        (["reproduce", "--deep", "--shallow"], "not allowed with argument"),
        (["bench", "--json", "nowhere/b.json"], "the folder 'nowhere' does not exist"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_a_mistake_gives_one_sentence_and_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert cli.main(argv) == 2
    assert says in sentence(capsys)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("argv", [["run", "tiny"], ["reproduce"], ["claims"]])
def test_some_verbs_need_a_checkout(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list
) -> None:
    import attach_ai

    monkeypatch.setattr(attach_ai, "__file__", str(folder / "site" / "attach_ai" / "__init__.py"))
    assert cli.main(argv) == 2
    assert "no checkout of attach_ai" in sentence(capsys)


def test_interruption_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(modelling, "models", interrupted)
    assert cli.main(["models"]) == 130
    assert "interrupted" in sentence(capsys)


def test_a_full_disk_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> int:
        raise OSError(28, "No space left on device", "t.nc")

    monkeypatch.setattr(modelling, "models", full)
    assert cli.main(["models"]) == 2
    assert sentence(capsys) == "attach-ai: t.nc: No space left on device"


def test_help_loads_nothing_heavy() -> None:
    script = """
import sys
from attach_ai.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
heavy = {"jax", "numpy", "matplotlib", "xarray", "rich", "typst"} & set(sys.modules)
assert not heavy, heavy
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    for verb in ("models", "check", "simulate", "run", "reproduce", "claims", "bench"):
        assert f"\n    {verb}" in run.stdout


def test_models_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "models: attachment, attachment_core, " in listed
    assert "loving_kindness" in listed
    assert cli.main(["models", "teaching"]) == 0
    assert "benevolent" in capsys.readouterr().out
    assert "histories: anxious" in listed
    assert cli.main(["models", "waitlist"]) == 0
    assert "[schedule]" in capsys.readouterr().out
    assert cli.main(["models", "secure"]) == 0  # a phenotype and a history
    shown = capsys.readouterr().out
    assert shown.index("# phenotype secure") < shown.index("# history secure")
    assert "trust         = 0.80" in shown
    assert "[[stages]]" in shown


def test_models_draws_the_graph(folder: Path) -> None:
    argv = ["models", "teaching", "--graph", "g.svg", "--without", "agents.benevolent"]
    assert cli.main(argv) == 0
    assert (folder / "g.svg").read_text().lstrip().startswith("<?xml")


def test_check_tells_a_sound_model_from_one_that_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["check", "teaching"]) == 0
    assert "teaching" in capsys.readouterr().out
    from attach_ai.model import Check

    monkeypatch.setattr(Check, "ok", property(lambda _: False))
    assert cli.main(["check", "teaching"]) == 1


def test_simulate_writes_a_tree_that_opens(folder: Path) -> None:
    assert cli.main([*SIMULATE, "--figure", "t.png"]) == 0
    with xarray.open_datatree("t.nc", engine="h5netcdf") as tree:
        assert tree["belief"].sizes["session"] == 2
    assert (folder / "t.png").stat().st_size > 0
    assert {p.name for p in folder.iterdir()} == {"t.nc", "t.png"}


def test_simulate_without_the_benevolent_other_differs(folder: Path) -> None:
    argv = ["simulate", "attachment_core", "--practice", "loving_kindness", "--sessions", "2"]
    argv += ["--set", "hold=3", "trust=.4"]
    assert cli.main([*argv, "--out", "with.nc"]) == 0
    assert cli.main([*argv, "--without", "agents.benevolent", "--out", "without.nc"]) == 0

    def believed(name: str) -> float:
        with xarray.open_datatree(name, engine="h5netcdf") as tree:
            belief = tree["belief/agents"].sel(agents_level="benevolent")
            return float(belief.max())

    assert believed("with.nc") > 0.1
    assert believed("without.nc") == 0


def test_a_mind_may_grow_up_before_it_practises(folder: Path, tmp_path: Path) -> None:
    from attach_ai.model.library import root

    text = (root() / "histories" / "moralised_abandonment.toml").read_text()
    text = text.replace("sessions = 30", "sessions = 3").replace("sessions = 10", "sessions = 2")
    (tmp_path / "brief.toml").write_text(text.replace("steps = 24", "steps = 6"))
    argv = [*CORE, "--practice", "loving_kindness", "--history", "brief.toml", "--set", "hold=3"]

    def counts(*more: str) -> list[float]:
        assert cli.main([*argv, *more]) == 0
        with xarray.open_datatree("t.nc", engine="h5netcdf") as tree:
            return [float(x) for x in tree["counts/D_agents"][0]]

    first, same, other, grim = (
        counts(),
        counts(),
        counts("--seed", "1"),
        counts("trust=.01", "responsiveness=0"),
    )
    assert first == same != other
    assert sum(first) == pytest.approx(15)  # ten before any care, one a session
    assert grim[2] < 1 < first[2]


def test_a_life_can_be_felt(folder: Path) -> None:
    argv = ["simulate", "teaching", "--sessions", "2", "--affect", "--out", "t.nc"]
    assert cli.main([*argv, "--figure", "t.png"]) == 0
    felt = xarray.open_datatree("t.nc")["affect"]
    assert set(felt.data_vars) == {"charge", "beta", "valence"}
    assert 0 < float(felt["valence"].min()) <= float(felt["valence"].max()) < 1
    assert (folder / "t.png").stat().st_size > 0


def test_claims_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claims", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 41
    assert rows[6]["title"] == "Fear of loss collapses the state"
    assert cli.main(["claims"]) == 0
    assert "Fear of loss collapses the state" in capsys.readouterr().out

"""The project's own files agree with each other, and importing it costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import attach_ai
from attach_ai.lab import claims, experiments

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_dependency_is_locked_with_hashes() -> None:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    pinned = re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:", LOCK, re.MULTILINE)
    for requirement in wanted:
        name = re.split(r"[<>=]", requirement)[0]
        assert name in pinned, f"{name} is not in requirements.lock; run make lock"
    assert len(pinned) == len(re.findall("^[a-z0-9-]+==", LOCK, re.MULTILINE))


def test_the_lock_names_no_machine_and_no_index() -> None:
    assert "http" not in LOCK
    assert not re.search(r"^-", LOCK, re.MULTILINE)
    assert "make lock" in LOCK.splitlines()[4]


def test_one_version() -> None:
    assert f"version: {attach_ai.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("name", attach_ai.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(attach_ai, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'load_modle'"):
        attach_ai.load_modle  # noqa: B018


def test_importing_costs_nothing_and_sets_nothing() -> None:
    script = """
import sys
import attach_ai
heavy = {"jax", "numpy", "matplotlib", "xarray", "equinox"} & set(sys.modules)
assert not heavy, heavy
import jax
before = dict(jax.config.values)
for name in attach_ai.__all__:
    getattr(attach_ai, name)
changed = {k for k, v in jax.config.values.items() if before.get(k) != v}
assert not changed, changed
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", experiments.available(ROOT))
def test_claims_and_experiments_name_each_other(name: str) -> None:
    experiment = experiments.load(experiments.find(name, ROOT))
    known, figures = claims.read(ROOT / "paper" / "claims.toml")
    assert figures.get(experiment.figure) == name
    for claim in known:
        assert (claim.id in experiment.module.CLAIMS) == (
            claim.status == "measured" and experiment.figure in claim.figures
        ), f"claim {claim.id} and {name} disagree"

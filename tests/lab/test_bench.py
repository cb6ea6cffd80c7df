"""The comparison with pymdp compares like with like, in turns, and is written down."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, ExpectedFreeEnergy
from attach_ai.agent.mean_field import MeanField
from attach_ai.lab import bench as module
from attach_ai.lab.bench import Row, Size, bench
from attach_ai.model import load_model

# pymdp's environment hands its agent outcomes as floats, of which JAX disapproves.
pytestmark = pytest.mark.filterwarnings("ignore:jax.nn.one_hot input:DeprecationWarning")

SMALL = Size(n_steps=3, shared=(2,), own=(2,), n_subjects=2, n_repeats=1, n_compiles=1)


def test_both_gradients_are_of_the_same_likelihood() -> None:
    with module._plain_float32():
        bout = module._Bout(load_model("attachment_core"), SMALL)
        bout.agent = Agent(
            perception=MeanField(),
            planning=ExpectedFreeEnergy(gamma=module.GAMMA, information="per_modality"),
        )
        outcome = jnp.array(
            [[[0, 1, 0, 1, 0, 0], [2, 1, 2, 0, 1, 1], [1, 1, 1, 2, 2, 1]]] * 2, jnp.int32
        )
        choice = jnp.array([[1, 1, 0], [1, 1, 2]], jnp.int32)
        parameters = {"trust": jnp.array([0.2, 0.7]), "w_other": jnp.array([0.5, 0.9])}
        ours = bout._our_loss(parameters, outcome, choice)
        theirs = bout._their_loss(outcome, choice)(parameters)
    assert ours > 1
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_contestants_run_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ran = count(step=0.5), []  # every look at the clock takes half a second
    monkeypatch.setattr(module, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(module, "SHORTEST", 1.5)
    ours, theirs = module._in_turns(
        lambda i: ran.append(("ours", i)), lambda i: ran.append(("theirs", i)), n_repeats=2
    )
    assert ran[-12:] == [(who, i) for i in (1, 2) for who in ("ours", "theirs") for _ in range(3)]
    np.testing.assert_allclose([ours, theirs], 0.5 / 3)


def test_rows_are_printed_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Given:
        def __init__(self, model: Any, size: Size) -> None:
            pass

        def compilation(self) -> Row:
            return Row("compile (s)", 2, 0.5, 4.0, 8.0)

        def closed_loop(self, n: int, own: bool) -> Row:
            return Row(f"closed loop, own={own}", n, 123456.0, 61728.0, 2.0)

        def gradient(self) -> Row:
            return Row("gradient (ms)", 2, 10.0, 35.0, 3.5)

    monkeypatch.setattr(module, "_Bout", Given)
    found = bench(tmp_path / "bench.json", SMALL)
    assert json.loads((tmp_path / "bench.json").read_text()) == found
    assert set(found) == {"machine", "rows"}
    assert [set(r) for r in found["rows"]] == [
        {"figure", "batch", "attach_ai", "pymdp", "ratio"}
    ] * 4
    assert [r["ratio"] for r in found["rows"]] == [8.0, 2.0, 2.0, 3.5]
    printed = capsys.readouterr().out
    assert "123,456" in printed
    assert "3.5" in printed


@pytest.mark.slow
def test_the_whole_comparison_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORTEST", 1e-9)
    rows = bench(size=SMALL)["rows"]
    assert len(rows) == 4
    assert all(np.isfinite(r["ratio"]) and r["attach_ai"] > 0 < r["pymdp"] for r in rows)
    assert [r["batch"] for r in rows] == [2, 2, 2, 2]

"""Fisher information of a model's parameters, against enumeration of everything that can happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from attach_ai.model import load_model
from attach_ai.model.parameters import Parameter
from attach_ai.simulation.information import information
from tests.oracles import Oracle

TEACHING = load_model("teaching")


def sequences(oracle: Oracle, n_steps: int) -> list[tuple[Any, Any]]:
    """Every course of outcomes and choices that can happen."""
    found = [([], [])]
    for _ in range(n_steps):
        found = [
            ([*outcomes, o], [*choices, u])
            for outcomes, choices in found
            for o in oracle.outcomes
            if oracle.paths([*outcomes, o], choices).sum() > 0
            for u in range(len(oracle.choices))
        ]
    return found


def log_probability(oracle: Oracle, outcomes: Any, choices: Any, gamma: float = 8.0) -> float:
    total = np.log(oracle.paths(outcomes, choices).sum())
    for t, u in enumerate(choices):
        q = oracle.posterior(outcomes[: t + 1], choices)
        efe = [oracle.weigh(q, pi)["efe"] for pi in oracle.policies(1)]
        total += np.log(oracle.choose(efe, 1, gamma=gamma)[1][u])
    return float(total)


def test_information_is_that_of_enumeration() -> None:
    """Two steps of the smallest model: every course, its probability and its score."""
    at = TEACHING.build()
    courses = sequences(Oracle(at), 2)
    p = np.exp([log_probability(Oracle(at), *c) for c in courses])
    assert p.sum() == pytest.approx(1.0)
    h, scores = 1e-5, []
    for name, value in TEACHING.defaults.items():
        up, down = (Oracle(TEACHING.build({name: value + d})) for d in (h, -h))
        scores.append(
            [(log_probability(up, *c) - log_probability(down, *c)) / (2 * h) for c in courses]
        )
    scores = np.array(scores)
    np.testing.assert_allclose(scores @ p, 0, atol=1e-6)
    exact = (scores * p) @ scores.T
    found = information(TEACHING, n_trajectories=4000, n_steps=2)
    assert found.parameters == tuple(TEACHING.parameters)
    assert (found.n_trajectories, found.n_steps) == (4000, 2)
    spread = np.sqrt(np.einsum("ic,jc,c->ij", scores**2, scores**2, p) / 4000)
    assert (np.abs(found.matrix - exact) <= 5 * spread + 1e-9).all()


def test_a_check_names_the_parameter_that_no_table_reads() -> None:
    """`information` was registered with `Model.check` when it was imported."""
    idle = Parameter("idle", 0.5, (0.0, 1.0), "read by no table")
    model = replace(TEACHING, declared=(*TEACHING.declared, idle))
    report = model.check()
    found = report.information
    assert found is not None
    assert found.n_trajectories == 64
    assert (found.matrix[found.parameters.index("idle")] == 0).all()
    # In this model no choice changes what is felt, so no choice shows how much calm is liked.
    assert report.unidentified == ("like", "idle")
    assert report.rank == len(model.parameters) - 2
    assert report.confounded == ()
    assert "nothing identifies: like, idle" in str(report)

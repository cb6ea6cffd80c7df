"""A trajectory: everything by name, whole on disk or not there at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from attach_ai.agent import Agent, Dirichlet, ExpectedFreeEnergy, Habit
from attach_ai.errors import InputError
from attach_ai.model import Phase
from attach_ai.simulation import Trajectory, simulate
from attach_ai.world import World
from tests.agent.lives import field, practice
from tests.agent.random_pomdps import LAYOUT, random_pomdp

POMDP = random_pomdp(80)
PRACTISED = practice(Phase("settle", 1), Phase("hold", 2, (field("mood.b", 1.0),)))


@pytest.fixture(scope="module")
def life() -> Trajectory:
    agent = Agent(
        planning=ExpectedFreeEnergy(horizon=2), learning=Dirichlet(D=["mood"], B=["body"])
    )
    return simulate(jax.random.key(0), agent, POMDP, World(POMDP), PRACTISED, 4, track="mood.b")


def test_beliefs_have_the_names_of_the_model(life: Trajectory) -> None:
    mood = life.belief("mood")
    assert mood.dims == ("session", "step", "mood_level")
    assert mood.shape == (4, 3, 3)
    assert mood.mood_level.values.tolist() == ["a", "b", "c"]
    assert mood.session.values.tolist() == [1, 2, 3, 4]
    assert mood.phase.values.tolist() == ["settle", "hold", "hold"]
    assert mood.attrs["units"] == "probability"
    for factor in LAYOUT.factors:
        for held in (False, True):
            np.testing.assert_allclose(
                life.belief(factor.name, held=held).sum(f"{factor.name}_level"), 1
            )
    gained = np.log(life.belief("mood", held=True) / mood).sel(mood_level="b", step=1)
    np.testing.assert_allclose(gained, 0, atol=1e-12)
    assert life.tree.attrs["practice"] == "test"


def test_outcomes_and_actions_are_indices_into_their_levels(life: Trajectory) -> None:
    for what, get in ((LAYOUT.modalities, life.outcome), (LAYOUT.actions, life.action)):
        for x in what:
            found = get(x.name)
            assert found.attrs["levels"] == list(x.levels)
            assert set(np.unique(found)) <= set(range(len(x.levels)))
    # The stance at a step is what was chosen the step before, and posture shows it.
    chosen = life.action("next_stance").values[:, :-1]
    np.testing.assert_array_equal(life.tree["world"]["stance"].values[:, 1:], chosen)
    np.testing.assert_array_equal(life.outcome("posture").values[:, 1:], chosen)
    stance = life.belief("stance").argmax("stance_level").values
    np.testing.assert_array_equal(stance[:, 1:], chosen)


def test_priors_have_one_boundary_more_than_sessions(life: Trajectory) -> None:
    prior = life.prior("mood")
    assert prior.dims == ("boundary", "mood_level")
    assert prior.sizes["boundary"] == 5
    np.testing.assert_allclose(prior[0], POMDP.D[0], atol=1e-12)
    counts = life.tree["counts"]["D_mood"]
    np.testing.assert_allclose(prior, counts / counts.sum("mood_level"), atol=1e-12)
    assert life.tree["counts"]["B_body"].shape == (5, *POMDP.B[1].shape)


def test_counts_have_the_names_of_what_each_table_reads() -> None:
    learning = Dirichlet(A=["pulse"], B=["mood", "body"], E=["speak"])
    agent = Agent(planning=Habit(), learning=learning)
    life = simulate(jax.random.key(1), agent, POMDP, World(POMDP), PRACTISED, 2)
    counts = life.tree["counts"]
    axes = {
        "A_pulse": ("pulse_outcome", "body_level", "echo_level", "stance_level"),
        "B_mood": ("mood_level", "mood_before", "body_before", "speak_level"),
        "B_body": (
            "body_level",
            "body_before",
            "stance_before",
            "speak_level",
            "next_stance_level",
        ),
        "E_speak": ("speak_level",),
    }
    for name, dims in axes.items():
        assert counts[name].dims == ("boundary", *dims)
        assert counts[name].attrs["units"] == "observations"
    assert counts["stance_before"].values.tolist() == ["a", "b", "c"]
    assert "prior" not in life.tree.children
    np.testing.assert_array_equal(life.tree["policy"]["novelty"], 0)


def test_policies_are_named_step_by_step(life: Trajectory) -> None:
    policy = life.tree["policy"]
    assert policy.policy.values[1] == "a+a > a+b"
    assert policy.sizes["policy"] == len(LAYOUT.choices) ** 2
    np.testing.assert_allclose(policy["q_pi"].sum("policy"), 1)
    np.testing.assert_allclose(policy["efe"], policy["risk"] + policy["ambiguity"], atol=1e-12)
    assert policy["efe"].attrs["units"] == "nats"
    vfe = life.tree["vfe"]
    np.testing.assert_allclose(vfe["vfe"], vfe["complexity"] - vfe["accuracy"], atol=1e-12)


def test_what_is_written_is_what_is_read(life: Trajectory, tmp_path: Path) -> None:
    path = life.save(tmp_path / "life.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["life.nc"]
    again = Trajectory.load(path)
    xr.testing.assert_identical(again.tree, life.tree)
    with xr.open_datatree(path) as tree:
        assert set(tree.children) == set(life.tree.children)
    life.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["life.nc"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_save_leaves_what_was_there(
    life: Trajectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    path = tmp_path / "life.nc"
    path.write_bytes(b"before")

    def half(self: Any, to: Any, **settings: Any) -> None:
        Path(to).write_bytes(b"half")
        raise problem

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    expected = InputError if isinstance(problem, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is InputError else None):
        life.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["life.nc"]
    assert path.read_bytes() == b"before"


def test_places_that_cannot_be_read_or_written_are_named(life: Trajectory, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing' does not exist"):
        life.save(tmp_path / "missing" / "life.nc")
    with pytest.raises(InputError, match="is a folder"):
        life.save(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        Trajectory.load(tmp_path / "life.nc")
    (tmp_path / "text.nc").write_text("not a trajectory")
    with pytest.raises(InputError, match=r"text\.nc: not a NetCDF file"):
        Trajectory.load(tmp_path / "text.nc")


def test_names_that_are_not_there_are_answered_with_those_that_are(life: Trajectory) -> None:
    with pytest.raises(InputError, match="belief: no 'moods' here; there are mood, body, echo"):
        life.belief("moods")
    with pytest.raises(InputError, match="outcome: no 'cue' here"):
        life.outcome("cue")
    with pytest.raises(InputError, match="prior: no 'body' here; there are mood"):
        life.prior("body")
    plain = simulate(jax.random.key(0), Agent(planning=Habit()), POMDP, World(POMDP), PRACTISED, 1)
    assert "ledger" not in plain.tree.children
    with pytest.raises(InputError, match="prior: no 'mood' here; there are none"):
        plain.prior("mood")

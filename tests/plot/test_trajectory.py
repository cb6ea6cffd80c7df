"""A life at a glance: frames say what happened, and the artists show the frames."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.axes import Axes

import attach_ai as aa
from attach_ai.model import OperatorSpec, Phase, Practice, Schedule
from attach_ai.model.expression import number
from attach_ai.plot import frames

FIELD = OperatorSpec("field", "agents", "benevolent", number(1.5), {"stance": ("maintain",)})


@cache
def life(n_minds: int = 1, *, learned: bool = True, track: bool = False) -> aa.Trajectory:
    """Two sessions of the smallest model; the second is not practised."""
    model = aa.load_model("teaching")
    practice = Practice(
        "hold_on", "", (), Schedule(5, stop_after=1), (Phase("all", 5, (FIELD,), None),)
    )
    keys = jax.random.split(jax.random.key(3), n_minds)
    return aa.simulate(
        keys if n_minds > 1 else keys[0],
        aa.Agent(learning=aa.Dirichlet(D=["agents"] if learned else [])),
        model.build(),
        aa.World(process=model.build(trust=0.0), inner=aa.Inner(gain=0.5)),
        practice,
        2,
        track="agents.benevolent" if track else None,
    )


def bars(axes: Axes) -> dict[str, list[float]]:
    return {str(c.get_label()): [b.get_height() for b in c] for c in axes.containers}


def panels(figure: Any) -> dict[str, Axes]:
    return {next(t.get_text() for t in a.texts if t.get_text()): a for a in figure.axes}


@pytest.mark.parametrize("n_minds", [1, 3])
def test_beliefs_are_session_means(n_minds: int) -> None:
    traj = life(n_minds)
    frame = frames.beliefs(traj, "agents")
    assert frame["unheld"].dims == ("mind", "session", "level")
    whole = np.asarray(traj.belief("agents")).reshape(n_minds, 2, 5, 2)
    np.testing.assert_allclose(frame["unheld"], whole.mean(2))
    assert frame.sizes["boundary"] == 3
    level, raised = frames.held_level(frame)
    assert level == "benevolent"
    assert raised > 0.01
    # Nothing is held in the session that is not practised.
    np.testing.assert_allclose(frame["held"].isel(session=1), frame["unheld"].isel(session=1))


@pytest.mark.parametrize("n_minds", [1, 3])
def test_it_draws_what_the_frames_say(n_minds: int) -> None:
    traj = life(n_minds, track=True)
    figure = aa.plot.trajectory(traj)
    at = panels(figure)
    assert set(at) == {"Agents", "Next stance", "Cost", "Evidence ledger"}
    shares = frames.choices(traj, "next_stance").mean("mind")
    np.testing.assert_allclose(shares.sum("level"), 1)
    for level, heights in bars(at["Next stance"]).items():
        np.testing.assert_allclose(heights, shares.sel(level=level))
    book = frames.ledger(traj)
    assert book is not None
    for name, heights in bars(at["Evidence ledger"]).items():
        np.testing.assert_allclose(heights, book[name].mean("mind"), atol=1e-12)
    belief = frames.beliefs(traj, "agents")["unheld"].mean("mind")
    drawn = [line.get_ydata() for line in at["Agents"].lines]
    for level in ("absent", "benevolent"):
        assert any(np.array_equal(y, belief.sel(level=level)) for y in drawn)
    n_bands = len(at["Agents"].collections)
    assert n_bands == (2 if n_minds > 1 else 0)


def test_ledger_adds_up_to_the_held_belief() -> None:
    traj = life(3, track=True)
    book = frames.ledger(traj)
    assert book is not None
    total = sum(book[name] for name in book.data_vars)
    p = traj.belief("agents", held=True).sel(agents_level="benevolent").isel(step=-1)
    np.testing.assert_allclose(total, np.log(p / (1 - p)), atol=1e-9)


def test_sessions_without_practice_are_shaded() -> None:
    figure = aa.plot.trajectory(life())
    for axes in figure.axes:
        spans = [(p.get_x(), p.get_width()) for p in axes.patches if p.get_height() == 1]
        assert (1.5, 1.0) in spans
    assert "shaded: not practised" in figure.texts[1].get_text()


def test_without_learning_every_factor_is_shown() -> None:
    figure = aa.plot.trajectory(life(learned=False))
    assert {"Agents", "Stance"} <= set(panels(figure))


def test_it_is_saved_whole(tmp_path: Path) -> None:
    aa.plot.trajectory(life(), tmp_path / "life.png")
    assert [p.name for p in tmp_path.iterdir()] == ["life.png"]
    with pytest.raises(aa.InputError, match="saved as"):
        aa.plot.trajectory(life(), tmp_path / "life.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["life.png"]

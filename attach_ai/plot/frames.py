"""What the pictures of a life show, as labelled arrays: one value a session, for each mind.

A single mind has a `mind` dimension of length one here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from attach_ai.simulation import Trajectory


def learned(traj: Trajectory) -> list[str]:
    """Factors whose D is learned."""
    return [str(f) for f in traj.tree["prior"].data_vars] if "prior" in traj.tree else []


def beliefs(traj: Trajectory, factor: str) -> xr.Dataset:
    """P(level) of a factor, mean over a session's steps: `unheld`, `held` (mind, session, level).

    Where the factor's D is learned also `prior` (mind, boundary, level).
    """
    import xarray as xr

    def frame(data: xr.DataArray) -> xr.DataArray:
        return _minds(data.rename({f"{factor}_level": "level"}).drop_attrs())

    found = {
        "unheld": frame(traj.belief(factor)).mean("step"),
        "held": frame(traj.belief(factor, held=True)).mean("step"),
    }
    if factor in learned(traj):
        found["prior"] = frame(traj.prior(factor))
    return xr.Dataset(found)


def held_level(frame: xr.Dataset) -> tuple[str, float]:
    """Of `beliefs`, the level that holding raised most, and by how much."""
    raised = (frame["held"] - frame["unheld"]).mean(("mind", "session"))
    return str(raised.idxmax("level").item()), float(raised.max())


def choices(traj: Trajectory, action: str) -> xr.DataArray:
    """Share of each session's steps at which a level was chosen (mind, session, level)."""
    import xarray as xr

    taken = _minds(traj.action(action))
    levels = xr.DataArray(list(taken.attrs["levels"]), dims="level", name="level")
    shares = xr.concat([(taken == i).mean("step") for i in range(levels.size)], levels)
    return shares.transpose("mind", "session", "level")


def costs(traj: Trajectory) -> xr.Dataset:
    """`vfe` and `effort` in nats a step, mean over each session (mind, session)."""
    return _minds(traj.tree["vfe"].to_dataset()[["vfe", "effort"]]).mean("step")


def affect(traj: Trajectory) -> xr.Dataset | None:
    """`charge` in nats a step and `valence`, P(positive), mean over each session (mind, session).

    None for a mind without affect.
    """
    if "affect" not in traj.tree:
        return None
    return _minds(traj.tree["affect"].to_dataset()[["charge", "valence"]]).mean("step")


def ledger(traj: Trajectory) -> xr.Dataset | None:
    """Entries of each session in nats of log-odds (mind, session); None where none was kept.

    `carried` stood at the session's start, `body` and `cues` came from its outcomes, `transitions`
    from the changes that the mind believes in, and `field` is what holding added at the last step.
    All together are the held log-odds at the session's end.
    """
    if "ledger" not in traj.tree:
        return None
    steps = _minds(traj.tree["ledger"].to_dataset())
    last = steps.isel(step=-1, drop=True)
    carried = steps["expected"].isel(step=0, drop=True)
    return last[["body", "cues", "field"]].assign(
        carried=carried, transitions=last["expected"] - carried
    )


def _minds(data: Any) -> Any:
    return data if "mind" in data.dims else data.expand_dims("mind")

"""What a fit can tell of single people, and how far it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attach_ai.plot import fit_frames as frames
from attach_ai.plot.fit_check_frames import individual_r

if TYPE_CHECKING:
    import xarray as xr

TRUSTED = 0.7  # least recovery (or reliability) at which a person's own parameter is shown


def trust(
    tree: xr.DataTree, names: Sequence[str], recovery: xr.DataTree | None = None
) -> dict[str, float]:
    """How far each individual parameter can be told of single people, from 0 to 1.

    The correlation of true and estimated values in `recovery`; without one the reliability of the
    posterior, 1 - mean posterior variance / prior variance. NaN where a recovery left it out.
    """
    if recovery is not None:
        found = individual_r(recovery)
        return {n: found.get(n, float("nan")) for n in names}
    frame = frames.persons(tree)
    if "reliability" not in frame:
        return {}
    values = frame["reliability"]
    at = dict(zip(map(str, values["effect"].values), map(float, values.values), strict=True))
    return {n: at[n] for n in names if n in at}


def by_person(tree: xr.DataTree, names: Sequence[str]) -> xr.Dataset:
    """`low`, `mid`, `high` of single people's parameters (subject, what), on their own scale.

    Where the tree does not hold them: standard deviations from what the covariates predict.
    """
    data = frames.own(tree)
    if "person" in data:
        found = _by_episode(
            frames.interval(data["person"].sel(individual=list(names)), frames.CHAINS)
        )
        return found.assign_attrs(unit="on its own scale")
    drawn = data["effects"]
    (axis,) = (d for d in drawn.dims if d not in (*frames.CHAINS, "subject"))
    found = frames.interval(drawn.sel({axis: list(names)}), frames.CHAINS).rename({axis: "what"})
    unit = "in standard deviations from what the covariates predict"
    return found.transpose("subject", "what").assign_attrs(unit=unit)


def _by_episode(frame: xr.Dataset) -> xr.Dataset:
    """Parameters and episodes as one axis, `what`; a single episode goes unnamed."""
    import xarray as xr

    if frame.sizes.get("episode", 1) == 1:
        found = frame.squeeze("episode", drop=True) if "episode" in frame.dims else frame
        return found.rename(individual="what").transpose("subject", "what")
    parts = []
    for name in map(str, frame["individual"].values):
        part = frame.sel(individual=name, drop=True).rename(episode="what")
        parts.append(part.assign_coords(what=[f"{name}, {e}" for e in part["what"].values]))
    return xr.concat(parts, "what").transpose("subject", "what")

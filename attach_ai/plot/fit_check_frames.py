"""What the pictures of checks show, as labelled arrays, from the trees that the checks make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attach_ai.plot.fit_frames import need, population_sites

if TYPE_CHECKING:
    import xarray as xr


def identified(tree: xr.DataTree) -> xr.Dataset:
    """`alone` and `contraction` (unknown), `reliability` (effect); parameters of items left out.

    All are expected before any answer was read. `attrs["verdict"]`: what cannot be told, in words.
    """
    found = need(tree, "identification")
    items = set(population_sites(tree, items=True)) if "posterior" in tree.children else set()
    keep = [i for i, s in enumerate(found["site"].values) if str(s) not in items]
    return found.isel(unknown=keep)


def ranked(tree: xr.DataTree, most: int = 16) -> xr.Dataset:
    """Ranks of what was true, as their distribution less the uniform one: (quantity, rank_at).

    `ecdf`, `low`, `high` (the simultaneous band that holds all of a line in 95 % of calibrated
    cases), `p` (quantity). The `most` quantities that are furthest out; `attrs`: "verdict", "n" of
    all quantities, and "replicates".
    """
    data = need(tree, "calibration", "calibration")
    n = int(data.sizes["quantity"])
    data = data.isel(quantity=np.argsort(data["p"].values, kind="stable")[:most])
    at = np.arange(data.sizes["rank_at"])
    share = (data["rank"].values[:, :, None] <= at).mean(0)
    ecdf = data["p"].copy(data=data["p"].values).expand_dims(rank_at=data.sizes["rank_at"], axis=1)
    found = data[["p"]].assign(
        ecdf=ecdf.copy(data=share) - data["expected"],
        low=data["low"] - data["expected"],
        high=data["high"] - data["expected"],
        at=data["expected"],
    )
    said = {"verdict": str(data.attrs.get("verdict", "")), "n": n}
    return found.assign_attrs(said, replicates=data.sizes["replicate"])


def designed(data: xr.Dataset, effect: str | None = None) -> xr.Dataset:
    """Of a design: `power`, `assurance` and `reliability` by (panel, people, waves).

    A panel is a choice of items and dose. `reliability` is that of `effect`, of the first one
    unless said.
    """
    keep = data[["power", "assurance"]]
    if data.sizes.get("effect", 0):
        own = (
            data["reliability"].isel(effect=0)
            if effect is None
            else data["reliability"].sel(effect=effect)
        )
        keep = keep.assign(reliability=own.drop_vars("effect"))
    flat = keep.stack(panel=("items", "dose"))
    several = {a: data.sizes[a] > 1 for a in ("items", "dose")}
    names = [
        ", ".join(f"{a} {v}" for a, v in zip(("items", "dose"), at, strict=True) if several[a])
        for at in flat["panel"].values
    ]
    flat = flat.drop_vars(["panel", "items", "dose"]).assign_coords(panel=names)
    return flat.transpose("panel", "people", "waves", ...)


def compared(tree: xr.DataTree) -> xr.Dataset:
    """Models, best first: `difference` in elpd from the best and its `difference_se` (nats).

    Likewise `waves_difference`, of occasions left out; `protected` exceedance probability, NaN
    where it was not computed, `weight` of stacking, `k_share` of failed importance weights.
    """
    found = need(tree, "table", "comparison")
    if "protected" not in found:
        found = found.assign(protected=found["difference"] * np.nan)
    return found.sortby("difference", ascending=False)


def recovered(tree: xr.DataTree, most: int = 16) -> xr.Dataset:
    """True and estimated: `truth`, `estimate` (panel, point), with `r` and `coverage` (panel).

    Single people's parameters first (`of_people`), then means, effects and spreads of the
    population, over replicates; `most` panels at most.
    """
    import xarray as xr

    parts = []
    for group, table, dim in (("people", "individual", "effect"), ("sites", "summary", "element")):
        data, told = need(tree, group, "recovery"), need(tree, table, "recovery")
        for name in map(str, data[dim].values):
            if group == "sites" and name.split(" ")[0] not in POPULATION:
                continue
            at, of = data.sel({dim: name}), told.sel({dim: name})
            points = {k: ("point", at[v].values.ravel()) for k, v in DRAWN.items()}
            known = {"r": of["r"].values, "coverage": of["coverage_89"].values}
            part = xr.Dataset(points | known | {"of_people": group == "people", "name": name})
            parts.append(part.assign_coords(point=np.arange(part.sizes["point"])))
    return xr.concat(parts[:most], "panel", data_vars="all", join="outer")


POPULATION = ("mean", "effect", "spread")
DRAWN = {"truth": "truth", "estimate": "mean"}


def individual_r(tree: xr.DataTree) -> dict[str, float]:
    """Correlation of true and estimated values of each effect over people."""
    found = need(tree, "individual", "recovery")
    return dict(zip(map(str, found["effect"].values), map(float, found["r"].values), strict=True))

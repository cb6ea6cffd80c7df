"""What the pictures of a fit show, as labelled arrays: observed beside predicted.

They read the DataTree of a fit alone (`fit.nc`). `low` and `high` bound the central 89 % of the
draws, `mid` is their median.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.errors import InputError
from attach_ai.plot.style import LEVEL

if TYPE_CHECKING:
    import xarray as xr

TAILS = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
CHAINS = ("chain", "draw")
# Sites that say how items work rather than what people are like.
OF_ITEMS = ("item",)


def need(tree: xr.DataTree, group: str, of: str = "fit") -> xr.Dataset:
    """One group of a tree, of a fit or a recovery; `InputError` where it has none of that name."""
    if group not in tree.children:
        have = ", ".join(tree.children) or "none"
        raise InputError(f"there is no group '{group}', only {have}", f"tree of the {of}")
    return tree[group].to_dataset()


def said(tree: xr.DataTree, name: str, default: Any) -> Any:
    """An attribute of the tree, read from its JSON; `default` where there is none."""
    raw = tree.attrs.get(name)
    if not isinstance(raw, str):
        return default if raw is None else raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def interval(data: xr.DataArray, over: str | Sequence[str] = "sample") -> xr.Dataset:
    """`low`, `mid` and `high` over one dimension or several."""
    import xarray as xr

    found = data.astype(float).quantile(TAILS, over, skipna=False)
    parts = {name: found.isel(quantile=i, drop=True) for i, name in enumerate(("low", "mid"))}
    return xr.Dataset(parts | {"high": found.isel(quantile=2, drop=True)})


def beliefs(tree: xr.DataTree) -> xr.Dataset:
    """Mean belief of each group's people: `low`, `mid`, `high` (reading, group, episode, step)."""
    found = interval(need(tree, "trajectory")["belief"])
    return found.transpose("reading", "group", "episode", "step")


def moved(frame: xr.Dataset) -> xr.DataArray:
    """How far each of `beliefs` ranges over groups, time and draws (reading)."""
    over = ("group", "episode", "step")
    found: xr.DataArray = frame["high"].max(over) - frame["low"].min(over)
    return found


def asked(tree: xr.DataTree) -> xr.DataArray:
    """The step at which most people answered, NaN where nobody did (episode, occasion)."""
    import xarray as xr

    at = need(tree, "constant_data")["step_of"].astype(float)
    at = at.where(at >= 0).transpose("subject", "episode", "occasion")
    some = at.notnull().any("subject").values
    values = np.full(some.shape, np.nan)
    values[some] = np.nanmedian(at.values[:, some], axis=0)
    return xr.DataArray(values, {d: at[d] for d in at.dims[1:] if d in at.coords}, at.dims[1:])


def groups(tree: xr.DataTree) -> xr.DataArray:
    """The group of each subject; "all" where there are no groups."""
    import xarray as xr

    data = need(tree, "constant_data")
    if "group" in data:
        return data["group"].astype(str)
    people = need(tree, "observed_data")["subject"]
    return xr.DataArray(np.full(people.size, "all"), {"subject": people}, ("subject",))


def scores(tree: xr.DataTree) -> xr.Dataset:
    """Mean scores of those who answered: `observed`, `n`, and what the fit predicts for them.

    (scale, group, episode, occasion), in points of an item.
    """
    import xarray as xr

    observed = need(tree, "observed_data")["score"].astype(float)
    predicted = need(tree, "posterior_predictive")["score"].where(observed.notnull())
    of = groups(tree)
    found = []
    names = _levels(tree, of)
    for name in names:
        at = np.flatnonzero(of.values == name)
        seen, again = observed.isel(subject=at), predicted.isel(subject=at)
        part = interval(_mean(again, "subject"))
        found.append(part.assign(observed=_mean(seen, "subject"), n=seen.count("subject")))
    every = xr.concat(found, xr.Variable("group", names))
    return every.transpose("scale", "group", "episode", "occasion")


def counts(tree: xr.DataTree, most: int = 99) -> xr.Dataset:
    """How often each category was chosen: `observed` and predicted.

    (item, group, occasion, category); NaN where an item was not asked or has no such category.
    Where there are more than `most` occasions they are counted together.
    """
    observed = need(tree, "observed_data")["count"].astype(float)
    predicted = need(tree, "posterior_predictive")["count"].astype(float)
    if observed.sizes["occasion"] > most:
        together = {"occasion": [f"all {observed.sizes['occasion']} occasions"]}
        observed = observed.sum("occasion").expand_dims(together)
        predicted = predicted.sum("occasion").expand_dims(together)
    some = observed.sum(("group", "occasion")) + predicted.sum(("group", "occasion", "sample")) > 0
    place = _places(some, "category")
    exists = place <= place.where(some).max("category")
    found = interval(predicted).assign(observed=observed)
    found = found.where((observed.sum("category") > 0) & exists)
    return found.transpose("item", "group", "occasion", "category")


def inside(frame: xr.Dataset) -> tuple[int, int]:
    """How many observed values lie within their interval, and of how many."""
    there = frame["observed"].notnull() & frame["low"].notnull()
    held = (frame["observed"] >= frame["low"]) & (frame["observed"] <= frame["high"])
    return int((held & there).sum()), int(there.sum())


def population_sites(tree: xr.DataTree, items: bool = False) -> list[str]:
    """Names of what the posterior says of the population; of items alone with `items`."""
    found = []
    for name, data in need(tree, "posterior").data_vars.items():
        own = [d for d in data.dims if d not in CHAINS]
        if "subject" not in own and any(d in OF_ITEMS for d in own) == items:
            found.append(str(name))
    return found


def rows(tree: xr.DataTree, names: Sequence[str], group: str = "posterior") -> xr.Dataset:
    """One row for each number of these variables: interval, `mean`, `sd` and `above`, P(> 0).

    Coordinates of `row`: `label`, as "mean[trust]", and `site`, the variable's name. Numbers that
    no draw moves (a coefficient that does not exist) are left out.
    """
    import xarray as xr

    data, drawn = need(tree, group), []
    label, site = [], []
    for name in names:
        if name not in data:
            continue
        own = [str(d) for d in data[name].dims if d not in CHAINS]
        values = data[name].transpose(*CHAINS, *own)
        flat = values.values.reshape(-1, *values.shape[2:])
        for at in np.ndindex(*flat.shape[1:]):
            column = flat[(slice(None), *at)].astype(float)
            if not np.isfinite(column).all() or np.ptp(column) == 0:
                continue
            keys = [
                str(values[d].values[i]) if d in values.coords else str(i)
                for d, i in zip(own, at, strict=True)
            ]
            label.append(f"{name}[{', '.join(keys)}]" if keys else name)
            site.append(name)
            drawn.append(column)
    table = np.array(drawn) if drawn else np.zeros((0, 1))
    low, mid, high = np.quantile(table, TAILS, axis=1)
    found = {"low": low, "mid": mid, "high": high, "mean": table.mean(1), "sd": table.std(1)}
    found["above"] = (table > 0).mean(1)
    return xr.Dataset(
        {k: ("row", v) for k, v in found.items()}, {"label": ("row", label), "site": ("row", site)}
    )


def learned(tree: xr.DataTree, names: Sequence[str]) -> xr.Dataset:
    """`rows` of the posterior beside those of the prior (`prior_low` ...), and `contraction`.

    Contraction is 1 - posterior variance / prior variance: 0 where the data taught nothing.
    """
    after, before = rows(tree, names), rows(tree, names, "prior")
    known = {str(n): i for i, n in enumerate(before["label"].values)}
    keep = [i for i, n in enumerate(after["label"].values) if str(n) in known]
    after = after.isel(row=keep)
    before = before.isel(row=[known[str(n)] for n in after["label"].values])
    found = after.assign(
        {f"prior_{k}": ("row", before[k].values) for k in ("low", "mid", "high", "mean", "sd")}
    )
    shrunk = 1 - (found["sd"] / found["prior_sd"]) ** 2
    return found.assign(contraction=shrunk)


def missing(tree: xr.DataTree) -> xr.Dataset:
    """Who answered: `people` (group), `answered`, the share who gave any answer, and `items`.

    `items` is the share of items, of those asked at the occasion, that these people answered.
    (group, episode, occasion); NaN where nobody of the study was asked.
    """
    import xarray as xr

    data = need(tree, "observed_data")
    known = (data["answer"] >= 0) if "answer" in data else xr.zeros_like(data["measure"], bool)
    if "measure" in data:
        known = known | data["measure"].notnull()
    posed = known.any("subject")
    of = groups(tree)
    found = []
    names = _levels(tree, of)
    for name in names:
        own = known.isel(subject=np.flatnonzero(of.values == name))
        some = own.any("item")
        share = (own.sum("item") / posed.sum("item").clip(1)).where(some).mean("subject")
        found.append(
            xr.Dataset(
                {"answered": some.mean("subject"), "items": share, "people": own.sizes["subject"]}
            )
        )
    every = xr.concat(found, xr.Variable("group", names), data_vars="all")
    return every.where(posed.any("item")).assign(people=every["people"])


def own(tree: xr.DataTree) -> xr.Dataset:
    """What was drawn of single people (chain, draw, subject, ...), wherever the tree keeps it."""
    every = need(tree, "person" if "person" in tree.children else "posterior")
    return every[[n for n in every.data_vars if "subject" in every[n].dims]]


def persons(tree: xr.DataTree) -> xr.Dataset:
    """`reliability` of people's effects (effect): 1 - mean posterior variance / prior variance.

    The prior variance is 1. Empty where nobody differs.
    """
    import xarray as xr

    data = own(tree)
    if "effects" not in data:
        return xr.Dataset()
    drawn = data["effects"]
    (axis,) = (d for d in drawn.dims if d not in (*CHAINS, "subject"))
    reliability = 1 - drawn.var(CHAINS).mean("subject")
    return xr.Dataset({"reliability": reliability.rename({axis: "effect"})})


def _places(data: xr.DataArray, dim: str) -> xr.DataArray:
    """0, 1, ... along one dimension."""
    import xarray as xr

    return xr.DataArray(np.arange(data.sizes[dim]), dims=dim)


def _mean(data: xr.DataArray, over: str) -> xr.DataArray:
    """The mean over those who are there, NaN where nobody is."""
    n = data.count(over)
    return data.sum(over) / n.where(n > 0)


def _levels(tree: xr.DataTree, of: xr.DataArray) -> list[str]:
    """Groups in the order in which the fit lists them."""
    data = need(tree, "observed_data")
    listed = [str(g) for g in data["group"].values] if "group" in data.coords else []
    if set(of.values.tolist()) <= set(listed):
        return listed
    return list(dict.fromkeys(map(str, of.values)))


def sites(tree: xr.DataTree) -> list[str]:
    """Population sites that have a prior, none of items, in the prior table's order."""
    declared = [str(row.get("site", "")).partition("[")[0] for row in said(tree, "priors", [])]
    every = population_sites(tree)
    return [n for n in dict.fromkeys(declared) if n in every] or every

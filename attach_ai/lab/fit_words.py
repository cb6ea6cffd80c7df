"""What a fit says in words: sentences in which every number comes from its tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.errors import InputError
from attach_ai.plot import fit_frames as frames
from attach_ai.plot.fit_labels import plain
from attach_ai.plot.style import LEVEL

if TYPE_CHECKING:
    import xarray as xr

    from attach_ai.model.instrument import Instrument


def listed(names: Sequence[Any], none: str = "none") -> str:
    """As in "a, b and c"."""
    words = [str(n) for n in names]
    if len(words) < 2:
        return words[0] if words else none
    return f"{', '.join(words[:-1])} and {words[-1]}"


def number(value: float, digits: int = 2) -> str:
    """A number for a table, a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0: no minus zero


def between(low: float, high: float) -> str:
    """The two ends of an interval."""
    return f"{number(low)} to {number(high)}"


def design(tree: xr.DataTree) -> dict[str, Any]:
    """What was asked; what the tree does not say is read off its axes."""
    axes = frames.need(tree, "posterior").coords
    items = [str(i) for i in frames.need(tree, "observed_data")["item"].values]
    read = {
        "free": [str(p) for p in axes["parameter"].values] if "parameter" in axes else [],
        "individual": [str(p) for p in axes["individual"].values] if "individual" in axes else [],
        "instruments": list(dict.fromkeys(i.partition(".")[0] for i in items)),
    }
    return read | frames.said(tree, "design", {})


def people(n: int) -> str:
    """How many people, in words."""
    return f"{n} person" if n == 1 else f"{n} people"


def of_groups(tree: xr.DataTree, covariate: str) -> bool:
    """Whether a covariate tells groups apart, alone or in a product."""
    group = frames.said(tree, "design", {}).get("group")
    known = {str(g) for g in frames.groups(tree).values} | ({str(group)} if group else set())
    parts = [p for part in covariate.split(":") for p in (part, *part.replace("=", " ").split())]
    return bool(known & {p.strip(" []") for p in parts})


def effects(tree: xr.DataTree) -> list[str]:
    """One sentence for the effect of each group covariate on each parameter."""
    table = frames.rows(tree, ["effect"])
    found = []
    for row in range(table.sizes["row"]):
        at = table.isel(row=row)
        parameter, _, covariate = str(at["label"].values)[len("effect[") : -1].partition(", ")
        if of_groups(tree, covariate):
            found.append(effect(parameter, covariate, *(float(at[k]) for k in _READ)))
    return found


_READ = ("mid", "low", "high", "above")


def effect(
    parameter: str, covariate: str, mid: float, low: float, high: float, above: float
) -> str:
    """What one effect says, and whether the data settle its sign."""
    way = "higher" if mid > 0 else "lower"
    sure = above if mid > 0 else 1 - above
    chance = "above 0.99" if sure > 0.99 else f"{sure:.2f}"
    name, of = plain(covariate), plain(parameter)
    name = name[:1].upper() + name[1:]
    interval = f"{LEVEL:.0%} interval {between(low, high)}"
    if low > 0 or high < 0:
        return (
            f"{name} goes with {way} {of}, by {number(abs(mid))} logits ({interval}): the interval "
            f"leaves zero out; the probability that it is {way} is {chance}."
        )
    return (
        f"{name} and {of}: {number(mid)} logits ({interval}). The interval holds zero, so these "
        f"data do not settle the sign; the probability that it is {way} is {chance}."
    )


def clusters(tree: xr.DataTree) -> str:
    """Where groups are made of whole clusters (classes, sites), what follows; else nothing."""
    data = frames.need(tree, "constant_data")
    if "cluster" not in data:
        return ""
    pairs = set(zip(data["cluster"].values.tolist(), frames.groups(tree).values, strict=True))
    n, n_groups = len({c for c, _ in pairs}), len({g for _, g in pairs})
    if len(pairs) > n or n_groups < 2:
        return ""
    return (
        f"Groups are made of whole clusters ({n} in {n_groups} groups): a difference between "
        "groups cannot be told from one between their clusters, and rests on that few of them."
    )


def hanging(shifted: xr.Dataset) -> list[str]:
    """For each difference in scores, whether it hangs on who left; of a `NotAtRandom`'s data."""
    found = []
    delta = shifted["delta"].values
    for contrast in map(str, shifted["contrast"].values):
        for scale in map(str, shifted["scale"].values):
            at = shifted.sel(contrast=contrast, scale=scale)
            clear = ((at["effect_low"] > 0) | (at["effect_high"] < 0)).values
            name = f"{plain(scale)}, {plain(contrast)}"
            now = bool(clear[delta == 0].all())
            other = [
                f"{d:g}".replace("-", "−") for d, c in zip(delta, clear, strict=True) if c != now
            ]
            if not other:
                say = (
                    "a clear difference whatever delta is"
                    if now
                    else "no clear difference at any delta"
                )
            elif now:
                say = f"a difference at delta 0, none at {listed(other)}: it hangs on who left"
            else:
                say = f"none that is clear at delta 0, one at {listed(other)}: it hangs on who left"
            found.append(f"{name[:1].upper()}{name[1:]}: {say}.")
    return found


def notices(tree: xr.DataTree, codebooks: Mapping[str, Instrument]) -> list[tuple[str, str]]:
    """Items whose answers a person should look at: (title, sentence), ids and no answers."""
    found = []
    for row in frames.said(tree, "notices", []):
        ids = [str(s) for s in row.get("subjects", [])]
        found.append((_marked(str(row["item"])), _noticed(str(row.get("notice", "")), ids)))
    told = {title for title, _ in found}
    data = frames.need(tree, "observed_data")
    for name, book in codebooks.items():
        for item, say in book.notices.items():
            full = f"{name}.{item}"
            if _marked(full) in told or full not in data["item"].values:
                continue
            answer = data["answer"].sel(item=full)
            if not bool((answer >= 0).any()):
                continue
            some = (answer > 0).any([d for d in answer.dims if d != "subject"])
            ids = [str(s) for s in data["subject"].values[some.values]]
            found.append((_marked(full), _noticed(say, ids)))
    return found


def _marked(item: str) -> str:
    instrument, _, name = item.partition(".")
    return f"Item {name} of {instrument} was answered."


def _noticed(say: str, ids: list[str]) -> str:
    if not ids:
        return f"{say} Nobody chose more than its lowest option."
    return (
        f"{say} {people(len(ids))} chose more than its lowest option at some occasion; somebody "
        f"entitled to it should look at these answers now: {', '.join(ids)}."
    )


def codebooks(names: Sequence[str]) -> dict[str, Instrument]:
    """Codebooks that can be read here, by name; the others are left out."""
    from attach_ai.model.instrument import load_instrument

    found = {}
    for name in names:
        try:
            found[name] = load_instrument(name)
        except InputError:
            continue
    return found


def methods(tree: xr.DataTree) -> str:
    """A paragraph for a paper: the tree's own, or one from what the tree holds."""
    if frames.said(tree, "methods", ""):
        return str(frames.said(tree, "methods", ""))
    asked = design(tree)
    data = frames.need(tree, "observed_data")
    draws = frames.need(tree, "posterior")
    of, n = frames.groups(tree).values, data.sizes["subject"]
    names = list(dict.fromkeys(of.tolist()))
    arms = listed([f"{(of == g).sum()} in {plain(str(g))}" for g in names])
    said = [
        f"We fitted the active-inference model {asked.get('model', '')} to the answers of "
        f"{people(n)}{f' ({arms})' if len(names) > 1 else ''} to {data.sizes['item']} items at "
        f"{occasions(tree)}."
    ]
    if asked.get("link"):
        said.append(
            f"Answers read the beliefs of each person by the link “{asked['link']}” through a "
            f"{_RESPONSE.get(str(asked.get('response')), 'graded response')} model with a residual "
            "for each person and scale."
        )
    free = [plain(str(f)) for f in asked.get("free", [])]
    if free:
        own = [plain(str(f)) for f in asked.get("individual", [])]
        said.append(
            f"Free were {listed(free)}; {listed(own)} could differ between people (non-centred, "
            f"normal on the logit of the support){_with_covariates(draws)}."
        )
    chains, n_draws = draws.sizes["chain"], draws.sizes["draw"]
    engine = asked.get("engine", "NUTS")
    if asked.get("exploratory"):
        said.append(
            f"The posterior was approximated by {engine}; this is exploratory, and its intervals "
            "are too narrow."
        )
    else:
        said.append(
            f"We drew {chains * n_draws} samples from the posterior with {engine} in "
            f"{chains} chain{'s' if chains > 1 else ''}. Intervals are central and hold "
            f"{LEVEL:.0%}."
        )
    if asked.get("exposure") == "unknown":
        said.append(
            "What people were exposed to is unknown, so that differences between groups say "
            "nothing about a practice."
        )
    return " ".join(said)


def _with_covariates(draws: xr.Dataset) -> str:
    if "effect" not in draws:
        return ""
    (axis,) = (d for d in draws["effect"].dims if str(d).startswith("covariate"))
    return f", and all with {listed([plain(str(c)) for c in draws[axis].values])}"


def response(design: Mapping[str, Any]) -> str:
    """The model through which ordinal items are answered, where the design says it."""
    declared = str(design.get("response") or "")
    return f"{_RESPONSE[declared]} model" if declared in _RESPONSE else declared


_RESPONSE = {"graded": "graded response", "rating": "rating scale"}


def occasions(tree: xr.DataTree) -> str:
    """How often people were asked."""
    data = frames.need(tree, "observed_data")
    n, episodes = data.sizes["occasion"], data.sizes.get("episode", 1)
    said = f"{n} occasion{'s' if n > 1 else ''}"
    return said if episodes == 1 else f"up to {said} in each of {episodes} episodes"

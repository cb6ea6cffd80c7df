"""Whether a sampler's draws can be trusted, in plain words, and what to do where they cannot.

R-hat is rank-normalised, and effective sample sizes are those of the bulk and the tails (Vehtari et
al. 2021, Bayesian Analysis 16:667); the energy's fraction of missing information is Betancourt's
(2016).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.fit.sampling.tree import people_of, population_of

if TYPE_CHECKING:
    import xarray as xr

R_HAT = 1.01
ESS_PER_CHAIN = 100
BFMI = 0.3
DEEP = 0.05  # share of draws that may reach the deepest tree


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it is `good`, what came, and what to `do` if it is not.

    `value`: the number it rests on (NaN where there is none).
    """

    name: str
    good: bool
    text: str
    do: str
    value: float


def diagnostics(tree: xr.DataTree) -> tuple[Check, ...]:
    """Every check of a fit. An exploratory engine fails the only one it has."""
    design: dict[str, Any] = json.loads(tree.attrs.get("design", "{}"))
    if design.get("exploratory"):
        said = str(design.get("notice") or "the engine is exploratory")
        return (
            Check("engine", False, f"{said[:1].upper()}{said[1:]}.", "Fit by sampling.", np.nan),
        )
    found = [*_mixing(population_of(tree))]
    if "sample_stats" in tree.children:
        found += _path(tree["sample_stats"].to_dataset(), design.get("max_tree_depth", 10))
    return tuple(found)


def worst(tree: xr.DataTree) -> dict[str, float]:
    """Greatest "r_hat", least "ess_bulk" and "ess_tail" of the population; "r_hat_person"."""
    population = population_of(tree)
    people = people_of(tree)
    return {
        "r_hat": _worst("rhat", population)[0],
        "ess_bulk": _worst("ess", population, method="bulk")[0],
        "ess_tail": _worst("ess", population, method="tail")[0],
        "r_hat_person": _worst("rhat", people)[0] if people.data_vars else np.nan,
    }


def least_effective(sites: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """The least bulk effective number of draws of any number in `sites` (chain, draw, ...), and
    whose it is."""
    import xarray as xr

    named = {
        k: (("chain", "draw", *(f"{k}_{i}" for i in range(v.ndim - 2))), v)
        for k, v in sites.items()
    }
    return _worst("ess", xr.Dataset(named), method="bulk")


def _mixing(population: xr.Dataset) -> Sequence[Check]:
    n_chains, n_draws = population.sizes["chain"], population.sizes["draw"]
    found = []
    if n_chains > 1:
        value, where = _worst("rhat", population)
        found.append(
            Check(
                "chains agree",
                bool(value <= R_HAT),
                f"Largest R-hat of the population: {value:.3f} ({where}); {R_HAT} or less is asked "
                f"for, over {n_chains} chains of {n_draws} draws.",
                "Draw longer, with more warm-up; if that does not help, see what the "
                "identification report says of the one named, and free fewer parameters.",
                value,
            )
        )
    else:
        found.append(
            Check(
                "chains agree",
                False,
                "There is one chain, so nothing says whether chains agree.",
                "Draw four chains.",
                np.nan,
            )
        )
    least = ESS_PER_CHAIN * n_chains
    for method, what in (("bulk", "means"), ("tail", "interval ends")):
        value, where = _worst("ess", population, method=method)
        found.append(
            Check(
                f"enough draws for {what}",
                bool(value >= least),
                f"Smallest effective number of draws for {what}: {value:.0f} ({where}); {least} or "
                "more are asked for.",
                "Draw longer.",
                value,
            )
        )
    return found


def _path(stats: xr.Dataset, most: int) -> Sequence[Check]:
    import arviz

    found = []
    lost, n = int(stats["diverging"].sum()), int(stats["diverging"].size)
    found.append(
        Check(
            "no divergent draws",
            lost == 0,
            f"{lost} of {n} draws diverged: the sampler lost its way there."
            if lost
            else f"None of {n} draws diverged.",
            "Draw again with target_accept nearer to 1 (0.95, then 0.99). Where they remain, a "
            "part of the posterior is not explored: free fewer parameters.",
            float(lost),
        )
    )
    if "energy" in stats:
        value = float(np.min(arviz.bfmi(stats)["energy"].values))
        found.append(
            Check(
                "energy explored",
                value >= BFMI,
                f"Smallest fraction of the energy explored from draw to draw (BFMI): {value:.2f}; "
                f"{BFMI} or more is asked for.",
                "Draw with more warm-up; spreads of people that the data do not tell cause it.",
                value,
            )
        )
    if "tree_depth" in stats:
        share = float((stats["tree_depth"] >= most).mean())
        found.append(
            Check(
                "paths long enough",
                share <= DEEP,
                f"{share:.0%} of draws stopped at the longest path allowed.",
                "Draws are valid but slow: raise max_tree_depth, or free fewer parameters.",
                share,
            )
        )
    return found


def _worst(what: str, data: xr.Dataset, **options: Any) -> tuple[float, str]:
    """The worst value over all variables, and whose it is; numbers that never move are left out."""
    import arviz

    value, where = np.nan, "nothing to check"
    for name in data.data_vars:
        one = data[name]
        if one.size == 0:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            got = getattr(arviz, what)(data[[name]], **options)[name]
        moves = (one.max(("chain", "draw")) > one.min(("chain", "draw"))).values
        numbers = np.where(moves, got.values, np.nan)
        if not np.isfinite(numbers).any():
            continue
        at = np.nanargmax(numbers) if what == "rhat" else np.nanargmin(numbers)
        found = float(numbers.flat[at])
        if np.isnan(value) or (found > value if what == "rhat" else found < value):
            index = np.unravel_index(at, numbers.shape)
            labels = [str(got[d].values[i]) for d, i in zip(got.dims, index, strict=True)]
            value, where = found, f"{name}[{', '.join(labels)}]" if labels else str(name)
    return value, where

"""What the page needs of a fit to data: numbers with their intervals, and nothing of any person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from attach_ai.fit.comparison.compare import Comparison, compared
from attach_ai.fit.comparison.contest import opponents
from attach_ai.fit.comparison.loo import Integrated, Waves, integrated, leave_wave_out
from attach_ai.fit.sampling.diagnostics import worst
from attach_ai.fit.sampling.sample import sample
from attach_ai.fit.sampling.tree import population_of, to_tree
from attach_ai.lab.verdict import Finding

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

LEVEL = 0.89
MIXED = 1.01  # R-hat from which on chains are said not to agree
CLEAR = 2.0  # standard errors by which one model must predict better than another
ENDS = {"low": (1 - LEVEL) / 2, "median": 0.5, "high": (1 + LEVEL) / 2}
PEOPLE = ("log_p", "elpd", "fitted", "pareto_k", "conditional_k", "noise", "refitted")
WAVES = ("elpd", "pareto_k", "refitted")
SHOWN = ("population", "mean", "effect", "spread", "residual", "wording", "cluster_spread")


def estimates(tree: xr.DataTree) -> xr.Dataset:
    """Posterior medians and 89 % intervals of a population, its beliefs and its scores by group.

    `estimate` (end, quantity): one row for each number of the sites in `SHOWN`, named
    "effect[trust, practice]". `belief` (end, group, episode, step, reading). `score`, `predicted`
    (group, episode, occasion, scale): observed means, and (end, ...) those the fit predicts.
    Attributes: `rhat` and `ess` (bulk) of the worst number of the population, `divergences`.
    """
    population = population_of(tree)
    names, values = [], []
    for site in SHOWN:
        if site not in population:
            continue
        stacked = population[site].stack(sample=("chain", "draw"))
        dims = [d for d in stacked.dims if d != "sample"]
        for at in np.ndindex(*(stacked.sizes[d] for d in dims)):
            here = stacked.isel(dict(zip(dims, at, strict=True)))
            labels = ", ".join(str(here[d].item()) for d in dims)
            names.append(f"{site}[{labels}]" if labels else site)
            values.append(here.values)
    found = {
        "estimate": (("end", "quantity"), np.quantile(np.stack(values), [*ENDS.values()], axis=1)),
        "belief": _ends(tree["trajectory"].to_dataset()["belief"]),
        "score": _by_group(tree, tree["observed_data"].to_dataset()["score"]),
        "predicted": _ends(_by_group(tree, tree["posterior_predictive"].to_dataset()["score"])),
    }
    told = worst(tree)
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree else {}
    made = xr.Dataset(found, {"end": [*ENDS], "quantity": names})
    return made.assign_attrs(
        rhat=float(told["r_hat"]),
        ess=float(told["ess_bulk"]),
        divergences=float(stats["diverging"].sum()) if "diverging" in stats else 0.0,
    )


def contested(comparison: Comparison) -> xr.Dataset:
    """The table of a comparison by model, and by how much the first is ahead of each (nats)."""
    table = comparison.table()
    ours = next(iter(comparison.loo))
    for column, of in (
        ("ahead", comparison.difference),
        ("waves_ahead", comparison.difference_of_waves),
    ):
        pairs = [of(ours, name) for name in table.index]
        table[column], table[f"{column}_se"] = zip(*pairs, strict=True)
    return xr.Dataset.from_dataframe(table).assign_attrs(verdict=comparison.verdict_text())


def _ends(draws: xr.DataArray) -> xr.DataArray:
    at = draws.quantile([*ENDS.values()], dim="sample", skipna=False)
    return at.rename(quantile="end").assign_coords(end=[*ENDS])


def _by_group(tree: xr.DataTree, score: xr.DataArray) -> xr.DataArray:
    """Mean over the people of each group."""
    group = np.asarray(tree["constant_data"]["group"].values, str)
    return score.assign_coords(group=("subject", group)).groupby("group").mean("subject")


def judged(
    records: Records,
    free: Sequence[str],
    opponent: str | None,
    *,
    seed: int,
    words: Mapping[str, Any],
    **size: Any,
) -> xr.Dataset:
    """`attachment_waves` (None), or one of its opponents, fitted, and what it predicts of what is
    left out: person by person, so not for the page. Ours brings `estimates` too.

    `words`: of `build_study`; `size`: of the sampler.
    """
    only = [] if opponent is None else [opponent]
    studies = opponents("attachment_waves", None, records, free, words=words, only=only)
    study = studies[next(iter(studies)) if opponent is None else opponent]
    drawn = sample(study, seed, **size)
    key = jax.random.key(seed)
    people, waves = integrated(study, drawn, key), leave_wave_out(study, drawn, key)
    data = xr.Dataset(
        {
            **{f"people_{k}": (_dims(getattr(people, k)), getattr(people, k)) for k in PEOPLE},
            **{f"waves_{k}": (("fold", "subject"), getattr(waves, k)) for k in WAVES},
        },
        {"subject": [str(x) for x in people.subjects], "fold": list(waves.folds)},
    )
    if opponent is None:
        told = estimates(to_tree(study, drawn, seed=seed, records=records))
        data = data.merge(told).assign_attrs(told.attrs)
    return data


def page(found: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """What the page needs of several `judged`, ours first: estimates, and the table by model."""
    ours = next(iter(found.values()))
    loo, last = {}, {}
    for name, data in found.items():
        subjects = tuple(data["subject"].values)
        loo[name] = Integrated(subjects, **{k: data[f"people_{k}"].values for k in PEOPLE})
        folds = tuple(str(f) for f in data["fold"].values)
        last[name] = Waves(subjects, folds, **{k: data[f"waves_{k}"].values for k in WAVES})
    own = ours.drop_vars([v for v in ours.variables if {"subject", "fold"} & {*ours[v].dims}])
    table = contested(compared(loo, last))
    return own.merge(table).assign_attrs({**ours.attrs, **table.attrs})


def _dims(values: np.ndarray) -> tuple[str, ...]:
    return ("sample", "subject")[2 - values.ndim :]


def mixing(data: xr.Dataset) -> Finding:
    """Whether the chains of our own fit agree."""
    return Finding(
        "chains_agree",
        f"R-hat is at most {MIXED} for every number of the population",
        data.attrs["rhat"] <= MIXED,
        {name: float(data.attrs[name]) for name in ("rhat", "ess", "divergences")},
        decides=False,
    )


def over_opponents(data: xr.Dataset, names: Sequence[str]) -> list[Finding]:
    """One finding for each opponent: whether ours predicts people left out clearly better."""
    found = []
    for name in names:
        if name not in data["model"]:
            continue
        away, se = (float(data[k].sel(model=name)) for k in ("ahead", "ahead_se"))
        found.append(
            Finding(
                f"better_than_{name.replace(' ', '_').replace(',', '')}",
                f"of people left out the model predicts better than {name}, by more than "
                f"{CLEAR:g} standard errors",
                away > CLEAR * se,
                {
                    "nats": away,
                    "se": se,
                    "nats of occasions": float(data["waves_ahead"].sel(model=name)),
                    "se of occasions": float(data["waves_ahead_se"].sel(model=name)),
                    "share of poor weights": float(data["k_share"].sel(model=name)),
                },
            )
        )
    return found


def effects_of(data: xr.Dataset, covariate: str) -> tuple[list[str], dict[str, float]]:
    """Parameters whose effect of a covariate has an interval without zero, and every median."""
    names = [q for q in map(str, data["quantity"].values) if q.startswith("effect[")]
    ours = [q for q in names if q.endswith(f", {covariate}]")]
    low, high = (data["estimate"].sel(end=e, quantity=ours) for e in ("low", "high"))
    moved = [q for q, m in zip(ours, ((low > 0) | (high < 0)).values, strict=True) if m]
    return moved, {q: float(data["estimate"].sel(end="median", quantity=q)) for q in ours}

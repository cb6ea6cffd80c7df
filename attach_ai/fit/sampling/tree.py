"""A fit as one labelled tree, `fit.nc`: an ArviZ DataTree that every later step reads.

posterior, prior             sites and reported quantities (chain, draw, ...)
person                       of single people, thinned, where there are too many for posterior
sample_stats                 diverging, energy, tree_depth, n_steps, acceptance_rate, lp
posterior_predictive, prior_predictive, observed_data          score, count (and the answers)
trajectory                   beliefs by group over time
constant_data                group, cluster, covariates, step_of
identification               what the design could tell
attrs                        design, priors, notes, provenance, methods: JSON
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from attach_ai import files
from attach_ai.errors import InputError
from attach_ai.fit.sampling.chain import plain_rules
from attach_ai.fit.sampling.predictive import (
    Sheet,
    over_draws,
    predict,
    prior_draws,
    sheet,
    trajectories,
)
from attach_ai.fit.sampling.sample import Draws
from attach_ai.fit.study.abstract import AbstractStudy
from attach_ai.fit.study.priors import prior_rows

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

N_PRIOR = 500
N_PERSON = 400  # draws of single people kept where all of them take more than ...
LARGE = 128 * 2**20  # ... bytes
OWN = "own"  # the axis of a person's effects: "effect" is a site
ANSWERED = ("subject", "episode", "occasion")
DRAWN = ("chain", "draw")


def to_tree(
    study: AbstractStudy,
    draws: Draws,
    *,
    seed: int = 0,
    records: Records | None = None,
    identification: xr.Dataset | None = None,
    design: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    methods: str = "",
    n_predictive: int = 200,
) -> xr.DataTree:
    """Gather a fit. `seed` draws the prior and the predictions, `n_predictive` of each.

    `records` bring scales, options and groups; `design` and `provenance` go in as JSON, beside
    which engine drew for how long, and a notice where it was an exploratory one.
    """
    keys = jax.random.split(jax.random.key(seed), 3)
    by = sheet(study, records)
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in draws.sites.items()}
    some = _thin(flat, n_predictive)
    before = prior_draws(study, keys[0], N_PRIOR)
    posterior, person = _posterior(study, draws, flat)
    nodes = {
        "posterior": posterior,
        "person": person,
        "sample_stats": _stats(draws),
        "prior": _Named(study).dataset(before, 1, population=True, persons=False),
        "prior_predictive": _predicted(study, by, _thin(before, n_predictive), keys[1]),
        "posterior_predictive": _predicted(study, by, some, keys[2]),
        "observed_data": _observed(study, by),
        "trajectory": _beliefs(study, by, some),
        "constant_data": _constant(study, by),
        "identification": identification,
    }
    tree = xr.DataTree.from_dict({k: v for k, v in nodes.items() if v is not None})
    engine = {
        "engine": draws.engine,
        "exploratory": draws.exploratory,
        "notice": draws.notice,
        "seconds": round(draws.seconds, 1),
    }
    words = {
        "design": {**(design or {}), **engine},
        "priors": prior_rows(study),
        "notes": [*(records.notes if records is not None else ()), *notes],
        "notices": [] if records is None else _notices(records),
        "provenance": dict(provenance or {}),
        "methods": methods,
    }
    tree.attrs = {k: json.dumps(v, default=_plain) for k, v in words.items()}
    return tree


def people_of(tree: xr.DataTree) -> xr.Dataset:
    """What was drawn of single people (chain, draw, subject, ...), wherever it is kept."""
    if "person" in tree.children:
        return tree["person"].to_dataset()
    every = tree["posterior"].to_dataset()
    return every[[name for name in every.data_vars if "subject" in every[name].dims]]


def population_of(tree: xr.DataTree) -> xr.Dataset:
    """What was drawn of the population (chain, draw, ...)."""
    every = tree["posterior"].to_dataset()
    return every[[name for name in every.data_vars if "subject" not in every[name].dims]]


def save_tree(tree: xr.DataTree, path: str | Path) -> None:
    """Write one NetCDF file, whole or not at all, compressed."""
    packing: Any = {
        f"/{node.name}": {name: {"zlib": True, "complevel": 4} for name in _numbers(node)}
        for node in tree.children.values()
    }

    def save(temporary: Path) -> None:
        tree.to_netcdf(temporary, engine="h5netcdf", encoding=packing)

    files.write(Path(path), save)


def load_tree(path: str | Path) -> xr.DataTree:
    """Read it back; `InputError` where the file is not a fit."""
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            found = tree.load()
    except (OSError, ValueError, KeyError) as error:
        raise InputError("could not be read as a fit", str(path)) from error
    if "posterior" not in found.children:
        raise InputError("has no posterior; expected what a fit writes", str(path))
    return found


def _numbers(node: Any) -> list[str]:
    return [str(k) for k, v in node.data_vars.items() if v.dtype.kind in "fiub" and v.ndim]


class _Named:
    """Which axes each variable has: those of sites, effects and quantities."""

    def __init__(self, study: AbstractStudy):
        self.study = study
        found: dict[str, tuple[str, ...]] = {}

        def look() -> dict[str, Any]:
            dtype = jnp.result_type(float)
            sites = {k: jnp.zeros(p.distribution.shape(), dtype) for k, p in study.priors.items()}
            effects = jnp.zeros((study.people.answer.shape[0], len(study.effects)), dtype)
            named = study.quantities(sites, effects)
            found.update({k: dims for k, (dims, _) in named.items()})
            return {k: v for k, (_, v) in named.items()} | {"effects": effects}

        with plain_rules():
            shapes = jax.eval_shape(look)
        self.quantities = tuple(found)
        self.dims = {k: p.dims for k, p in study.priors.items()} | {"effects": ("subject", OWN)}
        self.dims |= found
        own = [v for k, v in shapes.items() if self.of_person(k)]
        self.person_bytes = sum(int(np.prod(v.shape)) * v.dtype.itemsize for v in own)

    def of_person(self, name: str) -> bool:
        return "subject" in self.dims[name]

    def dataset(
        self, flat: Mapping[str, np.ndarray], n_chains: int, population: bool, persons: bool
    ) -> xr.Dataset:
        """Sites (sample, ...) and the quantities that follow, as (chain, draw, ...)."""

        def kept(name: str) -> bool:
            return persons if self.of_person(name) else population

        def one(at: dict[str, Any]) -> dict[str, Any]:
            named = self.study.quantities(at, at["effects"])
            return {k: v for k, (_, v) in named.items() if kept(k)}

        found = {k: v for k, v in flat.items() if kept(k)}
        if any(map(kept, self.quantities)):
            found |= over_draws(one, dict(flat))
        named = {
            k: ((*DRAWN, *self.dims[k]), v.reshape(n_chains, -1, *v.shape[1:]))
            for k, v in found.items()
        }
        return _dataset(named, {**self.study.coords, OWN: self.study.effects})


def _posterior(
    study: AbstractStudy, draws: Draws, flat: Mapping[str, np.ndarray]
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Population and people together, or apart where people take too much room."""
    named = _Named(study)
    n_chains, n_draws = next(iter(draws.sites.values())).shape[:2]
    if n_chains * n_draws * named.person_bytes <= LARGE:
        return named.dataset(flat, n_chains, population=True, persons=True), None
    at = np.linspace(0, n_draws - 1, min(n_draws, max(1, N_PERSON // n_chains))).round().astype(int)
    thin = {k: v[:, at].reshape(-1, *v.shape[2:]) for k, v in draws.sites.items()}
    people = named.dataset(thin, n_chains, population=False, persons=True)
    population = named.dataset(flat, n_chains, population=True, persons=False)
    return population, people.assign_coords(draw=at)


def _dataset(
    named: Mapping[str, tuple[tuple[str, ...], np.ndarray]], coords: Mapping[str, Any]
) -> xr.Dataset:
    """Variables with the labels of their axes; an axis named like a variable gets a low line."""
    variables = {
        name: (tuple(f"{d}_" if d in named else d for d in dims), values)
        for name, (dims, values) in named.items()
    }
    sizes = {d: n for dims, v in variables.values() for d, n in zip(dims, v.shape, strict=True)}
    labels: dict[str, Any] = {}
    for d, n in sizes.items():
        given = coords.get(d.removesuffix("_"), ())
        labels[d] = [*given] if len(given) == n else np.arange(n)
    return xr.Dataset(variables, labels)


def _stats(draws: Draws) -> xr.Dataset | None:
    if not draws.stats:
        return None
    return _dataset({k: (DRAWN, v) for k, v in draws.stats.items()}, {})


def _predicted(
    study: AbstractStudy, by: Sheet, sites: Mapping[str, np.ndarray], key: Any
) -> xr.Dataset:
    found = predict(study, by, sites, key)
    dims = {
        "score": ("sample", *ANSWERED, "scale"),
        "count": ("sample", "group", "occasion", "item", "category"),
    }
    labels = {**study.coords, "scale": by.scales, "group": by.groups}
    return _dataset({k: (dims[k], v) for k, v in found.items()}, labels)


def _observed(study: AbstractStudy, by: Sheet) -> xr.Dataset:
    people = study.people
    with plain_rules():
        score, count = np.asarray(by.score(people)), np.asarray(by.count(people))
    named = {
        "answer": ((*ANSWERED, "item"), np.asarray(people.answer)),
        "measure": ((*ANSWERED, "item"), np.asarray(people.measure)),
        "score": ((*ANSWERED, "scale"), score),
        "count": (("group", "occasion", "item", "category"), count),
    }
    return _dataset(named, {**study.coords, "scale": by.scales, "group": by.groups})


def _beliefs(study: AbstractStudy, by: Sheet, sites: Mapping[str, np.ndarray]) -> xr.Dataset | None:
    """None for a study without beliefs."""
    if not hasattr(study, "trajectory"):
        return None
    dims = ("sample", "group", "episode", "step", "reading")
    named = {"belief": (dims, trajectories(study, by, sites))}
    return _dataset(named, {**study.coords, "group": by.groups})


def _constant(study: AbstractStudy, by: Sheet) -> xr.Dataset:
    rest = study.people.rest
    named: dict[str, Any] = {"group": (("subject",), np.array(by.groups)[by.of_group])}
    covariate = getattr(rest, "covariate", None)
    if covariate is not None:
        named["covariates"] = (("subject", "episode", "covariate"), np.asarray(covariate))
    if getattr(rest, "at", None) is not None:
        named["step_of"] = (ANSWERED, np.asarray(rest.at))
    if getattr(rest, "cluster", None) is not None and study.coords.get("cluster"):
        names = np.array([str(x) for x in study.coords["cluster"]])
        named["cluster"] = (("subject",), names[np.asarray(rest.cluster)])
    return _dataset(named, study.coords)


def _notices(records: Records) -> list[dict[str, Any]]:
    """What a reader must be told of items that were answered, and who answered above the lowest."""
    found = []
    table = records.answers
    for book in records.instruments.values():
        for item, said in book.notices.items():
            rows = table[(table["instrument"] == book.name) & (table["item"].astype(str) == item)]
            if len(rows):
                above = sorted({str(s) for s in rows.loc[rows["keyed"] > 0, "subject"]})
                found.append({"item": f"{book.name}.{item}", "notice": said, "subjects": above})
    return found


def _thin(flat: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    """At most `most` draws, evenly spaced."""
    n = next(iter(flat.values())).shape[0]
    at = np.linspace(0, n - 1, min(n, most)).round().astype(int)
    return {k: v[at] for k, v in flat.items()}


def _plain(value: Any) -> Any:
    """What JSON has no word for: arrays as lists, anything else as text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

"""Populations of models: the reference point, draws around it, structural variants, shuffles.

Every experiment asks its questions of all four: the reference gives the size of an effect, draws
the share of parameter space in which its sign holds, variants the share of structures, and shuffles
the false-pass rate, the share in which it holds though the edges it speaks of are gone (MODEL.md,
"Keys, sizes, budgets").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attach_ai.lab.arms import Arm, Study, build_all, concatenate, live_all, repeat
from attach_ai.lab.design import COMBINATIONS, OUTSIDE, VARIANTS, latin_hypercube, shuffle_edges
from attach_ai.lab.verdict import ROBUST
from attach_ai.model.model import Model
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation.schedule import Days

if TYPE_CHECKING:
    import xarray

Values = Mapping[str, Any]
KINDS = ("reference", "draws", "variants", "shuffles")


@dataclass(frozen=True)
class Condition:
    """One arm before it is built: what differs in the mind, in the world, in practice and loop.

    `practised`: whether the practice's operators act and restrict choice; `allowed`: choices
    allowed at every step instead of the practice's; `days`: what each session is, None for the
    study's; `gain`: the body loop's, None for the population's own; `load`: outcome probabilities
    that reach inner modalities from elsewhere, by modality: the same modalities in every condition.
    """

    mind: Values = field(default_factory=dict)
    world: Values = field(default_factory=dict)
    practised: bool = True
    allowed: tuple[int, ...] | None = None
    days: Days | None = None
    gain: float | None = None
    load: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Population:
    """`n` models of one layout, each a set of parameter values; `models[i]` declares the i-th."""

    kind: str
    models: tuple[Model, ...]
    values: Values
    labels: tuple[str, ...]
    n_seeds: int
    shuffle_seed: int | None = None

    @property
    def n(self) -> int:
        return len(self.models)

    def build(self, base: Values, override: Values) -> POMDP:
        """All models: `base` gives way to the population's own values, these to `override`."""
        own = {k: v for k, v in self.values.items() if k not in OUTSIDE}
        settings = {**base, **own, **override}
        parts, start = [], 0
        # Runs of one model are built together; order is kept.
        while start < self.n:
            stop = start
            while stop < self.n and self.models[stop] is self.models[start]:
                stop += 1
            here = {
                k: np.broadcast_to(np.asarray(v, float), (self.n,))[start:stop]
                for k, v in settings.items()
            }
            parts.append(build_all(self.models[start], here, stop - start))
            start = stop
        layout = parts[0].layout
        leaves = [jax.tree.leaves(p) for p in parts]
        joined = [jnp.concatenate(x) for x in zip(*leaves, strict=True)]
        pomdp = jax.tree.unflatten(jax.tree.structure(parts[0]), joined)
        assert all(p.layout == layout for p in parts), "variants must share one layout"
        if self.shuffle_seed is not None:
            keys = jax.random.split(jax.random.key(self.shuffle_seed), self.n)
            pomdp = _shuffle_all(keys, pomdp)
        return pomdp

    def outside(self, name: str, default: float) -> np.ndarray:
        """A value that no model declares, one per model."""
        return np.broadcast_to(np.asarray(self.values.get(name, default), float), (self.n,))


def population(
    kind: str,
    model: Model,
    ranges: Mapping[str, tuple[float, float]],
    *,
    n: int,
    n_seeds: int,
    seed: int,
    fixed: tuple[str, ...] = (),
) -> Population:
    """One of `KINDS`. `fixed` names what the experiment sets itself, in variants too."""
    if kind == "reference":
        return Population(kind, (model,), {}, ("reference",), n_seeds)
    if kind == "draws":
        values = latin_hypercube(ranges, n, seed)
        labels = tuple(str(i) for i in range(n))
        return Population(kind, (model,) * n, values, labels, n_seeds)
    if kind == "shuffles":
        labels = tuple(str(i) for i in range(n))
        return Population(kind, (model,) * n, {}, labels, n_seeds, seed)
    chosen = {k: v for k, v in VARIANTS.items() if not set(v) & set(fixed)}
    names = [*dict.fromkeys(k for v in chosen.values() for k in v)]
    values = {
        name: np.array(
            [v.get(name, model.defaults[name]) for v in chosen.values()]
            + [model.defaults[name]] * len(COMBINATIONS)
        )
        for name in names
    }
    models = (model,) * len(chosen) + tuple(model.combining(how) for how in COMBINATIONS)
    labels = (*chosen, *(f"causes combine: {how}" for how in COMBINATIONS))
    return Population(kind, models, values, labels, n_seeds)


def live(
    study: Study,
    group: Population,
    conditions: Mapping[str, Condition],
    summary: Callable[..., dict[str, Any]],
    *,
    mind: Values,
    defaults: Values,
    seed: int,
) -> xarray.Dataset:
    """Every condition in every model of a population, with the same seeds throughout.

    `summary` maps one life (`Record`, `Arm`) to arrays by name; the dataset's variables have the
    dimensions (condition, model, seed, ...). `mind` is the phenotype, which gives way to what the
    population sweeps; `defaults` give `gain`, `rate`, `gamma`, `retention`,
    `eta` and `hold` where the population does not sweep them.
    """
    import xarray as xr

    built: dict[Any, POMDP] = {}

    def build(base: Values, override: Values) -> POMDP:
        # Conditions differ in little: most minds and worlds are built once and shared.
        key = (tuple(base.items()), tuple(sorted(override.items())))
        if key not in built:
            built[key] = group.build(base, override)
        return built[key]

    arms = concatenate(
        [
            _arm(study, group, c, build(mind, c.mind), build({}, c.world), defaults)
            for c in conditions.values()
        ]
    )
    keys = jax.random.split(jax.random.key(seed), group.n_seeds)
    found = live_all(study, arms, keys, summary)
    lead = (len(conditions), group.n, group.n_seeds)
    variables = {}
    for name, values in found.items():
        values = values.reshape(*lead, *values.shape[2:])
        rest = tuple(f"{name}_{i}" for i in range(values.ndim - 3))
        variables[name] = (("condition", "model", "seed", *rest), values.astype(np.float32))
    return xr.Dataset(variables, {"condition": list(conditions), "model": list(group.labels)})


@jax.jit
def _shuffle_all(keys: Array, pomdps: POMDP) -> POMDP:
    return jax.vmap(shuffle_edges)(keys, pomdps)


def _arm(
    study: Study,
    group: Population,
    condition: Condition,
    mind: POMDP,
    world: POMDP,
    defaults: Values,
) -> Arm:
    dtype = jnp.zeros(()).dtype

    def outside(name: str) -> Any:
        return jnp.asarray(group.outside(name, defaults[name]), dtype)

    active = study.program.active * float(condition.practised)
    allowed = study.program.allowed | (not condition.practised)
    if condition.allowed is not None:
        only = np.isin(np.arange(allowed.shape[1]), condition.allowed)
        allowed = jnp.broadcast_to(jnp.asarray(only), allowed.shape)
    gain = outside("gain") if condition.gain is None else jnp.full(group.n, condition.gain, dtype)
    return Arm(
        mind=mind,
        world=world,
        active=repeat(active, group.n),
        allowed=repeat(allowed, group.n),
        hold=outside("hold"),
        days=repeat(condition.days or study.days, group.n),
        gain=gain,
        rate=outside("rate"),
        gamma=outside("gamma"),
        retention=outside("retention"),
        eta=outside("eta"),
        load={m: repeat(jnp.asarray(p, dtype), group.n) for m, p in condition.load.items()},
    )


def signs(
    contrast: Callable[[xarray.Dataset], xarray.DataArray],
    cells: Mapping[str, xarray.Dataset],
    kinds: Sequence[str] = KINDS,
) -> dict[str, float]:
    """One contrast (an array over model and seed) asked of every population.

    Gives `mean` and `se` at the reference (over paired seeds), and the share of draws, variants and
    shuffles in which its mean over seeds is positive (`share`, `variants`, `false_pass`).
    """
    at = contrast(cells["reference"]).isel(model=0)
    n = at.sizes["seed"]
    found = {
        "mean": float(at.mean()),
        "se": float(at.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan"),
    }
    names = {"draws": "share", "variants": "variants", "shuffles": "false_pass"}
    for kind in kinds[1:]:
        if kind in cells:
            means = contrast(cells[kind]).mean("seed").values
            found[names[kind]] = float(np.mean(means > 0))
    return found


def holds(found: Mapping[str, float]) -> bool:
    """The verdict rule for a sign: beyond two standard errors at the reference, and robust."""
    sure = np.isnan(found["se"]) or found["mean"] > 2 * found["se"]
    return bool(found["mean"] > 0 and sure and found["share"] >= ROBUST)


def known(model: Model, settings: Values) -> dict[str, float]:
    """Of declared settings (a phenotype, a world), those that this model has."""
    return {k: v for k, v in settings.items() if k in model.parameters}

"""Designs: which parameters are drawn, and what a verdict is tested against."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.model.model import Model
from attach_ai.model.pomdp import POMDP

Ranges = Mapping[str, tuple[float, float]]


def latin_hypercube(ranges: Ranges, n: int, seed: int) -> dict[str, Float[np.ndarray, " draw"]]:
    """`n` draws, each range cut into `n` equal strata with one draw in each."""
    from scipy.stats import qmc

    unit = qmc.LatinHypercube(d=len(ranges), rng=seed).random(n)
    low, high = np.array(list(ranges.values())).T
    return dict(zip(ranges, (low + unit * (high - low)).T, strict=True))


def shuffle_edges(key: Array, pomdp: POMDP) -> POMDP:
    """The same tables with their columns dealt anew: marginals stay, who causes what does not.

    In A the columns over hidden parents are permuted (one deal for all contexts), in B those over
    parents other than the factor itself and over actions. Factors that an action sets keep theirs.
    A verdict that also holds on such models owes nothing to the edges it speaks of.
    """
    layout = pomdp.layout
    keys = iter(jax.random.split(key, len(pomdp.A) + len(pomdp.B)))
    A = []
    for a, modality in zip(pomdp.A, layout.modalities, strict=True):
        hidden = [i + 1 for i, p in enumerate(modality.parents) if p in layout.hidden]
        A.append(_deal(next(keys), a, hidden))
    B = []
    for f, b in enumerate(pomdp.B):
        spec = layout.factors[f]
        others = [i + 1 for i, p in enumerate(spec.parents) if p != f and p in layout.hidden]
        others += [1 + len(spec.parents) + i for i in range(len(spec.actions))]
        key = next(keys)
        B.append(b if f in layout.known else _deal(key, b, others))
    return eqx.tree_at(lambda p: (p.A, p.B), pomdp, (tuple(A), tuple(B)))


def _deal(key: Array, table: Array, axes: list[int]) -> Array:
    """Permute the joint index over `axes`, the same way everywhere else."""
    if not axes:
        return table
    front = jnp.moveaxis(table, axes, range(len(axes)))
    flat = front.reshape(-1, *front.shape[len(axes) :])
    dealt = flat[jax.random.permutation(key, flat.shape[0])]
    return jnp.moveaxis(dealt.reshape(front.shape), range(len(axes)), axes)


# Ranges of SCIENCE.md 3.5 for what the seeds leave open; `sweep` adds what is marked an assumption.
RANGES: Ranges = {
    "hold": (0.5, 4.0),
    "gain": (0.2, 1.0),
    "rate": (0.1, 0.5),
    "gamma": (0.5, 8.0),
    "retention": (0.9, 0.99),
    "eta": (0.25, 3.0),
    "calm_base": (0.1, 0.4),
    "w_other": (0.3, 0.9),
    "w_own": (0.3, 0.9),
    "contamination": (0.0, 1.0),
    "contam_received": (0.0, 1.0),
    "h0": (0.001, 0.05),
    "kappa": (0.0, 1.5),
    "reliability": (0.5, 0.98),
    "eta_self": (0.0, 0.4),
    "like": (1.0, 4.0),
    "dislike": (1.0, 4.0),
}


def sweep(
    model: Model, phenotype: Mapping[str, float], fixed: tuple[str, ...] = ()
) -> dict[str, tuple[float, float]]:
    """What a robustness draw varies: `RANGES`, parameters marked "; A", and the phenotype's values.

    An assumption runs from half to one and a half times its value, inside its support. `fixed`
    names what an experiment sets itself.
    """
    ranges = dict(RANGES)
    for name, p in model.parameters.items():
        value = phenotype.get(name, p.default if p.meaning.endswith("; A") else None)
        if value is not None and name not in ranges:
            low, high = p.support
            ranges[name] = (max(low, value / 2), min(high, 1.5 * value))
    known = {*model.parameters, *OUTSIDE}
    return {k: r for k, r in ranges.items() if k not in fixed and k in known}


# Swept though no model declares it: the practice's strength, the body loop, choice, learning.
OUTSIDE = ("hold", "gain", "rate", "gamma", "retention", "eta")

# Declared structural variants of the core: edges cut or added, other ways for causes to combine.
VARIANTS: Mapping[str, Mapping[str, float]] = {
    "shame spares own calm": {"contamination": 0.0},
    "shame spoils received calm": {"contamination": 1.0, "contam_received": 1.0},
    "silence disconfirms": {"delta": 0.3},
    "the other does not heal": {"eta_self": 0.0},
    "checking does not arouse": {"arousal": 0.0},
    "threat leaves calm alone": {"calm_threat": 1.0},
    "threat does not wound": {"wound": 0.0},
    "nothing is contingent": {"kappa": 0.0},
    "loss only when watched": {"watched": 1.0},
    "the author shows": {"source_clarity": 0.9},
}
COMBINATIONS = ("additive", "max")

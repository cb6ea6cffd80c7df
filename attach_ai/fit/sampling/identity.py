"""Whether two studies are the same, across processes."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import equinox as eqx
import jax
import numpy as np

from attach_ai.fit.study.abstract import AbstractStudy


def fingerprint(study: AbstractStudy) -> str:
    """sha256 of what a study holds: its arrays, its priors, and what it says of itself in words.

    A study may add to it by an attribute `fingerprint` (text). What code does is not seen.
    """
    found = hashlib.sha256()
    _add(found, eqx.filter(study, eqx.is_array))
    for name, prior in sorted(study.priors.items()):
        found.update(f"{name} {type(prior.distribution).__name__} {prior.dims}".encode())
        found.update(str(prior.distribution.shape()).encode())
        _add(found, _numbers(prior.distribution))
    # Names of objects carry addresses, which differ from process to process.
    words = f"{type(study).__qualname__} {jax.tree.structure(study)}"
    found.update(re.sub(r" at 0x[0-9a-f]+", "", words).encode())
    found.update(str(getattr(study, "fingerprint", "")).encode())
    return found.hexdigest()


def _numbers(distribution: Any) -> dict[str, Any]:
    """What a distribution is made of, by name: as a tree its leaves come in no fixed order."""
    own = {k: getattr(distribution, k, None) for k in distribution.arg_constraints}
    inner = getattr(distribution, "base_dist", None)
    found = {k: np.asarray(v) for k, v in own.items() if v is not None}
    return found if inner is None else {**found, "base": _numbers(inner)}


def _add(found: Any, tree: Any) -> None:
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(array.tobytes())

"""Small models with random tables, which use every kind of axis that a layout can declare."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.pomdp import POMDP


def levels(n: int) -> tuple[str, ...]:
    return tuple("abcdef"[:n])


LAYOUT = Layout(
    factors=(
        Factor("mood", levels(3), parents=(0, 1), actions=(0,)),
        Factor("body", levels(2), parents=(1, 3), actions=(0, 1)),
        Factor("echo", levels(2), parents=(0,)),  # does not read itself
        Factor("stance", levels(3), parents=(), actions=(1,), set_by=1, start=2),
    ),
    modalities=(
        Modality("face", levels(3), parents=(0, 1)),
        Modality("pulse", levels(2), parents=(1, 2, 3)),
        Modality("posture", levels(3), parents=(3,)),
    ),
    actions=(Action("speak", levels(2)), Action("next_stance", levels(3))),
)


def random_pomdp(seed: int) -> POMDP:
    """Columns drawn from a Dirichlet distribution; `stance` is known, as its action sets it."""
    rng = np.random.default_rng(seed)
    dtype = jnp.zeros(()).dtype
    factors, actions = LAYOUT.factors, LAYOUT.actions

    def columns(n: int, *shape: int) -> np.ndarray:
        return np.moveaxis(rng.dirichlet(np.full(n, 0.7), size=shape), -1, 0)

    def sizes(things: tuple, which: tuple[int, ...]) -> list[int]:
        return [len(things[i].levels) for i in which]

    A = [columns(len(m.levels), *sizes(factors, m.parents)) for m in LAYOUT.modalities]
    B = [
        columns(len(f.levels), *sizes(factors, f.parents), *sizes(actions, f.actions))
        for f in factors
    ]
    D = [columns(len(f.levels)) for f in factors]
    A[2], B[3], D[3] = np.eye(3), np.eye(3), np.eye(3)[2]
    return POMDP(
        A=tuple(jnp.asarray(a, dtype) for a in A),
        B=tuple(jnp.asarray(b, dtype) for b in B),
        C=tuple(jnp.asarray(rng.normal(size=len(m.levels)), dtype) for m in LAYOUT.modalities),
        D=tuple(jnp.asarray(d, dtype) for d in D),
        E=tuple(jnp.asarray(columns(len(a.levels)), dtype) for a in actions),
        counts={"D.mood": jnp.asarray(4.0, dtype)},
        layout=LAYOUT,
    )

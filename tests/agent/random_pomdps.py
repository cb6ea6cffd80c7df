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


def random_layout(seed: int) -> Layout:
    """One to three hidden factors, up to one known, one or two actions, and random parents."""
    rng = np.random.default_rng(seed)
    known = [True] * int(rng.integers(2))
    kinds = rng.permutation(known + [False] * int(rng.integers(1, 4))).tolist()
    n_actions = int(rng.integers(1, 3))
    actions = tuple(Action(f"act_{a}", levels(int(rng.integers(2, 4)))) for a in range(n_actions))

    def some(n: int) -> tuple[int, ...]:
        return tuple(i for i in range(n) if rng.random() < 0.6)

    factors = []
    for f, is_known in enumerate(kinds):
        if is_known:
            own, start = actions[0].levels, int(rng.integers(len(actions[0].levels)))
            factors.append(Factor(f"f{f}", own, (), (0,), set_by=0, start=start))
        else:
            own = levels(int(rng.integers(2, 4)))
            factors.append(Factor(f"f{f}", own, some(len(kinds)), some(n_actions)))
    modalities = [
        Modality(
            f"m{m}", levels(int(rng.integers(2, 4))), some(len(kinds)), inner=rng.random() < 0.5
        )
        for m in range(int(rng.integers(1, 4)))
    ]
    return Layout(tuple(factors), tuple(modalities), actions)


LAYOUTS = (LAYOUT, *(random_layout(seed) for seed in (1, 3, 6, 7, 13)))


def random_pomdp(seed: int, layout: Layout = LAYOUT, *, zeros: float = 0.0) -> POMDP:
    """Columns drawn from a Dirichlet distribution; known factors are as their action sets them.

    `zeros`: share of the cells of A, B and D that are impossible.
    """
    rng = np.random.default_rng(seed)
    dtype = jnp.zeros(()).dtype
    factors, actions = layout.factors, layout.actions

    def columns(n: int, *shape: int) -> np.ndarray:
        p = rng.dirichlet(np.full(n, 0.7), size=shape)
        if zeros:
            p = p * (rng.random(p.shape) >= zeros) + 1e-12 * (p == p.max(-1, keepdims=True))
            p /= p.sum(-1, keepdims=True)
        return np.moveaxis(p, -1, 0)

    def sizes(things: tuple, which: tuple[int, ...]) -> list[int]:
        return [len(things[i].levels) for i in which]

    A = [columns(len(m.levels), *sizes(factors, m.parents)) for m in layout.modalities]
    B = [
        columns(len(f.levels), *sizes(factors, f.parents), *sizes(actions, f.actions))
        for f in factors
    ]
    D = [columns(len(f.levels)) for f in factors]
    for f in layout.known:
        n, start = len(factors[f].levels), factors[f].start
        B[f], D[f] = np.eye(n), np.eye(n)[start]
        for m, modality in enumerate(layout.modalities):
            if modality.parents == (f,) and A[m].shape == (n, n):
                A[m] = np.eye(n)
    C = [rng.normal(size=len(m.levels)) for m in layout.modalities]
    E = [columns(len(a.levels)) for a in actions]
    hidden = [factors[f].name for f in layout.hidden]
    strengths = {f"{t}.{name}": s for name in hidden for t, s in (("D", 4.0), ("B", 6.0))}
    strengths |= {f"A.{m.name}": 5.0 for m in layout.modalities}
    strengths |= {f"E.{a.name}": 3.0 for a in actions}
    return POMDP(
        *(tuple(jnp.asarray(x, dtype) for x in tables) for tables in (A, B, C, D, E)),
        counts={name: jnp.asarray(s, dtype) for name, s in strengths.items()},
        layout=layout,
    )

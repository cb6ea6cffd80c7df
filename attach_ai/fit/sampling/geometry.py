"""Coordinates in which a posterior is nearly round, so that few gradients cross it.

People meet only through the population, so the expected curvature of a log posterior has the shape
of an arrow: a block for the population, one for each person, and what ties a person to the
population. Averaged over points of the posterior it is taken apart as a Cholesky factor would be,

    population = centre + wide z,    effects_i = centre_i + follow_i z + own_i z_i,

in which z has unit curvature in every direction (compare Girolami & Calderhead 2011, J R Stat Soc B
73, whose metric moves with the point; this one stands still, so that chains stay valid). When the
population moves, people's effects move along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

if TYPE_CHECKING:
    from attach_ai.fit.sampling.chain import Density
    from attach_ai.fit.study.abstract import People

# Differences that stand for a derivative, in units of the prior's spread: wide enough for single
# precision, narrow beside any posterior that a few thousand people can make.
STEP = 0.02
# No direction is taken to be wider than this curvature says; the prior alone gives about 1.
LEAST_CURVATURE = 0.5


class Geometry(NamedTuple):
    """An affine map from z to the flat vector of `Density`; see the module."""

    population: Float[Array, " population"]
    effects: Float[Array, "subject effect"]
    wide: Float[Array, "population population"]
    follow: Float[Array, "subject effect population"]
    own: Float[Array, "subject effect effect"]

    def __call__(self, z: Float[Array, " free"]) -> Float[Array, " free"]:
        """The flat vector at z."""
        n = self.population.shape[0]
        apart = z[n:].reshape(self.effects.shape)
        along = (self.follow.reshape(-1, n) @ z[:n]).reshape(self.effects.shape)
        effects = self.effects + along + (self.own * apart[:, None]).sum(-1)
        return jnp.concatenate([self.population + self.wide @ z[:n], effects.reshape(-1)])

    def inverse(self, x: Float[Array, " free"]) -> Float[np.ndarray, " free"]:
        """The z of a flat vector."""
        centre, effects, wide, follow, own = (np.asarray(a, float) for a in self)
        flat, n = np.asarray(x, float), len(centre)
        z = np.linalg.solve(wide, flat[:n] - centre)
        left = flat[n:].reshape(effects.shape) - effects - follow @ z
        return np.concatenate([z, np.linalg.solve(own, left[..., None]).reshape(-1)])


def blank(density: Density) -> Geometry:
    """The map that changes nothing."""
    n, p, e = density.n_subjects, density.n_population, len(density.study.effects)
    dtype = jnp.result_type(float)
    return Geometry(
        jnp.zeros(p, dtype),
        jnp.zeros((n, e), dtype),
        jnp.eye(p, dtype=dtype),
        jnp.zeros((n, e, p), dtype),
        jnp.broadcast_to(jnp.eye(e, dtype=dtype), (n, e, e)),
    )


def measured(
    density: Density, points: Iterable[Float[np.ndarray, " free"]], people: People
) -> Geometry:
    """From the curvature at `points`, which should be spread as the posterior is.

    Second derivatives are differences of gradients, one a parameter and one an effect (everybody's
    at once), up and down by turns from point to point: nothing new is compiled.
    """
    n, p, e = density.n_subjects, density.n_population, len(density.study.effects)
    unit = density.spread
    dtype = jnp.result_type(float)
    at = [np.asarray(x, float) for x in points]
    axes = np.zeros((p + e, density.n))
    axes[np.arange(p), np.arange(p)] = 1.0
    for k in range(e):
        axes[p + k, p + k :: e] = 1.0

    def slope(x: np.ndarray) -> np.ndarray:
        return np.asarray(density.value_and_grad(jnp.asarray(x, dtype), people)[1], float) * unit

    rows = np.zeros((p + e, density.n))
    for i, x in enumerate(at):
        step, here = STEP * (-1) ** i, slope(x)
        for row, axis in zip(rows, axes, strict=True):
            change = (here - slope(x + step * unit * axis)) / (step * len(at))
            row += np.nan_to_num(change, posinf=0.0, neginf=0.0)
    across = rows[:p, :p]
    tied = rows[:p, p:].reshape(p, n, e)
    own = root(np.moveaxis(rows[p:, p:].reshape(e, n, e), 0, -1), LEAST_CURVATURE)
    follow = -own @ (np.swapaxes(own, -1, -2) @ np.moveaxis(tied, 0, -1))
    wide = root(across + np.einsum("pne,neq->pq", tied, follow), LEAST_CURVATURE)
    centre = np.mean(at, axis=0)
    scale = unit[:p]
    return Geometry(
        *(
            jnp.asarray(a, dtype)
            for a in (
                centre[:p],
                centre[p:].reshape(n, e),
                scale[:, None] * wide,
                follow @ wide,
                own,
            )
        )
    )


def root(curvature: Float[np.ndarray, "*n k k"], least: float) -> Float[np.ndarray, "*n k k"]:
    """Orthogonal axes of unit curvature, in columns, so that root @ root.T is its inverse.

    No direction counts as flatter than `least`.
    """
    values, vectors = np.linalg.eigh((curvature + np.swapaxes(curvature, -1, -2)) / 2)
    return vectors / np.sqrt(np.maximum(values, least))[..., None, :]

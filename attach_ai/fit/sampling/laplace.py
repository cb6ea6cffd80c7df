"""A normal approximation of the posterior, with people averaged out before the mode is sought.

For a population s and a person's effects e, log p(s, e, y) is expanded at the best e given s:

    log p(s, y) ~ log p(s, e*(s), y) - 1/2 sum_i ln det H_i(s),   H_i = -d2 log p / de_i2

(Tierney & Kadane 1986; Kristensen et al. 2016). The mode of s and e together would not do: the
larger the spread, the smaller effects the same people need, and there is no end to it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from attach_ai.fit.sampling.chain import Density, Settings, plain_rules
from attach_ai.fit.sampling.geometry import root

NEWTON_STEPS = 20
LARGEST_STEP = 1.0  # of an effect in one step
OUTER_STEPS = 200
# No direction is taken to be wider than this curvature says.
LEAST_CURVATURE = 0.1


def laplace(
    density: Density, settings: Settings, seed: int, chains: int, progress: bool
) -> dict[str, np.ndarray]:
    """Draws "x" (chain, draw, free): the population, and each person's effects given its mode."""
    with plain_rules():
        return _Expansion(density).draws(settings, seed, chains)


class _Expansion:
    """The expansion of one density; people meet only through the population."""

    def __init__(self, density: Density):
        self.density, self.people = density, density.study.people
        self.n, self.e = density.n_subjects, len(density.study.effects)
        self.dtype = jnp.result_type(float)
        self.best = jax.jit(self._best)
        self.value = jax.jit(jax.value_and_grad(self._value))

    def draws(self, settings: Settings, seed: int, chains: int) -> dict[str, np.ndarray]:
        start, _, _ = self.density.start(jax.random.key(seed), self.people)
        p = self.density.n_population
        effects = jnp.zeros((self.n, self.e), self.dtype)

        def down(s: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = self._at(s, effects)
            return -value, -slope

        found = minimize(
            down,
            np.asarray(start[:p], float),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": OUTER_STEPS},
        )
        mode = found.x
        wide = root(self._slopes(down, mode), LEAST_CURVATURE)
        best, own = self.best(jnp.asarray(mode, self.dtype), effects)
        rng = np.random.default_rng(seed)
        shape = (chains, settings.draws)
        s = mode + _spread(rng, wide, shape)
        apart = root(np.asarray(own, float), LEAST_CURVATURE)
        z = np.asarray(best, float) + _spread(rng, apart, (*shape, self.n))
        x = np.concatenate([s, z.reshape(*shape, self.n * self.e)], axis=-1)
        return {"x": x.astype(self.dtype)}

    def _at(self, s: np.ndarray, effects: Array) -> tuple[float, np.ndarray]:
        population = jnp.asarray(s, self.dtype)
        best, _ = self.best(population, effects)
        value, slope = self.value(population, best)
        if not np.isfinite(value):
            return -1e30, np.zeros_like(s)
        return float(value), np.nan_to_num(np.asarray(slope, float))

    def _slopes(self, down: Any, mode: np.ndarray) -> np.ndarray:
        """Second derivatives by central differences of the first."""
        h = 1e-2 if self.dtype == jnp.float32 else 1e-4
        steps = h * np.eye(len(mode))
        rows = [(down(mode + d)[1] - down(mode - d)[1]) / (2 * h) for d in steps]
        return np.array(rows).reshape(len(mode), len(mode))

    def _joint(self, population: Array, effects: Array) -> Array:
        return self.density(jnp.concatenate([population, effects.ravel()]), self.people)

    def _slope_and_curve(
        self, population: Array, effects: Array
    ) -> tuple[Float[Array, "subject effect"], Float[Array, "subject effect effect"]]:
        """Of log p in each person's effects; one effect of everybody at a time gives it all."""

        def slope(e: Array) -> Array:
            return jax.grad(self._joint, argnums=1)(population, e)

        each = jnp.broadcast_to(
            jnp.eye(self.e, dtype=self.dtype)[:, None], (self.e, *effects.shape)
        )
        curve = jax.lax.map(lambda v: -jax.jvp(slope, (effects,), (v,))[1], each)
        return slope(effects), jnp.moveaxis(curve, 0, -1)

    def _best(self, population: Array, effects: Array) -> tuple[Array, Array]:
        """e*(s), by Newton's method, and the curvature there, made positive."""
        if not self.e:
            return effects, jnp.zeros((self.n, 0, 0), self.dtype)

        def step(_: int, e: Array) -> Array:
            slope, curve = self._slope_and_curve(population, e)
            move = jnp.linalg.solve(_positive(curve), slope[..., None])[..., 0]
            return e + jnp.clip(move, -LARGEST_STEP, LARGEST_STEP)

        best = jax.lax.fori_loop(0, NEWTON_STEPS, step, effects)
        return best, _positive(self._slope_and_curve(population, best)[1])

    def _value(self, population: Array, best: Array) -> Array:
        """log p(s, y), up to a constant; one more step tells the slope how e* follows s."""
        if not self.e:
            return self._joint(population, best)
        slope, curve = self._slope_and_curve(population, jax.lax.stop_gradient(best))
        move = jnp.linalg.solve(jax.lax.stop_gradient(_positive(curve)), slope[..., None])[..., 0]
        best = jax.lax.stop_gradient(best) + move
        curve = _positive(self._slope_and_curve(population, best)[1])
        return self._joint(population, best) - 0.5 * jnp.linalg.slogdet(curve)[1].sum()


def _positive(curve: Array) -> Array:
    """Curvature with no direction flatter than the floor; the prior alone gives 1."""
    least = jax.lax.stop_gradient(jnp.linalg.eigvalsh(curve)[..., 0])
    lift = jnp.maximum(LEAST_CURVATURE - least, 0.0)
    return curve + lift[..., None, None] * jnp.eye(curve.shape[-1], dtype=curve.dtype)


def _spread(rng: np.random.Generator, axes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Normal draws (*shape, k) along `axes` (..., k, k), each with unit deviation."""
    return np.einsum("...ij,...j->...i", axes, rng.normal(size=(*shape, axes.shape[-1])))

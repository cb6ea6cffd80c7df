"""One Markov chain: the log posterior over one flat vector, and a sampler that moves along it.

Hamiltonian Monte Carlo without U-turns (Hoffman & Gelman 2014), NumPyro's kernel with a diagonal
mass matrix in the coordinates of `geometry.py`, driven in pieces so that its state can be kept. The
people and the coordinates are arguments of every compiled function: other people of the same number
compile nothing anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    IdentityTransform,
    SoftplusTransform,
    Transform,
)
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from attach_ai.errors import InputError
from attach_ai.fit.sampling.geometry import Geometry, blank, measured
from attach_ai.fit.study.abstract import AbstractStudy, People, Prior

# Iterations between two signs of life; chains are the same whatever it is.
PIECE = 20
# A start lies within this share of the prior's spread around its centre, effects likewise around 0.
JITTER = 0.3
# Where a chain had better begin: gradients, the rate of their use, and where log standard
# deviations begin. On the benchmark study 40 iterations without it took 280 gradients each.
SETTLE = 400
SETTLE_RATE = 0.1
FIRST_LOG_SD = -2.0
# Points at which curvature is looked at, and the shares of warm-up after which that is done anew.
# What curvature misjudges, a direction that bends, the mass matrix of the last stage stretches.
POINTS = 8
TURNS = (1 / 4, 1 / 2)
# A standard deviation is sampled as it is, and as a logarithm below this share of its prior mean.
NEAR_ZERO = 0.1
STATS = ("diverging", "energy", "tree_depth", "n_steps", "acceptance_rate", "step_size", "lp")


@dataclass(frozen=True)
class Settings:
    """How long a chain is (iterations), and how carefully it moves."""

    warmup: int = 1000
    draws: int = 1000
    target_accept: float = 0.8
    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        for name, least in (("warmup", 10), ("draws", 1), ("max_tree_depth", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} = {getattr(self, name)}; expected {least} or more", "fit")
        if not 0 < self.target_accept < 1:
            raise InputError(
                f"target_accept = {self.target_accept}; expected a share between 0 and 1", "fit"
            )

    @property
    def length(self) -> int:
        """Iterations in all."""
        return self.warmup + self.draws

    @property
    def turns(self) -> tuple[int, ...]:
        """After how many iterations the coordinates are made anew."""
        return tuple(int(self.warmup * share) for share in TURNS)


@contextmanager
def plain_rules() -> Iterator[None]:
    """JAX's default rules of promotion, on which NumPyro relies; precision stays as it is."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


class Density:
    """The log posterior of a study, unnormalised, over one flat vector of unbounded numbers.

    The vector holds the sites in the order of `study.priors`, each in the coordinates of
    `unbounded`, and then the effects along the study's axes (`turned`), person by person.
    """

    def __init__(self, study: AbstractStudy):
        self.study = study
        self.transforms = {n: unbounded(p) for n, p in study.priors.items()}
        self.shapes = {
            n: tuple(self.transforms[n].inverse_shape(p.distribution.shape()))
            for n, p in study.priors.items()
        }
        self.n_subjects = study.people.answer.shape[0]
        self.n_population = sum(int(np.prod(s)) for s in self.shapes.values())
        self.n = self.n_population + self.n_subjects * len(study.effects)

    def split(
        self, x: Float[Array, " free"]
    ) -> tuple[dict[str, Array], Float[Array, "subject effect"]]:
        """Each site in its own unbounded coordinates, and the effects."""
        found, at = {}, 0
        for name, shape in self.shapes.items():
            size = int(np.prod(shape))
            found[name] = x[at : at + size].reshape(shape)
            at += size
        return found, x[at:].reshape(self.n_subjects, -1 if self.n > at else 0)

    def constrain(self, x: Float[Array, " free"]) -> dict[str, Array]:
        """Every site on its own scale, and "effects" (subject, effect)."""
        free, axes = self.split(x)
        sites = {n: self.transforms[n](z) for n, z in free.items()}
        sites, effects = self.study.folded(sites, self.study.turned(sites, axes))
        return {**sites, "effects": effects}

    def __call__(self, x: Float[Array, " free"], people: People) -> Float[Array, ""]:
        """Nats, with the volume that the change of coordinates brings."""
        free, axes = self.split(x)
        log_p = -0.5 * (axes**2).sum() - 0.5 * axes.size * np.log(2 * np.pi)
        sites = {}
        for name, z in free.items():
            transform, prior = self.transforms[name], self.study.priors[name]
            sites[name] = value = transform(z)
            log_p += prior.distribution.log_prob(jnp.abs(value) if prior.mirrored else value).sum()
            log_p -= z.size * np.log(2.0) if prior.mirrored else 0.0
            log_p += transform.log_abs_det_jacobian(z, value).sum()
        effects = self.study.turned(sites, axes)
        return log_p + self.study.log_likelihood(sites, effects, people).sum()

    @cached_property
    def value_and_grad(self) -> Any:
        """Compiled: (x, people) -> (log posterior, its gradient)."""
        return eqx.filter_jit(jax.value_and_grad(self))

    @cached_property
    def constrain_all(self) -> Any:
        """Compiled: `constrain` of many vectors (draw, free)."""
        return jax.jit(jax.vmap(self.constrain))

    @property
    def spread(self) -> Float[np.ndarray, " free"]:
        """Half the central 68 % of the prior, in the flat coordinates; 1 for effects."""
        return self._prior[1]

    @cached_property
    def _prior(self) -> tuple[Float[np.ndarray, " free"], Float[np.ndarray, " free"]]:
        """Median and half the central 68 % of the prior, in the flat coordinates."""
        middle, spread = [], []
        with plain_rules():
            for i, (name, p) in enumerate(self.study.priors.items()):
                drawn = p.distribution.sample(jax.random.key(i), (400,))
                z = np.asarray(self.transforms[name].inv(drawn)).reshape(400, -1)
                low, mid, high = np.quantile(z, (0.16, 0.5, 0.84), axis=0)
                middle.append(mid)
                spread.append((high - low) / 2)
        n = self.n - self.n_population
        return np.concatenate([*middle, np.zeros(n)]), np.concatenate([*spread, np.ones(n)])

    def start(self, key: Array, people: People) -> tuple[Array, Array, Array]:
        """A point near the prior's centre, the log posterior there, and its gradient.

        Where it is not finite the point moves towards the centre; where the centre itself is not,
        `InputError` names the first person whom the model gives no finite probability.
        """
        with plain_rules():
            middle, spread = self._prior
            away = np.asarray(jax.random.normal(key, (self.n,)), float) * spread * JITTER
            for share in (1.0, 0.5, 0.25, 0.1, 0.0):
                x = jnp.asarray(middle + share * away, jnp.result_type(float))
                value, slope = self.value_and_grad(x, people)
                if np.isfinite(value) and np.isfinite(slope).all():
                    return x, value, slope
            raise InputError(self._not_finite(x, people), "fit")

    def settle(
        self, key: Array, x: Array, people: People
    ) -> tuple[Float[np.ndarray, " free"], Float[np.ndarray, " free"]]:
        """Where the posterior roughly lies: means and standard deviations.

        A few hundred stochastic gradients fit independent normals (Kucukelbir et al. 2017): enough
        to begin from, and to see the curvature there. Nothing is claimed of them.
        """
        dtype = jnp.result_type(float)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        q = np.stack([np.asarray(x, float), np.full(self.n, FIRST_LOG_SD)])  # mean, log sd
        moment, square = np.zeros_like(q), np.zeros_like(q)
        with plain_rules():
            for i in range(1, SETTLE + 1):
                noise = rng.normal(size=self.n)
                off = np.exp(q[1]) * noise
                _, slope = self.value_and_grad(jnp.asarray(q[0] + off, dtype), people)
                slope = np.nan_to_num(np.asarray(slope, float), posinf=0.0, neginf=0.0)
                up = np.stack([slope, slope * off + 1.0])
                # Adam (Kingma & Ba 2015), its rate falling to a tenth.
                moment = 0.9 * moment + 0.1 * up
                square = 0.99 * square + 0.01 * up**2
                rate = SETTLE_RATE * 0.1 ** (i / SETTLE)
                step = moment / (1 - 0.9**i) / (np.sqrt(square / (1 - 0.99**i)) + 1e-8)
                q += rate * step
        return q[0], np.exp(np.clip(q[1], -5.0, 0.5))

    def _not_finite(self, x: Array, people: People) -> str:
        def each(x: Array) -> Array:
            drawn = self.constrain(x)
            return self.study.log_likelihood(drawn, drawn["effects"], people)

        log_p = np.asarray(jax.jit(each)(x))
        if np.isfinite(log_p).all():
            return "the log posterior has no finite slope at the centre of the priors"
        first = int(np.flatnonzero(~np.isfinite(log_p))[0])
        return (
            f"at the centre of the priors the answers of {int((~np.isfinite(log_p)).sum())} people "
            f"have no finite log probability, the first being "
            f"'{self.study.coords['subject'][first]}'"
        )


def unbounded(prior: Prior) -> Transform:
    """From a real number to the values of a prior: NumPyro's way, but for standard deviations.

    A logarithm would stretch what lies near zero without end, where the data say little, and press
    together what they do tell apart. One that is mirrored is sampled as it is, others as they are
    but near zero.
    """
    if prior.mirrored:
        return IdentityTransform()
    if not isinstance(prior.distribution, dist.HalfNormal):
        return biject_to(prior.distribution.support)
    near = NEAR_ZERO * prior.distribution.mean
    return ComposeTransform(
        [AffineTransform(0.0, 1 / near), SoftplusTransform(), AffineTransform(0.0, near)]
    )


class State(NamedTuple):
    """NumPyro's state of a chain, the coordinates it moves in, and points it came through."""

    chain: Any
    geometry: Geometry
    seen: Float[Array, "point free"]


class Nuts:
    """The No-U-Turn sampler of one study: compiled once for all its chains."""

    def __init__(self, density: Density, settings: Settings):
        self.density, self.settings = density, settings
        self.n_traces = 0  # how often the chain's step was compiled
        self.origin = np.nan  # the log posterior where the last chain was begun

        def potential(people: People, geometry: Geometry) -> Any:
            return lambda z: -density(geometry(z), people)

        self._init, self._sample = hmc(potential_fn_gen=potential, algo="NUTS")
        self._advance = jax.jit(self._piece)

    def begin(self, key: Array, people: People, settle: bool = True) -> State:
        """The state of a chain before its first iteration.

        Without `settle` it stands at the start itself: enough for a state to be read back into.
        """
        with plain_rules():
            own, move, seek = jax.random.split(key, 3)
            x, value, _ = self.density.start(own, people)
            self.origin = float(value)
            seen = jnp.broadcast_to(x, (POINTS, *x.shape))
            if not settle:
                return self._from(x, seen, blank(self.density), move, people)
            mean, sd = self.density.settle(seek, x, people)
            rng = np.random.default_rng(np.asarray(jax.random.key_data(seek)))
            seen = jnp.asarray(mean + sd * rng.normal(size=seen.shape), x.dtype)
            if not all(np.isfinite(self.density.value_and_grad(s, people)[0]) for s in seen):
                return self._from(x, seen * 0 + x, blank(self.density), move, people)
            geometry = measured(self.density, np.asarray(seen), people)
            return self._from(seen[0], seen, geometry, move, people)

    def walk(
        self, state: State, people: People, at: int, end: int
    ) -> Iterator[tuple[State, int, dict[str, np.ndarray]]]:
        """From iteration `at` to `end`, a piece at a time: the new state, where it stands, and what
        was drawn, "x" (iteration, free) and each of `STATS`."""
        turns = self.settings.turns
        while at < end:
            ahead = (PIECE, end - at, *(t - at for t in turns))
            n = min(i for i in ahead if i > 0)
            last = max((t for t in turns if t <= at), default=0)
            coming = min((t for t in turns if t > at), default=last)
            with plain_rules():
                state, kept = self._advance(state, people, n, at - last, coming - last)
                at += n
                if at in turns:
                    state = self._anew(state, people)
            yield state, at, {name: np.asarray(v)[:n] for name, v in kept.items()}

    def _anew(self, state: State, people: People) -> State:
        """Where the chain stands, in coordinates made anew, its adaptation begun afresh."""
        x = state.geometry(state.chain.z)
        geometry = measured(self.density, np.asarray(state.seen), people)
        return self._from(x, state.seen, geometry, state.chain.rng_key, people)

    def _from(self, x: Array, seen: Array, geometry: Geometry, key: Array, people: People) -> State:
        z = jnp.asarray(geometry.inverse(x), x.dtype)
        x, back = jax.vjp(lambda z: geometry(z), z)
        value, slope = self.density.value_and_grad(x, people)
        chain = self._init(
            ParamInfo(z, -value, -back(slope)[0]),
            inverse_mass_matrix=jnp.ones_like(z),
            num_warmup=self.settings.warmup - self.settings.turns[-1],
            target_accept_prob=self.settings.target_accept,
            max_tree_depth=self.settings.max_tree_depth,
            model_args=(people, geometry),
            rng_key=key,
        )
        state = State(chain, geometry, seen)
        return unpacked(packed(state), state)

    def _piece(
        self, state: State, people: People, n: int, at: int, turn: int
    ) -> tuple[State, dict[str, Array]]:
        """`at`: iterations since the coordinates were made; `turn`: of those before they are made
        anew, 0 if they stay."""
        self.n_traces += 1
        geometry = state.geometry

        def row(chain: Any) -> dict[str, Array]:
            depth = jnp.ceil(jnp.log2(chain.num_steps + 1.0)).astype(jnp.int32)
            return {
                "x": geometry(chain.z),
                "diverging": chain.diverging,
                "energy": chain.energy,
                "tree_depth": depth,
                "n_steps": chain.num_steps.astype(jnp.int32),
                "acceptance_rate": chain.accept_prob,
                "step_size": chain.adapt_state.step_size,
                "lp": -chain.potential_energy,
            }

        def body(i: Array, carry: Any) -> Any:
            chain, seen, kept = carry
            chain = self._sample(chain, (people, geometry), {})
            now = row(chain)
            # The second half of the way to the turn is remembered, evenly.
            slot = (2 * POINTS * (at + i)) // jnp.maximum(turn, 1) - POINTS
            within = (slot >= 0) & (slot < POINTS)
            slot = jnp.clip(slot, 0, POINTS - 1)
            seen = seen.at[slot].set(jnp.where(within, now["x"], seen[slot]))
            return chain, seen, jax.tree.map(lambda k, x: k.at[i].set(x), kept, now)

        room = jax.tree.map(
            lambda x: jnp.zeros((PIECE, *x.shape), x.dtype), jax.eval_shape(row, state.chain)
        )
        chain, seen, kept = jax.lax.fori_loop(0, n, body, (state.chain, state.seen, room))
        return State(chain, geometry, seen), kept


def packed(state: Any) -> dict[str, np.ndarray]:
    """A chain's state as plain arrays by name."""
    leaves = jax.tree.leaves(state)
    return {f"state_{i:02d}": np.asarray(_data(x)) for i, x in enumerate(leaves)}


def unpacked(arrays: dict[str, np.ndarray], like: Any) -> Any:
    """The state that `packed` took apart; `like` is any state of the same chain."""
    leaves, tree = jax.tree.flatten(like)
    found = [jnp.asarray(arrays[f"state_{i:02d}"], _data(x).dtype) for i, x in enumerate(leaves)]
    keys = [
        jax.random.wrap_key_data(y) if _is_key(x) else y for x, y in zip(leaves, found, strict=True)
    ]
    return jax.tree.unflatten(tree, keys)


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _data(x: Any) -> Any:
    return jax.random.key_data(x) if _is_key(x) else jnp.asarray(x)

"""What people's answers say about a population, each person's own effects averaged out.

A person's score is the gradient of log p(answers | sites), the effects integrated out. By Fisher's
identity it is the mean, over p(effects | answers, sites), of the gradient with the effects given;
that mean is taken by importance sampling from a normal fitted to each person. The mean outer
product of scores over answers drawn from the study is the expected Fisher information; the spread
of the effects given the answers is what stays unknown of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import IdentityTransform

from attach_ai.fit.study.abstract import AbstractStudy, People

STEPS = 4  # of Fisher scoring towards a person's effects
AGAIN = 4  # sets of answers whose mean curvature that scoring uses
WIDER = 1.1  # the proposal, against the normal fitted to a person
DRAWS_PER_SITE = 20  # scores for each unknown: the inverse of their mean product is off by 5 %


@dataclass(frozen=True)
class Flat:
    """The sites of a study as one unconstrained vector.

    `names`: the site of each number; `labels`: as in "mean[trust]". `mean`, `sd`: prior moments on
    the unconstrained scale (the logarithm of what is positive), sites being independent a priori.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    mean: Float[np.ndarray, " unknown"]
    sd: Float[np.ndarray, " unknown"]
    _pieces: Mapping[str, tuple[int, tuple[int, ...], Any]]

    def sites(self, x: Float[Array, " unknown"]) -> dict[str, Array]:
        """The value of each site."""
        return {
            name: bijector(x[start : start + int(np.prod(shape))].reshape(shape))
            for name, (start, shape, bijector) in self._pieces.items()
        }

    def centre(self, study: AbstractStudy) -> Float[np.ndarray, " unknown"]:
        """Where a study is looked at before any data: the prior mean of each number.

        Where groups of people have standard-normal effects it is a draw of these: at zero the
        spread between groups would seem to do nothing.
        """
        x = self.mean.copy()
        drawn, _ = study.draw_prior(jax.random.key(0))
        whole = self.vector(drawn)
        for i, name in enumerate(self.names):
            if name == "cluster":
                x[i] = whole[i]
        return x

    def vector(self, sites: Mapping[str, Any]) -> Float[np.ndarray, "*draws unknown"]:
        """The unconstrained vector of these values, or of each draw of them."""
        found = []
        for name, (_, shape, bijector) in self._pieces.items():
            value = np.asarray(bijector.inv(jnp.asarray(sites[name])), float)
            draws = value.shape[: value.ndim - len(shape)]
            found.append(value.reshape(*draws, int(np.prod(shape))))
        return np.concatenate(found, -1)


def flatten(study: AbstractStudy) -> Flat:
    """The unconstrained vector of a study, with the prior moments of each number in it."""
    names: list[str] = []
    labels: list[str] = []
    moments: list[np.ndarray] = []
    pieces: dict[str, tuple[int, tuple[int, ...], Any]] = {}
    for name, prior in study.priors.items():
        d = prior.distribution
        bijector = biject_to(d.support)
        mean, sd = _moments(d, bijector)
        pieces[name] = (len(names), mean.shape, bijector)
        names += [name] * mean.size
        labels += _labels(name, mean.shape, prior.dims, study.coords)
        moments.append(np.stack([mean.reshape(-1), sd.reshape(-1)]))
    mean, sd = np.concatenate(moments, axis=1)
    return Flat(tuple(names), tuple(labels), mean, sd, pieces)


def _moments(d: dist.Distribution, bijector: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of a distribution on its unconstrained scale, in closed form or by quantiles."""
    if isinstance(bijector, IdentityTransform) and np.isfinite(np.asarray(d.variance)).all():
        return np.asarray(d.mean, float), np.sqrt(np.asarray(d.variance, float))
    z = np.linspace(-5.0, 5.0, 401)
    weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()

    @jax.jit
    def quantiles() -> Array:
        u = jax.scipy.stats.norm.cdf(jnp.asarray(z))
        u = jnp.broadcast_to(u.reshape(-1, *[1] * len(d.batch_shape)), (len(z), *d.batch_shape))
        return bijector.inv(jax.vmap(d.icdf)(u))

    try:
        value = np.asarray(quantiles(), float)
    except NotImplementedError:  # no quantiles: draws serve, to a hundredth
        value = np.asarray(bijector.inv(d.sample(jax.random.key(0), (4096,))), float)
        weight = np.full(len(value), 1 / len(value))
    mean = np.tensordot(weight, value, 1)
    return mean, np.sqrt(np.tensordot(weight, (value - mean) ** 2, 1))


def _labels(
    name: str, shape: tuple[int, ...], dims: tuple[str, ...], coords: Mapping[str, tuple[Any, ...]]
) -> list[str]:
    if not shape:
        return [name]
    known = dims if len(dims) == len(shape) else ("",) * len(shape)
    axes = [
        [str(c) for c in coords[d]] if len(coords.get(d, ())) == n else [str(i) for i in range(n)]
        for d, n in zip(known, shape, strict=True)
    ]
    return [
        f"{name}[{', '.join(a[i] for a, i in zip(axes, index, strict=True))}]"
        for index in np.ndindex(*shape)
    ]


class Known(eqx.Module):
    """What one set of answers says. `effective`: share of importance draws that count."""

    score: Float[Array, "subject unknown"]
    mean: Float[Array, "subject effect"]
    cov: Float[Array, "subject effect effect"]
    effective: Float[Array, " subject"]


def known(
    study: AbstractStudy,
    flat: Flat,
    x: Float[Array, " unknown"],
    people: People,
    start: Float[Array, "subject effect"],
    key: Array,
    n_importance: int = 32,
    scored: bool = True,
) -> Known:
    """Each person's score (at `x`, nats) and effects given the answers; `start` is a first guess.

    Can be traced. Antithetic draws, so that a score linear in the effects has no Monte Carlo error.
    Scores are zero, and cheaper, unless `scored`.
    """

    def log_p(x: Array, z: Array, person: People) -> Array:
        one = jax.tree.map(lambda leaf: leaf[None], person)
        return study.log_likelihood(flat.sites(x), z[None], one)[0]

    n, n_effects = start.shape
    if not n_effects:
        score = jax.vmap(jax.grad(log_p), (None, 0, 0))(x, start, people)
        return Known(score, start, jnp.zeros((n, 0, 0), score.dtype), jnp.ones(n, score.dtype))

    def parts(z: Array, person: People) -> Array:
        """Log probability of each answer, then of all else."""
        one = jax.tree.map(lambda leaf: leaf[None], person)
        sites = flat.sites(x)
        answers = study.by_answer(sites, z[None], one).reshape(-1)
        rest = study.log_likelihood(sites, z[None], one)[0] - answers.sum()
        return jnp.concatenate([answers, rest[None]])

    def curvature(key: Array) -> Array:
        drawn = study.draw(key, flat.sites(x), start, people)
        each = jax.vmap(jax.jacfwd(parts))(start, drawn)
        return jnp.einsum("nae,naf->nef", each, each)

    def fit(z: Array, bend: Array, person: People) -> tuple[Array, Array]:
        def step(z: Array, _: None) -> tuple[Array, None]:
            slope = jax.grad(log_p, 1)(x, z, person) - z
            return z + jnp.clip(jnp.linalg.solve(bend, slope), -2.0, 2.0), None

        z, _ = jax.lax.scan(step, z, None, STEPS)
        # The proposal's covariance is the inverse of `bend`; this is a root of it.
        eye = jnp.eye(n_effects, dtype=z.dtype)
        lower = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(bend), eye, lower=True)
        return z, lower.T * WIDER

    key, again = jax.random.split(key)
    bend = jax.lax.map(curvature, jax.random.split(again, AGAIN)).mean(0)
    bend = bend + jnp.eye(n_effects, dtype=bend.dtype)[None]
    centre, root = jax.vmap(fit)(start, bend, people)
    half = jax.random.normal(key, (max(1, n_importance // 2), n, n_effects), start.dtype)
    u = jnp.concatenate([half, -half])

    def one(u: Array) -> tuple[Array, Array, Array]:
        z = centre + jnp.einsum("nij,nj->ni", root, u)
        if scored:
            value, slope = jax.vmap(jax.value_and_grad(log_p), (None, 0, 0))(x, z, people)
        else:
            value = study.log_likelihood(flat.sites(x), z, people)
            slope = jnp.zeros((n, 0), x.dtype)
        return value + 0.5 * (u**2).sum(1) - 0.5 * (z**2).sum(1), slope, z

    log_w, slopes, z = jax.lax.map(one, u)
    w = jax.nn.softmax(log_w, axis=0)
    mean = jnp.einsum("kn,kne->ne", w, z)
    off = z - mean[None]
    return Known(
        jnp.einsum("kn,knp->np", w, slopes),
        mean,
        jnp.einsum("kn,kne,knf->nef", w, off, off),
        1 / (w**2).sum(0) / len(u),
    )


@dataclass(frozen=True)
class Expected:
    """What answers under a design are expected to say.

    `information`: of all people together, (unknown, unknown), effects averaged out. `remaining`:
    expected covariance of a person's effects given their answers. `effective`: mean share of
    importance draws that count.
    """

    information: Float[np.ndarray, "unknown unknown"]
    remaining: Float[np.ndarray, "effect effect"]
    n_people: int
    n_draws: int
    effective: float


def expected_at(
    study: AbstractStudy,
    flat: Flat,
    n_draws: int | None = None,
    n_importance: int = 32,
    scored: bool = True,
) -> Callable[[Any, Array], Expected]:
    """`(x, key) -> Expected`, compiled once: information under the study's own design at `x`.

    `n_draws`: data sets drawn, of all people; by default as many as make 20 scores for each
    unknown, at least 4. Answers that are missing in the study stay so.
    """
    n = study.people.answer.shape[0]
    n_effects = len(study.effects)
    n_draws = n_draws or max(4, ceil(DRAWS_PER_SITE * len(flat.names) / n))

    @jax.jit
    def compute(x: Array, key: Array, people: People) -> tuple[Array, Array, Array]:
        def draw(key: Array) -> tuple[Array, Array, Array]:
            k_effect, k_answer, k_importance = jax.random.split(key, 3)
            z = jax.random.normal(k_effect, (n, n_effects), x.dtype)
            drawn = study.draw(k_answer, flat.sites(x), z, people)
            found = known(study, flat, x, drawn, z, k_importance, n_importance, scored)
            return found.score.T @ found.score, found.cov.mean(0), found.effective.mean()

        return jax.lax.map(draw, jax.random.split(key, n_draws))

    def expected(x: Any, key: Array) -> Expected:
        point = jnp.asarray(x, study.people.measure.dtype)
        information, remaining, effective = compute(point, key, study.people)
        return Expected(
            np.asarray(information, float).mean(0),
            np.asarray(remaining, float).mean(0),
            n,
            n_draws,
            float(effective.mean()),
        )

    return expected

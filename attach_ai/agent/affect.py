"""Affect: how sure a mind is of its policies, as they are borne out or not.

Source: Hesp, Smith, Parr, Allen, Friston, Ramstead (2021), Deeply Felt Affect, Neural Computation
33, 398-446, doi 10.1162/neco_a_01341, in the form in which the published scheme updates the
precision of policies. The expected precision gamma = 1 / beta has a Gamma(1, beta) prior; a level
above it, valence, says which beta to expect.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attach_ai.errors import InputError

# Share of the lowest expected beta that one update may take away at most: a Gamma posterior that
# lost more could not be compared with that expectation (its evidence diverges).
MOST = 0.9


class Feeling(eqx.Module):
    """What is reported of a step.

    `charge`: affective charge, positive where what happened bears the preferred policies out.
    `beta`: 1 / gamma after it; `valence`: P(positive).
    """

    charge: Float[Array, ""]
    beta: Float[Array, ""]
    valence: Float[Array, ""]


class Mood(eqx.Module):
    """What is carried to the next outcome.

    `beta`, `valence` (level,): as in `Feeling`. `log_prior` (policy,): ln E. `efe` (policy,): as
    the last plan had it. `futures`: the state that perception would be in after each choice
    (leading choice axis).
    """

    beta: Float[Array, ""]
    valence: Float[Array, "2"]
    log_prior: Float[Array, " policy"]
    efe: Float[Array, " policy"]
    futures: Any


class Affect(eqx.Module):
    """Precision that moves: gamma = 1 / beta, updated at each outcome.

    `betas`: the beta expected in positive and in negative valence (as they come, evenly around the
    planner's own 1 / 8); with `valence`, the probability
    of positive at the start of a session, they give the prior beta. `persistence`: P(valence stays)
    a step. `n_iter`: iterations of the update, each going `pace` of the way.

    Raises `InputError` for betas that are not positive or not in this order, and for
    probabilities outside [0, 1].
    """

    betas: Float[Array, "2"] = eqx.field(converter=jnp.asarray, default=(0.0625, 0.1875))
    valence: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.5)
    persistence: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.95)
    pace: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.5)
    n_iter: int = eqx.field(static=True, default=16)

    def __check_init__(self) -> None:
        if self.betas.shape != (2,):
            raise InputError(f"betas has shape {self.betas.shape}; expected two numbers", "Affect")
        if isinstance(self.betas, jax.core.Tracer):
            return
        positive, negative = self.betas.tolist()
        if not 0 < positive <= negative:
            raise InputError(
                f"betas are {positive:g} (positive) and {negative:g} (negative valence); "
                "expected 0 < positive <= negative",
                "Affect",
            )
        for name in ("valence", "persistence", "pace"):
            value = getattr(self, name)
            if not isinstance(value, jax.core.Tracer) and not 0 <= value <= 1:
                raise InputError(f"{name} is {value:g}; expected a number from 0 to 1", "Affect")

    def begin(self, futures: Any, n_policies: int) -> Mood:
        """The mood before the first outcome, which bears no policy out."""
        valence = jnp.stack([self.valence, 1 - self.valence])
        nothing = jnp.zeros(n_policies, valence.dtype)
        return Mood(valence @ self.betas, valence, nothing, nothing, futures)

    def feel(self, mood: Mood, misfit: Float[Array, " policy"]) -> tuple[Mood, Feeling]:
        """The mood after an outcome; `misfit` is -ln p(outcome | policy) of the last plan's."""
        stay = self.persistence
        expected = stay * mood.valence + (1 - stay) * mood.valence[::-1]
        prior = expected @ self.betas
        most = MOST * self.betas[0]

        def step(_: int, beta: Array) -> Array:
            charge = affective_charge(mood.log_prior, mood.efe, misfit, 1 / beta)
            return beta + self.pace * (prior - jnp.minimum(charge, most) - beta)

        beta = jax.lax.fori_loop(0, self.n_iter, step, mood.beta)
        charge = affective_charge(mood.log_prior, mood.efe, misfit, 1 / beta)
        log_valence = jnp.log(expected) + valence_evidence(prior, beta, self.betas)
        valence = jax.nn.softmax(log_valence)
        felt = Mood(beta, valence, mood.log_prior, mood.efe, mood.futures)
        return felt, Feeling(charge, beta, valence[0])


def affective_charge(
    log_prior: Float[Array, " policy"],
    efe: Float[Array, " policy"],
    misfit: Float[Array, " policy"],
    gamma: Float[Array, ""],
) -> Float[Array, ""]:
    """(pi_0 - pi) . efe in nats, with pi_0 = softmax(ln E - gamma efe), pi = softmax(... - misfit).

    It is what the update takes from beta. Positive where the evidence moves mass to policies of low
    expected free energy: things go better than the mind was sure of. Without evidence that
    tells policies apart it is zero.
    """
    # An outcome that no policy foresaw tells none of them apart.
    misfit = jnp.where(jnp.isinf(misfit.min()), 0.0, misfit)
    before = log_prior - gamma * efe
    # A policy that is ruled out has no mass before or after; its misfit must not make NaN.
    after = jnp.where(jnp.isneginf(before), -jnp.inf, before - misfit)
    moved = jax.nn.softmax(before) - jax.nn.softmax(after)
    return jnp.sum(moved * efe)


def valence_evidence(
    prior: Float[Array, ""], beta: Float[Array, ""], betas: Float[Array, " level"]
) -> Float[Array, " level"]:
    """ln evidence for each expected beta, relative to the prior: Gamma model reduction.

    With prior Gamma(1, b), posterior Gamma(1, b') and a reduced prior Gamma(1, b_j) it is
    ln b_j b' / (b (b' + b_j - b)) (Friston, Parr, Zeidman 2018, arXiv:1805.07092).
    """
    return jnp.log(betas) + jnp.log(beta) - jnp.log(prior) - jnp.log(beta + betas - prior)

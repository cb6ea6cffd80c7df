"""Which model a population's members follow: random-effects Bayesian model selection.

Stephan et al. 2009 (NeuroImage 46:1004): each person follows one model, models have unknown
frequencies with a Dirichlet prior. Rigoux et al. 2014 (NeuroImage 84:971): exceedance
probabilities protected against the chance that all frequencies are equal. And the confusion matrix:
whether these data could tell the models apart at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import digamma, gammainc, gammaln, logsumexp

from attach_ai.errors import InputError
from attach_ai.fit.comparison.loo import of_answers, psis
from attach_ai.fit.comparison.marginal import Integrator, proposal, thinned
from attach_ai.fit.study.abstract import AbstractStudy, People

if TYPE_CHECKING:
    from attach_ai.fit.sampling.sample import Draws

TOLERANCE = 1e-8  # change of Dirichlet counts at which the variational steps end


@dataclass(frozen=True)
class Selection:
    """Random-effects model selection over `models` (last axis of every array).

    `counts`: Dirichlet counts of the models' frequencies; `frequency`: their expectation;
    `exceedance`: probability that a model is the most frequent, `protected`: the same, averaged
    with equal frequencies; `omnibus_risk`: probability that frequencies are equal;
    `responsibility` (subject, model): which model each person follows.
    """

    models: tuple[str, ...]
    counts: np.ndarray
    frequency: np.ndarray
    exceedance: np.ndarray
    protected: np.ndarray
    omnibus_risk: float
    responsibility: np.ndarray


def random_effects(log_evidence: np.ndarray, models: Sequence[str]) -> Selection:
    """From log evidences (subject, model), nats; the prior is one count a model.

    The posterior is variational, as published: where evidence is weak it is too sure of the
    frequencies, and the omnibus risk too cautious (a test holds both against quadrature).

    `InputError` unless there are at least two models and every evidence is finite.
    """
    log_p = np.asarray(log_evidence, float)
    if log_p.ndim != 2 or log_p.shape[1] != len(models) or len(models) < 2 or not len(log_p):
        raise InputError(
            f"log evidences of shape {log_p.shape} for {len(models)} models; expected a row for "
            "each person and a column for each of two or more models",
            "model selection",
        )
    if not np.isfinite(log_p).all():
        i, k = np.argwhere(~np.isfinite(log_p))[0]
        raise InputError(
            f"the log evidence of '{models[k]}' for person {i + 1} is {log_p[i, k]}",
            "model selection",
        )
    counts, share = _variational(log_p)
    bound = _free_energy(log_p, counts, share)
    equal = float((logsumexp(log_p, axis=1) - np.log(len(models))).sum())
    risk = float(1 / (1 + np.exp(np.clip(bound - equal, -700, 700))))
    exceedance = exceedance_probability(counts)
    return Selection(
        tuple(models),
        counts,
        counts / counts.sum(),
        exceedance,
        (1 - risk) * exceedance + risk / len(models),
        risk,
        share,
    )


def exceedance_probability(counts: np.ndarray) -> np.ndarray:
    """P(r_k > r_j for all j) where r ~ Dirichlet(counts), by quadrature.

    r is proportional to independent gamma variables x_k, so that P = E[prod_j F_j(x_k)].
    """
    counts = np.asarray(counts, float)
    # In log x densities are smooth and fall off at both ends, where the trapezoid rule is exact.
    high = np.log(counts.max() + 12 * np.sqrt(counts.max()) + 40)
    t = np.linspace(np.log(1e-30), high, 4000)
    below = gammainc(counts[:, None], np.exp(t))
    density = np.exp(counts[:, None] * t - np.exp(t) - gammaln(counts)[:, None])
    others = np.stack([np.delete(below, k, 0).prod(0) for k in range(len(counts))])
    found = (density * others).sum(1)
    return found / found.sum()


def _variational(log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and responsibilities at the fixed point (Stephan et al. 2009, eq. 14)."""
    counts = np.ones(log_p.shape[1])
    for _ in range(10_000):
        log_share = log_p + digamma(counts)
        share = np.exp(log_share - logsumexp(log_share, axis=1, keepdims=True))
        found = 1 + share.sum(0)
        if np.abs(found - counts).max() < TOLERANCE:
            break
        counts = found
    return found, share


def _free_energy(log_p: np.ndarray, counts: np.ndarray, share: np.ndarray) -> float:
    """The variational bound on log p(all data) with unequal frequencies (Rigoux et al. 2014)."""
    n_models = len(counts)
    log_r = digamma(counts) - digamma(counts.sum())
    # The prior has one count a model: its density is (K - 1)!.
    energy = gammaln(n_models) + (share * (log_p + log_r)).sum()
    of_r = gammaln(counts).sum() - gammaln(counts.sum()) - ((counts - 1) * log_r).sum()
    of_share = -(share * np.log(np.where(share > 0, share, 1.0))).sum()
    return float(energy + of_r + of_share)


@dataclass(frozen=True)
class Confusion:
    """How often each model won (columns) over data that each model made (rows), of `n`."""

    models: tuple[str, ...]
    won: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """P(model wins | model made the data), rows sum to one."""
        return self.won / self.won.sum(1, keepdims=True)

    @property
    def inversion(self) -> np.ndarray:
        """P(model made the data | model won), columns sum to one; NaN where it never won."""
        total = self.share.sum(0, keepdims=True)
        return np.where(total > 0, self.share / np.where(total > 0, total, 1.0), np.nan)


FitMany = Callable[[AbstractStudy, list[People]], "list[Draws]"]


def confusion(
    studies: Mapping[str, AbstractStudy],
    n_replicates: int,
    *,
    fit: FitMany,
    seed: int,
    draws: Mapping[str, Draws] | None = None,
    n_importance: int = 64,
    max_draws: int = 200,
) -> Confusion:
    """Let each study make data `n_replicates` times, fit all to them, and count who wins.

    Data come from the study's prior, or from its posterior where `draws` gives it. `fit` fits one
    study to many people with the same shapes. The highest integrated leave-one-out elpd wins.
    """
    names = tuple(studies)
    keys = jax.random.split(jax.random.key(seed), (len(names) + 1, n_replicates))
    made = [
        _made(study, key, None if draws is None else draws[name])
        for name, study, row in zip(names, studies.values(), keys, strict=False)
        for key in row
    ]
    totals = np.zeros((len(names), len(made)))
    for k, study in enumerate(studies.values()):
        # What is known of people beside their answers is each study's own.
        peoples = [People(*answers, study.people.rest) for answers in made]
        integrate = Integrator(study, n_importance)
        for j, (people, found) in enumerate(zip(peoples, fit(study, peoples), strict=True)):
            at = proposal(found, study.people.measure.dtype)
            population = thinned(found, max_draws)
            log_p, _ = of_answers(integrate, population, at, people, keys[-1, j % n_replicates])
            totals[k, j] = psis(log_p)[0].sum()
    winner = totals.argmax(0).reshape(len(names), n_replicates)
    won = np.array([(row[:, None] == np.arange(len(names))).sum(0) for row in winner])
    return Confusion(names, won)


def _made(study: AbstractStudy, key: jax.Array, draws: Draws | None) -> tuple[jax.Array, jax.Array]:
    """Answers and measures as the study would have them."""
    first, second = jax.random.split(key)
    if draws is None:
        sites, effects = study.draw_prior(first)
    else:
        n_chains, n_draws = draws.sites["effects"].shape[:2]
        at = int(jax.random.randint(first, (), 0, n_chains * n_draws))
        dtype = study.people.measure.dtype
        sites = {
            k: jnp.asarray(v[at // n_draws, at % n_draws], dtype) for k, v in draws.sites.items()
        }
        effects = sites.pop("effects")
    people = study.draw(second, sites, effects, study.people)
    return people.answer, people.measure

"""How well people are predicted who were left out: integrated leave-one-out, waves, groups.

A person's effects are averaged out before anything is left out (Merkle, Furr & Rabe-Hesketh 2019,
Psychometrika 84:802): weights that take a whole person out of the posterior of effects are hopeless
(conditional k-hats, reported beside), those that take one out of the population's are not.
Pareto-smoothed importance sampling is ArviZ's (Vehtari et al. 2024, JMLR 25:72).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Array
from scipy.special import logsumexp

from attach_ai.errors import InputError
from attach_ai.fit.comparison.marginal import Integrator, Proposal, proposal, thinned
from attach_ai.fit.study.abstract import AbstractStudy, People, without_answers

if TYPE_CHECKING:
    from attach_ai.fit.sampling.sample import Draws

LEAST = 25  # draws; with fewer the tail of the weights has no shape
BAD = 0.7  # a Pareto k-hat above this says that importance sampling failed (Vehtari et al. 2024)
Fit = Callable[[AbstractStudy], "Draws"]


@dataclass(frozen=True)
class Integrated:
    """Each person predicted from everybody else, in nats; arrays are (subject,) unless said.

    `log_p` (sample, subject): log p(person | population) by draw of the population. `elpd`: log
    predictive density of a person left out, `fitted`: of the same person kept in; `pareto_k` says
    whether weights can be trusted, `conditional_k` what it would be had effects not been averaged
    out; `noise`: Monte Carlo standard deviation of `log_p`, averaged over draws; `refitted`: where
    weights failed and the person was left out in earnest.
    """

    subjects: tuple[Any, ...]
    log_p: np.ndarray
    elpd: np.ndarray
    fitted: np.ndarray
    pareto_k: np.ndarray
    conditional_k: np.ndarray
    noise: np.ndarray
    refitted: np.ndarray

    @property
    def total(self) -> float:
        """Sum over people."""
        return float(self.elpd.sum())

    @property
    def se(self) -> float:
        """Standard error of the sum, over people."""
        return _se(self.elpd)

    @property
    def p_loo(self) -> float:
        """Effective number of the population's parameters."""
        return float((self.fitted - self.elpd).sum())

    @property
    def k_share(self) -> float:
        """Share of people whose weights failed (and were not refitted)."""
        return _share(self.pareto_k[~self.refitted], len(self.elpd))

    @property
    def conditional_k_share(self) -> float:
        """The same share, had effects not been averaged out."""
        return _share(self.conditional_k, len(self.elpd))


def integrated(
    study: AbstractStudy,
    draws: Draws,
    key: Array,
    n_importance: int = 64,
    max_draws: int = 200,
    *,
    integrate: Integrator | None = None,
    refit: Fit | None = None,
    max_refits: int = 10,
) -> Integrated:
    """Leave-one-person-out by integrated PSIS, of answers; recorded choices are given.

    `integrate`: `Integrator(study)`, if it was made already. `refit`: where given, people whose
    k-hat is above `BAD` (the worst `max_refits`) are left out in earnest.
    """
    population = thinned(draws, max_draws)
    at = proposal(draws, study.people.measure.dtype)
    integrate = integrate or Integrator(study, n_importance)
    log_p, noise = of_answers(integrate, population, at, study.people, key)
    elpd, k = psis(log_p)
    _, conditional_k = psis(integrate.conditional(population, study.people))
    refitted = np.zeros(len(elpd), bool)
    if refit is not None:
        for i in [i for i in np.argsort(-k)[:max_refits] if k[i] > BAD]:
            elpd[i] = _predicted(
                study, np.arange(len(elpd)) == i, at, integrate, refit, key, max_draws
            )[0]
            refitted[i] = True
    fitted = logsumexp(log_p, axis=0) - np.log(len(log_p))
    subjects = tuple(study.coords["subject"])
    return Integrated(subjects, log_p, elpd, fitted, k, conditional_k, noise.mean(0), refitted)


@dataclass(frozen=True)
class Waves:
    """Occasions predicted from everything else, in nats; arrays are (fold, subject).

    `elpd`: NaN where a person has no such occasion, or no other. `refitted`: predicted by a fit to
    people without these answers, in that fold.
    """

    subjects: tuple[Any, ...]
    folds: tuple[str, ...]
    elpd: np.ndarray
    pareto_k: np.ndarray
    refitted: np.ndarray

    @property
    def total(self) -> float:
        """Sum over people and occasions."""
        return float(np.nansum(self.elpd))

    @property
    def se(self) -> float:
        """Standard error of the sum, over people."""
        return _se(np.nansum(self.elpd, axis=0))

    @property
    def k_share(self) -> float:
        """Share of held-out occasions whose weights failed (and were not refitted)."""
        n = int((~np.isnan(self.elpd)).sum())
        return _share(self.pareto_k[~self.refitted & ~np.isnan(self.elpd)], n)


def leave_wave_out(
    study: AbstractStudy,
    draws: Draws,
    key: Array,
    which: str = "last",
    n_importance: int = 64,
    max_draws: int = 200,
    *,
    integrate: Integrator | None = None,
    refit: Fit | None = None,
) -> Waves:
    """Predict each person's last occasion, or each ("each"), from the person's others.

    log p(y_it | rest) weighs draws of the population by 1 / p(y_it | y_i without t, population), of
    which both parts are integrated over the person's effects. `refit`: where given, cells whose
    k-hat is above `BAD` are predicted by a fit without them, one fit for each fold.
    """
    labels, held_out = wave_folds(study, which)
    population = thinned(draws, max_draws)
    at = proposal(draws, study.people.measure.dtype)
    integrate = integrate or Integrator(study, n_importance)

    def known(people: People, population: dict[str, np.ndarray]) -> np.ndarray:
        return integrate.marginal(population, at, people, key)[0]

    everything = known(study.people, population)
    asked = held_out.any((2, 3))
    elpd = np.full(asked.shape, np.nan)
    k = np.full(asked.shape, np.nan)
    refitted = np.zeros(asked.shape, bool)
    for f, of in enumerate(asked):
        rest = without_answers(study.people, held_out[f][..., None])
        elpd[f, of], k[f, of] = psis((everything - known(rest, population))[:, of])
        bad = of & (np.nan_to_num(k[f]) > BAD)
        if refit is not None and bad.any():
            out = held_out[f][..., None] & bad[:, None, None, None]
            without = without_answers(study.people, out)
            again = thinned(refit(study.restricted(without)), max_draws)
            # These draws have not seen the answers: their mean density needs no weights.
            ratio = known(study.people, again) - known(without, again)
            elpd[f, bad] = (logsumexp(ratio, axis=0) - np.log(len(ratio)))[bad]
            refitted[f] = bad
    return Waves(tuple(study.coords["subject"]), labels, elpd, k, refitted)


def wave_folds(study: AbstractStudy, which: str = "last") -> tuple[tuple[str, ...], np.ndarray]:
    """Labels, and (fold, subject, episode, occasion): what is held out in each fold.

    Nobody's only occasion is held out.
    """
    seen = _answered(study.people).any(-1)
    n_subjects, n_episodes, n_occasions = seen.shape
    several = (seen.sum((1, 2)) > 1)[:, None, None]
    if which == "last":
        flat = seen.reshape(n_subjects, -1)
        last = flat.shape[1] - 1 - flat[:, ::-1].argmax(1)
        one = np.arange(flat.shape[1])[None] == last[:, None]
        return ("last",), (one.reshape(seen.shape) & seen & several)[None]
    if which != "each":
        raise InputError(f'\'{which}\' occasions; expected "last" or "each"', "leave_wave_out")
    labels, folds = [], []
    for e in range(n_episodes):
        for o in range(n_occasions):
            cell = np.zeros_like(seen)
            cell[:, e, o] = (seen & several)[:, e, o]
            if cell.any():
                name = str(study.coords["occasion"][o])
                episode = study.coords["episode"][e]
                labels.append(f"{episode}, {name}" if n_episodes > 1 else name)
                folds.append(cell)
    return tuple(labels), np.array(folds).reshape(-1, *seen.shape)


@dataclass(frozen=True)
class Grouped:
    """Each person predicted by a fit without the person's whole group; `elpd` (subject,), nats."""

    subjects: tuple[Any, ...]
    group: tuple[Any, ...]
    elpd: np.ndarray

    @property
    def total(self) -> float:
        """Sum over people."""
        return float(self.elpd.sum())


def grouped(
    study: AbstractStudy,
    group: Sequence[Any],
    draws: Draws,
    key: Array,
    *,
    fit: Fit,
    n_importance: int = 64,
    max_draws: int = 200,
    integrate: Integrator | None = None,
) -> Grouped:
    """K-fold cross-validation over groups of people: one label a person, one fit a label.

    `draws`, of the whole study, only say where to look for a person's effects.
    """
    labels = np.asarray(group)
    if len(labels) != study.people.answer.shape[0] or len(set(labels.tolist())) < 2:
        raise InputError(
            f"{len(set(labels.tolist()))} groups over {len(labels)} people; expected one label "
            f"for each of {study.people.answer.shape[0]} people and at least two groups",
            "cross-validation",
        )
    at = proposal(draws, study.people.measure.dtype)
    integrate = integrate or Integrator(study, n_importance)
    elpd = np.zeros(len(labels))
    for label in dict.fromkeys(labels.tolist()):
        out = labels == label
        elpd[out] = _predicted(study, out, at, integrate, fit, key, max_draws)
    return Grouped(tuple(study.coords["subject"]), tuple(labels.tolist()), elpd)


def of_answers(
    integrate: Integrator,
    population: dict[str, np.ndarray],
    at: Proposal,
    people: People,
    key: Array,
) -> tuple[np.ndarray, np.ndarray]:
    """log p(answers | population) (sample, subject), nats, and its noise; choices are given."""
    log_p, noise = integrate.marginal(population, at, people, key)
    beside = without_answers(people, True)
    anyone = population | {"effects": np.zeros((len(log_p), *at.mean.shape))}
    if integrate.conditional(anyone, beside).any():
        log_p = log_p - integrate.marginal(population, at, beside, key)[0]
    return log_p, noise


def psis(log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave-one-out log predictive density and Pareto k-hat of each column, from (sample, case).

    A column that does not vary needs no weights: its k-hat is -inf. Where the draws of greatest
    weight are all one (a chain that stood still) nothing can be smoothed: its k-hat is inf.
    """
    elpd = log_p[0].copy()
    k = np.full(log_p.shape[1], -np.inf)
    varies = np.ptp(log_p, axis=0) > 0
    enough(len(log_p))
    if varies.any():
        log_w, k_hat = zip(*map(_weights, log_p[:, varies].T), strict=True)
        elpd[varies] = logsumexp(np.stack(log_w) + log_p[:, varies].T, axis=1)
        k[varies] = k_hat
    return elpd, k


def _weights(log_p: np.ndarray) -> tuple[np.ndarray, float]:
    """Log weights (sample,) of leaving one case out, normalised, and their k-hat."""
    try:
        log_w, k_hat = array_stats.psislw(log_p)  # it turns signs itself
    except ValueError:
        return -log_p - logsumexp(-log_p), np.inf
    return np.asarray(log_w), float(k_hat)


def enough(n_draws: int) -> None:
    """`InputError` where there are too few draws to leave anything out by."""
    if n_draws < LEAST:
        raise InputError(
            f"{n_draws} draws; to leave anything out by their weights takes {LEAST} or more",
            "leave-one-out",
        )


def _predicted(
    study: AbstractStudy,
    out: np.ndarray,
    at: Proposal,
    integrate: Integrator,
    fit: Fit,
    key: Array,
    max_draws: int,
) -> np.ndarray:
    """Log predictive density of the people `out`, by a fit to the others."""
    kept: People = jax.tree.map(lambda x: x[~out], study.people)
    left: People = jax.tree.map(lambda x: x[out], study.people)
    population = thinned(fit(study.restricted(kept)), max_draws)
    here: Proposal = jax.tree.map(lambda x: x[out], at)
    log_p, _ = of_answers(integrate, population, here, left, key)
    return logsumexp(log_p, axis=0) - np.log(len(log_p))


def _answered(people: People) -> np.ndarray:
    return (np.asarray(people.answer) >= 0) | ~np.isnan(np.asarray(people.measure))


def _se(elpd: np.ndarray) -> float:
    return float(np.sqrt(len(elpd)) * elpd.std(ddof=1)) if len(elpd) > 1 else float("nan")


def _share(k: np.ndarray, n: int) -> float:
    return float((k > BAD).sum() / n) if n else 0.0

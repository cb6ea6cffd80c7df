"""How likely an effect is to be found: by a posterior, and by a plain analysis of scores.

With v the variance of the estimate that data alone give of an effect b, and N(m, s0^2) its prior,
the posterior sd is s, 1 / s^2 = 1 / v + 1 / s0^2, and over data sets the posterior mean is normal
with mean s^2 (b / v + m / s0^2) and sd s^2 / sqrt(v).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def power(effect: float, prior_mean: float, prior_sd: float, sd: float, level: float) -> float:
    """P(the posterior's `level` interval lies on the effect's side of zero | effect).

    `sd`: the expected posterior sd, `prior_sd` included. No information gives 0.
    """
    from scipy.stats import norm

    if sd >= prior_sd * (1 - 1e-9):
        return 0.0
    v = 1 / (1 / sd**2 - 1 / prior_sd**2)
    side = 1.0 if effect >= 0 else -1.0
    mean = side * sd**2 * (effect / v + prior_mean / prior_sd**2)
    return float(norm.cdf((mean - norm.ppf((1 + level) / 2) * sd) / (sd**2 / v**0.5)))


def assurance(prior_mean: float, prior_sd: float, sd: float, level: float) -> float:
    """`power` averaged over the prior of the effect, by a trapezoid over its quantiles."""
    z = np.linspace(-5, 5, 201)
    weight = np.exp(-(z**2) / 2)
    each = [power(prior_mean + prior_sd * x, prior_mean, prior_sd, sd, level) for x in z]
    return float(np.average(each, weights=weight))


@dataclass(frozen=True)
class Ancova:
    """The arm's effect on the last mean score, adjusted for the first: estimate and variance.

    `n`: people with both scores; `freedom`: degrees left.
    """

    effect: float
    variance: float
    n: int
    freedom: int


def ancova(answers: np.ndarray, arm: np.ndarray) -> Ancova | None:
    """Least squares of the last score on arm (0, 1) and first score; None where it has no answer.

    `answers`: (person, occasion, item), NaN missing; a score is the mean of the items answered, and
    occasions at which nobody answered do not count. People without a first or last score are left
    out.
    """
    seen = np.isfinite(answers)
    answers, seen = answers[:, seen.any((0, 2))], seen[:, seen.any((0, 2))]
    if answers.shape[1] == 0:
        return None
    n_seen = seen.sum(2)
    score = np.where(seen, answers, 0.0).sum(2) / np.maximum(n_seen, 1)
    whole = n_seen[:, -1] > 0
    columns = [np.ones(len(arm)), arm]
    if answers.shape[1] > 1:
        columns.append(score[:, 0])
        whole &= n_seen[:, 0] > 0
    x, y = np.stack(columns, 1)[whole], score[whole, -1]
    freedom = len(y) - x.shape[1]
    if freedom < 1 or np.ptp(x[:, 1]) == 0:
        return None
    inverse = np.linalg.pinv(x.T @ x)
    beta = inverse @ x.T @ y
    spread = float(((y - x @ beta) ** 2).sum() / freedom)
    return Ancova(float(beta[1]), float(inverse[1, 1] * spread), len(y), freedom)


def ancova_power(
    answers: np.ndarray, arm: np.ndarray, people: Sequence[int], level: float
) -> list[float]:
    """Power of `ancova` by the number of people enrolled, from many simulated people.

    Those who cannot be analysed are taken to be as frequent in the trial. Two-sided; [] where
    there is nothing to analyse.
    """
    from scipy.stats import nct, t

    found = ancova(answers, arm)
    if found is None or found.variance <= 0:
        return []
    each = found.variance * found.n  # variance of the effect, times people analysed
    power = []
    for n in people:
        analysed = n * found.n / len(arm)
        freedom = max(1.0, analysed - (found.n - found.freedom))
        edge = t.ppf((1 + level) / 2, freedom)
        power.append(float(nct.sf(edge, freedom, abs(found.effect) / (each / analysed) ** 0.5)))
    return power

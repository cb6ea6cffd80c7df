"""From a declared prior to a normal one on the scale that is sampled, and the table of priors.

A parameter v with support [lo, hi] is fitted as x = logit((v - lo) / (hi - lo)). What a model file
declares of v becomes a normal prior of x with the same mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from attach_ai.errors import InputError
from attach_ai.model.parameters import Parameter

if TYPE_CHECKING:
    from attach_ai.fit.study.abstract import AbstractStudy

EDGE = 1e-6  # share of a support that no value comes closer to its ends than: tables stay regular
NEAR_END = 1e-4  # share at which a default counts as an end of its support, which has no logit
OFF_END = 0.05  # where the prior of such a parameter is centred, as a share of its support
LEVEL = 0.89  # of the intervals in reasons
WIDE = 1.598  # half-width of that interval of a normal, in standard deviations

Transform = Callable[[Any], Float[Array, "..."]]


def transform(parameter: Parameter) -> tuple[Transform, Transform]:
    """`to_natural` and `from_natural`: from log-odds of a support to its values, and back.

    Both take arrays of any shape and can be traced. Values stay `EDGE` of the support away from
    its ends, however far the log-odds go, so that logarithms in a model stay finite in float32.
    """
    low, high = parameter.support
    width = high - low

    def to_natural(x: Any) -> Float[Array, "..."]:
        return low + width * (EDGE + (1 - 2 * EDGE) * jax.nn.sigmoid(jnp.asarray(x)))

    def from_natural(value: Any) -> Float[Array, "..."]:
        share = ((jnp.asarray(value) - low) / width - EDGE) / (1 - 2 * EDGE)
        share = jnp.clip(share, EDGE, 1 - EDGE)
        return jnp.log(share) - jnp.log1p(-share)

    return to_natural, from_natural


def moments(parameter: Parameter, default_sd: float = 1.0) -> tuple[float, float, str]:
    """Mean and standard deviation (log-odds) of the normal prior of a parameter, and the reason.

    A declared beta is stretched over the support and matched in closed form: digamma(a) -
    digamma(b), trigamma(a) + trigamma(b). Any other declared prior is of the value itself, cut off
    at the support, and integrated numerically. Without one the prior lies at the default with
    `default_sd`.

    Raises `InputError` for a prior with impossible numbers or without mass inside the support.
    """
    if parameter.prior is not None:
        mean, sd = _declared(parameter)
        return (
            mean,
            sd,
            f"declared {parameter.prior}, matched on the log-odds: {_reads(parameter, mean, sd)}",
        )
    low, high = parameter.support
    share = (parameter.default - low) / (high - low)
    if NEAR_END < share < 1 - NEAR_END:
        mean = float(np.log(share) - np.log1p(-share))
        why = f"none declared, centred at the default {parameter.default:g}"
    else:
        share = OFF_END if share < 0.5 else 1 - OFF_END
        mean = float(np.log(share) - np.log1p(-share))
        why = (
            f"none declared, and the default {parameter.default:g} is an end of the support: "
            f"centred at {low + share * (high - low):g}"
        )
    return mean, default_sd, f"{why}: {_reads(parameter, mean, default_sd)}"


def _reads(parameter: Parameter, mean: float, sd: float) -> str:
    low, high = parameter.support
    ends = low + (high - low) / (1 + np.exp(-(mean + np.array([-WIDE, WIDE]) * sd)))
    return f"{LEVEL:.0%} between {ends[0]:.3g} and {ends[1]:.3g}"


def _declared(parameter: Parameter) -> tuple[float, float]:
    from scipy import special

    assert parameter.prior is not None
    name, _, inside = parameter.prior.strip().rstrip(")").partition("(")
    numbers = [float(x) for x in inside.split(",")]
    name = name.strip()
    place = f"prior of {parameter.name}"
    positive = numbers[1:] if name in ("normal", "lognormal") else numbers
    if name == "uniform":
        positive = [numbers[1] - numbers[0]]
    if min(positive) <= 0:
        raise InputError(f"{parameter.prior} is no distribution: a number in it is too low", place)
    if name == "beta":
        a, b = numbers
        mean = special.digamma(a) - special.digamma(b)
        return float(mean), float(np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)))
    return _integrated(parameter, name, numbers, place)


def _integrated(
    parameter: Parameter, name: str, numbers: list[float], place: str
) -> tuple[float, float]:
    """Moments of the log-odds by a trapezoid over z, the value being its quantile at Phi(z)."""
    from scipy import stats

    first, *rest = numbers
    prior = {
        "normal": lambda: stats.norm(first, *rest),
        "lognormal": lambda: stats.lognorm(rest[0], scale=np.exp(first)),
        "gamma": lambda: stats.gamma(first, scale=1 / rest[0]),
        "uniform": lambda: stats.uniform(first, rest[0] - first),
        "halfnormal": lambda: stats.halfnorm(scale=first),
        "exponential": lambda: stats.expon(scale=1 / first),
    }[name]()
    low, high = parameter.support
    below, above = prior.cdf([low, high])
    if above - below < 1e-9:
        raise InputError(
            f"{parameter.prior} has no mass inside the support [{low:g}, {high:g}]", place
        )
    z = np.linspace(-6.0, 6.0, 2001)
    value = prior.ppf(below + stats.norm.cdf(z) * (above - below))
    share = np.clip((value - low) / (high - low), EDGE, 1 - EDGE)
    x = np.log(share) - np.log1p(-share)
    weight = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    mean = float(weight @ x)
    return mean, float(np.sqrt(weight @ (x - mean) ** 2))


def prior_rows(study: AbstractStudy) -> tuple[dict[str, str], ...]:
    """One row a site: `site`, `prior` (family and numbers), `reason`."""
    return tuple(
        {"site": name, "prior": describe(p.distribution), "reason": p.reason}
        for name, p in study.priors.items()
    )


def prior_table(study: AbstractStudy) -> str:
    """The priors of a study as lines to read."""
    rows = prior_rows(study)
    wide = [max(len(r[k]) for r in rows) for k in ("site", "prior")]
    return "\n".join(
        f"  {r['site']:<{wide[0]}}  {r['prior']:<{wide[1]}}  {r['reason']}".rstrip() for r in rows
    )


def describe(distribution: dist.Distribution) -> str:
    """A distribution as in "Normal(0, 1)"; a number that differs over a site shows as its range."""
    inner = distribution
    while isinstance(inner, dist.ExpandedDistribution | dist.Independent | dist.MaskedDistribution):
        inner = inner.base_dist
    numbers = [_number(getattr(inner, name, None)) for name in inner.arg_constraints]
    return f"{type(inner).__name__}({', '.join(n for n in numbers if n)})"


def _number(value: Any) -> str:
    if value is None:
        return ""
    values = np.asarray(value, float)
    low, high = values.min(), values.max()
    return f"{low:.3g}" if np.isclose(low, high) else f"{low:.3g} to {high:.3g}"

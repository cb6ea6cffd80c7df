"""A declared prior keeps its mean and sd on the scale that is sampled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

from attach_ai.errors import InputError
from attach_ai.fit.study.priors import EDGE, describe, moments, transform
from attach_ai.model import load_model
from attach_ai.model.parameters import PRIORS, Parameter


def parameter(
    prior: str | None = None, support: tuple[float, float] = (0.0, 1.0), default: float = 0.3
) -> Parameter:
    return Parameter("x", default, support, prior=prior)


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


@pytest.mark.parametrize("support", [(0.0, 1.0), (0.0, 0.4)])
def test_a_beta_is_stretched_over_the_support(support: tuple[float, float]) -> None:
    mean, sd, reason = moments(parameter("beta(2, 6)", support, support[1] / 4))
    share = stats.beta(2, 6)
    first = integrate.quad(lambda p: logit(p) * share.pdf(p), 0, 1)[0]
    second = integrate.quad(lambda p: (logit(p) - first) ** 2 * share.pdf(p), 0, 1)[0]
    np.testing.assert_allclose([mean, sd], [first, second**0.5], rtol=1e-6)
    assert "beta(2, 6)" in reason


def test_other_priors_are_of_the_value_and_cut_off_at_the_support() -> None:
    mean, sd, _ = moments(parameter("uniform(0, 1)"))
    np.testing.assert_allclose([mean, sd], [0, np.pi / 3**0.5], atol=1e-3)  # logistic
    cut = stats.truncnorm((0 - 1) / 2, (6 - 1) / 2, 1, 2)
    mean, sd, _ = moments(parameter("normal(1, 2)", (0, 6), 2))
    first = integrate.quad(lambda v: logit(v / 6) * cut.pdf(v), 0, 6)[0]
    second = integrate.quad(lambda v: (logit(v / 6) - first) ** 2 * cut.pdf(v), 0, 6)[0]
    np.testing.assert_allclose([mean, sd], [first, second**0.5], rtol=1e-4)


def test_a_narrow_prior_is_not_missed_between_two_points() -> None:
    mean, sd, _ = moments(parameter("normal(0.5, 1e-5)"))
    np.testing.assert_allclose([mean, sd], [0, 4e-5], rtol=1e-3, atol=1e-9)


def test_every_family_that_a_file_may_name_is_known() -> None:
    for name, n in PRIORS.items():
        mean, sd, _ = moments(parameter(f"{name}({', '.join(['0.5', '2'][:n])})"))
        assert np.isfinite(mean)
        assert 0 < sd < 10


def test_without_a_prior_the_default_is_the_centre() -> None:
    mean, sd, reason = moments(parameter(default=0.2), default_sd=0.7)
    assert (mean, sd) == (pytest.approx(logit(0.2)), 0.7)
    assert "none declared" in reason
    mean, _, reason = moments(parameter(default=0.0))
    assert mean == pytest.approx(logit(0.05))
    assert "end of the support" in reason


def test_impossible_priors_are_refused() -> None:
    with pytest.raises(InputError, match="no mass inside the support"):
        moments(parameter("uniform(2, 3)"))
    with pytest.raises(InputError, match="too low"):
        moments(parameter("beta(0, 3)"))
    with pytest.raises(InputError, match="too low"):
        moments(parameter("uniform(1, 0)"))


def test_the_transform_is_one_to_one_and_stays_off_the_ends_in_float32() -> None:
    to_natural, from_natural = transform(parameter(support=(0.5, 0.999)))
    x = jnp.linspace(-8, 8, 9)
    np.testing.assert_allclose(from_natural(to_natural(x)), x, atol=1e-9)
    far = to_natural(jnp.float32([-80, 80]))
    assert far.dtype == jnp.float32
    to_unit, from_unit = transform(parameter())
    ends = to_unit(jnp.float32([-80, 80]))
    assert 0 < ends[0] <= 2 * EDGE
    assert ends[1] < 1
    assert jnp.isfinite(from_unit(jnp.float32([0, 1]))).all()
    assert jnp.isfinite(jax.jit(jax.vmap(jax.grad(to_unit)))(jnp.float32([-80, 0, 80]))).all()


def test_every_declared_prior_of_the_fitted_model_fits_its_default() -> None:
    for p in load_model("attachment_waves").parameters.values():
        mean, sd, _ = moments(p)
        low, high = p.support
        share = (p.default - low) / (high - low)
        if p.prior and 0 < share < 1:
            assert abs(logit(share) - mean) < 1.5 * sd, p.name


def test_a_distribution_reads_as_it_is_written() -> None:
    assert describe(dist.Normal(0.0, 1.0)) == "Normal(0, 1)"
    assert describe(dist.HalfNormal(0.5).expand((3,)).to_event(1)) == "HalfNormal(0.5)"
    assert describe(dist.Normal(jnp.array([-1.0, 2.0]), 1.0)) == "Normal(-1 to 2, 1)"

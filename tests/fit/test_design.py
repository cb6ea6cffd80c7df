"""Power against closed forms and brute force; designs that go on where they stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import Array

from attach_ai.errors import InputError
from attach_ai.fit.checks.design import Design, design
from attach_ai.fit.checks.identification import identification
from attach_ai.fit.checks.power import ancova_power, assurance, power
from attach_ai.fit.study.abstract import AbstractStudy, People, Prior
from tests.fit.toy import empty, toy

SPREAD = 0.5


class Trial(AbstractStudy):
    """y = mean + effect * arm * dose + SPREAD z + N(0, 1), every second person in the arm."""

    people: People
    priors: Any = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Any = eqx.field(static=True)
    dose: float = eqx.field(static=True)

    def by_answer(self, sites: Any, effects: Array, people: People) -> Array:
        theta = sites["mean"] + sites["effect"][0] * self.dose * people.rest
        theta = (theta + SPREAD * effects[:, 0])[:, None, None, None]
        return dist.Normal(theta, 1.0).log_prob(people.measure)

    def log_likelihood(self, sites: Any, effects: Array, people: People) -> Array:
        return self.by_answer(sites, effects, people).sum((1, 2, 3))

    def draw(self, key: Array, sites: Any, effects: Array, people: People) -> People:
        theta = (
            sites["mean"] + sites["effect"][0] * self.dose * people.rest + SPREAD * effects[:, 0]
        )
        noise = jax.random.normal(key, people.measure.shape, theta.dtype)
        return eqx.tree_at(lambda p: p.measure, people, theta[:, None, None, None] + noise)

    def quantities(self, sites: Any, effects: Array) -> dict[str, Any]:
        return {}


def build(people: int, waves: int, items: int, dose: float) -> Trial:
    priors = {
        "mean": Prior(dist.Normal(0.0, 3.0)),
        "effect": Prior(dist.Normal(jnp.zeros(1), 1.0), ("covariate",)),
    }
    given = empty(people, waves, 0, items)
    given = People(
        given.answer, given.measure, (jnp.arange(people) % 2).astype(given.measure.dtype)
    )
    return Trial(given, priors, ("level",), {"covariate": ("arm",)}, dose)


def closed(people: int, waves: int, items: int, dose: float) -> float:
    """Expected posterior sd of the effect."""
    v = SPREAD**2 + 1 / (waves * items)
    x = np.stack([np.ones(people), np.arange(people) % 2 * dose], 1)
    return float(np.linalg.inv(x.T @ x / v + np.diag([1 / 9, 1.0]))[1, 1] ** 0.5)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Design:
    folder = tmp_path_factory.mktemp("design")
    return _designed(folder, build)


def _designed(folder: Path, build: Any) -> Design:
    return design(
        build,
        target="effect[arm]",
        effect=0.6,
        people=[100, 20],
        waves=[2],
        items=[2],
        dose=[1.0, 0.5],
        seed=3,
        n_draws=30,
        n_populations=2,
        folder=folder,
    )


def test_every_cell_is_the_closed_form(found: Design) -> None:
    for n in (20, 100):
        for dose in (1.0, 0.5):
            cell = found.data.sel(people=n, dose=dose, waves=2, items=2)
            sd = closed(n, 2, 2, dose)
            np.testing.assert_allclose(cell.posterior_sd, sd, rtol=0.06)
            np.testing.assert_allclose(cell.power, power(0.6, 0, 1, sd, 0.95), atol=0.06)
            np.testing.assert_allclose(cell.assurance, assurance(0, 1, sd, 0.95), atol=0.03)
    of_mean = SPREAD**2 / (SPREAD**2 + 1 / 4)
    np.testing.assert_allclose(found.data.reliability, of_mean, atol=0.01)


def test_power_is_that_of_simulated_posteriors() -> None:
    rng = np.random.default_rng(0)
    effect, m, s0, v, level = 0.5, 0.2, 0.7, 0.05, 0.9
    s = (1 / v + 1 / s0**2) ** -0.5
    estimate = effect + v**0.5 * rng.standard_normal(400_000)
    mean = s**2 * (estimate / v + m / s0**2)
    np.testing.assert_allclose(
        power(effect, m, s0, s, level), (mean > 1.6448536 * s).mean(), atol=2e-3
    )
    drawn = m + s0 * rng.standard_normal(400_000)
    mean = s**2 * ((drawn + v**0.5 * rng.standard_normal(400_000)) / v + m / s0**2)
    right = np.sign(drawn) * mean > 1.6448536 * s
    np.testing.assert_allclose(assurance(m, s0, s, level), right.mean(), atol=3e-3)


def test_data_without_information_have_no_power() -> None:
    assert power(5.0, 0.0, 1.0, 1.0, 0.95) == 0.0
    assert power(5.0, 3.0, 1.0, 1.0, 0.95) == 0.0  # a sure prior is no finding


def test_the_analysis_of_scores_has_the_power_of_its_t_test() -> None:
    from scipy.stats import nct, t

    rng = np.random.default_rng(1)
    arm = np.arange(40_000) % 2
    before = rng.standard_normal(40_000)
    after = 0.8 * before + 0.5 * arm + rng.standard_normal(40_000)
    answers = np.stack([before, after], 1)[..., None]
    found = ancova_power(answers, arm, [60], 0.95)
    exact = nct.sf(t.ppf(0.975, 57), 57, 0.5 * (60 / 4) ** 0.5)
    np.testing.assert_allclose(found, exact, atol=0.02)
    answers[::4, 1] = np.nan  # half of one arm is lost, and as many more are needed
    assert ancova_power(answers, arm, [60], 0.95)[0] < exact - 0.05
    answers[arm == 1, 1] = np.nan
    assert ancova_power(answers, arm, [60], 0.95) == []


def test_finished_cells_are_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    figures = ("power", "assurance", "assurance_se", "posterior_sd")

    def measure(cell: Any, people: list[int], *_: Any) -> dict[str, Any]:
        asked.append(cell.study.dose)
        if len(asked) == 2:
            raise KeyboardInterrupt
        found = {name: [cell.study.dose * n for n in people] for name in figures}
        named = {"reliability": {"level": 0.5}, "score_power": {}}
        return {**found, **named, "prior_sd": 1.0, "verdict": [""] * len(people)}

    monkeypatch.setattr("attach_ai.fit.checks.design._Cell.measure", measure)
    with pytest.raises(KeyboardInterrupt):
        _designed(tmp_path, build)
    again = _designed(tmp_path, build)
    assert asked == [1.0, 0.5, 0.5]
    np.testing.assert_array_equal(again.data.power.sel(dose=0.5, waves=2, items=2), [10, 50])
    once_more = _designed(tmp_path, lambda **_: pytest.fail("every cell was finished"))
    assert again.data.identical(once_more.data)


def test_the_paragraph_reads_the_computation(found: Design) -> None:
    smallest = found.smallest(0.7)
    assert smallest == {"people": 100, "waves": 2, "items": 2, "dose": 1.0}
    text = found.preregistration(0.7)
    cell = found.data.sel(smallest)
    for number in (cell.power, cell.assurance, cell.reliability[0]):
        assert f"{float(number):.2f}" in text
    assert "100 people" in text
    assert "No design considered reaches a power of 0.99" in found.preregistration(0.99)
    assert str(found).count("\n") >= 5
    with pytest.raises(InputError, match="no design has people = 7"):
        found.preregistration(people=7)


def test_a_target_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no unknown .* 'effect\[arms\]'.*effect\[arm\]"):
        design(build, target="effect[arms]", effect=1, people=[4], waves=[1], items=[1], seed=0)
    with pytest.raises(InputError, match="two people"):
        design(build, target="effect[arm]", effect=1, people=[1], seed=0)


@pytest.mark.slow
def test_one_cell_agrees_with_posteriors_that_were_sampled() -> None:
    """Expected posterior sd of graded answers against NUTS, over data sets from the same point."""
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        study = toy(60, 3, 3, missing=0.0)
        study = study.restricted(empty(60, 3, 3))
        expected = identification(study, jax.random.key(0), n_draws=40)
        sites = expected.flat.sites(jnp.asarray(expected.flat.mean, jnp.float32))
        sds = []
        for seed in range(4):
            k_z, k_y, k_fit = jax.random.split(jax.random.key(seed), 3)
            people = study.draw(k_y, sites, jax.random.normal(k_z, (60, 1)), study.people)
            mcmc = numpyro.infer.MCMC(
                numpyro.infer.NUTS(study.restricted(people).model),
                num_warmup=300,
                num_samples=500,
                progress_bar=False,
            )
            mcmc.run(k_fit)
            draws = mcmc.get_samples()
            columns = [draws["mean"], jnp.log(draws["spread"]), draws["cut_first"]]
            sds.append(np.concatenate([np.asarray(c).std(0) for c in columns]))
    sampled, asymptotic = np.mean(sds, 0), expected.posterior_sd
    spread = list(expected.flat.labels).index("spread[level]")
    np.testing.assert_allclose(np.delete(sampled, spread), np.delete(asymptotic, spread), rtol=0.15)
    # A posterior of a log-spread has a long lower tail, of which information knows nothing.
    assert asymptotic[spread] < sampled[spread] < 2 * asymptotic[spread]

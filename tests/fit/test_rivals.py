"""Rivals score the same answers as ours, and are told neither more nor less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.fit.comparison.rivals import Rival, rivals, score_model
from attach_ai.fit.comparison.rivals.driven import scale_scores
from attach_ai.fit.comparison.rivals.known import Design, independent
from attach_ai.fit.study.abstract import AbstractStudy, Sites, without_answers
from attach_ai.fit.study.answers import probabilities
from tests.fit import measured

BASE = measured.study()
RIVALS = rivals(BASE, measured.records(BASE))


def drawn(study: AbstractStudy, seed: int = 0) -> tuple[Sites, jax.Array]:
    return study.draw_prior(jax.random.key(seed))


def by_answer(study: AbstractStudy) -> Callable[..., jax.Array]:
    # A module's method holds arrays, which JAX would have to hash.
    return jax.jit(lambda *x: study.by_answer(*x))


def theta_of(rival: Rival) -> Callable[..., jax.Array]:
    return jax.jit(lambda *x: rival.latent.theta(*x))


def test_which_rivals_there_are_depends_on_what_was_recorded() -> None:
    assert list(RIVALS) == [
        "mixed",
        "growth",
        "autoregression",
        "autoregression, events before",
        "event filter",
    ]
    fewer = rivals(BASE, measured.records(BASE, events=False, arms=False))
    assert list(fewer) == ["mixed", "growth", "autoregression"]
    assert "event" not in fewer["autoregression"].priors
    assert fewer["growth"].coords["column"] == ("age", "time", "age:time")


@pytest.mark.parametrize("name", ["mixed", "autoregression", "event filter"])
def test_a_rival_measures_as_ours_does(name: str) -> None:
    rival = RIVALS[name]
    for site in ("cut_first", "cut_gap", "wording", "intercept", "noise"):
        assert rival.priors[site] is BASE.priors[site]
    # In a sum score every item counts alike.
    assert ("discrimination" in rival.priors) == (name != "mixed")
    sites, effects = drawn(rival)
    assert set(sites) == set(rival.priors)
    for site, prior in rival.priors.items():
        assert prior.reason or site in BASE.priors
        labels = [len(rival.coords[d]) for d in prior.dims]
        assert list(sites[site].shape) == labels, site
    log_p = by_answer(rival)(sites, effects, rival.people)
    people = BASE.people
    shown = np.asarray((people.answer >= 0) | ~np.isnan(people.measure))
    np.testing.assert_array_equal(np.asarray(log_p) != 0, shown)
    assert np.isfinite(np.asarray(log_p)).all()


def test_growth_is_what_its_equation_says() -> None:
    rival = RIVALS["mixed"]
    sites, z = drawn(rival, 3)
    design = Design(BASE, measured.records(BASE))
    columns = independent(design.person | design.by_period(), design.at >= 0)
    assert tuple(columns) == rival.coords["column"]
    assert rival.effects[:3] == ("level a.low", "level b.tired", "common level")
    sign = rival.latent.place.sign
    s, o, j = 4, 2, 1  # a reversed item of the first scale
    fixed = np.array([x[s, 0, o] for x in columns.values()])
    theta = float(fixed @ np.asarray(sites["effect"][0]))
    theta += float(sites["spread"][0] * z[s, 0] + sign[0] * sites["shared"][0] * z[s, 2])
    theta += float(sites["slope_spread"][0] * z[s, 3]) * o / (measured.WAVES - 1)
    theta += float(sites["wording"][0] * z[s, 5])
    p = probabilities(jnp.array([theta]), BASE.cuts(sites, BASE.people)[j : j + 1])[0]
    answer = jnp.full_like(BASE.people.answer, 2)
    log_p = by_answer(rival)(sites, z, replace(rival.people, answer=answer))
    assert float(log_p[s, 0, o, j]) == pytest.approx(np.log(float(p[2])), abs=1e-9)


def test_an_autoregression_reads_the_last_score_and_no_later_one() -> None:
    rival = RIVALS["autoregression"]
    sites, z = drawn(rival, 1)
    sites = {**sites, "carry": jnp.array([1.0, -1.0])}
    score = by_answer(rival)
    before = np.asarray(score(sites, z, rival.people))
    gone = np.zeros((measured.N, 1, measured.WAVES, 1), bool)
    gone[:, :, 2] = True
    after = np.asarray(score(sites, z, without_answers(rival.people, gone)))
    np.testing.assert_array_equal(after[:, :, :2], before[:, :, :2])
    assert (after[:, :, 2] == 0).all()
    assert not np.allclose(after[:, :, 3], before[:, :, 3])
    # Without the third occasion, the fourth reads the second, two intervals ago.
    course = theta_of(rival)
    theta = course(sites, z, without_answers(rival.people, gone))
    plain = course({**sites, "carry": jnp.zeros(2)}, z, rival.people)
    place = rival.latent
    shares, seen = scale_scores(rival.people, place.items, place.top, 2)
    assert bool(seen[:, :, 1].all())
    last = (np.asarray(shares)[:, :, 1] - np.array(place.centre)) / np.array(place.width)
    expected = np.asarray(sites["carry"]) * np.exp(-np.asarray(sites["fading"])) * last
    np.testing.assert_allclose((theta - plain)[:, :, 3], expected, atol=1e-9)


def test_events_move_what_they_should() -> None:
    base = measured.study()
    records = measured.records(base)
    table = records.events
    # One event at step 8 (the third occasion), and one at step 5, between second and third.
    table = table[(table["subject"] == "p0") & table["step"].isin([5, 8])]
    records.events = table.assign(level=["kind", "none"] if len(table) == 2 else "kind")
    assert len(records.events) == 2
    made = rivals(base, records)
    moved = {}
    for name in ("autoregression", "autoregression, events before", "event filter"):
        rival = made[name]
        sites, z = drawn(rival)
        z = jnp.zeros_like(z)
        course = theta_of(rival)
        theta = course(sites, z, rival.people)
        still = {**sites, "event": jnp.zeros_like(sites["event"])}
        off = np.asarray(theta - course(still, z, rival.people))
        assert (off[1:] == 0).all()
        moved[name] = (np.abs(off[0, 0]).sum(-1) > 0).tolist()
    assert moved == {
        "autoregression": [False, False, True, False],
        "autoregression, events before": [False, False, True, True],
        "event filter": [False, False, True, True],
    }


def test_the_filter_is_a_sum_over_the_past() -> None:
    rival = RIVALS["event filter"]
    sites, z = drawn(rival, 2)
    course = theta_of(rival)
    theta = course(sites, z, rival.people)
    still = {**sites, "event": jnp.zeros_like(sites["event"])}
    off = np.asarray(theta - course(still, z, rival.people))[:, 0]
    event = np.asarray(rival.people.rest.event)[:, 0]
    keep = 1 / (1 + np.exp(-np.asarray(sites["memory"])))
    react = 1 + np.asarray(z)[:, 3, None] * np.asarray(sites["reactivity"])
    for o in range(measured.WAVES):
        t = 4 * o
        push = event[:, : t + 1] @ np.asarray(sites["event"]).T
        expected = (push * keep ** (t - np.arange(t + 1))[:, None]).sum(1) * react
        np.testing.assert_allclose(off[:, o], expected, atol=1e-9)


@pytest.mark.parametrize("name", ["growth", "autoregression"])
def test_what_is_drawn_has_the_probabilities_that_are_scored(name: str) -> None:
    rival = RIVALS[name]
    sites, z = drawn(rival, 5)
    sites = {k: v * 0.5 if k == "carry" else v for k, v in sites.items()}
    draw = jax.jit(jax.vmap(lambda k: rival.draw(k, sites, z, rival.people)))
    found = draw(jax.random.split(jax.random.key(0), 4000))
    answer = np.asarray(found.answer)
    missing = np.asarray(rival.people.answer) < 0
    np.testing.assert_array_equal(answer < 0, np.broadcast_to(missing, answer.shape))
    # The mean of 1 / p(y) over draws of y is the number of answers that there are.
    log_p = jax.jit(
        jax.vmap(lambda a, m: rival.by_answer(sites, z, replace(rival.people, answer=a, measure=m)))
    )(found.answer, found.measure)
    inverse = np.exp(-np.asarray(log_p))[..., 0]
    asked = ~missing[..., 0]
    p_least = np.exp(np.asarray(log_p)[..., 0]).min(0)
    sure = asked & (p_least > 0.02)
    assert sure.sum() > 10
    np.testing.assert_allclose(inverse.mean(0)[sure], 4.0, rtol=0.15)


def test_columns_that_say_the_same_are_told_once() -> None:
    base = measured.study(n_episodes=2)
    arm = np.zeros((measured.N, 2, 1))
    arm[:, 1] = 1.0
    rest = replace(
        base.people.rest, covariate=jnp.concatenate([base.people.rest.covariate, arm], -1)
    )
    base = replace(
        base,
        people=replace(base.people, rest=rest),
        coords=type(base.coords)({**base.coords, "covariate": ("age", "after")}),
    )
    made = rivals(base, measured.records(base))
    # "after" is the second period, and stays under the name that the study has for it.
    assert made["mixed"].coords["column"] == (
        "age",
        "after",
        "group y",
        "age:period e1",
        "group y:period e1",
    )


def test_levels_stand_somewhere_where_cutpoints_have_none() -> None:
    base = replace(measured.study(), location="belief")
    made = rivals(base, measured.records(base))["growth"]
    assert made.coords["column"][0] == "level"
    assert made.priors["effect"].distribution.scale[0, 0] == 1.5


def test_scales_that_disagree_hang_together_with_a_sign() -> None:
    base = measured.study()
    # The second scale is answered against the first.
    people = base.people
    answer = np.array(people.answer)
    level = np.arange(measured.N) % 4
    answer[..., :3] = level[:, None, None, None]
    answer[..., 3] = (2 - np.minimum(level, 2))[:, None, None]
    measure = np.array(people.measure)
    measure[..., 4] = (1 - level / 3)[:, None, None]
    base = replace(
        base, people=replace(people, answer=jnp.asarray(answer), measure=jnp.asarray(measure))
    )
    made: Rival = rivals(base, measured.records(base))["mixed"]
    assert made.latent.place.sign == (1, -1)


def test_the_score_model_scores_means_of_items() -> None:
    model = score_model(BASE, measured.records(BASE))
    people = BASE.people
    first = np.asarray(people.answer)[0, 0, 0]
    seen = first[:3] >= 0
    assert float(model.people.measure[0, 0, 0, 0]) == pytest.approx((first[:3][seen] / 3).mean())
    sites, z = drawn(model)
    log_p = model.by_answer(sites, z, model.people)
    assert log_p.shape == (measured.N, 1, measured.WAVES, 2)
    assert np.isfinite(np.asarray(log_p)).all()
    assert model.coords["item"] == ("a.low", "b.tired")

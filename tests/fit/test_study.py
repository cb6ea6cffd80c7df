"""The study of people whose answers read beliefs, against a plain re-computation of one person."""

from __future__ import annotations

import pickle
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.records.records import Records
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.course import course
from attach_ai.fit.study.planned import answered, planned_records
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.model import load_model

FREE = ("trust", "fear_of_loss", "heal", "hold")
OWN = ("trust", "fear_of_loss")


@pytest.fixture(scope="module")
def records() -> Records:
    return planned_records("cohort", 5, items=2)


@pytest.fixture(scope="module")
def study(records: Records) -> POMDPStudy:
    return build_study("attachment_waves", None, records, FREE, individual=OWN)


@pytest.fixture(scope="module")
def drawn(study: POMDPStudy) -> tuple[dict[str, jax.Array], jax.Array, POMDPStudy]:
    """A population, its people, and the study of the answers they gave."""
    sites, effects = study.draw_prior(jax.random.key(3))
    people = eqx.filter_jit(study.draw)(jax.random.key(4), sites, effects, study.people)
    return sites, effects, study.restricted(people)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_one_persons_answers_by_hand(drawn: tuple[dict, jax.Array, POMDPStudy]) -> None:
    """Parameters, beliefs, readings and items put together in NumPy, one person at a time."""
    sites, effects, study = drawn
    told = np.asarray(eqx.filter_jit(study.by_answer)(sites, effects, study.people))
    s = {k: np.asarray(v) for k, v in sites.items()}
    i, model = 1, load_model("attachment_waves")
    covariate = np.asarray(study.people.rest.covariate)[i, 0]

    def natural(at: np.ndarray) -> dict[str, float]:
        ends = {f.name: f.parameter.support for f in study.free}
        return {
            n: lo + (hi - lo) * sigmoid(x)
            for (n, (lo, hi)), x in zip(ends.items(), at, strict=True)
        }

    floating = iter(s["mean"])
    mean = np.array([f.mean if f.anchored else next(floating) for f in study.free])
    own = np.zeros(4)
    own[:2] = s["spread"] * np.asarray(effects)[i, :2]

    def read(at: np.ndarray, who: int, when: list[int]) -> np.ndarray:
        values = natural(at)
        hold = values.pop("hold")
        given = jax.tree.map(lambda x: x[who, 0], study.people.rest.given)
        program = study.practices.program({"hold": jnp.asarray(hold)})
        pomdp = model.build(values)
        lived = course(study.agent, pomdp, program, given)
        known = model.defaults | values
        return np.asarray(study.readings(pomdp, known, lived, jnp.asarray(when, jnp.int32)))

    theta = read(mean + s["effect"] @ covariate + own, i, [0, 4, 8]) - read(mean, 0, [0])
    theta = theta / np.asarray(study.width)
    for j, q in enumerate(study.questions):
        same = [k for k, other in enumerate(study.questions) if other.scale == q.scale]
        a = np.exp(np.asarray(study.log_slopes(sites))[j])
        eta = theta[:, q.reading] if q.reading is not None else np.zeros(3)
        eta = eta + s["residual"][q.scale] * np.asarray(effects)[i, 2 + q.scale]
        n_levels = q.n_levels or 0
        cuts = s["cut_first"][j] + np.concatenate([[0.0], np.exp(s["cut_gap"][j])]).cumsum()
        if (book := q.name.split(".")[0]) in study.coords["instrument"]:
            at = study.coords["instrument"].index(book)
            more = q.reverse - np.mean([study.questions[k].reverse for k in same])
            n_scales = len(study.coords["scale"])
            eta = eta + more * s["wording"][at] * np.asarray(effects)[i, 2 + n_scales + at]
        above = sigmoid(a * eta[:, None] - cuts[: n_levels - 1])
        p = np.diff(np.pad(above, ((0, 0), (1, 1)), constant_values=(1, 0)), axis=1) * -1
        y = np.asarray(study.people.answer)[i, 0, :, j]
        np.testing.assert_allclose(told[i, 0, :, j], np.log(p[np.arange(3), y]), atol=2e-5)


def test_the_whole_is_the_sum_of_its_answers(drawn: tuple[dict, jax.Array, POMDPStudy]) -> None:
    sites, effects, study = drawn
    whole = eqx.filter_jit(study.log_likelihood)(sites, effects, study.people)
    each = eqx.filter_jit(study.by_answer)(sites, effects, study.people)
    np.testing.assert_allclose(whole, each.sum((1, 2, 3)), rtol=1e-10)


def test_missing_answers_say_nothing(drawn: tuple[dict, jax.Array, POMDPStudy]) -> None:
    sites, effects, study = drawn
    none = eqx.tree_at(lambda p: p.answer, study.people, jnp.full_like(study.people.answer, -1))
    told = eqx.filter_jit(study.log_likelihood)(sites, effects, none)
    np.testing.assert_array_equal(told, 0.0)


def test_gradients_are_finite_far_from_the_centre(
    drawn: tuple[dict, jax.Array, POMDPStudy],
) -> None:
    sites, effects, study = drawn
    far = jax.tree.map(lambda x: 8 * x, sites)
    grad = eqx.filter_jit(jax.grad(lambda s: study.log_likelihood(s, effects, study.people).sum()))
    for leaf in jax.tree.leaves(grad(far)):
        assert np.isfinite(leaf).all()


def test_it_goes_to_another_process_and_back(drawn: tuple[dict, jax.Array, POMDPStudy]) -> None:
    sites, effects, study = drawn
    copy = pickle.loads(pickle.dumps(study))
    a = eqx.filter_jit(copy.log_likelihood)(sites, effects, copy.people)
    b = eqx.filter_jit(study.log_likelihood)(sites, effects, study.people)
    np.testing.assert_array_equal(a, b)


def test_location_stands_in_one_place(study: POMDPStudy, records: Records) -> None:
    anchored = {f.name for f in study.free if f.anchored}
    assert anchored == {"trust", "fear_of_loss"}  # they set nothing but where beliefs start
    assert study.coords["floating"] == ("heal", "hold")
    moved = build_study("attachment_waves", None, records, FREE, individual=OWN, location="belief")
    assert moved.coords["floating"] == FREE
    cuts = np.asarray(moved.cuts(moved.draw_prior(jax.random.key(0))[0], moved.people))
    first = [
        j
        for j, q in enumerate(moved.questions)
        if q.scale not in [p.scale for p in moved.questions[:j]]
    ]
    for j in first:
        assert abs(cuts[j][np.isfinite(cuts[j])].mean()) < 1e-9


def test_raw_answers_come_back_keyed(study: POMDPStudy, records: Records) -> None:
    found = answered(study, records, jax.random.key(0))
    rows = found.answers
    for (instrument, number), part in rows.groupby(["instrument", "item"]):
        item = records.instruments[instrument].item(number)
        np.testing.assert_array_equal(item.key(part["value"].to_numpy()), part["keyed"])
        assert item.fits(part["value"]).all()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"free": ("trst",)}, "no parameter.*|neither model.*'trst'; did you mean 'trust'"),
        ({"free": ("trust", "trust")}, "named twice"),
        ({"free": ()}, "no parameter is free"),
        ({"free": ("trust",), "individual": ("shame",)}, "'shame' is not free"),
        ({"free": ("trust",), "settings": {"trust": 0.2}}, "both free and set"),
        ({"free": ("trust",), "alternatives": {"ecr_rs.anxiety": 9}}, "no alternative 9"),
    ],
)
def test_what_cannot_be_asked_is_said(records: Records, how: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_study("attachment_waves", None, records, **how)


def test_a_practice_of_many_steps_is_no_practice_of_a_day(records: Records) -> None:
    arms = {k: replace(a, practice="loving_kindness") for k, a in records.exposure.arms.items()}
    other = replace(records, exposure=replace(records.exposure, arms=arms))
    with pytest.raises(InputError, match="one step a session"):
        build_study("attachment_waves", None, other, FREE)

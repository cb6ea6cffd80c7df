"""Functionals of beliefs against sums over named states, their limits, and the planner."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, ExpectedFreeEnergy
from attach_ai.agent.mean_field import MeanField
from attach_ai.agent.planning import Habit
from attach_ai.errors import InputError
from attach_ai.fit.study.course import Course
from attach_ai.fit.study.functionals import EDGE, reading, readings
from attach_ai.model import load_model
from attach_ai.model.functional import Functional
from tests.oracles import Oracle

WAVES, CORE, TEACHING = (
    load_model(f"{n}") for n in ("attachment_waves", "attachment_core", "teaching")
)
HABIT = Agent(planning=Habit())
ASHAMED = (("self_state", ("ashamed",)),)
N_STEPS = 6


def some_course(model: Any, seed: int = 0, spread: float = 0.5) -> Course:
    """Beliefs and choice probabilities that could be anybody's."""
    rng = np.random.default_rng(seed)
    n = model.layout.n_hidden
    beliefs = rng.dirichlet(np.full(n, spread), (2, N_STEPS))
    choices = rng.dirichlet(np.full(len(model.layout.choices), 2.0), N_STEPS)
    return Course(*map(jnp.asarray, (*beliefs, np.log(choices), np.zeros(N_STEPS))))


def still(belief: np.ndarray, log_p: Any) -> Course:
    """The same belief at every step."""
    same = jnp.asarray(np.repeat(np.asarray(belief)[None], N_STEPS, 0))
    return Course(same, same, jnp.broadcast_to(log_p, (N_STEPS, len(log_p))), jnp.zeros(N_STEPS))


def read(
    model: Any, functionals: list[Functional], course: Course, at: list[int], **more: Any
) -> Any:
    values = model.defaults | more.pop("values", {})
    found = readings(functionals, more.pop("agent", HABIT), model, more.pop("step", 1.0))
    pomdp = model.build(values)
    read = jax.jit(lambda pomdp, course: found(pomdp, values, course, jnp.array(at, jnp.int32)))
    return np.asarray(read(pomdp, course))


class ByName:
    """Sums over joint states, each named by its levels; nothing is shared with the library."""

    def __init__(self, model: Any):
        layout = model.layout
        hidden = [layout.factors[f] for f in layout.hidden]
        self.states = [
            dict(zip([f.name for f in hidden], s, strict=True))
            for s in product(*(f.levels for f in hidden))
        ]
        pomdp = model.build()
        self.A, self.C = [np.asarray(a) for a in pomdp.A], [np.asarray(c) for c in pomdp.C]
        self.layout = layout

    def mean(self, of: Any, belief: Any) -> float:
        return float(sum(q * of(s) for q, s in zip(np.asarray(belief), self.states, strict=True)))

    def outcome(self, modality: str, level: str, state: dict[str, str], stance: str = "") -> float:
        m = self.layout.modality(modality)
        spec = self.layout.modalities[m]
        at = []
        for p in spec.parents:
            factor = self.layout.factors[p]
            at.append(factor.levels.index(state.get(factor.name, stance)))
        return float(self.A[m][(spec.levels.index(level), *at)])

    def preference(self, state: dict[str, str]) -> float:
        inner = [m for m in self.layout.modalities if m.name in ("interoception", "self_talk")]
        return sum(
            self.outcome(m.name, level, state)
            * float(self.C[self.layout.modality(m.name)][m.levels.index(level)])
            for m in inner
            for level in m.levels
        )


def logit(p: float) -> float:
    return float(np.log(p + EDGE) - np.log(1 - p + EDGE))


def test_each_kind_is_what_sums_over_named_states_give() -> None:
    course = some_course(WAVES)
    name = ByName(WAVES)
    after, before, at = np.asarray(course.after), np.asarray(course.before), 4
    q, frame = after[at], after[at - 2 : at + 1]

    def ashamed(s: dict[str, str]) -> float:
        return float(s["self_state"] == "ashamed")

    def benevolent(s: dict[str, str]) -> float:
        return float(s["agents"] == "benevolent")

    def fears(s: dict[str, str]) -> float:
        return float(s["law"] != "stable")

    def calm(s: dict[str, str]) -> float:
        return name.outcome("interoception", "calm", s)

    def given(of: Any, what: Any, belief: Any) -> float:
        return name.mean(lambda s: of(s) * what(s), belief) / name.mean(what, belief)

    def often(logits: list[float]) -> float:
        s = np.mean([1 / (1 + np.exp(-4 * x)) for x in logits])
        return float(np.log(s / (1 - s))) / 4

    indifferent = np.mean([name.preference(s) for s in name.states])
    value = [name.mean(name.preference, q) for q in frame]
    self_state = np.array([name.mean(ashamed, q), 1 - name.mean(ashamed, q)])
    p = np.exp(np.asarray(course.log_p))
    law = ("law.unstable", "law.contingent")
    monitor, stays = ("next_stance.monitor",), ("next_stance.maintain",)
    benign = (("agents", ("benevolent",)),)
    expected = {
        Functional("now", ("self_state.ashamed",)): logit(name.mean(ashamed, q)),
        Functional("now", ("self_state.ashamed",), sign=-1): -logit(name.mean(ashamed, q)),
        Functional("now", ("self_state.ashamed", *law)): logit(
            name.mean(lambda s: ashamed(s) * fears(s), q)
        ),
        Functional("prior", law, benign): logit(given(fears, benevolent, before[at])),
        Functional("cond", law, benign): logit(given(fears, benevolent, q)),
        Functional("window", ("self_state.ashamed",), window="3 d"): logit(
            np.mean([name.mean(ashamed, x) for x in frame])
        ),
        Functional("window", law, benign, window="3 d"): logit(
            given(fears, benevolent, frame.mean(0))
        ),
        Functional("freq", ("self_state.ashamed",), window="3 d"): often(
            [logit(name.mean(ashamed, x)) for x in frame]
        ),
        Functional("predictive", ("interoception.calm",)): logit(name.mean(calm, q)),
        Functional("predictive", ("interoception.calm",), ASHAMED): logit(given(calm, ashamed, q)),
        Functional("predictive", ("interoception.calm", "agents.benevolent")): logit(
            name.mean(lambda s: calm(s) * benevolent(s), q)
        ),
        Functional("policy", monitor): logit(p[at, 1]),
        Functional("policy", monitor, against=stays): logit(p[at, 1] / (p[at, 0] + p[at, 1])),
        Functional("policy", monitor, window="3 d"): logit(p[at - 2 : at + 1, 1].mean()),
        Functional("policy", monitor, ASHAMED): logit(p[at, 1]),  # by habit nothing given matters
        Functional("entropy", ("self_state",)): -float(self_state @ np.log(self_state)),
        Functional("now", ("valence",)): value[-1],
        Functional("now", ("negative_valence",)): -value[-1],
        Functional("window", ("valence",), window="3 d"): float(np.mean(value)),
        Functional("freq", ("negative_valence",), window="3 d"): often(
            [indifferent - v for v in value]
        ),
        Functional("param", ("contamination",)): logit(0.5),
        Functional("param", ("like * 2",)): 4.0,
    }
    found = read(WAVES, list(expected), course, [at])[0]
    for functional, ours, right in zip(expected, found, expected.values(), strict=True):
        # What is given is met a millionth by its clamp.
        tight = 1e-4 if functional.given else 1e-9
        assert ours == pytest.approx(right, abs=tight), functional.label
    alone = reading(Functional("now", ("valence",)), HABIT, WAVES)
    one = alone(WAVES.build(), WAVES.defaults, course, jnp.array([at], jnp.int32))
    assert float(one[0]) == pytest.approx(value[-1], abs=1e-12)


def test_frames_reach_no_further_back_than_the_start_and_follow_the_length_of_a_step() -> None:
    course = some_course(WAVES)
    ashamed = ("self_state.ashamed",)
    now, week = Functional("now", ashamed), Functional("window", ashamed, window="7 d")
    found = read(WAVES, [now, week], course, [0, 3, -1])
    assert found[0, 0] == pytest.approx(found[0, 1], abs=1e-12)
    assert np.isfinite(found[2]).all()
    mass = np.asarray(course.after).reshape(N_STEPS, 2, -1).sum(2)[:, 1]
    assert found[1, 1] == pytest.approx(logit(mass[:4].mean()), abs=1e-9)
    weekly = read(
        WAVES, [now, week, Functional("window", ashamed, window="14 d")], course, [3], step=7.0
    )
    assert weekly[0, 0] == weekly[0, 1]
    assert weekly[0, 2] == pytest.approx(logit(mass[2:4].mean()), abs=1e-9)


def test_of_a_belief_that_does_not_move_every_frame_says_the_same() -> None:
    course = still(np.asarray(some_course(WAVES).after[0]), np.log([0.7, 0.2, 0.1]))
    ashamed = ("self_state.ashamed",)
    kinds = [
        Functional("now", ashamed),
        Functional("prior", ashamed),
        Functional("window", ashamed, window="5 d"),
        Functional("freq", ashamed, window="5 d"),
    ]
    found = read(WAVES, kinds, course, [5])[0]
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


def test_an_indifferent_belief_is_neither_well_nor_unwell() -> None:
    uniform = still(np.full(18, 1 / 18), np.log([0.7, 0.2, 0.1]))
    well = Functional("freq", ("valence",), window="14 d")
    unwell = Functional("freq", ("negative_valence",), window="14 d")
    np.testing.assert_allclose(read(WAVES, [well, unwell], uniform, [5]), 0.0, atol=1e-9)
    course = some_course(WAVES)
    found = read(WAVES, [well, unwell], course, [5])[0]
    assert found[0] == pytest.approx(-found[1])
    assert abs(found[0]) > 0.01
    flat = {"like": 0.0, "dislike": 0.0}
    np.testing.assert_allclose(read(WAVES, [well], course, [5], values=flat), 0.0, atol=1e-9)


def test_how_often_is_not_how_much() -> None:
    """Half the days certain is half the days, however faint the other half."""
    belief = np.zeros((N_STEPS, 2, 9))
    belief[:, 1] = np.array([0.9, 0.9, 0.9, 0.4, 0.4, 0.4])[:, None] / 9
    belief[:, 0] = 1 / 9 - belief[:, 1]
    flat = jnp.asarray(belief.reshape(N_STEPS, 18))
    course = Course(flat, flat, jnp.zeros((N_STEPS, 3)), jnp.zeros(N_STEPS))
    ashamed = ("self_state.ashamed",)
    often, much = (Functional(k, ashamed, window="6 d") for k in ("freq", "window"))
    found = readings([often, much], HABIT, WAVES)
    theta = read(WAVES, [often, much], course, [5])
    shares = np.asarray(found.natural(theta))[0]
    assert found.units == ("share of days", "probability")
    assert shares[1] == pytest.approx(0.65, abs=1e-4)
    assert abs(shares[0] - 0.5) < 0.1


def test_what_is_given_without_mass_is_clamped() -> None:
    """Calm is expected of an author whom nobody believes in, were there one."""
    layout = CORE.layout
    course = some_course(CORE)
    joint = np.array(course.after).reshape(N_STEPS, *layout.shape)
    joint[:, :, :, :, 1] = 0.0
    joint /= joint.sum((1, 2, 3, 4, 5), keepdims=True)
    after = jnp.asarray(joint.reshape(N_STEPS, -1))
    course = Course(after, after, course.log_p, course.scored)
    given = (("author", ("self_made",)), *ASHAMED)
    calm = Functional("predictive", ("interoception.calm",), given)
    name = ByName(CORE)
    others = joint[2].sum((0, 3))  # over self_state and author
    right = sum(
        float(others[a, t, k])
        * name.outcome(
            "interoception",
            "calm",
            {
                "agents": layout.factors[1].levels[a],
                "threat": layout.factors[2].levels[t],
                "author": "self_made",
                "self_state": "ashamed",
            },
        )
        for a, t, k in np.ndindex(others.shape)
    )
    assert read(CORE, [calm], course, [2])[0, 0] == pytest.approx(logit(right), abs=1e-9)


def test_outcomes_that_depend_on_what_is_done_follow_the_plan() -> None:
    course = some_course(CORE)
    name = ByName(CORE)
    still_here = Functional("predictive", ("cue.still_here",))
    p = np.exp(np.asarray(course.log_p[3]))
    right = sum(
        p[i] * name.mean(lambda s, v=v: name.outcome("cue", "still_here", s, v), course.after[3])
        for i, v in enumerate(("maintain", "monitor", "withdraw"))
    )
    assert read(CORE, [still_here], course, [3])[0, 0] == pytest.approx(logit(right), abs=1e-9)


def test_a_choice_given_something_is_planned_anew() -> None:
    """Expected free energy at the belief that is certain of it, by enumeration."""
    course = some_course(TEACHING)
    agent = Agent(planning=ExpectedFreeEnergy(gamma=3.0))
    given = (("agents", ("benevolent",)),)
    of = ("next_stance.monitor",)
    plain, asked = Functional("policy", of), Functional("policy", of, given)
    found = read(TEACHING, [plain, asked], course, [1], agent=agent)[0]
    oracle = Oracle(TEACHING.build())
    q = np.array([float(s == (1, 0)) for s in oracle.states])  # benevolent, maintaining
    efe = [oracle.weigh(q, pi)["efe"] for pi in oracle.policies(1)]
    right = oracle.choose(efe, 1, gamma=3.0)[1]
    assert found[0] == pytest.approx(logit(float(np.exp(course.log_p[1, 1]))), abs=1e-9)
    assert found[1] == pytest.approx(logit(right[1]), abs=1e-4)


def test_values_and_gradients_are_finite_in_single_precision_at_the_ends() -> None:
    """Beliefs of 1e-12 and of nothing at all; no reading is left without a direction at 1e-6."""
    functionals = [
        Functional("now", ("agents.benevolent",)),
        Functional("freq", ("agents.benevolent",), window="4 d"),
        Functional("cond", ("agents.benevolent",), ASHAMED),
        Functional("predictive", ("interoception.calm",), (("agents", ("benevolent",)),)),
        Functional("entropy", ("agents",)),
        Functional("now", ("valence",)),
        Functional("freq", ("valence",), window="4 d"),
        Functional("policy", ("next_stance.monitor",)),
    ]
    with jax.enable_x64(False):
        found = readings(functionals, HABIT, WAVES)
        pomdp = WAVES.build()

        def theta(log_odds: Any) -> Any:
            p = jax.nn.sigmoid(log_odds)
            agents = jnp.stack([0.7 * (1 - p), 0.3 * (1 - p), p])
            joint = jnp.full((2, 1, 1), 0.5) * agents[None, :, None] * jnp.full((1, 1, 3), 1 / 3)
            same = jnp.broadcast_to(joint.reshape(1, -1), (N_STEPS, 18))
            log_p = jnp.log(jnp.stack([1 - p, p, 0 * p]) + 1e-30)
            log_p = jnp.broadcast_to(log_p[None], (N_STEPS, 3))
            course = Course(same, same, log_p, jnp.zeros(N_STEPS))
            return found(pomdp, WAVES.defaults, course, jnp.array([5], jnp.int32))[0]

        both = jax.jit(lambda x: (theta(x), jax.jacfwd(theta)(x), jax.jacrev(theta)(x)))
        for x in (-110.0, -28.0, -13.8, 0.0, 13.8, 28.0, 110.0):
            value, forward, back = both(jnp.float32(x))
            assert value.dtype == jnp.float32
            assert np.isfinite(value).all(), x
            assert np.isfinite(back).all(), x
            np.testing.assert_allclose(forward, back, rtol=1e-3, atol=1e-5)
            if abs(x) < 14:
                assert (np.abs(np.asarray(back)[:3]) > 0.2).all()


def test_many_lives_at_once_and_from_a_pickle() -> None:
    functionals = [
        Functional("prior", ("law.contingent",), (("agents", ("benevolent",)),)),
        Functional("param", ("w_other",)),
        Functional("freq", ("negative_valence",), window="3 d"),
    ]
    found = pickle.loads(pickle.dumps(readings(functionals, HABIT, WAVES)))
    courses = [some_course(WAVES, seed) for seed in range(3)]
    together = jax.tree.map(lambda *x: jnp.stack(x), *courses)
    at, w_other = jnp.array([[0, 2], [5, -1], [1, 4]], jnp.int32), jnp.array([0.2, 0.5, 0.9])

    def one(w: Any, course: Any, at: Any) -> Any:
        values = WAVES.defaults | {"w_other": w}
        return found(WAVES.build(values), values, course, at)

    many = np.asarray(jax.jit(jax.vmap(one))(w_other, together, at))
    assert many.shape == (3, 2, 3)
    for i, course in enumerate(courses):
        alone = read(
            WAVES, functionals, course, at[i].tolist(), values={"w_other": float(w_other[i])}
        )
        np.testing.assert_allclose(many[i], alone, rtol=1e-9, atol=1e-12)
    assert found.units == ("probability", "probability", "share of days")


def test_what_cannot_be_read_is_said_in_a_sentence() -> None:
    threat = Functional("now", ("threat.high",))
    with pytest.raises(InputError, match=r"now threat\.high: it has no hidden factor threat"):
        readings([threat], HABIT, WAVES)
    with pytest.raises(InputError, match=r"use perception=Exact\(\)"):
        readings([], Agent(perception=MeanField()), WAVES)
    with pytest.raises(InputError, match="param w_other needs the model itself"):
        readings([Functional("param", ("w_other",))], HABIT, WAVES.layout)
    with pytest.raises(InputError, match="a step lasts 0 days"):
        readings([], HABIT, WAVES, 0.0)

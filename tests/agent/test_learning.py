"""What a session leaves behind: anchored counts, against loops written out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attach_ai.agent import Agent, Dirichlet, Habit, compile_program
from attach_ai.errors import InputError
from attach_ai.model import Practice, load_model
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation import Observed, Record, condition, days
from tests.agent.lives import examples, field, hold, lived
from tests.agent.random_pomdps import LAYOUT, random_pomdp
from tests.oracles import Oracle

STEPS = 3
SESSIONS = 4


@eqx.filter_jit
def condition_on(
    agent: Agent, pomdp: POMDP, outcome: Any, choice: Any, program: Any, calendar: Any
) -> Record:
    return condition(agent, pomdp, Observed(outcome, choice), program, calendar)


def live(agent: Agent, pomdp: POMDP, practised: Practice, seed: int = 0) -> tuple[Record, Any, Any]:
    """A few sessions with outcomes and choices given; the same every time."""
    oracle = Oracle(pomdp)
    sessions = [lived(oracle, seed + k, STEPS) for k in range(SESSIONS)]
    outcome, choice = (jnp.stack(x) for x in zip(*sessions, strict=True))
    program = compile_program(practised, pomdp.layout)
    record = condition_on(agent, pomdp, outcome, choice, program, days(practised, SESSIONS))
    return record, outcome, choice


def every(record: Record, name: str) -> np.ndarray:
    """Counts at every boundary, the last one included."""
    return np.concatenate([record.counts[name], record.final_counts[name][None]])


@pytest.mark.parametrize("counted", ["unheld", "held"])
def test_counts_follow_the_anchored_rule(counted: Any) -> None:
    """Two days of practice, one of rest, and an end after three; the body is held throughout."""
    pomdp = random_pomdp(20)
    omega, eta, strength = 0.8, 0.7, 1.3
    learning = Dirichlet(D=["mood", "body"], retention=omega, eta=eta, counted=counted)
    practised = hold(field("body.b", strength), steps=STEPS)
    schedule = replace(practised.schedule, days_on=2, days_off=3, stop_after=3)
    practised = replace(practised, schedule=schedule)
    record, outcome, choice = live(Agent(planning=Habit(), learning=learning), pomdp, practised)

    factors = {"mood": 0, "body": 1}
    anchor = {name: 4.0 * np.asarray(pomdp.D[f]) for name, f in factors.items()}
    counts = dict(anchor)
    for k in range(SESSIONS):
        for name in factors:
            np.testing.assert_allclose(record.counts[f"D.{name}"][k], counts[name], atol=1e-12)
        D = list(pomdp.D)
        for name, f in factors.items():
            D[f] = counts[name] / counts[name].sum()
        oracle = Oracle(eqx.tree_at(lambda p: p.D, pomdp, tuple(D)))
        q = oracle.posterior(outcome[k], choice[k])
        on = k < 3  # after that, every day is a rest day
        if counted == "held":
            q = oracle.tilt(q, 1, 1, strength * on)
        rest = 3 if k == 1 else 0
        for name, f in factors.items():
            d = omega * counts[name] + (1 - omega) * anchor[name]
            d = d + on * eta * oracle.marginal(q, [f])
            for _ in range(rest):
                d = omega * d + (1 - omega) * anchor[name]
            counts[name] = d
    for name in factors:
        np.testing.assert_allclose(record.final_counts[f"D.{name}"], counts[name], atol=1e-12)


def test_counting_the_held_belief_is_another_arm() -> None:
    pomdp = random_pomdp(21)
    practised = hold(field("mood.c", 2.0), steps=STEPS)
    found = {}
    for counted in ("unheld", "held"):
        agent = Agent(planning=Habit(), learning=Dirichlet(D=["mood"], counted=counted))
        found[counted] = live(agent, pomdp, practised)[0]
    mass = {k: np.asarray(r.final_counts["D.mood"])[2] for k, r in found.items()}
    assert mass["held"] > mass["unheld"] + 0.1
    # Unheld counts do not know of the practice at all.
    agent = Agent(planning=Habit(), learning=Dirichlet(D=["mood"]))
    alone, _, _ = live(agent, pomdp, hold(steps=STEPS))
    np.testing.assert_allclose(every(alone, "D.mood"), every(found["unheld"], "D.mood"), atol=1e-13)


@examples(10)
@given(st.integers(0, 12), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_rest_days_in_closed_form_are_boundaries_one_by_one(
    rest: int, retention: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    learning = Dirichlet(D=["mood"], retention=retention, eta=0.5)
    d, anchor, q = ({"D.mood": jnp.asarray(rng.random(3))} for _ in range(3))
    one, none = jnp.asarray(1.0), jnp.asarray(0.0)
    at_once = learning.end_session(d, anchor, q, one, jnp.asarray(float(rest)))
    step = learning.end_session(d, anchor, q, one, none)
    for _ in range(rest):
        step = learning.end_session(step, anchor, q, none, none)
    np.testing.assert_allclose(at_once["D.mood"], step["D.mood"], atol=1e-14)


def test_feeding_a_mind_its_own_posterior_hardens_it_and_moves_nothing() -> None:
    """Without evidence q is the prior; counts grow (here fivefold) and the mean stays."""
    pomdp = random_pomdp(22)
    blind = tuple(
        jnp.broadcast_to(a.mean(range(1, a.ndim), keepdims=True), a.shape) for a in pomdp.A
    )
    still = jnp.broadcast_to(jnp.eye(3)[:, :, None, None], pomdp.B[0].shape)
    pomdp = eqx.tree_at(lambda p: (p.A, p.B), pomdp, (blind, (still, *pomdp.B[1:])))
    agent = Agent(planning=Habit(), learning=Dirichlet(D=["mood"], retention=1.0, eta=4.0))
    record, _, _ = live(agent, pomdp, hold(field("mood.c", 3.0), steps=STEPS))
    counts = every(record, "D.mood")
    for k, d in enumerate(counts):
        np.testing.assert_allclose(d / d.sum(), pomdp.D[0], atol=1e-13)
        assert d.sum() == pytest.approx(4.0 + 4.0 * k)
    fiat = eqx.tree_at(lambda a: a.learning, agent, replace(agent.learning, counted="held"))
    record, _, _ = live(fiat, pomdp, hold(field("mood.c", 3.0), steps=STEPS))
    d = np.asarray(record.final_counts["D.mood"])
    assert d[2] / d.sum() > pomdp.D[0][2] + 0.1


def test_transitions_are_counted_from_smoothed_pairs_session_by_session() -> None:
    pomdp = random_pomdp(23)
    omega, eta = 0.9, 2.0
    learning = Dirichlet(D=["mood"], B=["mood", "body"], retention=omega, eta=eta)
    agent = Agent(planning=Habit(), learning=learning)
    record, outcome, choice = live(agent, pomdp, hold(steps=STEPS))
    anchors = {"D.mood": 4.0 * pomdp.D[0], "B.mood": 6.0 * pomdp.B[0], "B.body": 6.0 * pomdp.B[1]}
    counts = {name: np.asarray(a) for name, a in anchors.items()}
    for k in range(SESSIONS):
        for name, c in counts.items():
            np.testing.assert_allclose(record.counts[name][k], c, atol=1e-11)
        mean = {name: c / c.sum(0, keepdims=True) for name, c in counts.items()}
        D, B = (mean["D.mood"], *pomdp.D[1:]), (mean["B.mood"], mean["B.body"], *pomdp.B[2:])
        oracle = Oracle(eqx.tree_at(lambda p: (p.D, p.B), pomdp, (D, B)))
        paths = oracle.paths(outcome[k], choice[k])
        seen = {
            "D.mood": oracle.marginal(oracle.posterior(outcome[k], choice[k]), [0]),
            "B.mood": oracle.pairs(paths, choice[k], 0),
            "B.body": oracle.pairs(paths, choice[k], 1),
        }
        counts = {
            name: omega * c + (1 - omega) * anchors[name] + eta * seen[name]
            for name, c in counts.items()
        }
    for name, c in counts.items():
        np.testing.assert_allclose(record.final_counts[name], c, atol=1e-11)


def test_columns_that_no_count_reached_stay_as_they_were() -> None:
    pomdp = random_pomdp(24)
    counts = np.asarray(6.0 * pomdp.B[0]).copy()
    counts[:, 1, 0, 1] = 0.0
    learning = Dirichlet(B=["mood"])
    learned = learning.learned(pomdp, {"B.mood": jnp.asarray(counts) * 2})
    np.testing.assert_allclose(learned.B[0], pomdp.B[0], atol=1e-14)
    for mine, theirs in zip(learned.B[1:], pomdp.B[1:], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_level_that_is_switched_off_is_never_counted() -> None:
    model = load_model("attachment_core").without("agents.benevolent")
    pomdp = model.build()
    level = pomdp.layout.level("agents.benevolent")[1]
    learning = Dirichlet(D=["agents", "law"], B=["agents"])
    practised = hold(field("agents.benevolent", 3.0, stance=("maintain",)), steps=STEPS)
    record, _, _ = live(Agent(planning=Habit(), learning=learning), pomdp, practised)
    np.testing.assert_array_equal(every(record, "D.agents")[:, level], 0)
    np.testing.assert_array_equal(every(record, "B.agents")[:, level], 0)
    agents = np.asarray(record.decision.posterior[pomdp.layout.factor("agents")])
    np.testing.assert_array_equal(agents[..., level], 0)
    np.testing.assert_allclose(agents.sum(-1), 1)


@pytest.mark.parametrize(
    ("learning", "said"),
    [
        (Dirichlet(D=["stance"]), "D.stance"),
        (Dirichlet(B=["echo"]), r"needs its prior strength in \[counts\]"),
        (Dirichlet(D=["moods"]), "no factor is called 'moods'"),
    ],
)
def test_what_cannot_be_learned_is_named(learning: Dirichlet, said: str) -> None:
    pomdp = random_pomdp(0)
    counts = {k: v for k, v in pomdp.counts.items() if k != "B.echo"} | {"D.stance": jnp.ones(())}
    with pytest.raises(InputError, match=said):
        learning.counts(replace(pomdp, counts=counts))
    assert LAYOUT.known == (3,)

"""Exact perception against enumeration of whole state paths."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attach_ai.agent import Agent, Exact, Habit
from attach_ai.model import load_model
from attach_ai.model.pomdp import POMDP
from tests.agent.lives import examples, hidden, live, lived, program
from tests.agent.random_pomdps import LAYOUT, LAYOUTS, random_pomdp
from tests.oracles import Oracle, kl

STEPS = 4
IDLE = [program(layout, steps=STEPS) for layout in LAYOUTS]
SEEDS = st.integers(0, 2**32 - 1)
WHICH = st.integers(0, len(LAYOUTS) - 1)


@pytest.mark.parametrize("contraction", ["dense", "factors"])
@examples(30)
@given(WHICH, SEEDS, st.sampled_from([0.0, 0.3]))
def test_beliefs_and_evidence_are_those_of_enumeration(
    contraction: str, which: int, seed: int, zeros: float
) -> None:
    layout = LAYOUTS[which]
    pomdp = random_pomdp(seed, layout, zeros=zeros)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, seed, STEPS, unseen=0.2)
    agent = Agent(perception=Exact(contraction), planning=Habit())
    belief, decision = live(agent, pomdp, IDLE[which], outcome, choice)
    total = 0.0
    for t in range(STEPS):
        q = oracle.posterior(outcome[: t + 1], choice)
        evidence = oracle.paths(outcome[: t + 1], choice).sum()
        total += decision.evidence.vfe[t]
        assert total == pytest.approx(-np.log(evidence), abs=1e-11)
        np.testing.assert_allclose(belief.posterior[t], hidden(oracle, layout, q), atol=1e-12)
        ahead = oracle.transition(choice[t]) @ q
        np.testing.assert_allclose(belief.state[t], hidden(oracle, layout, ahead), atol=1e-12)
        for f in range(len(layout.factors)):
            np.testing.assert_allclose(
                decision.posterior[f][t], oracle.marginal(q, [f]), atol=1e-12
            )
        np.testing.assert_array_equal(belief.held[t], belief.posterior[t])


@examples(10)
@given(WHICH, SEEDS)
def test_free_energy_is_complexity_minus_accuracy(which: int, seed: int) -> None:
    layout = LAYOUTS[which]
    pomdp = random_pomdp(seed, layout)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, seed, STEPS, unseen=0.2)
    agent = Agent(perception=Exact("dense"), planning=Habit())
    _, decision = live(agent, pomdp, IDLE[which], outcome, choice)
    before = oracle.start()
    for t in range(STEPS):
        given_ = oracle.given(outcome[t])
        after = before * given_ / (before @ given_)
        evidence = decision.evidence
        accuracy = sum(w * np.log(p) for w, p in zip(after, given_, strict=True) if w > 0)
        assert evidence.accuracy[t] == pytest.approx(accuracy, abs=1e-11)
        assert evidence.complexity[t] == pytest.approx(kl(after, before), abs=1e-11)
        assert evidence.vfe[t] == pytest.approx(kl(after, before) - accuracy, abs=1e-11)
        before = oracle.transition(choice[t]) @ after


def test_what_was_not_seen_is_skipped() -> None:
    pomdp = random_pomdp(5)
    unseen = jnp.full((STEPS, 3), -1, jnp.int32)
    choice = jnp.array([4, 0, 3, 1], jnp.int32)
    belief, decision = live(Agent(planning=Habit()), pomdp, IDLE[0], unseen, choice)
    np.testing.assert_allclose(decision.evidence.vfe, 0, atol=1e-15)
    q = Oracle(pomdp).start()
    for t in range(STEPS):
        np.testing.assert_allclose(
            belief.posterior[t], hidden(Oracle(pomdp), LAYOUT, q), atol=1e-14
        )
        q = Oracle(pomdp).transition(choice[t]) @ q


def test_an_impossible_outcome_is_infinitely_surprising_and_teaches_nothing() -> None:
    pomdp = random_pomdp(6)
    # The stance starts at c; posture, its copy, shows a.
    outcome = jnp.array([[1, 0, 0], [0, 1, -1], [0, 1, -1], [2, 0, -1]], jnp.int32)
    choice = jnp.zeros(STEPS, jnp.int32)
    belief, decision = live(Agent(), pomdp, IDLE[0], outcome, choice)
    assert decision.evidence.vfe[0] == np.inf
    assert np.isfinite(decision.evidence.vfe[1:]).all()
    prior = hidden(Oracle(pomdp), LAYOUT, Oracle(pomdp).start())
    np.testing.assert_allclose(belief.posterior[0], prior, atol=1e-15)
    for value in (belief.posterior, belief.state, decision.plan.efe, decision.log_p):
        assert np.isfinite(value).all()


@pytest.mark.parametrize("factors", [(0,), (2, 0), (1, 2), (2, 1, 0), ()])
def test_read_gives_the_axes_in_the_order_asked(factors: tuple[int, ...]) -> None:
    see = Exact()
    tables = see.prepare(random_pomdp(0))
    joint = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(3, 2, 2)
    found = see.read(tables, jnp.asarray(joint.reshape(-1)), factors)
    rest = tuple(f for f in range(3) if f not in factors)
    expected = np.transpose(joint.sum(rest), np.argsort(np.argsort(factors)))
    np.testing.assert_allclose(found, expected, atol=1e-15)


@eqx.filter_jit
def statistics(
    see: Exact, pomdp: POMDP, beliefs: Any, choice: Any, contexts: Any, smoothed: bool
) -> Any:
    hidden = pomdp.layout.hidden
    return see.statistics(
        see.prepare(pomdp),
        beliefs,
        choice,
        contexts,
        pairs=hidden,
        reads=(hidden, hidden[:1]),
        smoothed=smoothed,
    )


@examples(20)
@given(WHICH, SEEDS)
def test_statistics_of_a_session_are_enumerated_posteriors(which: int, seed: int) -> None:
    """Of pairs and of single steps, given all outcomes or those so far."""
    layout = LAYOUTS[which]
    pomdp = random_pomdp(seed, layout, zeros=0.2)
    oracle = Oracle(pomdp)
    outcome, choice = lived(oracle, seed, STEPS, unseen=0.2)
    paths = [oracle.paths(outcome[: t + 1], choice[: t + 1]) for t in range(STEPS)]
    for contraction in ("dense", "factors"):
        agent = Agent(perception=Exact(contraction), planning=Habit())
        belief, _ = live(agent, pomdp, IDLE[which], outcome, choice)
        contexts = jnp.asarray(
            [layout.first_context, *(layout.context_after[u] for u in choice[:-1].tolist())],
            jnp.int32,
        )
        given = (agent.perception, pomdp, belief.posterior, choice, contexts)
        for smoothed in (True, False):
            pairs, (joint, first) = statistics(*given, smoothed)
            for f, counts in zip(layout.hidden, pairs, strict=True):
                expected = oracle.pairs(paths[-1], choice, f)
                if not smoothed:
                    expected = sum(oracle.pairs(p, choice, f, last=True) for p in paths[1:])
                np.testing.assert_allclose(counts, expected, atol=1e-12)
            for t in range(STEPS):
                q = oracle.at(paths[-1] if smoothed else paths[t], t)
                np.testing.assert_allclose(joint[t], oracle.marginal(q, layout.hidden), atol=1e-12)
                np.testing.assert_allclose(
                    first[t], oracle.marginal(q, layout.hidden[:1]), atol=1e-12
                )


def test_slicing_what_is_known_changes_nothing() -> None:
    """A declared model, whose tables are sliced by what each stance lets be seen."""
    pomdp: POMDP = load_model("teaching").build(trust=0.4)
    layout, oracle = pomdp.layout, Oracle(pomdp)
    assert layout.known
    outcome, choice = lived(oracle, 3, 8, unseen=0.1)
    idle = program(layout, steps=8)
    belief, decision = live(Agent(planning=Habit()), pomdp, idle, outcome, choice)
    evidence = oracle.paths(outcome, choice).sum()
    assert decision.evidence.vfe.sum() == pytest.approx(-np.log(evidence), abs=1e-11)
    q = oracle.posterior(outcome, choice)
    np.testing.assert_allclose(belief.posterior[-1], hidden(oracle, layout, q), atol=1e-12)

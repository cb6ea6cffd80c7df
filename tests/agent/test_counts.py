"""What each learned table counts: enumeration, conjugate closed forms, pymdp, E[ln p]."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma

from attach_ai.agent import Agent, Dirichlet, Exact, ExpectedFreeEnergy, Habit, MeanField
from attach_ai.agent.learning import Lived
from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation import Observed, Record, condition, days, log_likelihood
from tests.agent.lives import hold, lived, program
from tests.agent.random_pomdps import LAYOUT, random_pomdp
from tests.oracles import Oracle

STEPS = 4
IDLE = program(LAYOUT, steps=STEPS)
PRACTISED = hold(steps=STEPS)
EVERY = {"A": ["face", "pulse"], "B": ["mood", "body"], "D": ["mood"], "E": ["speak"]}
INDEX = {"A.face": 0, "A.pulse": 1, "B.mood": 0, "B.body": 1, "D.mood": 0, "E.speak": 0}


@eqx.filter_jit
def condition_on(agent: Agent, pomdp: POMDP, outcome: Any, choice: Any) -> Record:
    return condition(agent, pomdp, Observed(outcome, choice), IDLE, days(PRACTISED, len(outcome)))


def sessions(pomdp: POMDP, n: int, seed: int, unseen: float = 0.0) -> tuple[Any, Any]:
    oracle = Oracle(pomdp)
    every = [lived(oracle, seed + k, STEPS, unseen) for k in range(n)]
    outcome, choice = (jnp.stack(x) for x in zip(*every, strict=True))
    return outcome, choice


def put(pomdp: POMDP, tables: dict[str, Any]) -> POMDP:
    """The model with tables by name ("A.face") in place of its own."""
    for name, table in tables.items():
        own = [jnp.asarray(table) if i == INDEX[name] else t
               for i, t in enumerate(getattr(pomdp, name[0]))]  # fmt: skip
        pomdp = replace(pomdp, **{name[0]: tuple(own)})
    return pomdp


def enumerated(
    oracle: Oracle, outcome: Any, choice: Any, smoothed: bool = True
) -> dict[str, np.ndarray]:
    """What one session adds to each table in INDEX."""
    paths = [oracle.paths(outcome[: t + 1], choice[: t + 1]) for t in range(STEPS)]
    found = {
        "D.mood": oracle.marginal(oracle.posterior(outcome, choice), [0]),
        "E.speak": np.bincount([LAYOUT.choices[u][0] for u in choice], minlength=2),
    }
    for m, name in enumerate(("A.face", "A.pulse")):
        if smoothed:
            found[name] = oracle.shown(paths[-1], outcome, m)
            continue
        found[name] = np.zeros(oracle.A[m].shape)
        for t in range(STEPS):
            if outcome[t, m] >= 0:
                now = oracle.at(paths[t], t)
                found[name][outcome[t, m]] += oracle.marginal(now, oracle.reads[m])
    for f, name in enumerate(("B.mood", "B.body")):
        if smoothed:
            found[name] = oracle.pairs(paths[-1], choice, f)
        else:
            found[name] = sum(oracle.pairs(p, choice, f, last=True) for p in paths[1:])
    return found


@pytest.mark.parametrize("smoothed", [True, False])
def test_every_table_counts_what_enumeration_expects(smoothed: bool) -> None:
    pomdp = random_pomdp(40)
    omega, eta = 0.9, 2.0
    learning = Dirichlet(**EVERY, retention=omega, eta=eta, smoothed=smoothed)
    outcome, choice = sessions(pomdp, 3, 5, unseen=0.25)
    record = condition_on(Agent(planning=Habit(), learning=learning), pomdp, outcome, choice)
    anchors = {
        name: float(pomdp.counts[name]) * np.asarray(getattr(pomdp, name[0])[i])
        for name, i in INDEX.items()
    }
    counts = dict(anchors)
    for k in range(3):
        for name, c in counts.items():
            np.testing.assert_allclose(record.counts[name][k], c, atol=1e-10)
        oracle = Oracle(put(pomdp, {name: c / c.sum(0) for name, c in counts.items()}))
        seen = enumerated(oracle, outcome[k], choice[k], smoothed)
        counts = {
            name: omega * c + (1 - omega) * anchors[name] + eta * seen[name]
            for name, c in counts.items()
        }
        # What was learned is what chooses next: the habit stands in ln p of each choice.
        habit = oracle.E[0][[LAYOUT.choices[u][0] for u in choice[k]]]
        other = oracle.E[1][[LAYOUT.choices[u][1] for u in choice[k]]]
        np.testing.assert_allclose(record.decision.log_p[k], np.log(habit * other), atol=1e-10)
    for name, c in counts.items():
        np.testing.assert_allclose(record.final_counts[name], c, atol=1e-10)


def test_known_states_are_counted_one_by_one() -> None:
    """Conjugacy in closed form: pulse shows echo, face mood; posture depends on the stance."""
    pomdp = random_pomdp(41)
    face = jnp.broadcast_to(jnp.eye(3)[:, :, None], pomdp.A[0].shape)
    pulse = jnp.broadcast_to(jnp.eye(2)[:, None, :, None], pomdp.A[1].shape)
    posture = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(3), size=3).T)
    pomdp = eqx.tree_at(lambda p: p.A, pomdp, (face, pulse, posture))
    learning = Dirichlet(A="posture", B="echo", retention=1.0)
    outcome, choice = sessions(pomdp, 2, 9)
    record = condition_on(Agent(planning=Habit(), learning=learning), pomdp, outcome, choice)
    shown, moved = 5.0 * np.asarray(posture), 6.0 * np.asarray(pomdp.B[2])
    for outcomes, choices in zip(np.asarray(outcome), np.asarray(choice), strict=True):
        stance = LAYOUT.factors[3].start
        for t in range(STEPS):
            shown[outcomes[t, 2], stance] += 1
            if t:
                moved[outcomes[t, 1], outcomes[t - 1, 0]] += 1
            stance = LAYOUT.choices[choices[t]][1]
    np.testing.assert_allclose(record.final_counts["A.posture"], shown, atol=1e-12)
    np.testing.assert_allclose(record.final_counts["B.echo"], moved, atol=1e-12)


def test_an_outcome_that_cannot_be_adds_nothing() -> None:
    pomdp = random_pomdp(42)
    never = pomdp.A[0].at[0].set(0.0)
    pomdp = eqx.tree_at(lambda p: p.A[0], pomdp, never / never.sum(0, keepdims=True))
    outcome, choice = sessions(pomdp, 1, 0)
    outcome = outcome.at[0, 1, 0].set(0)
    agent = Agent(planning=Habit(), learning=Dirichlet(A="face", retention=1.0))
    counts = condition_on(agent, pomdp, outcome, choice).final_counts["A.face"]
    np.testing.assert_array_equal(counts[0], 0)
    np.testing.assert_allclose(counts.sum(), 5.0 * 6 + STEPS - 1)


def evidence(see: Any, learning: Dirichlet, pomdp: POMDP, beliefs: Any, given: Any) -> Any:
    """What a session of given beliefs adds; the context is that of the stance chosen before."""
    outcomes, choices = given
    contexts = [LAYOUT.first_context, *(LAYOUT.context_after[u] for u in choices[:-1].tolist())]
    last = jax.tree.map(lambda q: q[-1], beliefs)
    session = Lived(last, beliefs, outcomes, choices, jnp.asarray(contexts, jnp.int32))
    return learning.evidence(see, see.prepare(pomdp), pomdp, session)


def test_mean_field_counts_as_pymdp_does() -> None:
    """pymdp's own updates, given the marginals that a mind had; known factors are marginals too."""
    from pymdp.learning import (
        update_obs_likelihood_dirichlet_m,
        update_state_transition_dirichlet_f,
    )

    pomdp = random_pomdp(43)
    rng = np.random.default_rng(3)
    outcomes, choices = (x[0] for x in sessions(pomdp, 1, 4))
    stances = [2, *(LAYOUT.choices[u][1] for u in choices[:-1].tolist())]
    beliefs = tuple(
        jnp.eye(3)[jnp.asarray(stances)]
        if f == 3
        else jnp.asarray(rng.dirichlet(np.ones(d.size), STEPS))
        for f, d in enumerate(pomdp.D)
    )
    learning = Dirichlet(A=["face", "pulse"], B=["mood"])
    found = evidence(MeanField(), learning, pomdp, beliefs, (outcomes, choices))
    for m, name in enumerate(("A.face", "A.pulse")):
        nothing = jnp.zeros_like(pomdp.A[m])
        seen = jax.nn.one_hot(outcomes[:, m], nothing.shape[0])
        with jax.numpy_rank_promotion("allow"):
            theirs, _ = update_obs_likelihood_dirichlet_m(
                nothing, seen, list(beliefs), list(LAYOUT.modalities[m].parents)
            )
        np.testing.assert_allclose(found[name], theirs, atol=1e-12)
    acts = jax.nn.one_hot(jnp.asarray([LAYOUT.choices[u][0] for u in choices.tolist()]), 2)
    pair = [beliefs[0][1:], beliefs[0][:-1], beliefs[1][:-1]]
    with jax.numpy_rank_promotion("allow"):
        theirs, _ = update_state_transition_dirichlet_f(jnp.zeros_like(pomdp.B[0]), acts[:-1], pair)
    np.testing.assert_allclose(found["B.mood"], theirs, atol=1e-12)


def test_products_of_marginals_are_not_the_pairs_that_were_lived() -> None:
    """Where pymdp is not right: a still factor seems to move, because q(s', s) is a product."""
    pomdp = random_pomdp(44)
    blind = tuple(jnp.full_like(a, 1 / a.shape[0]) for a in pomdp.A)
    still = jnp.broadcast_to(jnp.eye(3)[:, :, None, None], pomdp.B[0].shape)
    even = (jnp.full(3, 1 / 3), *pomdp.D[1:])
    pomdp = replace(pomdp, A=blind, B=(still, *pomdp.B[1:]), D=even)
    outcome, choice = sessions(random_pomdp(44), 1, 0)
    moved = {}
    for name, see in (("exact", Exact()), ("mean field", MeanField())):
        agent = Agent(see, Habit(), Dirichlet(B="mood", retention=1.0))
        counts = condition_on(agent, pomdp, outcome, choice).final_counts["B.mood"]
        new = np.asarray(counts - 6.0 * pomdp.B[0]).sum((2, 3))
        moved[name] = new.sum() - np.trace(new)
    assert moved["exact"] == pytest.approx(0, abs=1e-12)
    assert moved["mean field"] == pytest.approx((STEPS - 1) * 2 / 3, abs=1e-6)


# ------------------------------------------------------------------------------------ E[ln p]


def digamma_table(counts: np.ndarray, normalise: bool) -> np.ndarray:
    table = np.exp(digamma(counts) - digamma(counts.sum(0)))
    return table / table.sum(0) if normalise else table


def test_perception_works_with_the_expected_logarithm_and_plans_with_the_mean() -> None:
    pomdp = random_pomdp(45)
    learning = Dirichlet(**EVERY, retention=0.8, expected_log=True)
    agent = Agent(planning=ExpectedFreeEnergy(gamma=2.0), learning=learning)
    outcome, choice = sessions(pomdp, 2, 1)
    record = condition_on(agent, pomdp, outcome, choice)
    counts = {name: np.asarray(c[1]) for name, c in record.counts.items()}
    mean = Oracle(put(pomdp, {name: c / c.sum(0) for name, c in counts.items()}))
    seen = put(
        pomdp,
        {n: digamma_table(c, n[0] in "BD") for n, c in counts.items() if n[0] != "E"},
    )
    mind = Oracle(seen)
    assert all((table.sum(0) < 1).all() for table in mind.A[:2])
    total = 0.0
    for t in range(STEPS):
        q = mind.posterior(outcome[1, : t + 1], choice[1])
        for f in LAYOUT.hidden:
            found = record.decision.posterior[f][1, t]
            np.testing.assert_allclose(found, mind.marginal(q, [f]), atol=1e-10)
        efe = [mean.weigh(q, pi)["efe"] for pi in mean.policies(1)]
        np.testing.assert_allclose(record.decision.plan.efe[1, t], efe, atol=1e-10)
        total += record.decision.evidence.vfe[1, t]
    paths = mind.paths(outcome[1], choice[1])
    assert total == pytest.approx(-np.log(paths.sum()), abs=1e-10)
    # Statistics are those of the model that perceived.
    added = enumerated(mind, outcome[1], choice[1])
    for name, c in record.final_counts.items():
        anchor = np.asarray(record.counts[name][0])
        expected = 0.8 * counts[name] + 0.2 * anchor + added[name]
        np.testing.assert_allclose(c, expected, atol=1e-10)


def test_zero_counts_stay_zero_and_many_counts_make_a_mean() -> None:
    pomdp = random_pomdp(46, zeros=0.3)
    learning = Dirichlet(A=["face"], B=["mood"], D=["mood"], expected_log=True)
    counts = learning.counts(pomdp)
    seen = learning.perceived(pomdp, counts)
    assert seen is not None
    pairs = ((seen.A[0], pomdp.A[0]), (seen.B[0], pomdp.B[0]), (seen.D[0], pomdp.D[0]))
    for table, before in pairs:
        np.testing.assert_array_equal(table[before == 0], 0)
    many = learning.perceived(pomdp, {name: 1e6 * c for name, c in counts.items()})
    assert many is not None
    np.testing.assert_allclose(many.A[0], pomdp.A[0], atol=1e-6)
    np.testing.assert_allclose(many.B[0], pomdp.B[0], atol=1e-6)
    faint = learning.perceived(pomdp, {name: 1e-5 * c for name, c in counts.items()})
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(faint))
    assert Dirichlet(A=["face"]).perceived(pomdp, counts) is None


# ------------------------------------------------------------------------ a life that goes on


def test_a_grown_mind_goes_on_where_it_stood() -> None:
    """Four sessions are two and two more; without forgetting nothing else is carried."""
    pomdp = random_pomdp(47)
    learning = Dirichlet(**EVERY, retention=1.0)
    agent = Agent(planning=Habit(), learning=learning)
    outcome, choice = sessions(pomdp, 4, 2)
    whole = condition_on(agent, pomdp, outcome, choice)
    half = condition_on(agent, pomdp, outcome[:2], choice[:2])
    grown = learning.grown(pomdp, half.final_counts)
    for name, c in learning.counts(grown).items():
        np.testing.assert_allclose(c, half.final_counts[name], rtol=1e-15)
    assert grown.counts["B.mood"].shape == (1, *pomdp.B[0].shape[1:])
    assert grown.counts["B.echo"] == pomdp.counts["B.echo"]
    rest = condition_on(agent, grown, outcome[2:], choice[2:])
    for name, c in whole.final_counts.items():
        np.testing.assert_allclose(rest.final_counts[name], c, atol=1e-11)


def test_columns_that_were_declared_alike_may_part() -> None:
    """Learning A opens what a declared model reads in each context; plans then reckon with it."""
    pomdp = load_model("teaching").build()
    layout = pomdp.layout
    m = next(i for i, x in enumerate(layout.modalities) if x.reads and () in x.reads)
    name = layout.modalities[m].name
    learning = Dirichlet(A=[name])
    pomdp = replace(pomdp, counts={**pomdp.counts, f"A.{name}": jnp.asarray(4.0)})
    counts = np.asarray(learning.counts(pomdp)[f"A.{name}"]) + 0.1
    counts += 3 * np.random.default_rng(0).random(counts.shape)
    learned = learning.learned(pomdp, {f"A.{name}": jnp.asarray(counts)})
    oracle = Oracle(learned)
    np.testing.assert_allclose(oracle.A[m], counts / counts.sum(0), atol=1e-14)
    see, planner = Exact(), ExpectedFreeEnergy()
    tables, plans = see.prepare(learned), planner.prepare(learned)
    start = see.begin(tables, learned.D)
    context = layout.first_context
    ahead = see.forecast(tables, start, context)
    allowed = jnp.ones(len(layout.choices), bool)
    plan = planner.plan(see, tables, plans, start, context, ahead, lambda b, c: b, allowed)
    found = [oracle.weigh(oracle.start(), pi) for pi in oracle.policies(1)]
    for part in ("efe", "risk", "ambiguity", "epistemic"):
        np.testing.assert_allclose(getattr(plan, part), [x[part] for x in found], atol=1e-10)


@pytest.mark.parametrize("name", ["attachment_core", "attachment"])
def test_declared_models_say_how_firm_each_kind_of_table_is(name: str) -> None:
    learning = Dirichlet(
        A=["approval", "cue", "interoception", "self_talk"],
        B=["agents", "threat", "self_state"],
        D=["agents", "law"],
        E=["next_stance"],
    )
    pomdp = load_model(name).build()
    counts = learning.counts(pomdp)
    np.testing.assert_allclose(counts["A.cue"].sum(0), 20)
    np.testing.assert_allclose(counts["E.next_stance"].sum(), 20)


# -------------------------------------------------------------------------- rates, and errors


@pytest.mark.parametrize("expected_log", [False, True])
def test_gradients_flow_through_rate_and_retention(expected_log: bool) -> None:
    pomdp = random_pomdp(48)
    outcome, choice = sessions(pomdp, 3, 7)

    def total(rates: Any) -> Any:
        learning = Dirichlet(**EVERY, retention=rates[0], eta=rates[1], expected_log=expected_log)
        agent = Agent(planning=ExpectedFreeEnergy(gamma=2.0, novelty=True), learning=learning)
        return log_likelihood(agent, pomdp, outcome, choice, PRACTISED)

    both = jax.jit(jax.value_and_grad(total))
    at, h = jnp.asarray([0.8, 0.7]), 1e-6
    _, gradient = both(at)
    steps = h * jnp.eye(2)
    differences = [(both(at + s)[0] - both(at - s)[0]) / (2 * h) for s in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-7)
    assert (np.abs(gradient) > 1e-4).all()


def test_another_rate_is_not_compiled_anew() -> None:
    pomdp = random_pomdp(49)
    outcome, choice = sessions(pomdp, 2, 0)
    traced = []

    @eqx.filter_jit
    def final(learning: Dirichlet) -> Any:
        traced.append(1)
        agent = Agent(planning=Habit(), learning=learning)
        return condition(
            agent, pomdp, Observed(outcome, choice), IDLE, days(PRACTISED, 2)
        ).final_counts

    found = [
        final(Dirichlet(**EVERY, eta=eta, retention=retention))["A.face"].sum()
        for eta, retention in ((0.5, 0.9), (1.5, 0.9), (1.5, 0.2))
    ]
    assert len(traced) == 1
    assert len(np.unique(found)) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retention": 1.2}, "learning: retention is 1.2; expected a number from 0 to 1"),
        ({"retention": float("nan")}, "retention is nan"),
        ({"eta": -0.1}, "learning: eta is -0.1; expected a number of at least 0"),
        ({"eta": np.array([1.0, -2.0])}, "eta is -2"),
        ({"counted": "both"}, "counted is 'both'; expected unheld or held"),
    ],
)
def test_rates_outside_their_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Dirichlet(D="mood", **settings)


@pytest.mark.parametrize(
    ("learning", "said"),
    [
        (Dirichlet(A="cue"), "learning: no modality is called 'cue'; there are face"),
        (Dirichlet(E="mood"), "no action is called 'mood'"),
        (Dirichlet(E="speak"), r"learning E.speak needs its prior strength in \[counts\]"),
    ],
)
def test_tables_that_cannot_be_learned_are_named(learning: Dirichlet, said: str) -> None:
    pomdp = random_pomdp(0)
    with pytest.raises(InputError, match=said):
        learning.counts(replace(pomdp, counts={}))

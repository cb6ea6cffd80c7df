"""The six operators by their signatures: what moves, what may not move, what remains on release.

On `attachment_core` (SCIENCE.md 3.1), where law is a parent of agents and self_state and threat
are children.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.agent import Agent, Decision, Dirichlet, Exact, Habit, MeanField, compile_program
from attach_ai.agent.hold import Instruction
from attach_ai.agent.operators import Expand, Precision, PriorChange
from attach_ai.agent.perception import AbstractPerception
from attach_ai.errors import InputError
from attach_ai.model import OperatorSpec, Phase, load_model
from attach_ai.model.expression import parse
from attach_ai.model.parameters import Parameter
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation import Observed, condition, days
from tests.agent.lives import clamp, field, hold, live, operator, practice, program
from tests.oracles import kl

MODEL = load_model("attachment_core")
CORE = MODEL.build(fear_of_loss=0.3)
LAYOUT = CORE.layout
STEPS, ON = 8, 5  # an operator acts for five steps, and is released
SELF, AGENTS, THREAT, _, LAW, _ = range(6)
OTHER = "agents.benevolent"
EITHER = pytest.mark.parametrize("see", [Exact(), MeanField()], ids=["exact", "mean_field"])
UNSEEN = jnp.full((STEPS, 6), -1, jnp.int32)
CALM = UNSEEN.at[:, 0].set(0)
ALARM = UNSEEN.at[:, 0].set(2)
MAINTAIN = jnp.zeros(STEPS, jnp.int32)


def lives(see: AbstractPerception, outcome: Any, *operators: OperatorSpec) -> Decision:
    """One session in which operators act for the first steps and are then released."""
    phases = practice(Phase("on", ON, operators), Phase("off", STEPS - ON))
    agent = Agent(perception=see, planning=Habit())
    return live(agent, CORE, compile_program(phases, LAYOUT), outcome, MAINTAIN)[1]


def moved(a: Any, b: Any, factor: int) -> np.ndarray:
    """Total variation between the beliefs in a factor, step by step."""
    return np.abs(np.asarray(a[factor]) - np.asarray(b[factor])).sum(-1) / 2


def trust(belief: Any) -> np.ndarray:
    p = np.asarray(belief[AGENTS][..., 2])
    return np.log(p) - np.log1p(-p)


@EITHER
def test_clamp_moves_children_and_no_parent_and_on_release_returns_to_the_unheld(
    see: AbstractPerception,
) -> None:
    free, done = lives(see, UNSEEN), lives(see, UNSEEN, clamp(OTHER))
    # Nothing that is learned from changes, and no message reaches the law ...
    for f in range(6):
        np.testing.assert_allclose(done.posterior[f], free.posterior[f], atol=1e-14)
    np.testing.assert_allclose(done.held[LAW], free.held[LAW], atol=1e-12)
    # ... while who it does good to is changed, and stays so.
    np.testing.assert_allclose(done.held[AGENTS][:ON, 2], 1, atol=1e-12)
    assert (moved(done.held, free.held, SELF)[1:] > 0.01).all()
    assert moved(done.held, free.held, AGENTS)[ON] < 1e-12
    assert moved(done.held, free.held, SELF)[ON] > 0.05


@EITHER
def test_field_moves_the_held_belief_alone_and_is_gone_on_release(see: AbstractPerception) -> None:
    free, done = lives(see, CALM), lives(see, CALM, field(OTHER, 2.0))
    for f in range(6):
        np.testing.assert_allclose(done.posterior[f], free.posterior[f], atol=1e-14)
        np.testing.assert_allclose(done.held[f][ON:], free.held[f][ON:], atol=1e-14)
    np.testing.assert_allclose(trust(done.held)[:ON], trust(free.held)[:ON] + 2.0, atol=1e-10)
    # Evidence against weighs as much as without the field: graded, and cancellable.
    worse = lives(see, ALARM, field(OTHER, 2.0))
    np.testing.assert_allclose(
        trust(done.held) - trust(worse.held), trust(free.held) - trust(worse.posterior), atol=1e-10
    )
    none = lives(see, CALM, field(OTHER, 0.0))
    np.testing.assert_allclose(trust(none.held), trust(free.held), atol=1e-12)


@EITHER
def test_a_field_accumulates_no_more_beside_a_clamp(see: AbstractPerception) -> None:
    # The clamp, still to come, has a belief of its own carried from the first step on.
    phases = practice(
        Phase("on", 3, (field(OTHER, 2.0),)), Phase("off", 3), Phase("clamp", 2, (clamp(OTHER),))
    )
    agent = Agent(perception=see, planning=Habit())
    done = live(agent, CORE, compile_program(phases, LAYOUT), CALM, MAINTAIN)[1]
    assert (moved(done.held, done.posterior, AGENTS)[:3] > 0.02).all()
    for f in range(6):
        np.testing.assert_allclose(done.held[f][3:6], done.posterior[f][3:6], atol=1e-12)


@EITHER
def test_condition_moves_the_unheld_belief_and_its_parents_and_wears_off_after_release(
    see: AbstractPerception,
) -> None:
    free, done = lives(see, UNSEEN), lives(see, UNSEEN, operator("condition", OTHER, 0.5))
    gained = trust(done.posterior) - trust(free.posterior)
    np.testing.assert_allclose(gained[0], 0.5, atol=1e-10)
    assert (np.diff(gained[:ON]) > 0.1).all()  # it adds up ...
    assert (gained[ON:] > 0.1).all()
    assert (np.diff(gained[ON - 1 :]) < 0).all()  # ... and fades
    for f in range(6):
        np.testing.assert_allclose(done.held[f], done.posterior[f], atol=1e-14)
    law = moved(done.posterior, free.posterior, LAW)
    if isinstance(see, MeanField):  # a product of marginals has no correlation to move it by
        np.testing.assert_allclose(law, 0, atol=1e-12)
    else:
        assert law[ON - 1] > 0.005
        assert done.posterior[LAW][ON - 1, 0] > free.posterior[LAW][ON - 1, 0]  # more stable
    assert (moved(done.posterior, free.posterior, SELF)[2:] > 0.01).all()


def test_condition_is_evidence_as_an_outcome_would_be() -> None:
    """The same likelihood ratio, once as an outcome of its own and once as virtual evidence."""
    approval = np.asarray(CORE.A[1])
    confirmed = UNSEEN.at[:ON, 1].set(0)
    nats = np.log(approval[0, 2] / approval[0, 0])
    alike = np.isclose(approval[0, 0], approval[0, 1])
    assert not alike  # hostile and absent differ: two conditions are needed
    hostile = np.log(approval[0, 1] / approval[0, 0])
    by_outcome = lives(Exact(), confirmed)
    by_evidence = lives(
        Exact(),
        UNSEEN,
        operator("condition", OTHER, float(nats)),
        operator("condition", "agents.hostile", float(hostile)),
    )
    for f in range(6):
        np.testing.assert_allclose(by_evidence.posterior[f], by_outcome.posterior[f], atol=1e-12)


@EITHER
def test_prior_change_moves_the_next_prior_alone_whatever_is_seen_and_decays_at_the_retention(
    see: AbstractPerception,
) -> None:
    amount, retention, sessions = 2.0, 0.9, 6
    agent = Agent(
        perception=see, planning=Habit(), learning=Dirichlet(D=["agents"], retention=retention)
    )

    def learned(outcome: Any, *operators: OperatorSpec) -> Any:
        done = practice(Phase("all", STEPS, operators), stop_after=2)
        seen = Observed(
            jnp.broadcast_to(outcome, (sessions, STEPS, 6)),
            jnp.broadcast_to(MAINTAIN, (sessions, STEPS)),
        )
        run = jax.jit(lambda: condition(agent, CORE, seen, compiled, days(done, sessions)))
        compiled = compile_program(done, LAYOUT)
        return run()

    change = operator("prior_change", OTHER, amount)
    free, done = learned(CALM), learned(CALM, change)
    for f in range(6):  # nothing moves within the first session, held or not
        np.testing.assert_allclose(
            done.decision.posterior[f][0], free.decision.posterior[f][0], atol=1e-14
        )
        np.testing.assert_allclose(done.decision.held[f], done.decision.posterior[f], atol=1e-14)
    d, before = done.counts["D.agents"], free.counts["D.agents"]
    np.testing.assert_allclose(d[1] - before[1], [0, 0, amount], atol=1e-12)
    assert done.decision.posterior[AGENTS][1, 0, 2] > free.decision.posterior[AGENTS][1, 0, 2]
    # Content-blind: with alarm instead of calm the first session adds as much.
    bad = learned(ALARM, change).counts["D.agents"] - learned(ALARM).counts["D.agents"]
    np.testing.assert_allclose(bad[1], d[1] - before[1], atol=1e-12)
    # After two sessions it stops; from then on nothing is learned and what was added fades.
    anchor = before[0]
    for k in range(sessions - 2):
        expected = anchor + (d[2] - anchor) * retention**k
        np.testing.assert_allclose(d[2 + k], expected, atol=1e-12)


def test_precision_takes_nothing_in_where_a_field_still_feels() -> None:
    """Information of interoception about threat: 0 when suppressed, at baseline when held."""

    def information(*operators: OperatorSpec, held: bool = False) -> float:
        beliefs, p = [], np.zeros(3)
        for o in range(3):
            felt = UNSEEN.at[2, 0].set(o)
            decision = lives(Exact(), felt, *operators)
            beliefs.append(np.asarray((decision.held if held else decision.posterior)[THREAT][2]))
            p[o] = np.exp(-lives(Exact(), felt).evidence.vfe[2])
        prior = p @ np.array(beliefs)
        return sum(w * kl(q, prior) for w, q in zip(p, beliefs, strict=True))

    baseline = information()
    assert baseline > 0.05
    holding = field(OTHER, 2.0)
    assert information(holding) == pytest.approx(baseline, abs=1e-12)
    assert information(holding, held=True) > 0.5 * baseline
    for held in (False, True):
        numb = information(operator("precision", "interoception", 0.0), held=held)
        assert numb == pytest.approx(0, abs=1e-12)
    assert 0 < information(operator("precision", "interoception", 0.3)) < 0.5 * baseline


@EITHER
def test_precision_scales_what_an_outcome_says_and_what_was_ignored_stays_ignored(
    see: AbstractPerception,
) -> None:
    ignored = lives(see, ALARM, operator("precision", "interoception", 0.0))
    late = lives(see, ALARM.at[:ON].set(-1))  # as if nothing had been felt until release
    for f in range(6):
        np.testing.assert_allclose(ignored.posterior[f], late.posterior[f], atol=1e-8)
        np.testing.assert_allclose(ignored.held[f], ignored.posterior[f], atol=1e-14)
    # Another modality is taken in as ever, and zeta = 1 changes nothing.
    full, same = lives(see, ALARM), lives(see, ALARM, operator("precision", "interoception", 1.0))
    elsewhere = lives(see, ALARM, operator("precision", "approval", 0.0))
    for f in range(6):
        np.testing.assert_allclose(same.posterior[f], full.posterior[f], atol=1e-12)
        np.testing.assert_allclose(elsewhere.posterior[f], full.posterior[f], atol=1e-12)


def test_precision_multiplies_the_nats_of_an_outcome_about_a_factor_that_it_alone_tells() -> None:
    talk = UNSEEN.at[0, 2].set(0)

    def said(*operators: OperatorSpec) -> float:
        p = lives(Exact(), talk, *operators).posterior[SELF][0]
        return float(np.log(p[1] / p[0]))

    start = float(np.log(CORE.D[SELF][1] / CORE.D[SELF][0]))
    for zeta in (0.0, 0.4, 1.0, 2.5):
        found = said(operator("precision", "self_talk", zeta)) - start
        assert found == pytest.approx(zeta * (said() - start), abs=1e-10)


@EITHER
@pytest.mark.parametrize("column", ["template", "flat"])
def test_expand_lets_care_move_what_nothing_could_move_before(
    see: AbstractPerception, column: str
) -> None:
    m0 = MODEL.without(OTHER).build()
    agent = Agent(perception=see, planning=Habit(), learning=Dirichlet(D=["agents"]))
    kind = jnp.broadcast_to(CALM.at[:, 1].set(0).at[:, 2].set(0), (3, STEPS, 6))
    seen = Observed(kind, jnp.zeros((3, STEPS), jnp.int32))

    def life(*operators: OperatorSpec) -> Any:
        done = hold(*operators, steps=STEPS)
        return condition(agent, m0, seen, compile_program(done, m0.layout), days(done, 3))

    for held in (field(OTHER, 4.0), operator("condition", OTHER, 4.0)):
        before = life(held)  # Cromwell: kindness and holding in vain
        np.testing.assert_array_equal(before.decision.posterior[AGENTS][..., 2], 0)
        np.testing.assert_array_equal(before.decision.held[AGENTS][..., 2], 0)
        np.testing.assert_array_equal(before.final_counts["D.agents"][2], 0)
    after = life(operator("expand", OTHER, 0.05, column), clamp(OTHER))
    np.testing.assert_allclose(after.counts["D.agents"][0, 2], 0.05 * 10, atol=1e-12)
    np.testing.assert_allclose(after.decision.held[AGENTS][..., 2], 1, atol=1e-12)
    p = np.asarray(after.decision.posterior[AGENTS][..., 2])
    assert (p > 0).all()
    for q in after.decision.posterior:
        np.testing.assert_allclose(q.sum(-1), 1, atol=1e-9)
    if column == "template":
        assert p[0, -1] > 0.3
        assert after.final_counts["D.agents"][2] > 1.0


def test_a_field_on_an_expanded_level_holds_it() -> None:
    m0 = MODEL.without(OTHER).build()
    done = hold(operator("expand", OTHER, 0.05), field(OTHER, 3.0), steps=STEPS)
    seen = Observed(UNSEEN[None], MAINTAIN[None])
    agent = Agent(planning=Habit(), learning=Dirichlet())
    decision = condition(agent, m0, seen, compile_program(done, m0.layout), days(done, 1)).decision
    np.testing.assert_allclose(trust(decision.held), trust(decision.posterior) + 3.0, atol=1e-10)


def test_operators_between_sessions_do_not_act_on_days_without_practice() -> None:
    m0 = MODEL.without(OTHER).build()
    both = (operator("expand", OTHER, 0.05), operator("prior_change", OTHER, 3.0))
    done = practice(Phase("all", STEPS, both), stop_after=0)
    seen = Observed(jnp.broadcast_to(CALM, (2, STEPS, 6)), jnp.zeros((2, STEPS), jnp.int32))
    agent = Agent(planning=Habit(), learning=Dirichlet(D=["agents"]))
    record = condition(agent, m0, seen, compile_program(done, m0.layout), days(done, 2))
    np.testing.assert_array_equal(record.decision.posterior[AGENTS][..., 2], 0)
    np.testing.assert_array_equal(record.final_counts["D.agents"][2], 0)


def test_prior_change_gives_mass_to_a_level_that_had_none() -> None:
    m0 = MODEL.without(OTHER).build()
    done = hold(operator("prior_change", OTHER, 2.0), steps=STEPS)
    seen = Observed(jnp.broadcast_to(UNSEEN, (2, STEPS, 6)), jnp.zeros((2, STEPS), jnp.int32))
    compiled = compile_program(done, m0.layout)
    for see in (Exact(), MeanField()):
        agent = Agent(perception=see, planning=Habit(), learning=Dirichlet(D=["agents"]))
        p = condition(agent, m0, seen, compiled, days(done, 2)).decision.posterior[AGENTS]
        np.testing.assert_allclose(p[0, 0, 2], 0, atol=1e-12)
        assert p[1, 0, 2] == pytest.approx(2 / (0.95 * 10 + 0.5 + 1 + 2), abs=1e-6)


# -------------------------------------------------------------------------------- together


def test_what_the_body_is_about_to_feel_follows_the_virtual_evidence() -> None:
    agent = Agent(planning=Habit())
    tables = agent.prepare(CORE)

    def calm(*operators: OperatorSpec) -> float:
        held = program(LAYOUT, *operators)
        now = Instruction(held.operators, held.active[0], held.allowed[0], held.gates)
        return float(agent.predict(tables, agent.init(tables, CORE, held), now)[0][0])

    assert calm(operator("condition", OTHER, 1.0)) > calm() + 0.05
    assert calm(operator("condition", OTHER, 1.0)) == pytest.approx(
        calm(field(OTHER, 1.0)), abs=1e-12
    )
    assert calm(operator("precision", "interoception", 0.0)) == pytest.approx(calm(), abs=1e-15)


def test_a_clamp_carries_the_evidence_of_a_condition_too() -> None:
    """Virtual evidence for shame reaches the clamped chain as an outcome would."""
    shame = operator("condition", "self_state.ashamed", 1.0)
    with_it, without = (
        lives(Exact(), UNSEEN, clamp(OTHER), shame),
        lives(Exact(), UNSEEN, clamp(OTHER)),
    )
    assert (moved(with_it.held, without.held, SELF)[:ON] > 0.1).all()
    np.testing.assert_allclose(with_it.held[AGENTS][:ON, 2], 1, atol=1e-12)


def test_the_ledger_still_adds_up() -> None:
    outcome = ALARM.at[:, 1].set(0)
    operators = (
        operator("condition", OTHER, 0.3),
        operator("precision", "interoception", 0.5),
        field(OTHER, 1.0),
    )
    agent = Agent(planning=Habit())
    tables = agent.prepare(CORE)
    held = program(LAYOUT, *operators)
    now = Instruction(held.operators, held.active[0], held.allowed[0], held.gates)
    belief = agent.init(tables, CORE, held, ledger=True)
    step = jax.jit(lambda b, o, u: agent.step(tables, b, o, now, choice=u, track=(AGENTS, 2)))
    for t in range(3):
        belief, decision = step(belief, outcome[t], MAINTAIN[t])
        book = decision.ledger
        assert book is not None
        total = book.expected + book.body + book.cues
        assert total == pytest.approx(float(trust(decision.posterior)), abs=1e-10)
        assert total + book.field == pytest.approx(float(trust(decision.held)), abs=1e-10)


def test_without_the_operators_that_need_it_nothing_is_computed_for_them() -> None:
    held = program(LAYOUT, field(OTHER, 1.0), clamp("law.stable"))
    now = Instruction(held.operators, held.active[0], held.allowed[0], held.gates)
    state = object()
    assert now.inform(Exact(), None, state, 0) is state
    assert now.precision(LAYOUT, 0) is None
    assert held.begin(CORE, jnp.ones(1)) is CORE
    counts = {"D.agents": jnp.ones(3)}
    assert held.end(LAYOUT, counts, jnp.ones(())) is counts


@pytest.mark.parametrize("gate", [("maintain",), ("monitor",)])
@pytest.mark.parametrize(
    ("kind", "target", "strength"),
    [("condition", OTHER, 1.0), ("precision", "interoception", 0.0)],
)
def test_while_restricts_what_acts_within_a_session(
    kind: str, target: str, strength: float, gate: tuple[str, ...]
) -> None:
    done = lives(Exact(), ALARM, operator(kind, target, strength, stance=gate))
    free = lives(Exact(), ALARM)
    apart = moved(done.posterior, free.posterior, AGENTS)[0]
    assert (apart > 0.01) == (gate == ("maintain",))


def run(pomdp: POMDP, agent: Agent, *operators: OperatorSpec) -> None:
    done = hold(*operators, steps=STEPS)
    seen = Observed(UNSEEN[None], MAINTAIN[None])
    condition(agent, pomdp, seen, compile_program(done, pomdp.layout), days(done, 1))


def test_operators_that_cannot_act_say_so_in_one_sentence() -> None:
    agent = Agent(planning=Habit())
    with pytest.raises(InputError, match="already has mass") as caught:
        run(CORE, agent, operator("expand", OTHER, 0.1))
    assert caught.value.place == "practice test, expand on agents.benevolent"
    with pytest.raises(InputError, match=r"D\.agents is not learned") as caught:
        run(CORE, agent, operator("prior_change", OTHER, 0.1))
    assert caught.value.place == "practice test, prior_change on agents.benevolent"
    with pytest.raises(InputError, match="set by an action"):
        program(LAYOUT, operator("expand", "stance.monitor", 0.1))
    with pytest.raises(InputError, match="no modality 'interception'; did you mean"):
        program(LAYOUT, operator("precision", "interception", 0.1))
    windowed = Agent(perception=MeanField("vmp", 4), planning=Habit())
    for o in (operator("precision", "interoception", 0.5), operator("condition", OTHER, 1.0)):
        with pytest.raises(InputError, match="fpi"):
            run(CORE, windowed, o)
    with pytest.raises(InputError, match="zeta is -1"):
        Precision("interoception", -1.0)
    with pytest.raises(InputError, match="amount is -1"):
        PriorChange("agents", "benevolent", -1.0)
    with pytest.raises(InputError, match="column is 'flut'"):
        Expand("agents", "benevolent", 0.1, "flut")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("condition", OTHER),
        ("precision", "interoception"),
        ("prior_change", OTHER),
        ("expand", OTHER),
    ],
)
def test_the_number_of_an_operator_has_a_gradient(kind: str, target: str) -> None:
    pomdp = MODEL.without(OTHER).build() if kind == "expand" else CORE
    agent = Agent(planning=Habit(), learning=Dirichlet(D=["agents"]))
    spec = replace(operator(kind, target), strength=parse("x"))
    done = replace(hold(spec, steps=2), declared=(Parameter("x", 0.4, (0.1, 0.9)),))
    seen = Observed(jnp.broadcast_to(CALM[:2], (2, 2, 6)), jnp.zeros((2, 2), jnp.int32))

    @jax.jit
    def believed(x: Any) -> Any:
        record = condition(
            agent, pomdp, seen, compile_program(done, pomdp.layout, x=x), days(done, 2)
        )
        return record.decision.posterior[AGENTS][1, 0, 2]

    slope = jax.grad(believed)(0.4)
    assert slope == pytest.approx(float(believed(0.401) - believed(0.399)) / 0.002, rel=1e-3)
    assert abs(slope) > 1e-3

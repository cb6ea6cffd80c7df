"""Structure: reduction against direct evidence, expansion and its inverse, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attach_ai.agent import Agent, Dirichlet, Exact, Habit, compile_program
from attach_ai.agent.structure import expand, keep, prune, reduce
from attach_ai.errors import InputError
from attach_ai.model import Phase, load_model
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.pomdp import POMDP
from attach_ai.simulation import Observed, condition, days, rollout
from attach_ai.simulation.structure import compare, evidence
from attach_ai.world import Inner, World
from tests.agent.lives import examples, field, hold, practice
from tests.agent.random_pomdps import LAYOUT, LAYOUTS, random_pomdp
from tests.oracles import Oracle

CORE = load_model("attachment_core")
OTHER = "agents.benevolent"

# -------------------------------------------------------------------------------- reduction


def direct(prior: np.ndarray, data: list[np.ndarray]) -> float:
    """ln p(data | prior): each observation predicted from those before it, column by column."""
    total = 0.0
    for c, seen in enumerate(data):
        a = prior[:, c].astype(float).copy()
        for o in seen:
            total += np.log(a[o] / a.sum()) if a[o] > 0 else -np.inf
            a[o] += 1
    return total


@examples(40)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_reduction_is_the_difference_of_direct_evidence(seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    n, columns = 4, 3
    prior, reduced = rng.gamma(0.5, 4.0, (2, n, columns)) + 1e-3
    if sparse:  # some cells are impossible under both, and never seen
        off = rng.random((n, columns)) < 0.4
        off[rng.integers(n), :] = False
        prior[off], reduced[off] = 0, 0
    data = []
    for c in range(columns):
        p = prior[:, c] / prior[:, c].sum()
        data.append(rng.choice(n, size=rng.integers(0, 30), p=p))
    counts = np.stack([np.bincount(x, minlength=n) for x in data], 1)
    found = reduce(prior + counts, prior, reduced)
    assert found == pytest.approx(direct(reduced, data) - direct(prior, data), abs=1e-10)


def test_a_level_that_only_the_reduced_prior_rules_out() -> None:
    prior, reduced = np.array([[2.0], [1.0], [0.5]]), np.array([[2.0], [1.0], [0.0]])
    unseen, seen = [np.array([0, 1, 0, 0])], [np.array([0, 2, 0])]
    for data in (unseen, seen):
        posterior = prior + np.bincount(data[0], minlength=3)[:, None]
        expected = direct(reduced, data) - direct(prior, data)
        assert reduce(posterior, prior, reduced) == pytest.approx(expected, abs=1e-10)
    assert reduce(prior, prior, prior * 3) == pytest.approx(0, abs=1e-12)  # no data, no evidence


@pytest.mark.parametrize(
    ("posterior", "prior", "reduced"),
    [
        ([1.0, 2.0], [2.0, 2.0], [1.0, 2.0]),  # forgetting: 1 - 2 + 1 = 0
        ([3.0, 2.0], [2.0, 0.0], [2.0, 0.0]),  # what was impossible has been seen
        ([3.0, 2.0], [2.0, 1.0], [2.0, -1.0]),
        ([3.0, 0.0], [2.0, 0.0], [2.0, 1.0]),
    ],
)
def test_undefined_evidence_is_an_input_error(posterior: Any, prior: Any, reduced: Any) -> None:
    with pytest.raises(InputError, match="evidence is undefined") as caught:
        reduce(*(jnp.array(x) for x in (posterior, prior, reduced)))
    assert caught.value.place.startswith("reduce, cell (")
    with pytest.raises(InputError, match="expected one shape"):
        reduce(jnp.ones(2), jnp.ones(3), jnp.ones(3))


def test_reduction_differentiates_and_compiles() -> None:
    posterior, prior = jnp.array([5.0, 2.0, 0.0]), jnp.array([2.0, 1.0, 0.0])
    slope = jax.jit(jax.grad(lambda r: reduce(posterior, prior, r)))(jnp.array([1.0, 1.0, 0.0]))
    assert np.isfinite(slope).all()
    assert abs(slope[0]) > 0.01


# -------------------------------------------------------------------------------- expansion


def same(a: POMDP, b: POMDP) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-14)
    assert a.layout == b.layout


@pytest.mark.parametrize("with_template", [False, True])
def test_expansion_gives_mass_and_inflow_and_pruning_takes_them_back(with_template: bool) -> None:
    full, m0 = CORE.build(), CORE.without(OTHER).build()
    m1 = expand(m0, OTHER, 0.1, full if with_template else None)
    for table in (*m1.A, *m1.B, *m1.D):
        np.testing.assert_allclose(table.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(m1.D[1], [*(0.9 * m0.D[1][:2]), 0.1], atol=1e-14)
    np.testing.assert_allclose(m1.B[1][2][:, :2], 0.1, atol=1e-14)
    np.testing.assert_allclose(m1.B[1][:2, :, :2], 0.9 * m0.B[1][:2, :, :2], atol=1e-14)
    if with_template:  # what it becomes is what the full model says: who stays depends on the law
        np.testing.assert_array_equal(m1.B[1][:, :, 2], full.B[1][:, :, 2])
    else:
        np.testing.assert_allclose(m1.B[1][2][:, 2], 0.9, atol=1e-14)
    for a, b in zip(m1.A, full.A, strict=True):
        np.testing.assert_array_equal(a, b)
    assert m1.layout == full.layout
    same(prune(m1, OTHER), m0)
    same(prune(full, OTHER), m0)


@pytest.mark.parametrize("which", range(len(LAYOUTS)))
def test_pruning_undoes_expansion_in_any_model(which: int) -> None:
    layout = LAYOUTS[which]
    factor = layout.factors[layout.hidden[-1]]
    target = f"{factor.name}.{factor.levels[0]}"
    m0 = prune(random_pomdp(which, layout), target)
    same(prune(expand(m0, target, 0.3), target), m0)


def test_a_level_that_numbers_alone_rule_out_keeps_its_own_columns() -> None:
    m0 = CORE.build(trust=0.0, return_rate=0.0)
    m1 = expand(m0, "agents.benevolent", 0.05)
    f, level = m0.layout.level("agents.benevolent")
    np.testing.assert_allclose(m1.B[f].sum(0), 1, atol=1e-12)
    axis = 1 + m0.layout.factors[f].parents.index(f)
    before, after = (np.moveaxis(np.asarray(m.B[f]), axis, 1) for m in (m0, m1))
    np.testing.assert_allclose(after[:, level], before[:, level], atol=1e-14)
    np.testing.assert_allclose(after[level, :level], 0.05, atol=1e-14)


def test_a_flat_slot_is_uniform_over_what_can_occur_and_planning_knows_it() -> None:
    m0 = CORE.without(OTHER).build()
    m1 = expand(m0, OTHER, 0.1, flat=True)
    for m, modality in enumerate(m1.layout.modalities):
        np.testing.assert_allclose(m1.A[m].sum(0), 1, atol=1e-12)
        if 1 not in modality.parents:
            np.testing.assert_array_equal(m1.A[m], m0.A[m])
    np.testing.assert_allclose(m1.A[1][:, 2], 1 / 3, atol=1e-14)  # approval
    agents, stance = (m1.layout.modalities[3].parents.index(f) for f in (1, 5))
    cue = np.moveaxis(np.asarray(m1.A[3]), (1 + agents, 1 + stance), (1, 2))[:, 2]
    np.testing.assert_allclose(cue[:, 0], [0, 1, 0], atol=1e-14)  # nothing else can be seen
    monitor = 1
    seen = cue[:, monitor]
    np.testing.assert_allclose(seen, np.where(seen > 0, 1 / (seen > 0).sum(), 0), atol=1e-14)
    # What planning slices away must not depend on the level: the whole table agrees with a model
    # whose layout claims nothing of the kind.
    blunt = replace(
        m1,
        layout=replace(
            m1.layout,
            modalities=tuple(replace(m, reads=None, outcomes=None) for m in m1.layout.modalities),
        ),
    )
    efe = []
    for pomdp in (m1, blunt):
        agent = Agent()
        done = compile_program(hold(steps=2), pomdp.layout)
        seen_ = Observed(jnp.full((1, 2, 6), -1, jnp.int32), jnp.ones((1, 2), jnp.int32))
        agent = Agent(learning=Dirichlet())
        record = condition(agent, pomdp, seen_, done, days(hold(steps=2), 1))
        efe.append(record.decision.plan.efe)
    np.testing.assert_allclose(efe[0], efe[1], atol=1e-10)


def test_what_cannot_be_expanded_or_pruned() -> None:
    core = CORE.build()
    with pytest.raises(InputError, match=r"already has mass \(prior 0.3, inflow up to 0.02\)"):
        expand(core, OTHER, 0.1)
    with pytest.raises(InputError, match=r"already has mass \(prior 0, inflow up to 0.02\)"):
        expand(CORE.build(trust=0.0), OTHER, 0.1)
    for target, said in (("agents.kind", "no level of agents"), ("stance.monitor", "by an action")):
        with pytest.raises(InputError, match=said):
            expand(core, target, 0.1)
        with pytest.raises(InputError, match=said):
            prune(core, target)
    with pytest.raises(InputError, match="mass is 1"):
        expand(CORE.without(OTHER).build(), OTHER, 1.0)
    with pytest.raises(InputError, match=r"leaves a column of B\.agents empty"):
        prune(CORE.build(h0=0.0), OTHER)
    # Under tracing nothing can be raised, and nothing is changed.
    traced = jax.jit(lambda p: expand(p, OTHER, 0.1))(core)
    same(traced, core)


# -------------------------------------------------------------------------------- evidence

TINY = load_model("teaching")
WAIT = hold(steps=6, allowed={"": ("monitor",)})
HABIT = Agent(planning=Habit(), learning=Dirichlet())


def tiny() -> tuple[POMDP, POMDP]:
    """A world without anybody, and one in which somebody may come."""
    m0 = TINY.without("agents.benevolent").build()
    return m0, expand(m0, "agents.benevolent", 0.2)


def odds(truth: POMDP, n_sessions: int, n_lives: int) -> np.ndarray:
    """Log Bayes factors (life, session) for the cause, where `truth` is so."""
    m0, m1 = tiny()
    program, calendar = compile_program(WAIT, m0.layout), days(WAIT, n_sessions)

    def one(key: Any) -> Any:
        # With rate 1 and no loop inner outcomes are drawn from A itself.
        world = World(truth, Inner(rate=1.0, gain=0.0))
        lived = rollout(key, HABIT, m0, world, program, calendar)
        seen = Observed(lived.outcome, lived.decision.choice)
        return compare(HABIT, m0, m1, seen, program, calendar)

    keys = jax.random.split(jax.random.key(0), n_lives)
    return np.asarray(jax.jit(jax.vmap(one))(keys))


@pytest.mark.parametrize("cause", [False, True], ids=["nobody", "somebody"])
def test_a_cause_is_kept_or_pruned_wrongly_no_more_often_than_the_threshold_says(
    cause: bool,
) -> None:
    n_lives = 600
    found = keep(odds(tiny()[cause], 12, n_lives))
    wrong = (np.asarray(found) == (-1 if cause else 1)).any(1).mean()
    right = (np.asarray(found) == (1 if cause else -1)).any(1).mean()
    bound = np.exp(-3)
    assert wrong <= bound + 3 * np.sqrt(bound * (1 - bound) / n_lives)
    assert right > 0.8


def test_the_evidence_of_a_session_is_the_probability_of_its_outcomes() -> None:
    m0, m1 = tiny()
    oracle = Oracle(m1)
    outcome = jnp.array([[[0, 2, 1], [1, 0, 1], [0, -1, 1]]] * 2, jnp.int32)
    outcome = outcome.at[:, 0].set(jnp.array([0, 1, 0], jnp.int32))
    choice = jnp.ones((2, 3), jnp.int32)
    done = practice(Phase("a", 3, (field("agents.benevolent", 2.0),)))
    program, calendar = compile_program(done, m1.layout), days(done, 2)
    record = condition(HABIT, m1, Observed(outcome, choice), program, calendar)
    direct = np.log(oracle.paths(np.asarray(outcome[0]).tolist(), [1, 1, 1]).sum())
    np.testing.assert_allclose(evidence(record), [direct, direct], atol=1e-10)
    found = compare(HABIT, m0, m1, Observed(outcome, choice), program, calendar)
    other = evidence(condition(HABIT, m0, Observed(outcome, choice), program, calendar))
    np.testing.assert_allclose(found, np.cumsum(direct - np.asarray(other)), atol=1e-10)
    strange = random_pomdp(0, LAYOUT)
    with pytest.raises(InputError, match="other factors"):
        compare(HABIT, m0, strange, Observed(outcome, choice), program, calendar)


def test_the_rule_of_two_thresholds() -> None:
    np.testing.assert_array_equal(keep(jnp.array([-4.0, -2.0, 0.0, 2.9, 3.0])), [-1, 0, 0, 0, 1])
    np.testing.assert_array_equal(keep(jnp.array([2.0, 2.0]), 1.5, 3.0), [1, 1])
    assert keep(-1.0, threshold=0.5) == -1
    with pytest.raises(InputError, match="threshold is 0"):
        keep(1.0, threshold=0.0)


# -------------------------------------------------------------------------------- a spare slot


def test_a_spare_slot_is_idle_on_familiar_data_and_engages_on_novel() -> None:
    """Smith et al. 2020: a flat column, learned; unused it is pruned, used it is kept.

    Three known causes each show an outcome of their own; the fourth is the slot.
    """
    known = np.full((4, 3), 0.01) + 0.96 * np.eye(4, 3)
    layout = Layout(
        (Factor("animal", ("dog", "cat", "bird", "slot"), (0,), excluded=(3,)),),
        (Modality("sound", ("bark", "meow", "song", "roar"), (0,)),),
        (Action("listen", ("on",)),),
    )
    third = np.array([1.0, 1.0, 1.0, 0.0]) / 3
    m0 = POMDP(
        A=(jnp.asarray(np.c_[known, np.full(4, 0.25)]),),
        B=(jnp.asarray(np.c_[np.eye(4, 3), third]),),
        C=(jnp.zeros(4),),
        D=(jnp.asarray(third),),
        E=(jnp.ones(1),),
        counts={"A.sound": jnp.array(20.0), "D.animal": jnp.array(4.0)},
        layout=layout,
    )
    m1 = expand(m0, "animal.slot", 0.1, flat=True)
    agent = Agent(Exact(), Habit(), Dirichlet(A=["sound"], D=["animal"], retention=1.0))
    steps, sessions = 1, 60
    done = hold(steps=steps)
    program, calendar = compile_program(done, m1.layout), days(done, sessions)
    rng = np.random.default_rng(0)
    shows = np.vstack([known.T, [0.01, 0.01, 0.01, 0.97]])

    def listen(causes: np.ndarray) -> tuple[Any, list[float], list[int]]:
        """The life, its evidence for the slot, and whether either of two rules keeps the slot."""
        heard = [[rng.choice(4, p=shows[c]) for _ in range(steps)] for c in causes]
        none = jnp.zeros((sessions, steps), jnp.int32)
        seen = Observed(jnp.asarray(heard, jnp.int32)[..., None], none)
        record = condition(agent, m1, seen, program, calendar)
        before, after = (c["A.sound"][:, 3:] for c in (anchor, record.final_counts))
        # What the column has learned against a prior ten times as sure that it is flat.
        found = [
            float(compare(agent, m0, m1, seen, program, calendar)[-1]),
            -float(reduce(after, before, 10 * before)),
        ]
        return record, found, [int(keep(x)) for x in found]

    anchor = agent.learning.counts(m1)
    familiar, nats, verdict = listen(rng.integers(0, 3, sessions))
    assert familiar.decision.posterior[0][:, -1, 3].mean() < 0.15
    # An idle slot costs little: nothing speaks for it, and not enough against it to prune it.
    assert max(nats) < 1
    assert verdict == [0, 0]
    causes = rng.choice([0, 1, 2, 3], sessions, p=[0.2, 0.2, 0.2, 0.4])
    novel, _, verdict = listen(causes)
    assert verdict == [1, 1]
    late, slot = causes[20:], np.asarray(novel.decision.posterior[0][20:, -1, 3])
    assert slot[late == 3].mean() > 0.8
    # With one outcome an episode it takes a share of what is familiar too.
    assert slot[late == 3].mean() > slot[late != 3].mean() + 0.3
    column = novel.final_counts["A.sound"][:, 3]
    assert int(column.argmax()) == 3  # it has learned what the novel cause shows
    assert column[3] / column.sum() > 0.45

"""What every implementation of an interface must do, whichever it is."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from functools import partial
from importlib import import_module
from inspect import isabstract
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attach_ai.agent
import attach_ai.world
from attach_ai.agent import Clamp, Dirichlet, Exact, ExpectedFreeEnergy, Field, Habit
from attach_ai.agent.hold import AbstractOperator, Condition, Expand, Precision, PriorChange
from attach_ai.agent.learning import AbstractLearning
from attach_ai.agent.mean_field import MeanField
from attach_ai.agent.perception import AbstractPerception
from attach_ai.agent.planning import AbstractPlanner
from attach_ai.agent.structure import prune
from attach_ai.errors import InputError
from attach_ai.world import AbstractWorld, Inner, World
from tests.agent.random_pomdps import LAYOUT, random_pomdp

POMDP = random_pomdp(30)
CONTEXT = LAYOUT.first_context
FELT = replace(
    LAYOUT, modalities=tuple(replace(m, inner=m.name != "face") for m in LAYOUT.modalities)
)
LEARNS = Dirichlet(A=["pulse"], B=["mood", "body"])
EXAMPLES: dict[type, list[Any]] = {
    AbstractPerception: [
        Exact("dense"),
        Exact("factors"),
        MeanField(n_iter=4),
        MeanField("vmp", 4),
    ],
    AbstractPlanner: [
        Habit(),
        ExpectedFreeEnergy(gamma=2.0),
        ExpectedFreeEnergy(horizon=2, information="per_modality", alpha=3.0),
        ExpectedFreeEnergy(horizon=2, novelty=True),
    ],
    AbstractOperator: [
        Field("mood", "b", 1.5),
        Clamp("mood", "b"),
        Condition("mood", "b", 0.5),
        PriorChange("mood", "b", 2.0),
        Precision("pulse", 0.3),
        Expand("mood", "b", 0.1),
    ],
    AbstractLearning: [
        Dirichlet(D=["mood", "body"], B=["mood"], retention=0.7),
        Dirichlet(
            A=["pulse", "posture"], B=["echo"], D=["mood"], E=["speak"], expected_log=True, eta=0.5
        ),
    ],
    AbstractWorld: [
        World(replace(POMDP, layout=FELT), Inner(rate=0.5, gain=0.3, load={"pulse": [0.0, 1.0]}))
    ],
}


def implementations(interface: type) -> set[type]:
    """All classes of the library below an interface."""
    for package in (attach_ai.agent, attach_ai.world):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            import_module(module.name)
    found, left = set(), [interface]
    while left:
        below = [c for c in left.pop().__subclasses__() if c.__module__.startswith("attach_ai")]
        found.update(below)
        left += below
    return found


@pytest.mark.parametrize("interface", EXAMPLES)
def test_every_implementation_is_final_and_has_an_example_here(interface: type) -> None:
    found = implementations(interface)
    assert isabstract(interface)
    assert found == {type(x) for x in EXAMPLES[interface]}
    for implementation in found:
        assert not isabstract(implementation)
        assert not implementation.__subclasses__()


def every(interface: type) -> Any:
    return pytest.mark.parametrize("it", EXAMPLES[interface], ids=repr_short)


def repr_short(it: Any) -> str:
    settings = [str(v) for v in vars(it).values() if isinstance(v, str | int) and v is not False]
    return "-".join([type(it).__name__, *settings])


@every(AbstractPerception)
def test_perception(it: AbstractPerception) -> None:
    outcome = jnp.array([1, 0, CONTEXT], jnp.int32)
    factors = range(len(LAYOUT.factors)) if isinstance(it, MeanField) else LAYOUT.hidden

    @jax.jit
    def run(pomdp: Any) -> Any:
        tables = it.prepare(pomdp)
        state = it.begin(tables, pomdp.D)
        before = it.expect(tables, state)
        _, unmoved, nothing = it.update(tables, state, CONTEXT, jnp.full(3, -1, jnp.int32))
        after, belief, evidence = it.update(tables, state, CONTEXT, outcome)
        ahead = it.forecast(tables, belief, CONTEXT)
        moved = it.expect(tables, it.advance(tables, after, ahead, jnp.asarray(3, jnp.int32)))
        changed = {
            "belief": belief,
            "tilted": it.tilt(tables, belief, 0, 1, jnp.asarray(1.5)),
            "untilted": it.tilt(tables, belief, 0, 1, jnp.asarray(0.0)),
            "clamped": it.clamp(tables, belief, 0, 1),
            "spliced": it.splice(tables, belief, before, 0),
            "before": before,
            "unmoved": unmoved,
            "moved": moved,
            "foreseen": jax.tree.map(lambda x: x[3], ahead),
        }
        one_by_one = [it.read(tables, belief, (f,)) for f in LAYOUT.hidden]
        marginals = {k: [it.read(tables, b, (f,)) for f in factors] for k, b in changed.items()}
        steps = jax.tree.map(lambda a, b, c: jnp.stack([a, b, c]), before, belief, moved)
        choices = jnp.array([3, 1, 0], jnp.int32)
        (pairs,), looked_back = it.statistics(
            tables,
            steps,
            choices,
            jnp.array([2, 0, 1], jnp.int32),
            pairs=(1,),
            reads=((0, 2), ()),
        )
        apart = [it.divergence(b, belief) for b in (belief, changed["tilted"], changed["clamped"])]
        both = it.marginals(tables, belief), one_by_one
        return marginals, both, evidence, nothing, pairs, looked_back, jnp.stack(apart)

    marginals, both, evidence, nothing, pairs, looked_back, apart = run(POMDP)
    for p, q in zip(*both, strict=True):
        np.testing.assert_allclose(p, q, atol=1e-14)
    for qs in marginals.values():
        for q in qs:
            assert q.dtype == POMDP.A[0].dtype
            assert (q >= 0).all()
            np.testing.assert_allclose(q.sum(), 1)
    for f in LAYOUT.hidden:
        np.testing.assert_allclose(marginals["before"][f], POMDP.D[f], atol=1e-12)
    same = [("unmoved", "before"), ("untilted", "belief"), ("moved", "foreseen")]
    for one, other in same if it != MeanField("vmp", 4) else same[:2]:
        for p, q in zip(marginals[one], marginals[other], strict=True):
            np.testing.assert_allclose(p, q, atol=1e-12)
    np.testing.assert_allclose(nothing.vfe, 0, atol=1e-12)
    np.testing.assert_allclose(evidence.vfe, evidence.complexity - evidence.accuracy, atol=1e-12)
    assert evidence.vfe > 0
    odds = [marginals[k][0][1] / (1 - marginals[k][0][1]) for k in ("belief", "tilted")]
    np.testing.assert_allclose(np.log(odds[1] / odds[0]), 1.5)
    np.testing.assert_allclose(marginals["clamped"][0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(marginals["spliced"][0], marginals["before"][0], atol=1e-14)
    for k in ("clamped", "spliced"):
        for f in (1, 2):
            np.testing.assert_allclose(marginals[k][f], marginals["belief"][f], atol=1e-14)
    assert pairs.shape == POMDP.B[1].shape
    np.testing.assert_allclose(pairs.sum(), 2)
    for q, shape in zip(looked_back, [(3, 3, 2), (3,)], strict=True):
        assert q.shape == shape
        np.testing.assert_allclose(q.reshape(3, -1).sum(1), 1)
    np.testing.assert_allclose(apart[0], 0, atol=1e-14)
    assert (apart[1:] > 1e-3).all()


@every(AbstractPlanner)
def test_planner(it: AbstractPlanner) -> None:
    see = Exact()
    allowed = jnp.array([True, True, False, True, False, True])

    @jax.jit
    def run(pomdp: Any) -> Any:
        tables = see.prepare(pomdp)
        ahead = see.forecast(tables, see.begin(tables, pomdp.D), CONTEXT)
        plans = it.prepare(pomdp, LEARNS.counts(pomdp))
        now = see.begin(tables, pomdp.D)
        return it.plan(see, tables, plans, now, CONTEXT, ahead, lambda b, c: b, allowed)

    plan = run(POMDP)
    p = np.exp(plan.log_p)
    np.testing.assert_allclose(p.sum(), 1)
    np.testing.assert_array_equal(p > 0, allowed)
    np.testing.assert_allclose(plan.q_pi.sum(), 1)
    values = (plan.pragmatic, plan.epistemic, plan.novelty)
    for part in (plan.efe, plan.risk, plan.ambiguity, *values):
        assert part.shape == plan.q_pi.shape
        assert np.isfinite(part).all()
    np.testing.assert_allclose(plan.efe, plan.risk + plan.ambiguity - plan.novelty, atol=1e-13)
    np.testing.assert_allclose(plan.efe, -sum(values), atol=1e-13)
    assert (plan.novelty > 0).all() == getattr(it, "novelty", False)


@every(AbstractOperator)
@pytest.mark.parametrize("see", [Exact(), MeanField()], ids=repr_short)
def test_operator(it: AbstractOperator, see: AbstractPerception) -> None:
    """Where it says that it acts it does, with an open gate only; everywhere else it is neutral."""
    pomdp = prune(POMDP, "mood.b") if isinstance(it, Expand) else POMDP
    tables = see.prepare(pomdp)
    belief = see.expect(tables, see.begin(tables, pomdp.D))
    counts = {"D.mood": jnp.ones(3), "D.body": jnp.ones(2)}

    def at(gate: float) -> dict[str, Any]:
        on = jnp.asarray(gate)
        return {
            "held": it.apply(see, tables, belief, on),
            "unheld": it.inform(see, tables, belief, on),
            "evidence": it.weigh(LAYOUT, jnp.ones(3), on),
            "counts": it.leave(LAYOUT, counts, on, "test"),
            "model": it.change(pomdp, on, "test").D,
        }

    neutral = {
        "held": belief,
        "unheld": belief,
        "evidence": jnp.ones(3),
        "counts": counts,
        "model": pomdp.D,
    }
    own = "held" if it.touches == "carried" else it.touches
    for place, off in at(0.0).items():
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-15), off, neutral[place])
    for place, on in at(1.0).items():
        moved = [
            np.abs(p - q).max()
            for p, q in zip(jax.tree.leaves(on), jax.tree.leaves(neutral[place]), strict=True)
        ]
        assert (max(moved) > 1e-2) == (place == own)
    if it.touches == "carried":  # what is carried must not change by being applied once more
        once = it.apply(see, tables, belief, jnp.asarray(1.0))
        again = it.apply(see, tables, once, jnp.asarray(1.0))
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-15), again, once)


@every(AbstractLearning)
def test_learning(it: AbstractLearning) -> None:
    anchor = it.counts(POMDP)
    assert set(anchor) == {name for name, _, _ in it.tables(LAYOUT)}
    same = it.learned(POMDP, anchor)
    for p, q in zip(jax.tree.leaves(same), jax.tree.leaves(POMDP), strict=True):
        np.testing.assert_allclose(p, q, atol=1e-14)
    nothing = jax.tree.map(jnp.zeros_like, anchor)
    one, none = jnp.asarray(1.0), jnp.asarray(0.0)
    still = it.end_session(anchor, anchor, nothing, one, jnp.asarray(2.0))
    for name, counts in anchor.items():
        np.testing.assert_allclose(still[name], counts, atol=1e-12)
    something = jax.tree.map(jnp.ones_like, anchor)
    more = it.end_session(anchor, anchor, something, one, none)
    untaught = it.end_session(anchor, anchor, something, none, none)
    back = it.end_session(more, anchor, nothing, none, jnp.asarray(500.0))
    for name, counts in anchor.items():
        assert (more[name] > counts).all()
        np.testing.assert_allclose(untaught[name], counts, atol=1e-12)
        np.testing.assert_allclose(back[name], counts, atol=1e-9)
    learned, seen = it.learned(POMDP, more), it.perceived(POMDP, more)
    for table in (*learned.A, *learned.B, *learned.D, *learned.E):
        np.testing.assert_allclose(table.sum(0), 1)
    if seen is not None:
        for table in (*seen.B, *seen.D):
            np.testing.assert_allclose(table.sum(0), 1)
        for table, mean in zip(seen.A, learned.A, strict=True):
            assert (table <= mean + 1e-14).all()
    grown = it.grown(POMDP, more)
    for p, q in zip(jax.tree.leaves(it.counts(grown)), jax.tree.leaves(more), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-15)


@every(AbstractWorld)
@pytest.mark.parametrize("draw", [0.0, 0.37, float(np.nextafter(1, 0))])
def test_world(it: AbstractWorld, draw: float) -> None:
    predicted = (jnp.array([0.2, 0.8]), jnp.array([0.0, 0.0, 1.0]))

    @eqx.filter_jit
    def run(world: AbstractWorld, draw: Any) -> Any:
        tables = world.prepare(FELT)
        start = world.begin(tables, jnp.full(4, draw))
        shown, outcome = world.emit(tables, start, predicted, jnp.full(3, draw))
        after = world.change(tables, shown, jnp.asarray(4, jnp.int32), jnp.full(4, draw))
        return start, shown, outcome, after

    start, shown, outcome, after = run(it, draw)
    for state in (start, shown, after):
        for x in state.inner:
            np.testing.assert_allclose(x.sum(), 1)
        for level, factor in zip(state.levels, FELT.factors, strict=True):
            assert 0 <= level < len(factor.levels)
    np.testing.assert_array_equal(start.levels, shown.levels)
    for o, modality in zip(outcome, FELT.modalities, strict=True):
        assert 0 <= o < len(modality.levels)
    other = replace(FELT, factors=(replace(FELT.factors[0], name="temper"), *FELT.factors[1:]))
    with pytest.raises(InputError, match="other factors"):
        it.prepare(other)

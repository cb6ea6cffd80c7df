"""Growing up: stages are lived in turn, what is learned is kept, and one compilation serves all."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import jax
import numpy as np
import pytest

from attach_ai.agent import Agent, Dirichlet
from attach_ai.errors import InputError
from attach_ai.model import POMDP, History, Model, load_history, load_model
from attach_ai.simulation import (
    Record,
    childhood,
    develop,
    formative_learning,
    rollout,
    staged,
)
from attach_ai.world import Inner, World

CORE = load_model("attachment_core")
CHILD = Agent(learning=Dirichlet(D=["agents", "law"], E=["next_stance"], retention=1.0))


def short(name: str, *sessions: int, steps: int = 6) -> History:
    """A shipped history with so many sessions in each stage."""
    history = load_history(name)
    stages = tuple(replace(s, sessions=n) for s, n in zip(history.stages, sessions, strict=True))
    return replace(history, stages=stages, steps=steps)


SECURE = short("secure", 5)
MORALISED = short("moralised_abandonment", 3, 2)
NEWBORN = CORE.build(SECURE.newborn())


def lived(history: History, seed: int = 0, agent: Agent = CHILD, **settings: Any) -> Record:
    found: Record = childhood(history, CORE, **settings).live(jax.random.key(seed), agent, NEWBORN)
    return found


def test_one_stage_is_a_plain_life_in_its_world() -> None:
    home = childhood(SECURE, CORE)
    start = CORE.build(SECURE.worlds()[0], law_drift=0.0, fear_of_loss=0.0, instability=0.0)
    plain = rollout(
        jax.random.key(3),
        CHILD,
        NEWBORN,
        World(start, Inner(gain=0.0, rate=1.0)),
        home.program,
        home.days,
    )
    same = home.live(jax.random.key(3), CHILD, NEWBORN)
    jax.tree.map(np.testing.assert_array_equal, plain, same)


def test_stages_are_lived_in_turn() -> None:
    both, first = lived(MORALISED), lived(replace(MORALISED, stages=MORALISED.stages[:1]))
    np.testing.assert_array_equal(both.outcome[:3], first.outcome)
    law = both.levels[..., CORE.layout.factor("law")]
    assert (law == 2).all()  # contingent throughout
    # Nobody comes any more in the last stage, if all is lost.
    gone = lived(MORALISED, loss=1.0, hostile=0.0).levels[..., CORE.layout.factor("agents")]
    assert (gone[3:] == 0).all()
    assert (gone[:3] == 2).any()


def test_the_last_world_stands_in_for_stages_that_a_history_lacks() -> None:
    processes = [CORE.build(w) for w in MORALISED.worlds()]
    stacked = staged(MORALISED, processes, n_stages=4)
    assert stacked.world.process.D[0].shape[0] == 4
    jax.tree.map(
        np.testing.assert_array_equal,
        stacked.live(jax.random.key(0), CHILD, NEWBORN),
        lived(MORALISED),
    )


def test_the_grown_mind_goes_on_from_its_counts() -> None:
    grown = develop(jax.random.key(0), CHILD, NEWBORN, MORALISED)
    after = lived(MORALISED).final_counts
    for name, counts in CHILD.learning.counts(grown).items():
        np.testing.assert_allclose(counts, after[name], rtol=1e-12)
    np.testing.assert_allclose(after["D.agents"].sum(), NEWBORN.counts["D.agents"] + 5)
    assert set(grown.counts) == set(NEWBORN.counts)
    np.testing.assert_allclose(grown.A[3], NEWBORN.A[3])


def test_many_minds_are_as_each_alone() -> None:
    keys = jax.random.split(jax.random.key(5), 3)
    many = develop(keys, CHILD, NEWBORN, MORALISED)
    traced = jax.vmap(lambda k: develop(k, CHILD, NEWBORN, MORALISED))(keys)
    alone = develop(keys[1], CHILD, NEWBORN, MORALISED)
    for found in (many, traced):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, atol=1e-12), found, alone)
    assert (many.D[1][0] != many.D[1][1]).any()


def test_histories_of_one_shape_share_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    module, traced = import_module("attach_ai.simulation.develop"), []

    def counted(*args: Any, **settings: Any) -> Record:
        traced.append(1)
        return rollout(*args, **settings)

    monkeypatch.setattr(module, "rollout", counted)
    tall = replace(SECURE, steps=7)
    develop(jax.random.key(0), CHILD, NEWBORN, tall)
    develop(jax.random.key(1), CHILD, CORE.build(trust=0.2), tall, responsiveness=0.3)
    develop(jax.random.key(0), CHILD, NEWBORN, replace(short("avoidant", 5), steps=7))
    assert len(traced) == 1


def test_contingent_care_teaches_that_care_is_contingent() -> None:
    keys = jax.random.split(jax.random.key(2), 16)
    history = short("moralised_abandonment", 12, 4, steps=24)
    law, contingent = CORE.layout.factor("law"), 2

    def believed(strength: float) -> float:
        grown = develop(keys, CHILD, NEWBORN, history, contingency=strength)
        return float(grown.D[law][:, contingent].mean())

    assert believed(0.0) + 0.05 < believed(1.2)


def test_what_the_mind_leaves_out_is_not_out_of_its_world() -> None:
    model = CORE.without("agents.benevolent")
    newborn = model.build(SECURE.newborn())
    home = childhood(SECURE, model)
    record = home.live(jax.random.key(0), CHILD, newborn)
    assert (record.levels[..., CORE.layout.factor("agents")] == 2).any()
    grown = develop(jax.random.key(0), CHILD, newborn, SECURE)
    assert grown.D[CORE.layout.factor("agents")][2] == 0


def test_growing_up_teaches_everything_with_a_strength_but_what_outcomes_mean() -> None:
    learning = formative_learning(NEWBORN)
    assert set(learning.D) == {"agents", "law", "self_state"}
    assert learning.E == ("next_stance",)
    assert learning.A == ()
    assert "agents" in learning.B
    assert float(learning.retention) == 1.0


def test_another_model_may_give_the_words() -> None:
    tables = (NEWBORN.A, NEWBORN.B, NEWBORN.C, NEWBORN.D, NEWBORN.E, NEWBORN.counts)
    undeclared = POMDP(*tables, layout=replace(NEWBORN.layout, declared=None))
    with pytest.raises(InputError, match="comes from no declared model"):
        develop(jax.random.key(0), CHILD, undeclared, SECURE)
    grown = develop(jax.random.key(0), CHILD, undeclared, SECURE, model=CORE)
    same = develop(jax.random.key(0), CHILD, NEWBORN, SECURE)
    jax.tree.map(np.testing.assert_array_equal, grown, same)


def test_the_declaration_is_no_part_of_the_shape() -> None:
    mine = Model(**{**CORE.__dict__, "name": "mine"})
    ours, theirs = CORE.build().layout, mine.build().layout
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert (ours.declared, theirs.declared) == (CORE, mine)


@pytest.mark.parametrize(
    ("agent", "model", "sentence"),
    [
        (Agent(), CORE, "the agent learns no table"),
        (CHILD, load_model("teaching"), "the model has no parameter"),
    ],
)
def test_what_cannot_grow_is_refused(agent: Agent, model: Model, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        develop(jax.random.key(0), agent, NEWBORN, SECURE, model=model)
    with pytest.raises(InputError, match="has no parameter 'warmth'"):
        develop(jax.random.key(0), CHILD, NEWBORN, SECURE, warmth=0.2)

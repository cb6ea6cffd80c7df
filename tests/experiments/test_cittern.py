"""What the caregiving model means, and how styles and their boundaries are read off."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from attach_ai.agent import Agent, Dirichlet, ExpectedFreeEnergy
from attach_ai.lab.experiments import available, load
from attach_ai.model import load_model
from attach_ai.simulation import simulate
from attach_ai.world import World

ROOT = Path(__file__).parents[2]
F1 = load(available(ROOT)["cittern_reproduction"]).module
MODEL = load_model("caregiving")
SEEK, GUARDED, AVOID = range(3)
UNCHANGED = 2


def change(**parameters: float) -> np.ndarray:
    """(stress after, bid) of one exchange."""
    return np.asarray(MODEL.build(parameters).B[0])[:, UNCHANGED]


def worth(q: float, pragmatic_only: bool = False) -> np.ndarray:
    """Of each bid, by hand: expected preference, and entropy of what is felt (felt as it is)."""
    p = change(q=q, slip=0.001)
    utility = np.array([2.0, 0.75, 0.0, -0.9, -2.0]) @ p
    return utility if pragmatic_only else utility - (p * np.log(p)).sum(0)


def test_an_answer_soothes_more_the_more_openly_it_was_asked_for() -> None:
    table = change(q=0.7, slip=0.1)
    np.testing.assert_allclose(table[:, SEEK], [0.65, 0.02, 0.02, 0.02, 0.29])
    np.testing.assert_allclose(table[:, GUARDED], [0.02, 0.65, 0.02, 0.29, 0.02])
    np.testing.assert_allclose(table[:, AVOID], [0.02, 0.02, 0.92, 0.02, 0.02])


def test_shuffled_feedback_keeps_the_marginal_and_forgets_the_bid() -> None:
    rest = {"q": 0.3, "heard": 0.8}
    linked, dealt = change(**rest), change(**rest, link=0.0)
    for bid in (SEEK, GUARDED, AVOID):
        np.testing.assert_allclose(dealt[:, bid], linked.mean(1))


@pytest.mark.parametrize(("q", "best"), [(0.1, AVOID), (0.35, GUARDED), (0.6, SEEK), (0.9, SEEK)])
def test_information_makes_the_middle_band(q: float, best: int) -> None:
    assert worth(q).argmax() == best


def test_preferences_alone_never_favour_a_guarded_bid() -> None:
    for q in np.linspace(0, 1, 101):
        assert worth(q, pragmatic_only=True).argmax() != GUARDED


def test_an_exchange_teaches_about_the_bid_that_was_made() -> None:
    setting = F1._here()
    pomdp = MODEL.build()
    agent = Agent(learning=Dirichlet(B=("stress",), retention=1.0), planning=ExpectedFreeEnergy())
    world = World(MODEL.build(q=0.9))
    life = simulate(jax.random.key(3), agent, pomdp, world, setting.practice, 12)
    counts = agent.learning.counts(pomdp)["B.stress"]
    made = np.bincount(np.asarray(life.action("next_bid"))[:, 0], minlength=3)
    name = next(n for n in life.tree["counts"].data_vars if "stress" in str(n))
    learnt = life.tree["counts"][name].values[-1] - np.asarray(counts)
    np.testing.assert_allclose(learnt[:, UNCHANGED].sum(0), made, atol=1e-10)
    others = np.delete(np.arange(5), UNCHANGED)
    np.testing.assert_allclose(learnt[:, others], 0.0, atol=1e-10)


def along_q(best: list[int]) -> xr.DataArray:
    """Values of which these bids are the best, along q."""
    q = np.linspace(0, 1, len(best))
    return xr.DataArray(np.eye(3)[best], {"q": q, "bid": range(3)})


@pytest.mark.parametrize(
    ("best", "ordered"),
    [
        ([2, 2, 1, 0, 0], True),
        ([2, 1, 2, 1, 0], False),
        ([2, 2, 0, 0, 0], False),
        ([0, 0, 1, 2, 2], False),
    ],
)
def test_bands_are_ordered_only_if_all_three_come_in_turn(best: list[int], ordered: bool) -> None:
    assert bool(F1._ordered(along_q(best))) == ordered


def test_boundaries_are_lengths_of_q() -> None:
    found = F1._bands(along_q([2, 2, 1, 0, 0]))
    assert float(found["lower"]) == pytest.approx(0.375)  # half of the step to the next point
    assert float(found["upper"]) == pytest.approx(0.625)


def test_a_bid_leads_only_over_its_strongest_rival() -> None:
    policy = np.array([[0.2, 0.45, 0.35], [0.3, 0.4, 0.3]])  # (seed, bid)
    data = xr.Dataset(
        {"policy": (("arm", "q", "model", "seed", "bid"), policy[None, None, None])},
        {"arm": ["care"], "q": [0.35], "bid": range(3)},
    )
    found = F1._most_probable({"reference": data, "draws": data}, "care", GUARDED, 0.3, 0.4)
    assert found["mean"] == pytest.approx(0.1)
    assert found["share"] == 1.0


def test_what_was_learned_is_judged_as_planning_would() -> None:
    """`_worth` is the planner's own negative expected free energy, up to a constant."""
    pomdp = MODEL.build(q=0.35)
    agent = Agent(planning=ExpectedFreeEnergy(gamma=1.0), learning=Dirichlet(B=("stress",)))
    life = simulate(jax.random.key(0), agent, pomdp, World(pomdp), F1._here().practice, 1)
    efe = np.asarray(life.tree["policy"]["efe"])[0, 0]
    ours = sum(F1._worth(pomdp, jnp.asarray(pomdp.B[0])[:, UNCHANGED]))
    np.testing.assert_allclose(ours - ours[AVOID], -(efe - efe[AVOID]), atol=1e-10)

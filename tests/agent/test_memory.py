"""Latent-cause memory against enumeration of all partitions, and against closed forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from math import inf, log

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from attach_ai.agent.memory import LatentCauses, Memory, flat_base
from attach_ai.errors import InputError
from tests.agent.lives import examples
from tests.agent.random_pomdps import LAYOUT

BASE = (np.array([0.4, 0.3, 0.3]), np.array([0.5, 0.7]))
SIZES = (3, 2)
OBSERVE = eqx.filter_jit(LatentCauses.observe)


def partitions(n: int) -> Iterator[tuple[int, ...]]:
    """Every assignment of n trials to causes, numbered in the order in which they open."""

    def grow(z: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(z) == n:
            yield z
            return
        for k in range(max(z, default=-1) + 2):
            yield from grow((*z, k))

    return grow(())


def prior(z: Sequence[int], times: Sequence[float], alpha: float, exponent: float) -> float:
    """ln P(assignment) under the distance-dependent prior."""
    total = 0.0
    for t, k in enumerate(z):
        kernel = [max(times[t] - s, 1.0) ** -exponent for s in times[:t]]
        own = sum(w for w, j in zip(kernel, z, strict=False) if j == k)
        weight = own if k in z[:t] else alpha if t else 1.0
        total += log(weight / (sum(kernel) + (alpha if t else 1.0)) if t else 1.0)
    return total


def evidence(z: Sequence[int], data: np.ndarray) -> float:
    """ln P(outcomes | assignment): Dirichlet-multinomials in closed form."""
    total = 0.0
    for k in set(z):
        own = data[[j == k for j in z]]
        for m, b in enumerate(BASE):
            seen = own[own[:, m] >= 0, m]
            counts = np.bincount(seen, minlength=len(b))
            total += gammaln(b.sum()) - gammaln(b.sum() + len(seen))
            total += np.sum(gammaln(b + counts) - gammaln(b))
    return float(total)


def lives(memory: LatentCauses, times: Sequence[float], data: np.ndarray) -> list[tuple]:
    """(memory before, posterior, surprise, cause) of each trial."""
    state, found = memory.init(), []
    for t, outcome in zip(times, data, strict=True):
        after, posterior, surprise = OBSERVE(memory, state, jnp.asarray(t), jnp.asarray(outcome))
        found.append((state, np.asarray(posterior), float(surprise), int(jnp.argmax(posterior))))
        state = after
    return [*found, (state, None, None, None)]


def random_life(seed: int, n: int, unseen: float = 0.0) -> tuple[list[float], np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 8.0, n))
    data = np.stack([rng.integers(s, size=n) for s in SIZES], 1)
    return times.tolist(), np.where(rng.random(data.shape) < unseen, -1, data)


@examples(12)
@given(st.integers(0, 10_000), st.floats(0.05, 4.0), st.floats(0.0, 2.0))
def test_each_trial_s_posterior_is_that_of_all_partitions_with_its_past(
    seed: int, alpha: float, exponent: float
) -> None:
    times, data = random_life(seed, 6, unseen=0.2)
    found = lives(LatentCauses(BASE, alpha, exponent), times, data)
    past: tuple[int, ...] = ()
    for t, (_, posterior, surprise, k) in enumerate(found[:-1]):
        joint = np.zeros(8)
        for z in partitions(t + 1):
            if z[:t] == past:
                joint[z[t]] += np.exp(prior(z, times, alpha, exponent) + evidence(z, data[: t + 1]))
        before = np.exp(prior(past, times, alpha, exponent) + evidence(past, data[:t]))
        np.testing.assert_allclose(posterior, joint / joint.sum(), atol=1e-12)
        assert surprise == pytest.approx(-log(joint.sum() / before), abs=1e-10)
        past = (*past, k)
    # Two trials have one past only: there the surprises are the evidence of the data itself.
    total = sum(
        np.exp(prior(z, times, alpha, exponent) + evidence(z, data[:2])) for z in partitions(2)
    )
    assert found[0][2] + found[1][2] == pytest.approx(-log(total), abs=1e-10)


def test_where_causes_differ_the_assignment_is_the_best_of_all_partitions() -> None:
    data = np.array([[0, 0], [0, 0], [2, 1], [2, 1], [0, 0], [2, 1]])
    times = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = lives(LatentCauses(BASE, 0.5, 0.5), times, data)
    best = max(partitions(6), key=lambda z: prior(z, times, 0.5, 0.5) + evidence(z, data))
    assert tuple(f[3] for f in found[:-1]) == best == (0, 0, 1, 1, 0, 1)


@pytest.mark.parametrize("retention", [1.0, 0.8])
def test_without_new_causes_it_is_plain_dirichlet_learning(retention: float) -> None:
    times, data = random_life(3, 9, unseen=0.2)
    memory = LatentCauses(BASE, 0.0, 1.3, eta=0.6, retention=retention)
    counts = [b.copy() for b in BASE]
    for (state, posterior, surprise, _), outcome in zip(
        lives(memory, times, data), [*data, None], strict=True
    ):
        for m in range(2):
            np.testing.assert_allclose(state.counts[m][0], counts[m], atol=1e-13)
        if outcome is None:
            break
        seen = [m for m in range(2) if outcome[m] >= 0]
        p = np.prod([counts[m][outcome[m]] / counts[m].sum() for m in seen])
        assert surprise == pytest.approx(-log(p), abs=1e-12)
        np.testing.assert_allclose(posterior, np.eye(8)[0], atol=1e-15)
        for m in seen:
            counts[m] = retention * counts[m] + (1 - retention) * BASE[m]
            counts[m][outcome[m]] += 0.6


def test_with_boundless_alpha_every_trial_is_a_cause_until_there_is_no_room() -> None:
    times, data = random_life(4, 7)
    found = lives(LatentCauses(BASE, 1e15, max_causes=5), times, data)
    assert [f[3] for f in found[:5]] == [0, 1, 2, 3, 4]
    for t, outcome in enumerate(data[:5]):
        for m, o in enumerate(outcome):
            np.testing.assert_allclose(found[5][0].counts[m][t], BASE[m] + np.eye(SIZES[m])[o])
        fresh = sum(-log(BASE[m][o] / BASE[m].sum()) for m, o in enumerate(outcome))
        assert found[t][2] == pytest.approx(fresh, abs=1e-10)
    assert int(found[-1][0].opened) == 5
    assert found[-1][0].counts[0].sum() == pytest.approx(5 * BASE[0].sum() + 7)


def test_a_flat_kernel_is_the_chinese_restaurant_process() -> None:
    times, data = random_life(5, 6)
    memory = LatentCauses(BASE, 0.7, 0.0)
    state = lives(memory, times, data)[-1][0]
    n = np.bincount(np.asarray(state.cause)[:6], minlength=8).astype(float)
    n[int(state.opened)] = 0.7
    np.testing.assert_allclose(memory.prior(state, 99.0), n / 6.7, atol=1e-14)
    np.testing.assert_allclose(memory.prior(state, 1e6), n / 6.7, atol=1e-14)


def test_a_flat_kernel_makes_order_and_time_irrelevant_and_a_power_law_does_not() -> None:
    data = np.array([[0, 0], [0, 0], [2, 1], [2, 1]])

    def joint(order: Sequence[int], exponent: float) -> float:
        found = lives(LatentCauses(BASE, 0.5, exponent), [1.0, 2.0, 4.0, 5.0], data[list(order)])
        causes = [f[3] for f in found[:-1]]
        assert len(set(causes)) == 2  # the same partition in every order
        return sum(log(f[1][f[3]]) - f[2] for f in found[:-1])

    orders = [o for o in permutations(range(4)) if o[0] == 0]
    flat = [joint(o, 0.0) for o in orders]
    np.testing.assert_allclose(flat, flat[0], atol=1e-12)
    assert np.ptp([joint(o, 1.0) for o in orders]) > 0.1


OLD, NEW = np.array([0, 0]), np.array([2, 1])
CUE = np.array([0, -1])


def trained(memory: LatentCauses, n: int = 5) -> Memory:
    """An old cause of n like trials, a step apart from time 0."""
    state = memory.init()
    for t in range(n):
        state, _, _ = memory.observe(state, float(t), jnp.asarray(OLD))
    return state


def test_outside_its_window_a_memory_is_not_rewritten() -> None:
    memory = LatentCauses(BASE, 0.0, window=3.0)
    state = trained(memory)  # open from 0: trials at 0, 1, 2 write, those at 3 and 4 do not
    assert state.counts[0][0, 0] == pytest.approx(BASE[0][0] + 3)
    untouched, _, _ = memory.observe(state, 50.0, jnp.asarray(NEW))
    np.testing.assert_array_equal(untouched.counts[0], state.counts[0])
    assert int(untouched.trials) == 6  # it happened all the same
    reminded, posterior = memory.retrieve(state, 49.0, jnp.asarray(CUE))
    np.testing.assert_array_equal(reminded.counts[0], state.counts[0])
    np.testing.assert_allclose(posterior, np.eye(8)[0], atol=1e-15)
    for time, moved in ((50.0, 1.0), (51.9, 1.0), (52.0, 0.0)):
        after, _, _ = memory.observe(reminded, time, jnp.asarray(NEW))
        assert float(after.counts[0][0, 2] - state.counts[0][0, 2]) == pytest.approx(moved)


def test_a_window_of_zero_keeps_what_was_written_first() -> None:
    memory = LatentCauses(BASE, 0.0, window=0.0)
    state = trained(memory)
    reminded, _ = memory.retrieve(state, 9.0, jnp.asarray(CUE))
    after, _, _ = memory.observe(reminded, 9.0, jnp.asarray(NEW))
    for m, o in enumerate(OLD):
        np.testing.assert_allclose(after.counts[m][0], BASE[m] + np.eye(SIZES[m])[o])


def test_retrieval_makes_its_cause_likelier_for_a_while() -> None:
    memory = LatentCauses(BASE, 0.1, 1.0)
    state = trained(memory)
    reminded, _ = memory.retrieve(state, 100.0, jnp.asarray(CUE))
    times = (101.0, 110.0, 400.0)
    gain = [float(memory.prior(reminded, t)[0] - memory.prior(state, t)[0]) for t in times]
    assert gain[0] > gain[1] > gain[2] > 0
    flat = LatentCauses(BASE, 0.1, 0.0)
    assert float(flat.prior(reminded, 101.0)[0]) == pytest.approx(6 / 6.1)


def test_a_new_cause_leaves_the_old_trace_alone_and_the_cue_brings_it_back() -> None:
    memory = LatentCauses(BASE, 0.5, 1.0)
    state = trained(memory)
    learned = state
    for t in range(40, 46):
        learned, _, _ = memory.observe(learned, float(t), jnp.asarray(NEW))
    assert int(learned.opened) == 2
    np.testing.assert_array_equal(learned.counts[0][0], state.counts[0][0])
    # Without a cue the recent cause speaks; with it the old one returns, the more as time passes.
    assert memory.predict(learned, 46.0, jnp.full(2, -1))[1][1] > 0.7
    cued = [
        memory.predict(learned, t, jnp.asarray(CUE), fresh=False)[1][0] for t in (46.0, 60.0, 500.0)
    ]
    assert cued[0] < 0.5 < cued[1] < cued[2]


def test_predictions_are_mixtures_over_causes_and_what_is_seen_is_weighed() -> None:
    memory = LatentCauses(BASE, 0.3, 0.8)
    times, data = random_life(8, 6)
    state = lives(memory, times, data)[-1][0]
    t = times[-1] + 2.0
    predicted = memory.predict(state, t, jnp.array([1, -1]))[1]
    _, alone = memory.posterior(state, t, jnp.array([1, -1]))
    for o in range(2):
        _, both = memory.posterior(state, t, jnp.array([1, o]))
        assert float(predicted[o]) == pytest.approx(float(jnp.exp(alone - both)), abs=1e-12)


def test_nothing_can_be_retrieved_from_an_empty_memory() -> None:
    memory = LatentCauses(BASE)
    state, posterior = memory.retrieve(memory.init(), 3.0, jnp.asarray(CUE))
    assert eqx.tree_equal(state, memory.init())
    np.testing.assert_array_equal(posterior, np.zeros(8))


def test_it_scans_and_maps_and_the_oldest_trials_give_way() -> None:
    memory = LatentCauses(BASE, 0.4, 1.0, max_trials=4)
    times, data = random_life(9, 6)

    @jax.jit
    @jax.vmap
    def live(alpha: jax.Array) -> Memory:
        here = eqx.tree_at(lambda m: m.alpha, memory, alpha)

        def step(state: Memory, x: tuple[jax.Array, jax.Array]) -> tuple[Memory, None]:
            return here.observe(state, *x)[0], None

        state, _ = jax.lax.scan(step, here.init(), (jnp.asarray(times), jnp.asarray(data)))
        return state

    found = live(jnp.array([0.4, 1e9]))
    assert eqx.tree_equal(
        jax.tree.map(lambda x: x[0], found), lives(memory, times, data)[-1][0], rtol=1e-12
    )
    assert found.opened[1] == 6
    np.testing.assert_allclose(np.sort(found.time[0]), times[2:])


@pytest.mark.parametrize(("alpha", "exponent", "window"), [(0.0, 0.0, inf), (0.3, 1.0, 5.0)])
def test_gradients_are_finite_also_at_the_ends(
    alpha: float, exponent: float, window: float
) -> None:
    times, data = random_life(10, 6, unseen=0.2)

    @jax.jit
    @jax.grad
    def slope(memory: LatentCauses) -> jax.Array:
        state, total = memory.init(), jnp.zeros(())
        for t, outcome in zip(times, data, strict=True):
            state, _ = memory.retrieve(state, t - 0.1, jnp.asarray(outcome))
            state, _, surprise = memory.observe(state, t, jnp.asarray(outcome))
            total = total + surprise
        return total

    found = slope(LatentCauses(BASE, alpha, exponent, window, retention=0.9))
    for leaf in jax.tree.leaves(found):
        assert np.isfinite(leaf).all()
    assert np.abs(found.base[0]).sum() > 0
    assert found.eta != 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"alpha": -0.1}, "memory: alpha is -0.1; expected a finite number, 0 or more"),
        ({"alpha": inf}, "memory: alpha is inf; expected a finite number, 0 or more"),
        ({"exponent": -1}, "memory: exponent is -1; expected a finite number, 0 or more"),
        ({"window": -2.0}, "memory: window is -2; expected a number, 0 or more"),
        ({"window": float("nan")}, "memory: window is nan; expected a number, 0 or more"),
        ({"eta": -1.0}, "memory: eta is -1; expected a finite number, 0 or more"),
        ({"retention": 1.5}, "memory: retention is 1.5; expected a finite number from 0 to 1"),
        ({"max_causes": 0}, "memory: max_causes is 0; expected 1 or more"),
    ],
)
def test_numbers_out_of_range_are_refused_in_one_sentence(settings: dict, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        LatentCauses(BASE, **settings)
    assert str(error.value) == sentence


def test_a_base_measure_and_outcomes_must_fit() -> None:
    base = flat_base(LAYOUT, 2.0, ("pulse", "face"))
    np.testing.assert_allclose(base[0], [1.0, 1.0])
    np.testing.assert_allclose(base[1], [2 / 3] * 3)
    assert len(flat_base(LAYOUT)) == len(LAYOUT.modalities)
    with pytest.raises(InputError, match="no modality is called 'pulze'; there are face, pulse"):
        flat_base(LAYOUT, 1.0, ("pulze",))
    with pytest.raises(InputError, match="strength is 0; expected a positive number"):
        flat_base(LAYOUT, 0)
    memory = LatentCauses(base)
    with pytest.raises(InputError, match="expected one entry for each of 2 modalities"):
        memory.observe(memory.init(), 0.0, jnp.array([0, 0, 0]))

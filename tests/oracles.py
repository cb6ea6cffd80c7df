"""Brute force: whole state paths and joint outcomes enumerated in plain NumPy.

Slow and simple on purpose. The tables and axes of a model are read as data; no code is shared with
the library, and factors that an action makes known are factors like any other here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

Vector = np.ndarray
Hold = Callable[[Vector], Vector]


@dataclass(frozen=True)
class Do:
    """do(factor = level) at some times (the first outcome comes at time 0)."""

    factor: int
    level: int
    times: Sequence[int]


class Oracle:
    """A model whose every question is answered by enumeration.

    `states`: all joint levels of all factors; beliefs are vectors over them. `choices` and
    `outcomes`: all joint levels of actions and modalities.
    """

    def __init__(self, pomdp: Any):
        self.A, self.B, self.C, self.D, self.E = (
            [np.asarray(table, float) for table in tables]
            for tables in (pomdp.A, pomdp.B, pomdp.C, pomdp.D, pomdp.E)
        )
        layout = pomdp.layout
        self.parents = [f.parents for f in layout.factors]
        self.actions = [f.actions for f in layout.factors]
        self.reads = [m.parents for m in layout.modalities]
        self.states = list(product(*(range(len(f.levels)) for f in layout.factors)))
        self.choices = list(product(*(range(len(a.levels)) for a in layout.actions)))
        self.outcomes = list(product(*(range(len(m.levels)) for m in layout.modalities)))
        self.level = np.array(self.states).T  # (factor, state)
        self.likelihood = np.array([self.given(o) for o in self.outcomes])  # (outcome, state)
        self.moves = [self.transition(u) for u in range(len(self.choices))]

    # ---------------------------------------------------------------- states and outcomes

    def given(self, outcome: Sequence[int]) -> Vector:
        """P(outcome | state) for every state; -1 was not seen and says nothing."""
        p = np.ones(len(self.states))
        for m, o in enumerate(outcome):
            if o >= 0:
                p *= [self.A[m][(o, *(s[f] for f in self.reads[m]))] for s in self.states]
        return p

    def start(self, do: Do | None = None) -> Vector:
        """P(state) before the first outcome."""
        return np.array(
            [np.prod([self._root(f, s[f], 0, do) for f in range(len(self.D))]) for s in self.states]
        )

    def transition(self, choice: int, time: int = 0, do: Do | None = None) -> np.ndarray:
        """P(state at `time` | state before, choice): (now, before)."""
        u = self.choices[choice]
        p = np.ones((len(self.states), len(self.states)))
        for f, b in enumerate(self.B):
            if do is not None and do.factor == f and time in do.times:
                p *= (self.level[f] == do.level)[:, None]
                continue
            acts = tuple(u[a] for a in self.actions[f])
            for i, before in enumerate(self.states):
                column = b[(slice(None), *(before[g] for g in self.parents[f]), *acts)]
                p[:, i] *= column[self.level[f]]
        return p

    def _root(self, f: int, level: int, time: int, do: Do | None) -> float:
        if do is not None and do.factor == f and time in do.times:
            return float(level == do.level)
        return self.D[f][level]

    def paths(
        self, outcomes: Sequence[Sequence[int]], choices: Sequence[int], do: Do | None = None
    ) -> np.ndarray:
        """P(state path, outcomes | choices): one axis of states per step."""
        p = self.start(do) * self.given(outcomes[0])
        for t in range(1, len(outcomes)):
            moved = self.transition(choices[t - 1], t, do).T * self.given(outcomes[t])
            p = p[..., None] * moved
        return p

    def at(self, paths: np.ndarray, time: int) -> Vector:
        """P(state at `time` | outcomes), of the posterior over paths."""
        others = tuple(i for i in range(paths.ndim) if i != time)
        return paths.sum(others) / paths.sum()

    def shown(self, paths: np.ndarray, outcomes: Sequence[Sequence[int]], m: int) -> np.ndarray:
        """Expected counts of each entry of A[m] along the posterior over paths."""
        counts = np.zeros(self.A[m].shape)
        for t, outcome in enumerate(outcomes):
            if outcome[m] >= 0:
                counts[outcome[m]] += self.marginal(self.at(paths, t), self.reads[m])
        return counts

    def pairs(
        self, paths: np.ndarray, choices: Sequence[int], factor: int, *, last: bool = False
    ) -> np.ndarray:
        """Expected counts of each entry of B[factor] along the posterior over paths.

        `last`: of the last transition alone.
        """
        paths = paths / paths.sum()
        counts = np.zeros(self.B[factor].shape)
        for t in range(paths.ndim - 2 if last else 0, paths.ndim - 1):
            others = tuple(i for i in range(paths.ndim) if i not in (t, t + 1))
            pair = paths.sum(others)
            acts = tuple(self.choices[choices[t]][a] for a in self.actions[factor])
            before = tuple(self.level[g][:, None] for g in self.parents[factor])
            np.add.at(counts, (self.level[factor][None, :], *before, *acts), pair)
        return counts

    # ---------------------------------------------------------------- beliefs

    def marginal(self, q: Vector, factors: Sequence[int]) -> np.ndarray:
        """Joint probability over some factors, one axis each."""
        sizes = [len(self.D[f]) for f in factors]
        table = np.zeros(sizes)
        for s, p in zip(self.states, q, strict=True):
            table[tuple(s[f] for f in factors)] += p
        return table

    def posterior(
        self, outcomes: Sequence[Sequence[int]], choices: Sequence[int], do: Do | None = None
    ) -> Vector:
        """P(last state | outcomes, choices)."""
        paths = self.paths(outcomes, choices, do)
        return paths.reshape(-1, len(self.states)).sum(0) / paths.sum()

    def tilt(
        self,
        q: Vector,
        factor: int,
        level: int,
        strength: float,
        gate: dict[int, Sequence[int]] | None = None,
    ) -> Vector:
        """q exp(strength 1[factor = level, gate]), renormalised; gate: {factor: levels}."""
        on = self.level[factor] == level
        for g, levels in (gate or {}).items():
            on &= np.isin(self.level[g], levels)
        tilted = q * np.exp(strength * on)
        return tilted / tilted.sum()

    def intervene(self, q: Vector, factor: int, level: int) -> Vector:
        """All of q moved to one level of a factor, its other factors as they were."""
        others = [f for f in range(len(self.D)) if f != factor]
        table = self.marginal(q, others)
        return np.array(
            [table[tuple(s[f] for f in others)] * (s[factor] == level) for s in self.states]
        )

    def splice(self, q: Vector, donor: Vector, factor: int) -> Vector:
        """q with the marginal of one factor taken from `donor`, and independent of the others."""
        others = [f for f in range(len(self.D)) if f != factor]
        rest, own = self.marginal(q, others), self.marginal(donor, [factor])
        return np.array([rest[tuple(s[f] for f in others)] * own[s[factor]] for s in self.states])

    # ---------------------------------------------------------------- choice

    def weigh(
        self,
        q: Vector,
        policy: Sequence[int],
        *,
        per_modality: bool = False,
        hold: Hold = lambda q: q,
        counts: dict[tuple[str, int], np.ndarray] | None = None,
    ) -> dict[str, float]:
        """Expected free energy of a policy and its parts, each a sum over its steps.

        Risk, ambiguity, pragmatic and epistemic value are each enumerated from their own
        definition; none is derived from the others. `counts`: of the tables whose novelty is
        sought, by ("A" or "B", index).
        """
        parts = dict.fromkeys(("risk", "ambiguity", "pragmatic", "epistemic", "novelty"), 0.0)
        for choice in policy:
            before, q = q, hold(self.moves[choice] @ q)
            parts["novelty"] += self.novelty(before, choice, q, counts or {})
            joint = self.likelihood * q  # (joint outcome, state)
            if per_modality:
                for m in range(len(self.A)):
                    own = np.array([o[m] for o in self.outcomes])
                    n = self.A[m].shape[0]
                    table = np.array([joint[own == o].sum(0) for o in range(n)])
                    self._add(parts, table, q, _log_softmax(self.C[m]))
            else:
                prefer = [_log_softmax(c) for c in self.C]
                total = [sum(c[i] for c, i in zip(prefer, o, strict=True)) for o in self.outcomes]
                self._add(parts, joint, q, np.array(total))
        parts["efe"] = parts["risk"] + parts["ambiguity"] - parts["novelty"]
        return parts

    def novelty(
        self, before: Vector, choice: int, after: Vector, counts: dict[tuple[str, int], np.ndarray]
    ) -> float:
        """Expected KL between Dirichlet beliefs with one observation more and as they are."""
        total, u = 0.0, self.choices[choice]
        for (table, i), a in counts.items():
            reads = self.reads[i] if table == "A" else self.parents[i]
            acts = () if table == "A" else tuple(u[k] for k in self.actions[i])
            for s, p in zip(self.states, after if table == "A" else before, strict=True):
                column = a[(slice(None), *(s[f] for f in reads), *acts)]
                for o, share in enumerate(column / column.sum()):
                    if share > 0:
                        more = column + (np.arange(len(column)) == o)
                        total += p * share * dirichlet_kl(more, column)
        return total

    def _add(self, parts: dict[str, float], joint: np.ndarray, q: Vector, prefer: Vector) -> None:
        predicted = joint.sum(1)
        given = joint / np.where(q > 0, q, 1.0)
        parts["risk"] += _plogp(predicted) - predicted @ prefer
        parts["ambiguity"] -= sum(w * _plogp(g) for w, g in zip(q, given.T, strict=True))
        parts["pragmatic"] += predicted @ prefer
        product_ = np.outer(predicted, q)
        ratio = np.where(joint > 0, joint, 1.0) / np.where(product_ > 0, product_, 1.0)
        parts["epistemic"] += np.sum(joint * np.log(ratio))

    def choose(
        self,
        efe: Sequence[float],
        horizon: int,
        *,
        gamma: float,
        alpha: float = 1.0,
        allowed: Sequence[bool] | None = None,
    ) -> tuple[Vector, Vector]:
        """q(policy), last step fastest, and the probability of each first choice."""
        habit = np.array(
            [np.prod([e[i] for e, i in zip(self.E, u, strict=True)]) for u in self.choices]
        )
        if allowed is not None:
            habit = np.where(allowed, habit, 0.0)
        prior = [np.prod([habit[u] for u in pi]) for pi in self.policies(horizon)]
        q_pi = np.array(prior) * np.exp(-gamma * (np.array(efe) - np.min(efe)))
        q_pi /= q_pi.sum()
        first = q_pi.reshape(len(self.choices), -1).sum(1) ** alpha
        first = np.where(habit > 0, first, 0.0)
        return q_pi, first / first.sum()

    def policies(self, horizon: int) -> list[tuple[int, ...]]:
        return list(product(range(len(self.choices)), repeat=horizon))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL[p || q] in nats."""
    return float(sum(a * np.log(a / b) for a, b in zip(p.ravel(), q.ravel(), strict=True) if a > 0))


def dirichlet_kl(a: Vector, b: Vector) -> float:
    """KL[Dir(a) || Dir(b)] in nats; cells that are zero in both are not there."""
    a, b = a[b > 0], b[b > 0]
    normal = gammaln(a.sum()) - gammaln(a).sum() - gammaln(b.sum()) + gammaln(b).sum()
    return float(normal + (a - b) @ (digamma(a) - digamma(a.sum())))


def _plogp(p: Vector) -> float:
    return float(np.sum(p * np.log(np.where(p > 0, p, 1.0))))


def _log_softmax(c: Vector) -> Vector:
    return c - np.log(np.sum(np.exp(c)))

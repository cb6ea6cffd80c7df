"""What a session leaves behind: anchored Dirichlet counts (MODEL.md, "Learning")."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma
from jaxtyping import Array, Float, Int

from attach_ai.agent.perception import AbstractPerception, Belief_, Tables
from attach_ai.agent.slicing import spread_counts
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP

Counts = dict[str, Float[Array, "..."]]
# Below this many observations exp(digamma) is zero in any precision, and its slope overflows.
FAINT = 1e-8


class Lived(eqx.Module):
    """A session that is over; arrays lead with the step.

    `last`: the belief after the last outcome. `beliefs`: after each one (None unless an A or B is
    learned), in the context of its step.
    """

    last: Belief_
    beliefs: Belief_ | None
    outcomes: Int[Array, "step modality"]
    choices: Int[Array, " step"]
    contexts: Int[Array, " step"] | None


class AbstractLearning(eqx.Module):
    """How counts change at the session boundary, and what they make of the model."""

    @abstractmethod
    def tables(self, layout: Layout) -> tuple[tuple[str, str, int], ...]:
        """(name, "A", "B", "D" or "E", index of its modality, factor or action) of each table."""

    @abstractmethod
    def counts(self, pomdp: POMDP) -> Counts:
        """The counts a mind starts with, which are also the anchor it drifts back to."""

    @abstractmethod
    def evidence(
        self, perception: AbstractPerception, tables: Tables, pomdp: POMDP, session: Lived
    ) -> Counts:
        """What a session adds at rate one; `tables` are the perception's, of `pomdp`."""

    @abstractmethod
    def end_session(
        self, counts: Counts, anchor: Counts, evidence: Counts, gain: Array, rest: Array
    ) -> Counts:
        """Counts after one boundary, and `rest` further ones without evidence.

        `gain` is 1, or 0 where the session teaches nothing.
        """

    @abstractmethod
    def learned(self, pomdp: POMDP, counts: Counts) -> POMDP:
        """The model with the expected tables under the counts put in."""

    @abstractmethod
    def perceived(self, pomdp: POMDP, counts: Counts) -> POMDP | None:
        """The model that perception works with, or None where it is the `learned` one."""

    @abstractmethod
    def grown(self, pomdp: POMDP, counts: Counts) -> POMDP:
        """The `learned` model, as firm in each column as the counts are: a life to go on from."""


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


class Dirichlet(AbstractLearning):
    """a(k+1) = retention a(k) + (1 - retention) a(0) + eta n, for each learned table.

    `A` names modalities, `B` and `D` factors, `E` actions; their prior strengths are
    `pomdp.counts` ("D.agents"), in observations. n, what a session adds, is

    - D: the belief about the last step (MODEL.md);
    - B, A: expected transitions, and expected pairs of state and outcome seen: given all of the
      session's outcomes, or with `smoothed=False` those up to the step. An outcome that was not
      seen, and a cell of A that is impossible, add nothing;
    - E: how often each level was chosen.

    `counted` says which belief is counted: "unheld" (the default) or "held", the *fiat* arm in
    which holding a belief counts as evidence for it.

    `expected_log`: perception works with exp E[ln p] = exp(digamma(a) - digamma(sum a)) in place of
    the mean a / sum a. What a column of A then lacks to one is the penalty for having seen little
    (Friston et al. 2016, Active inference and learning); in B and D columns are renormalised, since
    a transition conserves mass. Plans, inner predictions and reports keep the mean.

    Raises `InputError` for `retention` outside 0 to 1 and `eta` below 0, unless traced.
    """

    A: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    B: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    D: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    E: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    retention: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.95)
    eta: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    counted: Literal["unheld", "held"] = eqx.field(static=True, default="unheld")
    expected_log: bool = eqx.field(static=True, default=False)
    smoothed: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if self.counted not in ("unheld", "held"):
            raise InputError(f"counted is '{self.counted}'; expected unheld or held", "learning")
        _check("retention", self.retention, 1.0, "a number from 0 to 1")
        _check("eta", self.eta, np.inf, "a number of at least 0")

    def tables(self, layout: Layout) -> tuple[tuple[str, str, int], ...]:
        kinds = (
            ("D", self.D, layout.factor),
            ("B", self.B, layout.factor),
            ("A", self.A, layout.modality),
            ("E", self.E, layout.action),
        )
        try:
            return tuple(
                (f"{table}.{name}", table, index(name))
                for table, names, index in kinds
                for name in names
            )
        except LookupError as error:
            raise InputError(str(error), "learning") from None

    def counts(self, pomdp: POMDP) -> Counts:
        counts = {}
        for name, table, i in self.tables(pomdp.layout):
            if name not in pomdp.counts:
                raise InputError(
                    f"learning {name} needs its prior strength in [counts]", "learning"
                )
            if table in "BD" and i in pomdp.layout.known:
                raise InputError(f"{name} is set by an action and cannot be learned", "learning")
            counts[name] = pomdp.counts[name] * getattr(pomdp, table)[i]
        return counts

    def evidence(
        self, perception: AbstractPerception, tables: Tables, pomdp: POMDP, session: Lived
    ) -> Counts:
        layout = pomdp.layout
        learned = self.tables(layout)
        moved = tuple(i for _, table, i in learned if table == "B")
        shown = tuple(i for _, table, i in learned if table == "A")
        transitions: dict[int, Array] = {}
        states: dict[int, Array] = {}
        if moved or shown:
            assert session.beliefs is not None
            assert session.contexts is not None
            parents = [layout.modalities[m].parents for m in shown]
            pairs, posteriors = perception.statistics(
                tables,
                session.beliefs,
                session.choices,
                session.contexts,
                pairs=moved,
                reads=tuple(tuple(p for p in ps if p in layout.hidden) for ps in parents),
                smoothed=self.smoothed,
            )
            transitions = dict(zip(moved, pairs, strict=True))
            states = dict(zip(shown, posteriors, strict=True))
        found = {}
        for name, table, i in learned:
            if table == "D":
                found[name] = perception.read(tables, session.last, (i,))
            elif table == "B":
                found[name] = transitions[i]
            elif table == "A":
                found[name] = _shown(pomdp, i, states[i], session)
            else:
                level = jnp.asarray([u[i] for u in layout.choices], jnp.int32)[session.choices]
                n = len(layout.actions[i].levels)
                found[name] = jax.nn.one_hot(level, n, dtype=pomdp.E[i].dtype).sum(0)
        return found

    def end_session(
        self, counts: Counts, anchor: Counts, evidence: Counts, gain: Array, rest: Array
    ) -> Counts:
        # `rest` boundaries without evidence, in closed form.
        kept = self.retention**rest
        after = {}
        for name, d in counts.items():
            learnt = self.retention * d + (1 - self.retention) * anchor[name]
            learnt = learnt + self.eta * gain * evidence[name]
            after[name] = kept * learnt + (1 - kept) * anchor[name]
        return after

    def learned(self, pomdp: POMDP, counts: Counts) -> POMDP:
        return self._put(pomdp, counts, _mean)

    def perceived(self, pomdp: POMDP, counts: Counts) -> POMDP | None:
        return self._put(pomdp, counts, _expected_log) if self.expected_log else None

    def grown(self, pomdp: POMDP, counts: Counts) -> POMDP:
        firm = {name: c.sum(0, keepdims=True) for name, c in counts.items()}
        return replace(self.learned(pomdp, counts), counts={**pomdp.counts, **firm})

    def _put(
        self, pomdp: POMDP, counts: Counts, column: Callable[[str, Array, Array], Array]
    ) -> POMDP:
        """The model with `column(table, counts, their sums)` in place of each learned table."""
        tables = {table: list(getattr(pomdp, table)) for table in "ABDE"}
        modalities = list(pomdp.layout.modalities)
        for name, table, i in self.tables(pomdp.layout):
            total = counts[name].sum(0, keepdims=True)
            safe = jnp.where(total > 0, total, 1.0)
            # A column that no count ever reached keeps what it was.
            put = jnp.where(total > 0, column(table, counts[name], safe), tables[table][i])
            tables[table][i] = put
            if table == "A":  # columns that were declared alike need not stay so
                modalities[i] = replace(modalities[i], reads=None, outcomes=None)
        layout = replace(pomdp.layout, modalities=tuple(modalities)) if self.A else pomdp.layout
        A, B, D, E = (tuple(tables[table]) for table in "ABDE")
        return replace(pomdp, A=A, B=B, D=D, E=E, layout=layout)


def column_gain(counts: Float[Array, "level *parents"]) -> Float[Array, "1 *parents"]:
    """What one more observation is expected to tell about each column of a table, in nats.

    KL[Dir(a + e_o) || Dir(a)] = ln a0 - ln a_o + digamma(a_o + 1) - digamma(a0 + 1), averaged over
    o ~ a / a0 (a0 is the column's sum); about (levels - 1) / 2 a0 for large counts. A column
    without counts is not learned, and has none.
    """
    total = counts.sum(0, keepdims=True)
    a0 = jnp.where(total > 0, total, 1.0)
    a = jnp.where(counts > 0, counts, 1.0)
    each = jnp.log(a0) - jnp.log(a) + digamma(a + 1) - digamma(a0 + 1)
    return jnp.sum(counts / a0 * each, axis=0, keepdims=True)


def _mean(table: str, counts: Array, total: Array) -> Array:
    return counts / total


def _expected_log(table: str, counts: Array, total: Array) -> Array:
    """exp E[ln p]; zero counts stay zero."""
    some = counts > FAINT
    log = digamma(jnp.where(some, counts, 1.0))
    if table == "A":
        return jnp.where(some, jnp.exp(log - digamma(total)), 0.0)
    if table == "E":  # no outcome tells of it: only planning reads it
        return _mean(table, counts, total)
    return jax.nn.softmax(jnp.where(some, log, -1 / FAINT**2), axis=0)


def _shown(pomdp: POMDP, m: int, states: Float[Array, "step ..."], session: Lived) -> Array:
    """Expected pairs of outcome and state, shaped like A[m]."""
    outcome = session.outcomes[:, m]
    seen = jax.nn.one_hot(outcome, pomdp.A[m].shape[0], dtype=states.dtype)  # -1: a row of zeros
    pairs = seen.reshape(*seen.shape, *(1,) * (states.ndim - 1)) * states[:, None]
    assert session.contexts is not None
    parents = pomdp.layout.modalities[m].parents
    counts = spread_counts(pomdp.layout, parents, pairs, session.contexts)
    # An outcome that no state allows leaves the belief as it was, and says nothing about states.
    return jnp.where(pomdp.A[m] > 0, counts, 0.0)


def _check(name: str, value: Array, highest: float, expected: str) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    numbers = np.asarray(value, float)
    wrong = numbers[~((numbers >= 0) & (numbers <= highest))]
    if wrong.size:
        raise InputError(f"{name} is {wrong.flat[0]:g}; expected {expected}", "learning")

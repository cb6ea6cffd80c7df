"""What a session leaves behind: anchored Dirichlet counts (MODEL.md, "Learning")."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP

Counts = dict[str, Float[Array, "..."]]


class AbstractLearning(eqx.Module):
    """How counts change at the session boundary, and what they make of the model."""

    @abstractmethod
    def tables(self, layout: Layout) -> tuple[tuple[str, str, int], ...]:
        """(name, "D" or "B", factor index) of each table that is learned."""

    @abstractmethod
    def counts(self, pomdp: POMDP) -> Counts:
        """The counts a mind starts with, which are also the anchor it drifts back to."""

    @abstractmethod
    def end_session(
        self, counts: Counts, anchor: Counts, evidence: Counts, gain: Array, rest: Array
    ) -> Counts:
        """Counts after one boundary, and `rest` further ones without evidence.

        `evidence` is what the session adds at rate one, `gain` is 1, or 0 where the
        session teaches nothing.
        """

    @abstractmethod
    def learned(self, pomdp: POMDP, counts: Counts) -> POMDP:
        """The model with the expected tables under the counts put in."""


class Dirichlet(AbstractLearning):
    """d(k+1) = retention d(k) + (1 - retention) d(0) + eta q; the same for B.

    `D`, `B`: names of the factors whose tables are learned. `counted` says which belief is counted:
    "unheld" (the default) or "held", the *fiat* arm in which holding a belief counts as evidence
    for it. Prior strengths are `pomdp.counts` ("D.agents"), in observations.
    """

    D: tuple[str, ...] = eqx.field(static=True, converter=tuple, default=())
    B: tuple[str, ...] = eqx.field(static=True, converter=tuple, default=())
    retention: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.95)
    eta: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    counted: Literal["unheld", "held"] = eqx.field(static=True, default="unheld")

    def tables(self, layout: Layout) -> tuple[tuple[str, str, int], ...]:
        try:
            return tuple(
                (f"{table}.{name}", table, layout.factor(name))
                for table, names in (("D", self.D), ("B", self.B))
                for name in names
            )
        except LookupError as error:
            raise InputError(str(error), "learning") from None

    def counts(self, pomdp: POMDP) -> Counts:
        counts = {}
        for name, table, f in self.tables(pomdp.layout):
            if name not in pomdp.counts:
                raise InputError(
                    f"learning {name} needs its prior strength in [counts]", "learning"
                )
            if f in pomdp.layout.known:
                raise InputError(f"{name} is set by an action and cannot be learned", "learning")
            counts[name] = pomdp.counts[name] * getattr(pomdp, table)[f]
        return counts

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
        D, B = list(pomdp.D), list(pomdp.B)
        for name, table, f in self.tables(pomdp.layout):
            into = D if table == "D" else B
            total = counts[name].sum(0, keepdims=True)
            # A column that no count ever reached keeps what it was.
            into[f] = jnp.where(total > 0, counts[name] / jnp.where(total > 0, total, 1.0), into[f])
        return eqx.tree_at(lambda p: (p.D, p.B), pomdp, (tuple(D), tuple(B)))


def no_learning() -> Dirichlet:
    """A mind that starts every session afresh."""
    names: Sequence[str] = ()
    return Dirichlet(D=tuple(names))

"""Six ways to bring a cause into a mind, or to keep it there.

MODEL.md, "Holding"; SCIENCE.md 3.1.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.agent import structure
from attach_ai.agent.perception import AbstractPerception, Belief_, Tables
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from attach_ai.model.practice import COLUMNS

Counts = dict[str, Float[Array, "..."]]
Gate = Float[Array, ""]  # 1 where an operator acts, 0 where it does not
Touch = Literal["held", "carried", "unheld", "evidence", "counts", "model"]


class AbstractOperator(eqx.Module):
    """An operation on a mind. `touches` says where; the method that belongs there does it.

    "held": the belief that body, planning and action use, anew at every step (`apply`); "carried":
    a belief of its own, taken from step to step beside the unheld one (`apply`, `release`);
    "unheld": the belief that is learned from, before each outcome (`inform`); "evidence": how much
    a modality counts (`weigh`); "counts": what a session leaves behind (`leave`); "model": before
    the first session (`change`). All other methods are neutral; `admit` serves the last two.
    """

    @property
    @abstractmethod
    def touches(self) -> Touch:
        """Where it acts."""

    def apply(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, gate: Gate
    ) -> Belief_:
        """The belief that is held, under the operation."""
        return belief

    def release(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, unheld: Belief_
    ) -> Belief_:
        """What is carried, once it is let go."""
        return belief

    def inform(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, gate: Gate
    ) -> Belief_:
        """What is expected of the next outcome, with the evidence that the operation brings."""
        return belief

    def weigh(
        self, layout: Layout, precision: Float[Array, " modality"], gate: Gate
    ) -> Float[Array, " modality"]:
        """The exponent with which each modality's likelihood enters."""
        return precision

    def leave(self, layout: Layout, evidence: Counts, gate: Gate, practice: str) -> Counts:
        """What a session adds to the counts of learned tables, at rate one."""
        return evidence

    def admit(self, layout: Layout) -> Layout:
        """The layout once nothing is switched off that the operation brings in."""
        return layout

    def change(self, pomdp: POMDP, gate: Gate, practice: str) -> POMDP:
        """The model before the first session."""
        return pomdp


class Field(AbstractOperator):
    """Add `strength` nats to the log-odds of a level; the tilt never accumulates."""

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)
    strength: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    @property
    def touches(self) -> Touch:
        return "held"

    def apply(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, gate: Gate
    ) -> Belief_:
        f, level = tables.layout.level(f"{self.factor}.{self.level}")
        return perception.tilt(tables, belief, f, level, self.strength * gate)


class Clamp(AbstractOperator):
    """do(factor = level): the clamped chain is carried, so children move and parents do not."""

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)

    @property
    def touches(self) -> Touch:
        return "carried"

    def apply(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, gate: Gate
    ) -> Belief_:
        f, level = tables.layout.level(f"{self.factor}.{self.level}")
        return blend(gate, perception.clamp(tables, belief, f, level), belief)

    def release(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, unheld: Belief_
    ) -> Belief_:
        # The factor returns to its unheld marginal; what moved stays moved.
        return perception.splice(tables, belief, unheld, tables.layout.factor(self.factor))


class Condition(AbstractOperator):
    """Evidence of `strength` nats for a level at each step: virtual evidence (Pearl 1988).

    A likelihood ratio of exp(strength), taken into the unheld belief before the step's outcome. It
    is carried, accumulates, moves whatever is correlated, parents too, is learned from, and stays
    until transitions wear it off.
    """

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)
    strength: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    @property
    def touches(self) -> Touch:
        return "unheld"

    def inform(
        self, perception: AbstractPerception, tables: Tables, belief: Belief_, gate: Gate
    ) -> Belief_:
        f, level = tables.layout.level(f"{self.factor}.{self.level}")
        return perception.tilt(tables, belief, f, level, self.strength * gate)


class Precision(AbstractOperator):
    """A modality's evidence enters as A^zeta: 1 changes nothing, 0 ignores it. Not a holding.

    What an outcome says, in nats, is multiplied by `zeta` wherever it is taken in; on release later
    outcomes count in full again, what was ignored stays ignored. A planner goes on expecting what
    it always did.
    """

    modality: str = eqx.field(static=True)
    zeta: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __check_init__(self) -> None:
        _at_least_zero("zeta", self.zeta, f"precision on {self.modality}")

    @property
    def touches(self) -> Touch:
        return "evidence"

    def weigh(
        self, layout: Layout, precision: Float[Array, " modality"], gate: Gate
    ) -> Float[Array, " modality"]:
        at = np.arange(len(layout.modalities)) == layout.modality(self.modality)
        return jnp.where(at, precision * (1 + gate * (self.zeta - 1)), precision)


class PriorChange(AbstractOperator):
    """Add `amount` observations of a level to D at each practised boundary, whatever was seen.

    They count at the learning rate, as an observation would. Nothing moves within a session; the
    prior stays moved and decays at the retention. A level without any prior gains mass too.
    """

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)
    amount: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __check_init__(self) -> None:
        _at_least_zero("amount", self.amount, f"prior_change on {self.factor}.{self.level}")

    @property
    def touches(self) -> Touch:
        return "counts"

    def admit(self, layout: Layout) -> Layout:
        return structure.admitting(layout, *layout.level(f"{self.factor}.{self.level}"))

    def leave(self, layout: Layout, evidence: Counts, gate: Gate, practice: str) -> Counts:
        target, name = f"{self.factor}.{self.level}", f"D.{self.factor}"
        if name not in evidence:
            raise InputError(
                f"{name} is not learned, so its prior cannot change; let the agent learn it, as in "
                f'Dirichlet(D=["{self.factor}"])',
                f"practice {practice}, prior_change on {target}",
            )
        f, level = layout.level(target)
        at = np.arange(len(layout.factors[f].levels)) == level
        return evidence | {name: evidence[name] + jnp.where(at, self.amount * gate, 0.0)}


class Expand(AbstractOperator):
    """M0 -> M1 before the first session: an impossible level gets prior and inflow `mass`.

    `column`: what it makes felt, the "template" that the model declares or a "flat" slot; see
    `structure.expand`, whose `template` it takes too.
    """

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)
    mass: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    column: str = eqx.field(static=True, default=COLUMNS[0])
    template: POMDP | None = None

    def __check_init__(self) -> None:
        if self.column not in COLUMNS:
            raise InputError(
                f"column is '{self.column}'; expected {' or '.join(COLUMNS)}",
                f"expand on {self.factor}.{self.level}",
            )

    @property
    def touches(self) -> Touch:
        return "model"

    def admit(self, layout: Layout) -> Layout:
        return structure.admitting(layout, *layout.level(f"{self.factor}.{self.level}"))

    def change(self, pomdp: POMDP, gate: Gate, practice: str) -> POMDP:
        target = f"{self.factor}.{self.level}"
        return structure.expand(
            pomdp,
            target,
            self.mass * gate,
            self.template,
            flat=self.column == COLUMNS[1],
            place=f"practice {practice}, expand on {target}",
        )


def blend(gate: Float[Array, ""], on: Belief_, off: Belief_) -> Belief_:
    """`on` where the gate is open, `off` where it is closed, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(gate > 0, a, b), on, off)


def _at_least_zero(name: str, value: Float[Array, ""], place: str) -> None:
    if not isinstance(value, jax.core.Tracer) and not float(value) >= 0:
        raise InputError(f"{name} is {float(value):.4g}; expected at least 0", place)

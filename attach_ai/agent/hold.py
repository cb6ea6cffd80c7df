"""Operators on beliefs: how a mind keeps a cause in its model (MODEL.md, "Holding").

`Field` tilts, `Clamp` intervenes. A declared practice becomes a `Program`: which operators are on,
and which actions allowed, at each step of a session.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attach_ai.agent.perception import AbstractPerception, Belief_, Index, Tables
from attach_ai.errors import InputError
from attach_ai.model.document import suggest
from attach_ai.model.layout import Layout
from attach_ai.model.practice import OperatorSpec, Practice


class AbstractOperator(eqx.Module):
    """An operation on a belief, at one level of one hidden factor."""

    factor: eqx.AbstractVar[str]
    level: eqx.AbstractVar[str]

    @property
    @abstractmethod
    def propagates(self) -> bool:
        """Whether the changed belief is carried to the next step, beside the unheld one."""

    @abstractmethod
    def apply(
        self,
        perception: AbstractPerception,
        tables: Tables,
        belief: Belief_,
        gate: Float[Array, ""],
    ) -> Belief_:
        """The belief under the operation; `gate` is 1 where it acts and 0 where it does not."""


class Field(AbstractOperator):
    """Add `strength` nats to the log-odds of a level; the tilt never accumulates."""

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)
    strength: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    @property
    def propagates(self) -> bool:
        return False

    def apply(
        self,
        perception: AbstractPerception,
        tables: Tables,
        belief: Belief_,
        gate: Float[Array, ""],
    ) -> Belief_:
        f, level = tables.layout.level(f"{self.factor}.{self.level}")
        return perception.tilt(tables, belief, f, level, self.strength * gate)


class Clamp(AbstractOperator):
    """do(factor = level): the clamped chain is carried, so children move and parents do not."""

    factor: str = eqx.field(static=True)
    level: str = eqx.field(static=True)

    @property
    def propagates(self) -> bool:
        return True

    def apply(
        self,
        perception: AbstractPerception,
        tables: Tables,
        belief: Belief_,
        gate: Float[Array, ""],
    ) -> Belief_:
        f, level = tables.layout.level(f"{self.factor}.{self.level}")
        return blend(gate, perception.clamp(tables, belief, f, level), belief)


class Program(eqx.Module):
    """A practice, step by step: `active` (step, operator), `allowed` (step, choice).

    `gates` (operator, context) says in which contexts each operator may act.
    """

    operators: tuple[AbstractOperator, ...]
    active: Float[Array, "step operator"]
    allowed: Bool[Array, "step choice"]
    gates: Float[Array, "operator context"]

    @property
    def carries(self) -> bool:
        """Whether some operator needs a belief of its own from step to step."""
        return any(o.propagates for o in self.operators)


class Instruction(eqx.Module):
    """One step of a `Program`."""

    operators: tuple[AbstractOperator, ...]
    active: Float[Array, " operator"]
    allowed: Bool[Array, " choice"]
    gates: Float[Array, "operator context"]

    def gate(self, i: int, context: Index) -> Float[Array, ""]:
        """1 where operator `i` acts in `context` at this step, else 0."""
        if isinstance(context, int):
            return self.active[i] * self.gates[i, context]
        at = jnp.arange(self.gates.shape[1], dtype=context.dtype) == context
        return self.active[i] * jnp.sum(jnp.where(at, self.gates[i], 0.0))

    def apply(
        self,
        perception: AbstractPerception,
        tables: Tables,
        belief: Belief_,
        context: Index,
        *,
        tilts_only: bool = False,
    ) -> Belief_:
        """All operators in turn."""
        for i, operator in enumerate(self.operators):
            if not (tilts_only and operator.propagates):
                belief = operator.apply(perception, tables, belief, self.gate(i, context))
        return belief


def blend(gate: Float[Array, ""], on: Belief_, off: Belief_) -> Belief_:
    """`on` where the gate is open, `off` where it is closed, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(gate > 0, a, b), on, off)


def compile_program(practice: Practice, layout: Layout, **parameters: float | Array) -> Program:
    """The steps of a session of `practice` for a model with this layout.

    `parameters` are the practice's own (defaults where absent). Raises `InputError` for a parameter
    it does not have or a number outside its support, a factor, level or action the model lacks, an
    operator on a factor that an action sets, a condition on a hidden factor, or a clamp on a level
    that is switched off.
    """
    practice = practice.bind(layout)
    values = practice.defaults | _checked(practice, parameters)
    specs: list[OperatorSpec] = []
    for phase in practice.phases:
        specs += [o for o in phase.operators if o not in specs]
    active, allowed = [], []
    for phase in practice.phases:
        on = np.array([float(o in phase.operators) for o in specs])
        may = np.array([_permitted(phase.allowed, layout, u) for u in layout.choices])
        active += [on] * phase.steps
        allowed += [may] * phase.steps
    dtype = jnp.zeros(()).dtype
    return Program(
        operators=tuple(_operator(practice, spec, layout, values) for spec in specs),
        active=jnp.asarray(np.array(active).reshape(len(active), len(specs)), dtype),
        allowed=jnp.asarray(np.array(allowed)),
        gates=jnp.asarray(
            np.array([_gates(practice, s, layout) for s in specs]).reshape(
                len(specs), len(layout.contexts)
            ),
            dtype,
        ),
    )


def _checked(practice: Practice, parameters: dict[str, float | Array]) -> dict[str, float | Array]:
    place = practice.place / "parameters"
    for name, value in parameters.items():
        if name not in practice.parameters:
            known = suggest(name, practice.parameters)
            raise place.error(f"practice {practice.name} has no parameter '{name}'{known}")
        low, high = practice.parameters[name].support
        if isinstance(value, int | float) and not low <= value <= high:
            raise place.error(f"{name} = {value:g} lies outside its support [{low:g}, {high:g}]")
    return parameters


def _permitted(
    allowed: Mapping[str, tuple[str, ...]] | None, layout: Layout, choice: tuple[int, ...]
) -> bool:
    if allowed is None:
        return True
    return all(
        a.name not in allowed or a.levels[i] in allowed[a.name]
        for a, i in zip(layout.actions, choice, strict=True)
    )


def _operator(
    practice: Practice, spec: OperatorSpec, layout: Layout, values: dict[str, float | Array]
) -> AbstractOperator:
    f, level = layout.level(f"{spec.factor}.{spec.level}")
    place = f"practice {practice.name}, {spec.kind} on {spec.factor}.{spec.level}"
    if f in layout.known:
        raise InputError(f"'{spec.factor}' is set by an action, so there is nothing to hold", place)
    if spec.kind == "clamp":
        if level in layout.factors[f].excluded:
            raise InputError("this level is switched off in the model and cannot be clamped", place)
        return Clamp(factor=spec.factor, level=spec.level)
    assert spec.strength is not None
    strength = jnp.asarray(spec.strength.evaluate(values), jnp.zeros(()).dtype)
    return Field(factor=spec.factor, level=spec.level, strength=strength)


def _gates(practice: Practice, spec: OperatorSpec, layout: Layout) -> list[float]:
    for name in spec.while_:
        if layout.factor(name) not in layout.known:
            raise InputError(
                f"'while' names '{name}', which is hidden; only a factor that an action sets "
                "can say when to hold",
                f"practice {practice.name}, {spec.kind} on {spec.factor}.{spec.level}",
            )
    return [
        float(
            all(
                layout.factors[layout.factor(name)].levels[
                    c[layout.known.index(layout.factor(name))]
                ]
                in levels
                for name, levels in spec.while_.items()
            )
        )
        for c in layout.contexts
    ]

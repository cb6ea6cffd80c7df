"""What a practice does, step by step: which operators are on, and which actions allowed.

A declared practice becomes a `Program`; an `Instruction` is one step of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attach_ai.agent.operators import AbstractOperator as AbstractOperator
from attach_ai.agent.operators import Clamp as Clamp
from attach_ai.agent.operators import Condition as Condition
from attach_ai.agent.operators import Counts, Gate, Touch
from attach_ai.agent.operators import Expand as Expand
from attach_ai.agent.operators import Field as Field
from attach_ai.agent.operators import Precision as Precision
from attach_ai.agent.operators import PriorChange as PriorChange
from attach_ai.agent.operators import blend as blend
from attach_ai.agent.perception import AbstractPerception, Belief_, Index, State, Tables
from attach_ai.errors import InputError
from attach_ai.model.document import suggest
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from attach_ai.model.practice import BETWEEN, OperatorSpec, Practice


class Program(eqx.Module):
    """A practice, step by step: `active` (step, operator), `allowed` (step, choice).

    `gates` (operator, context) says in which contexts each operator may act; `name` is the
    practice's.
    """

    operators: tuple[AbstractOperator, ...]
    active: Float[Array, "step operator"]
    allowed: Bool[Array, "step choice"]
    gates: Float[Array, "operator context"]
    name: str = eqx.field(static=True, default="unnamed")

    @property
    def carries(self) -> bool:
        """Whether some operator needs a belief of its own from step to step."""
        return any(o.touches == "carried" for o in self.operators)

    def begin(self, pomdp: POMDP, practised: Float[Array, " session"]) -> POMDP:
        """The model with which a life starts that is practised in these sessions.

        Raises `InputError` for the expansion of a level that already has mass.
        """
        layout = pomdp.layout
        for i, operator in enumerate(self.operators):
            layout = operator.admit(layout)
            if operator.touches == "model":
                gate = self.active[:, i].max() * practised.max()
                pomdp = operator.change(pomdp, gate, self.name)
        return pomdp if pomdp.layout == layout else replace(pomdp, layout=layout)

    def end(self, layout: Layout, evidence: Counts, practised: Float[Array, ""]) -> Counts:
        """What a session adds to the counts, with what operators leave at its boundary.

        Raises `InputError` where a prior is to change that is not learned.
        """
        for i, operator in enumerate(self.operators):
            if operator.touches == "counts":
                gate = self.active[:, i].max() * practised
                evidence = operator.leave(layout, evidence, gate, self.name)
        return evidence


class Instruction(eqx.Module):
    """One step of a `Program`."""

    operators: tuple[AbstractOperator, ...]
    active: Float[Array, " operator"]
    allowed: Bool[Array, " choice"]
    gates: Float[Array, "operator context"]

    def gate(self, i: int, context: Index) -> Gate:
        """1 where operator `i` acts in `context` at this step, else 0."""
        if isinstance(context, int):
            return self.active[i] * self.gates[i, context]
        at = jnp.arange(self.gates.shape[1], dtype=context.dtype) == context
        return self.active[i] * jnp.sum(jnp.where(at, self.gates[i], 0.0))

    def touching(self, *places: Touch) -> list[tuple[int, AbstractOperator]]:
        """The operators that act there, each with its index."""
        return [(i, o) for i, o in enumerate(self.operators) if o.touches in places]

    def apply(
        self,
        perception: AbstractPerception,
        tables: Tables,
        belief: Belief_,
        context: Index,
        *,
        tilts_only: bool = False,
    ) -> Belief_:
        """All operators on what is held, in turn."""
        for i, operator in self.touching("held", *(() if tilts_only else ("carried",))):
            belief = operator.apply(perception, tables, belief, self.gate(i, context))
        return belief

    def inform(
        self, perception: AbstractPerception, tables: Tables, state: State, context: Index
    ) -> State:
        """The state that expects the next outcome, with the evidence that operators bring."""
        informing = self.touching("unheld")
        if not informing:
            return state
        belief = perception.expect(tables, state)
        for i, operator in informing:
            belief = operator.inform(perception, tables, belief, self.gate(i, context))
        return perception.believe(tables, state, belief)

    def precision(self, layout: Layout, context: Index) -> Float[Array, " modality"] | None:
        """The exponent of each modality's likelihood; None where no operator weighs evidence."""
        weighing = self.touching("evidence")
        if not weighing:
            return None
        exponent = jnp.ones(len(layout.modalities), self.active.dtype)
        for i, operator in weighing:
            exponent = operator.weigh(layout, exponent, self.gate(i, context))
        return exponent


def compile_program(practice: Practice, layout: Layout, **parameters: float | Array) -> Program:
    """The steps of a session of `practice` for a model with this layout.

    `parameters` are the practice's own (defaults where absent). Raises `InputError` for a parameter
    it does not have or a number outside its support, a factor, level, modality or action the model
    lacks, an operator on a factor that an action sets, a condition on a hidden factor, or a clamp
    on a level that is switched off and not brought in by the same practice.
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
    brought = {(s.factor, s.level) for s in specs if s.kind in BETWEEN}
    return Program(
        operators=tuple(_operator(practice, spec, layout, values, brought) for spec in specs),
        active=jnp.asarray(np.array(active).reshape(len(active), len(specs)), dtype),
        allowed=jnp.asarray(np.array(allowed)),
        gates=jnp.asarray(
            np.array([_gates(practice, s, layout) for s in specs]).reshape(
                len(specs), len(layout.contexts)
            ),
            dtype,
        ),
        name=practice.name,
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
    practice: Practice,
    spec: OperatorSpec,
    layout: Layout,
    values: dict[str, float | Array],
    brought: set[tuple[str, str]],
) -> AbstractOperator:
    place = f"practice {practice.name}, {spec.kind} on {spec.target}"
    if not spec.modality:
        f, level = layout.level(spec.target)
        if f in layout.known:
            what = "so there is nothing to hold"
            raise InputError(f"'{spec.factor}' is set by an action, {what}", place)
        off = level in layout.factors[f].excluded and (spec.factor, spec.level) not in brought
        if spec.kind == "clamp" and off:
            said = "this level is switched off in the model and cannot be clamped"
            raise InputError(said, place)
    number = jnp.zeros((), jnp.zeros(()).dtype)
    if spec.strength is not None:
        number = jnp.asarray(spec.strength.evaluate(values), number.dtype)
    return KINDS[spec.kind](spec, number)


KINDS: Mapping[str, Callable[[OperatorSpec, Float[Array, ""]], AbstractOperator]] = {
    "field": lambda o, x: Field(o.factor, o.level, x),
    "clamp": lambda o, x: Clamp(o.factor, o.level),
    "condition": lambda o, x: Condition(o.factor, o.level, x),
    "prior_change": lambda o, x: PriorChange(o.factor, o.level, x),
    "precision": lambda o, x: Precision(o.modality, x),
    "expand": lambda o, x: Expand(o.factor, o.level, x, o.column),
}


def _gates(practice: Practice, spec: OperatorSpec, layout: Layout) -> list[float]:
    for name in spec.while_:
        if layout.factor(name) not in layout.known:
            raise InputError(
                f"'while' names '{name}', which is hidden; only a factor that an action sets "
                "can say when to hold",
                f"practice {practice.name}, {spec.kind} on {spec.target}",
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

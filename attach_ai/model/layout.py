"""The shape of a model: named axes, who reads whom, and what an action makes known.

A `Layout` is static (hashable, no arrays): two models with one layout compile once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attach_ai.model.model import Model


@dataclass(frozen=True)
class Factor:
    """A hidden cause.

    `parents` are indices of the factors, one step ago, and `actions` indices of the actions that B
    reads, in the order of B's axes after the first. `set_by` is the action that sets the factor
    outright, `start` the only level it can have at first (None: several, or it depends on
    parameters). `excluded` are levels switched off by `Model.without`.
    """

    name: str
    levels: tuple[str, ...]
    parents: tuple[int, ...]
    actions: tuple[int, ...] = ()
    set_by: int | None = None
    start: int | None = None
    excluded: tuple[int, ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Modality:
    """A kind of outcome.

    `parents` are indices of the factors that A reads now, in the order of A's axes after the first.
    `inner` outcomes are fed by the mind itself (`attach_ai.world.Inner`). `reads` and `outcomes`
    say, for each context (`Layout.contexts`), which hidden factors A really depends on and which
    outcome levels can occur at all; None stands for all of them.
    """

    name: str
    levels: tuple[str, ...]
    parents: tuple[int, ...]
    inner: bool = False
    reads: tuple[tuple[int, ...], ...] | None = None
    outcomes: tuple[tuple[int, ...], ...] | None = None
    meaning: str = ""


@dataclass(frozen=True)
class Action:
    """What is chosen; a control factor."""

    name: str
    levels: tuple[str, ...]
    meaning: str = ""


@dataclass(frozen=True)
class Layout:
    """Factors, modalities and actions of a model, by name and order.

    Factors split in two. *Known* ones are set by an action and start at a known level: the mind is
    never unsure of them, so they cost no states. All others are *hidden*. One joint assignment of
    the known factors is a *context*, one joint assignment of the actions a *choice*.

    `declared` is the model whose `build` made the arrays, for what needs its words again; it is no
    part of the shape.
    """

    factors: tuple[Factor, ...]
    modalities: tuple[Modality, ...]
    actions: tuple[Action, ...]
    declared: Model | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        readers: tuple[Factor | Modality, ...] = (*self.factors, *self.modalities)
        for x in readers:
            if list(x.parents) != sorted(set(x.parents)):
                raise ValueError(f"parents of {x.name} must stand in the order of the factors")

    @cached_property
    def known(self) -> tuple[int, ...]:
        """Indices of factors that the chosen action makes known."""
        return tuple(
            f for f, x in enumerate(self.factors) if x.set_by is not None and x.start is not None
        )

    @cached_property
    def hidden(self) -> tuple[int, ...]:
        """Indices of all other factors: the axes of a joint belief, in this order."""
        return tuple(f for f in range(len(self.factors)) if f not in self.known)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Levels of each hidden factor: the shape of a joint belief."""
        return tuple(len(self.factors[f].levels) for f in self.hidden)

    @cached_property
    def n_hidden(self) -> int:
        """Number of joint hidden states."""
        return prod(self.shape)

    @cached_property
    def n_states(self) -> int:
        """Number of joint states, the known factors included."""
        return prod(len(f.levels) for f in self.factors)

    @cached_property
    def contexts(self) -> tuple[tuple[int, ...], ...]:
        """Every joint assignment of the known factors, last factor fastest."""
        return tuple(product(*(range(len(self.factors[f].levels)) for f in self.known)))

    @cached_property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """Every joint assignment of the actions, last action fastest."""
        return tuple(product(*(range(len(a.levels)) for a in self.actions)))

    @cached_property
    def context_after(self) -> tuple[int, ...]:
        """The context that each choice brings about."""
        return tuple(
            self.contexts.index(tuple(u[self._setter(f)] for f in self.known)) for u in self.choices
        )

    @cached_property
    def first_context(self) -> int:
        """The context in which every session starts."""
        return self.contexts.index(tuple(self._start(f) for f in self.known))

    def _setter(self, f: int) -> int:
        action = self.factors[f].set_by
        assert action is not None
        return action

    def _start(self, f: int) -> int:
        level = self.factors[f].start
        assert level is not None
        return level

    def reads(self, m: int, context: int) -> tuple[int, ...]:
        """Hidden factors that modality `m` depends on in `context`."""
        modality = self.modalities[m]
        if modality.reads is not None:
            return modality.reads[context]
        return tuple(f for f in modality.parents if f in self.hidden)

    def outcomes(self, m: int, context: int) -> tuple[int, ...]:
        """Outcome levels of modality `m` that can occur in `context`."""
        modality = self.modalities[m]
        if modality.outcomes is not None:
            return modality.outcomes[context]
        return tuple(range(len(modality.levels)))

    def factor(self, name: str) -> int:
        """Index of a factor by name; `LookupError` names the choices."""
        return _index(name, [f.name for f in self.factors], "factor")

    def modality(self, name: str) -> int:
        """Index of a modality by name."""
        return _index(name, [m.name for m in self.modalities], "modality")

    def action(self, name: str) -> int:
        """Index of an action by name."""
        return _index(name, [a.name for a in self.actions], "action")

    def level(self, target: str) -> tuple[int, int]:
        """Indices (factor, level) of a target written `factor.level`."""
        name, dot, level = target.partition(".")
        if not dot:
            raise LookupError(f"'{target}' should be written factor.level, as in agents.benevolent")
        f = self.factor(name)
        return f, _index(level, list(self.factors[f].levels), f"level of {name}")


def _index(name: str, names: list[str], what: str) -> int:
    if name not in names:
        raise LookupError(f"no {what} is called '{name}'; there are {', '.join(names)}")
    return names.index(name)

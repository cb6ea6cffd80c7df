"""What is true: outer outcomes from a process, inner ones from the mind's own prediction."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP
from attach_ai.world import process as outer
from attach_ai.world.inner import Inner

Predictions = tuple[Float[Array, " outcome"], ...]


class WorldState(eqx.Module):
    """`levels`: (factor,), what is true now. `inner`: x_t of each inner modality."""

    levels: Int[Array, " factor"]
    inner: tuple[Float[Array, " outcome"], ...]


class AbstractWorld(eqx.Module):
    """What gives outcomes and takes choices."""

    @abstractmethod
    def prepare(self, layout: Layout) -> Any:
        """What can be computed once; checks that the world speaks the mind's language."""

    @abstractmethod
    def begin(self, tables: Any, draws: Float[Array, " factor"]) -> WorldState:
        """The state at the start of a session; `draws` are uniform in [0, 1)."""

    @abstractmethod
    def change(
        self, tables: Any, state: WorldState, choice: Int[Array, ""], draws: Float[Array, " factor"]
    ) -> WorldState:
        """The state one step later."""

    @abstractmethod
    def emit(
        self, tables: Any, state: WorldState, predicted: Predictions, draws: Array
    ) -> tuple[WorldState, Int[Array, " modality"]]:
        """Outcomes of all modalities; `predicted` is what the mind, holding, expects within."""


class World(AbstractWorld):
    """A `process` for outer outcomes and an `inner` loop for the rest.

    The process is a POMDP over the same factors, modalities and actions as the mind's model: a real
    other is one whose agents are benevolent, an imagined other one where nobody is there.
    """

    process: POMDP
    inner: Inner = eqx.field(default_factory=Inner)

    def prepare(self, layout: Layout) -> outer.ProcessTables:
        for what in ("factors", "modalities", "actions"):
            if _names(self.process.layout, what) != _names(layout, what):
                raise InputError(f"the process and the mind's model have other {what}", "world")
        self.inner.check(layout)
        return outer.prepare(self.process)

    def begin(self, tables: outer.ProcessTables, draws: Array) -> WorldState:
        levels = outer.begin(tables, draws)
        elsewhere = self._elsewhere(tables, outer.outcome_rows(tables, levels))
        return WorldState(levels, elsewhere)

    def change(
        self, tables: outer.ProcessTables, state: WorldState, choice: Array, draws: Array
    ) -> WorldState:
        return WorldState(outer.change(tables, state.levels, choice, draws), state.inner)

    def emit(
        self,
        tables: outer.ProcessTables,
        state: WorldState,
        predicted: Predictions,
        draws: Array,
    ) -> tuple[WorldState, Int[Array, " modality"]]:
        rows = outer.outcome_rows(tables, state.levels)
        edges = tables.edges[rows]
        elsewhere = self._elsewhere(tables, rows)
        bodies = tuple(
            self.inner.follow(x, expected, e)
            for x, expected, e in zip(state.inner, predicted, elsewhere, strict=True)
        )
        for m, x in zip(self._inner_modalities(), bodies, strict=True):
            own = jnp.pad(jnp.cumsum(x), (0, edges.shape[1] - x.shape[0]), mode="edge")
            edges = edges.at[m].set(own)
        return WorldState(state.levels, bodies), outer.inverse_cdf(edges, draws)

    def _inner_modalities(self) -> list[int]:
        return [m for m, x in enumerate(self.process.layout.modalities) if x.inner]

    def _elsewhere(self, tables: outer.ProcessTables, rows: Array) -> Predictions:
        """e_m of each inner modality: its load, or what the process itself would show."""
        found = []
        for m in self._inner_modalities():
            modality = self.process.layout.modalities[m]
            if modality.name in self.inner.load:
                found.append(self.inner.load[modality.name])
            else:
                found.append(tables.p[rows[m], : len(modality.levels)])
        return tuple(found)


def _names(layout: Layout, what: str) -> list[tuple[Any, ...]]:
    """What two models must share to speak of the same things."""
    return [(x.name, x.levels, getattr(x, "inner", None)) for x in getattr(layout, what)]

"""Where an experiment stands: what its arms and populations share, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from attach_ai.agent.exact import Exact
from attach_ai.agent.hold import compile_program
from attach_ai.agent.learning import Dirichlet
from attach_ai.agent.mean_field import MeanField
from attach_ai.agent.perception import AbstractPerception
from attach_ai.agent.planning import ExpectedFreeEnergy
from attach_ai.lab.arms import Study
from attach_ai.lab.design import sweep
from attach_ai.lab.population import Condition, Population, Values, known, live, population
from attach_ai.model.library import load_model, load_practice, load_world
from attach_ai.model.model import Model
from attach_ai.model.practice import Practice
from attach_ai.simulation.schedule import days

if TYPE_CHECKING:
    import xarray

# Values that no document gives; all are swept (docs/decisions.md).
DEFAULTS: Values = {
    "gain": 0.8,
    "rate": 0.25,
    "gamma": 8.0,
    "retention": 0.95,
    "eta": 1.0,
    "hold": 2.0,
}


class Sizes(Protocol):
    """What a Config says of sizes: seeds at the reference, and in draws, variants and shuffles."""

    @property
    def n_seeds(self) -> int: ...
    @property
    def n_paired(self) -> int: ...
    @property
    def n_draws(self) -> int: ...
    @property
    def n_shuffles(self) -> int: ...
    @property
    def n_sessions(self) -> int: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Setting:
    """One model, one practice and what may be learned, asked of every population.

    `mind` is the phenotype that the population's sweep goes around; `fixed` names what the
    experiment sets itself and no draw varies, `ranges` what it draws otherwise than `lab.design`;
    `defaults` are the values outside any model (gain, rate, gamma, retention, eta, hold).
    """

    model: Model = field(default_factory=lambda: load_model("attachment_core"))
    practice: Practice = field(default_factory=lambda: load_practice("loving_kindness"))
    mind: Values = field(default_factory=dict)
    learning: Dirichlet = field(default_factory=lambda: Dirichlet(D=("agents", "law")))
    planning: ExpectedFreeEnergy = field(default_factory=ExpectedFreeEnergy)
    fixed: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    defaults: Values = field(default_factory=lambda: DEFAULTS)

    def world(self, name: str) -> dict[str, float]:
        """A declared world, in this model's words."""
        return known(self.model, load_world(name))

    def population(self, kind: str, sizes: Sizes) -> Population:
        """One of `population.KINDS` around the phenotype."""
        ranges = sweep(self.model, known(self.model, self.mind), self.fixed) | dict(self.ranges)
        return population(
            kind,
            self.model,
            ranges,
            n=sizes.n_shuffles if kind == "shuffles" else sizes.n_draws,
            n_seeds=sizes.n_seeds if kind == "reference" else sizes.n_paired,
            seed=sizes.seed,
            fixed=self.fixed,
        )

    def study(self, perception: str, n_sessions: int, track: str | None = None) -> Study:
        """What all arms share; `track` names a level whose evidence ledger is kept."""
        return Study(
            perception=perceive(perception),
            program=compile_program(self.practice, self.model.layout),
            days=days(self.practice, n_sessions),
            learning=self.learning,
            planning=self.planning,
            track=None if track is None else self.model.layout.level(track),
        )

    def live(
        self,
        perception: str,
        group: Population,
        conditions: Mapping[str, Condition],
        summary: Callable[..., dict[str, Any]],
        sizes: Sizes,
        track: str | None = None,
    ) -> xarray.Dataset:
        """Every condition in every model of a population (`lab.population.live`)."""
        return live(
            self.study(perception, sizes.n_sessions, track),
            group,
            conditions,
            summary,
            mind=known(self.model, self.mind),
            defaults=self.defaults,
            seed=sizes.seed,
        )


def perceive(name: str) -> AbstractPerception:
    """Exact inference ("exact"), or mean field by fixed-point iteration ("mean_field")."""
    return Exact() if name == "exact" else MeanField("fpi")


def reduced(found: Mapping[str, xarray.Dataset]) -> dict[str, xarray.Dataset]:
    """The little that a figure needs: without seeds.

    In cells called `...reference` every variable becomes `<name>_mean` and `<name>_se` (of the mean
    over seeds), elsewhere it is its mean over seeds. Cells without a `seed` dimension stay.
    """
    import xarray as xr

    small = {}
    for name, data in found.items():
        if "seed" not in data.dims:
            small[name] = data
        elif name.endswith("reference"):
            means = data.mean("seed").rename({v: f"{v}_mean" for v in data.data_vars})
            errors = data.std("seed") / np.sqrt(data.sizes["seed"])
            small[name] = xr.merge([means, errors.rename({v: f"{v}_se" for v in data.data_vars})])
        else:
            small[name] = data.mean("seed")
    return small

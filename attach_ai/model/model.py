"""A declared model: what `build` turns into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attach_ai.errors import InputError
from attach_ai.model.document import Place, suggest
from attach_ai.model.expression import Expression
from attach_ai.model.layout import Layout
from attach_ai.model.parameters import Parameter, within
from attach_ai.model.tables import Table

if TYPE_CHECKING:
    from attach_ai.model.check import Check
    from attach_ai.model.pomdp import POMDP


@dataclass(frozen=True, eq=False)
class Model:
    """A generative model as its file declares it; nothing in it changes.

    `tables` by name ("A.cue"), `counts` the strengths of tables that may be learned, `sha256` of
    the file its provenance.
    """

    name: str
    meaning: str
    source: str
    path: Path
    sha256: str
    layout: Layout
    tables: Mapping[str, Table]
    declared: tuple[Parameter, ...]
    counts: Mapping[str, Expression]
    place: Place

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in file order."""
        return {p.name: p for p in self.declared}

    @property
    def defaults(self) -> dict[str, float]:
        """Each parameter's default."""
        return {p.name: p.default for p in self.declared}

    def build(self, settings: Mapping[str, Any] | None = None, /, **parameters: Any) -> POMDP:
        """The arrays of the model.

        `settings` (a phenotype, say) replace defaults, keywords replace both. Values are scalars:
        numbers, or JAX values under `jit`, `grad` and `vmap`; shapes never depend on them. Floats
        have JAX's default precision.

        Raises `InputError` for a parameter the model does not have, for a number outside its
        parameter's support, and for numbers that leave a column without any mass.
        """
        from attach_ai.model.arrays import assemble

        return assemble(self, self._values(settings or {}, parameters))

    def without(self, target: str) -> Model:
        """The same model with a level switched off, as in `without("agents.benevolent")`.

        The level's prior and its inflow become exactly zero and columns renormalise; shapes stay.
        Raises `InputError` for an unknown level. A column that is left empty is an `InputError` of
        `build`; where a traced value empties it, it is NaN.
        """
        try:
            f, level = self.layout.level(target)
        except LookupError as problem:
            raise InputError(str(problem.args[0]), place=str(self.place)) from None
        factor = self.layout.factors[f]
        excluded = tuple(sorted({*factor.excluded, level}))
        factors = list(self.layout.factors)
        factors[f] = replace(factor, excluded=excluded)
        return replace(self, layout=replace(self.layout, factors=tuple(factors)))

    def combining(self, how: str) -> Model:
        """A structural variant: causes in `noisy_or` tables combine "additive" or by "max"."""
        return _combining(self, how)

    def check(self) -> Check:
        """Coverage, column sums, unreachable levels and what data could identify."""
        from attach_ai.model.check import check

        return check(self)

    def _values(self, settings: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        known = self.parameters
        values: dict[str, Any] = dict(self.defaults)
        optional = getattr(settings, "optional", ())
        place = str(getattr(settings, "place", self.place))
        for name, value in settings.items():
            if name in known:
                values[name] = within(known[name], value, place)
            elif name not in optional:
                raise _unknown(name, self, place)
        for name, value in keywords.items():
            if name not in known:
                raise _unknown(name, self, str(self.place))
            values[name] = within(known[name], value, str(self.place))
        return values


@lru_cache(maxsize=32)
def _combining(model: Model, how: str) -> Model:
    """Read once for each model: what was compiled for a variant goes on serving it."""
    from attach_ai.model.reader import read_model

    return replace(read_model(model.path, combine=how), layout=model.layout)


def _unknown(name: str, model: Model, place: str) -> InputError:
    return InputError(
        f"model {model.name} has no parameter '{name}'{suggest(name, model.parameters)}",
        place=place,
    )

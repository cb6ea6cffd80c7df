"""Is a model sound, and could data say anything about its parameters?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attach_ai.model.model import Model

NEGLIGIBLE = 1e-8  # share of the largest information below which a direction carries none


@dataclass(frozen=True)
class Information:
    """Fisher information about parameters in the actions and outcomes of simulated people.

    `matrix`: (parameter, parameter), per trajectory, in units of each parameter's own.
    """

    parameters: tuple[str, ...]
    matrix: np.ndarray
    n_trajectories: int
    n_steps: int


_information: Callable[[Model], Information] | None = None


def register_information(function: Callable[[Model], Information]) -> None:
    """Give `check` the means to simulate; a room to the right of this one owns them."""
    global _information
    _information = function


@dataclass(frozen=True)
class TableCheck:
    """One declared block of rows: how many combinations of parents it has and covers."""

    name: str
    n_rows: int
    n_combinations: int
    n_covered: int
    worst: float


@dataclass(frozen=True)
class Check:
    """The report of `Model.check`; `str` prints it.

    `problems` are what makes a model unfit; `ok` says there are none. What data could identify is a
    property of a model, not a fault: `unidentified` names the parameters nothing informs, and
    `confounded` groups that data inform only jointly.
    """

    model: str
    n_states: int
    tables: tuple[TableCheck, ...]
    problems: tuple[str, ...]
    information: Information | None
    rank: int | None
    unidentified: tuple[str, ...]
    confounded: tuple[tuple[str, ...], ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{self.model}: {self.n_states:,} joint states", "", "coverage and column sums"]
        for t in self.tables:
            silent = t.n_combinations - t.n_covered
            note = f", silent in {silent}" if silent else ""
            lines.append(
                f"  {t.name:<36} {t.n_rows:>3} rows cover {t.n_covered:>4} of "
                f"{t.n_combinations:>4}{note}; worst sum error {t.worst:.0e}"
            )
        lines += ["", *self._identification(), ""]
        lines += [f"problem: {p}" for p in self.problems] or ["no problems"]
        return "\n".join(lines)

    def _identification(self) -> list[str]:
        if self.information is None:
            return ["identification: not computed (nothing to simulate with is loaded)"]
        info = self.information
        lines = [
            f"identification: {info.n_trajectories} people x {info.n_steps} steps, rank "
            f"{self.rank} of {len(info.parameters)} parameters",
            "  parameter            information    standard error, one person",
        ]
        for name, i in zip(info.parameters, np.diag(info.matrix), strict=True):
            error = f"{1 / np.sqrt(i):>12.3g}" if name not in self.unidentified else "   none"
            lines.append(f"  {name:<20} {i:>11.3g}    {error}")
        if self.unidentified:
            lines.append(f"  nothing identifies: {', '.join(self.unidentified)}")
        lines += [f"  only together: {', '.join(group)}" for group in self.confounded]
        return lines


def check(model: Model) -> Check:
    """Coverage, column sums, reachability and, where it can be simulated, identification."""
    tables = tuple(
        TableCheck(
            f"{t.name} {b.title}".strip(), len(b.rows), b.n_combinations, b.n_covered, t.worst
        )
        for t in model.tables.values()
        for b in t.blocks
        if t.form != "flat"
    )
    problems = [*_unreachable(model), *_unused(model)]
    information = _information(model) if _information else None
    rank: int | None = None
    unidentified: tuple[str, ...] = ()
    confounded: tuple[tuple[str, ...], ...] = ()
    if information is not None:
        rank, unidentified, confounded = identify(model, information)
    return Check(
        model.name,
        model.layout.n_states,
        tables,
        tuple(problems),
        information,
        rank,
        unidentified,
        confounded,
    )


def _unreachable(model: Model) -> list[str]:
    """Levels that no path of cells leads to from D.

    A cell counts as open unless it is zero by declaration, so this names only levels that can
    never be reached whatever the parameters, those switched off apart.
    """
    found = []
    for factor in model.layout.factors:
        b = ~model.tables[f"B.{factor.name}"].never
        own = list(model.tables[f"B.{factor.name}"].parents.levels).index(factor.name)
        others = tuple(a for a in range(1, b.ndim) if a != own + 1)
        step = b.any(axis=others)  # (to, from)
        reached = ~model.tables[f"D.{factor.name}"].never
        off = np.isin(np.arange(len(factor.levels)), factor.excluded)
        reached &= ~off
        for _ in factor.levels:
            reached |= step[:, reached].any(axis=1) & ~off
        found += [
            f"{factor.name}.{level} cannot be reached from D through B"
            for level, open_ in zip(factor.levels, reached | off, strict=True)
            if not open_
        ]
    return found


def _unused(model: Model) -> list[str]:
    used = {name for t in model.tables.values() for name in t.names}
    used |= {name for c in model.counts.values() for name in c.names}
    return [f"no cell uses the parameter {name}" for name in model.parameters if name not in used]


def identify(
    model: Model, information: Information
) -> tuple[int, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Rank of the information, parameters it says nothing about, groups it cannot tell apart.

    Parameters are first put on the scale of their supports, so that units do not matter.
    """
    declared = model.parameters
    width = np.array([np.ptp(declared[p].support) for p in information.parameters])
    scaled = information.matrix * np.outer(width, width)
    values, vectors = np.linalg.eigh(scaled)
    void = values <= NEGLIGIBLE * max(values[-1], 0.0)
    rank = int((~void).sum())
    blind = np.diag(scaled) <= NEGLIGIBLE * max(values[-1], 0.0)
    unidentified = tuple(np.array(information.parameters)[blind].tolist())
    return rank, unidentified, tuple(_together(vectors[:, void], blind, information.parameters))


def _together(null: np.ndarray, blind: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Groups of parameters that share a direction without information.

    The projector on those directions does not depend on the basis that `eigh` picked, and has
    entries between parameters that trade off against each other.
    """
    linked = np.abs(null @ null.T) > 0.01
    linked[blind] = linked[:, blind] = False
    left = {i for i in range(len(names)) if linked[i, i]}
    groups = []
    while left:
        group = {left.pop()}
        while more := {j for i in group for j in left if linked[i, j]}:
            group |= more
            left -= more
        if len(group) > 1:
            groups.append(tuple(names[i] for i in sorted(group)))
    return groups

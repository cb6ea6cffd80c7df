"""Running an experiment cell by cell: what is finished stays finished.

    results/<experiment>/<scale>/<key>/cells/<cell>.nc    as each cell ends
    results/<experiment>/<scale>/<key>/verdict.json       when all have
    results/<experiment>/<scale>/<key>/run.json           where it came from

The key is the hash of everything the numbers rest on (`attach_ai.lab.stale`), so a stale result is
simply one that is not there, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attach_ai.errors import InputError
from attach_ai.files import read_json, write, write_json
from attach_ai.lab import stale
from attach_ai.lab.experiments import Experiment
from attach_ai.progress import Progress
from attach_ai.provenance import provenance

if TYPE_CHECKING:
    import xarray

SECONDS = "wall_seconds"


@dataclass(frozen=True)
class Run:
    """One experiment at one scale, done or to be done."""

    experiment: Experiment
    scale: str
    config: Any
    key: str
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "results" / self.experiment.name / self.scale / self.key

    @property
    def finished(self) -> bool:
        """Whether a result with these very inputs is there."""
        return (self.folder / "run.json").is_file()

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict of a finished run."""
        found: dict[str, Any] = read_json(self.folder / "verdict.json")
        return found

    @property
    def record(self) -> dict[str, Any]:
        """The provenance of a finished run."""
        found: dict[str, Any] = read_json(self.folder / "run.json")
        return found

    def pending(self) -> dict[str, Callable[[], xarray.Dataset]]:
        """Cells still to be done."""
        if self.finished:
            return {}
        return {name: work for name, work in self._all().items() if not self.cell(name).is_file()}

    def cell(self, name: str) -> Path:
        """Where a cell is kept."""
        return self.folder / "cells" / f"{name}.nc"

    def cells(self) -> dict[str, xarray.Dataset]:
        """Every cell, read back."""
        return {name: load(self.cell(name))[0] for name in self._all()}

    def _all(self) -> dict[str, Callable[[], xarray.Dataset]]:
        cells: dict[str, Callable[[], xarray.Dataset]] = self.experiment.module.cells(self.config)
        for name in cells:
            if not re.fullmatch(r"[\w.+=-]+", name):
                raise InputError(
                    f"cell '{name}' cannot name a file; use letters, digits and . + = - _",
                    str(self.experiment.path),
                )
        return cells


def plan(
    experiment: Experiment, scale: str, root: Path, settings: Mapping[str, str] | None = None
) -> Run:
    """What running an experiment at a scale means, and where its result lies."""
    config = experiment.config(scale, settings)
    return Run(experiment, scale, config, stale.key(experiment, config, root), root)


def execute(run: Run, progress: Progress) -> dict[str, Any]:
    """Do the cells that are not done yet, then judge; returns the verdict.

    The verdict is always judged on cells read back from disk, so that a resumed run and an
    uninterrupted one cannot differ.
    """
    if run.finished:
        return run.verdict
    for name, work in run.pending().items():
        with progress.step(f"{run.experiment.name}: {name}"):
            began = perf_counter()
            cell = work()
            seconds = round(perf_counter() - began, 2)
            save(cell.assign_attrs({SECONDS: seconds}), run.cell(name))
    loaded = {name: load(run.cell(name)) for name in run._all()}
    verdict = run.experiment.module.verdict(run.config, {n: c for n, (c, _) in loaded.items()})
    of = {"figure": run.experiment.figure, "claims": list(run.experiment.module.CLAIMS)}
    write_json(run.folder / "verdict.json", {**verdict.as_dict(), **of})
    record = {
        "experiment": run.experiment.name,
        "scale": run.scale,
        "key": run.key,
        **provenance(run.root),
        "config": stale.as_json(run.config),
        "inputs": stale.inputs(run.experiment, run.root),
        "seconds": {name: seconds for name, (_, seconds) in loaded.items()},
    }
    write_json(run.folder / "run.json", record)
    return run.verdict


def save(cell: xarray.Dataset, path: Path) -> None:
    """Write a Dataset as NetCDF, compressed, whole or not at all."""
    squeeze = {
        name: {"zlib": True, "complevel": 4}
        for name, array in cell.variables.items()
        if array.ndim and array.dtype.kind in "fiu"
    }
    write(path, lambda p: cell.to_netcdf(p, engine="h5netcdf", encoding=squeeze))


def load(path: Path) -> tuple[xarray.Dataset, float]:
    """Read a cell and how many seconds it took; `InputError` if the file is no longer readable."""
    import xarray

    try:
        cell = xarray.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error}); delete it and run again", str(path)) from error
    return cell, float(cell.attrs.pop(SECONDS, 0.0))

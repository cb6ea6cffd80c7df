"""Every experiment runs from end to end at its smallest size, and its figure can be drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from attach_ai.lab.experiments import Experiment, available, load, load_file
from attach_ai.model.library import FOLDERS, names

ROOT = Path(__file__).parents[2]
EXPERIMENTS = available(ROOT)
ASKED = ("score", "predicted")
DECLARED = {name for kind in FOLDERS for name in names(kind)}
DECLARED |= {f"{folder}/{name}" for kind, folder in FOLDERS.items() for name in names(kind)}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_says_what_would_refute_it_and_what_it_reads(name: str) -> None:
    module = load(EXPERIMENTS[name]).module
    assert module.PREDICTION != module.REFUTATION
    assert set(module.MODELS) <= DECLARED
    sizes = [dataclasses.astuple(c) for c in (module.SMOKE, module.STANDARD, module.DEEP)]
    assert len(set(sizes)) == 3
    assert module.DEEP.n_draws >= 500
    if hasattr(module, "DATA"):  # one posterior of what there is; nothing is drawn again
        assert module.DEEP.n_chains >= 2  # or nothing says whether they agree
    else:
        assert module.DEEP.n_seeds >= 200


def present(experiment: Experiment) -> None:
    """Skip, saying so, where what an experiment is about is not at hand."""
    if experiment.lacks:
        pytest.skip(f"{', '.join(experiment.lacks)} not at hand (ATTACH_AI_DATA)")


def runs() -> Iterator[Any]:
    """(name, perceptions): quickly under exact inference, slowly under both; once without any.

    Data and all that is held against them take minutes to compile, and run slowly only.
    """
    for name, path in EXPERIMENTS.items():
        module = load(path).module
        if not hasattr(module.SMOKE, "perceptions"):
            marks = [pytest.mark.slow] if hasattr(module, "DATA") else []
            yield pytest.param(name, (), id=name, marks=marks)
            continue
        yield pytest.param(name, ("exact",), id=f"exact-{name}")
        both = ("exact", "mean_field")
        yield pytest.param(name, both, id=f"both-{name}", marks=pytest.mark.slow)


@pytest.mark.parametrize(("name", "perceptions"), list(runs()))
def test_it_runs_from_end_to_end(name: str, perceptions: tuple[str, ...]) -> None:
    experiment = load(EXPERIMENTS[name])
    present(experiment)
    module, config = experiment.module, experiment.module.SMOKE
    if perceptions:
        config = dataclasses.replace(config, perceptions=perceptions)
    found = {cell: work() for cell, work in module.cells(config).items()}
    for cell, data in found.items():
        for variable, values in data.items():
            # Of real people some were not asked everything every time.
            fine = np.isfinite(values).any() if variable in ASKED else np.isfinite(values).all()
            assert fine, f"{cell}: {variable} is not finite"
    verdict = module.verdict(config, found).as_dict()
    assert verdict["experiment"] == name
    assert {f["perception"] for f in verdict["outcomes"]} >= set(perceptions)
    assert all(f["share"] is None or 0 <= f["share"] <= 1 for f in verdict["outcomes"])
    if len(perceptions) != 1:
        script = load_file(ROOT / "paper" / "figures" / f"{name}.py", f"figure_{name}")
        assert isinstance(script.draw(module.summary(found), verdict), matplotlib.figure.Figure)


def test_a_share_of_draws_is_counted_over_models_not_seeds() -> None:
    from attach_ai.lab.population import holds, signs

    gain = np.array([[1.0, 1.0], [-1.0, 0.5], [2.0, 1.0], [0.1, 0.1]])  # (model, seed)
    draws = xr.Dataset({"gain": (("model", "seed"), gain)})
    reference = xr.Dataset({"gain": (("model", "seed"), np.array([[1.0, 1.2, 0.8, 1.0]]))})
    found = signs(lambda d: d["gain"], {"reference": reference, "draws": draws})
    assert found["share"] == 0.75
    assert found["mean"] == pytest.approx(1.0)
    assert not holds(found)
    assert holds(found | {"share": 0.8})
    assert not holds(found | {"share": 0.8, "se": 0.6})

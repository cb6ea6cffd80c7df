"""Speed of fitting: one gradient, one fit, and the worst of what it says, a second.

The workload is a study of `attachment_waves` in two arms: people x 4 waves x 18 items (ECR-S and
six of PHQ-9) x 24 daily steps, four parameters that differ between people, answers drawn from the
model itself. Everything is in single precision, and no item's log likelihood is kept.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import jax
import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import write_json
from attach_ai.fit.sampling.chain import Density, plain_rules
from attach_ai.fit.sampling.diagnostics import least_effective
from attach_ai.fit.sampling.sample import Draws, sample
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.progress import Progress
from attach_ai.provenance import machine

FREE = ("trust", "fear_of_loss", "shame", "w_other")
INSTRUMENTS = ("ecr_s", "phq9")
ITEMS_A_SCALE = 6
WAVES = {"1": 0, "2": 8, "3": 16, "4": 23}
STEPS = 24


@dataclass(frozen=True)
class Size:
    """How much is measured: people in the fit and in the large gradient, chains and their length,
    seconds that a timing of gradients covers."""

    n_people: int = 300
    n_large: int = 5000
    chains: int = 2
    warmup: int = 500
    draws: int = 500
    seconds: float = 2.0
    engines: tuple[str, ...] = ("nuts", "nutpie")


@dataclass(frozen=True)
class Row:
    """One figure; where there are such, `asked` is the bound and `goal` what is hoped for."""

    figure: str
    value: float
    asked: float | None = None
    goal: float | None = None


def bench_fit(json_path: Path | None = None, size: Size = Size()) -> dict[str, Any]:
    """Measure, print a table, and return {"machine": ..., "rows": [...]} (also to `json_path`)."""
    rows: list[Row] = []
    with jax.enable_x64(False), plain_rules(), Progress(3 + len(size.engines)) as progress:
        with progress.step("study"):
            study = workload(size.n_people)
        with progress.step("gradient"):
            times = gradient(study, size.seconds)
            what = f"gradient, {size.n_people} people (ms"
            rows.append(Row(f"{what}, median)", 1e3 * median(times), 6.0, 2.5))
            rows.append(Row(f"{what}, least)", 1e3 * min(times)))
        with progress.step(f"gradient, {size.n_large} people"):
            rows += _large(size)
        for engine in size.engines:
            with progress.step(f"fit, {engine}"):
                rows += _fit(study, engine, size)
    where = machine()
    found = {"machine": where, "rows": [asdict(r) for r in rows]}
    if json_path is not None:
        write_json(json_path, found)
    _show(where, rows)
    return found


def workload(n_people: int, seed: int = 0) -> POMDPStudy:
    """The study that is timed; a twentieth of its answers are missing."""
    from attach_ai.fit.study.build import build_study
    from attach_ai.fit.study.planned import answered, planned_records
    from attach_ai.model.mapping import load_mapping

    mapping = load_mapping("cohort")
    arms = {
        name: replace(arm, periods=tuple(replace(p, end=STEPS) for p in arm.periods))
        for name, arm in (mapping.arms or {}).items()
    }
    time = replace(mapping.time, waves=WAVES, steps=STEPS, step=1.0)
    shape = replace(mapping, arms=arms, time=time)
    blank = planned_records(shape, n_people, items=ITEMS_A_SCALE, instruments=INSTRUMENTS)
    study = build_study("attachment_waves", None, blank, FREE, individual=FREE)
    full = answered(study, blank, jax.random.key(seed))
    kept = np.random.default_rng(seed).random(len(full.answers)) > 0.05
    some = replace(full, answers=full.answers[kept].reset_index(drop=True))
    return build_study("attachment_waves", None, some, FREE, individual=FREE)


def gradient(study: POMDPStudy, seconds: float) -> list[float]:
    """Seconds of each of many gradients of the log posterior, at points near the prior's centre."""
    density = Density(study)
    x, _, _ = density.start(jax.random.key(0), study.people)
    points = [x + 0.01 * i for i in range(8)]
    times: list[float] = []
    while sum(times) < seconds or len(times) < 5:
        began = perf_counter()
        jax.block_until_ready(density.value_and_grad(points[len(times) % 8], study.people))
        times.append(perf_counter() - began)
    return times


def _fit(study: POMDPStudy, engine: str, size: Size) -> list[Row]:
    began = perf_counter()
    try:
        draws = sample(
            study,
            1,
            chains=size.chains,
            warmup=size.warmup,
            draws=size.draws,
            engine=engine,
            progress=False,
        )
    except InputError as error:  # an extra that is not installed
        print(f"{engine} was left out: {error}", file=sys.stderr)
        return []
    wall = perf_counter() - began
    least, _ = least_effective(_population(draws))
    people, _ = least_effective({"effects": draws.sites["effects"]})
    what = f"{engine}, {size.chains} x ({size.warmup} + {size.draws})"
    asked = engine == "nuts"
    return [
        Row(f"{what}: s", wall, 600.0 if asked else None, 180.0 if asked else None),
        Row(f"{what}: least effective draws, population", least),
        Row(
            f"{what}: the same a second",
            least / wall,
            1.0 if asked else None,
            3.0 if asked else None,
        ),
        Row(f"{what}: least effective draws, people", people),
        Row(f"{what}: divergent draws", float(draws.divergences)),
        Row(f"{what}: median gradients a draw", float(np.median(draws.stats["n_steps"]))),
    ]


def _population(draws: Draws) -> dict[str, np.ndarray]:
    return {k: v for k, v in draws.sites.items() if k != "effects"}


def _large(size: Size) -> list[Row]:
    """In a process of its own, whose memory is that of this gradient and nothing else."""
    run = subprocess.run(
        [sys.executable, "-m", "attach_ai.lab.bench_fit", str(size.n_large), str(size.seconds)],
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    found = json.loads(run.stdout.splitlines()[-1])
    what = f"gradient, {size.n_large} people"
    return [
        Row(f"{what} (ms, median)", found["ms"], 100.0),
        Row(f"{what}: peak memory of the process (GiB)", found["gib"], 4.0),
    ]


def _alone(n_people: int, seconds: float) -> dict[str, float]:
    """What `_large` asks of another process."""
    times = gradient(workload(n_people), seconds)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"ms": 1e3 * median(times), "gib": kib / 2**20}


def _show(where: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Fitting ({where})")
    table.add_column("figure")
    for name in ("value", "asked", "goal"):
        table.add_column(name, justify="right")
    for r in rows:
        cells = ("" if x is None else f"{x:,.3g}" for x in (r.value, r.asked, r.goal))
        table.add_row(r.figure, *cells)
    Console().print(table)


if __name__ == "__main__":
    print(json.dumps(_alone(int(sys.argv[1]), float(sys.argv[2]))))

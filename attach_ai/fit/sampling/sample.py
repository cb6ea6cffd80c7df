"""Draws from the posterior of a study: chains over processes, kept as they go.

    draws = sample(study, seed=1, folder=Path("fit"))

A folder that holds a part of the same fit is gone on with, to the very draws that an uninterrupted
run gives; one that holds all of it is read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import read_json, write_json
from attach_ai.fit.sampling import worker
from attach_ai.fit.sampling.chain import STATS, Density, Nuts, Settings, plain_rules
from attach_ai.fit.sampling.identity import fingerprint
from attach_ai.fit.sampling.processes import chains_apart
from attach_ai.fit.study.abstract import AbstractStudy, People
from attach_ai.progress import Lanes, Progress

ENGINES = {
    "nuts": "NUTS (NumPyro)",
    "nutpie": "NUTS (nutpie)",
    "svi": "mean-field variational inference",
    "laplace": "Laplace approximation",
}


@dataclass(frozen=True)
class Draws:
    """What was drawn.

    `sites`: (chain, draw, *site) each, on its own scale, with "effects" (chain, draw, subject,
    effect). `stats`: (chain, draw), named as ArviZ names them; empty where nothing was sampled
    along a chain. `seconds`: of the slowest chain, compilation included.
    """

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    seconds: float
    engine: str
    exploratory: bool = False

    @property
    def notice(self) -> str:
        """What every reader of exploratory draws must be told; "" if they are not."""
        if not self.exploratory:
            return ""
        return (
            f"exploratory: {self.engine} understates how much people differ and how uncertain that "
            "is; report no number from it, and fit again by sampling"
        )

    @property
    def divergences(self) -> int:
        """How many draws left the path."""
        return int(self.stats["diverging"].sum()) if "diverging" in self.stats else 0


def sample(
    study: AbstractStudy | Callable[[], AbstractStudy],
    seed: int,
    *,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    engine: str = "nuts",
    folder: Path | None = None,
    every: int = 100,
    processes: int | None = None,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    progress: bool = True,
) -> Draws:
    """Draw from the posterior of `study`, or of what a function builds.

    `engine`: "nuts", or "nutpie" (an optional extra); "svi" and "laplace" are exploratory, and
    marked so. `folder`: where draws are kept; NUTS saves its state every `every` iterations and
    goes on from there. `processes`: as many chains at a time (default: one a core); 1 stays in this
    process. Precision is JAX's own: single, unless x64 is on.

    Raises `InputError` for a folder that holds another fit, for options that say something
    impossible, and where the priors' centre has no finite probability.
    """
    settings = Settings(warmup, draws, target_accept, max_tree_depth)
    if engine not in ENGINES:
        raise InputError(f"engine = '{engine}'; expected one of {', '.join(ENGINES)}", "fit")
    for name, value in (("chains", chains), ("every", every), ("processes", processes)):
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}; expected 1 or more", "fit")
    built = study if isinstance(study, AbstractStudy) else study()
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            kept = False
        else:
            _claim(folder, built, settings, seed, chains, engine)
            kept = True
        if engine == "nuts":
            task = worker.Task(study, settings, seed, tuple(range(chains)), folder, every)
            return _nuts(task, built, processes, progress, kept)
        return _otherwise(engine, built, settings, seed, chains, folder, progress)


class Refit:
    """Many fits of one design, compiled once: other people of the same shapes, other seeds.

    Chains follow one another in this thread; `sample_many` spreads fits over the cores.
    """

    def __init__(
        self,
        study: AbstractStudy,
        *,
        chains: int = 1,
        warmup: int = 300,
        draws: int = 300,
        target_accept: float = 0.8,
        max_tree_depth: int = 10,
    ):
        self.chains = chains
        self.settings = Settings(warmup, draws, target_accept, max_tree_depth)
        self.nuts = Nuts(Density(study), self.settings)

    def __call__(self, people: People, seed: int) -> Draws:
        """Fit these people."""
        began, found = perf_counter(), []
        for chain in range(self.chains):
            key = jax.random.fold_in(jax.random.key(seed), chain)
            begun, warmup = self.nuts.begin(key, people), self.settings.warmup
            *_, (state, _, _) = self.nuts.walk(begun, people, 0, warmup)
            rows = [r for _, _, r in self.nuts.walk(state, people, warmup, self.settings.length)]
            found.append({k: np.concatenate([r[k] for r in rows]) for k in ("x", *STATS)})
        return drawn(self.nuts.density, found, perf_counter() - began, ENGINES["nuts"])


def sample_many(
    study: AbstractStudy,
    peoples: Sequence[People],
    seed: int,
    *,
    chains: int = 1,
    warmup: int = 300,
    draws: int = 300,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    progress: bool = False,
) -> list[Draws]:
    """Fit each of `peoples`, who have the shapes of the study's own, in one compilation.

    Fit i is `Refit(study, ...)(peoples[i], seed_of(seed, i))`: it depends on `seed` and i alone.
    """
    refit = Refit(
        study,
        chains=chains,
        warmup=warmup,
        draws=draws,
        target_accept=target_accept,
        max_tree_depth=max_tree_depth,
    )
    if not peoples:
        return []
    with Progress(len(peoples)) as bar:

        def one(i: int) -> Draws:
            found = refit(peoples[i], seed_of(seed, i))
            if progress:
                with bar.step("fits"):
                    pass
            return found

        first = one(0)  # compiles
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return [first, *pool.map(_as_here(one), range(1, len(peoples)))]


def seed_of(seed: int, i: int) -> int:
    """The seed of the i-th of many fits."""
    return int(np.random.SeedSequence((seed, i)).generate_state(1)[0])


def drawn(
    density: Density, found: Sequence[dict[str, np.ndarray]], seconds: float, engine: str
) -> Draws:
    """Flat draws "x" (draw, free) of each chain, with their stats, as sites on their own scales."""
    with plain_rules():
        chains = [
            jax.tree.map(np.asarray, density.constrain_all(jnp.asarray(c["x"]))) for c in found
        ]
    sites = {name: np.stack([c[name] for c in chains]) for name in chains[0]}
    stats = {k: np.stack([c[k] for c in found]) for k in found[0] if k != "x"}
    return Draws(sites, stats, seconds, engine)


def _nuts(
    task: worker.Task, study: AbstractStudy, processes: int | None, progress: bool, kept: bool
) -> Draws:
    n, total = len(task.chains), task.settings.length
    pending = [c for c in task.chains if worker.done(task.folder, c) < total]
    with Lanes({f"chain {c + 1}": total for c in pending}, show=progress) as lanes:

        def report(chain: int, at: int, lost: int) -> None:
            lanes.at(f"chain {chain + 1}", at, f"{lost} divergent" if lost else "")

        try:
            if pending and not chains_apart(task, pending, processes, report):
                task.here(study, report)
        except KeyboardInterrupt:
            if kept:
                words = f"what was drawn is kept in {task.folder}; the same call goes on from there"
                raise KeyboardInterrupt(words) from None
            raise
    found = [worker.drawn(task.folder, c, task.settings) for c in range(n)]
    seconds = max(s for _, s in found)
    return drawn(Density(study), [x for x, _ in found], seconds, ENGINES["nuts"])


def _otherwise(
    engine: str,
    study: AbstractStudy,
    settings: Settings,
    seed: int,
    chains: int,
    folder: Path,
    progress: bool,
) -> Draws:
    from attach_ai.fit.sampling import exploratory

    path = folder / "draws.npz"
    density = Density(study)
    if not path.is_file():
        began = perf_counter()
        found = getattr(exploratory, engine)(density, settings, seed, chains, progress)
        worker.save(path, {**found, "seconds": np.asarray(perf_counter() - began)})
    arrays = worker.read(path)
    seconds = float(arrays.pop("seconds"))
    per_chain = [{k: v[c] for k, v in arrays.items()} for c in range(arrays["x"].shape[0])]
    draws = drawn(density, per_chain, seconds, ENGINES[engine])
    return draws if engine == "nutpie" else exploratory.marked(draws)


def _claim(
    folder: Path, study: AbstractStudy, settings: Settings, seed: int, chains: int, engine: str
) -> None:
    """Write what the folder is a fit of, or see that it is a fit of this."""
    now = {
        "engine": engine,
        "chains": chains,
        "warmup": settings.warmup,
        "draws": settings.draws,
        "target_accept": settings.target_accept,
        "max_tree_depth": settings.max_tree_depth,
        "seed": seed,
        "precision": str(jnp.result_type(float)),
        "study": fingerprint(study),
    }
    path = folder / "fit.json"
    if not path.is_file():
        write_json(path, now)
        return
    then = read_json(path)
    for name, value in now.items():
        if then.get(name) != value:
            was = "the model, its priors or the people differ"
            if name != "study":
                was = f"{name} was {then.get(name)} and is now {value}"
            raise InputError(f"this folder holds another fit: {was}; choose another", str(folder))


def _as_here(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """The function under this thread's precision, wherever it is called."""

    def called(x64: bool, i: int) -> Any:
        with jax.enable_x64(x64):
            return function(i)

    return partial(called, bool(jax.config.jax_enable_x64))

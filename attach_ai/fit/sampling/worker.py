"""Chains at work: they leave what they drew in a folder, block by block, and go on from there.

    fit.json                  what this is a fit of
    chain-<c>-<i>.npz         what chain c drew up to iteration i: a block
    chain-<c>.npz             where chain c stands; blocks beyond it count for nothing

A file is written whole or not at all and holds plain arrays only, so a chain that was killed goes
on from where it stood and draws exactly what it would have drawn. Run as a module this takes a
`Task` from its standard input and says on its standard output, in lines of JSON, how far it is.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any
from zipfile import BadZipFile

import jax
import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import write
from attach_ai.fit.sampling.chain import STATS, Density, Nuts, Settings, packed, unpacked
from attach_ai.fit.study.abstract import AbstractStudy

Blocks = dict[str, np.ndarray]
# (chain, iterations done, divergent draws so far)
Report = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Task:
    """Some of a fit's chains. `study`: itself or a function that builds it; `every`: iterations
    between two blocks, whatever it is the draws are the same."""

    study: AbstractStudy | Callable[[], AbstractStudy]
    settings: Settings
    seed: int
    chains: tuple[int, ...]
    folder: Path
    every: int

    def run(self, report: Report) -> None:
        """Finish the chains, beginning where each one stopped."""
        self.here(self.study if isinstance(self.study, AbstractStudy) else self.study(), report)

    def here(self, study: AbstractStudy, report: Report) -> None:
        """The same, with the study built already."""
        nuts = Nuts(Density(study), self.settings)
        for chain in self.chains:
            if done(self.folder, chain) < self.settings.length:
                self._chain(nuts, chain, report)

    def _chain(self, nuts: Nuts, chain: int, report: Report) -> None:
        people, warmup = nuts.density.study.people, self.settings.warmup
        key = jax.random.fold_in(jax.random.key(self.seed), chain)
        at, divergences = done(self.folder, chain), 0
        state = nuts.begin(key, people, settle=not at)
        origin = nuts.origin
        for path in blocks(self.folder, chain):
            if iterations(path) > at:
                path.unlink()
        if at:
            saved = read(_standing(self.folder, chain))
            if not np.isclose(saved["origin"], origin, rtol=1e-4):
                raise InputError(
                    "the model gives these people another probability than when the fit began; "
                    "choose another folder",
                    str(self.folder),
                )
            state = unpacked(saved, state)
            divergences = sum(
                int(read(path)["diverging"].sum())
                for path in blocks(self.folder, chain)
                if iterations(path) > warmup
            )
            report(chain, at, divergences)
        while at < self.settings.length:
            # Warm-up and draws never share a block.
            end = min(at + self.every, warmup if at < warmup else self.settings.length)
            began, rows = perf_counter(), []
            for now in nuts.walk(state, people, at, end):
                state, at, row = now
                divergences += int(row["diverging"].sum()) if at > warmup else 0
                rows.append(row)
                report(chain, at, divergences)
            found = {name: np.concatenate([r[name] for r in rows]) for name in STATS}
            if at > warmup:
                found["x"] = np.concatenate([r["x"] for r in rows])
            found["seconds"] = np.asarray(perf_counter() - began)
            save(self.folder / f"chain-{chain}-{at:07d}.npz", found)
            stands = {"at": np.asarray(at), "origin": np.asarray(origin)}
            save(_standing(self.folder, chain), stands | packed(state))


def save(path: Path, arrays: Any) -> None:
    """Write plain arrays by name, whole or not at all."""
    write(path, lambda temporary: np.savez(temporary, **arrays))


def _standing(folder: Path, chain: int) -> Path:
    return folder / f"chain-{chain}.npz"


def blocks(folder: Path, chain: int) -> list[Path]:
    """What a chain has written, in order."""
    return sorted(folder.glob(f"chain-{chain}-*.npz"))


def iterations(path: Path) -> int:
    """The iteration at which a block ends."""
    return int(path.stem.rpartition("-")[2])


def done(folder: Path, chain: int) -> int:
    """Iterations of a chain that are on disk."""
    path = _standing(folder, chain)
    return int(read(path, "at")["at"]) if path.is_file() else 0


def read(path: Path, *names: str) -> Blocks:
    """Plain arrays, read back: all of them, or those named."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        first = re.sub(r"(chain-\d+)-\d+", r"\1", path.name)
        raise InputError(f"could not be read; delete {first} to draw it anew", str(path)) from error


def drawn(folder: Path, chain: int, settings: Settings) -> tuple[Blocks, float]:
    """ "x" (draw, free) and each of `STATS` of a finished chain, and the seconds it took."""
    every = {path: read(path) for path in blocks(folder, chain)}
    if (n := sum(len(a["lp"]) for a in every.values())) != settings.length:
        standing = _standing(folder, chain)
        words = f"{n} of {settings.length} iterations are there; delete this file to draw them anew"
        raise InputError(words, str(standing))
    kept = [arrays for path, arrays in every.items() if iterations(path) > settings.warmup]
    found = {name: np.concatenate([a[name] for a in kept]) for name in ("x", *STATS)}
    return found, sum(float(a["seconds"]) for a in every.values())


def main() -> int:
    """Take a task from the standard input, and report on the standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this ends it
    # Whatever else prints must not be taken for a report.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(**what: Any) -> None:
        out.write(json.dumps(what) + "\n")

    try:
        task = pickle.load(sys.stdin.buffer)
        task.run(lambda chain, at, lost: tell(chain=chain, at=at, divergences=lost))
    except BrokenPipeError:
        return 1  # nobody listens any more
    except InputError as error:
        tell(error=str(error))
        return 2
    except Exception:
        tell(crash=traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Data sets drawn from a study itself, each of them fitted: recovery and calibration rest on them.

Replicate i depends on the seed and on i alone, and has a file of its own, so that replicates may be
made in any order, on several machines, and gone on with after an interruption.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import read_json, write, write_json
from attach_ai.fit.sampling.chain import plain_rules
from attach_ai.fit.sampling.identity import fingerprint
from attach_ai.fit.sampling.sample import Draws, seed_of
from attach_ai.fit.study.abstract import AbstractStudy, People, Sites
from attach_ai.progress import Progress

Arrays = dict[str, np.ndarray]
Fit = Callable[[People, int], Draws]


@dataclass(frozen=True)
class Truth:
    """What a replicate was drawn from: sites by name, and "effects" (subject, effect)."""

    sites: Arrays
    people: People


def elements(study: AbstractStudy) -> tuple[str, ...]:
    """A name for every number among the sites, in the order of `flat`: "mean trust"."""
    names = []
    for site, prior in study.priors.items():
        shape = prior.distribution.shape()
        labels = [
            tuple(map(str, study.coords[d])) if d in study.coords else tuple(map(str, range(n)))
            for d, n in zip(prior.dims, shape, strict=True)
        ]
        names += [" ".join((site, *at)) for at in product(*labels)]
    return tuple(names)


def flat(study: AbstractStudy, sites: Mapping[str, np.ndarray], lead: int = 0) -> np.ndarray:
    """All sites side by side: (*lead, element), `lead` axes being kept."""
    parts = [np.asarray(sites[name]) for name in study.priors]
    return np.concatenate([x.reshape(*x.shape[:lead], -1) for x in parts], axis=lead)


class Drawing:
    """Draws populations and their answers from a study, or from given values: compiled once.

    `at`: values of some sites that every population is to have. Raises `InputError` for a site the
    study lacks, or one of another shape.
    """

    def __init__(self, study: AbstractStudy, seed: int, at: Sites | None = None):
        given = {}
        for name, value in (at or {}).items():
            if name not in study.priors:
                known = ", ".join(study.priors)
                raise InputError(f"no site is called '{name}'; there are {known}", "at")
            shape = study.priors[name].distribution.shape()
            given[name] = jnp.asarray(value, study.people.measure.dtype)
            if given[name].shape != shape:
                found = given[name].shape
                raise InputError(f"{name} has shape {found}; expected {shape}", "at")

        def draw(key: Any) -> tuple[dict[str, Any], People]:
            first, second = jax.random.split(key)
            sites, effects = study.draw_prior(first)
            sites |= given
            people = study.draw(second, sites, effects, study.people)
            return {**sites, "effects": effects}, people

        self.seed, self._draw = seed, jax.jit(draw)

    def __call__(self, i: int) -> Truth:
        """The population and the answers of replicate i."""
        with plain_rules():
            sites, people = self._draw(jax.random.fold_in(jax.random.key(self.seed), i))
        return Truth({k: np.asarray(v) for k, v in sites.items()}, people)


class Blind:
    """Draws from the prior in place of the posterior: a fit that never looked at the people.

    Of the population alone its ranks are uniform; only what speaks of the data finds it out.
    """

    def __init__(self, study: AbstractStudy, draws: int):
        def draw(key: Any) -> dict[str, Any]:
            def one(k: Any) -> dict[str, Any]:
                sites, effects = study.draw_prior(k)
                return {**sites, "effects": effects}

            return jax.lax.map(one, jax.random.split(key, draws))

        self._draw = jax.jit(draw)

    def __call__(self, people: People, seed: int) -> Draws:
        """Independent draws, one chain."""
        with plain_rules():
            drawn = self._draw(jax.random.key(seed))
        return Draws({k: np.asarray(v)[None] for k, v in drawn.items()}, {}, 0.0, "the prior")


def replicated(
    draw: Drawing,
    which: Sequence[int],
    fit: Fit,
    keep: Callable[[Truth, Draws], Arrays],
    *,
    folder: Path | None = None,
    what: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[int, Arrays]:
    """What `keep` says of the fit to each replicate; those that lie in `folder` are read.

    With a folder, all that lie there are returned, whoever made them. `what`: plain values that say
    what the folder holds; `InputError` where it holds something else.
    """
    if folder is not None:
        _claim(folder, {"seed": draw.seed, **(what or {})})
    found = _lying(folder)
    todo = [i for i in which if i not in found]
    x64 = bool(jax.config.jax_enable_x64)
    with Progress(len(todo)) as bar:

        def one(i: int) -> tuple[int, Arrays]:
            with jax.enable_x64(x64):
                truth = draw(i)
                kept = keep(truth, fit(truth.people, seed_of(draw.seed, i)))
            if folder is not None:
                write(_file(folder, i), lambda path: np.savez(path, **kept))  # type: ignore[arg-type]
            if progress:
                with bar.step(f"replicate {i}"):
                    pass
            return i, kept

        found |= dict([one(i) for i in todo[:1]])  # compiles
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found |= dict(pool.map(one, todo[1:]))
    return dict(sorted(found.items()))


def identity(study: AbstractStudy, **options: Any) -> dict[str, Any]:
    """What a folder of replicates is of: the study, and the options that change the numbers."""
    return {"study": fingerprint(study), "precision": str(jnp.zeros(()).dtype), **options}


def chosen(only: str | Sequence[int] | None, n: int) -> list[int]:
    """Replicates by number: all from 1 to n, a sequence, or a text such as "1-50,60".

    Raises `InputError` for a text that says no range, and numbers outside 1..n.
    """
    if n < 1:
        raise InputError(f"n_replicates = {n}; expected 1 or more", "replicates")
    if only is None:
        return list(range(1, n + 1))
    if isinstance(only, str):
        numbers: list[int] = []
        for part in only.split(","):
            match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
            if match is None:
                raise InputError(f"'{part}' is no range; expected numbers like 1-50,60", "only")
            numbers += range(int(match[1]), int(match[2] or match[1]) + 1)
    else:
        numbers = [int(i) for i in only]
    wrong = [i for i in numbers if not 1 <= i <= n]
    if wrong or not numbers:
        said = f"there is no replicate {wrong[0]}" if wrong else "the range is empty"
        raise InputError(f"{said}; they are numbered from 1 to {n}", "only")
    return sorted(set(numbers))


def _file(folder: Path, i: int) -> Path:
    return folder / f"replicate_{i:05d}.npz"


def _lying(folder: Path | None) -> dict[int, Arrays]:
    found: dict[int, Arrays] = {}
    for path in sorted(folder.glob("replicate_*.npz")) if folder is not None else ():
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found[int(path.stem.rpartition("_")[2])] = dict(arrays)
        except (OSError, ValueError) as error:
            raise InputError(f"is no file of a replicate ({error})", str(path)) from None
    return found


def _claim(folder: Path, what: Mapping[str, Any]) -> None:
    """Write what the folder holds, or see that it holds this."""
    path = folder / "replicates.json"
    if not path.is_file():
        write_json(path, dict(what))
        return
    then = read_json(path)
    for name, value in what.items():
        if then.get(name) != value:
            was = f"{name} was {then.get(name)} and is now {value}"
            if name in ("study", "fitted"):
                was = "the model, its priors or the people differ"
            raise InputError(f"this folder holds other replicates: {was}", str(folder))

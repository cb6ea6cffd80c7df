"""Public data sets that our mappings read, with their licences; and one that we make ourselves.

Nothing is fetched: a researcher takes the files from where they were deposited, and the checksum
says whether they are the ones that were read here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from attach_ai.errors import InputError
from attach_ai.files import digest
from attach_ai.fit.study.planned import simulated_cohort
from attach_ai.model.document import suggest

FOLDER = "ATTACH_AI_DATA"


@dataclass(frozen=True)
class DataSet:
    """A data set by name: the mapping that reads it, where it is deposited, under what licence."""

    name: str
    what: str
    mapping: str
    source: str
    licence: str
    sha256: str = ""


SETS = (
    DataSet(
        "cohort",
        "a simulated cohort, two arms and three waves, of nobody",
        "cohort",
        "made by this package: attach-ai data cohort --out cohort.csv",
        "as the package",
    ),
    DataSet(
        "school",
        "185 pupils of four classes, attachment at wave 1, depressive symptoms at three waves",
        "school_waves",
        "Qingyao Zhang, data set `depress` of the R package Keng (CRAN)",
        "CC BY 4.0",
        "831f43817cf4a7ef6b3c9e63ae870cd2e13f13a314243d745b5781279535d035",
    ),
    DataSet(
        "diary",
        "129 adults with residual depressive symptoms, diary before and after MBCT or waiting",
        "diary_mbct",
        "Geschwind et al. 2011 (doi 10.1037/a0024595), as deposited with Bringmann et al. 2013 "
        "(PLOS ONE 8(4):e60188, supplement S4)",
        "article CC BY; treat the data as non-commercial",
        "1d898346c982111fd70f4d19e8d1d21048e4711ca686a1c396b08562c1d69047",
    ),
)


def table() -> str:
    """What there is, in lines."""
    lines = []
    for one in SETS:
        lines += [
            f"{one.name}: {one.what}",
            f"  mapping  {one.mapping}",
            f"  source   {one.source}",
            f"  licence  {one.licence}",
        ]
        if one.sha256:
            lines.append(f"  sha256   {one.sha256}")
    return "\n".join(lines)


def known(name: str) -> DataSet:
    """A data set by name; `InputError` with the nearest where there is none."""
    for one in SETS:
        if one.name == name:
            return one
    raise InputError(
        f"no data set is called '{name}'{suggest(name, [s.name for s in SETS])}", "data"
    )


def get(name: str, out: str | Path) -> Path:
    """Write the simulated cohort; of any other set, `InputError` says where it is to be had."""
    one = known(name)
    if one.sha256:
        raise InputError(f"is not fetched; take it from: {one.source}", f"data {name}")
    return simulated_cohort(out)


def at_hand(name: str) -> Path | None:
    """The file of a data set in the folder that the variable ATTACH_AI_DATA names.

    Known by its checksum, whatever it is called; None where no file of the folder is that one.
    """
    wanted, folder = known(name).sha256, os.environ.get(FOLDER)
    if not folder or not Path(folder).is_dir():
        return None
    files = (p for p in sorted(Path(folder).iterdir()) if p.is_file())
    return next((p for p in files if digest(p.read_bytes()) == wanted), None)


def needed(name: str) -> Path:
    """The same; `InputError` says where the data set is to be had, if it is not there."""
    path = at_hand(name)
    if path is None:
        raise InputError(
            f"the data set '{name}' is not at hand; take it from {known(name).source}, and name "
            f"its folder in {FOLDER}",
            "data",
        )
    return path

"""Scores of questionnaires, by each instrument's own rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from attach_ai.errors import InputError
from attach_ai.model.instrument import Instrument, Scale

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records


def score(records: Records) -> xr.Dataset:
    """Score every scale, and every total, of every subject, episode and occasion.

    `score` (subject, episode, occasion, scale) is in the instrument's own units: the mean or the
    sum of the items in the scale's direction. Missing items are prorated (their place is taken by
    the mean of those answered); where fewer than the instrument's least share was answered the
    score is NaN. `answered`, of the same dims, is the number of items answered. Along `scale`:
    the `lowest` and `highest` possible score, and `needed`, how many items a score needs.

    Items a study never asked count as not answered, as the instrument's rule has it. Scales are
    named "instrument.scale".
    """
    scales = list(_scales(records))
    if not scales:
        raise InputError("there is no instrument to be scored", "score")
    axes = {
        "subject": records.subjects,
        "episode": records.episodes,
        "occasion": records.occasions,
    }
    shape = tuple(len(labels) for labels in axes.values())
    at = tuple(pd.Index(labels).get_indexer(records.answers[a]) for a, labels in axes.items())
    made = [_one(records, instrument, scale, at, shape) for instrument, scale in scales]
    bounds = [_range(instrument, scale) for instrument, scale in scales]
    dims = (*axes, "scale")
    return xr.Dataset(
        {
            "score": (dims, np.stack([values for values, _ in made], -1)),
            "answered": (dims, np.stack([count for _, count in made], -1)),
        },
        coords={
            **{name: list(labels) for name, labels in axes.items()},
            "scale": [f"{i.name}.{s.name}" for i, s in scales],
            "lowest": ("scale", [low for low, _ in bounds]),
            "highest": ("scale", [high for _, high in bounds]),
            "needed": ("scale", [i.scoring.needed(len(s.items)) for i, s in scales]),
        },
    )


def _scales(records: Records) -> Iterator[tuple[Instrument, Scale]]:
    for instrument in records.instruments.values():
        for scale in (*instrument.scales, *instrument.totals):
            yield instrument, scale


def _one(
    records: Records,
    instrument: Instrument,
    scale: Scale,
    at: tuple[np.ndarray, ...],
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and numbers of answers (subject, episode, occasion) of one scale."""
    answers = records.answers
    total, count = np.zeros(shape), np.zeros(shape, int)
    ours = (answers["instrument"] == instrument.name).to_numpy()
    item = answers["item"].astype(str).to_numpy()
    keyed = answers["keyed"].to_numpy(float)
    for name in scale.items:
        rows = np.flatnonzero(ours & ((item == name) | (item == f"{instrument.name}.{name}")))
        rows = rows[np.isfinite(keyed[rows])]
        values = instrument.item(name).units(keyed[rows])
        if name in scale.reverse:
            values = _turned(instrument, name, values)
        where = tuple(axis[rows] for axis in at)
        np.add.at(total, where, values)
        np.add.at(count, where, 1)
    rule = instrument.scoring
    enough = count >= rule.needed(len(scale.items))
    mean = np.divide(total, count, out=np.full(shape, np.nan), where=enough)
    factor = len(scale.items) if rule.how == "sum" else 1
    return mean * factor * rule.times, count


def _turned(instrument: Instrument, name: str, values: np.ndarray) -> np.ndarray:
    item = instrument.item(name)
    return item.low + item.high - values


def _range(instrument: Instrument, scale: Scale) -> tuple[float, float]:
    """The lowest and the highest possible score."""
    lows = [instrument.item(name).low for name in scale.items]
    highs = [instrument.item(name).high for name in scale.items]
    combine = np.mean if instrument.scoring.how == "mean" else np.sum
    times = instrument.scoring.times
    return float(combine(lows)) * times, float(combine(highs)) * times

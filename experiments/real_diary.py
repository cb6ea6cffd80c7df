"""R2. A diary before and after mindfulness training or waiting, against honest rivals.

129 adults with residual depressive symptoms (data set `diary`), ten beeps a day: the pleasantness
of the last event is an outcome that drives beliefs, five moods read them. Autoregression given the
same events is the rival to beat. What was practised lies between the two periods, and the data do
not test A_benevolent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import xarray as xr

from attach_ai.fit.records.records import Records, read_records
from attach_ai.fit.study.known_data import needed
from attach_ai.lab import Finding, Verdict
from attach_ai.lab.fitted import effects_of, judged, mixing, over_opponents, page

FIGURE = "R2"
QUESTION = "Do beliefs that events drive predict moods in a diary, better than honest rivals do?"
PREDICTION = (
    "Of people left out the model predicts better, by more than two standard errors, than itself "
    "without A_benevolent and without law, and than autoregression given the same events; and "
    "after the training, against waiting, some parameter has moved."
)
REFUTATION = (
    "An opponent that predicts as well or better; or every 89 % interval of training by period "
    "holds zero."
)
ABLATION = "A_benevolent switched off; the law switched off; an author switched on"
NULL = "autoregression, growth and a mixed model of the same items with the same events"
CLAIMS = ()
DATA = ("diary",)
MODELS = ("attachment_waves", "links/attachment", "mappings/diary_mbct", "instruments/esm_affect")

# Committed before the first run.
FREE = ("trust", "shame", "return_rate", "heal", "wound")
OWN = ("trust", "shame")
# By habit alone worry would not move within a person: the last alternative, the mood itself.
WORRY = {"esm_affect.worry": 3}
ABLATIONS = ("without benevolent", "without law")
RIVALS = ("mixed", "growth", "autoregression")
OURS = "ours"


@dataclass(frozen=True)
class Config:
    """Sizes. `n_people` of the diary, the first ones (0: all); `n_draws` of each of `n_chains`, of
    opponents `n_opponent` of two chains."""

    n_people: int = 40
    n_chains: int = 2
    n_warmup: int = 200
    n_draws: int = 200
    n_opponent: int = 100
    max_tree_depth: int = 8
    seed: int = 2


SMOKE = Config(n_people=4, n_chains=1, n_warmup=10, n_draws=32, n_opponent=32, max_tree_depth=2)
STANDARD = Config()
DEEP = Config(n_people=0, n_chains=4, n_warmup=400, n_draws=500, n_opponent=300, max_tree_depth=10)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Ours, and each opponent."""
    return {
        name.replace(" ", "_"): partial(_judged, config, None if name == OURS else name)
        for name in (OURS, *ABLATIONS, *RIVALS)
    }


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Estimates and the table by model; nothing of any person."""
    return {"diary": page({name.replace("_", " "): data for name, data in found.items()})}


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction."""
    data = summary(found)["diary"]
    moved, figures = effects_of(data, "mbct:after")
    outcomes = (
        mixing(data),
        *over_opponents(data, (*ABLATIONS, *RIVALS)),
        Finding(
            "something_moved_with_the_training",
            "the 89 % interval of training by period leaves zero out for some parameter",
            bool(moved),
            figures,
        ),
    )
    return Verdict("real_diary", PREDICTION, REFUTATION, outcomes)


def _judged(config: Config, opponent: str | None) -> xr.Dataset:
    records = read_records(needed("diary"), mapping="diary_mbct")
    return judged(
        first(records, config.n_people) if config.n_people else records,
        FREE,
        opponent,
        seed=config.seed,
        words={"individual": OWN, "alternatives": WORRY},
        chains=config.n_chains if opponent is None else min(2, config.n_chains),
        warmup=config.n_warmup,
        draws=config.n_draws if opponent is None else config.n_opponent,
        max_tree_depth=config.max_tree_depth,
    )


def first(records: Records, n: int) -> Records:
    """The records of the first people alone."""
    subjects = records.subjects[:n]

    def ours(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["subject"].isin(subjects)]

    return replace(
        records,
        subjects=subjects,
        answers=ours(records.answers),
        events=ours(records.events),
        missing_events=ours(records.missing_events),
        choices=ours(records.choices),
    )

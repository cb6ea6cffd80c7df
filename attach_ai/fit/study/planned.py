"""Records of people who do not exist: a design before its data, and a cohort to try things on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from jaxtyping import Array

from attach_ai.errors import InputError
from attach_ai.files import write
from attach_ai.fit.records.exposure import Exposure
from attach_ai.fit.records.records import Records
from attach_ai.fit.study.abstract import Sites
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.model.exposure import Arm
from attach_ai.model.instrument import Instrument, load_instrument
from attach_ai.model.mapping import DataMapping, load_mapping

EPISODE = "study"
ALL = "all"


def planned_records(
    mapping: str | DataMapping,
    n_people: int,
    *,
    waves: int | Sequence[str] | None = None,
    items: int | None = None,
    dose: float = 1.0,
    instruments: Sequence[str] | None = None,
) -> Records:
    """The records that a study would bring, with every answer given and none of them known.

    `mapping` declares waves, instruments and arms; people are dealt to the arms in turn. `waves`:
    the first so many, or which. `items`: of each scale the first so many. `dose`: a factor on what
    is practised. All answers stand at their lowest until they are drawn.

    Raises `InputError` for a mapping without waves, and for more waves or people than can be.
    """
    mapping = load_mapping(mapping) if isinstance(mapping, str) else mapping
    at = _waves(mapping, waves)
    if n_people < 1:
        raise InputError(f"n_people is {n_people}; expected at least 1", "design")
    if dose < 0:
        raise InputError(f"dose is {dose:g}; expected a factor of at least 0", "design")
    asked = [load_instrument(i) for i in instruments or mapping.instruments]
    n_steps = mapping.time.steps or max(at.values()) + 1
    step_length = mapping.time.step or 1.0
    subjects = tuple(f"p{i + 1:0{len(str(n_people))}d}" for i in range(n_people))
    schedule = {label: _dosed(arm, dose) for label, arm in (mapping.arms or {}).items()}
    labels = mapping.group.labels.values() if mapping.group and mapping.group.labels else ()
    arms = tuple(labels) or tuple(schedule) or (ALL,)
    group = pd.Series([arms[i % len(arms)] for i in range(n_people)], list(subjects), name="arm")
    index = pd.MultiIndex.from_product([subjects, [EPISODE]], names=["subject", "episode"])
    covariates = pd.DataFrame(
        {a: (group == a).to_numpy(float) for a in arms[1:]}, index=index, dtype=float
    )
    none: dict[str, list[Any]] = {"subject": [], "episode": [], "step": []}
    return Records(
        subjects=subjects,
        episodes=(EPISODE,),
        occasions=tuple(at),
        n_steps=n_steps,
        step_length=step_length,
        answers=_blank(subjects, at, asked, items),
        events=pd.DataFrame({**none, "modality": [], "level": []}),
        missing_events=pd.DataFrame({**none, "modality": []}),
        choices=pd.DataFrame({**none, "action": [], "level": []}),
        covariates=covariates,
        roles=dict.fromkeys(arms[1:], "group"),
        group=None if arms == (ALL,) else group,
        arms=arms,
        cluster=None,
        exposure=Exposure(n_steps, step_length, schedule),
        instruments={i.name: i for i in asked},
        notes=("These people are simulated.",),
        sha256={"data": "", "mapping": mapping.sha256},
        source="simulated",
    )


def answered(
    study: POMDPStudy, records: Records, key: Array, sites: Sites | None = None
) -> Records:
    """The same records with answers drawn from a study of them.

    `sites`: the population; None draws one from the priors.
    """
    prior, people = jax.random.split(key)
    drawn, effects = study.draw_prior(prior)
    given = drawn if sites is None else sites
    answer = np.asarray(eqx.filter_jit(study.draw)(people, given, effects, study.people).answer)
    rows = records.answers.copy()
    name = rows["instrument"].astype(str) + "." + rows["item"].astype(str)
    places = [rows["subject"], rows["episode"], rows["occasion"].astype(str), name]
    axes = ("subject", "episode", "occasion", "item")
    index = [
        column.map({str(label): i for i, label in enumerate(study.coords[axis])})
        for column, axis in zip(places, axes, strict=True)
    ]
    if any(i.isna().any() for i in index):
        raise InputError("some of these items are not the study's", "records")
    keyed = answer[*(i.to_numpy(int) for i in index)].astype(float)
    rows["keyed"] = keyed
    rows["value"] = _raw(rows, records.instruments)
    return replace(records, answers=rows)


def simulated_cohort(path: str | Path, n_people: int = 120, seed: int = 0) -> Path:
    """Write a cohort of the mapping `cohort` as a CSV: made by the model, of nobody.

    Two arms, three waves, ECR-RS and PHQ-9 items; practice holds, at about its default strength.
    """
    records = planned_records("cohort", n_people)
    study = build_study("attachment_waves", None, records, COHORT_FREE, individual=COHORT_FREE[:2])
    found = answered(study, records, jax.random.key(seed))
    wide = found.answers.assign(column=lambda d: d.instrument + "_" + d["item"].astype(str))
    table = wide.pivot(index=["subject", "occasion"], columns="column", values="value").astype(int)
    table = table[list(dict.fromkeys(wide["column"]))].reset_index()
    rng = np.random.default_rng(seed)
    for instrument in records.instruments.values():
        for name in instrument.unlinked:  # asked all the same; nothing the model knows moves it
            answers = instrument.item(name).low + (rng.random(len(table)) < RARE)
            table[f"{instrument.name}_{name}"] = answers.astype(int)
    age = dict(zip(found.subjects, rng.integers(18, 65, n_people), strict=True))
    gone = (table["occasion"] == found.occasions[-1]) & (rng.random(len(table)) < 0.1)
    table.insert(2, "arm", table["subject"].map(found.group))
    table.insert(3, "age", table["subject"].map(age))
    table = table[~gone].rename(columns={"subject": "id", "occasion": "wave"})
    path = Path(path)
    write(path, lambda temporary: table.to_csv(temporary, index=False))
    return path


COHORT_FREE = ("trust", "fear_of_loss", "hold")
RARE = 0.03  # of the cohort's answers to an item that is never linked, those above the lowest


def _waves(mapping: DataMapping, wanted: int | Sequence[str] | None) -> dict[str, int]:
    every = dict(mapping.time.waves)
    if not every:
        raise InputError("a design needs [time] waves, each with its step", str(mapping.place))
    if wanted is None:
        return every
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(every):
            raise InputError(f"waves is {wanted}; the mapping declares {len(every)}", "design")
        return dict(list(every.items())[:wanted])
    for name in wanted:
        if name not in every:
            raise InputError(f"no wave is called '{name}' ({', '.join(every)})", "design")
    return {name: every[name] for name in wanted}


def _dosed(arm: Arm, dose: float) -> Arm:
    periods = tuple(replace(p, days=min(7.0, p.days * dose)) for p in arm.periods)
    return replace(arm, periods=periods)


def _blank(
    subjects: Sequence[str],
    waves: Mapping[str, int],
    asked: Sequence[Instrument],
    first: int | None,
) -> pd.DataFrame:
    """Every answer that would be given, at its lowest."""
    items = [
        (i.name, name, i.item(name).low)
        for i in asked
        for scale in i.scales
        for name in [n for n in scale.items if n not in i.unlinked][:first]
    ]
    rows = list(product(subjects, waves.items(), items))
    return pd.DataFrame(
        {
            "subject": [s for s, _, _ in rows],
            "episode": EPISODE,
            "step": [step for _, (_, step), _ in rows],
            "occasion": [label for _, (label, _), _ in rows],
            "instrument": [i for _, _, (i, _, _) in rows],
            "item": [name for _, _, (_, name, _) in rows],
            "value": [low for _, _, (_, _, low) in rows],
            "keyed": 0.0,
        }
    )


def _raw(rows: pd.DataFrame, instruments: Mapping[str, Instrument]) -> np.ndarray:
    """Keyed answers as a person gives them: reversed items turned back."""
    value = np.zeros(len(rows))
    for (name, number), at in rows.groupby(["instrument", "item"], sort=False).indices.items():
        item = instruments[str(name)].item(str(number))
        units = item.units(rows["keyed"].to_numpy(float)[at])
        value[at] = item.low + item.high - units if item.reverse else units
    return value

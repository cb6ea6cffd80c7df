"""Records: who answered what and when, what happened to them, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attach_ai.errors import InputError
from attach_ai.fit.records.exposure import Exposure
from attach_ai.fit.records.formats import Table, read_table
from attach_ai.fit.records.persons import ALL, People, people
from attach_ai.fit.records.problems import Problems
from attach_ai.fit.records.sheets import Sheets, instruments
from attach_ai.fit.records.suspicions import suspicions
from attach_ai.fit.records.visits import Visits, visits
from attach_ai.model.instrument import Instrument
from attach_ai.model.library import load_practice, load_world
from attach_ai.model.mapping import (
    Covariate,
    DataMapping,
    Labelled,
    days,
    load_mapping,
    value_text,
)

WAVES = ("wave", "session", "session_id", "visit", "timepoint")


@dataclass(frozen=True)
class Records:
    """What a file says, in long tables; nothing of it is aggregated.

    `answers`: subject, episode, step (of the episode, from 0), occasion (label), instrument, item,
    value (as it stands in the file), keyed (0..K-1 of an ordinal item in its scale's direction, the
    value of a continuous one). `events`: subject, episode, step, modality, level; `missing_events`:
    those that were seen and not recorded; whatever is in neither was not seen. `choices`: subject,
    episode, step, action, level. `covariates`: numbers by (subject, episode), those of arms,
    episodes and their products among them; `roles` says which are "covariate", "group", "episode",
    "product". `group`, `cluster`: labels by subject, or None; `arms`: groups, the reference first.
    An episode has `n_steps` steps of `step_length` days. `notes`: what a reader should know.
    `sha256`: of the file and of the mapping; `source`: the file's name.
    """

    subjects: tuple[str, ...]
    episodes: tuple[str, ...]
    occasions: tuple[str, ...]
    n_steps: int
    step_length: float
    answers: pd.DataFrame
    events: pd.DataFrame
    missing_events: pd.DataFrame
    choices: pd.DataFrame
    covariates: pd.DataFrame
    roles: Mapping[str, str]
    group: pd.Series | None
    arms: tuple[str, ...]
    cluster: pd.Series | None
    exposure: Exposure
    instruments: Mapping[str, Instrument]
    notes: tuple[str, ...]
    sha256: Mapping[str, str]
    source: str

    def missingness(self) -> pd.DataFrame:
        """Who answered, by arm and occasion: see `missingness`."""
        return missingness(self)


def read_records(
    path: str | Path,
    instruments: Sequence[str | Path] | None = None,
    mapping: str | Path | DataMapping | None = None,
    *,
    subject: str | None = None,
    wave: str | None = None,
    waves: Mapping[Any, int] | None = None,
    step: str | None = None,
    group: str | None = None,
    cluster: str | None = None,
    covariates: Iterable[str] | None = None,
    missing: Iterable[Any] | None = None,
) -> Records:
    """Read a file of answers: CSV, TSV, Parquet, SPSS, a REDCap export, or a BIDS folder.

    `instruments`: names or files; all of the mapping's where left out. `mapping`: how columns are
    to be read (a name, a file, or a `DataMapping`). A long file whose columns are called by item
    ("phq9_1") needs none: `subject`, `wave`, `group`, `cluster` and `covariates` name columns,
    `waves` gives each wave's step, `step` the length of one ("1 w"), `missing` codes for no answer;
    what is given here replaces what the mapping says.

    Raises `InputError` with every problem of the file at once, each with its row and column.
    """
    given = _mapping(mapping)
    book = given.dictionary
    table = read_table(path, Path(given.place.file).parent / book if book else "")
    given = _replaced(given, table, subject, wave, waves, step, group, cluster, covariates, missing)
    problems = Problems(table)
    return _read(table, given, list(instruments) if instruments is not None else None, problems)


def missingness(records: Records) -> pd.DataFrame:
    """Dropout: a row for each group, episode and occasion.

    `people` of the group, how many of them `answered` any item, their `share`, and the mean share
    of items they answered (`items`) of those that anybody answered then.
    """
    answers = records.answers
    group = records.group if records.group is not None else pd.Series(ALL, list(records.subjects))
    when = ["episode", "occasion"]
    asked = answers.drop_duplicates([*when, "instrument", "item"]).groupby(when).size()
    sheets = answers.groupby(["subject", *when], sort=False).size().rename("n").reset_index()
    sheets["group"] = sheets.subject.map(group)
    rows = []
    for arm in dict.fromkeys([a for a in records.arms if a in set(group)]):
        n_people = int((group == arm).sum())
        ours = sheets[sheets.group == arm].groupby(when).n.agg(["size", "mean"])
        for episode in records.episodes:
            for occasion in records.occasions:
                if (episode, occasion) not in asked.index:
                    continue
                n, mean = (
                    ours.loc[(episode, occasion)] if (episode, occasion) in ours.index else (0, 0.0)
                )
                share = float(mean) / float(asked[episode, occasion])
                rows.append((arm, episode, occasion, n_people, int(n), int(n) / n_people, share))
    columns = ["group", "episode", "occasion", "people", "answered", "share", "items"]
    return pd.DataFrame(rows, columns=columns)


def _read(
    table: Table, mapping: DataMapping, named: list[str | Path] | None, problems: Problems
) -> Records:
    used = instruments(mapping, named, problems)
    when = visits(table, mapping, problems)
    sheets = Sheets(table, mapping, when, problems)
    answers = sheets.answers(used)
    events, missing_events = sheets.levels(mapping.events, "modality")
    choices, _ = sheets.levels(mapping.choices, "action")
    who = people(table, mapping, when, problems)
    exposure = _exposure(mapping, when, who, answers, problems)
    error = problems.error()
    if error is not None:
        raise error
    if answers.empty and choices.empty:
        raise InputError("all answers are missing: there is nothing to fit", str(table.path))
    made = Records(
        subjects=when.subjects,
        episodes=when.episodes,
        occasions=when.occasions,
        n_steps=when.n_steps,
        step_length=when.step_length,
        answers=answers,
        events=events,
        missing_events=missing_events,
        choices=choices,
        covariates=who.covariates,
        roles=who.roles,
        group=who.group,
        arms=who.arms,
        cluster=who.cluster,
        exposure=exposure,
        instruments=used,
        notes=(),
        sha256={"data": table.sha256, "mapping": mapping.sha256},
        source=table.path.name,
    )
    turned = {
        f"{name}.{item}": mapping.instruments[name].reversed_in_file(item)
        for name, item in (full.split(".", 1) for full in sheets.asked)
        if name in mapping.instruments
    }
    notes = (*table.notes, *mapping.notes, *when.notes, *sheets.notes, *who.notes)
    unknown = (
        "What people were exposed to between their answers is unknown: groups may be compared, "
        "and nothing is claimed of a practice.",
    )
    notes = (*notes, *(unknown if exposure.kind == "unknown" else ()))
    return replace(made, notes=(*notes, *suspicions(made, turned)))


def _exposure(
    mapping: DataMapping, when: Visits, who: People, answers: pd.DataFrame, problems: Problems
) -> Exposure:
    """The declared exposure, once every arm and every step up to its last wave has one."""
    arms = dict(mapping.arms or {})
    if arms and who.group is None:
        if len(arms) > 1:
            problems.add(f"which column says who is in which arm ({', '.join(arms)})?")
        arms = {ALL: next(iter(arms.values()))}
    made = Exposure(when.n_steps, when.step_length, arms)
    for label, arm in arms.items():
        for load, name in ((load_practice, arm.practice), (load_world, arm.world)):
            try:
                load(name)
            except InputError as problem:
                problems.add(f"exposure of arm {label}: {problem}")
    if not arms:
        return made
    group = who.group if who.group is not None else pd.Series(ALL, list(when.subjects))
    for label in dict.fromkeys(group.dropna()):
        if label not in arms:
            problems.add(f"the schedule has no arm '{label}', only {', '.join(arms)}")
            continue
        theirs = answers[answers.subject.map(group) == label]
        for wave, step in theirs.groupby("occasion", sort=False).step.max().items():
            bare = np.flatnonzero(~made.covered(label)[: int(step)])
            if len(bare):
                problems.add(
                    f"wave {wave} of arm '{label}' has no exposure: the schedule says nothing of "
                    f"step {bare[0]}; give a period with days_a_week = 0 if nothing was practised"
                )
                break
    return made


def _mapping(given: str | Path | DataMapping | None) -> DataMapping:
    if given is None:
        return DataMapping("none", "")
    return given if isinstance(given, DataMapping) else load_mapping(given)


def _replaced(
    mapping: DataMapping,
    table: Table,
    subject: str | None,
    wave: str | None,
    waves: Mapping[Any, int] | None,
    step: str | None,
    group: str | None,
    cluster: str | None,
    covariates: Iterable[str] | None,
    missing: Iterable[Any] | None,
) -> DataMapping:
    """The mapping with what the caller gave instead, and with what the file makes plain."""
    time = mapping.time
    if wave is not None:
        time = replace(time, wave=wave)
    elif time.wide and not time.waves and not any(c.waves for c in mapping.instruments.values()):
        known = {name.casefold(): name for name in table.columns}
        time = replace(time, wave=table.wave or next((known[w] for w in WAVES if w in known), ""))
    if waves is not None:
        time = replace(time, waves={value_text(w): int(s) for w, s in waves.items()})
    if step is not None:
        try:
            time = replace(time, step=days(step))
        except ValueError as problem:
            raise InputError(str(problem), "step") from None
    made = replace(mapping, time=time)
    if subject is not None:
        made = replace(made, subject=subject)
    if group is not None and (mapping.group is None or mapping.group.column != group):
        made = replace(made, group=Labelled(group))
    if cluster is not None:
        made = replace(made, cluster=cluster)
    if covariates is not None:
        made = replace(made, covariates={c: Covariate(c, standardise=True) for c in covariates})
    if missing is not None:
        made = replace(made, missing=tuple(value_text(v) for v in missing))
    return made

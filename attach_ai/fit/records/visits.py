"""Who answered when: the person, episode, occasion and step of every sheet of answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attach_ai.fit.records.formats import Table
from attach_ai.fit.records.problems import Problems
from attach_ai.model.document import suggest
from attach_ai.model.mapping import DataMapping, Labelled, Time

SUBJECTS = ("subject", "id", "subject_id", "participant_id", "participant", "record_id", "pid")


@dataclass(frozen=True)
class Visit:
    """One occasion in each row of a file; a wide file has several, each in columns of its own.

    `step`: (row,), -1 where it cannot be known. `occasion`: (row,), labels. `wave`: what stands for
    it in column names ("" in a long file).
    """

    step: np.ndarray
    occasion: np.ndarray
    wave: str = ""


@dataclass(frozen=True)
class Visits:
    """`subject`, `episode`: (row,), indices into `subjects` and `episodes`, -1 where unknown."""

    subject: np.ndarray
    subjects: tuple[str, ...]
    episode: np.ndarray
    episodes: tuple[str, ...]
    each: tuple[Visit, ...]
    occasions: tuple[str, ...]
    n_steps: int
    step_length: float
    notes: tuple[str, ...]


def visits(table: Table, mapping: DataMapping, problems: Problems) -> Visits:
    """The visits of a table; what cannot be is added to `problems`."""
    name = mapping.subject or table.subject or _guess(table, SUBJECTS)
    people = column(table, name, "subject", problems)
    problems.cells(people == None, name, lambda r: "nobody's id is given")  # noqa: E711
    subject, subjects = pd.factorize(people)
    episode, episodes = _episodes(table, mapping.episode, problems)
    seen = _Seen(table, mapping, problems, subject, episode)
    time = mapping.time
    if time.day:
        each = seen.diary(time)
    elif time.column:
        each = seen.timed(time)
    elif time.wave:
        each = seen.waves(time)
    else:
        each = seen.wide(time, [w for c in mapping.instruments.values() for w in c.waves])
    last = max((int(v.step.max(initial=0)) for v in each), default=0)
    whole_days = -(-(last + 1) // time.beeps) * time.beeps
    n_steps = whole_days if time.steps is None else time.steps
    for visit in each:
        problems.cells(
            visit.step >= n_steps,
            "",
            lambda r, v=visit: f"step {v.step[r]} lies past the {n_steps} steps of an episode",  # type: ignore[misc]
        )
    if time.step is None:
        seen.notes.append("A step is taken to be one day long, since nothing says how long it is.")
    return Visits(
        subject=subject,
        subjects=tuple(map(str, subjects)),
        episode=episode,
        episodes=episodes,
        each=each,
        occasions=_in_order(each),
        n_steps=n_steps,
        step_length=1.0 if time.step is None else time.step,
        notes=tuple(seen.notes),
    )


def column(
    table: Table, name: str, what: str, problems: Problems, missing: tuple[str, ...] = ()
) -> np.ndarray:
    """Texts of a column; all missing, and a problem, where the file lacks it."""
    if name in table.columns:
        return table.texts(name, missing)
    if name:
        problems.add(f"the file has no column '{name}' ({what}){suggest(name, table.columns)}")
    else:
        problems.add(f"which column says the {what}?{suggest(what, table.columns)}"[:400])
    return np.full(len(table), None, object)


def coded(
    values: np.ndarray, given: Mapping[str, str], name: str, problems: Problems
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices (-1 missing) into labels: those given, or the values themselves, sorted."""
    codes, found = pd.factorize(values)
    if not given:
        order = sorted(range(len(found)), key=lambda i: _rank(found[i]))
        place = np.empty(len(found) + 1, int)
        place[order], place[-1] = np.arange(len(found)), -1
        return place[codes], tuple(str(found[i]) for i in order)
    labels = list(given.values())
    known = {name: i for names in (labels, given) for i, name in enumerate(names)}
    place = np.array([*(known.get(v, -1) for v in found), -1], int)
    problems.cells(
        (place[codes] < 0) & (codes >= 0),
        name,
        lambda r: f"'{values[r]}' is none of {', '.join(given)}",
    )
    return place[codes], tuple(labels)


def _episodes(
    table: Table, given: Labelled | None, problems: Problems
) -> tuple[np.ndarray, tuple[str, ...]]:
    if given is None:
        return np.zeros(len(table), int), ("study",)
    values = column(table, given.column, "episode", problems)
    problems.cells(values == None, given.column, lambda r: "the episode is missing")  # noqa: E711
    codes, labels = coded(values, given.labels, given.column, problems)
    return codes, labels or ("study",)


class _Seen:
    """The rows of a table, to be given their times in one of four ways."""

    def __init__(
        self,
        table: Table,
        mapping: DataMapping,
        problems: Problems,
        subject: np.ndarray,
        episode: np.ndarray,
    ):
        self.table, self.problems, self.missing = table, problems, mapping.missing
        self.subject, self.episode = subject, episode
        self.notes: list[str] = []

    def wide(self, time: Time, waves: list[str]) -> tuple[Visit, ...]:
        """Every wave in each row."""
        at = dict(time.waves) or {w: i for i, w in enumerate(dict.fromkeys(waves))} or {"1": 0}
        n = len(self.table)
        self._once(np.zeros(n, int), "" if time.waves else "; is there a column for the wave?")
        return tuple(
            Visit(np.full(n, step), np.full(n, wave, object), wave) for wave, step in at.items()
        )

    def waves(self, time: Time) -> tuple[Visit, ...]:
        """A wave in each row."""
        code, labels = self._wave(time)
        steps = np.array([*(time.waves.get(w, i) for i, w in enumerate(labels)), -1], int)
        if not time.waves and len(labels) > 1:
            said = f"Waves {', '.join(labels)} are taken to lie one step apart"
            self.notes.append(f"{said}, since nothing says when they were.")
        self._once(code, "")
        return (Visit(steps[code], np.array([*labels, None], object)[code]),)

    def timed(self, time: Time) -> tuple[Visit, ...]:
        """Days, or dates, in each row, and perhaps the label of a wave."""
        days = self._days(time)
        step = np.where(np.isnan(days), -1, np.floor(days / (time.step or 1.0) + 1e-9)).astype(int)
        if time.wave:
            code, labels = self._wave(time)
            occasion = np.array([*labels, None], object)[code]
            self._forward(code, days, labels, time.column)
        else:
            occasion = np.array([str(s) if s >= 0 else None for s in step], object)
        self._once(step, "; a shorter step would part them")
        return (Visit(step, occasion),)

    def diary(self, time: Time) -> tuple[Visit, ...]:
        """A day and a place within it in each row."""
        day = self._counted(time.day, time.first_day, None)
        problems = self.problems
        problems.cells(np.isnan(day), time.day, lambda r: "the day is missing")
        if not time.beep:
            step = np.where(np.isnan(day), -1, day - time.first_day).astype(int)
            self._once(step, "")
            return (Visit(step, np.array([str(s + time.first_day) for s in step], object)),)
        beep = self._counted(time.beep, 1, time.beeps)
        self._place_beeps(day, beep, time)
        step = (day - time.first_day) * time.beeps + beep - 1
        step = np.where(np.isnan(step), -1, step).astype(int)
        self._once(step, "")
        occasion = [f"{s // time.beeps + time.first_day}.{s % time.beeps + 1}" for s in step]
        return (Visit(step, np.array(occasion, object)),)

    def _wave(self, time: Time) -> tuple[np.ndarray, tuple[str, ...]]:
        values = column(self.table, time.wave, "wave", self.problems)
        self.problems.cells(values == None, time.wave, lambda r: "the wave is missing")  # noqa: E711
        return coded(values, {w: w for w in time.waves}, time.wave, self.problems)

    def _counted(self, name: str, low: int, high: int | None) -> np.ndarray:
        """Whole numbers of a column, NaN where missing."""
        column(self.table, name, "time", self.problems)
        if name not in self.table.columns:
            return np.full(len(self.table), np.nan)
        numbers, bad = self.table.numbers(name, self.missing)
        with np.errstate(invalid="ignore"):
            bad = bad | (numbers < low) | (numbers % 1 != 0) & ~np.isnan(numbers)
            bad |= numbers > (high or 10**4)
        upto = f"{low} to {high}" if high else f"at least {low}"
        cells = self.table.columns[name]
        self.problems.cells(
            bad, name, lambda r: f"expected a whole number, {upto}, got '{cells[r]}'"
        )
        return np.where(bad, np.nan, numbers)

    def _days(self, time: Time) -> np.ndarray:
        """Days since the episode began: as they are, or since a person's first date in it."""
        name, problems = time.column, self.problems
        values = column(self.table, name, "time", problems)
        if name not in self.table.columns:
            return np.full(len(self.table), np.nan)
        days, bad = self.table.numbers(name, self.missing)
        if bad.mean() > 0.5:
            dates = pd.to_datetime(pd.Series(values), format="ISO8601", errors="coerce", utc=True)
            bad = (dates.isna() & pd.Series(values).notna()).to_numpy()
            first = dates.groupby([self.subject, self.episode]).transform("min")
            days = ((dates - first).dt.total_seconds() / 86400).to_numpy(float)
        problems.cells(
            bad, name, lambda r: f"'{values[r]}' is neither days nor a date (2024-05-31)"
        )
        problems.cells(np.isnan(days) & ~bad, name, lambda r: "the time is missing")
        with np.errstate(invalid="ignore"):
            early, late = days < 0, days > 10**4
        problems.cells(early, name, lambda r: f"day {days[r]:g} lies before the start")
        problems.cells(late, name, lambda r: f"day {days[r]:g} is too late to be true")
        return np.where(early | late, np.nan, days)

    def _once(self, step: np.ndarray, hint: str) -> None:
        """A problem for every second row of a person, episode and step."""
        known = (self.subject >= 0) & (self.episode >= 0) & (step >= 0)
        keys = pd.DataFrame({"s": self.subject, "e": self.episode, "t": step})
        rows = np.arange(len(keys))
        first = pd.Series(rows).groupby([keys.s, keys.e, keys.t]).transform("min").to_numpy()
        self.problems.cells(
            known & (first != rows),
            "",
            lambda r: f"the same person and time as {self.table.place(int(first[r]))}{hint}",
        )

    def _forward(
        self, code: np.ndarray, days: np.ndarray, labels: tuple[str, ...], name: str
    ) -> None:
        """A problem wherever a later wave has an earlier time."""
        rows = pd.DataFrame({"s": self.subject, "e": self.episode, "w": code, "d": days})
        rows = rows[(rows.w >= 0) & rows.d.notna()].sort_values(["s", "e", "w"], kind="stable")
        before = rows.groupby(["s", "e"]).shift()
        back = np.zeros(len(self.table), bool)
        back[rows.index[(rows.d < before.d).to_numpy()]] = True
        then = before.reindex(range(len(self.table)))
        self.problems.cells(
            back,
            name,
            lambda r: (
                f"time goes backwards: day {days[r]:g} at wave {labels[code[r]]}, "
                f"day {then.d[r]:g} at wave {labels[int(then.w[r])]}"
            ),
        )

    def _place_beeps(self, day: np.ndarray, beep: np.ndarray, time: Time) -> None:
        """Give each answer without a beep the next free place of its day, in place."""
        lost = np.isnan(beep) & ~np.isnan(day)
        if not lost.any():
            return
        days = pd.DataFrame({"s": self.subject, "e": self.episode, "d": day})
        for rows in days.groupby(["s", "e", "d"]).indices.values():
            taken = {int(b) for b in beep[rows] if b == b}
            before = 0
            for r in np.sort(rows):
                if lost[r]:
                    places = [*range(before + 1, time.beeps + 1), *range(1, before + 1)]
                    free = [p for p in places if p not in taken]
                    if not free:
                        self.problems.add("no place is left in this day", time.beep, int(r))
                        continue
                    beep[r] = free[0]
                    taken.add(free[0])
                before = int(beep[r]) if beep[r] == beep[r] else before
        self.notes.append(
            f"{int(lost.sum())} rows say no {time.beep}; each has the next free place of its day."
        )


def _guess(table: Table, names: tuple[str, ...]) -> str:
    known = {name.casefold(): name for name in reversed(list(table.columns))}
    return next((known[n] for n in names if n in known), "")


def _rank(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _in_order(each: tuple[Visit, ...]) -> tuple[str, ...]:
    """Occasions by their first step."""
    first: dict[str, int] = {}
    for visit in each:
        frame = pd.DataFrame({"o": visit.occasion, "s": visit.step}).dropna()
        for label, step in frame.groupby("o", sort=False).s.min().items():
            first[str(label)] = min(int(step), first.get(str(label), int(step)))
    return tuple(sorted(first, key=lambda label: first[label]))

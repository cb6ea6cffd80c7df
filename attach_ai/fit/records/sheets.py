"""What stands in the cells: answers to items, recorded outcomes, choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from attach_ai.errors import InputError
from attach_ai.fit.records.formats import Table
from attach_ai.fit.records.problems import Problems
from attach_ai.fit.records.visits import Visit, Visits
from attach_ai.model.document import suggest
from attach_ai.model.instrument import Instrument, Item, load_instrument
from attach_ai.model.mapping import Coding, Columns, DataMapping, expand

# What so many files write for "no answer", taken as such where it cannot be one.
CODES = (-9999.0, -999.0, -99.0, -98.0, -97.0, -88.0, -77.0, -9.0, -8.0, -1.0, 99.0, 999.0, 9999.0)
ANSWERS = ("subject", "episode", "step", "occasion", "instrument", "item", "value", "keyed")
WHEN = ("subject", "episode", "step")


class Sheets:
    """The cells of a table, read visit by visit into long tables; `notes` says what was odd."""

    def __init__(self, table: Table, mapping: DataMapping, visits: Visits, problems: Problems):
        self.table, self.mapping, self.visits, self.problems = table, mapping, visits, problems
        self.notes: list[str] = []
        self.asked: dict[str, None] = {}  # items that the file has, by full name, in order
        self.answered = [np.zeros(len(table), bool) for _ in visits.each]
        self._columns = {name.casefold(): name for name in reversed(list(table.columns))}
        self._codes: Counter[float] = Counter()

    def answers(self, instruments: Mapping[str, Instrument]) -> pd.DataFrame:
        """One row for each answer given; columns `ANSWERS`."""
        parts: list[pd.DataFrame] = []
        for name, instrument in instruments.items():
            asked = self.mapping.instruments.get(name, Columns(name))
            self._check(asked, instrument)
            for v, visit in enumerate(self.visits.each):
                if not asked.waves or not visit.wave or visit.wave in asked.waves:
                    parts += self._answers(instrument, asked, visit, self.answered[v])
        if self._codes:
            said = ", ".join(f"{code:g} ({n})" for code, n in sorted(self._codes.items()))
            self.notes.append(f"Codes that no item has were taken as missing: {said}.")
        return self._named(parts or [self._nothing(ANSWERS)])

    def levels(self, codings: Mapping[str, Coding], what: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What was recorded (subject, episode, step, `what`, level), and what went unrecorded."""
        recorded = [self._nothing((*WHEN, what, "level"))]
        unrecorded = [self._nothing((*WHEN, what))]
        for name, coding in codings.items():
            for v, visit in enumerate(self.visits.each):
                column = expand(coding.column, wave=visit.wave)
                if column not in self.table.columns:
                    if "{wave}" not in coding.column or v == 0:
                        self._lacks(column, f"{what} {name}")
                    continue
                level = self._level(coding, column)
                known = self._known(visit)
                at = known & (level >= 0)
                made = self._when(visit, at)
                names = np.array(coding.levels, object)
                recorded.append(made.assign(**{what: name, "level": names[level[at]]}))
                if coding.missing == "expected":
                    at = known & (level < 0) & self.answered[v]
                    unrecorded.append(self._when(visit, at).assign(**{what: name}))
                if "{wave}" not in coding.column:
                    break
        return self._named(recorded), self._named(unrecorded)

    def _answers(
        self, instrument: Instrument, asked: Columns, visit: Visit, answered: np.ndarray
    ) -> list[pd.DataFrame]:
        columns = self._find(instrument, asked, visit.wave)
        known, parts = self._known(visit), []
        for item, column in columns.items():
            declared = instrument.item(item)
            self.asked[f"{instrument.name}.{item}"] = None
            values, bad = self._values(declared, column)
            cells = self.table.columns[column]
            expected = _expected(declared)
            self.problems.cells(
                bad,
                column,
                lambda r, c=cells, e=expected: f"expected {e}, got '{c[r]}'",  # type: ignore[misc]
            )
            at = known & ~np.isnan(values) & ~bad
            answered |= at
            given = values[at]
            turned = replace(declared, reverse=False)
            keyed = (turned if asked.reversed_in_file(item) else declared).key(given)
            parts.append(
                self._when(visit, at).assign(
                    occasion=visit.occasion[at],
                    instrument=instrument.name,
                    item=item,
                    value=given,
                    keyed=keyed,
                )
            )
        return parts

    def _values(self, item: Item, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Answers, NaN where missing; and which cells hold something that is none."""
        values, bad = self.table.numbers(column, self.mapping.missing)
        wrong = ~np.isnan(values) & ~item.fits(values)
        code = wrong & np.isin(values, CODES)
        self._codes.update(values[code].tolist())
        return np.where(wrong, np.nan, values), bad | (wrong & ~code)

    def _level(self, coding: Coding, column: str) -> np.ndarray:
        """Index of each cell's level, -1 where missing."""
        if coding.cuts:
            numbers, bad = self.table.numbers(column, self.mapping.missing)
            level = np.searchsorted(coding.cuts, numbers, side="right")
            level = np.where(np.isnan(numbers), -1, level)
            said = "expected a number"
        else:
            values = self.table.texts(column, self.mapping.missing)
            index = {v: coding.levels.index(x) for v, x in coding.values.items()}
            codes, found = pd.factorize(values)
            level = np.array([*(index.get(v, -1) for v in found), -1], int)[codes]
            bad = (codes >= 0) & (level < 0)
            said = f"expected one of {', '.join(coding.values)}"
        cells = self.table.columns[column]
        self.problems.cells(bad, column, lambda r: f"{said}, got '{cells[r]}'")
        return level

    def _find(self, instrument: Instrument, asked: Columns, wave: str) -> dict[str, str]:
        """Item -> column; what is not there is a problem, or a note where nobody named it."""
        found: dict[str, str] = {}
        absent: dict[str, str] = {}
        guessed = not (asked.pattern or asked.names)
        for item in self._items(instrument, asked):
            target, _, base = item.partition("_") if asked.targets else ("", "", item)
            names = _candidates(instrument.name, item)
            if not guessed:
                names = [asked.column(base, wave, target)]
            real = (self._columns.get(n.casefold()) if guessed else n for n in names)
            column = next((c for c in real if c in self.table.columns), None)
            if column is None:
                absent[item] = names[0]
            else:
                found[item] = column
        at = f" at wave {wave}" if wave else ""
        if absent and not found:
            first = next(iter(absent.values()))
            self._lacks(first, f"{instrument.name}{at}: nor any other of its items")
        elif absent and guessed:
            said = f"{instrument.name}: the file has no columns for items {', '.join(absent)}."
            if said not in self.notes:
                self.notes.append(said)
        else:
            for item, column in absent.items():
                self._lacks(column, f"{instrument.name}, item {item}{at}")
        return found

    def _items(self, instrument: Instrument, asked: Columns) -> list[str]:
        chosen = asked.items
        if asked.targets:
            chosen = tuple(f"{t}_{i}" for t in asked.targets for i in chosen)
        known = [i.name for i in instrument.items]
        return [i for i in known if i in chosen] if chosen else known

    def _check(self, asked: Columns, instrument: Instrument) -> None:
        """Items that the mapping names and the instrument lacks."""
        turned = asked.already_reversed
        prefix = f"{asked.targets[0]}_" if asked.targets else ""
        for item in dict.fromkeys((*asked.items, *(() if isinstance(turned, bool) else turned))):
            try:
                instrument.item(prefix + item)
            except InputError as problem:
                self.problems.add(f"the mapping names an unknown item: {problem}")

    def _lacks(self, column: str, what: str) -> None:
        near = suggest(column, self.table.columns)
        near = near if "did you mean" in near else ""
        self.problems.add(f"the file has no column '{column}' ({what}){near}")

    def _known(self, visit: Visit) -> np.ndarray:
        return (self.visits.subject >= 0) & (self.visits.episode >= 0) & (visit.step >= 0)

    def _when(self, visit: Visit, at: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "subject": self.visits.subject[at],
                "episode": self.visits.episode[at],
                "step": visit.step[at],
            }
        )

    @staticmethod
    def _nothing(columns: tuple[str, ...]) -> pd.DataFrame:
        kinds = {**dict.fromkeys(WHEN, int), "value": float, "keyed": float}
        return pd.DataFrame({c: pd.Series(dtype=kinds.get(c, "str")) for c in columns})

    def _named(self, parts: list[pd.DataFrame]) -> pd.DataFrame:
        """One table by subject and episode as they come in the file, then by step, with labels."""
        table = pd.concat(parts, ignore_index=True)
        table = table.iloc[np.lexsort((table.step, table.episode, table.subject))]
        for name, labels in (("subject", self.visits.subjects), ("episode", self.visits.episodes)):
            known = pd.array(list(labels), dtype="str")
            table[name] = known.take(table[name].to_numpy(int))
        return table.reset_index(drop=True)


def instruments(
    mapping: DataMapping, named: list[str | Path] | None, problems: Problems
) -> dict[str, Instrument]:
    """The instruments named, or else those of the mapping, by name."""
    found: dict[str, Instrument] = {}
    if named is None and not mapping.instruments and not mapping.choices:
        problems.add("which instruments were answered? name one, or a mapping that does")
    books = {
        name: Path(mapping.place.file).parent / asked.codebook if asked.codebook else name
        for name, asked in mapping.instruments.items()
    }
    for wanted in books if named is None else named:
        try:
            instrument = load_instrument(books.get(str(wanted), wanted))
            asked = mapping.instruments.get(instrument.name)
            if asked is not None and asked.targets:
                instrument = instrument.for_targets(*asked.targets)
            found[instrument.name] = instrument
        except InputError as problem:
            problems.add(f"codebook missing or broken: {problem}")
    return found


def _candidates(instrument: str, item: str) -> list[str]:
    """What a column of an item may be called where nobody says."""
    made = [f"{instrument}{part}{item}" for part in (".", "_", "")]
    if item.isdecimal():
        return made + [f"{instrument}{part}{item.zfill(2)}" for part in (".", "_", "")]
    return [*made, item]


def _expected(item: Item) -> str:
    whole = "a whole number" if item.kind == "ordinal" else "a number"
    return f"{whole} from {item.low:g} to {item.high:g}"

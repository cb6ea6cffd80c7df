"""Columns of a table that look like the items of one instrument, by their names and values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from attach_ai.fit.records.formats.table import Table
from attach_ai.model.instrument import MOST_LEVELS, Instrument, load_instrument
from attach_ai.model.library import names
from attach_ai.model.mapping import expand

LEAST_ITEMS = 3  # fewer numbered columns are no instrument
CODES = (-999, -99, -98, -97, -88, -77, -9, -8, -7, 77, 88, 97, 98, 99, 777, 888, 999, 9999)
FAR = 3  # a code for a missing answer lies at least this far from the next value
AGAINST = -0.1  # a correlation with the other items below this asks for a look at the key
# Where waves stand in column names: "phq9_w1_3", "t1_phq9_3", "phq9_3_w1".
_WAVES = (
    re.compile(r"(?P<a>.+?[_.](?:w|t|wave|time))(?P<wave>\d)(?P<b>[_.])(?P<item>\d+)", re.I),
    re.compile(r"(?P<a>(?:w|t|wave|time))(?P<wave>\d)(?P<b>[_.]?\w*?\D)(?P<item>\d+)", re.I),
    re.compile(r"(?P<a>.+?[_.])(?P<item>\d+)(?P<b>[_.](?:w|t|wave|time))(?P<wave>\d)", re.I),
)
_NUMBERED = re.compile(r"(?P<a>.*\D)(?P<item>\d+)")
_WAVE_WORD = re.compile(r"(^|[_.])(w|t|wave|time)?\{wave\}", re.I)


@dataclass(frozen=True)
class ItemSet:
    """Columns that look like one instrument; `pattern` is their name as a mapping writes it.

    `known`: the declared instrument that it looks like, if any. `turned`: items that correlate
    negatively with the others.
    """

    name: str
    pattern: str
    items: tuple[str, ...]
    columns: tuple[str, ...]
    waves: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = True
    codes: tuple[int, ...] = ()
    turned: tuple[str, ...] = ()
    known: str = ""

    @property
    def kind(self) -> str:
        """What an item of this range is."""
        few = self.high - self.low < MOST_LEVELS
        return "ordinal" if self.whole and few else "continuous"


def find_item_sets(table: Table) -> list[ItemSet]:
    """Columns grouped by what their names share, with the range of what they hold."""
    named = list(_named(table))
    found = [*named, *_numbered(table, {c for s in named for c in s.columns})]
    used: dict[str, int] = {}
    sets = []
    for one in found:
        seen = _seen(one, table)
        if seen is None:
            continue
        seen = replace(seen, known=seen.known or _known(seen))
        name = seen.known or seen.name
        used[name] = used.get(name, 0) + 1
        if used[name] > 1:  # a second set of the same name cannot be the same instrument
            seen = replace(seen, known="")
            name = f"{seen.name}_{used[name]}"
        sets.append(replace(seen, name=name))
    return sets


def _named(table: Table) -> Iterator[ItemSet]:
    """Declared instruments whose items have names that are all columns ("cheerful")."""
    for name in names("instrument"):
        items = tuple(i.name for i in load_instrument(name).items)
        if not any(i.isdecimal() for i in items) and set(items) <= set(table.columns):
            yield ItemSet(name, "", items, items, known=name)


def _numbered(table: Table, taken: set[str]) -> Iterator[ItemSet]:
    """Columns, but those taken, that differ by an item number, and perhaps by a wave."""
    free = [c for c in table.columns if c not in taken and "{" not in c and "}" not in c]
    alike: dict[tuple[str, bool], list[tuple[str, str, str]]] = {}
    for column in free:
        pattern, item, wave = _parse(column)
        if item:  # depr1 is no item 1 among depr101, depr102, ...
            alike.setdefault((pattern, len(item) > 2), []).append((column, item, wave))
    for (pattern, _), cells in alike.items():
        made = _split_waves(pattern, cells) or _item_set(pattern, cells)
        if len(made.items) >= LEAST_ITEMS:
            yield made


def _parse(column: str) -> tuple[str, str, str]:
    """A column name with {item} and {wave} put for its numbers, and these."""
    for form in _WAVES:
        match = form.fullmatch(column)
        if match:
            first, second = sorted(("item", "wave"), key=match.start)
            pattern = f"{match['a']}{{{first}}}{match['b']}{{{second}}}"
            return pattern, match["item"], match["wave"]
    match = _NUMBERED.fullmatch(column)
    return (f"{match['a']}{{item}}", match["item"], "") if match else (column, "", "")


def _split_waves(pattern: str, cells: list[tuple[str, str, str]]) -> ItemSet | None:
    """Numbers such as 101..120, 201..220 are a wave and an item; None where they are not."""
    if any(wave or len(item) != 3 for _, item, wave in cells):
        return None
    waves = sorted({item[0] for _, item, _ in cells})
    asked = [sorted(int(i[1:]) for _, i, _ in cells if i[0] == w) for w in waves]
    run = list(range(1, len(asked[0]) + 1))
    if waves[0] == "0" or any(numbers != run for numbers in asked):
        return None
    split = pattern.replace("{item}", "{wave}{item:02d}")
    return _item_set(split, [(c, i[1:], i[0]) for c, i, _ in cells])


def _item_set(pattern: str, cells: list[tuple[str, str, str]]) -> ItemSet:
    """An item set; items that some wave lacks are left out, as a mapping asks for all."""
    widths = {len(item) for _, item, _ in cells}
    padded = any(item.startswith("0") for _, item, _ in cells)
    if padded and len(widths) == 1 and "{item}" in pattern:
        pattern = pattern.replace("{item}", f"{{item:0{widths.pop()}d}}")
    columns = {column for column, _, _ in cells}
    waves = tuple(sorted({wave for _, _, wave in cells if wave}))
    items = tuple(
        str(n)
        for n in sorted({int(item) for _, item, _ in cells})
        if all(expand(pattern, item=str(n), wave=w) in columns for w in waves or ("",))
    )
    stem = _WAVE_WORD.sub(r"\1", pattern)
    return ItemSet(
        name=identifier(re.sub(r"\{[^}]*\}", "", stem)),
        pattern=pattern,
        items=items,
        columns=tuple(expand(pattern, item=i, wave=w) for w in waves or ("",) for i in items),
        waves=waves,
    )


def _seen(one: ItemSet, table: Table) -> ItemSet | None:
    """The set with the range of its answers; None where the columns hold none."""
    read = [table.numbers(c) for c in one.columns]
    values = np.stack([numbers for numbers, _ in read])
    if np.mean([bad.mean() for _, bad in read]) > 0.1 or not np.isfinite(values).any():
        return None
    codes = _codes(np.unique(values[np.isfinite(values)]))
    values[np.isin(values, codes)] = np.nan
    given = values[np.isfinite(values)]
    if not given.size or given.min() == given.max():
        return None
    low, high = float(given.min()), float(given.max())
    whole = bool(np.all(given == np.round(given)))
    if high - low < MOST_LEVELS:
        if not whole:
            return None  # fractions of few options are scores that somebody computed
        low = min(low, 1.0)  # nobody need have chosen the lowest option
    by_item = values.reshape(max(len(one.waves), 1), len(one.items), -1)
    return replace(
        one, low=low, high=high, whole=whole, codes=codes, turned=_turned(one.items, by_item)
    )


def _codes(values: np.ndarray) -> tuple[int, ...]:
    """Values that are known codes for a missing answer, and far from every other value."""
    plain = values[~np.isin(values, CODES)]
    if not plain.size:
        return ()
    near = (
        (values > plain.max() + FAR)
        | (values < plain.min() - FAR)
        | ((values < 0) & (plain.min() >= 0))
    )
    return tuple(int(v) for v in values[near & np.isin(values, CODES)])


def _turned(items: tuple[str, ...], values: np.ndarray) -> tuple[str, ...]:
    """Items that correlate negatively with the mean of the others (wave, item, row)."""
    made = []
    for j, item in enumerate(items):
        mine = values[:, j].ravel()
        others = np.delete(values, j, axis=1)
        count = np.isfinite(others).sum(1)
        rest = np.divide(
            np.nansum(others, 1), count, out=np.full(count.shape, np.nan), where=count > 0
        ).ravel()
        both = np.isfinite(mine) & np.isfinite(rest)
        if both.sum() < 10 or mine[both].std() == 0 or rest[both].std() == 0:
            continue
        if np.corrcoef(mine[both], rest[both])[0, 1] < AGAINST:
            made.append(item)
    return tuple(made)


def _known(one: ItemSet) -> str:
    """The declared instrument with a like name, as many items, and a range that holds these."""

    def fits(i: Instrument) -> bool:
        first = i.items[0]
        return (
            len(i.items) == len(one.items)
            and first.low <= one.low
            and one.high <= first.high
            and (i.items[-1].name == one.items[-1])
        )

    stem = one.name.replace("_", "")
    alike = [n for n in names("instrument") if stem and n.replace("_", "").startswith(stem)]
    alike.sort(key=len)
    return next((n for n in alike if fits(load_instrument(n))), "")


def identifier(text: str, first: str = "items") -> str:
    """A name that our files accept; `first` stands before what is no letter."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not name or not name[0].isalpha():
        name = f"{first}_{name}".rstrip("_")
    return f"{name}_items" if name in ("exp", "rest") else name

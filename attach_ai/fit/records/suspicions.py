"""What may be odd about answers and is no error: said in whole sentences, decided by a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

SPARSE = 5  # answers below which a category says little about its cutpoints
WRONG_SIGN = -0.1  # rank correlation of an item with the rest of its scale
ENOUGH = 20  # sheets below which a correlation says nothing
MOST_SHEETS = 5000  # for correlations; more would cost time and change nothing


def suspicions(records: Records, reversed_in_file: dict[str, bool]) -> list[str]:
    """Notes on keys, categories, clusters and dropout; `reversed_in_file` by full item name."""
    return [
        *_keys(records, reversed_in_file),
        *_categories(records),
        *_arms(records),
        *_dropout(records),
    ]


def _keys(records: Records, reversed_in_file: dict[str, bool]) -> Iterator[str]:
    """Reverse-keyed items that, once keyed, run against the rest of their scale."""
    sheet = ["subject", "episode", "step"]
    for name, instrument in records.instruments.items():
        answers = records.answers[records.answers.instrument == name]
        turned = [i.name for i in instrument.items if i.reverse]
        if not turned or answers.empty:
            continue
        wide = answers.pivot_table("keyed", sheet, "item", aggfunc="first").iloc[:MOST_SHEETS]
        for scale in instrument.scales:
            items = [i for i in scale.items if i in wide]
            plain = [i for i in items if i not in turned]
            for item in (i for i in items if i in turned and plain):
                pair = pd.DataFrame({"item": wide[item], "rest": wide[plain].mean(axis=1)}).dropna()
                if len(pair) < ENOUGH or (pair.nunique() < 2).any():
                    continue
                r = float(pair.rank().corr().iloc[0, 1])
                if r > WRONG_SIGN or abs(r) * np.sqrt(len(pair)) < 2:
                    continue
                full = f"{name}.{item}"
                if reversed_in_file.get(full, False):
                    guess = "the mapping says it is already reversed; perhaps it is not"
                else:
                    guess = "perhaps the file holds it already reversed (already_reversed)"
                yield (
                    f"{full} is reverse-keyed, and once keyed it runs against the rest of "
                    f"{scale.name} (rank correlation {r:.2f}): {guess}."
                )


def _categories(records: Records) -> Iterator[str]:
    """Options of ordinal items that nobody chose, or hardly anybody."""
    answers = records.answers
    counts = answers.groupby(["instrument", "item", "keyed"]).size()
    for name, instrument in records.instruments.items():
        unused, rare = [], []
        for item in instrument.items:
            if item.kind != "ordinal" or (name, item.name) not in counts:
                continue
            used = counts[name, item.name].reindex(range(item.n_levels), fill_value=0)
            unused += [item.name] * bool((used == 0).any())
            rare += [item.name] * bool(((used > 0) & (used < SPARSE)).any())
        for items, what in ((unused, "nobody used"), (rare, f"fewer than {SPARSE} answers used")):
            if items:
                yield (
                    f"{name}: a category that {what} in item{'s' * (len(items) > 1)} "
                    f"{', '.join(items)}; its cutpoints rest on their prior."
                )


def _arms(records: Records) -> Iterator[str]:
    """Whole clusters in one arm, and a single person."""
    if len(records.subjects) == 1:
        yield "There is one person: nothing can be pooled, and nothing said of a population."
    if records.group is None or records.cluster is None:
        return
    both = pd.DataFrame({"group": records.group, "cluster": records.cluster})
    if (both.groupby("cluster").group.nunique() == 1).all() and both.group.nunique() > 1:
        yield (
            f"Arms are whole clusters ({both.cluster.nunique()} in {both.group.nunique()} arms): "
            "what an arm does cannot be told from what its clusters are; an effect of the arm "
            "rests on that many clusters, not on people."
        )


def _dropout(records: Records) -> Iterator[str]:
    """How many answered, by arm: at each occasion, or on the whole where there are many."""
    table = records.missingness()
    silent = set(records.subjects) - set(records.answers.subject.unique())
    if silent:
        yield f"{len(silent)} of {len(records.subjects)} people gave no answer at all; they stay."
    if table.share.min() >= 1:
        return
    for (group, episode), rows in table.groupby(["group", "episode"], sort=False):
        where = "" if len(records.episodes) == 1 else f", {episode}"
        who = "All" if records.group is None else f"Arm {group}"
        if len(rows) > 10:
            yield (
                f"{who}{where}: on average {rows.share.mean():.0%} of the people answered at "
                f"each of the {len(rows)} occasions at which anybody did."
            )
        else:
            shown = ", ".join(f"{r.occasion}: {r.answered}" for r in rows.itertuples())
            yield f"{who}{where}: of {rows.people.iloc[0]} people, answered at {shown}."

"""What is known of people beside their answers: arm, cluster, covariates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from attach_ai.fit.records.formats import Table
from attach_ai.fit.records.problems import Problems
from attach_ai.fit.records.visits import Visits, coded, column
from attach_ai.model.mapping import Covariate, DataMapping

ALL = "all"  # the arm of everybody, where there are none


@dataclass(frozen=True)
class People:
    """`group`, `cluster`: by subject, or None. `arms`: labels of groups, the reference first.

    `covariates`: (subject, episode) by column, and the `roles` of the columns.
    """

    group: pd.Series | None
    arms: tuple[str, ...]
    cluster: pd.Series | None
    covariates: pd.DataFrame
    roles: dict[str, str]
    notes: tuple[str, ...]


def people(table: Table, mapping: DataMapping, visits: Visits, problems: Problems) -> People:
    """Arms, clusters and covariates; what cannot be is added to `problems`.

    A missing covariate does not cost a person: it is set to the mean, and a note says so.
    """
    reader = _Reader(table, mapping, visits, problems)
    group, cluster = None, None
    arms: tuple[str, ...] = (ALL,)
    if mapping.group is not None:
        name = mapping.group.column
        values = column(table, name, "group", problems, mapping.missing)
        given = mapping.group.labels or table.labels.get(name, {})
        codes, declared = coded(values, given, name, problems)
        labels = np.array([*declared, None], object)[codes]
        empty = [a for i, a in enumerate(declared) if i not in codes]
        # What a file labels may never have been used; what a mapping names was meant.
        arms = declared if mapping.group.labels else tuple(a for a in declared if a not in empty)
        reader.notes += [f"Nobody is in arm {a}." for a in empty if a in arms]
        group = reader.by_subject(labels, name, "group")
    if mapping.cluster:
        values = column(table, mapping.cluster, "cluster", problems, mapping.missing)
        cluster = reader.by_subject(values, mapping.cluster, "cluster")
    made: dict[str, np.ndarray] = {}
    roles: dict[str, str] = {}
    for name, covariate in mapping.covariates.items():
        columns = reader.covariate(name, covariate)
        made |= columns
        roles |= dict.fromkeys(columns, "covariate")
    for name, values in _design(group, arms, visits).items():
        if name in made:
            problems.add(f"'{name}' names a covariate and an arm or episode; rename one of them")
        made[name] = values
        one = "group" if name in arms else "episode"
        roles[name] = one if name in (*arms, *visits.episodes) else "product"
    index = pd.MultiIndex.from_product(
        [visits.subjects, visits.episodes], names=["subject", "episode"]
    )
    covariates = pd.DataFrame(made, index=index, dtype=float)
    return People(group, arms, cluster, covariates, roles, tuple(reader.notes))


def _design(
    group: pd.Series | None, arms: tuple[str, ...], visits: Visits
) -> dict[str, np.ndarray]:
    """Columns for arms and episodes other than the first, and for their products."""
    n, episodes = len(visits.subjects), visits.episodes
    arm = {}
    if group is not None:
        arm = {a: np.repeat((group == a).to_numpy(float), len(episodes)) for a in arms[1:]}
    when = {e: np.tile(np.array(episodes) == e, n).astype(float) for e in episodes[1:]}
    both = {f"{a}:{e}": arm[a] * when[e] for a, e in product(arm, when)}
    return {**arm, **when, **both}


class _Reader:
    def __init__(self, table: Table, mapping: DataMapping, visits: Visits, problems: Problems):
        self.table, self.mapping, self.visits, self.problems = table, mapping, visits, problems
        self.notes: list[str] = []

    def by_subject(self, values: np.ndarray, name: str, what: str) -> pd.Series:
        """One label for each subject; it must be there, and must not vary."""
        subject = self.visits.subject
        known = subject >= 0
        rows = pd.DataFrame({"s": subject, "v": values})
        first = rows[known].groupby("s").v.first().reindex(range(len(self.visits.subjects)))
        theirs = np.array([*first, None], object)[subject]
        differs = known & (rows.v.notna().to_numpy()) & (values != theirs)
        self.problems.cells(
            differs,
            name,
            lambda r: (
                f"the {what} of '{self.visits.subjects[subject[r]]}' is '{values[r]}' here and "
                f"'{theirs[r]}' before"
            ),
        )
        if name in self.table.columns:
            for s in first.index[first.isna()]:
                self.problems.add(f"'{self.visits.subjects[s]}' has no {what}", name)
        return pd.Series(first.to_numpy(object), index=list(self.visits.subjects), name=name)

    def covariate(self, name: str, given: Covariate) -> dict[str, np.ndarray]:
        """Columns over (subject, episode), in that order: one, or one a level but the reference."""
        if given.column not in self.table.columns:
            column(self.table, given.column, f"covariate {name}", self.problems)
            return {}
        if given.factor:
            return self._factor(name, given)
        numbers, bad = self.table.numbers(given.column, self.mapping.missing)
        cells = self.table.columns[given.column]
        self.problems.cells(bad, given.column, lambda r: f"expected a number, got '{cells[r]}'")
        values = self._spread(numbers, name)
        lost = np.isnan(values)
        if lost.all():
            if not np.isnan(numbers).all():
                return {}  # of nobody whom we know; what is wrong is said elsewhere
            self.problems.add("the covariate is missing throughout", given.column)
            return {}
        centre = float(values[~lost].mean())
        self._say_lost(lost, name, f"the mean, {centre:.4g}")
        spread = float(values[~lost].std())
        values = np.where(lost, centre, values)
        if not given.standardise:
            return {name: values}
        if spread < 1e-12 * max(1.0, abs(centre)):
            self.notes.append(f"The covariate {name} is the same for everybody ({centre:.4g}).")
            return {name: np.zeros_like(values)}
        self.notes.append(
            f"The covariate {name} is standardised: 0 stands for {centre:.4g}, 1 for "
            f"{spread:.4g} more."
        )
        return {name: (values - centre) / spread}

    def _factor(self, name: str, given: Covariate) -> dict[str, np.ndarray]:
        cells = self.table.texts(given.column, self.mapping.missing)
        codes, levels = coded(cells, given.labels, given.column, self.problems)
        reference = given.labels.get(given.reference, given.reference)
        if reference and reference not in levels:
            self.problems.add(f"no level is called '{reference}'", given.column)
        values = self._spread(np.where(codes >= 0, codes, np.nan).astype(float), name)
        lost = np.isnan(values)
        self._say_lost(lost, name, "the shares of its levels")
        made = {}
        for i, level in enumerate(levels):
            if level != (reference or levels[0]):
                dummy = (values == i).astype(float)
                made[f"{name}.{level}"] = np.where(lost, dummy[~lost].mean(), dummy)
        return made

    def _spread(self, numbers: np.ndarray, name: str) -> np.ndarray:
        """The first value of each subject and episode; of the subject where an episode has none."""
        n, m = len(self.visits.subjects), len(self.visits.episodes)
        rows = pd.DataFrame({"s": self.visits.subject, "e": self.visits.episode, "v": numbers})
        rows = rows[(rows.s >= 0) & (rows.e >= 0) & rows.v.notna()]
        each = rows.groupby(["s", "e"]).v
        if (each.nunique() > 1).any():
            n_people = int((each.nunique() > 1).groupby("s").any().sum())
            self.notes.append(
                f"The covariate {name} varies within {n_people} people; the first value counts."
            )
        index = pd.MultiIndex.from_product([range(n), range(m)])
        own = each.first().reindex(index).to_numpy(float)
        theirs = rows.groupby("s").v.first().reindex(range(n)).to_numpy(float)
        return np.where(np.isnan(own), np.repeat(theirs, m), own)

    def _say_lost(self, lost: np.ndarray, name: str, by: str) -> None:
        n_people = int(lost.reshape(len(self.visits.subjects), -1).any(1).sum())
        if n_people:
            verb = "lacks" if n_people == 1 else "lack"
            who = "person" if n_people == 1 else "people"
            self.notes.append(f"{n_people} {who} {verb} the covariate {name}; it is set to {by}.")

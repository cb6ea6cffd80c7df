"""What a rival is told of each person beside the answers: the same as the model of beliefs is.

Times, arms, covariates, clusters, and the recorded events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.fit.study.pomdp import POMDPStudy

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

MOST_PERIODS = 12  # beyond this many occasions, time is cut in quarters


class Known(eqx.Module):
    """Arrays of one rival; `column` are its fixed effects, `event` the levels of recorded events.

    `time`: 0 to 1 over the study. `at`: step of each occasion, -1 for none. `event` at each step,
    centred: 0 where nothing was recorded. `cluster`: index.
    """

    fixed: Float[Array, "subject episode occasion column"]
    time: Float[Array, "subject episode occasion"]
    at: Int[Array, "subject episode occasion"]
    event: Float[Array, "subject episode step event"]
    cluster: Int[Array, " subject"]


class Design:
    """Columns of fixed effects and events of a study's people, by label."""

    def __init__(self, study: POMDPStudy, records: Records):
        lives = study.people.rest
        self.at = np.asarray(lives.at)
        self.shape = self.at.shape
        self.time = self._time(len(study.coords["step"]))
        self.periods = self._periods(study)
        self.person = self._person(study, records)
        self.events = _events(study, records)

    def by_period(self) -> dict[str, np.ndarray]:
        """A level for each period after the first, and for each arm in each of them."""
        own = {f"period {name}": x for name, x in self.periods.items()}
        return own | self._times(own)

    def by_time(self) -> dict[str, np.ndarray]:
        """A straight line, and one for each arm and covariate."""
        return {"time": self.time} | self._times({"time": self.time})

    def _times(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Products with what persons differ in; an episode's own columns are left as they are."""
        of_person = {k: x for k, x in self.person.items() if (x == x[:, :1, :1]).all()}
        return {
            f"{k}:{name}": x * other
            for k, x in of_person.items()
            for name, other in columns.items()
        }

    def _time(self, n_steps: int) -> np.ndarray:
        n_episodes = self.shape[1]
        episode = np.arange(n_episodes)[None, :, None]
        time = (episode + np.maximum(self.at, 0) / max(n_steps - 1, 1)) / n_episodes
        last = time[self.at >= 0].max(initial=0.0)
        return np.where(self.at >= 0, time / (last or 1.0), 0.0)

    def _periods(self, study: POMDPStudy) -> dict[str, np.ndarray]:
        """Indicators of each period but the first: episodes, or occasions where there is one."""
        _, n_episodes, n_occasions = self.shape
        if n_episodes > 1:
            labels: Sequence[object] = study.coords["episode"]
            which = np.broadcast_to(np.arange(n_episodes)[None, :, None], self.shape)
        elif n_occasions <= MOST_PERIODS:
            labels = study.coords["occasion"]
            which = np.broadcast_to(np.arange(n_occasions), self.shape)
        else:
            labels = [f"quarter {i + 1}" for i in range(4)]
            which = np.minimum(4 * self.time, 3).astype(int)
        return {str(x): (which == i).astype(float) for i, x in enumerate(labels) if i}

    def _person(self, study: POMDPStudy, records: Records) -> dict[str, np.ndarray]:
        """Covariates, and the arms where no covariate says them already."""
        lives = study.people.rest
        columns = {
            str(name): np.broadcast_to(np.asarray(lives.covariate)[:, :, None, i], self.shape)
            for i, name in enumerate(study.coords["covariate"])
        }
        if records.group is not None:
            group = np.array([str(records.group[s]) for s in records.subjects])
            for label in list(dict.fromkeys(group))[1:]:
                arm = np.broadcast_to((group == label).astype(float)[:, None, None], self.shape)
                columns[f"group {label}"] = arm
        return independent(columns, self.at >= 0)


def known(design: Design, columns: dict[str, np.ndarray], study: POMDPStudy) -> Known:
    """As arrays of the study's own precision."""
    dtype = study.people.measure.dtype
    names = tuple(columns)
    fixed = np.stack([columns[k] for k in names], -1) if names else np.zeros((*design.shape, 0))
    return Known(
        fixed=jnp.asarray(fixed, dtype),
        time=jnp.asarray(design.time, dtype),
        at=jnp.asarray(design.at, jnp.int32),
        event=jnp.asarray(design.events[1], dtype),
        cluster=jnp.asarray(study.people.rest.cluster, jnp.int32),
    )


def independent(columns: dict[str, np.ndarray], there: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that say something which a constant and those before them do not.

    `there`: the occasions that count, (subject, episode, occasion).
    """
    kept: dict[str, np.ndarray] = {}
    basis = np.ones((int(there.sum()), 1)) / np.sqrt(max(int(there.sum()), 1))
    for name, x in columns.items():
        column = x[there].astype(float)
        rest = column - basis @ (basis.T @ column)
        size = np.linalg.norm(rest)
        if size > 1e-8 * max(np.linalg.norm(column), 1e-300):
            basis = np.column_stack([basis, rest / size])
            kept[name] = x
    return kept


def _events(study: POMDPStudy, records: Records) -> tuple[tuple[str, ...], np.ndarray]:
    """Labels, and (subject, episode, step, event): indicators of all but the commonest level.

    Each is centred over the steps at which its modality was recorded, and 0 elsewhere.
    """
    table = records.events
    subjects = {x: i for i, x in enumerate(records.subjects)}
    episodes = {x: i for i, x in enumerate(records.episodes)}
    shape = (*study.people.answer.shape[:2], len(study.coords["step"]))
    labels, columns = [], []
    for modality in dict.fromkeys(table["modality"]):
        rows = table[table["modality"] == modality]
        place = (
            rows["subject"].map(subjects).to_numpy(),
            rows["episode"].map(episodes).to_numpy(),
            rows["step"].to_numpy(int),
        )
        levels = rows["level"].to_numpy()
        for level in list(rows["level"].value_counts().index)[1:]:
            column = np.zeros(shape)
            hit = (levels == level).astype(float)
            column[place] = hit - hit.mean()
            labels.append(f"{modality}.{level}")
            columns.append(column)
    stacked = np.stack(columns, -1) if columns else np.zeros((*shape, 0))
    return tuple(labels), stacked

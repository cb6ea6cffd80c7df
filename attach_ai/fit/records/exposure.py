"""What people were exposed to between their answers: nobody knows, or a declared schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attach_ai.errors import InputError
from attach_ai.model.document import suggest
from attach_ai.model.exposure import Arm, Period
from attach_ai.model.library import load_practice, load_world
from attach_ai.model.practice import Practice
from attach_ai.model.settings import Settings


@dataclass(frozen=True)
class Exposure:
    """`arms` by label; none where the exposure is unknown, and then nothing is said of a practice.

    `n_steps` of an episode, each `step_length` days long.
    """

    n_steps: int
    step_length: float
    arms: Mapping[str, Arm] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """ "unknown" or "schedule"."""
        return "schedule" if self.arms else "unknown"

    def arm(self, label: str) -> Arm:
        """An arm by label; `InputError` where the schedule lacks it."""
        if label not in self.arms:
            raise InputError(f"no arm is called '{label}'{suggest(label, self.arms)}", "exposure")
        return self.arms[label]

    def practice(self, label: str) -> Practice:
        """What an arm practises."""
        return load_practice(self.arm(label).practice)

    def world(self, label: str) -> Settings:
        """What is true meanwhile."""
        return load_world(self.arm(label).world)

    def dose(self, label: str) -> NDArray[np.floating]:
        """The share of a full dose in each step: (step,), in [0, 1].

        Of a week, counted from the start of a period, the first `days` days are practised. A step's
        dose is the period's share times the mean, over the days the step covers, of whether they
        are; a step shorter than a day has the dose of its day.
        """
        dose = np.zeros(self.n_steps)
        for period in self.arm(label).periods:
            steps = np.arange(period.start, min(period.end, self.n_steps))
            dose[steps] = period.share * self._practised(period, steps)
        return dose

    def covered(self, label: str) -> NDArray[np.bool_]:
        """For which steps the schedule says anything: (step,)."""
        covered = np.zeros(self.n_steps, bool)
        for period in self.arm(label).periods:
            covered[period.start : period.end] = True
        return covered

    def _practised(self, period: Period, steps: NDArray[np.int_]) -> NDArray[np.floating]:
        begin = (steps - period.start) * self.step_length
        end = begin + self.step_length
        if self.step_length < 1:
            begin = np.floor(np.round(begin, 9))
            end = begin + 1
        practised = _days(end, period.days) - _days(begin, period.days)
        return np.clip(practised / (end - begin), 0.0, 1.0)


def _days(time: NDArray[np.floating], days: float) -> NDArray[np.floating]:
    """Practised days before a time (in days): the first `days` of each week."""
    weeks, rest = np.divmod(np.round(time, 9), 7.0)
    return weeks * days + np.minimum(rest, days)

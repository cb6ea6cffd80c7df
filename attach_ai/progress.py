"""How far along, and how long it will still take."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType
from typing import Any


class Progress:
    """A bar with the time left; plain lines where nobody watches a terminal.

    Use as a context manager, and `step` around each of the `total` pieces of work.
    """

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self.began = perf_counter()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """Correct how many pieces of work there are."""
        self.total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One piece of work; counted only when it ends well."""
        if self._bar is None and sys.stderr.isatty():
            self._start()
        if self._bar is not None:
            self._bar.update(self._task, description=what)
        yield
        self.done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        else:
            print(f"[{self.done}/{self.total}] {what}{self._left()}", file=sys.stderr, flush=True)

    def _start(self) -> None:
        """Show the bar: not before there is something to do."""
        self._bar = _bars()
        self._bar.start()
        self._task = self._bar.add_task("", total=self.total)

    def _left(self) -> str:
        if self.done == self.total:
            return ""
        seconds = (perf_counter() - self.began) / self.done * (self.total - self.done)
        return f", {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"about {minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _bars(*more: str) -> Any:
    """Rich's bars on the standard error; `more`: further columns."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        *(progress.TextColumn(text) for text in more),
        console=Console(stderr=True),
        speed_estimate_period=3600,
    )


class Lanes:
    """Several counts that grow side by side, each with its time left, and all of them together.

    Plain lines, one a tenth of each count, where nobody watches a terminal.
    """

    def __init__(self, totals: Mapping[str, int], show: bool = True):
        self.totals, self.show = dict(totals), show
        self.done = dict.fromkeys(totals, 0)
        self.said = dict.fromkeys(totals, 0)
        self.first: dict[str, tuple[float, int]] = {}
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Lanes:
        if self.show and sys.stderr.isatty():
            self._bar = _bars("{task.fields[note]}")
            self._bar.start()
            names = [*self.totals, "all"] if len(self.totals) > 1 else [*self.totals]
            for name in names:
                total = self.totals.get(name, sum(self.totals.values()))
                self._tasks[name] = self._bar.add_task(name, total=total, note="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, name: str, done: int, note: str = "") -> None:
        """How far the count `name` is, with a few words about it."""
        self.done[name] = done
        began, start = self.first.setdefault(name, (perf_counter(), done))
        if self._bar is not None:
            self._bar.update(self._tasks[name], completed=done, note=note)
            if "all" in self._tasks:
                self._bar.update(self._tasks["all"], completed=sum(self.done.values()))
            return
        tenth = 10 * done // self.totals[name]
        if self.show and tenth > self.said[name]:
            self.said[name] = tenth
            left = ""
            if start < done < self.totals[name]:
                pace = (perf_counter() - began) / (done - start)
                left = f", {_duration(pace * (self.totals[name] - done))} left"
            words = f", {note}" if note else ""
            print(f"[{done}/{self.totals[name]}] {name}{words}{left}", file=sys.stderr, flush=True)

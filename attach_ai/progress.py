"""How far along, and how long it will still take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            speed_estimate_period=3600,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=self.total)

    def _left(self) -> str:
        if self.done == self.total:
            return ""
        seconds = (perf_counter() - self.began) / self.done * (self.total - self.done)
        minutes, seconds = divmod(round(seconds), 60)
        return f", about {minutes} min {seconds:02d} s left" if minutes else f", {seconds} s left"

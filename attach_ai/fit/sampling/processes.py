"""Chains in processes of their own, told what to do over a pipe."""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import jax

from attach_ai.errors import InputError
from attach_ai.fit.sampling.worker import Report, Task

# What a process computes under must be what this one does.
SHARED = (
    "jax_enable_x64",
    "jax_disable_most_optimizations",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


def chains_apart(task: Task, pending: Sequence[int], processes: int | None, report: Report) -> bool:
    """Finish the pending chains of `task` in several processes; False where one will do.

    One will do for one chain, on an accelerator, which processes cannot share, and, unless
    `processes` asks for more, for a study that cannot be sent. No `__main__` guard is needed.
    """
    n = min(len(pending), processes or len(os.sched_getaffinity(0)))
    if n < 2 or jax.default_backend() != "cpu":
        return False
    parts = [replace(task, chains=tuple(pending[i::n])) for i in range(n)]
    sent = [_pickled(part, asked=processes is not None) for part in parts]
    if None in sent:
        return False
    heard: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    started: list[subprocess.Popen] = []
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in parts]
        stack.callback(_end, started)
        for i, data in enumerate(sent):
            assert data is not None
            child = subprocess.Popen(
                [sys.executable, "-m", "attach_ai.fit.sampling.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=logs[i],
                env=_environment(),
            )
            started.append(child)
            Thread(target=_talk, args=(i, child, data, heard), daemon=True).start()
        _listen(started, heard, report, task.folder, logs)
    return True


def _end(started: Sequence[subprocess.Popen]) -> None:
    for child in started:
        if child.poll() is None:
            child.terminate()
        child.wait()


def _pickled(task: Task, asked: bool) -> bytes | None:
    """The task as bytes; None where it cannot be sent and nobody insists."""
    what = task.study if isinstance(task.study, type) or callable(task.study) else type(task.study)
    try:
        if getattr(what, "__module__", "") == "__main__":
            raise pickle.PicklingError("it was defined in the script that runs")
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if not asked:
            return None
        raise InputError(
            f"the study cannot be sent to another process ({error}); use processes=1, or give a "
            "function of an imported module that builds it",
            "fit",
        ) from error


def _environment() -> dict[str, str]:
    values = jax.config.values
    shared = {name.upper(): str(values[name]) for name in SHARED if values.get(name) is not None}
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    # One chain, one core: threads of one chain would only wait for those of another.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    return {**os.environ, **shared, "PYTHONPATH": path, "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1"}


def _talk(
    i: int,
    child: subprocess.Popen,
    data: bytes,
    heard: queue.Queue[tuple[int, dict[str, Any] | None]],
) -> None:
    """Give a process its task and pass on what it says; None when it falls silent."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(data)
        child.stdin.close()
    except OSError:
        pass  # it ended early; its exit code says why
    with child.stdout as lines:
        for line in lines:
            heard.put((i, json.loads(line)))
    heard.put((i, None))


def _listen(
    started: Sequence[subprocess.Popen],
    heard: queue.Queue[tuple[int, dict[str, Any] | None]],
    report: Report,
    folder: Path,
    logs: Sequence[Any],
) -> None:
    talking = set(range(len(started)))
    while talking:
        i, said = heard.get()
        if said is None:
            talking.discard(i)
            code = started[i].wait()
            if code < 0:
                raise InputError(
                    f"a process of the fit was killed by signal {-code}; what it drew is kept, and "
                    "the same call goes on from there",
                    str(folder),
                )
            if code:
                logs[i].seek(0)
                raise RuntimeError(logs[i].read().decode(errors="replace"))
        elif "error" in said:
            raise InputError(said["error"])
        elif "crash" in said:
            raise RuntimeError(f"in a process of the fit:\n{said['crash']}")
        else:
            report(said["chain"], said["at"], said["divergences"])

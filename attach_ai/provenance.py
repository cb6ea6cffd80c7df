"""Where a result came from: versions, inputs, machine, date."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attach_ai import __version__

PACKAGES = ("jax", "numpy", "inferactively-pymdp")


def provenance(root: Path, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """What stands beside a result's own inputs: versions, the commit of `root`, machine, date."""
    return {
        "version": __version__,
        "commit": _commit(root),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def machine() -> str:
    """The hardware in one line, without the machine's name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {_processor()}, {platform.system()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit(root: Path) -> str | None:
    """The commit, with `+` if files have changed since; None outside git."""
    try:
        run = ["git", "-C", str(root)]
        head = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run([*run, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")

"""Many lives at once: chunks that fit the cache, spread over the cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

# Measured on two cores (docs/decisions.md): past about 128 minds a chunk's beliefs and tables fall
# out of the cache, and one chunk per core beats one batch over both.
CHUNK = 128


def in_chunks(fn: Callable[[Any], Any], batch: Any, *, chunk: int = CHUNK) -> Any:
    """`fn(batch)` piece by piece: leaves of `batch` and of the result lead with the batch axis.

    `fn` should be jitted and already mapped over its batch; it runs in one thread per core, each on
    its own chunk (XLA releases the interpreter lock). The last chunk is padded, so that `fn`
    compiles once; results come back as NumPy arrays and do not depend on `chunk`.
    """
    n = jax.tree.leaves(batch)[0].shape[0]
    workers = os.cpu_count() or 1
    size = max(1, min(chunk, -(-n // workers)))

    def piece(start: int) -> Any:
        index = np.minimum(np.arange(start, start + size), n - 1)
        part = jax.tree.map(lambda x: x[index], batch)
        return jax.tree.map(np.asarray, fn(part))

    starts = range(0, n, size)
    if len(starts) == 1:
        parts = [piece(0)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(piece, starts))
    return jax.tree.map(lambda *x: np.concatenate(x)[:n], *parts)

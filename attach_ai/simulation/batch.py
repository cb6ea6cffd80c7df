"""Many lives at once: chunks that fit the cache, spread over the cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
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
    if size >= n:
        return jax.tree.map(np.asarray, fn(batch))
    # NumPy slices are views; slicing many JAX arrays would cost more than living.
    batch = jax.tree.map(_as_numpy, batch)

    def piece(start: int) -> Any:
        if start + size <= n:
            part = jax.tree.map(lambda x: x[start : start + size], batch)
        else:
            index = np.minimum(np.arange(start, start + size), n - 1)
            part = jax.tree.map(lambda x: x[index], batch)
        return jax.tree.map(np.asarray, fn(part))

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(piece, range(0, n, size)))
    return jax.tree.map(lambda *x: np.concatenate(x)[:n], *parts)


def _as_numpy(x: Any) -> Any:
    """Without a copy; random keys have no NumPy form and stay."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)

"""Every test computes in double precision and with no silent promotion of dtype or rank."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

# Compiled functions are kept between runs, in a folder that pytest already has and git ignores.
CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"


def pytest_configure(config: pytest.Config) -> None:
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    # Tests compile much and run little.
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(CACHE))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(autouse=True, scope="module")
def _let_go_of_what_was_compiled() -> Iterator[None]:
    """Each compiled function holds memory maps, of which a process may have some 65,000."""
    yield
    jax.clear_caches()

"""The inner half of the world: outcomes that the mind itself feeds (MODEL.md, "World")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attach_ai.errors import InputError
from attach_ai.model.layout import Layout


class Inner(eqx.Module):
    """Outcomes drawn from x_t = (1 - rate) x_{t-1} + rate [gain A_m p~_t + (1 - gain) e_m].

    `rate` in (0, 1]: how fast body, self-talk and memory follow. `gain` in [0, 1]: how much they
    follow the held prediction A_m p~_t; 0 cuts the loop. `load`: by modality, the distribution e_m
    that comes from elsewhere (shame signals, discomfort, intrusions); a modality without one shows
    what the process itself would show. A session starts at x = e_m.

    Raises `InputError` for a rate or gain outside its range, and a load that is no distribution.
    """

    rate: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.25)
    gain: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.5)
    load: dict[str, Any] = eqx.field(default_factory=dict)

    def __init__(
        self,
        rate: float | Array = 0.25,
        gain: float | Array = 0.5,
        load: Mapping[str, Any] | None = None,
    ):
        for name, value in (("rate", rate), ("gain", gain)):
            if isinstance(value, int | float) and not 0 <= value <= 1:
                raise InputError(f"{name} is {value}; expected a number from 0 to 1", "inner loop")
        self.rate = jnp.asarray(rate, jnp.zeros(()).dtype)
        self.gain = jnp.asarray(gain, jnp.zeros(()).dtype)
        self.load = {k: jnp.asarray(v, jnp.zeros(()).dtype) for k, v in (load or {}).items()}
        for name, e in self.load.items():
            if not isinstance(e, jax.core.Tracer) and not (
                abs(e.sum() - 1) < 1e-4 and (e >= 0).all()
            ):
                raise InputError(f"load on '{name}' is {e}; expected a distribution", "inner loop")

    def follow(
        self, x: Float[Array, " outcome"], predicted: Array, elsewhere: Array
    ) -> Float[Array, " outcome"]:
        """One step of the loop."""
        target = self.gain * predicted + (1 - self.gain) * elsewhere
        return (1 - self.rate) * x + self.rate * target

    def check(self, layout: Layout) -> None:
        """`InputError` if a load names no inner modality, or has another number of outcomes."""
        for name, e in self.load.items():
            inner = [m.name for m in layout.modalities if m.inner]
            if name not in inner:
                raise InputError(f"'{name}' is not an inner modality ({', '.join(inner)})", "load")
            n = len(layout.modalities[layout.modality(name)].levels)
            if e.shape != (n,):
                raise InputError(f"load on '{name}' has shape {e.shape}; expected ({n},)", "load")

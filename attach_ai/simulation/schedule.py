"""Which days are practised: sessions, rest days between them, and the day it stops."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.model.practice import Practice


class Days(eqx.Module):
    """What each session is, 1 or 0 along (session,): three things that a practice does at once.

    `practised`: its operators act. `guided`: choice is restricted as it says. `taught`: what
    happens is learned from. `rest`: how many rest days follow, further boundaries with retention
    alone.
    """

    practised: Float[Array, " session"]
    guided: Float[Array, " session"]
    taught: Float[Array, " session"]
    rest: Float[Array, " session"]


def days(practice: Practice, n_sessions: int) -> Days:
    """The calendar of a practice over `n_sessions` sessions.

    After `stop_after` sessions the remaining ones are rest days in full: life goes on, without
    operators and without evidence being counted, and no further days lie between them.
    """
    schedule = practice.schedule
    stop = n_sessions if schedule.stop_after is None else schedule.stop_after
    practised = np.arange(n_sessions) < stop
    week_end = (np.arange(n_sessions) + 1) % schedule.days_on == 0
    rest = np.where(week_end & practised, schedule.days_off, 0)
    dtype = jnp.zeros(()).dtype
    on = jnp.asarray(practised, dtype)
    return Days(practised=on, guided=on, taught=on, rest=jnp.asarray(rest, dtype))

"""The arrays of a discrete partially observed Markov decision process, over named axes."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, Float

from attach_ai.model.layout import Layout


class POMDP(eqx.Module):
    """A mind's beliefs about its world, or the world itself.

    Shapes (levels of an axis are those of the named thing, in the order of `layout`):

    - `A[m]`: (outcome, *states of the modality's parents*); sums to one over outcomes.
    - `B[f]`: (next level, *previous levels of the factor's parents*, *its actions*); sums to one
      over next levels.
    - `C[m]`: (outcome,), unnormalised log preference, in nats.
    - `D[f]`: (level,), where a session starts.
    - `E[a]`: (choice,), habit; sums to one.
    - `counts`: strength of the prior, in observations, of tables that may be learned, by name
      ("D.agents").
    """

    A: tuple[Float[Array, "..."], ...]
    B: tuple[Float[Array, "..."], ...]
    C: tuple[Float[Array, " outcome"], ...]
    D: tuple[Float[Array, " level"], ...]
    E: tuple[Float[Array, " choice"], ...]
    counts: dict[str, Float[Array, ""]]
    layout: Layout = eqx.field(static=True)

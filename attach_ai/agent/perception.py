"""What perception is: the interface that exact and mean-field inference share.

A *belief* is a distribution over hidden states in whatever form the method keeps it (one joint
array, or one array per factor). A *state* is what the method carries from step to step: at least
the belief expected before the next outcome. Everything here is for one mind; `jax.vmap` makes many.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attach_ai.model.pomdp import POMDP

State = Any
Tables = Any
Belief_ = Any  # a belief in the perception's own form
Index = Int[Array, ""] | int
# The index of a joint choice, or how probable each is.
Choice = Int[Array, ""] | Float[Array, " choice"]
# One level index per modality (-1: unseen); or, of each modality, the share of each level: what is
# known of an outcome that nobody recorded, or the mean over a time that counts as one step.
Outcome = Int[Array, " modality"] | tuple[Float[Array, " outcome"], ...]


class Evidence(eqx.Module):
    """How well an outcome was expected, in nats (lower is better).

    `vfe` = `complexity` - `accuracy`. Under `Exact` it is -ln p(outcome | past) itself.
    """

    vfe: Float[Array, ""]
    complexity: Float[Array, ""]
    accuracy: Float[Array, ""]


class AbstractPerception(eqx.Module):
    """From outcomes to beliefs."""

    @abstractmethod
    def prepare(self, pomdp: POMDP) -> Tables:
        """What can be computed once for given A and B (D, C and E are not read)."""

    @abstractmethod
    def begin(self, tables: Tables, D: tuple[Float[Array, " level"], ...]) -> State:
        """The state before the first outcome of a session: the product of `D`."""

    @abstractmethod
    def expect(self, tables: Tables, state: State) -> Belief_:
        """What is believed before the next outcome (p_t in MODEL's notation)."""

    @abstractmethod
    def believe(self, tables: Tables, state: State, belief: Belief_) -> State:
        """The state with another expectation put in its place."""

    @abstractmethod
    def update(
        self,
        tables: Tables,
        state: State,
        context: Index,
        outcome: Outcome,
        which: tuple[int, ...] | None = None,
        precision: Float[Array, " modality"] | None = None,
    ) -> tuple[State, Belief_, Evidence]:
        """Take in an outcome (-1: unseen, its A is skipped), or only the modalities `which`.

        Of an outcome given as shares w, A enters as the geometric mean exp(sum_o w_o ln A_o), so
        that log-odds move by what they are expected to; shares that are all zero skip it.

        With `precision` each A enters as A^precision; `Evidence` is then relative to likelihoods
        that no longer sum to one, and so no log probability.
        """

    @abstractmethod
    def forecast(self, tables: Tables, belief: Belief_, context: Index) -> Belief_:
        """What would be expected next under each choice: arrays gain a leading choice axis."""

    @abstractmethod
    def advance(self, tables: Tables, state: State, forecast: Belief_, choice: Choice) -> State:
        """The state that expects the next outcome, once a choice is made.

        Of a choice that nobody recorded the probabilities may stand in its place.
        """

    @abstractmethod
    def read(
        self, tables: Tables, belief: Belief_, factors: tuple[int, ...]
    ) -> Float[Array, "..."]:
        """Joint probability over some hidden factors, one axis each, in the order given."""

    @abstractmethod
    def marginals(self, tables: Tables, belief: Belief_) -> tuple[Float[Array, " _level"], ...]:
        """The distribution of each hidden factor, in the order of `layout.hidden`."""

    @abstractmethod
    def tilt(
        self, tables: Tables, belief: Belief_, factor: int, level: int, weight: Float[Array, ""]
    ) -> Belief_:
        """Multiply the odds of a level by exp(weight) and renormalise."""

    @abstractmethod
    def clamp(self, tables: Tables, belief: Belief_, factor: int, level: int) -> Belief_:
        """do(factor = level): all mass to the level, the other factors' marginal kept."""

    @abstractmethod
    def splice(self, tables: Tables, belief: Belief_, donor: Belief_, factor: int) -> Belief_:
        """`belief` with the marginal of one factor taken from `donor`, made independent."""

    @abstractmethod
    def divergence(self, held: Belief_, belief: Belief_) -> Float[Array, ""]:
        """KL[held || belief] in nats."""

    @abstractmethod
    def statistics(
        self,
        tables: Tables,
        beliefs: Belief_,
        choices: Int[Array, " step"],
        contexts: Int[Array, " step"],
        *,
        pairs: tuple[int, ...] = (),
        reads: tuple[tuple[int, ...], ...] = (),
        smoothed: bool = True,
    ) -> tuple[tuple[Float[Array, "..."], ...], tuple[Float[Array, "step ..."], ...]]:
        """What is believed of a session once it is over, as learning counts it.

        First the expected transition counts of each hidden factor in `pairs`, shaped like its B;
        then, for each set of hidden factors in `reads`, their joint probability at every step, axes
        as in `read`. `beliefs` are the filtered beliefs of all steps (leading step axis);
        `choices[t]` leads from step t to t + 1. `smoothed`: given the whole session's outcomes,
        where the method can look back; otherwise given those up to the step (of a pair, the later).
        """


def entropy(p: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """Shannon entropy in nats along an axis; 0 ln 0 = 0, with a finite gradient."""
    return -jnp.sum(p * jnp.log(jnp.where(p > 0, p, 1.0)), axis=axis)


def kl(p: Float[Array, " level"], q: Float[Array, " level"]) -> Float[Array, ""]:
    """KL[p || q] in nats; infinite where p holds possible what q does not."""
    ratio = jnp.where(p > 0, p, 1.0) / jnp.where(q > 0, q, 1.0)
    beyond = jnp.any((p > 0) & (q <= 0))
    return jnp.where(beyond, jnp.inf, jnp.sum(p * jnp.log(ratio)))

"""Latent-cause memory: which past does the present belong to, and may that past be rewritten?

After Gershman, Monfils, Norman and Niv (2017, eLife 6:e23763). Every trial has one hidden cause.
Before trial t, at time tau_t, with z the causes of earlier trials,

    P(z_t = k)  proportional to  sum_{t' < t} K(tau_t - tau_t') 1[z_t' = k],     a new cause: alpha,

with K(d) = max(d, 1)^-exponent (a power law in time; exponent 0: the Chinese-restaurant process).
Each cause keeps Dirichlet counts over the outcomes of every modality and starts from one base
measure. A trial is assigned to the cause of highest posterior, as in the authors' own local MAP
rule, and only that cause learns: an old memory changes only if old and new share a cause, and
how many causes there are is a whole number. The price is that early assignments are never revised.

Where this departs from the paper: outcomes are categorical, not Gaussian; counts stand in place of
a delta rule; learning too goes to the assigned cause alone, where the paper weighs it by the
posterior; and a trial is taken in once, where the paper iterates up to three times in the interval
before the next one. *Lability* is an addition: with a finite `window` a cause learns only that
long after it was opened or retrieved. With `window = inf` timing acts through K alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attach_ai.errors import InputError
from attach_ai.model.layout import Layout

PLACE = "memory"
Time = Float[Array, ""] | float
Outcome = Int[Array, " modality"]


def _number(name: str, high: float = inf, finite: bool = True) -> Callable[[Any], Array]:
    """A converter that refuses a plain number outside [0, high]; arrays pass as they are."""

    def convert(value: Any) -> Array:
        plain = isinstance(value, int | float)
        # Written so that a NaN is refused as well.
        if plain and not (0 <= value <= high and (value < inf or not finite)):
            kind = "a finite number" if finite else "a number"
            expected = f"{kind}, 0 or more" if high == inf else f"{kind} from 0 to {high:g}"
            raise InputError(f"{name} is {value:g}; expected {expected}", PLACE)
        return jnp.asarray(value, jnp.result_type(float))

    return convert


def _arrays(base: Iterable[Any]) -> tuple[Array, ...]:
    return tuple(jnp.asarray(b, jnp.result_type(float)) for b in base)


class Memory(eqx.Module):
    """What is remembered.

    `counts[m]`: (cause, outcome), in observations, the base measure included. `opened`: how many
    causes there are; they fill the slots from the first. `until`: time before which each cause may
    still be rewritten. `time`, `cause`: when each trial was, and its cause (-1: no trial yet);
    `trials`: how many there were.
    """

    counts: tuple[Float[Array, "cause outcome"], ...]
    opened: Int[Array, ""]
    until: Float[Array, " cause"]
    time: Float[Array, " trial"]
    cause: Int[Array, " trial"]
    trials: Int[Array, ""]


class LatentCauses(eqx.Module):
    """The rules of a memory; what it holds is a `Memory`. All methods can be jitted and mapped.

    `base[m]`: counts over the outcomes of a modality that every cause starts from, all positive
    (`flat_base`). `alpha`: weight of a new cause, in trials one step old. `exponent`: how fast
    trials lose weight with time. `window`: for how many steps a cause stays open to change after it
    was opened or retrieved (0: once written it never changes). `eta`, `retention`: a trial
    makes d = retention d + (1 - retention) base + eta 1[outcome] of the cause's counts (1 and 1:
    plain counting). At most `max_causes` causes are kept, beyond which every trial
    is assimilated, and the last `max_trials` trials.

    `InputError` for plain numbers out of range: alpha, exponent, window or eta below zero, alpha or
    exponent not finite, retention outside [0, 1].
    """

    base: tuple[Float[Array, " outcome"], ...] = eqx.field(converter=_arrays)
    alpha: Float[Array, ""] = eqx.field(converter=_number("alpha"), default=0.1)
    exponent: Float[Array, ""] = eqx.field(converter=_number("exponent"), default=1.0)
    window: Float[Array, ""] = eqx.field(converter=_number("window", finite=False), default=inf)
    eta: Float[Array, ""] = eqx.field(converter=_number("eta"), default=1.0)
    retention: Float[Array, ""] = eqx.field(converter=_number("retention", high=1.0), default=1.0)
    max_causes: int = eqx.field(static=True, default=8)
    max_trials: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        for name in ("max_causes", "max_trials"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected 1 or more", PLACE)

    def init(self) -> Memory:
        """A memory of nothing."""
        dtype = self.alpha.dtype
        return Memory(
            counts=tuple(jnp.tile(b, (self.max_causes, 1)) for b in self.base),
            opened=jnp.zeros((), int),
            until=jnp.full(self.max_causes, -inf, dtype),
            time=jnp.zeros(self.max_trials, dtype),
            cause=jnp.full(self.max_trials, -1),
            trials=jnp.zeros((), int),
        )

    def prior(self, memory: Memory, time: Time, fresh: bool = True) -> Float[Array, " cause"]:
        """P(cause of a trial at `time`) before anything is seen.

        The slot numbered `memory.opened` stands for a new cause; those behind it are zero.
        `fresh=False` leaves the new cause out (all zero if there is no other).
        """
        slots = jnp.arange(self.max_causes)
        passed = jnp.maximum(time - memory.time, 1.0)
        belongs = memory.cause[:, None] == slots[None]
        old = jnp.sum(jnp.where(belongs, passed[:, None] ** -self.exponent, 0.0), axis=0)
        if not fresh:
            return _normalise(old)
        # The first trial opens a cause whatever alpha is.
        new = jnp.where(memory.opened == 0, 1.0, self.alpha)
        return _normalise(jnp.where(slots == memory.opened, new, old))

    def posterior(
        self, memory: Memory, time: Time, outcome: Outcome, fresh: bool = True
    ) -> tuple[Float[Array, " cause"], Float[Array, ""]]:
        """P(cause | outcome), and the outcome's surprise -ln P(outcome) in nats (-1: not seen).

        Both given the causes of all earlier trials. Raises `InputError` for another number of
        modalities.
        """
        joint = self.prior(memory, time, fresh) * self._likelihood(memory, outcome)
        evidence = joint.sum()
        return _normalise(joint), -jnp.log(jnp.where(evidence > 0, evidence, 1.0))

    def observe(
        self, memory: Memory, time: Time, outcome: Outcome
    ) -> tuple[Memory, Float[Array, " cause"], Float[Array, ""]]:
        """Take in one trial: memory after it, P(cause | outcome) and surprise in nats.

        The trial joins the most probable cause (the older one of two alike), which may be new, and
        that cause's counts are rewritten if it is open to change.
        """
        posterior, surprise = self.posterior(memory, time, outcome)
        k = jnp.argmax(posterior)
        new = k == memory.opened
        chosen = jnp.arange(self.max_causes) == k
        writes = chosen & (new | (time < memory.until))
        counts = tuple(
            self._rewritten(c, b, writes, o)
            for c, b, o in zip(memory.counts, self.base, outcome, strict=True)
        )
        until = jnp.where(chosen & new, time + self.window, memory.until)
        opened = memory.opened + new.astype(memory.opened.dtype)
        return self._recorded(memory, time, k, counts, opened, until), posterior, surprise

    def retrieve(
        self, memory: Memory, time: Time, cue: Outcome
    ) -> tuple[Memory, Float[Array, " cause"]]:
        """Be reminded: memory after it, and P(cause | cue) over the causes there are.

        The most probable one is active again, which counts as a trial of it in the prior, and is
        open to change for `window` steps. No counts change, and no cause is opened; in an empty
        memory nothing happens.
        """
        posterior, _ = self.posterior(memory, time, cue, fresh=False)
        k = jnp.argmax(posterior)
        until = jnp.where(jnp.arange(self.max_causes) == k, time + self.window, memory.until)
        after = self._recorded(memory, time, k, memory.counts, memory.opened, until)
        some = memory.opened > 0
        return jax.tree.map(lambda a, b: jnp.where(some, a, b), after, memory), posterior

    def predict(
        self, memory: Memory, time: Time, seen: Outcome, fresh: bool = True
    ) -> tuple[Float[Array, " outcome"], ...]:
        """P(outcome of each modality | what is seen of the trial; -1: not seen), memory unchanged.

        `fresh=False` asks what is remembered: it leaves out that the trial may have a new cause.
        """
        posterior, _ = self.posterior(memory, time, seen, fresh)
        return tuple(posterior @ _means(c) for c in memory.counts)

    def _likelihood(self, memory: Memory, outcome: Outcome) -> Float[Array, " cause"]:
        if outcome.shape != (len(self.base),):
            raise InputError(
                f"an outcome has shape {outcome.shape}; expected one entry for each of "
                f"{len(self.base)} modalities",
                PLACE,
            )
        likelihood = jnp.ones(self.max_causes, self.alpha.dtype)
        for c, o in zip(memory.counts, outcome, strict=True):
            likelihood = likelihood * jnp.where(o >= 0, _means(c)[:, jnp.maximum(o, 0)], 1.0)
        return likelihood

    def _rewritten(
        self, counts: Array, base: Array, writes: Bool[Array, " cause"], o: Int[Array, ""]
    ) -> Float[Array, "cause outcome"]:
        """What was not seen is not rewritten either."""
        seen = (jnp.arange(counts.shape[1]) == o).astype(counts.dtype)
        after = self.retention * counts + ((1.0 - self.retention) * base + self.eta * seen)[None]
        return jnp.where((writes & (o >= 0))[:, None], after, counts)

    def _recorded(
        self,
        memory: Memory,
        time: Time,
        k: Int[Array, ""],
        counts: tuple[Array, ...],
        opened: Array,
        until: Array,
    ) -> Memory:
        at = memory.trials % self.max_trials  # the oldest trial, which weighs least, gives way
        return Memory(
            counts=counts,
            opened=opened,
            until=until,
            time=memory.time.at[at].set(jnp.asarray(time, memory.time.dtype)),
            cause=memory.cause.at[at].set(k.astype(memory.cause.dtype)),
            trials=memory.trials + 1,
        )


def flat_base(
    layout: Layout, strength: Float[Array, ""] | float = 1.0, modalities: tuple[str, ...] = ()
) -> tuple[Float[Array, " outcome"], ...]:
    """A base measure that holds every outcome equally likely, `strength` observations a modality.

    For all modalities of a layout, or those named. `InputError` for an unknown name, or for a plain
    strength that is not positive (an outcome without any count could never be learned from).
    """
    if isinstance(strength, int | float) and not 0 < strength < inf:
        raise InputError(f"strength is {strength:g}; expected a positive number", PLACE)
    sizes = {m.name: len(m.levels) for m in layout.modalities}
    unknown = [name for name in modalities if name not in sizes]
    if unknown:
        known = ", ".join(sizes)
        raise InputError(f"no modality is called '{unknown[0]}'; there are {known}", PLACE)
    share = jnp.asarray(strength, jnp.result_type(float))
    return tuple(
        jnp.full(sizes[name], 1.0, share.dtype) * share / sizes[name]
        for name in modalities or sizes
    )


def _means(counts: Float[Array, "cause outcome"]) -> Float[Array, "cause outcome"]:
    return counts / counts.sum(1, keepdims=True)


def _normalise(weights: Float[Array, " cause"]) -> Float[Array, " cause"]:
    total = weights.sum()
    return weights / jnp.where(total > 0, total, 1.0)

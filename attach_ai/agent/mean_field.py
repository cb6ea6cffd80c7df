"""Mean-field inference: one marginal per factor, by pymdp's own variational algorithms.

Nothing variational is written here: beliefs come from `pymdp.inference.update_posterior_states`,
predictions from `pymdp.control.compute_expected_state`. Source: Heins et al. 2022, pymdp (JOSS 7,
4098), version 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.agent.perception import (
    AbstractPerception,
    Choice,
    Evidence,
    Index,
    Outcome,
    kl,
)
from attach_ai.agent.slicing import select, spread_counts
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.model.pomdp import POMDP

Marginals = tuple[Float[Array, " level"], ...]
DEFAULT_WINDOW = 8


class MeanFieldTables(eqx.Module):
    """A and B as pymdp reads them; see `pymdp_transitions` for B."""

    A: tuple[Float[Array, "..."], ...]
    B: tuple[Float[Array, "..."], ...]
    A_dependencies: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    B_dependencies: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    controls: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)


class Window(eqx.Module):
    """What the windowed algorithms carry: the last few steps of a session.

    `outcomes`: (step, modality), -1 where nothing was seen; the last row awaits the next outcome.
    `controls`: (step - 1, factor), -1 before the session. `valid`: how many rows belong to it.
    `prior`: marginals at the first of them. `beliefs[f]`: (step, level), after the last outcome.
    `expected`: marginals expected at the next outcome.
    """

    outcomes: Int[Array, "step modality"]
    controls: Int[Array, "transition factor"]
    valid: Int[Array, ""]
    prior: Marginals
    beliefs: tuple[Float[Array, "step level"], ...]
    expected: Marginals


State = Marginals | Window


class MeanField(AbstractPerception):
    """Variational inference with q(s) the product of q(s_f). A belief is a tuple of marginals.

    `algorithm`: "fpi", fixed-point iteration on the last outcome, the past entering as an empirical
    prior; "vmp" or "mmp", variational or marginal message passing over the last `window` steps
    (8 unless told). `n_iter`: iterations an outcome. Known factors have marginals like the others.
    Under "vmp" and "mmp" `Evidence` is the last step's share of the window's free energy.
    Raises `InputError` for an algorithm, iteration count or window that makes no sense.
    """

    algorithm: Literal["fpi", "vmp", "mmp"] = eqx.field(static=True, default="fpi")
    n_iter: int = eqx.field(static=True, default=16)
    window: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        place = "MeanField"
        if self.algorithm not in ("fpi", "vmp", "mmp"):
            raise InputError(f"algorithm is '{self.algorithm}'; expected fpi, vmp or mmp", place)
        if self.n_iter < 1:
            raise InputError(f"n_iter is {self.n_iter}; expected at least 1", place)
        if self.algorithm == "fpi" and self.window is not None:
            raise InputError("fpi looks at one outcome at a time and takes no window", place)
        if self.window is not None and self.window < 2:
            raise InputError(f"window is {self.window}; expected at least 2 steps", place)

    def prepare(self, pomdp: POMDP) -> MeanFieldTables:
        B, B_dependencies = pymdp_transitions(pomdp)
        return MeanFieldTables(
            A=tuple(pomdp.A),
            B=B,
            A_dependencies=tuple(m.parents for m in pomdp.layout.modalities),
            B_dependencies=B_dependencies,
            controls=pymdp_controls(pomdp.layout),
            layout=pomdp.layout,
        )

    def begin(self, tables: MeanFieldTables, D: Marginals) -> State:
        if self.algorithm == "fpi":
            return tuple(D)
        steps = self.window or DEFAULT_WINDOW
        return Window(
            outcomes=jnp.full((steps, len(tables.A)), -1, jnp.int32),
            controls=jnp.full((steps - 1, len(tables.B)), -1, jnp.int32),
            valid=jnp.ones((), jnp.int32),
            prior=tuple(D),
            beliefs=tuple(jnp.broadcast_to(d, (steps, *d.shape)) for d in D),
            expected=tuple(D),
        )

    def expect(self, tables: MeanFieldTables, state: State) -> Marginals:
        return state.expected if isinstance(state, Window) else state

    def believe(self, tables: MeanFieldTables, state: State, belief: Marginals) -> State:
        if isinstance(state, Window):
            raise InputError(
                "a clamp or a condition replaces what is expected next, which "
                f"{self.algorithm} derives from its window; use MeanField('fpi') or Exact()",
                "MeanField",
            )
        return belief

    def update(
        self,
        tables: MeanFieldTables,
        state: State,
        context: Index,
        outcome: Outcome,
        which: tuple[int, ...] | None = None,
        precision: Float[Array, " modality"] | None = None,
    ) -> tuple[State, Marginals, Evidence]:
        if isinstance(outcome, tuple):
            raise InputError("outcomes come as levels here; only Exact() takes shares", "MeanField")
        if which is not None:
            outcome = jnp.where(np.isin(np.arange(len(tables.A)), which), outcome, -1)
        if not isinstance(state, Window):
            beliefs, evidence = self._infer(tables, outcome, state, precision)
            posterior = tuple(q[-1] for q in beliefs)
            return posterior, posterior, evidence
        if precision is not None:
            raise InputError(
                f"a change of precision weighs one outcome at a time, and {self.algorithm} takes "
                "in its window anew at every step; use MeanField('fpi') or Exact()",
                "MeanField",
            )
        outcomes = jnp.concatenate([state.outcomes[:-1], outcome.astype(jnp.int32)[None]])
        beliefs, evidence = self._infer(
            tables,
            outcomes,
            state.prior,
            past_actions=state.controls,
            valid_steps=state.valid,
        )
        state = eqx.tree_at(lambda s: (s.outcomes, s.beliefs), state, (outcomes, beliefs))
        return state, tuple(q[-1] for q in beliefs), evidence

    def _infer(
        self,
        tables: MeanFieldTables,
        outcomes: Array,
        prior: Marginals,
        precision: Float[Array, " modality"] | None = None,
        **window: Array,
    ) -> tuple[tuple[Float[Array, "step level"], ...], Evidence]:
        """pymdp's posterior over one step or a window, and the last step's free energy."""
        from pymdp.inference import update_posterior_states

        dtype = prior[0].dtype
        # A row of zeros carries no evidence: that is how pymdp sees an outcome of -1.
        seen = [
            jax.nn.one_hot(outcomes[..., m], a.shape[0], dtype=dtype)
            for m, a in enumerate(tables.A)
        ]
        if precision is not None:
            # pymdp's log-likelihood is linear in what was seen: half a one is half the evidence.
            seen = [row * precision[m] for m, row in enumerate(seen)]
        with _as_pymdp_expects():
            beliefs, info = update_posterior_states(
                list(tables.A),
                list(tables.B),
                seen,
                window.pop("past_actions", None),
                prior=list(prior),
                A_dependencies=[list(d) for d in tables.A_dependencies],
                B_dependencies=[list(d) for d in tables.B_dependencies],
                num_iter=self.n_iter,
                method=self.algorithm,
                return_info=True,
                **window,
            )
        part = info["vfe_components"]
        vfe, accuracy = (jnp.atleast_1d(x)[-1] for x in (info["vfe_t"], part["accuracy_t"]))
        evidence = Evidence(vfe=vfe, complexity=vfe + accuracy, accuracy=accuracy)
        # pymdp takes no probability for less than 1e-16; what is switched off stays at zero.
        factors = tables.layout.factors
        beliefs = [
            q.at[..., f.excluded].set(0) if f.excluded else q
            for q, f in zip(beliefs, factors, strict=True)
        ]
        return tuple(beliefs), evidence

    def forecast(self, tables: MeanFieldTables, belief: Marginals, context: Index) -> Marginals:
        ahead = [_expected(tables, belief, u) for u in tables.controls]
        return tuple(jnp.stack(qs) for qs in zip(*ahead, strict=True))

    def advance(
        self, tables: MeanFieldTables, state: State, forecast: Marginals, choice: Choice
    ) -> State:
        if choice.ndim:
            raise InputError("choices come as indices here; only Exact() takes shares", "MeanField")
        expected = tuple(select(q, choice) for q in forecast)
        if not isinstance(state, Window):
            return expected
        steps = state.outcomes.shape[0]
        # A full window loses its first step, whose belief moves on to become the next prior.
        moved = _expected(
            tables, tuple(q[0] for q in state.beliefs), jnp.maximum(state.controls[0], 0)
        )
        full = state.valid == steps
        chosen = select(jnp.asarray(tables.controls, jnp.int32), choice)
        unseen = jnp.full_like(state.outcomes[:1], -1)
        return Window(
            outcomes=jnp.concatenate([state.outcomes[1:], unseen]),
            controls=jnp.concatenate([state.controls[1:], chosen[None]]),
            valid=jnp.minimum(state.valid + 1, steps),
            prior=tuple(jnp.where(full, a, b) for a, b in zip(moved, state.prior, strict=True)),
            beliefs=state.beliefs,
            expected=expected,
        )

    def read(
        self, tables: MeanFieldTables, belief: Marginals, factors: tuple[int, ...]
    ) -> Float[Array, "..."]:
        joint = jnp.ones((), belief[0].dtype)
        for f in factors:
            joint = jnp.multiply.outer(joint, belief[f])
        return joint

    def marginals(self, tables: MeanFieldTables, belief: Marginals) -> Marginals:
        return tuple(belief[f] for f in tables.layout.hidden)

    def tilt(
        self, tables: MeanFieldTables, belief: Marginals, factor: int, level: int, weight: Array
    ) -> Marginals:
        at = np.arange(belief[factor].shape[0]) == level
        q = belief[factor] * jnp.where(at, jnp.exp(weight), 1.0)
        return _replace(belief, factor, q / q.sum())

    def clamp(
        self, tables: MeanFieldTables, belief: Marginals, factor: int, level: int
    ) -> Marginals:
        at = jnp.arange(belief[factor].shape[0]) == level
        return _replace(belief, factor, at.astype(belief[factor].dtype))

    def splice(
        self, tables: MeanFieldTables, belief: Marginals, donor: Marginals, factor: int
    ) -> Marginals:
        return _replace(belief, factor, donor[factor])

    def divergence(self, held: Marginals, belief: Marginals) -> Float[Array, ""]:
        terms = [kl(p, q) for p, q in zip(held, belief, strict=True)]
        return jnp.sum(jnp.stack(terms))

    def statistics(
        self,
        tables: MeanFieldTables,
        beliefs: tuple[Float[Array, "step level"], ...],
        choices: Int[Array, " step"],
        contexts: Int[Array, " step"],
        *,
        pairs: tuple[int, ...] = (),
        reads: tuple[tuple[int, ...], ...] = (),
        smoothed: bool = True,
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Products of filtered marginals, as pymdp counts them, `smoothed` or not.

        Of a pair, the marginals at t + 1 and at t: what B itself says of the two is left out.
        """
        layout = tables.layout
        outer = jax.vmap(jnp.multiply.outer)
        counts = []
        for f in pairs:
            spec, pair = layout.factors[f], beliefs[f][1:]
            for p in spec.parents:
                if p in layout.hidden:
                    pair = outer(pair, beliefs[p][:-1])
            counts.append(
                spread_counts(layout, spec.parents, pair, contexts[:-1], spec.actions, choices[:-1])
            )
        return tuple(counts), jax.vmap(lambda q: tuple(self.read(tables, q, r) for r in reads))(
            beliefs
        )


def pymdp_transitions(
    pomdp: POMDP,
) -> tuple[tuple[Float[Array, "..."], ...], tuple[tuple[int, ...], ...]]:
    """B as pymdp wants it, and the factors that each reads (B_dependencies).

    B[f]: (next level, *levels of the factors it reads, control). One control axis stands for all
    actions that the factor reads (last fastest), of length one where it reads none; a factor that
    does not read itself gains itself as a last parent that makes no difference.
    """
    tables, dependencies = [], []
    for f, (b, factor) in enumerate(zip(pomdp.B, pomdp.layout.factors, strict=True)):
        parents, shape = factor.parents, b.shape[: len(factor.parents) + 1]
        b = b.reshape(*shape, -1)
        if f not in parents:
            parents = (*parents, f)
            b = jnp.broadcast_to(b[..., None, :], (*shape, len(factor.levels), b.shape[-1]))
        tables.append(b)
        dependencies.append(parents)
    return tuple(tables), tuple(dependencies)


def pymdp_controls(layout: Layout) -> tuple[tuple[int, ...], ...]:
    """For each of `layout.choices`, the index on every factor's control axis."""
    sizes = [len(a.levels) for a in layout.actions]

    def control(choice: tuple[int, ...], actions: tuple[int, ...]) -> int:
        index = 0
        for a in actions:
            index = index * sizes[a] + choice[a]
        return index

    return tuple(tuple(control(u, f.actions) for f in layout.factors) for u in layout.choices)


def _expected(
    tables: MeanFieldTables, belief: Marginals, control: tuple[int, ...] | Array
) -> Marginals:
    """Marginals one step on under one control per factor."""
    from pymdp.control import compute_expected_state

    with _as_pymdp_expects():
        return tuple(
            compute_expected_state(
                list(belief), list(tables.B), control, [list(d) for d in tables.B_dependencies]
            )
        )


@contextmanager
def _as_pymdp_expects() -> Iterator[None]:
    """pymdp relies on JAX's default promotion, whatever stricter rules its caller has set."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _replace(belief: Marginals, factor: int, q: Float[Array, " level"]) -> Marginals:
    return (*belief[:factor], q, *belief[factor + 1 :])

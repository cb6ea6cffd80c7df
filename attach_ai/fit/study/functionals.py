"""What answers read off a course of beliefs: functionals compiled for a model.

Each comes on the scale in which answers are taken to be linear. With q_t the unheld belief over
hidden states after step t (before its outcome, for `prior`), e = 1e-6, and < > the mean over the
steps of the recall frame (one step, for kinds without a window):

    now, prior, cond, window, predictive, policy    logit P,  P = <q_t(of, given)> / <q_t(given)>
    freq       1/4 logit <s_t>,  s_t = sigmoid(4 logit q_t(of | given)), a smooth 1[q_t > 1/2]
    entropy    <H[q_t(factor)]>
    valence    <v_t>,  v_t = sum_m sum_o q_t(o_m) C_m(o)
    freq of valence    as freq, with v_t - v' for the logit, v' that of equally likely hidden states
    param      logit of a share; any other number as it is

with logit P = ln (P + e) - ln (1 - P + e). To `given`, e of the clamp is added, so that of what has
no mass one reads what it would be. `freq` asks how often, not how much; of a belief that does not
move it is what `now` is. Valence and entropy are in nats, all else is a logit. Where an outcome
depends on what is done, choices are weighed as the plan weighs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.agent import Agent
from attach_ai.agent.exact import Exact
from attach_ai.agent.perception import entropy
from attach_ai.agent.planning import Habit
from attach_ai.agent.slicing import likelihood_by_context
from attach_ai.errors import InputError
from attach_ai.fit.study.course import Course
from attach_ai.model.functional import Functional
from attach_ai.model.layout import Layout
from attach_ai.model.model import Model
from attach_ai.model.pomdp import POMDP
from attach_ai.model.rows import When

EDGE = 1e-6  # probability added to either side of a logit, which so ends at about 14 either way
SHARPNESS = 4.0  # how sharply `freq` tells the likelier from the less likely
NOTHING = 1e-30  # keeps a logarithm finite where a float has come to zero


class Readings(eqx.Module):
    """Several functionals of one life at once; `readings` makes them, `jax.vmap` reads many lives.

    `units`: of each, "probability", "share of days", "nats", or "" (a parameter as it is).
    """

    functionals: tuple[Functional, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    step_length: float = eqx.field(static=True)
    agent: Agent

    def __call__(
        self,
        pomdp: POMDP,
        values: Mapping[str, Any],
        course: Course,
        at: Int[Array, " occasion"],
    ) -> Float[Array, "occasion reading"]:
        """Readings at some steps of one life; of a step -1 finite, and without meaning.

        `values`: the model's parameters by name, those behind `pomdp` and `course`.
        """
        n_steps, dtype = course.after.shape[0], course.after.dtype
        at = jnp.maximum(at, 0)
        frames = {n: _frame(at, n, n_steps, dtype) for n in {1, *map(self._steps, self._indices())}}
        read = self._read(pomdp, course, frames)
        found, odds = {}, []
        for i, (f, unit) in enumerate(zip(self.functionals, self.units, strict=True)):
            if f.kind == "param":
                value = jnp.asarray(f.expression.evaluate(values), dtype)
                value = jnp.log(value + EDGE) - jnp.log(1 - value + EDGE) if unit else value
                found[i] = jnp.broadcast_to(value, at.shape)
            elif f.kind == "entropy":
                steps = entropy(read[i], axis=1)
                found[i] = frames[self._steps(i)] @ steps if self._every(i) else steps
            elif f.kind == "freq":
                found[i] = _how_often(read[i], f, frames[self._steps(i)])
            elif f.valence:
                found[i] = read[i][:, 0]
            else:
                odds.append(i)
        if odds:
            both = jnp.stack([read[i] for i in odds], axis=1)
            p = both / (both.sum(-1, keepdims=True) + NOTHING)
            log = jnp.log(p + EDGE)
            found |= {i: log[:, k, 0] - log[:, k, 1] for k, i in enumerate(odds)}
        return jnp.stack([f.sign * found[i] for i, f in enumerate(self.functionals)], axis=1)

    def natural(self, theta: Float[Array, "*n reading"]) -> Float[Array, "*n reading"]:
        """Readings on scales a reader knows (`units`); of a turned one, of the opposite."""
        odds = np.array([u in ("probability", "share of days") for u in self.units])
        steep = np.where(np.array([u == "share of days" for u in self.units]), SHARPNESS, 1.0)
        lead = (1,) * (theta.ndim - 1) + (-1,)
        p = jax.nn.sigmoid(theta * jnp.asarray(steep.reshape(lead), theta.dtype))
        return jnp.where(jnp.asarray(odds.reshape(lead)), p, theta)

    def _indices(self) -> range:
        return range(len(self.functionals))

    def _steps(self, i: int) -> int:
        """Steps in the recall frame."""
        days = self.functionals[i].days
        return 1 if days is None else max(1, round(days / self.step_length))

    def _every(self, i: int) -> bool:
        """Whether each step of the frame is read by itself; else their mean is (quicker)."""
        f = self.functionals[i]
        return f.kind == "freq" or (f.kind == "entropy" and self._steps(i) > 1)

    def _read(
        self, pomdp: POMDP, course: Course, frames: Mapping[int, Array]
    ) -> dict[int, Float[Array, "row side"]]:
        """What each functional sums up, at every step or at every occasion.

        All are linear in beliefs or in the probabilities of choices, so that few products of
        matrices do for all of them: weights that no parameter enters share one.
        """
        sources: dict[Any, Array] = {}
        groups: dict[Any, list[tuple[int, Any]]] = {}
        for i, f in enumerate(self.functionals):
            if f.kind == "param":
                continue
            name, source, weights = self._weighed(f, pomdp, course)
            frame = 0 if self._every(i) else self._steps(i)
            sources[name, 0] = source
            if (name, frame) not in sources:
                sources[name, frame] = frames[frame] @ source
            fixed = isinstance(weights, np.ndarray)
            groups.setdefault((name, frame, fixed), []).append((i, weights))
        read: dict[int, Array] = {}
        for (name, frame, fixed), own in groups.items():
            source = sources[name, frame]
            if fixed:
                every = jnp.asarray(np.concatenate([w for _, w in own], axis=1), source.dtype)
            else:
                every = jnp.concatenate([w for _, w in own], axis=1)
            ends = np.cumsum([w.shape[1] for _, w in own])[:-1]
            parts = jnp.split(source @ every, ends, axis=1)
            read |= {i: part for (i, _), part in zip(own, parts, strict=True)}
        return read

    def _weighed(self, f: Functional, pomdp: POMDP, course: Course) -> tuple[Any, Array, Any]:
        """What a functional is linear in, by name: (step, width); and its weights (width, side)."""
        layout = self.layout
        when = "before" if f.kind == "prior" else "after"
        belief = course.before if when == "before" else course.after
        if f.kind == "policy":
            if f.given and not isinstance(self.agent.planning, Habit):
                return (
                    f.given,
                    jnp.exp(self._replanned(f.given, pomdp, course)),
                    _choices(f, layout),
                )
            return "choice", jnp.exp(course.log_p), _choices(f, layout)
        if f.kind == "entropy":
            return when, belief, _onto(layout, f.of[0])
        if f.valence:
            weights = _preference(f, pomdp)
        elif f.kind == "predictive":
            weights = _sides(_outcomes(f, pomdp), f.given, layout)
        else:
            weights = _sides(_states(f.event, layout)[None], f.given, layout)
        contexts = weights.shape[0]
        weights = weights.reshape(-1, weights.shape[2])
        if contexts == 1:
            return when, belief, weights
        leads = np.arange(contexts) == np.array(layout.context_after)[:, None]
        context = jnp.exp(course.log_p) @ jnp.asarray(leads, belief.dtype)
        together = context[:, :, None] * belief[:, None, :]
        return (when, contexts), together.reshape(belief.shape[0], -1), weights

    def _replanned(self, given: When, pomdp: POMDP, course: Course) -> Array:
        """Log probability of each choice, were `given` so: planned anew, with nothing held."""
        layout, agent = self.layout, self.agent
        tables = agent.prepare(pomdp)
        context, free = layout.first_context, jnp.ones(len(layout.choices), bool)

        def plan(belief: Array) -> Array:
            forecast = agent.perception.forecast(tables.perception, belief, context)
            return agent.planning.plan(
                agent.perception,
                tables.perception,
                tables.plans,
                belief,
                jnp.asarray(context, jnp.int32),
                forecast,
                lambda held, _: held,
                free,
            ).log_p

        return jax.vmap(plan)(_conditioned(course.after, given, layout))


class Reading(eqx.Module):
    """One functional of one life."""

    all: Readings

    def __call__(
        self, pomdp: POMDP, values: Mapping[str, Any], course: Course, at: Int[Array, " occasion"]
    ) -> Float[Array, " occasion"]:
        """As `Readings`."""
        return self.all(pomdp, values, course, at)[:, 0]


def reading(
    functional: Functional, agent: Agent, model: Model | Layout, step_length: float = 1.0
) -> Reading:
    """One functional; `readings` says the rest."""
    return Reading(readings((functional,), agent, model, step_length))


def readings(
    functionals: Sequence[Functional], agent: Agent, model: Model | Layout, step_length: float = 1.0
) -> Readings:
    """Functionals compiled for a mind with this model, one step lasting `step_length` days.

    A bare layout will do where none reads a parameter. Raises `InputError` for what the model
    cannot supply, for perception other than `Exact`, and for a policy under something given where
    what was done last changes what comes next.
    """
    if not isinstance(agent.perception, Exact):
        raise InputError("beliefs over joint states are needed: use perception=Exact()", "link")
    if not step_length > 0:
        raise InputError(f"a step lasts {step_length:g} days; expected more than 0", "link")
    layout = model if isinstance(model, Layout) else model.layout
    declared = layout.declared if isinstance(model, Layout) else model
    units = []
    for f in functionals:
        if declared is not None and (why := f.unsuitable(declared)):
            raise InputError(f"model {declared.name} cannot supply {f.label}: {why}", "link")
        if f.kind == "policy" and f.given and any(p in layout.known for p in _moved_by(layout)):
            raise InputError(f"{f.label}: what comes next depends on what was done last", "link")
        units.append(_unit(f, declared))
    return Readings(tuple(functionals), tuple(units), layout, float(step_length), agent)


def _moved_by(layout: Layout) -> set[int]:
    return {p for f in layout.hidden for p in layout.factors[f].parents}


def _unit(f: Functional, model: Model | None) -> str:
    if f.kind == "param":
        if model is None:
            raise InputError(
                f"{f.label} needs the model itself, whose supports say its scale", "link"
            )
        return "probability" if f.is_share(model) else ""
    if f.kind == "freq":
        return "share of days"
    return "nats" if f.kind == "entropy" or f.valence else "probability"


def _how_often(both: Array, f: Functional, frame: Float[Array, "occasion step"]) -> Array:
    """Smooth share of a frame's steps, as log odds divided by the sharpness of the step."""
    if f.valence:
        logit = both[:, 0]
    else:
        p = both / (both.sum(1, keepdims=True) + NOTHING)
        logit = jnp.log(p[:, 0] + EDGE) - jnp.log(p[:, 1] + EDGE)
    likelier = jax.nn.sigmoid(SHARPNESS * jnp.stack([logit, -logit], axis=1))
    log = jnp.log(frame @ likelier + NOTHING)
    return (log[:, 0] - log[:, 1]) / SHARPNESS


def _frame(at: Int[Array, " occasion"], n: int, n_steps: int, dtype: Any) -> Array:
    """Weights of the last `n` steps up to each occasion, or of as many as there were."""
    steps, at = jnp.arange(n_steps, dtype=at.dtype)[None, :], at[:, None]
    within = (steps <= at) & (steps > at - n)
    return within.astype(dtype) / jnp.minimum(at + 1, n).astype(dtype)


def _choices(f: Functional, layout: Layout) -> np.ndarray:
    """(choice, side): the choices asked about, and those they are weighed against."""
    ((name, levels),) = f.event.items()
    action = layout.action(name)
    made = [layout.actions[action].levels[u[action]] for u in layout.choices]
    others = tuple(target.partition(".")[2] for target in f.against)
    return np.array(
        [[u in levels, u in others if others else u not in levels] for u in made], float
    )


def _preference(f: Functional, pomdp: POMDP) -> Array:
    """Preference for what a state shows, (context or 1, joint, 1); for `freq` from indifference."""
    layout = pomdp.layout
    value: Array = jnp.zeros((1,) * (1 + len(layout.shape)), pomdp.D[0].dtype)
    for m, preference in enumerate(pomdp.C):
        value = value + jnp.tensordot(preference, likelihood_by_context(pomdp, m), axes=(0, 1))
    value = jnp.broadcast_to(value, (value.shape[0], *layout.shape))
    value = value.reshape(value.shape[0], -1, 1)
    value = -value if f.of[0] == "negative_valence" else value
    return value - value.mean(1, keepdims=True) if f.kind == "freq" else value


def _sides(event: Any, given: When, layout: Layout) -> Any:
    """Of an event (context, *hidden shape), for and against: (context, joint, 2).

    What is given multiplies both; so that they do not vanish with it, a little of the clamp is
    added, that is, of the event with the levels given put in place of whatever they are.
    """
    sides = (event, 1.0 - event)
    if given:
        g = _states(dict(given), layout)[None].astype(event.dtype)
        sides = tuple(e * g + EDGE * _clamped(e, given, layout) for e in sides)
    flat = [e.reshape(event.shape[0], -1, 1) for e in sides]
    xp: Any = np if isinstance(event, np.ndarray) else jnp
    return xp.concatenate(flat, axis=-1)


def _clamped(event: Any, given: When, layout: Layout) -> Any:
    for name, levels in given:
        axis, at = _axis(layout, name, levels)
        event = event.take(at, axis=axis + 1).mean(axis + 1, keepdims=True)
    xp: Any = np if isinstance(event, np.ndarray) else jnp
    return xp.broadcast_to(event, (event.shape[0], *layout.shape))


def _conditioned(
    belief: Float[Array, "step joint"], given: When, layout: Layout
) -> Float[Array, "step joint"]:
    """The belief given some levels; clamped to them where they have next to no mass."""
    joint = belief.reshape(-1, *layout.shape)
    g = jnp.asarray(_states(dict(given), layout), belief.dtype)[None]
    clamped = joint
    for name, levels in given:
        axis, at = _axis(layout, name, levels)
        clamped = clamped.sum(axis + 1, keepdims=True) / len(at)
    mixed = (joint * g + EDGE * clamped * g).reshape(belief.shape)
    return mixed / mixed.sum(1, keepdims=True)


def _outcomes(f: Functional, pomdp: POMDP) -> Array:
    """P(event | state), of outcomes and hidden levels together: (context or 1, *hidden shape)."""
    layout, event = pomdp.layout, dict(f.event)
    chance: Array = jnp.ones((1,) * (1 + len(layout.shape)), pomdp.D[0].dtype)
    for m, modality in enumerate(layout.modalities):
        if modality.name in event:
            at = np.array([modality.levels.index(v) for v in event.pop(modality.name)])
            chance = chance * likelihood_by_context(pomdp, m)[:, at].sum(1)
    return chance * jnp.asarray(_states(event, layout), chance.dtype)[None]


def _states(event: Mapping[str, tuple[str, ...]], layout: Layout) -> np.ndarray:
    """1 where every factor named is at one of its levels; the hidden shape."""
    found = np.ones(layout.shape)
    for name, levels in event.items():
        axis, at = _axis(layout, name, levels)
        row = np.zeros(layout.shape[axis])
        row[at] = 1.0
        found = found * row.reshape([-1 if a == axis else 1 for a in range(found.ndim)])
    return found


def _onto(layout: Layout, factor: str) -> np.ndarray:
    """(joint, level), 1 where a state has that level."""
    levels = layout.factors[layout.factor(factor)].levels
    return np.stack([_states({factor: (v,)}, layout).reshape(-1) for v in levels], axis=1)


def _axis(layout: Layout, name: str, levels: tuple[str, ...]) -> tuple[int, np.ndarray]:
    """Axis of a hidden factor in a joint belief, and indices of some of its levels."""
    f = layout.factor(name)
    return layout.hidden.index(f), np.array([layout.factors[f].levels.index(v) for v in levels])

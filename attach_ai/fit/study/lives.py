"""From records to arrays: what each person lived through, and what they answered when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attach_ai.agent.exact import Exact
from attach_ai.agent.hold import Program, compile_program
from attach_ai.agent.slicing import by_context
from attach_ai.errors import InputError
from attach_ai.fit.study.course import Given
from attach_ai.model import Model, Practice, load_practice, load_world
from attach_ai.model.pomdp import POMDP

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records


class Lives(eqx.Module):
    """What was lived, when it was asked about, and what persons and episodes differ in.

    `at`: step of each occasion, -1 where an episode has fewer. `contrast`: columns that move items
    themselves (invariance); none in a plain study.
    """

    given: Given
    covariate: Float[Array, "subject episode covariate"]
    at: Int[Array, "subject episode occasion"]
    cluster: Int[Array, " subject"]
    contrast: Float[Array, "subject episode occasion contrast"]


class Practices:
    """The practices of all arms as one program: their operators side by side, doses apart.

    Raises `InputError` for a practice whose session is not one step, or that brings levels in.
    """

    def __init__(self, names: Sequence[str], model: Model):
        self.model = model
        self.named: dict[str, Practice] = {}
        for name in names:
            if name in self.named:
                continue
            practice = load_practice(name)
            if practice.schedule.steps != 1:
                raise InputError(
                    f"a session has {practice.schedule.steps} steps; in a study one step is a day, "
                    "and a practice of it one step a session",
                    f"practice {name}",
                )
            self.named[name] = practice.bind(model.layout, model.parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of all practices by name; those of one name are one."""
        return {k: p for x in self.named.values() for k, p in x.parameters.items()}

    def program(self, values: Mapping[str, Any]) -> Program:
        """All operators, with some of the practices' parameters given."""
        parts = [
            compile_program(
                x, self.model.layout, **{k: values[k] for k in x.parameters if k in values}
            )
            for x in self.named.values()
        ]
        n = len(self.model.layout.choices)
        contexts = len(self.model.layout.contexts)
        gates = [p.gates for p in parts]
        return Program(
            operators=tuple(o for p in parts for o in p.operators),
            active=jnp.concatenate([p.active[:1] for p in parts] or [jnp.zeros((1, 0))], axis=1),
            allowed=jnp.ones((1, n), bool),
            gates=jnp.concatenate(gates or [jnp.zeros((0, contexts))]),
        )

    def dosed(self, name: str, dose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(step, operator) and (step, choice): how much each operator acts, what may be chosen."""
        active, allowed = [], np.ones((len(dose), len(self.model.layout.choices)), bool)
        for other, x in self.named.items():
            program = compile_program(x, self.model.layout)
            on = (
                np.asarray(program.active)[0]
                if other == name
                else 0 * np.asarray(program.active)[0]
            )
            active.append(dose[:, None] * on)
            if other == name:
                allowed = np.where(dose[:, None] > 0, np.asarray(program.allowed)[:1], True)
        return np.concatenate([*active, np.zeros((len(dose), 0))], axis=1), allowed


def lives(
    records: Records,
    model: Model,
    world: Model,
    practices: Practices,
    group: Mapping[str, str],
) -> Given:
    """What is known of every life; leaves lead with (subject, episode).

    `model`: of the mind; `world`: what is true is built from it, with no level switched off.
    `group`: arm of each subject. Under a schedule an outcome that was seen and not recorded is what
    the arm's world is expected to show, and inner modalities that nobody recorded are fed by the
    mind; with exposure unknown nothing is known of either.
    """
    layout = model.layout
    n, e, t = len(records.subjects), len(records.episodes), records.n_steps
    scheduled = records.exposure.kind == "schedule"
    recorded = sorted({*records.events["modality"]} | {*records.missing_events["modality"]})
    for name in recorded:
        layout.modality(name)
    loop = tuple(
        m
        for m, x in enumerate(layout.modalities)
        if x.inner and scheduled and x.name not in recorded
    )
    n_operators = practices.program({}).active.shape[1]
    shares = [np.zeros((n, e, t, len(x.levels))) for x in layout.modalities]
    gain, rate = np.zeros((n, e)), np.ones((n, e))
    dose = np.zeros((n, e, t, n_operators))
    allowed = np.ones((n, e, t, len(layout.choices)), bool)
    shown: dict[str, list[np.ndarray]] = {}
    if scheduled:
        for arm, plan in records.exposure.arms.items():
            shown[arm] = expected_outcomes(world, plan.world, t)
            on, may = practices.dosed(plan.practice, np.asarray(records.exposure.dose(arm)))
            for s, subject in enumerate(records.subjects):
                if group[subject] != arm:
                    continue
                gain[s], rate[s] = plan.gain, plan.rate
                dose[s], allowed[s] = on, may
                for m, x in enumerate(layout.modalities):
                    if x.name not in recorded:
                        shares[m][s] = shown[arm][m]
    _record(records, model, shares, shown, group)
    choice = _choices(records, model, (n, e, t))
    dtype = jnp.zeros(()).dtype
    return Given(
        shares=tuple(jnp.asarray(x, dtype) for x in shares),
        fed=jnp.full((n, e, t), float(bool(loop)), dtype),
        gain=jnp.asarray(gain, dtype),
        rate=jnp.asarray(rate, dtype),
        choice=jnp.asarray(choice, dtype),
        dose=jnp.asarray(dose, dtype),
        allowed=jnp.asarray(allowed),
        loop=loop,
    )


def expected_outcomes(model: Model, world: str, n_steps: int) -> list[np.ndarray]:
    """What a declared world is expected to show, (step, outcome) for each modality.

    Raises `InputError` where what it shows depends on choices.
    """
    process = model.build(load_world(world))
    layout = process.layout
    if layout.known or any(layout.factors[f].actions for f in layout.hidden):
        raise InputError(
            f"what this world shows depends on what is chosen in {model.name}; fit a member such "
            "as attachment_waves, where habit stands for choices",
            f"world {world}",
        )
    return [np.asarray(x) for x in _shown(process, n_steps)]


@eqx.filter_jit
def _shown(process: POMDP, n_steps: int) -> tuple[Float[Array, "step outcome"], ...]:
    see = Exact()
    tables = see.prepare(process)

    def step(true: Array, _: None) -> tuple[Array, tuple[Array, ...]]:
        shown = []
        for m, modality in enumerate(process.layout.modalities):
            p = see.read(tables, true, modality.parents)
            shown.append(jnp.tensordot(by_context(process, m)[0], p, axes=p.ndim))
        return see.forecast(tables, true, 0)[0], tuple(shown)

    return jax.lax.scan(step, see.begin(tables, process.D), None, length=n_steps)[1]


def _record(
    records: Records,
    model: Model,
    shares: list[np.ndarray],
    shown: Mapping[str, list[np.ndarray]],
    group: Mapping[str, str],
) -> None:
    """Put recorded outcomes in their places, and what is expected where they are missing."""
    layout = model.layout
    at = _places(records)
    for row in records.events.itertuples():
        m = layout.modality(row.modality)
        shares[m][*at(row), layout.modalities[m].levels.index(row.level)] = 1.0
    for row in records.missing_events.itertuples():
        m = layout.modality(row.modality)
        if shown:
            shares[m][*at(row)] = shown[group[row.subject]][m][row.step]


def _choices(records: Records, model: Model, shape: tuple[int, ...]) -> np.ndarray:
    """(subject, episode, step, choice): one where all actions of a step were recorded."""
    layout = model.layout
    levels = np.full((*shape, len(layout.actions)), -1)
    at = _places(records)
    for row in records.choices.itertuples():
        a = layout.action(row.action)
        levels[*at(row), a] = layout.actions[a].levels.index(row.level)
    choices = np.array(layout.choices).reshape(len(layout.choices), -1)
    made = (levels[..., None, :] == choices).all(-1)
    if layout.known and not made.any(-1).all():
        names = ", ".join(layout.factors[f].name for f in layout.known)
        raise InputError(
            f"choices set {names} in {model.name}, so each step needs the one made; fit a member "
            "such as attachment_waves, where habit stands for it, or record the actions",
            "choices",
        )
    return made.astype(float)


def _places(records: Records) -> Any:
    subjects = {x: i for i, x in enumerate(records.subjects)}
    episodes = {x: i for i, x in enumerate(records.episodes)}
    return lambda row: (subjects[row.subject], episodes[row.episode], int(row.step))

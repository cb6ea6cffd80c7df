"""To pymdp and back: the same tables under another library's conventions (pymdp 1.0).

pymdp keeps one control axis per factor, a list of policies in terms of controls, habits over whole
policies, and a leading batch axis. All factors go over, also those that an action makes known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.agent.mean_field import pymdp_controls, pymdp_transitions
from attach_ai.agent.planning import policies
from attach_ai.errors import InputError
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.pomdp import POMDP

if TYPE_CHECKING:
    from pymdp.agent import Agent as PymdpAgent
    from pymdp.envs.env import PymdpEnv

Names = Mapping[str, Mapping[str, Sequence[str]]]
PLACE = "pymdp agent"


class PymdpTables(NamedTuple):
    """A `POMDP` as the arguments of `pymdp.agent.Agent`, without a batch axis.

    `A[m]`: (outcome, *states), `B[f]`: (next, *states, control), `C[m]`: (outcome,), in nats,
    unnormalised; `D[f]`: (level,); `E`: (policy,); `policies`: (policy, step, factor), controls, in
    the order of `attach_ai.agent.policies`.
    """

    A: list[Float[Array, "..."]]
    B: list[Float[Array, "..."]]
    C: list[Float[Array, " outcome"]]
    D: list[Float[Array, " level"]]
    E: Float[Array, " policy"]
    A_dependencies: list[list[int]]
    B_dependencies: list[list[int]]
    policies: np.ndarray


def pymdp_tables(pomdp: POMDP, horizon: int = 1) -> PymdpTables:
    """The tables of `pomdp` for policies of `horizon` steps; works under `jit`, `grad`, `vmap`."""
    layout = pomdp.layout
    B, B_dependencies = pymdp_transitions(pomdp)
    controls = np.array(pymdp_controls(layout), np.int32)
    habit = _outer(pomdp.E, pomdp.A[0].dtype)
    return PymdpTables(
        A=list(pomdp.A),
        B=list(B),
        C=list(pomdp.C),
        D=list(pomdp.D),
        E=_outer([habit] * horizon, habit.dtype),
        A_dependencies=[list(m.parents) for m in layout.modalities],
        B_dependencies=[list(d) for d in B_dependencies],
        policies=controls[np.array(policies(layout, horizon))],
    )


def to_pymdp(pomdp: POMDP, **agent_kwargs: Any) -> PymdpAgent:
    """A `pymdp.agent.Agent` that believes `pomdp`; `agent_kwargs` are that class's own.

    `policy_len` sets the horizon. Actions are drawn from q(pi) unless told otherwise, as
    `attach_ai.Agent` does.
    """
    from pymdp.agent import Agent
    from pymdp.control import Policies

    settings = {"action_selection": "stochastic"} | agent_kwargs
    tables = pymdp_tables(pomdp, settings.get("policy_len", 1))
    # Handed over with their own 32-bit type: pymdp's rollout fails under x64 on 64-bit controls.
    return Agent(**tables._asdict() | {"policies": Policies(tables.policies)}, **settings)


def pymdp_env(pomdp: POMDP) -> PymdpEnv:
    """An environment for `pymdp.envs.rollout.rollout` whose generative process is `pomdp`."""
    from pymdp.envs.env import PymdpEnv

    tables = pymdp_tables(pomdp)
    return PymdpEnv(
        A=tables.A,
        B=tables.B,
        D=tables.D,
        A_dependencies=tables.A_dependencies,
        B_dependencies=tables.B_dependencies,
    )


def from_pymdp(agent: PymdpAgent, names: Names | None = None, member: int = 0) -> POMDP:
    """What one `member` of a pymdp agent's batch believes.

    `names` may give {"factors" | "modalities" | "actions": {name: levels}}, each complete and in
    order. Factors with the same controls share an action, those whose controls combine freely have
    one each; failing that, the combinations that the policies use are the levels of one action.
    A factor that its action sets outright, from a certain start, becomes a known one. Dirichlet
    counts, inductive goals and precisions are not carried over. Raises `InputError` for
    preferences that change with time, a policy list that is not every sequence of choices, habits
    that are no product over steps and actions, or `names` that do not fit.
    """
    if not 0 <= member < agent.batch_size:
        raise InputError(
            f"member is {member}; the agent's batch has {agent.batch_size}, counted from 0", PLACE
        )
    A, B, C, D = ([jnp.asarray(x[member]) for x in t] for t in (agent.A, agent.B, agent.C, agent.D))
    if any(c.ndim > 1 for c in C):
        raise InputError(
            "its preferences C change with time; expected one value per outcome", PLACE
        )
    choices = _choices(agent)
    sizes = _actions(choices)
    a_names, a_levels = _names(names, "actions", sizes)
    f_names, f_levels = _names(names, "factors", [d.shape[0] for d in D])
    m_names, m_levels = _names(names, "modalities", [a.shape[0] for a in A])

    factors, transitions = [], []
    for f, b in enumerate(B):
        parents, b = _in_order(agent.B_dependencies[f], b)
        control = np.array([u[f] for u in choices]).reshape(sizes)
        reads = tuple(i for i in range(len(sizes)) if np.diff(control, axis=i).any())
        b = b[..., control[tuple(slice(None) if i in reads else 0 for i in range(len(sizes)))]]
        start = _certain(D[f])
        factors.append(
            Factor(
                name=f_names[f],
                levels=f_levels[f],
                parents=parents,
                actions=reads,
                set_by=reads[0] if len(reads) == 1 and start is not None and _sets(b) else None,
                start=start,
            )
        )
        transitions.append(b)
    modalities, likelihoods = [], []
    for m, a in enumerate(A):
        parents, a = _in_order(agent.A_dependencies[m], a)
        modalities.append(Modality(name=m_names[m], levels=m_levels[m], parents=parents))
        likelihoods.append(a)
    actions = tuple(Action(n, levels) for n, levels in zip(a_names, a_levels, strict=True))
    return POMDP(
        A=tuple(likelihoods),
        B=tuple(transitions),
        C=tuple(C),
        D=tuple(D),
        E=_habits(np.asarray(agent.E[member]), sizes, agent.policies.horizon, A[0].dtype),
        counts={},
        layout=Layout(tuple(factors), tuple(modalities), actions),
    )


def _choices(agent: PymdpAgent) -> list[tuple[int, ...]]:
    """The combinations of controls that policies choose from at each step, in order."""
    listed = [[tuple(map(int, u)) for u in pi] for pi in np.asarray(agent.policies.policy_arr)]
    choices = list(dict.fromkeys(u for pi in listed for u in pi))
    if listed != [list(pi) for pi in product(choices, repeat=agent.policies.horizon)]:
        raise InputError(
            f"its {len(listed)} policies are not all sequences of its {len(choices)} choices, last "
            "step fastest",
            PLACE,
        )
    return choices


def _actions(choices: list[tuple[int, ...]]) -> list[int]:
    """How many levels each action has: as many actions as their free combinations allow."""
    columns = list(dict.fromkeys(c for c in zip(*choices, strict=True) if len(set(c)) > 1))
    for n in range(len(columns), 0, -1):
        for chosen in combinations(columns, n):
            sizes = [max(c) + 1 for c in chosen]
            if list(zip(*chosen, strict=True)) == list(product(*map(range, sizes))):
                return sizes
    return [len(choices)]


def _habits(
    habit: np.ndarray, sizes: list[int], horizon: int, dtype: Any
) -> tuple[Float[Array, " choice"], ...]:
    """E of each action from pymdp's E over policies."""
    shape = tuple(sizes) * horizon
    table = habit.reshape(shape)
    rows = [
        table.sum(tuple(i for i in range(len(shape)) if i != a)) / table.sum()
        for a in range(len(sizes))
    ]
    if not np.allclose(_outer(rows * horizon, habit.dtype), habit / habit.sum(), atol=1e-6):
        raise InputError("its habit E is not a product over steps and actions", PLACE)
    return tuple(jnp.asarray(r, dtype) for r in rows)


def _names(
    names: Names | None, kind: str, sizes: Sequence[int]
) -> tuple[list[str], list[tuple[str, ...]]]:
    given = (names or {}).get(kind)
    if given is None:
        stem = {"factors": "factor", "modalities": "modality", "actions": "action"}[kind]
        return (
            [f"{stem}_{i}" for i in range(len(sizes))],
            [tuple(f"level_{j}" for j in range(n)) for n in sizes],
        )
    found = [len(levels) for levels in given.values()]
    if found != list(sizes):
        raise InputError(f"names of {kind} have {found} levels; expected {list(sizes)}", PLACE)
    return list(given), [tuple(levels) for levels in given.values()]


def _in_order(parents: Sequence[int], table: Array) -> tuple[tuple[int, ...], Array]:
    """Parents in the order of factors, and the table's axes with them."""
    order = sorted(range(len(parents)), key=lambda i: parents[i])
    rest = range(len(parents) + 1, table.ndim)
    return tuple(parents[i] for i in order), table.transpose(0, *(i + 1 for i in order), *rest)


def _certain(d: Array) -> int | None:
    """The level that has all the mass, if one has."""
    return int(np.argmax(d)) if np.max(d) == 1 else None


def _sets(b: Array) -> bool:
    """Whether the last axis, an action's, determines the next level, one to one and in order."""
    n = b.shape[0]
    identity = np.eye(n).reshape(n, *(1,) * (b.ndim - 2), n)
    return b.shape[-1] == n and bool(np.all(np.asarray(b) == identity))


def _outer(rows: Sequence[Any], dtype: Any) -> Array:
    total = jnp.ones((), dtype)
    for row in rows:
        total = jnp.multiply.outer(total, jnp.asarray(row, dtype))
    return total.reshape(-1)

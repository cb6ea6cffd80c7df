"""Speed, against pymdp: both sides on `attachment_core`, in turns, in one run.

The mind is exact with joint information gain on our side, pymdp's own `Agent` (fixed-point
iteration, information gain per modality) on the other; one step ahead, float32. pymdp keeps one set
of tables per agent whatever is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from attach_ai.agent import Agent, ExpectedFreeEnergy, Program
from attach_ai.files import write_json
from attach_ai.interop import pymdp_env, pymdp_tables, to_pymdp
from attach_ai.model import Model, load_model
from attach_ai.model.pomdp import POMDP
from attach_ai.progress import Progress
from attach_ai.provenance import machine
from attach_ai.simulation import Days, Observed, condition, rollout
from attach_ai.simulation.batch import in_chunks
from attach_ai.world import Inner, World

Run = Callable[[int], Any]

GAMMA = 8.0
# Each timing covers at least this many seconds, in as many calls as that takes.
SHORTEST = 0.1


@dataclass(frozen=True)
class Size:
    """How much is measured: steps a session, batch sizes, subjects in the gradient, repeats."""

    n_steps: int = 100
    shared: tuple[int, ...] = (1, 64, 1024)
    own: tuple[int, ...] = (64, 1024)
    n_subjects: int = 64
    n_repeats: int = 5
    n_compiles: int = 3


@dataclass(frozen=True)
class Row:
    """One comparison; `ratio` says how many times better ours is, whatever the unit."""

    figure: str
    batch: int
    attach_ai: float
    pymdp: float
    ratio: float


def bench(json_path: Path | None = None, size: Size = Size()) -> dict[str, Any]:
    """Measure, print a table, and return {"machine": ..., "rows": [...]} (also to `json_path`).

    Rows: agent-steps a second of the closed loop with tables shared over the batch, and with one
    set per agent; seconds to compile it; milliseconds for value and gradient of the log-likelihood
    of a group. Where JAX sees a GPU, its closed loop is measured too.
    """
    gpus = [d for d in jax.devices() if d.platform == "gpu"]
    total = len(size.shared) + len(size.own) + 2 + len(gpus[:1])
    rows = []
    with _plain_float32(), Progress(total) as progress:
        with jax.default_device(jax.devices("cpu")[0]):
            bout = _Bout(load_model("attachment_core"), size)
            with progress.step("compile"):
                rows.append(bout.compilation())
            for n in size.shared:
                with progress.step(f"closed loop, shared tables, batch {n}"):
                    rows.append(bout.closed_loop(n, own=False))
            for n in size.own:
                with progress.step(f"closed loop, own tables, batch {n}"):
                    rows.append(bout.closed_loop(n, own=True))
            with progress.step("gradient"):
                rows.append(bout.gradient())
        for device in gpus[:1]:
            n = max(size.shared)
            with progress.step(f"closed loop on the GPU, batch {n}"), jax.default_device(device):
                bout = _Bout(load_model("attachment_core"), size)
                rows.append(bout.closed_loop(n, own=False, whole=True, where=", GPU"))
    where = machine()
    found = {"machine": where, "rows": [asdict(r) for r in rows]}
    if json_path is not None:
        write_json(json_path, found)
    _show(where, rows)
    return found


@contextmanager
def _plain_float32() -> Iterator[None]:
    """Single precision under JAX's default rules of promotion, which pymdp relies on."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


class _Bout:
    """The two contestants and what they are given."""

    def __init__(self, model: Model, size: Size):
        self.model, self.size = model, size
        self.pomdp = model.build()
        n = len(self.pomdp.layout.choices)
        self.agent = Agent(planning=ExpectedFreeEnergy(gamma=jnp.asarray(GAMMA)))
        self.program = Program(
            operators=(),
            active=jnp.zeros((size.n_steps, 0)),
            allowed=jnp.ones((size.n_steps, n), bool),
            gates=jnp.zeros((0, len(self.pomdp.layout.contexts))),
        )
        self.days = Days(*(jnp.ones(1),) * 3, rest=jnp.zeros(1))
        # Nothing is fed back: every outcome comes from the process, as in pymdp's environment.
        self.world = World(process=self.pomdp, inner=Inner(rate=1.0, gain=0.0))
        self.theirs = cache(self._theirs)  # the same whether our tables are shared or not

    def ours(self, n: int, own: bool) -> tuple[Any, Any]:
        """The closed loop of a batch as a jitted function of (pomdp, keys), and its pomdp."""

        def live(pomdp: POMDP, key: jax.Array) -> Any:
            return rollout(key, self.agent, pomdp, self.world, self.program, self.days)

        lives = jax.jit(jax.vmap(live, in_axes=(0 if own else None, 0)))
        trust = jnp.linspace(0.05, 0.8, n)
        pomdp = jax.vmap(lambda t: self.model.build(trust=t))(trust) if own else self.pomdp
        return lives, pomdp

    def _theirs(self, n: int) -> tuple[Any, Any]:
        """pymdp's rollout of `n` agents as a jitted function of (arrays, key), and its arrays."""
        from pymdp.envs.rollout import rollout as pymdp_rollout

        agent, env = to_pymdp(self.pomdp, batch_size=n, gamma=GAMMA), pymdp_env(self.pomdp)
        arrays, static = eqx.partition(agent, eqx.is_array)

        def lives(arrays: Any, key: jax.Array) -> Any:
            # pymdp counts the steps after the first.
            return pymdp_rollout(eqx.combine(arrays, static), env, self.size.n_steps - 1, key)[1]

        return jax.jit(lives), arrays

    def closed_loop(self, n: int, own: bool, whole: bool = False, where: str = "") -> Row:
        (mine, pomdp), (their, arrays) = self.ours(n, own), self.theirs(n)
        keys = [jax.random.split(jax.random.key(i), n) for i in range(self.size.n_repeats + 1)]

        def ours(i: int) -> Any:
            if whole:
                return mine(pomdp, keys[i])
            if own:
                return in_chunks(lambda part: mine(*part), (pomdp, keys[i]))
            return in_chunks(lambda part: mine(pomdp, part), keys[i])

        a, b = _in_turns(ours, lambda i: their(arrays, jax.random.PRNGKey(i)), self.size.n_repeats)
        steps, tables = n * self.size.n_steps, "own" if own else "shared"
        figure = f"closed loop, {tables} tables{where} (agent-steps/s)"
        return Row(figure, n, steps / a, steps / b, b / a)

    def compilation(self) -> Row:
        n = self.size.shared[min(1, len(self.size.shared) - 1)]
        keys, key = jax.random.split(jax.random.key(0), n), jax.random.PRNGKey(0)
        times = []
        for _ in range(self.size.n_compiles):
            (mine, pomdp), (their, arrays) = self.ours(n, own=False), self.theirs(n)
            times.append((_to_compile(mine, pomdp, keys), _to_compile(their, arrays, key)))
        a, b = (median(t) for t in zip(*times, strict=True))
        return Row("compile, closed loop (s)", n, a, b, b / a)

    def gradient(self) -> Row:
        """-ln p(choices | outcomes) of a group, and its gradient in three parameters a subject."""
        n = self.size.n_subjects
        mine, pomdp = self.ours(n, own=True)
        lives = mine(pomdp, jax.random.split(jax.random.key(0), n))
        outcome, choice = lives.outcome[:, 0], lives.decision.choice[:, 0]
        grid = jnp.linspace(0.1, 0.8, n)
        start = {"trust": grid, "fear_of_loss": grid[::-1], "w_other": 0.3 + grid / 2}
        ours = jax.jit(jax.value_and_grad(lambda p: self._our_loss(p, outcome, choice)))
        theirs = jax.jit(jax.value_and_grad(self._their_loss(outcome, choice)))
        points = [jax.tree.map(lambda x, i=i: x + 0.01 * i, start) for i in range(8)]
        a, b = _in_turns(
            lambda i: ours(points[i % 8]), lambda i: theirs(points[i % 8]), self.size.n_repeats
        )
        figure = f"value and gradient, {self.size.n_steps} steps (ms)"
        return Row(figure, n, 1e3 * a, 1e3 * b, b / a)

    def _our_loss(self, parameters: Any, outcome: jax.Array, choice: jax.Array) -> jax.Array:
        def one(own: Any, outcome: jax.Array, choice: jax.Array) -> jax.Array:
            seen = Observed(outcome[None], choice[None])
            life = condition(self.agent, self.model.build(**own), seen, self.program, self.days)
            return life.decision.log_p.sum()

        return -jax.vmap(one)(parameters, outcome, choice).sum()

    def _their_loss(self, outcome: jax.Array, choice: jax.Array) -> Callable[[Any], jax.Array]:
        n = outcome.shape[0]
        template = to_pymdp(self.pomdp, batch_size=n, gamma=GAMMA)
        controls = jnp.asarray(pymdp_tables(self.pomdp).policies[:, 0])
        seen = jnp.moveaxis(outcome, 0, 2)[..., None]  # (step, modality, subject, 1)

        def arrays(own: Any) -> Any:
            t = pymdp_tables(self.model.build(**own))
            return t.A, t.B, t.C, t.D, t.E

        def loss(parameters: Any) -> jax.Array:
            agent = eqx.tree_at(
                lambda a: (a.A, a.B, a.C, a.D, a.E), template, jax.vmap(arrays)(parameters)
            )

            def step(prior: Any, x: Any) -> tuple[Any, jax.Array]:
                outcome, choice = x
                qs = agent.infer_states(list(outcome), prior)
                q_pi, _ = agent.infer_policies(qs)
                log_p = jnp.log(q_pi[jnp.arange(n), choice])
                return agent.update_empirical_prior(controls[choice], qs), log_p

            return -jax.lax.scan(step, agent.D, (seen, choice.T))[1].sum()

        return loss


def _to_compile(function: Any, *arguments: Any) -> float:
    """Seconds to trace and compile a jitted function, nothing remembered from before."""
    cached = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    jax.clear_caches()
    try:
        began = perf_counter()
        function.lower(*arguments).compile()
        return perf_counter() - began
    finally:
        jax.config.update("jax_enable_compilation_cache", cached)


def _in_turns(ours: Run, theirs: Run, n_repeats: int) -> tuple[float, float]:
    """Median seconds a call of each, taken in turns so that both meet the same machine."""
    contestants = ours, theirs
    for run in contestants:
        _seconds(run, 0, 1)
    calls = [ceil(SHORTEST / _seconds(run, 0, 1)) for run in contestants]
    times: list[list[float]] = [[], []]
    for i in range(1, n_repeats + 1):
        for run, n, found in zip(contestants, calls, times, strict=True):
            found.append(_seconds(run, i, n) / n)
    return median(times[0]), median(times[1])


def _seconds(run: Run, i: int, n: int) -> float:
    """Seconds for `n` calls of the i-th task, to the last result."""
    began = perf_counter()
    for _ in range(n):
        jax.block_until_ready(run(i))
    return perf_counter() - began


def _show(where: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"attach_ai against pymdp ({where})")
    table.add_column("figure")
    for name in ("batch", "attach_ai", "pymdp", "times better"):
        table.add_column(name, justify="right")
    for r in rows:
        values = (f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in (r.attach_ai, r.pymdp))
        table.add_row(r.figure, str(r.batch), *values, f"{r.ratio:.1f}")
    Console().print(table)

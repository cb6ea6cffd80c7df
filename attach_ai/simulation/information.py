"""What simulated actions and outcomes could say about a model's parameters: Fisher information.

Importing this module gives `Model.check` the means to simulate.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attach_ai.agent.agent import Agent
from attach_ai.agent.hold import compile_program
from attach_ai.agent.planning import ExpectedFreeEnergy
from attach_ai.errors import InputError
from attach_ai.model.check import Information, register_information
from attach_ai.model.model import Model
from attach_ai.model.practice import Phase, Practice, Schedule
from attach_ai.simulation.rollout import rollout
from attach_ai.simulation.schedule import days
from attach_ai.world.inner import Inner
from attach_ai.world.world import World


def information(model: Model, n_trajectories: int | None = None, n_steps: int = 40) -> Information:
    """Fisher information of every parameter at its default: the mean outer product of scores.

    A score is the gradient of the log probability of one session's actions *and* outcomes, lived in
    a world that is as the mind believes it to be. Perception is exact, planning looks one step
    ahead, and what is felt comes from the world like what is seen. All in double precision, so that
    a direction without information shows as one.

    `n_trajectories`: sessions of `n_steps` steps. Unless told, 64, or twice as many as there are
    parameters if that is more: n sessions cannot tell more than n parameters apart.
    """
    n = n_trajectories or max(64, 2 * len(model.parameters))
    idle = Practice("idle", "", (), Schedule(n_steps), (Phase("idle", n_steps),))
    with jax.enable_x64(True):
        agent = _agent(model)
        program, calendar = compile_program(idle, model.layout), days(idle, 1)

        def log_probability(values: Float[Array, " parameter"], key: Array) -> Float[Array, ""]:
            pomdp = model.build(dict(zip(model.parameters, values, strict=True)))
            truth = World(jax.lax.stop_gradient(pomdp), Inner(rate=1.0, gain=0.0))
            decision = rollout(key, agent, pomdp, truth, program, calendar).decision
            return decision.log_p.sum() - decision.evidence.vfe.sum()

        # Compiled to run once: optimising would cost more time than it saves.
        scores = jax.jit(
            jax.vmap(jax.grad(log_probability), (None, 0)),
            compiler_options={"xla_backend_optimization_level": 0},
        )
        keys = jax.random.split(jax.random.key(0), n)
        rows = np.asarray(scores(jnp.array(list(model.defaults.values())), keys))
    return Information(tuple(model.parameters), rows.T @ rows / n, n, n_steps)


def _agent(model: Model) -> Agent:
    """A mind that weighs outcomes jointly, where the model is small enough for that."""
    jointly = ExpectedFreeEnergy()
    try:
        jax.eval_shape(lambda: jointly.prepare(model.build()))
    except InputError:
        return Agent(planning=ExpectedFreeEnergy(information="per_modality"))
    return Agent(planning=jointly)


register_information(information)

"""Other engines than NumPyro's sampler: nutpie, and two quick approximations.

nutpie samples (Seyboldt & Carlson; an optional extra). Mean-field variational inference (Kucukelbir
et al. 2017) and the Laplace approximation do not: they find where the posterior lies and say too
little about its spread, so what they return is marked exploratory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.optim import ClippedAdam

from attach_ai.errors import InputError
from attach_ai.fit.sampling.chain import Density, Settings, plain_rules
from attach_ai.fit.sampling.laplace import laplace

if TYPE_CHECKING:
    from attach_ai.fit.sampling.sample import Draws

__all__ = ["laplace", "marked", "nutpie", "svi"]

SVI_STEPS = 3000
SVI_RATE = 0.02


def marked(draws: Draws) -> Draws:
    """The same draws, marked exploratory."""
    return replace(draws, exploratory=True)


def nutpie(
    density: Density, settings: Settings, seed: int, chains: int, progress: bool
) -> dict[str, np.ndarray]:
    """nutpie's No-U-Turn sampler: "x" (chain, draw, free) and the stats of each draw."""
    try:
        import nutpie
        from nutpie.compiled_pyfunc import from_pyfunc
    except ImportError as error:
        raise InputError(
            'engine = "nutpie" needs the extra of that name: pip install "attach-ai[nutpie]"', "fit"
        ) from error
    people = density.study.people
    x64, dtype = bool(jax.config.jax_enable_x64), jnp.result_type(float)
    compiled = density.value_and_grad

    def make_log_p() -> Any:
        def log_p(x: np.ndarray) -> tuple[float, np.ndarray]:
            # nutpie calls from threads of its own, which know none of this one's settings.
            with jax.enable_x64(x64), plain_rules():
                value, slope = compiled(jnp.asarray(x, dtype), people)
            return float(value), np.asarray(slope, np.float64)

        return log_p

    def start(own: int) -> np.ndarray:
        with jax.enable_x64(x64):
            x, _, _ = density.start(jax.random.key(int(own) % 2**32), people)
            return np.asarray(x, np.float64)

    def make_expand(*_: Any) -> Any:
        return lambda x: {"x": np.asarray(x, np.float64)}

    model = from_pyfunc(
        density.n,
        make_log_p,
        make_expand,
        [np.dtype(np.float64)],
        [(density.n,)],
        ["x"],
        make_initial_point_fn=start,
    )
    tree = nutpie.sample(
        model,
        draws=settings.draws,
        tune=settings.warmup,
        chains=chains,
        seed=seed,
        progress_bar=progress,
        save_warmup=False,
        target_accept=settings.target_accept,
        maxdepth=settings.max_tree_depth,
    )
    stats = tree["sample_stats"]
    named = {
        "diverging": "diverging",
        "energy": "energy",
        "depth": "tree_depth",
        "n_steps": "n_steps",
        "mean_tree_accept": "acceptance_rate",
        "step_size": "step_size",
        "logp": "lp",
    }
    found = {ours: stats[theirs].to_numpy() for theirs, ours in named.items() if theirs in stats}
    return {"x": tree["posterior"]["x"].to_numpy().astype(dtype), **found}


def svi(
    density: Density, settings: Settings, seed: int, chains: int, progress: bool
) -> dict[str, np.ndarray]:
    """Independent normals in the flat coordinates, by stochastic gradients: "x" only."""
    people, dtype = density.study.people, jnp.result_type(float)
    optimiser = ClippedAdam(SVI_RATE, clip_norm=100.0)
    with plain_rules():
        key, start, noise = jax.random.split(jax.random.key(seed), 3)
        x, _, _ = density.start(start, people)

        def loss(q: tuple[Array, Array], key: Array) -> Array:
            """Minus the evidence lower bound, from one draw of q (nats, up to a constant)."""
            mean, log_sd = q
            z = mean + jnp.exp(log_sd) * jax.random.normal(key, mean.shape, dtype)
            return -density(z, people) - log_sd.sum()

        def step(state: Any, key: Array) -> tuple[Any, Array]:
            value, slope = jax.value_and_grad(loss)(optimiser.get_params(state), key)
            return optimiser.update(slope, state), value

        @jax.jit
        def run(x: Array, key: Array) -> Any:
            state = optimiser.init((x, jnp.full_like(x, -2.0)))
            return jax.lax.scan(step, state, jax.random.split(key, SVI_STEPS))

        state, losses = run(x, key)
        mean, log_sd = optimiser.get_params(state)
        if not np.isfinite(losses[-1]):
            raise InputError('the fit came apart; use engine = "nuts"', "fit, engine svi")
        z = jax.random.normal(noise, (chains, settings.draws, density.n), dtype)
        return {"x": np.asarray(mean + jnp.exp(log_sd) * z)}

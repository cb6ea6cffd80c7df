"""A study's items and what is known of its people, without the minds: rivals are built from it."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd

from attach_ai.fit.study.abstract import Fixed, People, Prior
from attach_ai.fit.study.lives import Lives
from attach_ai.fit.study.pomdp import POMDPStudy, Question

N, WAVES, STEPS = 10, 4, 13


def study(n: int = N, *, n_episodes: int = 1, worded: bool = True, seed: int = 0) -> POMDPStudy:
    """Two scales: three items of 4 levels (one reversed) and one of 3, beside a continuous item."""
    questions = (
        Question("a.1", 0, None, 4, False),
        Question("a.2", 0, None, 4, True),
        Question("a.3", 0, None, 4, False),
        Question("b.1", 1, None, 3, False),
        Question("b.2", 1, None, None, False),
    )
    rng = np.random.default_rng(seed)
    shape = (n, n_episodes, WAVES)
    answer = rng.integers(0, [4, 4, 4, 3, 1], (*shape, 5)).astype(np.int32)
    answer[..., 4] = -1
    answer[rng.random(answer.shape) < 0.1] = -1
    measure = np.full((*shape, 5), np.nan)
    measure[..., 4] = rng.random(shape)
    at = np.broadcast_to(np.arange(WAVES) * 4, shape).astype(np.int32)
    nothing: Any = None
    rest = Lives(
        given=nothing,
        covariate=jnp.asarray(np.broadcast_to(rng.normal(size=(n, 1, 1)), (n, n_episodes, 1))),
        at=jnp.asarray(at),
        cluster=jnp.zeros(n, jnp.int32),
        contrast=jnp.zeros((*shape, 0)),
    )
    coords = {
        "subject": tuple(f"p{i}" for i in range(n)),
        "episode": tuple(f"e{i}" for i in range(n_episodes)),
        "occasion": tuple(f"w{i}" for i in range(WAVES)),
        "step": tuple(range(STEPS)),
        "item": tuple(q.name for q in questions),
        "scale": ("a.low", "b.tired"),
        "instrument": ("a",) if worded else (),
        "gap": (2, 3),
        "contrast": ("a.low 1", "a.low 2", "b.tired 1"),
        "cluster": (),
        "covariate": ("age",),
        "measured": ("b.2",),
    }
    priors = {
        "residual": Prior(dist.HalfNormal(jnp.ones(2)), ("scale",)),
        "discrimination": Prior(dist.Normal(jnp.zeros(3), jnp.full(3, 0.4)), ("contrast",)),
        "cut_first": Prior(dist.Normal(jnp.full(5, -1.5), jnp.ones(5)), ("item",)),
        "cut_gap": Prior(dist.Normal(jnp.zeros((5, 2)), jnp.full((5, 2), 0.5)), ("item", "gap")),
        "intercept": Prior(dist.Normal(jnp.full(1, 0.5), jnp.full(1, 0.5)), ("measured",)),
        "noise": Prior(dist.HalfNormal(jnp.full(1, 0.5)), ("measured",)),
    }
    if worded:
        priors["wording"] = Prior(dist.HalfNormal(jnp.full(1, 0.5)), ("instrument",))
    known = {
        "people": People(jnp.asarray(answer), jnp.asarray(measure), rest),
        "priors": Fixed(priors),
        "effects": (),
        "coords": Fixed(coords),
        "centre": jnp.zeros(0),
        "width": jnp.ones(0),
        "questions": questions,
        "response": "graded",
        "location": "cutpoints",
    }
    # Of a mind there is nothing.
    return POMDPStudy(**{f.name: known.get(f.name) for f in fields(POMDPStudy)})


def records(base: POMDPStudy, *, events: bool = True, arms: bool = True, seed: int = 1) -> Any:
    """What the study's people live through: an event a step, of three levels, in two arms."""
    rng = np.random.default_rng(seed)
    people, episodes = base.coords["subject"], base.coords["episode"]
    rows = [
        (s, e, t, "approval", ("none", "kind", "harsh")[rng.integers(3)])
        for s in people
        for e in episodes
        for t in range(STEPS)
        if events and rng.random() < 0.8
    ]
    return SimpleNamespace(
        subjects=people,
        episodes=episodes,
        events=pd.DataFrame(rows, columns=["subject", "episode", "step", "modality", "level"]),
        group=pd.Series(["x", "y"] * (len(people) // 2), people) if arms else None,
    )

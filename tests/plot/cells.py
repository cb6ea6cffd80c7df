"""Results of experiments made up for the figures: the right names and sizes, random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attach_ai.lab.experiments import load_file

ROOT = Path(__file__).parents[2]
PERCEPTIONS = ("exact", "mean_field")
N_SESSIONS, N_SEEDS, N_MODELS = 3, 4, 5


def figure(name: str) -> Any:
    """A script of `paper/figures`."""
    return load_file(ROOT / "paper" / "figures" / f"{name}.py", f"paper.figures.{name}")


def experiment(name: str) -> Any:
    return load_file(ROOT / "experiments" / f"{name}.py", f"experiments.{name}")


def made_up(conditions: list[str], seed: int, n_models: int = 1, **variables: Any) -> xr.Dataset:
    """What `live` gives: variables of the given further shapes, uniform over (0, 1)."""
    draw = np.random.default_rng(seed)
    found = {}
    for name, shape in variables.items():
        dims = ("condition", "model", "seed", *(f"{name}_{i}" for i in range(len(shape))))
        size = (len(conditions), n_models, N_SEEDS, *shape)
        found[name] = (dims, draw.uniform(size=size))
    return xr.Dataset(found, {"condition": conditions, "model": [str(i) for i in range(n_models)]})


def who_pays() -> dict[str, xr.Dataset]:
    """Summarised cells of F3, by the experiment's own `summary`."""
    module = experiment("who_pays_for_belief")
    main = [
        f"{s}, {m}, {stance}"
        for s in module.SOURCES
        for m in module.MINDS
        for stance in module.STANCES
    ]
    routes = [*module.MINDS, "world without the effect"]
    n, raw = N_SESSIONS, {}
    for i, p in enumerate(PERCEPTIONS):
        kept: dict[str, Any] = {"prior": (n + 1,), "effort": (n,), "unheld": (n,)}
        book: dict[str, Any] = {"ledger": (n, 5)} if p == "exact" else {}
        raw[f"{p}.main.reference"] = made_up(main, i, **kept, **book)
        for kind in ("draws", "variants", "shuffles"):
            raw[f"{p}.main.{kind}"] = made_up(main, i + 10, N_MODELS, **kept)
        for kind, models in (("reference", 1), ("draws", N_MODELS)):
            raw[f"{p}.fiat.{kind}"] = made_up(list(module.MINDS), i + 20, models, **kept)
            raw[f"{p}.orienting.{kind}"] = made_up(routes, i + 30, models, effect=())
    found: dict[str, xr.Dataset] = module.summary(raw)
    return found


def fear_of_loss() -> dict[str, xr.Dataset]:
    """Summarised cells of F5, by the experiment's own `summary`."""
    module = experiment("fear_of_loss_collapse")
    conditions = [f"practice, fear {f}" for f in (module.LOW, module.HIGH, *module.FEARS)]
    for arm in ("real other", "kappa 0", "self fixed", "no monitor"):
        conditions += [f"{arm}, fear {f}" for f in (module.LOW, module.HIGH)]
    conditions += ["unstable law", "unstable law, self fixed"]
    conditions += [
        f"{other} other, {choice} forced"
        for other in ("real", "imagined")
        for choice in ("maintain", "monitor")
    ]
    conditions = list(dict.fromkeys(conditions))
    n, raw = N_SESSIONS, {}
    kept: dict[str, Any] = {"held": (n,), "unheld": (n,), "course": (6, 3)}
    for i, p in enumerate(PERCEPTIONS):
        raw[f"{p}.arms.reference"] = made_up(conditions, i, **kept)
        for kind in ("draws", "variants", "shuffles"):
            raw[f"{p}.arms.{kind}"] = made_up(conditions, i + 10, N_MODELS, **kept)
        raw[f"{p}.without"] = made_up(["benevolent off"], i + 20, **kept)
        raw[f"{p}.map"] = _map(module)
    found: dict[str, xr.Dataset] = module.summary(raw)
    return found


def _map(module: Any) -> xr.Dataset:
    """A session that leads to trust .6 - .4 kappa fear, from wherever it starts."""
    axes = {"kappa": module.KAPPAS, "fear": module.FEARS, "trust": module.TRUSTS}
    at = xr.Dataset(coords={k: list(v) for k, v in axes.items()})
    after = 0.6 - 0.2 * at["kappa"] * at["fear"] + 0 * at["trust"]
    fear = at["fear"] + 0 * at["kappa"] + 0 * at["trust"]
    return xr.Dataset({"trust_after": after, "fear_after": fear})


def verdict(name: str, failed: tuple[str, ...] = ()) -> dict[str, Any]:
    """A verdict with the findings that the figure has words for; those `failed` did not hold."""
    outcomes = []
    for i, finding in enumerate(figure(name).LABELS):
        for p in PERCEPTIONS:
            measured = {"variants": 0.5, "false_pass": 0.1 * i, "alarm": 1.0, "checking": 2.0}
            outcomes.append(
                {
                    "name": finding,
                    "perception": p,
                    "passed": finding not in failed,
                    "share": i / 10 if p == "exact" else None,
                    "measured": measured | {"loss": None},
                    "decides": True,
                }
            )
    beside = {"name": "beside", "perception": "exact", "passed": False, "share": None}
    outcomes.append(beside | {"measured": {}, "decides": False})
    return {"experiment": name, "passed": not failed, "outcomes": outcomes}

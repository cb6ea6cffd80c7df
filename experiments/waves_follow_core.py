"""S3. Does the member of the family that is fitted follow the one on which headlines run?

The core lives 20 sessions of 40 steps and learns at each boundary; the fitted member
(`attachment_waves`) takes one step a day. Both start from the same prior beliefs, in the same arms,
over a grid of trust, fear of loss and strength of holding, and are asked for three beliefs before
each session: that a benevolent other is there, that the law is not stable, that I am ashamed. The
core learns all three priors. The fitted member is driven as it is in a fit, by outcomes as they are
expected; what that costs is measured against lives in which outcomes are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from attach_ai.agent import Agent, Dirichlet, Exact, Habit
from attach_ai.agent.hold import compile_program
from attach_ai.fit.study.course import Given, course
from attach_ai.lab import Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.design import latin_hypercube, shuffle_edges
from attach_ai.lab.population import Condition, Population
from attach_ai.lab.setting import DEFAULTS, Setting
from attach_ai.model import Phase, Practice, load_model, load_phenotype, load_practice
from attach_ai.model.practice import Schedule
from attach_ai.simulation import Record

FIGURE = "S3"
QUESTION = "Do the days of the fitted member follow the sessions of the core?"
PREDICTION = (
    "Over the grid, beliefs at the end of practice are ranked alike in every arm (Spearman at "
    "least .8), trajectories differ by less than .15 in probability (root mean square), and the "
    "arms that the core tells apart stand in the same order at .8 of the points. The exposure "
    "drive differs from lives with drawn outcomes by less than .05."
)
REFUTATION = (
    "A rank correlation below .8 in some arm, a trajectory off by .15 or more, another order of "
    "the arms at more than a fifth of the points, or an error of the drive of .05 or more."
)
ABLATION = "loop cut: both must lose what the body loop gives"
NULL = "the fitted member with its edges shuffled: the same marginals, and no reason to follow"
CLAIMS = ()
MODELS = (
    "attachment_core",
    "attachment_waves",
    "attachment_injury",
    "loving_kindness",
    "loving_kindness_day",
    "imagined_other",
    "real_other",
)

# Committed before the first run.
RANK, RMSE, DRIVE, ORDER = 0.8, 0.15, 0.05, 0.8
TOLD_APART = 0.02  # arms of the core closer than this, or than two standard errors, have no order

ARMS = {
    "practice": ("imagined_other", True, None),
    "loop cut": ("imagined_other", True, 0.0),
    "no practice": ("imagined_other", False, None),
    "real other": ("real_other", True, None),
}
BELIEFS = ("benevolent", "not stable", "ashamed")
TRUSTS = (0.05, 0.2, 0.5, 0.8)
FEARS = (0.02, 0.3, 0.6, 0.9)
HOLDS = (0.5, 1.0, 2.0, 4.0)
# What draws vary besides: what means the same in both members.
RANGES = {
    "trust": (0.02, 0.9),
    "fear_of_loss": (0.02, 0.9),
    "hold": (0.5, 4.0),
    "gain": (0.2, 1.0),
    "shame": (0.1, 0.9),
    "hostility": (0.05, 0.6),
    "instability": (0.05, 0.6),
    "vigilance": (0.05, 0.6),
    "avoidance": (0.05, 0.6),
    "awareness": (0.0, 1.0),
}
SCALES = tuple(
    np.round(np.geomspace(0.2, 3.0, 31), 3).tolist()
)  # days of the one a day of the other


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` lives of the core at a grid point and `n_paired` at a draw; `n_lives` of the
    fitted member with drawn outcomes, at a point."""

    n_seeds: int = 16
    n_draws: int = 64
    n_paired: int = 8
    n_shuffles: int = 24
    n_lives: int = 64
    n_sessions: int = 20
    seed: int = 43


SMOKE = Config(n_seeds=1, n_draws=64, n_paired=1, n_shuffles=1, n_lives=1, n_sessions=2)
STANDARD = Config()
DEEP = Config(n_seeds=200, n_draws=500, n_shuffles=100, n_lives=400)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Both members over the grid and in draws; the fitted one shuffled, and with drawn outcomes."""
    return {
        "core.grid": partial(_core, config, "grid"),
        "waves.grid": partial(_waves, config, "grid"),
        "core.draws": partial(_core, config, "draws"),
        "waves.draws": partial(_waves, config, "draws"),
        "waves.weeks": partial(_weeks, config),
        "waves.shuffles": partial(_shuffled, config),
        "waves.lives": partial(_lives, config),
    }


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: both members over the grid, and the drive beside drawn outcomes."""
    return {n: found[n] for n in ("core.grid", "waves.grid", "waves.weeks", "waves.lives")}


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction."""
    core, waves = found["core.grid"], sessions(found["waves.grid"], config.n_sessions)
    drawn = sessions(found["waves.draws"], config.n_sessions)
    outcomes = [
        *(_ranked(found, core, waves, belief) for belief in BELIEFS),
        *_near(found, core, waves, drawn, config),
        _weekly(core, sessions(found["waves.weeks"], config.n_sessions, 1 / 7)),
        _ordered(core, waves, found["core.draws"], drawn),
        _driven(found["waves.lives"]),
    ]
    return Verdict("waves_follow_core", PREDICTION, REFUTATION, tuple(outcomes))


# ------------------------------------------------------------------ what is compared


def calendar(n_sessions: int) -> np.ndarray:
    """The day before which each session is lived, and the one after the last: (session + 1,)."""
    n = np.arange(n_sessions + 1)
    return n + 2 * (n // 5)


def sessions(waves: xr.Dataset, n_sessions: int, scale: float = 1.0) -> xr.DataArray:
    """Beliefs of the fitted member before each session, its days counted `scale` to one."""
    days = calendar(n_sessions) * scale
    at = waves["mean"].interp(day=xr.DataArray(days, dims="session")).drop_vars("day")
    return at.transpose(
        *(d for d in at.dims if d not in ("session", "belief")), "session", "belief"
    )


def error(core: xr.Dataset, waves: xr.DataArray, over: tuple[str, ...]) -> xr.DataArray:
    """Root mean square difference over sessions after the first, and over whatever is named."""
    apart = (core["mean"] - waves).isel(session=slice(1, None))
    return ((apart**2).mean(("session", *over))) ** 0.5


def shared_scale(core: xr.Dataset, waves: xr.Dataset, n_sessions: int) -> float:
    """The one number of days to a day that brings all trajectories nearest."""
    every = ("arm", "point", "belief")
    apart = [float(error(core, sessions(waves, n_sessions, s), every)) for s in SCALES]
    return SCALES[int(np.argmin(apart))]


def agreement(core: xr.Dataset, waves: xr.DataArray) -> xr.DataArray:
    """Spearman correlation over points of the beliefs after the last session: (arm, belief)."""
    from scipy.stats import spearmanr

    one, other = (
        x.isel(session=-1).transpose("arm", "belief", "point") for x in (core["mean"], waves)
    )
    flat = np.array(
        [
            [_rank(spearmanr(one.values[a, b], other.values[a, b]).statistic) for b in range(3)]
            for a in range(len(ARMS))
        ]
    )
    return xr.DataArray(flat, {"arm": list(ARMS), "belief": list(BELIEFS)}, ("arm", "belief"))


def _rank(r: float) -> float:
    return float(r) if np.isfinite(r) else 0.0  # constant: nothing is ranked


def in_order(core: xr.Dataset, waves: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """By point: whether the fitted member orders by P(benevolent) all arms that the core tells
    apart as the core does; and how many pairs of arms that are."""
    last = {"session": -1, "belief": 0}
    mean, se = core["mean"].isel(last), core["se"].isel(last)
    agrees, pairs = np.ones(mean.sizes["point"], bool), np.zeros(mean.sizes["point"])
    for a, b in combinations(ARMS, 2):
        gap = (mean.sel(arm=a) - mean.sel(arm=b)).values
        noise = 2 * np.hypot(se.sel(arm=a).values, se.sel(arm=b).values)
        apart = np.abs(gap) > np.maximum(TOLD_APART, noise)
        other = (waves.isel(last).sel(arm=a) - waves.isel(last).sel(arm=b)).values
        agrees &= ~apart | (np.sign(gap) == np.sign(other))
        pairs += apart
    return agrees, pairs


def _ranked(
    found: Mapping[str, xr.Dataset], core: xr.Dataset, waves: xr.DataArray, belief: str
) -> Finding:
    at = agreement(core, waves).sel(belief=belief)
    drawn = sessions(found["waves.draws"], core.sizes["session"] - 1)
    draws = agreement(found["core.draws"], drawn).sel(belief=belief)
    null = sessions(found["waves.shuffles"], core.sizes["session"] - 1)
    chance = [
        bool((agreement(core, null.sel(shuffle=s)).sel(belief=belief) >= RANK).all())
        for s in null["shuffle"].values
    ]
    name = belief.replace(" ", "_")
    return Finding(
        f"ranked_alike_{name}",
        f"over the grid P({belief}) after practice is ranked alike in every arm",
        bool((at >= RANK).all()),
        {a: float(at.sel(arm=a)) for a in ARMS}
        | {f"{a}, draws": float(draws.sel(arm=a)) for a in ARMS}
        | {"false_pass": float(np.mean(chance))},
    )


def _near(
    found: Mapping[str, xr.Dataset],
    core: xr.Dataset,
    waves: xr.DataArray,
    drawn: xr.DataArray,
    config: Config,
) -> list[Finding]:
    at = error(core, waves, ("point",))
    each = error(found["core.draws"], drawn, ("arm",))
    scale = shared_scale(core, found["waves.grid"], config.n_sessions)
    scaled = error(core, sessions(found["waves.grid"], config.n_sessions, scale), ("point",))
    # What staying at the start would cost says how much there is to follow.
    start = core["mean"].isel(session=0) + 0 * core["mean"]
    still = error(core, start, ("point", "arm"))
    outcomes = [
        Finding(
            f"near_{belief.replace(' ', '_')}",
            f"trajectories of P({belief}) differ by less than {RMSE} in every arm",
            bool((at.sel(belief=belief) < RMSE).all()),
            {a: float(at.sel(belief=belief, arm=a)) for a in ARMS}
            | {"if_nothing_moved": float(still.sel(belief=belief))},
            share=float((each.sel(belief=belief) < RMSE).mean()),
        )
        for belief in BELIEFS
    ]
    return [
        *outcomes,
        Finding(
            "near_on_one_time_scale",
            "the same for every belief once the days are counted on one shared scale",
            bool((scaled < RMSE).all()),
            {"days_to_a_day": scale}
            | {
                f"{belief}, {a}": float(scaled.sel(belief=belief, arm=a))
                for belief in BELIEFS
                for a in ARMS
            },
            decides=False,
        ),
    ]


def _weekly(core: xr.Dataset, waves: xr.DataArray) -> Finding:
    at, ranks = error(core, waves, ("point",)), agreement(core, waves)
    agrees, _ = in_order(core, waves)
    return Finding(
        "one_step_a_week",
        "with one step a week beliefs are ranked alike, near, and the arms in order",
        bool((at < RMSE).all() and (ranks >= RANK).all() and agrees.mean() >= ORDER),
        {f"{b}, {a}": float(at.sel(belief=b, arm=a)) for b in BELIEFS for a in ARMS}
        | {f"rank of {b}, {a}": float(ranks.sel(belief=b, arm=a)) for b in BELIEFS for a in ARMS}
        | {"points_in_order": float(agrees.mean())},
        decides=False,
    )


def _ordered(
    core: xr.Dataset, waves: xr.DataArray, draws: xr.Dataset, drawn: xr.DataArray
) -> Finding:
    agrees, pairs = in_order(core, waves)
    also, _ = in_order(draws, drawn)
    last = {"session": -1, "belief": 0}
    return Finding(
        "arms_in_the_same_order",
        f"arms that the core tells apart stand in the same order at {ORDER} of the points",
        float(agrees.mean()) >= ORDER,
        {"points_in_order": float(agrees.mean()), "pairs_told_apart": float(pairs.mean())}
        | {f"core, {a}": float(core["mean"].isel(last).sel(arm=a).mean()) for a in ARMS}
        | {f"waves, {a}": float(waves.isel(last).sel(arm=a).mean()) for a in ARMS},
        share=float(also.mean()),
    )


def _driven(lives: xr.Dataset) -> Finding:
    apart = lives["drive"] - lives["mean"]
    # Their mean over a few lives has an error of its own, which is not the drive's.
    beyond = (apart**2 - lives["se"] ** 2).mean(("point", "day"))
    at = beyond.clip(0) ** 0.5
    noise = float((lives["se"] ** 2).mean()) ** 0.5
    return Finding(
        "the_drive_is_near_drawn_outcomes",
        f"beliefs under the exposure drive are within {DRIVE} of the mean of lives in every arm",
        bool((at < DRIVE).all()),
        {f"{b}, {a}": float(at.sel(belief=b, arm=a)) for b in BELIEFS for a in ARMS}
        | {"noise": noise, "bias": float(apart.mean())},
    )


# ------------------------------------------------------------------ what is run


def _points(config: Config, kind: str, n_seeds: int, member: str) -> Population:
    """The grid, or draws, as a population of one model."""
    model = load_model(member)
    if kind == "grid":
        at = np.array(list(product(TRUSTS, FEARS, HOLDS)))
        values = dict(zip(("trust", "fear_of_loss", "hold"), at.T, strict=True))
    else:
        values = latin_hypercube(RANGES, config.n_draws, config.seed)
    n = len(values["trust"])
    return Population(kind, (model,) * n, values, tuple(map(str, range(n))), n_seeds)


def _conditions(here: Setting) -> dict[str, Condition]:
    return {
        name: Condition(world=here.world(world), practised=practised, gain=gain)
        for name, (world, practised, gain) in ARMS.items()
    }


def _core(config: Config, kind: str) -> xr.Dataset:
    """Priors before each session and after the last: (arm, point, session, belief)."""
    here = Setting(
        mind=load_phenotype("attachment_injury"),
        learning=Dirichlet(D=("self_state", "agents", "law")),
    )
    n_seeds = config.n_seeds if kind == "grid" else config.n_paired
    group = _points(config, kind, n_seeds, "attachment_core")
    data = here.live("exact", group, _conditions(here), _priors, config)["prior"]
    return _labelled(data, "session")


def _labelled(data: xr.DataArray, time: str) -> xr.Dataset:
    """Means and standard errors over seeds, with this experiment's names."""
    *_, steps, beliefs = data.dims
    data = data.rename({steps: time, beliefs: "belief", "condition": "arm", "model": "point"})
    data = data.assign_coords(belief=list(BELIEFS), point=np.arange(data.sizes["point"]))
    n = data.sizes["seed"]
    error = data.std("seed", ddof=min(1, n - 1)) / np.sqrt(n)
    return xr.Dataset({"mean": data.mean("seed"), "se": error})


def _priors(record: Record, arm: Arm) -> dict[str, Any]:
    """P(benevolent), P(law is not stable) and P(ashamed) before each session, and at the end."""

    def prior(factor: str) -> jax.Array:
        now, last = record.counts[f"D.{factor}"], record.final_counts[f"D.{factor}"]
        counts = jnp.concatenate([now, last[None]])
        return counts / counts.sum(-1, keepdims=True)

    return {"prior": _three(prior("self_state"), prior("agents"), prior("law"))}


def _three(self_state: jax.Array, agents: jax.Array, law: jax.Array) -> jax.Array:
    return jnp.stack([agents[..., 2], 1 - law[..., 0], self_state[..., 1]], -1)


def _practice(n_days: int, days_on: int = 5) -> Practice:
    """Loving kindness seen from afar: so many days of each seven, all day."""
    practice = load_practice("loving_kindness_day")
    held = practice.phases[0].operators
    on = np.arange(n_days) % 7 < days_on
    weeks = [Phase("held", 1, held) if x else Phase("off", 1) for x in on]
    return replace(practice, schedule=Schedule(steps=n_days), phases=tuple(weeks))


def _afar(n_days: int, days_on: int = 5) -> Setting:
    """The setting of the fitted member: one long session of days, the body with no inertia."""
    return Setting(
        model=load_model("attachment_waves"),
        practice=_practice(n_days, days_on),
        mind=load_phenotype("attachment_injury"),
        learning=Dirichlet(),
        defaults={**DEFAULTS, "rate": 1.0},
    )


def _waves(config: Config, kind: str) -> xr.Dataset:
    """Beliefs before each day's outcomes, by the exposure drive: (arm, point, day, belief)."""
    n_days = int(calendar(config.n_sessions)[-1] * max(SCALES)) + 2
    here = _afar(n_days)
    group = _points(config, kind, 1, "attachment_waves")
    return xr.Dataset({"mean": _driven_through(here, group, lambda mind: mind)})


def _weeks(config: Config) -> xr.Dataset:
    """The same over the grid with one step a week, held five days in seven."""
    n_weeks = -(-int(calendar(config.n_sessions)[-1]) // 7) + 1
    here = _afar(n_weeks, days_on=7)
    group = _points(config, "grid", 1, "attachment_waves")
    return xr.Dataset({"mean": _driven_through(here, group, lambda mind: mind, dose=5 / 7)})


def _shuffled(config: Config) -> xr.Dataset:
    """The same over the grid with shuffled edges: (shuffle, arm, point, day, belief)."""
    here = _afar(int(calendar(config.n_sessions)[-1]) + 1)
    group = _points(config, "grid", 1, "attachment_waves")
    found = [
        _driven_through(here, group, partial(_dealt, jax.random.key(config.seed + i)))
        for i in range(config.n_shuffles)
    ]
    axis = xr.DataArray(np.arange(config.n_shuffles), dims="shuffle", name="shuffle")
    return xr.Dataset({"mean": xr.concat(found, axis)})


@eqx.filter_jit
def _dealt(key: jax.Array, every: Any) -> Any:
    return jax.vmap(lambda pomdp: shuffle_edges(key, pomdp))(every)


def _driven_through(
    here: Setting,
    group: Population,
    change: Callable[[Any], Any],
    *,
    after: bool = False,
    dose: float = 1.0,
) -> xr.DataArray:
    """Beliefs before (or after) each day's outcomes in every arm."""
    program = compile_program(here.practice, here.model.layout)
    dtype = program.active.dtype
    hold, gain = (jnp.asarray(group.outside(n, here.defaults[n]), dtype) for n in ("hold", "gain"))
    mind = change(group.build(_known(here), {}))
    found = []
    for c in _conditions(here).values():
        world = change(group.build({}, c.world))
        loop = gain if c.gain is None else jnp.full(group.n, c.gain, gain.dtype)
        on = dose * float(c.practised) * program.active
        found.append(np.asarray(_drive(mind, world, hold, loop, on, program, after)))
    coords = {"arm": list(ARMS), "belief": list(BELIEFS), "day": np.arange(found[0].shape[1])}
    coords["point"] = np.arange(group.n)
    return xr.DataArray(np.stack(found), coords, ("arm", "point", "day", "belief"))


def _known(here: Setting) -> dict[str, float]:
    return {k: v for k, v in here.mind.items() if k in here.model.parameters}


@eqx.filter_jit
def _drive(
    minds: Any, worlds: Any, hold: Any, gain: Any, dose: Any, program: Any, after: bool
) -> jax.Array:
    """(point, day, belief), compiled once for all arms."""
    layout = minds.layout
    n = dose.shape[0]

    inner = tuple(i for i, m in enumerate(layout.modalities) if m.inner)

    def one(mind: Any, world: Any, hold: Any, gain: Any) -> jax.Array:
        given = Given(
            shares=_shown(world, n),
            fed=jnp.ones(n, gain.dtype),
            gain=gain,
            rate=jnp.ones((), gain.dtype),
            choice=jnp.zeros((n, len(layout.choices)), gain.dtype),
            dose=dose,
            allowed=jnp.ones((n, len(layout.choices)), bool),
            loop=inner,
        )
        held = eqx.tree_at(lambda p: [o.strength for o in p.operators], program, [hold])
        lived = course(Agent(planning=Habit()), mind, held, given)
        joint = (lived.after if after else lived.before).reshape(n, *layout.shape)
        return _three(*(joint.sum([i for i in (1, 2, 3) if i != f]) for f in (1, 2, 3)))

    return jax.vmap(one)(minds, worlds, hold, gain)


def _shown(world: Any, n_days: int) -> tuple[jax.Array, ...]:
    """What a world is expected to show each day, its own state averaged out: (day, outcome)."""
    see = Exact()
    tables = see.prepare(world)

    def day(state: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        shown = []
        for a, modality in zip(world.A, world.layout.modalities, strict=True):
            p = see.read(tables, state, modality.parents)
            shown.append(jnp.tensordot(a, p, axes=p.ndim))
        return see.forecast(tables, state, 0)[0], tuple(shown)

    return jax.lax.scan(day, see.begin(tables, world.D), None, n_days)[1]


def _lives(config: Config) -> xr.Dataset:
    """Lives of the fitted member with drawn outcomes, after each day's, beside the drive."""
    here = _afar(int(calendar(config.n_sessions)[-1]))
    group = _points(config, "grid", config.n_lives, "attachment_waves")
    sizes = replace(config, n_sessions=1)
    data = here.live("exact", group, _conditions(here), _beliefs, sizes)["belief"]
    found = _labelled(data, "day").assign_coords(day=np.arange(data.sizes[data.dims[-2]]))
    return found.assign(drive=_driven_through(here, group, lambda mind: mind, after=True))


def _beliefs(record: Record, arm: Arm) -> dict[str, Any]:
    """The three unheld beliefs after each day's outcomes."""
    self_state, agents, law = (q[0] for q in record.decision.posterior)
    return {"belief": _three(self_state, agents, law)}

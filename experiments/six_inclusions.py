"""F2. Six ways to add a benevolent other to a mind, and when a mind needs one of them.

Each operator acts on the same mind with the same schedule and, for its signature, on the very same
outcomes and choices, replayed: what moves while it acts, what is left on release and at the next
session, whether parents move although nothing is seen, and whether threat still follows the body.
This is asked with a real other and with an imagined one, at several prior masses epsilon (prior and
inflow alike, as in an expansion); at zero the other is as excluded as `without` would leave it.
Beside it stands care without practice: how long does a mind take that merely conditions on a real
other, and what does an included level save it?

Signatures are read with a real other, as declared before the first run, and with an imagined one
beside. After that run they were for a while read the other way round, on the guess that a real
other's care hides what conditioning leaves for the next session; it is as little without her, so
the declaration stands. Both readings had been seen by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from attach_ai.agent import Agent, Dirichlet, Habit, Program, compile_program
from attach_ai.agent.operators import Expand
from attach_ai.agent.structure import prune
from attach_ai.lab import ROBUST, Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.population import KINDS, Condition, Population, holds, signs
from attach_ai.lab.setting import Setting, perceive, reduced
from attach_ai.model import POMDP, OperatorSpec, Practice, load_practice
from attach_ai.simulation import Days, Observed, Record, condition

FIGURE = "F2"
QUESTION = "How do six ways of including a cause differ, and when does a mind need to include one?"
PREDICTION = (
    "Each operator leaves a signature of its own. Care without practice moves every belief that is "
    "not exactly zero, in time linear in ln(1/epsilon), at one nat for each nat that a step says; "
    "an excluded other it never moves, and there inclusion decides; at epsilon = .2 inclusion "
    "saves nothing. A held mind infers threat from the body as before, a suppressing one does not."
)
REFUTATION = (
    "Two operators leave the same signature; or conditioning matches inclusion everywhere, at zero "
    "too; or time does not grow in ln(1/epsilon); or holding cuts threat off from the body."
)
ABLATION = "no operator; precision lowered instead of a belief held"
NULL = "epsilon = .2, where nothing needs to be included; a field on the wrong level (hostile)"
CLAIMS = (3, 22)
MODELS = ("attachment_core", "loving_kindness", "imagined_other", "real_other")

# Committed before the first run.
MARKS = ("during", "released", "next", "parents", "body", "at_zero")
SIGNATURES = {
    # P(other) while it acts; one step after; at the next session; the law, unseen; threat follows
    # the body; and it works where the other is excluded.
    "field": (True, False, False, True, True, False),
    "clamp": (True, False, False, False, True, False),
    "condition": (True, True, True, True, True, False),
    "prior_change": (False, False, True, False, True, True),
    "precision": (False, False, False, False, False, False),
    "expand": (True, True, True, False, True, True),
}
MOVED = 0.02  # a probability of the other that moves less has not moved
PARENT = 0.005  # the same for the law, where nothing is seen and nothing is left to chance
BODY = 0.5  # threat follows the body if it keeps this share of its mutual information
GONE = 0.1  # and is cut off from it at less than this share
LINEAR = 0.95  # R2 of time against ln(1/epsilon)
NEAR = 1.5  # the slope is right within this factor
SPARES = 1.0  # steps; inclusion that saves no more than this saves nothing

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "field": {},
    "clamp": {},
    "condition": {"strength": 0.5},
    "prior_change": {"amount": 1.0},
    "precision": {"modality": "interoception", "zeta": 0.0},
    "expand": {"mass": 0.05},
    "wrong": {"kind": "field", "level": "hostile"},
}
CARRIED = ("clamp",)  # in a program of its own: what is carried would keep the others' tilts
OTHERS = ("field", "condition", "prior_change", "precision", "wrong", "expand")
ROWS = ("none", *OTHERS, *CARRIED)
EPSILONS = (1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.2)
SIGNED = 0.05  # where signatures are read
WORLDS = {"real": "real_other", "imagined": "imagined_other"}
PHASES = {"select": 2, "include": 12, "release": 6}
HELD = PHASES["select"] + PHASES["include"] - 1  # the last step at which an operator acts
CARE = 100  # steps of care at most
BENEVOLENT, CONTINGENT, MAINTAIN = 2, 2, 0


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` in draws; `n_rough` draws under mean field."""

    n_seeds: int = 64
    n_draws: int = 64
    n_rough: int = 24
    n_paired: int = 8
    n_shuffles: int = 16
    n_sessions: int = 1
    seed: int = 22
    perceptions: tuple[str, ...] = ("exact",)


SMOKE = Config(n_seeds=2, n_draws=2, n_rough=2, n_paired=2, n_shuffles=2)
STANDARD = Config()
DEEP = Config(
    n_seeds=200, n_draws=1000, n_rough=100, n_shuffles=100, perceptions=("exact", "mean_field")
)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Per perception: care in four populations, replayed practice in two."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in config.perceptions:
        for kind in KINDS:
            work[f"{p}.care.{kind}"] = partial(_care, config, p, kind)
        for kind in ("reference", "draws"):
            work[f"{p}.replay.{kind}"] = partial(_replay, config, p, kind)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: the reference, signatures with shares of draws, times of care."""
    lean = {}
    for name, data in found.items():
        if name.endswith("reference"):
            lean[name] = data
        elif ".care." in name:
            lean[name] = data[["steps"]]
        if name.endswith("replay.reference"):
            known = signatures(data).isel(model=0).astype(float)
            declared = xr.DataArray(np.array([*SIGNATURES.values()]), dims=("operator", "mark"))
            cell = name.replace("replay", "signatures")
            lean[cell] = known.assign(declared=declared.astype(float))
            rows = {"row": list(ROWS)}
            lean[cell.replace("reference", "rows")] = xr.Dataset(coords=rows)
        elif name.endswith("replay.draws"):
            lean[name.replace("replay", "signatures")] = signatures(data)[["shown"]].mean("model")
    return reduced(lean)


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction, under each perception."""
    outcomes = []
    for p in config.perceptions:
        own = {n.removeprefix(f"{p}."): c for n, c in found.items()}
        outcomes += [*_signed(p, own), *_cromwell(p, own)]
    return Verdict("six_inclusions", PREDICTION, REFUTATION, tuple(outcomes))


# ------------------------------------------------------------------ what it means


def replays(data: xr.Dataset, world: str, epsilon: float) -> xr.Dataset:
    """What was read of the replayed session, by operator; "none" is the session itself."""
    at = data.sel(condition=f"{world}, {epsilon:g}")
    at = at.mean("seed") if "seed" in at.dims else at
    named = {k: v.rename({f"{k}_0": "operator"}) for k, v in at.items()}
    return xr.Dataset(named).assign_coords(operator=list(ROWS))


def signatures(data: xr.Dataset, world: str = "real") -> xr.Dataset:
    """Size of each mark, and whether it is there: `size`, `shown` (operator, mark, model)."""
    there, zero = replays(data, world, SIGNED), replays(data, world, 0.0)
    sizes = []
    for name in SIGNATURES:
        frame = zero if name == "expand" else there
        at, none = frame.sel(operator=name), frame.sel(operator="none")
        marks = [at[m] - none[m] for m in MARKS[:3]]
        marks += [abs(at["parents"] - none["parents"]), at["body"] / none["body"]]
        # A clamp on a level that is switched off is an error: it does nothing there.
        marks.append(zero["next"].sel(operator="none" if name in CARRIED else name))
        sizes.append(xr.concat([x.reset_coords(drop=True) for x in marks], "mark"))
    size = xr.concat(sizes, "operator")
    size = size.assign_coords(operator=list(SIGNATURES), mark=list(MARKS))
    least = xr.DataArray([MOVED, MOVED, MOVED, PARENT, BODY, MOVED], {"mark": list(MARKS)})
    return xr.Dataset({"size": size, "shown": size > least})


def _signed(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    at = signatures(found["replay.reference"]).isel(model=0)
    drawn = signatures(found["replay.draws"])
    outcomes = []
    for name, expected in SIGNATURES.items():
        wanted = xr.DataArray(list(expected), {"mark": list(MARKS)})
        right = (drawn["shown"].sel(operator=name) == wanted).all("mark")
        sizes = at["size"].sel(operator=name)
        outcomes.append(
            Finding(
                f"signature_of_{name}",
                f"{name.replace('_', ' ')} leaves the signature that was declared for it",
                bool((at["shown"].sel(operator=name) == wanted).all())
                and float(right.mean()) >= ROBUST,
                {m: float(sizes.sel(mark=m)) for m in MARKS},
                share=float(right.mean()),
                perception=p,
                kind="BUILT-IN",
                claim=3,
            )
        )
    shown = at["shown"].transpose("operator", "mark").values
    body = drawn["size"].sel(mark="body")
    kept = (body.sel(operator="field") >= BODY) & (body.sel(operator="precision") <= GONE)
    here = at["size"].sel(mark="body")
    field, cut = float(here.sel(operator="field")), float(here.sel(operator="precision"))
    wrong = replays(found["replay.reference"], "real", SIGNED).isel(model=0)
    gained = {
        m: float(wrong[m].sel(operator="wrong") - wrong[m].sel(operator="none")) for m in MARKS[:3]
    }
    return [
        *outcomes,
        _imagined(p, found),
        Finding(
            "signatures_differ",
            "no two operators leave the same signature",
            len({tuple(row) for row in shown}) == len(shown),
            {"distinct": len({tuple(row) for row in shown})},
            perception=p,
            kind="BUILT-IN",
            claim=3,
        ),
        Finding(
            "held_not_suppressed",
            "while the other is held threat still follows the body, under lowered precision not",
            field >= BODY and cut <= GONE and float(kept.mean()) >= ROBUST,
            {"field": field, "precision": cut},
            share=float(kept.mean()),
            perception=p,
            claim=22,
        ),
        Finding(
            "wrong_level_does_nothing",
            "the same field on the hostile level does not raise the belief in a benevolent other",
            all(x <= MOVED for x in gained.values()),
            gained,
            perception=p,
            kind="BUILT-IN",
            claim=3,
        ),
    ]


def _imagined(p: str, found: Mapping[str, xr.Dataset]) -> Finding:
    """The same signatures with nobody there: the share of draws in which each is as declared."""
    wanted = xr.DataArray([*SIGNATURES.values()], dims=("operator", "mark"))
    at = signatures(found["replay.reference"], "imagined").isel(model=0)
    drawn = signatures(found["replay.draws"], "imagined")
    right = (at["shown"] == wanted).all("mark")
    share = (drawn["shown"] == wanted).all("mark").mean("model")
    suppressed = at["size"].sel(operator="precision", mark="during")
    return Finding(
        "signatures_with_an_imagined_other",
        "with nobody there the signatures are the same",
        bool(right.all()) and bool((share >= ROBUST).all()),
        {f"share_{name}": float(share.sel(operator=name)) for name in SIGNATURES}
        | {"raised_by_suppression": float(suppressed)},
        perception=p,
        claim=3,
        decides=False,
    )


def times(data: xr.Dataset, stance: str = "maintain") -> xr.DataArray:
    """Steps of care until P(benevolent) > .5, at most `CARE`; (epsilon, model, seed)."""
    names = [f"{stance}, {e:g}" for e in EPSILONS]
    at = data["steps"].sel(condition=names)
    return at.rename(condition="epsilon").assign_coords(epsilon=list(EPSILONS))


def line(at: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Slope (steps a nat) and R2 of mean time against ln(1/epsilon), by model."""
    y = at.mean("seed") if "seed" in at.dims else at
    x = xr.DataArray(np.log(1 / np.array(EPSILONS)), {"epsilon": list(EPSILONS)})
    dx, dy = x - x.mean(), y - y.mean("epsilon")
    slope = (dx * dy).sum("epsilon") / (dx**2).sum()
    left = ((dy - slope * dx) ** 2).sum("epsilon")
    return slope, 1 - left / (dy**2).sum("epsilon").clip(min=1e-12)


def _cromwell(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    care = {k: found[f"care.{k}"] for k in KINDS}
    slope, fit = line(times(care["reference"]))
    _, fits = line(times(care["draws"]))
    # What a step says is read from the tables before any life is lived.
    said = care["reference"]["says"].mean("seed").isel(model=0, condition=0)
    saids = care["draws"]["says"].mean("seed").isel(condition=0)
    ratio = float(slope[0] * said)
    ratios = line(times(care["draws"]))[0] * saids
    near = float(((ratios > 1 / NEAR) & (ratios < NEAR)).mean())

    def included(d: xr.Dataset, name: str) -> xr.DataArray:
        return d[name].sel(condition="maintain, 0.2")  # the same whatever mass was taken away

    def decides(d: xr.Dataset) -> xr.DataArray:
        return included(d, "included_end") - included(d, "excluded_end") - 0.5

    def grows(d: xr.Dataset) -> xr.DataArray:
        return times(d).sel(epsilon=1e-6) - times(d).sel(epsilon=0.05) - SPARES

    def most(d: xr.Dataset) -> xr.DataArray:
        return SPARES - (times(d).sel(epsilon=0.2) - included(d, "included_steps"))

    never = float(included(care["reference"], "excluded_end").max())
    reached = {
        f"reached_at_{e:g}": float((times(care["reference"]).sel(epsilon=e) < CARE).mean())
        for e in EPSILONS[:2]
    }
    needed, growing, late = signs(decides, care), signs(grows, care), signs(most, care)
    free = times(care["reference"], "free").mean("seed").isel(model=0)
    forced = times(care["reference"]).mean("seed").isel(model=0)

    def told(name: str, statement: str, passed: bool, measured: Any, **more: Any) -> Finding:
        return Finding(name, statement, passed, measured, perception=p, claim=3, **more)

    return [
        told(
            "linear_in_log",
            "time until a real other is believed in grows linearly in ln(1/epsilon)",
            float(fit[0]) >= LINEAR and float((fits >= LINEAR).mean()) >= ROBUST,
            {"r2": float(fit[0]), "steps_a_nat": float(slope[0])},
            share=float((fits >= LINEAR).mean()),
            kind="CONDITIONAL",
        ),
        told(
            "slope_is_one_over_kl",
            "a nat of ln(1/epsilon) takes as many steps as a step's outcomes say of it, inverted",
            1 / NEAR < ratio < NEAR and near >= ROBUST,
            {"steps_a_nat": float(slope[0]), "nats_a_step": float(said), "ratio": ratio},
            share=near,
            kind="CONDITIONAL",
        ),
        told(
            "zero_needs_inclusion",
            "where the other is excluded care alone does nothing, and inclusion makes it count",
            never == 0 and holds(needed),
            needed | {"excluded": never},
            share=needed["share"],
            kind="BUILT-IN",
        ),
        told(
            "saves_more_the_less_mass",
            "what an included level saves grows as epsilon falls",
            holds(growing),
            growing | reached,
            share=growing["share"],
        ),
        told(
            "saves_nothing_at_a_fifth",
            "at epsilon = .2 inclusion saves no more than a step",
            holds(late),
            late,
            share=late["share"],
        ),
        told(
            "choice_slows_it",
            "free to choose its stance, the mind takes longer where it believes least",
            float(free[0] - forced[0]) > 0,
            {
                f"free_less_forced_at_{e:g}": float(free[i] - forced[i])
                for i, e in ((0, 1e-6), (5, 0.2))
            },
            decides=False,
        ),
    ]


# ------------------------------------------------------------------ what is run


def _practice(kinds: tuple[str, ...]) -> Practice:
    """One session: select, all these operators at once (arms switch them), release."""
    base = load_practice("loving_kindness")
    select, include = base.phases[:2]
    operators: list[OperatorSpec] = []
    for name in kinds:
        settings = dict(SETTINGS[name])
        kind = settings.pop("kind", name)
        operators += base.replacing(kind, **settings).phases[1].operators
    phases = (
        replace(select, steps=PHASES["select"]),
        replace(include, steps=PHASES["include"], operators=tuple(operators)),
        replace(select, name="release", steps=PHASES["release"]),
    )
    schedule = replace(base.schedule, steps=sum(PHASES.values()), stop_after=None)
    return replace(base, phases=phases, schedule=schedule)


def _caring() -> Practice:
    """One long session of company."""
    practice = _practice(())
    phase = replace(practice.phases[1], steps=CARE)
    return replace(practice, phases=(phase,), schedule=replace(practice.schedule, steps=CARE))


def _mass(epsilon: float) -> dict[str, float]:
    """Prior and inflow alike: what is unlikely now is unlikely to come."""
    return {"trust": epsilon, "return_rate": epsilon}


def _population(here: Setting, config: Config, p: str, kind: str) -> Population:
    few = config if p == "exact" else replace(config, n_draws=config.n_rough)
    return here.population(kind, few)


def _here(practice: Practice) -> Setting:
    return Setting(
        practice=practice,
        learning=Dirichlet(D=("agents", "law")),
        fixed=("trust", "return_rate"),
    )


def _care(config: Config, p: str, kind: str) -> xr.Dataset:
    here = _here(_caring())
    world = here.world("real_other")
    stances = {"maintain": (MAINTAIN,)} | ({"free": None} if kind == "reference" else {})
    # The body reports what is so (gain 0): nothing here rests on imagination.
    arms = {
        f"{stance}, {e:g}": Condition(_mass(e), world, practised=False, allowed=allowed, gain=0.0)
        for stance, allowed in stances.items()
        for e in EPSILONS
    }
    return here.live(p, _population(here, config, p, kind), arms, _cared(p), config)


@lru_cache(maxsize=4)
def _cared(perception: str) -> Callable[[Record, Arm], dict[str, Any]]:
    """Steps until the other is believed in, and belief at the end; the same with it excluded, and
    then included.

    At gain 0 with the stance given, outcomes do not depend on the mind: the same ones serve all.
    """

    def read(record: Record, arm: Arm) -> dict[str, Any]:
        idle = compile_program(_caring(), arm.mind.layout)
        gates = jnp.ones((1, len(arm.mind.layout.contexts)))
        include = Program((_expand(arm.mind),), jnp.ones((CARE, 1)), idle.allowed, gates)
        without = prune(arm.mind, "agents.benevolent")
        given = Observed(record.outcome, record.decision.choice)
        agent = Agent(perceive(perception), Habit(), Dirichlet())
        lives = {"": record.decision}
        for name, program in (("excluded_", idle), ("included_", include)):
            lives[name] = condition(agent, without, given, program, _day()).decision
        found = {"says": _says(arm)}
        for name, d in lives.items():
            q = d.posterior[1][0, :, BENEVOLENT]
            over = q > 0.5
            steps = jnp.where(over.any(), jnp.argmax(over) + 1, CARE).astype(q.dtype)
            found |= {f"{name}steps": steps, f"{name}end": q[-1]}
        return found

    return read


def _expand(mind: POMDP) -> Expand:
    """The level as the model declares it, with some mass; nothing where it has mass already."""
    mass = jnp.asarray(SETTINGS["expand"]["mass"])
    return Expand("agents", "benevolent", mass, template=mind)


def _day() -> Days:
    return Days(*(jnp.ones(1),) * 3, rest=jnp.zeros(1))


def _says(arm: Arm) -> Any:
    """E[ln p(o | benevolent) / p(o | not)] of a step while maintaining, in nats, from the tables.

    Outcomes as the world gives them; all other factors as the mind first believes them.
    """
    layout = arm.mind.layout
    agents, stance = layout.factor("agents"), layout.factor("stance")
    total = jnp.zeros(())
    for m, modality in enumerate(layout.modalities):
        if agents not in modality.parents or stance in modality.parents:
            continue  # the cue says nothing while maintaining
        there = _expected(arm.mind, m, modality.parents, jnp.eye(3)[BENEVOLENT])
        others = arm.mind.D[agents].at[BENEVOLENT].set(0.0)
        absent = _expected(arm.mind, m, modality.parents, others / others.sum())
        true = _expected(arm.world, m, modality.parents, arm.world.D[agents])
        total += jnp.sum(true * (jnp.log(there) - jnp.log(absent)))
    return total


def _expected(pomdp: POMDP, m: int, parents: tuple[int, ...], agents: Any) -> Any:
    """P(outcome) of a modality with the agents distributed so and the rest as in D."""
    p = pomdp.A[m]
    for f in reversed(parents):
        p = p @ (agents if f == pomdp.layout.factor("agents") else pomdp.D[f]).astype(p.dtype)
    return p


def _replay(config: Config, p: str, kind: str) -> xr.Dataset:
    here = _here(_practice(()))
    full = kind == "reference"
    epsilons = (0.0, *EPSILONS) if full else (0.0, SIGNED)
    arms = {
        f"{name}, {e:g}": Condition(
            _mass(e), here.world(world), practised=False, allowed=(MAINTAIN,)
        )
        for name, world in WORLDS.items()
        for e in epsilons
    }
    return here.live(p, _population(here, config, p, kind), arms, _replayed(p), config)


@lru_cache(maxsize=4)
def _replayed(perception: str) -> Callable[[Record, Arm], dict[str, Any]]:
    """The session again with no operator and with each: the same outcomes, the same choices."""
    practices = (_practice(OTHERS), _practice(CARRIED))

    def replay(record: Record, arm: Arm) -> dict[str, Any]:
        layout = arm.mind.layout
        learning = Dirichlet(D=("agents", "law"), retention=arm.retention, eta=arm.eta)
        agent = Agent(perceive(perception), Habit(), learning)
        body, threat = layout.modality("interoception"), layout.factor("threat")
        seen = record.outcome[0]
        felt = [seen.at[HELD, body].set(level) for level in range(3)]
        versions = jnp.stack([seen, jnp.full_like(seen, -1), *felt])

        def once(program: Program, mask: Any, outcome: Any) -> Any:
            active = program.active * mask[None]
            own = Program(program.operators, active, program.allowed, program.gates, program.name)
            given = Observed(outcome[None], record.decision.choice)
            lived = condition(agent, arm.mind, given, own, _day())
            d, prior = lived.decision, lived.final_counts["D.agents"]
            return (
                d.held[1][0, HELD, BENEVOLENT],
                d.held[1][0, HELD + 1, BENEVOLENT],
                prior[BENEVOLENT] / prior.sum(),
                d.held[layout.factor("law")][0, HELD, CONTINGENT],
                d.held[threat][0, HELD],
                d.evidence.vfe[0, HELD],
            )

        def all_masks(practice: Practice, none: bool) -> Any:
            program = compile_program(practice, layout, hold=arm.hold)
            operators = tuple(
                _expand(arm.mind) if isinstance(o, Expand) else o for o in program.operators
            )
            program = replace(program, operators=operators)
            masks = jnp.eye(len(operators))
            masks = jnp.concatenate([jnp.zeros_like(masks[:1]), masks]) if none else masks
            each = jax.vmap(lambda m: jax.vmap(lambda o: once(program, m, o))(versions))
            return each(masks)

        groups = [all_masks(x, i == 0) for i, x in enumerate(practices)]
        every = jax.tree.map(lambda *x: jnp.concatenate(x), *groups)
        during, released, after, law, dread, vfe = every  # each (operator, version, ...)
        # How probable each feeling was to the mind that does nothing: one measure for all.
        weight = jax.nn.softmax(-vfe[0, 2:])
        posterior = dread[:, 2:]
        mean = jnp.einsum("v,ovl->ol", weight, posterior)[:, None]
        each = jnp.where(posterior > 0, posterior * jnp.log(posterior / mean), 0.0).sum(-1)
        return {
            "during": during[:, 0],
            "released": released[:, 0],
            "next": after[:, 0],
            "parents": law[:, 1],
            "body": each @ weight,
        }

    return replay

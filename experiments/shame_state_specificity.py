"""F8. If I am wrong, I am alone: is that unlearned only while one is ashamed?

The edge is a column of the mind's own transitions: P(absent next | benevolent, contingent,
ashamed). Practice is done while accepted, while ashamed, or in between: inner speech is loaded with
affirmation or condemnation, and nothing else differs, preferences least of all. The other is
imagined, with the body loop, or real and stays. What is read is the learned P(alone | ashamed), its
mean over the laws as the mind has come to believe in them, and a probe with no practice at all.

Such a mind can come to expect less of being left in two ways: by doubting that the law is
contingent, or by learning another column. Beside the arms stand minds that are sure of the law, to
whom only the second is open, and minds that are never ashamed, for affirmation alone leaves some
shame. Both were added after a first small run (16 seeds), and decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import xarray as xr

from attach_ai.agent import Agent, Dirichlet, Habit, Program
from attach_ai.lab import ROBUST, Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.population import KINDS, Condition, holds, signs
from attach_ai.lab.setting import Setting, reduced
from attach_ai.model import POMDP, Layout, Practice, load_phenotype, load_practice
from attach_ai.simulation import Days, Observed, Record, condition

FIGURE = "F8"
QUESTION = (
    "Is 'if I am wrong, I am alone' unlearned only by practice in the very state it speaks of?"
)
PREDICTION = (
    "Practice in shame lowers the learned P(alone | ashamed), more than the same shame does "
    "without practice; practice while accepted lowers it by less than a quarter as much; with "
    "transitions that are not learned it hardly moves; and met with condemnation and without "
    "practice, above all the mind that practised in shame loses less of its belief in the other."
)
REFUTATION = (
    "Practice while accepted carries over to shame; or practice in shame does no more than shame "
    "without practice; or as much is unlearned with transitions frozen; or the probe shows nothing."
)
ABLATION = "transitions that are not learned (prior beliefs still are)"
NULL = "kappa = 0: no edge to unlearn; the same shame without practice, nobody there"
CLAIMS = (30,)
MODELS = (
    "attachment_core",
    "attachment_injury",
    "loving_kindness",
    "imagined_other",
    "real_other",
)

# Committed before the first run.
CARRY = 0.25  # carried over, or left by the ablation: at most this share of the fall
FLAT = 0.02  # a probability that moves less than this has not moved
STEPS = {"select": 2, "include": 4, "non_interference": 14}  # half a session of loving_kindness

# What inner speech is loaded with: (affirm, neutral, condemn), the same sum of both in "both".
LOADS = {
    "accepted": (0.90, 0.08, 0.02),
    "both": (0.46, 0.08, 0.46),
    "ashamed": (0.02, 0.08, 0.90),
}
PURE = {"shame": 0.0, "wound": 0.0}  # accepted throughout, whatever happens
SURE = {"fear_of_loss": 1.0, "law_drift": 0.0}  # nothing but contingency is possible
WORLDS = {"imagined": "imagined_other", "real": "real_other"}
STATES = ("accepted", "ashamed")
AT_REFERENCE = ("both", "accepted, no practice", "sure of the law")  # reported, not swept
BENEVOLENT, ABSENT, CONTINGENT, MAINTAIN, MONITOR = 2, 0, 2, 0, 1
AFFIRM, CONDEMN = 0, 2
PROBED = 10  # steps of the probe


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` in draws; `n_rough` draws under mean field."""

    n_seeds: int = 64
    n_draws: int = 64
    n_rough: int = 24
    n_paired: int = 8
    n_shuffles: int = 16
    n_sessions: int = 10
    seed: int = 28
    perceptions: tuple[str, ...] = ("exact",)


SMOKE = Config(n_seeds=2, n_draws=2, n_rough=2, n_paired=2, n_shuffles=2, n_sessions=2)
STANDARD = Config()
DEEP = Config(
    n_seeds=200, n_draws=1000, n_rough=100, n_shuffles=60, perceptions=("exact", "mean_field")
)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Per perception: the arms in four populations, and the same with transitions frozen in two."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in config.perceptions:
        for kind in KINDS:
            work[f"{p}.arms.{kind}"] = partial(_arms, config, p, kind)
        for kind in ("reference", "draws"):
            work[f"{p}.frozen.{kind}"] = partial(_frozen, config, p, kind)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: courses at the reference, first and last elsewhere."""
    lean = {}
    for name, data in found.items():
        ends = not name.endswith("reference")
        lean[name] = data[["alone"]].isel(alone_0=[0, -1]) if ends else data.drop_vars("law")
    return reduced(lean)


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction, under each perception."""
    outcomes = []
    for p in config.perceptions:
        outcomes += _findings(p, {n.removeprefix(f"{p}."): c for n, c in found.items()})
    return Verdict("shame_state_specificity", PREDICTION, REFUTATION, tuple(outcomes))


def _fall(data: xr.Dataset, arm: str, name: str = "alone") -> xr.DataArray:
    """How far P(alone | ashamed) has come down by the end."""
    course = data[name].sel(condition=arm).isel({f"{name}_1": STATES.index("ashamed")})
    return course.isel({f"{name}_0": 0}) - course.isel({f"{name}_0": -1})


def _spared(data: xr.Dataset, arm: str) -> xr.DataArray:
    """How much less of the belief in the other a spell of condemnation costs after than before."""
    odds = data["probe"].sel(condition=arm)  # (before or after, affirmed or condemned)
    cost = odds.isel(probe_1=0) - odds.isel(probe_1=1)
    return cost.isel(probe_0=0) - cost.isel(probe_0=1)


def _findings(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    arms = {k: found[f"arms.{k}"] for k in KINDS}
    outcomes, beside = [], []
    for world in WORLDS:

        def asked(
            name: str,
            statement: str,
            contrast: Callable[[xr.Dataset], xr.DataArray],
            cells: Mapping[str, xr.Dataset] = arms,
            world: str = world,
            *,
            decides: bool = True,
        ) -> Finding:
            told = signs(contrast, cells)
            return Finding(
                f"{name}_{world}",
                f"{statement} ({world} other)",
                holds(told),
                told,
                share=told["share"],
                perception=p,
                claim=30,
                decides=decides,
            )

        def in_shame(d: xr.Dataset, world: str = world) -> xr.DataArray:
            return _fall(d, f"{world}, ashamed")

        def beyond(d: xr.Dataset, world: str = world) -> xr.DataArray:
            return in_shame(d, world) - _fall(d, f"{world}, ashamed, no practice")

        def apart(d: xr.Dataset, world: str = world) -> xr.DataArray:
            return CARRY * in_shame(d, world) - _fall(d, f"{world}, accepted").clip(min=0)

        def kept(d: xr.Dataset, world: str = world) -> xr.DataArray:
            return CARRY * in_shame(d, world) - d["frozen"].clip(min=0)

        def probed(d: xr.Dataset, world: str = world) -> xr.DataArray:
            return _spared(d, f"{world}, ashamed") - _spared(d, f"{world}, accepted")

        def pure(d: xr.Dataset, world: str = world) -> xr.DataArray:
            return CARRY * in_shame(d, world) - _fall(d, f"{world}, never ashamed").clip(min=0)

        frozen = {
            k: arms[k].assign(frozen=_fall(found[f"frozen.{k}"], f"{world}, ashamed"))
            for k in ("reference", "draws")
        }
        outcomes += [
            asked("falls_in_shame", "practice in shame lowers P(alone | ashamed)", in_shame),
            asked("beyond_shame_alone", "it does so beyond shame without practice", beyond),
            asked("no_carry_over", "practice while accepted does not carry over to shame", apart),
            asked("needs_learned_transitions", "it needs transitions to be learned", kept, frozen),
            asked("probe", "condemned without practice, it costs such a mind less belief", probed),
        ]
        beside += [
            asked(
                "no_carry_over_without_shame",
                "practice in a mind never ashamed does not carry over to shame",
                pure,
                decides=False,
            ),
        ]
    return [*outcomes, _nothing(p, arms), _no_edge(p, arms), *beside, *_beside(p, found)]


def _nothing(p: str, arms: Mapping[str, xr.Dataset]) -> Finding:
    arm = "imagined, ashamed, no practice"
    told = {k: _fall(d, arm).mean("seed") for k, d in arms.items()}
    share = float((abs(told["draws"]) <= FLAT).mean())
    moved = float(told["reference"][0])
    return Finding(
        "flat_without_practice",
        "with nobody there and no practice, shame leaves P(alone | ashamed) within .02",
        abs(moved) <= FLAT and share >= ROBUST,
        {"fall": moved},
        share=share,
        perception=p,
        claim=30,
    )


def _no_edge(p: str, arms: Mapping[str, xr.Dataset]) -> Finding:
    def most(d: xr.Dataset) -> xr.DataArray:
        falls = [_fall(d, f"{world}, ashamed, no edge", "edge") for world in WORLDS]
        return abs(xr.concat(falls, "world").mean("seed")).max("world")

    share = float((most(arms["draws"]) <= FLAT).mean())
    moved = float(most(arms["reference"])[0])
    return Finding(
        "nothing_to_unlearn",
        "with kappa = 0 practice in shame moves the contingent column by no more than .02",
        moved <= FLAT and share >= ROBUST,
        {"moved": moved},
        share=share,
        perception=p,
        claim=30,
    )


def _beside(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    at, frozen = found["arms.reference"].isel(model=0), found["frozen.reference"].isel(model=0)

    def mean(x: xr.DataArray) -> float:
        return float(x.mean())

    arms = [f"{w}, {s}" for w in WORLDS for s in LOADS]
    shame = {_key(a): mean(at["ashamed"].sel(condition=a)) for a in arms}
    falls = {_key(a): mean(_fall(at, a)) for a in arms}
    column = {_key(a): mean(_fall(at, a, "edge")) for a in arms}
    checking = {_key(a): mean(_fall(at, a, "checked")) for a in arms}
    certain = {
        _key(f"{w}, {s}"): mean(_fall(at, f"{w}, {s}, sure of the law", "edge"))
        for w in WORLDS
        for s in STATES
    }
    law = {_key(f"{w}, ashamed"): mean(_fall(frozen, f"{w}, ashamed")) for w in WORLDS}
    held = {_key(a): mean(_fall(frozen, a, "edge")) for a in ("imagined, ashamed", "real, ashamed")}

    def told(name: str, statement: str, passed: bool, measured: Any, kind: str) -> Finding:
        return Finding(
            name, statement, passed, measured, perception=p, claim=30, kind=kind, decides=False
        )

    return [
        told(
            "manipulation",
            "the mind believes itself ashamed in the arms that are meant to shame it",
            all(shame[f"{w}_ashamed"] > 0.5 > shame[f"{w}_accepted"] for w in WORLDS),
            shame,
            "BUILT-IN",
        ),
        told(
            "mixed_lies_between",
            "practice in both states lowers P(alone | ashamed) less than practice in shame alone",
            all(falls[f"{w}_ashamed"] > falls[f"{w}_both"] for w in WORLDS),
            falls,
            "EMERGENT",
        ),
        told(
            "column_itself",
            "the contingent column itself falls under practice in shame",
            all(column[f"{w}_ashamed"] > 0 for w in WORLDS),
            column,
            "EMERGENT",
        ),
        told(
            "sure_of_the_law",
            "sure of the law, the column falls under practice in shame and hardly outside it",
            all(0 < certain[f"{w}_ashamed"] * CARRY > certain[f"{w}_accepted"] for w in WORLDS),
            certain,
            "EMERGENT",
        ),
        told(
            "specific_to_the_act",
            "what is unlearned while maintaining is not unlearned for checking",
            all(checking[f"{w}_ashamed"] < CARRY * column[f"{w}_ashamed"] for w in WORLDS),
            checking,
            "BUILT-IN",
        ),
        told(
            "law_carries_the_rest",
            "with transitions frozen their column stays; what falls is the belief in the law",
            all(abs(x) < 1e-6 for x in held.values()),
            law,
            "BUILT-IN",
        ),
    ]


def _key(arm: str) -> str:
    return arm.replace(", ", "_").replace(" ", "_")


# ------------------------------------------------------------------ what is run


def _here() -> Setting:
    return Setting(
        practice=_shorter(load_practice("loving_kindness")),
        mind=load_phenotype("attachment_injury"),
        learning=Dirichlet(D=("agents", "law"), B=("agents",)),
        fixed=("kappa", "trust"),
        ranges={"trust": (0.01, 0.2), "kappa": (0.6, 1.5)},  # the edge is believed in every draw
    )


def _conditions(here: Setting) -> dict[str, Condition]:
    arms = {}
    for name, declared in WORLDS.items():
        world = here.world(declared)
        for state, load in LOADS.items():
            arms[f"{name}, {state}"] = Condition(world=world, load={"self_talk": load})
        for state in STATES:
            idle = Condition(world=world, load={"self_talk": LOADS[state]}, practised=False)
            arms[f"{name}, {state}, no practice"] = idle
            sure = Condition(SURE, world, load={"self_talk": LOADS[state]})
            arms[f"{name}, {state}, sure of the law"] = sure
        arms[f"{name}, never ashamed"] = replace(arms[f"{name}, accepted"], mind=PURE)
        no_edge = replace(arms[f"{name}, ashamed"], mind={"kappa": 0.0})
        arms[f"{name}, ashamed, no edge"] = no_edge
    return arms


def _arms(config: Config, p: str, kind: str) -> xr.Dataset:
    here, sizes = _here(), _sized(config, p)
    arms = _conditions(here)
    if kind != "reference":
        arms = {name: arm for name, arm in arms.items() if not name.endswith(AT_REFERENCE)}
    return here.live(p, here.population(kind, sizes), arms, _learnt, sizes)


def _frozen(config: Config, p: str, kind: str) -> xr.Dataset:
    here, sizes = replace(_here(), learning=Dirichlet(D=("agents", "law"))), _sized(config, p)
    arms = {f"{w}, ashamed": _conditions(here)[f"{w}, ashamed"] for w in WORLDS}
    return here.live(p, here.population(kind, sizes), arms, _learnt, sizes)


def _sized(config: Config, p: str) -> Config:
    """Mean field is slow: fewer draws, the first strata of a hypercube of its own."""
    return config if p == "exact" else replace(config, n_draws=config.n_rough)


def _shorter(practice: Practice) -> Practice:
    """The same practice with shorter sessions."""
    phases = tuple(replace(x, steps=STEPS[x.name]) for x in practice.phases)
    schedule = replace(practice.schedule, steps=sum(STEPS.values()))
    return replace(practice, phases=phases, schedule=schedule)


def _learnt(record: Record, arm: Arm) -> dict[str, Any]:
    """By session: P(alone | state), the contingent column, and what condemnation costs."""
    paths = jax.tree.map(
        lambda past, last: jnp.concatenate([past, last[None]]), record.counts, record.final_counts
    )
    n = paths["D.law"].shape[0]
    law = paths["D.law"] / paths["D.law"].sum(-1, keepdims=True)
    table = paths.get("B.agents", jnp.broadcast_to(arm.mind.B[1], (n, *arm.mind.B[1].shape)))
    table = table / table.sum(1, keepdims=True)
    left = table[:, ABSENT, :, BENEVOLENT]  # (boundary, self_state, law, choice)
    ends = jax.tree.map(lambda x: x[jnp.array([0, -1])], paths)
    return {
        "alone": jnp.einsum("kl,ksl->ks", law, left[..., MAINTAIN]),
        "edge": left[:, :, CONTINGENT, MAINTAIN],
        "checked": left[:, :, CONTINGENT, MONITOR],
        "law": law,
        "ashamed": record.decision.posterior[0][..., 1].mean(-1),
        "believed": record.decision.posterior[1][..., BENEVOLENT].mean(-1),
        "probe": jax.vmap(lambda counts: _probe(arm.mind, counts))(ends),
    }


def _probe(mind: POMDP, counts: Mapping[str, Any]) -> Any:
    """Unheld log-odds (benevolent) after a spell of affirmation, and after one of condemnation.

    Nothing is practised, nothing else is seen, nothing is checked; both minds are read exactly.
    """
    tables = tuple(name.split(".") for name in counts)
    learning = Dirichlet(
        D=tuple(f for t, f in tables if t == "D"), B=tuple(f for t, f in tables if t == "B")
    )
    mind = learning.learned(mind, dict(counts))
    layout = mind.layout
    talk = layout.modality("self_talk")
    program = _idle(layout)
    day = Days(*(jnp.ones(1),) * 3, rest=jnp.zeros(1))

    def spell(said: Any) -> Any:
        outcome = jnp.full((1, PROBED, len(layout.modalities)), -1, jnp.int32)
        seen = Observed(outcome.at[..., talk].set(said), jnp.full((1, PROBED), MAINTAIN, jnp.int32))
        lived = condition(Agent(planning=Habit(), learning=Dirichlet()), mind, seen, program, day)
        q = lived.decision.posterior[1][0, -1, BENEVOLENT]
        return jnp.log(q) - jnp.log1p(-q)

    return jax.vmap(spell)(jnp.asarray([AFFIRM, CONDEMN], jnp.int32))


def _idle(layout: Layout) -> Program:
    return Program(
        operators=(),
        active=jnp.zeros((PROBED, 0)),
        allowed=jnp.ones((PROBED, len(layout.choices)), bool),
        gates=jnp.zeros((0, len(layout.contexts))),
    )

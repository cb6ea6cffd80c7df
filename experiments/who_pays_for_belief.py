"""F3. Who pays for belief? The posterior becomes the prior: but what moved the posterior?

Four sources (practice with a body loop, the same with the loop cut, a real other, no practice)
cross authorship awareness (does the mind know that holding makes calm?) and stance (free, or held
to `maintain`). Beside them the *fiat* arm, in which the held belief is counted as if it were
evidence, and the route through what one's own act does: orienting leads to safety (a learned B).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import xarray as xr

from attach_ai.agent import Dirichlet
from attach_ai.lab import ROBUST, Finding, Verdict
from attach_ai.lab.arms import Arm
from attach_ai.lab.population import KINDS, Condition, holds, signs
from attach_ai.lab.setting import Setting, reduced
from attach_ai.model import Practice, load_model, load_phenotype, load_practice
from attach_ai.simulation import Record

FIGURE = "F3"
QUESTION = "When a held belief becomes a prior over sessions, what paid for it?"
PREDICTION = (
    "Without evidence practice leaves the prior where no practice leaves it; with the body loop it "
    "rises, but only in a mind that does not know that it makes the calm itself; a real other pays "
    "whatever the mind knows; and what one's own orienting does is learned either way."
)
REFUTATION = (
    "The prior rises as much with the loop cut; or awareness takes less than half of the loop's "
    "gain; or a real other adds nothing for an aware mind; or awareness abolishes the learning of "
    "what orienting does."
)
ABLATION = "loop cut (gain 0); awareness of authorship; the world's orienting effect removed"
NULL = "practice with the loop cut, nobody there: no evidence, so the mean may not move"
CLAIMS = (6, 4)
MODELS = (
    "attachment_core",
    "attachment",
    "attachment_injury",
    "loving_kindness",
    "imagined_other",
    "real_other",
)

# Committed before the first full run.
FLAT = 0.05  # a prior that moves less than this has not moved
NEEDS = 0.5  # awareness must take at least this share of the loop's gain
SURVIVES = 0.5  # awareness may take at most this share of what orienting teaches
ORIENTING = 0.4  # what orienting does in the world of the B route
MAINTAIN = 0

SOURCES = {
    "practice": ("imagined_other", True, None),
    "loop cut": ("imagined_other", True, 0.0),
    "real other": ("real_other", True, None),
    "no practice": ("imagined_other", False, None),
    "no practice, loop cut": ("imagined_other", False, 0.0),
}
MINDS = {"naive": 0.0, "aware": 1.0}
STANCES: dict[str, tuple[int, ...] | None] = {"free": None, "maintain": (MAINTAIN,)}


@dataclass(frozen=True)
class Config:
    """Sizes. `n_seeds` at the reference, `n_paired` in every draw, variant and shuffle."""

    n_seeds: int = 64
    n_draws: int = 64
    n_paired: int = 8
    n_shuffles: int = 24
    n_full: int = 8  # seeds on the full model
    n_sessions: int = 20
    seed: int = 20
    perceptions: tuple[str, ...] = ("exact", "mean_field")


SMOKE = Config(n_seeds=2, n_draws=2, n_paired=2, n_shuffles=2, n_full=1, n_sessions=2)
STANDARD = Config()
DEEP = Config(n_seeds=200, n_draws=500, n_shuffles=100)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Per perception: the main arms in four populations, the fiat arm and the B route in two."""
    work: dict[str, Callable[[], xr.Dataset]] = {}
    for p in config.perceptions:
        for kind in KINDS:
            work[f"{p}.main.{kind}"] = partial(_main, config, p, kind)
        for kind in ("reference", "draws"):
            work[f"{p}.fiat.{kind}"] = partial(_fiat, config, p, kind)
            work[f"{p}.orienting.{kind}"] = partial(_orienting, config, p, kind)
    work["exact.full"] = partial(_full, config)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What the figure needs: means and standard errors at the reference, ends elsewhere."""
    lean = {}
    for name, data in found.items():
        ends = "prior" in data and not name.endswith("reference")
        lean[name] = data[["prior"]].isel(prior_0=[0, -1]) if ends else data
    return reduced(lean)


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction, under each perception."""
    outcomes = []
    for p in config.perceptions:
        outcomes += _findings(p, {n.removeprefix(f"{p}."): c for n, c in found.items()})
    outcomes.append(_on_full(found["exact.full"]))
    return Verdict("who_pays_for_belief", PREDICTION, REFUTATION, tuple(outcomes))


def _findings(p: str, found: Mapping[str, xr.Dataset]) -> list[Finding]:
    main = {k: found[f"main.{k}"] for k in KINDS}

    def end(data: xr.Dataset, source: str, mind: str) -> xr.DataArray:
        return data["prior"].sel(condition=f"{source}, {mind}, free").isel(prior_0=-1)

    def moved(d: xr.Dataset) -> xr.DataArray:
        return end(d, "loop cut", "naive") - end(d, "no practice, loop cut", "naive")

    def gain(d: xr.Dataset, mind: str) -> xr.DataArray:
        return end(d, "practice", mind) - end(d, "loop cut", mind)

    def lost(d: xr.Dataset) -> xr.DataArray:
        return NEEDS * gain(d, "naive") - gain(d, "aware")

    def real(d: xr.Dataset) -> xr.DataArray:
        return end(d, "real other", "aware") - end(d, "loop cut", "aware")

    flat = signs(moved, main)
    flat_share = float((abs(moved(main["draws"]).mean("seed")) <= FLAT).mean())
    loop, needs, other = (signs(c, main) for c in (lambda d: gain(d, "naive"), lost, real))
    fiat = found["fiat.reference"]["prior"].isel(model=0, condition=0)
    within = found["fiat.reference"]["within"].isel(model=0, condition=0)
    route = _route(found)
    return [
        Finding(
            "flat_without_evidence",
            "with the loop cut and nobody there, practice moves the prior no further than .05",
            abs(flat["mean"]) <= FLAT and flat_share >= ROBUST,
            {"moved": flat["mean"], "se": flat["se"]},
            share=flat_share,
            perception=p,
            claim=6,
        ),
        Finding(
            "loop_pays",
            "with the body loop the prior ends higher than with the loop cut (naive mind)",
            holds(loop),
            loop,
            share=loop["share"],
            perception=p,
            claim=6,
        ),
        Finding(
            "loop_needs_naivety",
            "awareness of authorship takes more than half of what the loop gives",
            holds(needs),
            needs | _ends(main["reference"]),
            share=needs["share"],
            perception=p,
            claim=6,
        ),
        Finding(
            "real_other_pays",
            "a real other raises the prior of a mind that is aware of its own part",
            holds(other),
            other,
            share=other["share"],
            perception=p,
            claim=6,
        ),
        Finding(
            "orienting_survives_awareness",
            "an aware mind learns at least half of what a naive one does about its own orienting",
            route["null"] <= FLAT and holds(route),
            route,
            share=route["share"],
            perception=p,
            claim=6,
        ),
        Finding(
            "fiat_pays_itself",
            "counting the held belief raises the prior with no evidence at all",
            bool((fiat.isel(prior_0=-1) - fiat.isel(prior_0=0)).mean() > 0),
            {
                "raised": float((fiat.isel(prior_0=-1) - fiat.isel(prior_0=0)).mean()),
                "evidence_within_sessions": float(within.mean()),
            },
            perception=p,
            kind="BUILT-IN",
            claim=6,
            decides=False,
        ),
        _probe(p, main["reference"]),
        *_ledger(p, main["reference"]),
    ]


def _ledger(p: str, data: xr.Dataset) -> list[Finding]:
    if "ledger" not in data:
        return []
    # Against the null, whose body and cues say what they say to everybody.
    book = data["ledger"].isel(model=0).mean("seed").sum("ledger_0")
    beyond = book.sel(condition="practice, naive, free") - book.sel(
        condition="loop cut, naive, free"
    )
    _, transitions, body, cues, _ = beyond.values.tolist()
    return [
        Finding(
            "body_pays_more_than_cues",
            "beyond the loop-cut arm, the ledger's body entries exceed those of the other's cues",
            body > cues,
            {"body": body, "cues": cues, "transitions": transitions},
            perception=p,
            claim=6,
            decides=False,
        )
    ]


def _on_full(data: xr.Dataset) -> Finding:
    end = data["prior"].isel(model=0, prior_0=-1)

    def gain(mind: str) -> xr.DataArray:
        paid, cut = (end.sel(condition=f"{s}, {mind}") for s in ("practice", "loop cut"))
        return paid - cut

    naive, aware = float(gain("naive").mean()), float(gain("aware").mean())
    other = end.sel(condition="real other, aware") - end.sel(condition="loop cut, aware")
    return Finding(
        "the_same_on_the_full_model",
        "on the full model too the loop pays, awareness takes half of it, a real other pays",
        naive > 0 and aware < NEEDS * naive and float(other.mean()) > 0,
        {"loop_naive": naive, "loop_aware": aware, "real_other_aware": float(other.mean())},
        perception="exact",
        claim=6,
        decides=False,
    )


def _ends(data: xr.Dataset) -> dict[str, float]:
    end = data["prior"].isel(model=0, prior_0=-1).mean("seed")
    return {
        f"{source}_{mind}".replace(" ", "_").replace(",", ""): float(
            end.sel(condition=f"{source}, {mind}, free")
        )
        for source in SOURCES
        for mind in MINDS
    }


def _probe(p: str, data: xr.Dataset) -> Finding:
    probe = data["probe"].sel(condition="practice, naive, free").isel(model=0).mean("seed")
    change = probe.isel(probe_0=-1) - probe.isel(probe_0=0)
    kl, surprise = float(change[0]), float(change[1])
    return Finding(
        "separation_probe",
        "after practice a rejection, met without holding, moves the belief in the other less",
        kl < 0,
        {"kl_change": kl, "surprise_change": surprise},
        perception=p,
        claim=4,
        decides=False,
    )


def _route(found: Mapping[str, xr.Dataset]) -> dict[str, float]:
    def survives(d: xr.Dataset) -> xr.DataArray:
        effect = d["effect"]
        return effect.sel(condition="aware") - SURVIVES * effect.sel(condition="naive")

    route = signs(survives, {k: found[f"orienting.{k}"] for k in ("reference", "draws")})
    at = found["orienting.reference"]["effect"].isel(model=0).mean("seed")
    return route | {
        "naive": float(at.sel(condition="naive")),
        "aware": float(at.sel(condition="aware")),
        "null": float(abs(at.sel(condition="world without the effect"))),
    }


# ------------------------------------------------------------------ what is run


def _here() -> Setting:
    return Setting(
        mind=load_phenotype("attachment_injury"),
        fixed=("awareness", "trust", "orienting"),
        ranges={"trust": (0.01, 0.2)},
    )


def _main(config: Config, p: str, kind: str) -> xr.Dataset:
    here = _here()
    conditions = {}
    for source, (world, practised, gain) in SOURCES.items():
        for mind, awareness in MINDS.items():
            for stance, allowed in STANCES.items():
                conditions[f"{source}, {mind}, {stance}"] = Condition(
                    mind={"awareness": awareness},
                    world=here.world(world),
                    practised=practised,
                    allowed=allowed,
                    gain=gain,
                )
    track = "agents.benevolent" if kind == "reference" and p == "exact" else None
    return here.live(p, here.population(kind, config), conditions, _belief, config, track)


def _fiat(config: Config, p: str, kind: str) -> xr.Dataset:
    learning = Dirichlet(D=("agents", "law"), counted="held")
    practice = _clamped(load_practice("loving_kindness"))
    here = replace(_here(), practice=practice, learning=learning)
    conditions = {
        mind: Condition({"awareness": a}, here.world("imagined_other"), gain=0.0)
        for mind, a in MINDS.items()
    }
    return here.live(p, here.population(kind, config), conditions, _belief, config)


def _orienting(config: Config, p: str, kind: str) -> xr.Dataset:
    here = replace(_here(), learning=Dirichlet(D=("agents", "law"), B=("threat",)))

    # The body reports what is so (gain 0): nothing here rests on imagination.
    def route(awareness: float, orienting: float) -> Condition:
        world = here.world("imagined_other") | {"orienting": orienting}
        return Condition({"awareness": awareness}, world, gain=0.0)

    conditions = {
        "naive": route(0.0, ORIENTING),
        "aware": route(1.0, ORIENTING),
        "world without the effect": route(0.0, 0.0),
    }
    return here.live(p, here.population(kind, config), conditions, _learnt, config)


def _full(config: Config) -> xr.Dataset:
    here = replace(_here(), model=load_model("attachment"))
    few = replace(config, n_seeds=config.n_full)
    conditions = {
        f"{source}, {mind}": Condition(
            {"awareness": awareness},
            here.world(SOURCES[source][0]),
            practised=SOURCES[source][1],
            gain=SOURCES[source][2],
        )
        for source in ("practice", "loop cut", "real other")
        for mind, awareness in MINDS.items()
    }
    return here.live("exact", here.population("reference", few), conditions, _prior, few)


def _clamped(practice: Practice) -> Practice:
    """The same practice with the other clamped instead of held by a field."""

    def clamp(phase: Any) -> Any:
        operators = (replace(o, kind="clamp", strength=None) for o in phase.operators)
        return replace(phase, operators=tuple(operators))

    return replace(practice, phases=tuple(clamp(phase) for phase in practice.phases))


BENEVOLENT, REJECTED, MONITOR, LAST = 2, 2, 1, 10


def _belief(record: Record, arm: Arm) -> dict[str, Any]:
    """By session: prior, concentration, belief, effort, checking, ledger, separation probe."""
    d = record.decision
    counts = jnp.concatenate([record.counts["D.agents"], record.final_counts["D.agents"][None]])
    prior = counts / counts.sum(-1, keepdims=True)
    rejected = arm.mind.A[1][REJECTED]  # P(rejected | agents)
    likely = prior @ rejected
    after = prior * rejected[None] / likely[:, None]
    kl = jnp.sum(after * (jnp.log(after) - jnp.log(prior)), -1)
    unheld = d.posterior[1][..., BENEVOLENT]
    found = {
        "prior": prior[:, BENEVOLENT],
        "concentration": counts.sum(-1),
        "unheld": unheld[:, -LAST:].mean(-1),
        "held": d.held[1][:, -LAST:, BENEVOLENT].mean(-1),
        "within": unheld[:, -1] - prior[:-1, BENEVOLENT],
        "effort": d.effort.mean(-1),
        "checking": (d.choice == MONITOR).mean(-1),
        "probe": jnp.stack([kl, -jnp.log(likely)], -1),
    }
    if d.ledger is not None:
        book = d.ledger
        carried = book.expected[:, 0]
        last = [x[:, -1] for x in (book.body, book.cues, book.field)]
        found["ledger"] = jnp.stack([carried, book.expected[:, -1] - carried, *last], -1)
    return found


def _prior(record: Record, arm: Arm) -> dict[str, Any]:
    """By session: the prior alone."""
    counts = jnp.concatenate([record.counts["D.agents"], record.final_counts["D.agents"][None]])
    return {"prior": counts[:, BENEVOLENT] / counts.sum(-1)}


def _learnt(record: Record, arm: Arm) -> dict[str, Any]:
    """What the mind has come to believe orienting does to high threat."""
    counts = record.final_counts["B.threat"].sum(1)  # (next, now, stance), over who is there
    low = counts[0, 1] / counts[:, 1].sum(0)
    return {"effect": low[MAINTAIN] - low[1:].mean()}

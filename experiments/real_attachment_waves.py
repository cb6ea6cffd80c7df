"""R1. Attachment and depressive symptoms of pupils over three waves, against honest rivals.

185 pupils of four classes (data set `school`): attachment at wave 1, depressive symptoms at three
waves, two whole classes with an intervention of which nothing is documented. Exposure is unknown,
so that arms describe drift and nothing is claimed of a practice; the data do not test A_benevolent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import xarray as xr

from attach_ai.fit.checks.design import design
from attach_ai.fit.records.records import read_records
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.known_data import needed
from attach_ai.fit.study.planned import planned_records
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.lab import Finding, Verdict
from attach_ai.lab.fitted import effects_of, judged, mixing, over_opponents, page
from attach_ai.model.mapping import load_mapping

FIGURE = "R1"
QUESTION = "Do beliefs of the family predict what pupils answer, better than honest rivals do?"
PREDICTION = (
    "Of people left out the model predicts better, by more than two standard errors, than itself "
    "without A_benevolent, without law, and than a mixed model, latent growth and autoregression "
    "of the same items; and the intervention, in whole classes, shows no effect on any parameter."
)
REFUTATION = "An opponent that predicts as well or better; an 89 % interval that leaves zero out."
ABLATION = "A_benevolent switched off; the law switched off; an author switched on"
NULL = "rivals of the same items that know nothing of beliefs"
CLAIMS = ()
DATA = ("school",)
MODELS = (
    "attachment_waves",
    "links/attachment",
    "mappings/school_waves",
    "mappings/cohort",
    "loving_kindness_day",
    "waitlist_day",
    "imagined_other",
    "instruments/ecr_rs",
    "instruments/phq9",
    "instruments/ucla3",
    "instruments/zung_sds",
)

# Committed before the first run.
FREE = ("trust", "fear_of_loss", "shame", "heal", "wound")
OWN = ("trust",)  # what this design can tell of single pupils, before any answer was read
TARGET, EFFECT = "effect[trust, practice]", 0.5  # log-odds
TRIED = ("trust", "fear_of_loss", "hold")
ASKED = ("ecr_rs", "phq9", "ucla3")
ABLATIONS = ("without benevolent", "without law")
RIVALS = ("mixed", "growth", "autoregression")
OURS = "ours"


@dataclass(frozen=True)
class Config:
    """Sizes. `n_draws` of each of `n_chains` after `n_warmup`, of opponents `n_opponent` of two
    chains; `people` of the study that would test the practice (none: it is not designed), its power
    averaged over `n_populations` drawn from the priors."""

    n_chains: int = 2
    n_warmup: int = 300
    n_draws: int = 300
    n_opponent: int = 200
    max_tree_depth: int = 10
    people: tuple[int, ...] = (60, 240)
    n_populations: int = 2
    seed: int = 1


SMOKE = Config(n_chains=1, n_warmup=10, n_draws=32, n_opponent=32, max_tree_depth=2, people=())
STANDARD = Config()
DEEP = Config(
    n_chains=4,
    n_warmup=1000,
    n_draws=1000,
    n_opponent=400,
    people=(30, 60, 120, 240, 480),
    n_populations=12,
)


def cells(config: Config) -> dict[str, Callable[[], xr.Dataset]]:
    """Ours, each opponent; and the study that these data are not."""
    work: dict[str, Callable[[], xr.Dataset]] = {
        name.replace(" ", "_"): partial(_judged, config, None if name == OURS else name)
        for name in (OURS, *ABLATIONS, *RIVALS)
    }
    if config.people:
        work["design"] = partial(_design, config)
    return work


def run(config: Config) -> dict[str, xr.Dataset]:
    """Every cell at once."""
    return {name: work() for name, work in cells(config).items()}


def summary(found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Estimates and the table by model, and the design; nothing of any pupil."""
    fits = {name.replace("_", " "): d for name, d in found.items() if name != "design"}
    design = {"design": found["design"]} if "design" in found else {}
    return {"school": page(fits)} | design


def verdict(config: Config, found: Mapping[str, xr.Dataset]) -> Verdict:
    """Compare with the prediction."""
    data = summary(found)["school"]
    moved, figures = effects_of(data, "intervention")
    outcomes = (
        mixing(data),
        *over_opponents(data, (*ABLATIONS, *RIVALS)),
        Finding(
            "no_effect_of_the_intervention",
            "the 89 % interval of every effect of the intervention holds zero",
            not moved,
            figures,
        ),
        *_designed(found),
    )
    return Verdict("real_attachment_waves", PREDICTION, REFUTATION, outcomes)


def _judged(config: Config, opponent: str | None) -> xr.Dataset:
    records = read_records(needed("school"), mapping="school_waves")
    return judged(
        records,
        FREE,
        opponent,
        seed=config.seed,
        words={"individual": OWN},
        chains=config.n_chains if opponent is None else min(2, config.n_chains),
        warmup=config.n_warmup,
        draws=config.n_draws if opponent is None else config.n_opponent,
        max_tree_depth=config.max_tree_depth,
    )


def _design(config: Config) -> xr.Dataset:
    """Arms that practise or wait, week by week; loneliness beside attachment and low mood."""
    mapping = load_mapping("cohort")

    def build(people: int, waves: int, items: str, dose: float) -> POMDPStudy:
        first = None if items == "all" else int(items)
        asked = planned_records(
            mapping, people, waves=waves, items=first, dose=dose, instruments=ASKED
        )
        return build_study("attachment_waves", None, asked, TRIED, individual=TRIED[:1])

    found = design(
        build,
        target=TARGET,
        effect=EFFECT,
        people=config.people,
        waves=(2, 3),
        items=("4", "all"),
        seed=config.seed,
        n_populations=config.n_populations,
    )
    return found.data.drop_vars("verdict").assign_attrs(words=found.preregistration())


def _designed(found: Mapping[str, xr.Dataset]) -> list[Finding]:
    if "design" not in found:
        return []
    power = found["design"]["power"].sel(waves=3, items="all").squeeze()
    figures = {f"power with {int(n)} people": float(power.sel(people=n)) for n in power["people"]}
    return [
        Finding(
            "a_study_that_would_test_it",
            "with three waves and all items of three questionnaires, the largest trial would find "
            f"an arm's effect of {EFFECT:g} on trust with a power of at least .8",
            float(power.isel(people=-1)) >= 0.8,
            figures,
            decides=False,
        )
    ]

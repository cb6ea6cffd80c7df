"""From records to a posterior, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jaxtyping import Array

from attach_ai.errors import InputError
from attach_ai.fit.checks.identification import Identification, identification
from attach_ai.fit.checks.not_at_random import after_dropout, missing_not_at_random
from attach_ai.fit.checks.sensitivity import sensitivity
from attach_ai.fit.sampling.predictive import sheet
from attach_ai.fit.sampling.sample import Draws, sample
from attach_ai.fit.sampling.tree import to_tree
from attach_ai.fit.study.build import build_study
from attach_ai.fit.study.pomdp import POMDPStudy
from attach_ai.model.link import Link
from attach_ai.provenance import provenance

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

    from attach_ai.agent import Agent
    from attach_ai.fit.records.records import Records
    from attach_ai.model import Model

SCALED = 400  # draws whose likelihood is evaluated again, for power-scaling
SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # logits by which those who left may differ from the rest
IMPUTED = 10


def fit(
    model: str | Model,
    agent: Agent | None,
    records: Records,
    free: Sequence[str],
    *,
    key: Array,
    group: str | None = None,
    link: str | Link = "attachment",
    individual: Literal["auto"] | Iterable[str] = "auto",
    response: str | None = None,
    location: Literal["cutpoints", "belief"] = "cutpoints",
    alternatives: Mapping[str, int] | None = None,
    without: Iterable[str] = (),
    settings: Mapping[str, float] | None = None,
    **sampler: Any,
) -> DataTree:
    """Fit a model to records; the posterior, with all that is needed to judge and to report it.

    `free`: parameters of the model, or of a practice in the records. `group`: the column of arms,
    which the records must have been read with. The words up to `settings` are those of
    `build_study`; further ones those of `attach_ai.fit.sampling.sample.sample` (`chains`, `warmup`,
    `draws`, `engine`, `folder`, ...). With a `folder` a fit that was cut short goes on from there,
    and gives the same draws.

    Raises `InputError` for anything in these that cannot be.
    """
    if group is not None and (records.group is None or records.group.name != group):
        raise InputError(
            f"the records were read without '{group}'; name it to read_records", "group"
        )
    study = build_study(
        model,
        agent,
        records,
        free,
        link=link,
        individual=individual,
        response=response,
        location=location,
        alternatives=alternatives,
        without=without,
        settings=settings,
    )
    return fit_study(study, records, key=key, **sampler)


def fit_study(
    study: POMDPStudy,
    records: Records,
    *,
    key: Array,
    told: Identification | None = None,
    **sampler: Any,
) -> DataTree:
    """The same of a study that is built already; `told`: its identification, if it is known."""
    from xarray import DataTree

    seed = seed_from(key)
    draws = sample(study, seed, **sampler)
    design = designed(study, records)
    tree = to_tree(
        study,
        draws,
        seed=seed,
        records=records,
        identification=(told or told_of(study, key)).to_dataset(),
        design=design,
        provenance=_provenance(study, records, seed),
        methods=methods(study, records, design, draws),
    )
    tree["sensitivity"] = DataTree(sensitivity(study, draws, most=SCALED).data)
    shifted = not_at_random(study, records, draws, jax.random.fold_in(key, 2))
    if shifted is not None:
        tree["not_at_random"] = DataTree(shifted)
    return tree


def not_at_random(study: POMDPStudy, records: Records, draws: Draws, key: Array) -> Dataset | None:
    """How differences between groups in last scores hang on who left; None where nobody did."""
    if records.group is None:
        return None
    by, items = sheet(study, records), np.array(study.coords["item"])
    left = after_dropout(study.people).any((0, 1, 2))
    of = {s: by.of_scale == i for i, s in enumerate(by.scales)}
    scales = {s: items[own].tolist() for s, own in of.items() if (left & own).any()}
    if not scales:
        return None
    group = [by.groups[g] for g in by.of_group]
    found = missing_not_at_random(
        study, draws, SHIFTS, key, group=group, scales=scales, n_imputations=IMPUTED
    )
    return found.data


def told_of(study: POMDPStudy, key: Array) -> Identification:
    """What the design can tell, as a fit with this key says it."""
    return identification(study, jax.random.fold_in(key, 1))


def seed_from(key: Array) -> int:
    """A whole number that stands for a random key."""
    return int(np.asarray(jax.random.key_data(key)).reshape(-1)[-1]) % 2**31


def designed(study: POMDPStudy, records: Records) -> dict[str, Any]:
    """What was asked, for the report."""
    exposure = records.exposure
    named = study.coords["reading"]
    reads: dict[str, list[str]] = {s: [] for s in study.coords["scale"]}
    for q in study.questions:
        label = "a person's residual only" if q.reading is None else named[q.reading]
        scale = reads[study.coords["scale"][q.scale]]
        if label not in scale:
            scale.append(label)
    return {
        "model": study.declared.name,
        "free": [f.name for f in study.free],
        "individual": [f.name for f in study.free if f.individual],
        "anchored": [f.name for f in study.free if f.anchored],
        "settings": dict(study.settings),
        "without": [
            f"{f.name}.{f.levels[i]}" for f in study.declared.layout.factors for i in f.excluded
        ],
        "link": study.link,
        "readings": {scale: " and ".join(labels) for scale, labels in reads.items()},
        "instruments": list(records.instruments),
        "group": None if records.group is None else str(records.group.name),
        "covariates": list(study.coords["covariate"]),
        "response": study.response,
        "location": study.location,
        "exposure": exposure.kind,
        "arms": {
            label: f"{arm.practice}, {arm.world}, {exposure.dose(label).mean():.0%} of steps"
            for label, arm in exposure.arms.items()
        },
        "steps": records.n_steps,
        "step_length": records.step_length,
    }


def methods(study: POMDPStudy, records: Records, design: Mapping[str, Any], draws: Draws) -> str:
    """A paragraph for a methods section; every number in it is the study's own."""
    n, free = len(records.subjects), design["free"]
    own, drawn = design["individual"], next(iter(draws.sites.values())).shape
    exposure = (
        "What people lived through between their answers was not known, so that parameters "
        "describe drift and say nothing of a practice."
        if design["exposure"] == "unknown"
        else "What people lived through was declared by arm ("
        + "; ".join(f"{k}: {v}" for k, v in design["arms"].items())
        + "), outcomes that nobody recorded entering by their expectation under that world."
    )
    between = f"; {', '.join(own)} differed between people" if own else ""
    effects = ", ".join(design["covariates"])
    return (
        f"Beliefs of {n} people over {design['steps']} steps of {design['step_length']:g} days "
        f"were modelled by {design['model']} ({study.declared.layout.n_states} joint states, exact "
        f"inference). {exposure} Free were {', '.join(free)}, on the log-odds of their supports"
        f"{between}{f'; effects of {effects} were estimated' if effects else ''}. Answers to "
        f"{len(study.questions)} items of {', '.join(design['instruments'])} followed a "
        f"{'graded response' if study.response == 'graded' else 'rating scale'} model of the "
        f"readings declared by the link '{design['link']}', with a residual of each person and "
        f"scale. Posteriors were drawn by {draws.engine}, {drawn[0]} chains of {drawn[1]} draws "
        f"after warm-up{', which is exploratory' if draws.exploratory else ''}."
    )


def _provenance(study: POMDPStudy, records: Records, seed: int) -> dict[str, Any]:
    return {
        **provenance(Path.cwd(), packages=("jax", "numpyro", "arviz", "numpy")),
        "seed": seed,
        "data": f"{records.source}, sha256 {records.sha256['data'] or 'none'}",
        "mapping": records.sha256["mapping"],
        "model": study.declared.sha256,
        "instruments": {name: i.sha256 for name, i in records.instruments.items()},
    }

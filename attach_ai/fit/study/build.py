"""From a model, a link and records to a `POMDPStudy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from attach_ai.agent import Agent, Dirichlet, Habit
from attach_ai.errors import InputError
from attach_ai.fit.checks.identification import reliabilities
from attach_ai.fit.study.abstract import Fixed, People, Prior
from attach_ai.fit.study.functionals import readings
from attach_ai.fit.study.lives import Lives, Practices, lives
from attach_ai.fit.study.pomdp import Free, POMDPStudy, Question
from attach_ai.fit.study.priors import moments
from attach_ai.fit.study.standard import planes, standard
from attach_ai.model import Model, load_model
from attach_ai.model.document import suggest
from attach_ai.model.functional import Functional
from attach_ai.model.link import Link, Resolved, load_link

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

WORTH = 0.3  # an individual parameter is worth its own spread from this expected reliability on
SPREAD = 0.75  # of a person-level parameter, log-odds: what its half-normal prior is scaled by
EFFECT = 0.5  # of a covariate on a parameter, log-odds a unit
RESIDUAL = 0.75  # of a person's residual on a scale, logits
WORDING = 0.5
CLUSTER = 0.3
SLOPE = 0.4  # of ln a within a scale

DEFAULT_AGENT = Agent(planning=Habit(), learning=Dirichlet())


def build_study(
    model: str | Model,
    agent: Agent | None,
    records: Records,
    free: Sequence[str],
    *,
    link: str | Link = "attachment",
    individual: Literal["auto"] | Iterable[str] = "auto",
    response: str | None = None,
    location: Literal["cutpoints", "belief"] = "cutpoints",
    alternatives: Mapping[str, int] | None = None,
    without: Iterable[str] = (),
    settings: Mapping[str, float] | None = None,
) -> POMDPStudy:
    """A study of `records` under a model, with the parameters `free` of model or practices.

    `agent`: None is a mind that perceives exactly and acts out of habit, which is what
    `attachment_waves` is made for. `individual`: parameters that differ between people beyond what
    covariates explain; "auto" takes those whose expected reliability reaches .3 in this design, all
    others belong to the group. `location`: where the general level of answers stands: in
    "cutpoints" (the mean of a parameter that sets nothing but the start of beliefs is then held at
    its prior's), or in the "belief" (the cutpoints of each scale's first item average to zero).
    `alternatives`: another reading for some scales. `without`: levels switched off. `settings`: of
    parameters not free.

    An episode is one session, so that what the agent would learn at a boundary plays no part: from
    day to day it is the belief itself that is carried.

    Raises `InputError` for an unknown parameter, scale or level, and for records that nothing can
    be fitted to.
    """
    model = load_model(model) if isinstance(model, str) else model
    agent = DEFAULT_AGENT if agent is None else agent
    whole = model  # what a mind leaves out is not thereby out of the world
    for target in without:
        model = model.without(target)
    exposure = records.exposure
    arms = exposure.arms.values() if exposure.kind == "schedule" else ()
    practices = Practices([a.practice for a in arms], model)
    link = load_link(link) if isinstance(link, str) else link
    resolved = link.resolve(model, records.instruments.values(), alternatives)
    questions, functionals = _questions(resolved, records)
    chosen = _once(free)
    fixed = dict(settings or {})
    own = None if individual == "auto" else set(individual)
    for name in (own or set()) - set(chosen):
        raise InputError(f"'{name}' is not free{suggest(name, chosen)}", "individual")
    parameters = tuple(
        _free(n, model, practices, fixed, own is None or n in own, location == "cutpoints")
        for n in chosen
    )
    people, labels = _people(records, model, whole, practices, questions)
    names = list(
        dict.fromkeys(r.scale for r in resolved if r.items.keys() & {q.name for q in questions})
    )
    study = POMDPStudy(
        people=people,
        priors=Fixed(),
        effects=(),
        coords=Fixed(
            labels | {"scale": tuple(names), "reading": tuple(f.label for f in functionals)}
        ),
        agent=agent,
        centre=jnp.zeros(len(functionals)),
        width=jnp.ones(len(functionals)),
        declared=model,
        settings=Fixed(fixed),
        practices=practices,
        free=parameters,
        questions=questions,
        readings=readings(functionals, agent, model, records.step_length),
        link=link.name,
        response=response or link.response,
        location=location,
    )
    study = _with_priors(study, parameters)
    if individual == "auto":
        told = reliabilities(study, jax.random.key(0))
        worth = {f.name for f in parameters if told[f.name] >= WORTH}
        if not worth >= {f.name for f in parameters}:
            some = tuple(replace(f, individual=f.name in worth) for f in parameters)
            study = _with_priors(study, some)
    return study


def _once(free: Sequence[str]) -> tuple[str, ...]:
    if not free:
        raise InputError("no parameter is free; name at least one", "free")
    for name in free:
        if list(free).count(name) > 1:
            raise InputError(f"'{name}' is named twice", "free")
    return tuple(free)


def _free(
    name: str,
    model: Model,
    practices: Practices,
    fixed: Mapping[str, float],
    individual: bool,
    in_cutpoints: bool,
) -> Free:
    """One free parameter, of the model or of a practice."""
    known = {**practices.parameters, **model.parameters}
    if name not in known:
        raise InputError(
            f"neither model {model.name} nor a practice in these records has a parameter "
            f"'{name}'{suggest(name, known)}",
            "free",
        )
    if name in fixed:
        raise InputError(f"'{name}' is both free and set to {fixed[name]:g}", "free")
    users = {t for t, table in model.tables.items() if name in table.names}
    starts = name in model.parameters and bool(users) and all(t[0] == "D" for t in users)
    mean, sd, reason = moments(known[name])
    return Free(known[name], mean, sd, reason, individual, starts and in_cutpoints)


def _questions(
    resolved: Iterable[Resolved], records: Records
) -> tuple[tuple[Question, ...], tuple[Functional, ...]]:
    """Every item that was answered and may be linked, and the distinct functionals they read."""
    pairs = zip(records.answers["instrument"], records.answers["item"], strict=True)
    asked = {f"{instrument}.{item}" for instrument, item in pairs}
    functionals: list[Functional] = []
    questions: list[Question] = []
    n_scales = 0
    for scale in resolved:
        here = [(name, f) for name, f in scale.items.items() if name in asked]
        for name, f in here:
            instrument, _, number = name.partition(".")
            item = records.instruments[instrument].item(number)
            if f is not None and f not in functionals:
                functionals.append(f)
            at = None if f is None else functionals.index(f)
            questions.append(Question(name, n_scales, at, item.n_levels or None, item.reverse))
        n_scales += bool(here)
    if not questions:
        raise InputError("no item that a link reads was answered: nothing to fit", "records")
    return tuple(questions), tuple(functionals)


def _people(
    records: Records,
    model: Model,
    world: Model,
    practices: Practices,
    questions: tuple[Question, ...],
) -> tuple[People, dict[str, tuple[Any, ...]]]:
    """The arrays, and the labels of their axes."""
    table = records.answers
    subjects = {x: i for i, x in enumerate(records.subjects)}
    episodes = {x: i for i, x in enumerate(records.episodes)}
    when = table.groupby("occasion", sort=False)["step"].median().sort_values(kind="stable")
    occasions = {x: i for i, x in enumerate(when.index)}
    items = {q.name: j for j, q in enumerate(questions)}
    shape = (len(subjects), len(episodes), len(occasions))
    answer = np.full((*shape, len(items)), -1, np.int32)
    measure = np.full((*shape, len(items)), np.nan)
    at = np.full(shape, -1, np.int32)
    name = table["instrument"].astype(str) + "." + table["item"].astype(str)
    kept = name.isin(items.keys())
    place = [
        table.loc[kept, c].map(index).to_numpy()
        for c, index in (("subject", subjects), ("episode", episodes), ("occasion", occasions))
    ]
    j = name[kept].map(items).to_numpy()
    value = table.loc[kept, "keyed"].to_numpy(float)
    ordinal = np.array([q.n_levels is not None for q in questions])[j]
    at[*place] = table.loc[kept, "step"].to_numpy()
    answer[*(x[ordinal] for x in (*place, j))] = value[ordinal]
    measure[*(x[~ordinal] for x in (*place, j))] = value[~ordinal]
    covariates = tuple(records.covariates.columns)
    rows = [(s, e) for s in records.subjects for e in records.episodes]
    columns = records.covariates.reindex(rows).fillna(0.0).to_numpy(float)
    group = {s: "all" if records.group is None else str(records.group[s]) for s in records.subjects}
    clusters: dict[Any, int] = {}
    if records.cluster is not None:
        clusters = {c: i for i, c in enumerate(dict.fromkeys(records.cluster))}
        which = [clusters[records.cluster[s]] for s in records.subjects]
    else:
        which = [0] * len(subjects)
    dtype = jnp.zeros(()).dtype
    rest = Lives(
        given=lives(records, model, world, practices, group),
        covariate=jnp.asarray(columns.reshape(*shape[:2], len(covariates)), dtype),
        at=jnp.asarray(at),
        cluster=jnp.asarray(which, jnp.int32),
        contrast=jnp.zeros((*shape, 0), dtype),
    )
    labels: dict[str, tuple[Any, ...]] = {
        "subject": records.subjects,
        "episode": records.episodes,
        "occasion": tuple(map(str, occasions)),
        "step": tuple(range(records.n_steps)),
        "item": tuple(items),
        "covariate": covariates,
        "cluster": tuple(map(str, clusters)),
        "group": tuple(dict.fromkeys(group.values())),
    }
    return People(jnp.asarray(answer), jnp.asarray(measure, dtype), rest), labels


def _with_priors(study: POMDPStudy, free: tuple[Free, ...]) -> POMDPStudy:
    """The study with these free parameters: its priors, effects and labels, and its readings'
    centre and width under them."""
    questions = study.questions
    own = tuple(f.name for f in free if f.individual)
    worded = tuple(
        dict.fromkeys(
            q.name.partition(".")[0]
            for q in questions
            if q.reverse and not all(p.reverse for p in questions if p.scale == q.scale)
        )
    )
    labels = dict(study.coords) | {
        "parameter": tuple(f.name for f in free),
        "floating": tuple(f.name for f in free if not f.anchored),
        "individual": own,
        "instrument": worded,
        "measured": tuple(q.name for q in questions if q.n_levels is None),
        "cut": tuple(range(1, max([q.n_levels or 2 for q in questions]))),
        "between": tuple(range(1, len(study.coords["cluster"]))),
        "contrast": tuple(
            f"{scale} {i}"
            for k, scale in enumerate(study.coords["scale"])
            for i in range(1, sum(q.scale == k for q in questions))
        ),
    }
    labels["gap"] = labels["cut"][1:]
    effects = (
        *own,
        *(f"residual {s}" for s in labels["scale"]),
        *(f"wording {i}" for i in worded),
    )
    priors = Fixed(_priors(free, labels, questions, study.response))
    study = replace(study, priors=priors, effects=effects, coords=Fixed(labels), free=free)
    centre, width, slopes = standard(study)
    return replace(study, centre=centre, width=width, planes=planes(study, slopes))


def _priors(
    free: tuple[Free, ...],
    labels: Mapping[str, tuple[Any, ...]],
    questions: tuple[Question, ...],
    response: str,
) -> dict[str, Prior]:
    def normal(mean: Any, sd: Any, shape: tuple[int, ...]) -> dist.Distribution:
        # In full, for NumPyro would broadcast one rank to another, which tests forbid.
        return dist.Normal(*(jnp.asarray(np.broadcast_to(x, shape), dtype) for x in (mean, sd)))

    def half(scale: float, shape: tuple[int, ...]) -> dist.Distribution:
        return dist.HalfNormal(jnp.full(shape, scale, dtype))

    dtype = jnp.zeros(()).dtype
    n = {name: len(x) for name, x in labels.items()}
    priors: dict[str, Prior] = {}
    moving = [f for f in free if not f.anchored]
    if moving:
        priors["mean"] = Prior(
            normal([f.mean for f in moving], [f.sd for f in moving], (n["floating"],)),
            ("floating",),
            "; ".join(f"{f.name}: {f.reason}" for f in moving),
        )
    if n["covariate"]:
        priors["effect"] = Prior(
            normal(0.0, EFFECT, (n["parameter"], n["covariate"])),
            ("parameter", "covariate"),
            "log-odds a unit: an odds ratio between 0.4 and 2.7 in 95 of 100",
        )
    if n["individual"]:
        priors["spread"] = Prior(
            half(SPREAD, (n["individual"],)),
            ("individual",),
            "log-odds between people; weak",
            mirrored=True,
        )
        if n["cluster"] > 1:
            priors["cluster_spread"] = Prior(
                half(CLUSTER, (n["individual"],)),
                ("individual",),
                "between clusters; they are few",
                mirrored=True,
            )
            priors["cluster"] = Prior(
                normal(0.0, 1.0, (n["cluster"] - 1, n["individual"])),
                ("between", "individual"),
                "differences between clusters, in units of cluster_spread",
            )
    priors["residual"] = Prior(
        half(RESIDUAL, (n["scale"],)),
        ("scale",),
        "what beliefs do not explain of a person's scale",
        mirrored=True,
    )
    if n["instrument"]:
        priors["wording"] = Prior(
            half(WORDING, (n["instrument"],)),
            ("instrument",),
            "people differ on reversed wording",
            mirrored=True,
        )
    if n["contrast"]:
        priors["discrimination"] = Prior(
            normal(0.0, SLOPE, (n["contrast"],)),
            ("contrast",),
            "of ln a between items of a scale, whose mean is 0: the anchor",
        )
    priors |= _cut_priors(labels, questions, response, normal)
    if n["measured"]:
        priors["intercept"] = Prior(
            normal(0.5, 0.5, (n["measured"],)), ("measured",), "of its range"
        )
        priors["noise"] = Prior(half(0.5, (n["measured"],)), ("measured",), "of its range")
    return priors


def _cut_priors(
    labels: Mapping[str, tuple[Any, ...]],
    questions: tuple[Question, ...],
    response: str,
    normal: Any,
) -> dict[str, Prior]:
    """Cutpoints about as far apart as K - 1 places between -2 and 2 logits."""
    levels = np.array([q.n_levels or 2 for q in questions])
    gap = np.log(4.0 / np.maximum(levels - 1, 1))[:, None]
    n_gaps = len(labels["gap"])
    even = "options evenly spread over about four logits"
    if response == "rating":
        first = np.array(
            [levels[[q.scale == k for q in questions]].max() for k in range(len(labels["scale"]))]
        )
        shared = np.log(4.0 / np.maximum(first - 1, 1))[:, None]
        return {
            "cut_location": Prior(normal(0.5, 1.5, (len(levels),)), ("item",), "weak"),
            "cut_gap": Prior(normal(shared, 0.6, (len(first), n_gaps)), ("scale", "gap"), even),
        }
    return {
        "cut_first": Prior(normal(-1.5, 1.5, (len(levels),)), ("item",), "weak"),
        "cut_gap": Prior(normal(gap, 0.6, (len(levels), n_gaps)), ("item", "gap"), even),
    }

"""Verbs of models and experiments: look, check, simulate, run, reproduce, measure."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from attach_ai.cli.arguments import file, numbers, pairs, say, switched
from attach_ai.errors import InputError

if TYPE_CHECKING:
    from attach_ai.agent import Agent
    from attach_ai.agent.perception import AbstractPerception
    from attach_ai.model import POMDP, History, Layout

KINDS = {
    "model": "models",
    "practice": "practices",
    "phenotype": "phenotypes",
    "world": "worlds",
    "history": "histories",
}
LEARNED = ("agents", "law")  # beliefs that a life of practice may move, where a model has them


def models(a: argparse.Namespace) -> int:
    from attach_ai.model import load_model, names, show
    from attach_ai.model.library import find

    if a.name is None:
        if a.graph or a.without:
            raise InputError("--graph and --without need the name of a model", "models")
        for kind, several in KINDS.items():
            print(f"{several}: {', '.join(names(kind)) or 'none'}")
        return 0
    kinds = [k for k in KINDS if a.name in names(k)]
    if kinds and "model" not in kinds:
        if a.graph or a.without:
            what = " and a ".join(kinds)
            raise InputError(f"'{a.name}' is a {what}; only models have a graph", "models")
        # A history and the phenotype that is set by hand may share a name: both are shown.
        for kind in kinds:
            print(f"# {kind} {a.name}")
            print(find(kind, a.name).read_text(encoding="utf-8"))
        return 0
    picture = file(a.graph, ".svg", ".pdf", ".png") if a.graph else None
    model = load_model(a.name)
    print(show(switched(model, a.without)))
    if picture:
        from attach_ai.plot.graph import graph

        graph(model, picture, a.without[0] if a.without else None)
    return 0


def check(a: argparse.Namespace) -> int:
    import attach_ai

    report = switched(attach_ai.load_model(a.model), a.without).check()
    print(report)
    return 0 if report.ok else 1


def _held(practice: Any) -> str | None:
    """The level that a practice holds first: the one whose ledger a picture shows."""
    held = (f"{o.factor}.{o.level}" for phase in practice.phases for o in phase.operators)
    return next(held, None)


def simulate(a: argparse.Namespace) -> int:
    from attach_ai.model import (
        load_history,
        load_model,
        load_phenotype,
        load_practice,
        load_world,
    )

    if a.history and a.phenotype:
        raise InputError("--history grows the mind, --phenotype sets it: give one", "simulate")
    out = file(a.out, ".nc")
    picture = file(a.figure, ".png", ".pdf", ".svg") if a.figure else None
    declared = load_model(a.model)
    practice = load_practice(a.practice)
    truth = load_world(a.world)
    settings: dict[str, Any] = numbers(a.set)
    of_practice = {k: settings.pop(k) for k in list(settings) if k in practice.parameters}
    phenotype: Any = load_phenotype(a.phenotype) if a.phenotype else None
    history = load_history(a.history) if a.history else None
    of_history: dict[str, float] = {}
    model = switched(declared, a.without)
    practice.bind(model.layout, model.parameters)
    if history is not None:
        for name in history.bind(model).parameters:
            if name in practice.parameters:
                raise InputError(f"'{name}' is a parameter of both", f"{a.history}, {a.practice}")
        of_history = {k: settings.pop(k) for k in list(settings) if k in history.parameters}
        phenotype = history.newborn(**of_history)

    import jax

    from attach_ai.simulation import simulate
    from attach_ai.world import Inner, World

    inner = {k: v for k, v in (("rate", a.rate), ("gain", a.gain)) if v is not None}
    # What the mind leaves out of its model is not thereby out of the world.
    world = World(process=declared.build(truth), inner=Inner(**inner))
    key, agent = jax.random.key(a.seed), _agent(a, model.layout)
    mind = model.build(phenotype, **settings)
    if history is not None:
        growing, key = jax.random.split(key)
        mind = _grown(growing, agent, mind, history, of_history)
    trajectory = simulate(
        key,
        agent,
        mind,
        world,
        practice,
        a.sessions,
        track=_held(practice) if picture else None,
        **of_practice,
    )
    trajectory.save(out)
    if picture:
        from attach_ai.files import write
        from attach_ai.plot import trajectory as draw

        write(picture, draw(trajectory).savefig)
    after = f" after {history.name}" if history else ""
    print(f"{out}: {a.sessions} sessions of {practice.name} with {model.name}{after}")
    return 0


def run(a: argparse.Namespace) -> int:
    from attach_ai.files import checkout
    from attach_ai.lab import experiments, runs
    from attach_ai.lab.verdict import render
    from attach_ai.progress import Progress

    root = checkout()
    experiment = experiments.load(experiments.find(a.experiment, root))
    run = runs.plan(experiment, a.scale, root, pairs(a.set))
    with Progress(len(run.pending())) as progress:
        verdict = runs.execute(run, progress)
    print(render(verdict))
    print(f"in {run.folder.relative_to(root)}")
    return 0


def reproduce(a: argparse.Namespace) -> int:
    from attach_ai.lab.reproduce import StaleError, reproduce

    scale = "shallow" if a.shallow else "deep" if a.deep else "standard"
    try:
        report = reproduce(a.only, scale)
    except StaleError as error:
        return say(error, 1)
    print(f"done: {', '.join(report.done)}" if report.done else "nothing is stale")
    for name, sets in report.lacking.items():
        print(
            f"{name}: not run, for {', '.join(sets)} is not at hand; the committed result is shown"
        )
    for name, passed in report.verdicts.items():
        print(f"{name}: prediction {'passed' if passed else 'FAILED'}")
    print(report.paper)
    return 0


def claims(a: argparse.Namespace) -> int:
    from attach_ai.lab import claims

    print(claims.as_json() if a.json else claims.as_table())
    return 0


def bench(a: argparse.Namespace) -> int:
    out = file(a.json, ".json") if a.json else None
    if a.what == "fit":
        from attach_ai.lab.bench_fit import bench_fit

        bench_fit(out)
    else:
        from attach_ai.lab.bench import bench as against_pymdp

        against_pymdp(out)
    return 0


def _agent(a: argparse.Namespace, layout: Layout) -> Agent:
    from attach_ai.agent import Affect, Agent, Dirichlet, Exact, ExpectedFreeEnergy

    perception: AbstractPerception = Exact()
    if a.perception != "exact":
        from attach_ai.agent import MeanField

        perception = MeanField(algorithm=a.perception)
    learned = tuple(f.name for f in layout.factors if f.name in LEARNED)
    return Agent(
        perception=perception,
        planning=ExpectedFreeEnergy(horizon=a.horizon),
        learning=Dirichlet(D=learned, retention=a.retention),
        affect=Affect() if a.affect else None,
    )


def _grown(
    key: Any, agent: Agent, newborn: POMDP, history: History, settings: dict[str, Any]
) -> POMDP:
    """The mind that a history makes, with the same perception and planning."""
    from attach_ai.agent import Agent
    from attach_ai.simulation import develop, formative_learning

    child = Agent(agent.perception, agent.planning, formative_learning(newborn))
    return develop(key, child, newborn, history, **settings)

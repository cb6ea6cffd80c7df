"""The command line: one verb, one public function.

Exit codes: 0 fine; 1 well-formed but failing a check; 2 malformed input, said in one sentence;
130 interrupted. Whatever is heavy is imported by the verb that needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from attach_ai import __version__
from attach_ai.errors import InputError

if TYPE_CHECKING:
    from attach_ai.agent import Agent
    from attach_ai.agent.perception import AbstractPerception
    from attach_ai.model import POMDP, History, Layout, Model

KINDS = {
    "model": "models",
    "practice": "practices",
    "phenotype": "phenotypes",
    "world": "worlds",
    "history": "histories",
}
LEARNED = ("agents", "law")  # beliefs that a life of practice may move, where a model has them


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        return _say(error, 2)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _say(f"{error.filename or 'files'}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        return _say("interrupted; what is finished is kept, and the same command goes on", 130)


def _say(message: object, code: int) -> int:
    print(f"attach-ai: {' '.join(str(message).split())}", file=sys.stderr)
    return code


# ------------------------------------------------------------------ verbs


def _models(a: argparse.Namespace) -> int:
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
    picture = _file(a.graph, ".svg", ".pdf", ".png") if a.graph else None
    model = load_model(a.name)
    print(show(_switched(model, a.without)))
    if picture:
        from attach_ai.plot.graph import graph

        graph(model, picture, a.without[0] if a.without else None)
    return 0


def _check(a: argparse.Namespace) -> int:
    import attach_ai

    report = _switched(attach_ai.load_model(a.model), a.without).check()
    print(report)
    return 0 if report.ok else 1


def _held(practice: Any) -> str | None:
    """The level that a practice holds first: the one whose ledger a picture shows."""
    held = (f"{o.factor}.{o.level}" for phase in practice.phases for o in phase.operators)
    return next(held, None)


def _simulate(a: argparse.Namespace) -> int:
    from attach_ai.model import (
        load_history,
        load_model,
        load_phenotype,
        load_practice,
        load_world,
    )

    if a.history and a.phenotype:
        raise InputError("--history grows the mind, --phenotype sets it: give one", "simulate")
    out = _file(a.out, ".nc")
    picture = _file(a.figure, ".png", ".pdf", ".svg") if a.figure else None
    declared = load_model(a.model)
    practice = load_practice(a.practice)
    truth = load_world(a.world)
    settings: dict[str, Any] = _numbers(a.set)
    of_practice = {k: settings.pop(k) for k in list(settings) if k in practice.parameters}
    phenotype: Any = load_phenotype(a.phenotype) if a.phenotype else None
    history = load_history(a.history) if a.history else None
    of_history: dict[str, float] = {}
    model = _switched(declared, a.without)
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


def _run(a: argparse.Namespace) -> int:
    from attach_ai.files import checkout
    from attach_ai.lab import experiments, runs
    from attach_ai.lab.verdict import render
    from attach_ai.progress import Progress

    root = checkout()
    experiment = experiments.load(experiments.find(a.experiment, root))
    run = runs.plan(experiment, a.scale, root, _pairs(a.set))
    with Progress(len(run.pending())) as progress:
        verdict = runs.execute(run, progress)
    print(render(verdict))
    print(f"in {run.folder.relative_to(root)}")
    return 0


def _reproduce(a: argparse.Namespace) -> int:
    from attach_ai.lab.reproduce import StaleError, reproduce

    scale = "shallow" if a.shallow else "deep" if a.deep else "standard"
    try:
        report = reproduce(a.only, scale)
    except StaleError as error:
        return _say(error, 1)
    print(f"done: {', '.join(report.done)}" if report.done else "nothing is stale")
    for name, passed in report.verdicts.items():
        print(f"{name}: prediction {'passed' if passed else 'FAILED'}")
    print(report.paper)
    return 0


def _claims(a: argparse.Namespace) -> int:
    from attach_ai.lab import claims

    print(claims.as_json() if a.json else claims.as_table())
    return 0


def _bench(a: argparse.Namespace) -> int:
    from attach_ai.lab.bench import bench

    bench(_file(a.json, ".json") if a.json else None)
    return 0


# ------------------------------------------------------------------ arguments


def _switched(model: Model, targets: Sequence[str]) -> Model:
    for target in targets:
        model = model.without(target)
    return model


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


def _file(name: str, *kinds: str) -> Path:
    """An output file whose folder exists and whose kind we can write, known before the work."""
    path = Path(name)
    if path.suffix not in kinds:
        raise InputError(f"the file should end in {' or '.join(kinds)}", name)
    if not path.parent.is_dir():
        raise InputError(f"the folder '{path.parent}' does not exist", name)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError("cannot be written", name)
    return path


def _pairs(items: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise InputError(f"'{item}' should be written name=value", "--set")
        if name in found:
            raise InputError(f"'{name}' is set twice", "--set")
        found[name] = value
    return found


def _numbers(items: Sequence[str]) -> dict[str, float]:
    found = {}
    for name, value in _pairs(items).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"{name} is '{value}'; expected a number", "--set") from None
    return found


def _within(kind: type, low: float, high: float, what: str) -> Callable[[str], Any]:
    """An argparse type: a number between two bounds, both included."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
        return value

    return convert


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaint in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, self.prog.removeprefix("attach-ai").strip())


def _parser() -> _Parser:
    count = _within(int, 1, 10**6, "a whole number of at least 1")
    share = _within(float, 0, 1, "a number from 0 to 1")
    seed = _within(int, 0, 2**31 - 1, "a whole number of at least 0")
    switch: dict[str, Any] = {
        "action": "append",
        "default": [],
        "metavar": "FACTOR.LEVEL",
        "help": "switch a hidden cause off in the mind; may be repeated",
    }
    change: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "K=V"}

    parser = _Parser(
        prog="attach-ai",
        description="Active inference models of attachment and its repair.",
        epilog="Hypotheses about mechanisms, not clinical advice.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str) -> _Parser:
        added: _Parser = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    p = verb("models", _models, "list what is declared; with a name, its tables and its graph")
    p.add_argument("name", nargs="?", metavar="NAME")
    p.add_argument("--graph", metavar="FILE", help="draw the factor graph (.svg, .pdf, .png)")
    p.add_argument("--without", **switch)

    p = verb("check", _check, "coverage, column sums, what data could identify")
    p.add_argument("model", metavar="MODEL")
    p.add_argument("--without", **switch)

    p = verb("simulate", _simulate, "let a mind practise in a world")
    p.add_argument("model", metavar="MODEL", help="a name, or the path of a TOML file")
    p.add_argument("--practice", default="waitlist", metavar="NAME")
    p.add_argument("--phenotype", metavar="NAME", help="settings of the mind's parameters")
    p.add_argument("--history", metavar="NAME", help="care that the mind grows up with first")
    p.add_argument("--world", default="imagined_other", metavar="NAME", help="what is true")
    p.add_argument("--sessions", type=count, default=20, metavar="N")
    p.add_argument("--set", help="parameters of the mind, the practice or the history", **change)
    p.add_argument("--without", **switch)
    p.add_argument("--perception", choices=("exact", "fpi", "vmp", "mmp"), default="exact")
    p.add_argument("--horizon", type=count, default=1, metavar="N", help="steps of planning")
    p.add_argument("--affect", action="store_true", help="let policy precision move (valence)")
    p.add_argument("--gain", type=share, metavar="G", help="of the body loop; 0 cuts it")
    p.add_argument("--rate", type=share, metavar="R", help="how fast the body follows")
    p.add_argument("--retention", type=share, default=0.95, metavar="W", help="of counts, a day")
    p.add_argument("--seed", type=seed, default=0, metavar="N")
    p.add_argument("--out", required=True, metavar="FILE.nc")
    p.add_argument("--figure", metavar="FILE.png")

    p = verb("run", _run, "run an experiment and judge its prediction")
    p.add_argument("experiment", metavar="EXPERIMENT", help="a name or a path")
    p.add_argument("--scale", choices=("smoke", "standard", "deep"), default="standard")
    p.add_argument("--set", help="fields of its Config", **change)

    p = verb("reproduce", _reproduce, "experiments, figures and the paper; only what is stale")
    p.add_argument("--only", nargs="+", metavar="F", help="experiments or figures, as F3")
    scale = p.add_mutually_exclusive_group()
    scale.add_argument("--deep", action="store_true", help="at the paper's full scale")
    scale.add_argument("--shallow", action="store_true", help="from the committed deep results")

    p = verb("claims", _claims, "the claims and where each stands")
    p.add_argument("--json", action="store_true")

    p = verb("bench", _bench, "speed, against pymdp, in one run")
    p.add_argument("--json", metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())

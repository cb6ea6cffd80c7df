"""The command line: one verb, one public function.

Exit codes: 0 fine; 1 well-formed but failing a check; 2 malformed input, said in one sentence;
130 interrupted. Whatever is heavy is imported by the verb that needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from attach_ai import __version__
from attach_ai.cli import modelling, questionnaire
from attach_ai.cli.arguments import Parser, say, within
from attach_ai.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        return say(error, 2)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return say(f"{error.filename or 'files'}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        return say("interrupted; what is finished is kept, and the same command goes on", 130)


def _parser() -> Parser:
    count = within(int, 1, 10**6, "a whole number of at least 1")
    share = within(float, 0, 1, "a number from 0 to 1")
    seed = within(int, 0, 2**31 - 1, "a whole number of at least 0")
    switch: dict[str, Any] = {
        "action": "append",
        "default": [],
        "metavar": "FACTOR.LEVEL",
        "help": "switch a hidden cause off in the mind; may be repeated",
    }
    change: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "K=V"}

    parser = Parser(
        prog="attach-ai",
        description="Active inference models of attachment and its repair.",
        epilog="Hypotheses about mechanisms, not clinical advice.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Parser:
        added: Parser = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    p = verb("models", modelling.models, "what is declared; with a name, its tables and its graph")
    p.add_argument("name", nargs="?", metavar="NAME")
    p.add_argument("--graph", metavar="FILE", help="draw the factor graph (.svg, .pdf, .png)")
    p.add_argument("--without", **switch)

    p = verb("check", modelling.check, "coverage, column sums, what data could identify")
    p.add_argument("model", metavar="MODEL")
    p.add_argument("--without", **switch)

    p = verb("simulate", modelling.simulate, "let a mind practise in a world")
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

    p = verb("run", modelling.run, "run an experiment and judge its prediction")
    p.add_argument("experiment", metavar="EXPERIMENT", help="a name or a path")
    p.add_argument("--scale", choices=("smoke", "standard", "deep"), default="standard")
    p.add_argument("--set", help="fields of its Config", **change)

    p = verb(
        "reproduce", modelling.reproduce, "experiments, figures, the paper; only what is stale"
    )
    p.add_argument("--only", nargs="+", metavar="F", help="experiments or figures, as F3")
    scale = p.add_mutually_exclusive_group()
    scale.add_argument("--deep", action="store_true", help="at the paper's full scale")
    scale.add_argument("--shallow", action="store_true", help="from the committed deep results")

    p = verb("claims", modelling.claims, "the claims and where each stands")
    p.add_argument("--json", action="store_true")

    _questionnaires(verb, {"count": count, "seed": seed, "switch": switch, "change": change})

    p = verb("bench", modelling.bench, "speed, against pymdp, in one run; or of a fit")
    p.add_argument("what", nargs="?", choices=("fit",))
    p.add_argument("--json", metavar="FILE")
    return parser


def _questionnaires(verb: Callable[..., Parser], kinds: dict[str, Any]) -> None:
    """The verbs of data: what is asked of people, and what it says of a model."""
    number = within(float, -1e6, 1e6, "a number")

    def study(p: Parser) -> None:
        """The arguments that say which study is meant."""
        p.add_argument("--model", default="attachment_waves", metavar="NAME")
        p.add_argument("--instruments", nargs="+", metavar="NAME", help="names or files")
        p.add_argument("--mapping", metavar="FILE", help="how columns are read: a name or a file")
        p.add_argument("--link", default="attachment", metavar="NAME")
        p.add_argument("--free", nargs="+", required=True, metavar="PARAMETER")
        p.add_argument(
            "--individual",
            nargs="+",
            metavar="PARAMETER",
            help="those that differ between people; 'none' (default: what the design can tell)",
        )
        p.add_argument("--response", choices=("graded", "rating"), help="of ordinal items")
        p.add_argument("--location", choices=("cutpoints", "belief"), default="cutpoints")
        p.add_argument(
            "--alternative",
            nargs="+",
            action="extend",
            default=[],
            metavar="SCALE=N",
            help="another reading of a scale",
        )
        p.add_argument("--set", help="parameters that are not free", **kinds["change"])
        p.add_argument("--without", **kinds["switch"])
        p.add_argument("--seed", type=kinds["seed"], default=0, metavar="N")
        p.add_argument("--folder", metavar="DIR", help="where finished work is kept (resumable)")
        p.add_argument("--figure", metavar="FILE.png")

    def records(p: Parser) -> None:
        p.add_argument("records", metavar="FILE", help="CSV, TSV, Parquet, SPSS, REDCap, BIDS")
        for name in ("subject", "wave", "group", "cluster"):
            p.add_argument(f"--{name}", metavar="COLUMN")
        p.add_argument("--covariates", nargs="+", metavar="COLUMN")

    def sampler(p: Parser, draws: int | None) -> None:
        p.add_argument("--warmup", type=kinds["count"], default=draws, metavar="N")
        p.add_argument("--draws", type=kinds["count"], default=draws, metavar="N")
        if draws is not None:
            p.add_argument("--chains", type=kinds["count"], default=4, metavar="N")
            p.add_argument("--engine", choices=("nuts", "nutpie", "svi", "laplace"), default="nuts")
            p.add_argument("--every", type=kinds["count"], default=100, metavar="N")
            p.add_argument("--processes", type=kinds["count"], metavar="N")

    p = verb(
        "instruments", questionnaire.instruments, "questionnaires; 'new FILE' writes skeletons"
    )
    p.add_argument("name", nargs="?", metavar="NAME")
    p.add_argument("file", nargs="?", metavar="FILE")
    p.add_argument("--link", default="attachment", metavar="NAME")
    p.add_argument("--out", default=".", metavar="DIR", help="where skeletons go")

    p = verb("data", questionnaire.data, "known data sets; the simulated cohort")
    p.add_argument("name", nargs="?", metavar="NAME")
    p.add_argument("--out", metavar="FILE.csv")

    p = verb("design", questionnaire.design, "what a study would tell, before any data")
    study(p)
    p.add_argument("--target", required=True, metavar="UNKNOWN", help='as "effect[hold, practice]"')
    p.add_argument("--effect", type=number, required=True, metavar="X", help="log-odds")
    p.add_argument("--people", nargs="+", type=kinds["count"], required=True, metavar="N")
    p.add_argument("--waves", nargs="+", type=kinds["count"], metavar="N")
    p.add_argument("--items", nargs="+", default=["all"], metavar="N", help="of each scale")
    p.add_argument("--dose", nargs="+", type=number, default=[1.0], metavar="X", help="a factor")
    p.add_argument("--out", metavar="FILE.nc")
    p.add_argument("--text", metavar="FILE.txt")

    p = verb("fit", questionnaire.fit, "fit a model to answers")
    records(p)
    study(p)
    sampler(p, 1000)
    p.add_argument("--out", required=True, metavar="FILE.nc")

    for name, run, text in (
        ("recover", questionnaire.recover, "whether this design gives back what went in"),
        ("calibrate", questionnaire.calibrate, "simulation-based calibration of this design"),
    ):
        p = verb(name, run, text)
        records(p)
        study(p)
        sampler(p, None)
        default = 10 if name == "recover" else 200
        p.add_argument("--replicates", type=kinds["count"], default=default, metavar="N")
        p.add_argument("--only", metavar="N-M", help="these replicates alone")
        p.add_argument("--out", required=True, metavar="FILE.nc")

    p = verb("compare", questionnaire.compare, "the model against its parts and honest rivals")
    records(p)
    study(p)
    sampler(p, 1000)
    p.add_argument("--only", nargs="+", metavar="NAME", help="these opponents alone")
    p.add_argument("--out", required=True, metavar="FILE.nc")

    p = verb("report", questionnaire.report, "one HTML file of a fit")
    p.add_argument("fit", metavar="FIT.nc")
    p.add_argument("--out", metavar="FILE.html")
    for name in ("recovery", "calibration", "comparison"):
        p.add_argument(f"--{name}", metavar="FILE.nc")

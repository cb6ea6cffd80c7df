"""Verbs of questionnaires: instruments, design, fit, recover, calibrate, compare, report, data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attach_ai.cli.arguments import file, numbers, pairs
from attach_ai.errors import InputError

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records
    from attach_ai.fit.study.pomdp import POMDPStudy
    from attach_ai.model import Model


SHOWN = ["elpd", "difference", "difference_se", "waves_difference", "weight", "k_share"]


def instruments(a: argparse.Namespace) -> int:
    """List them, show one, or write skeletons for a file of one's own."""
    from attach_ai.model import codebook
    from attach_ai.model.instrument import load_instrument
    from attach_ai.model.link import load_link

    if a.name == "new":
        if a.file is None:
            raise InputError("expected a file of answers, as in: instruments new data.csv", "new")
        from attach_ai.fit.records.scaffold import write_scaffold

        for path in write_scaffold(a.file, Path(a.out)):
            print(path)
        print("Every line is a guess to be checked.")
        return 0
    if a.file is not None:
        raise InputError("a file belongs to 'new'", "instruments")
    if a.name is None:
        print(codebook.table())
    else:
        print(codebook.show(load_instrument(a.name), load_link(a.link)))
    return 0


def data(a: argparse.Namespace) -> int:
    """Name known data sets; write the simulated one."""
    from attach_ai.fit.study import known_data

    if a.name is None:
        print(known_data.table())
        return 0
    out = file(a.out or f"{a.name}.csv", ".csv")
    known_data.get(a.name, out)
    print(out)
    return 0


def design(a: argparse.Namespace) -> int:
    """Power, assurance, reliability and identification before any data."""
    from attach_ai.files import write, write_text
    from attach_ai.fit.checks.design import design as compute
    from attach_ai.fit.study.build import build_study
    from attach_ai.fit.study.planned import planned_records
    from attach_ai.model.mapping import load_mapping

    out = file(a.out, ".nc") if a.out else None
    picture = file(a.figure, ".png", ".pdf", ".svg") if a.figure else None
    text = file(a.text, ".txt", ".md") if a.text else None
    if a.mapping is None:
        raise InputError("a design needs a mapping, which declares waves and arms", "--mapping")
    mapping = load_mapping(a.mapping)
    asked = [None if x == "all" else _count(x, "--items") for x in a.items]

    def build(people: int, waves: int, items: str, dose: float) -> POMDPStudy:
        records = planned_records(
            mapping,
            people,
            waves=waves,
            items=None if items == "all" else int(items),
            dose=dose,
            instruments=a.instruments,
        )
        return build_study(a.model, None, records, a.free, **_words(a))

    found = compute(
        build,
        target=a.target,
        effect=a.effect,
        people=a.people,
        waves=a.waves or [len(mapping.time.waves)],
        items=["all" if x is None else str(x) for x in asked],
        dose=a.dose,
        seed=a.seed,
        folder=Path(a.folder) if a.folder else None,
        fingerprint=_fingerprint(a, mapping.sha256),
    )
    print(found)
    print()
    print(found.preregistration())
    if text:
        write_text(text, f"{found}\n\n{found.preregistration()}\n")
    if out:
        write(out, lambda p: found.data.to_netcdf(p, engine="h5netcdf"))
    if picture:
        from attach_ai.plot.fit_checks import design as draw

        draw(found.data, picture)
    return 0


def fit(a: argparse.Namespace) -> int:
    """Fit a model to a file of answers."""
    import jax

    from attach_ai.fit.fitting import fit_study, told_of
    from attach_ai.fit.sampling.chain import Settings
    from attach_ai.fit.sampling.diagnostics import diagnostics
    from attach_ai.fit.sampling.tree import save_tree
    from attach_ai.fit.study.priors import prior_table

    out = file(a.out, ".nc")
    picture = file(a.figure, ".png", ".pdf", ".svg") if a.figure else None
    Settings(a.warmup, a.draws)  # said before anything is computed, if it cannot be
    records, study = _study(a)
    for note in records.notes:
        print(f"note: {note}")
    print(prior_table(study))
    key = jax.random.key(a.seed)
    print("looking at what this design can tell ...", file=sys.stderr, flush=True)
    told = told_of(study, key)
    print(told, flush=True)
    folder = Path(a.folder) if a.folder else out.with_suffix(".draws")
    tree = fit_study(study, records, key=key, told=told, folder=folder, **_sampler(a))
    save_tree(tree, out)
    if picture:
        from attach_ai.plot.fit import fit as draw

        draw(tree, picture)
    checks = diagnostics(tree)
    for check in checks:
        print(f"good: {check.text}" if check.good else f"BAD: {check.text} {check.do}")
    print(f"{out}: attach-ai report {out}")
    return 0


def recover(a: argparse.Namespace) -> int:
    """Whether the design gives back what went in."""
    from attach_ai.fit.checks.recovery import recover as run
    from attach_ai.plot.fit_checks import recovery as draw

    _replicated(a, run, draw)
    return 0


def calibrate(a: argparse.Namespace) -> int:
    """Simulation-based calibration; exit code 1 where it fails."""
    from attach_ai.fit.checks.calibration import calibrate as run
    from attach_ai.plot.fit_checks import calibration as draw

    return 0 if _replicated(a, run, draw).passed else 1


def _replicated(a: argparse.Namespace, run: Callable[..., Any], draw: Callable[..., Any]) -> Any:
    """Simulate the design, fit it again, keep, draw and print what came out."""
    from attach_ai.files import write
    from attach_ai.fit.checks.replicates import chosen

    chosen(a.only, a.replicates)  # before anything is computed
    out = file(a.out, ".nc")
    picture = file(a.figure, ".png", ".pdf", ".svg") if a.figure else None
    _, study = _study(a)
    found = run(
        study,
        a.seed,
        n_replicates=a.replicates,
        only=a.only,
        folder=Path(a.folder) if a.folder else out.with_suffix(".replicates"),
        **_few(a),
    )
    tree = found.to_tree()
    write(out, lambda p: tree.to_netcdf(p, engine="h5netcdf"))
    if picture:
        draw(tree, picture)
    print(found.table())
    return found


def compare(a: argparse.Namespace) -> int:
    """The model against its ablations and honest rivals, on the same answers."""
    from attach_ai.files import write
    from attach_ai.fit.comparison.contest import compare as run

    out = file(a.out, ".nc")
    picture = file(a.figure, ".png", ".pdf", ".svg") if a.figure else None
    found = run(
        a.model,
        None,
        _records(a),
        a.free,
        seed=a.seed,
        only=a.only,
        words=_words(a),
        folder=Path(a.folder) if a.folder else out.with_suffix(".draws"),
        **_sampler(a),
    )
    tree = found.to_tree()
    write(out, lambda p: tree.to_netcdf(p, engine="h5netcdf"))
    if picture:
        from attach_ai.plot.fit_checks import comparison as draw

        draw(tree, picture)
    print(found.table()[SHOWN].round(2).to_string())
    print(found.verdict_text())
    return 0


def report(a: argparse.Namespace) -> int:
    """One HTML file of a fit."""
    from attach_ai.lab.fit_report import report as write_report

    out = file(a.out or str(Path(a.fit).with_suffix(".html")), ".html")
    write_report(a.fit, out, a.recovery, a.calibration, a.comparison)
    print(out)
    return 0


# ------------------------------------------------------------------ arguments


def _records(a: argparse.Namespace) -> Records:
    from attach_ai.fit.records.records import read_records

    return read_records(
        a.records,
        a.instruments,
        a.mapping,
        subject=a.subject,
        wave=a.wave,
        group=a.group,
        cluster=a.cluster,
        covariates=a.covariates,
    )


def _study(a: argparse.Namespace) -> tuple[Records, POMDPStudy]:
    """The records, and the study of them that the arguments ask for."""
    from attach_ai.fit.study.build import build_study

    records = _records(a)
    return records, build_study(a.model, None, records, a.free, **_words(a))


def _words(a: argparse.Namespace) -> dict[str, Any]:
    """What `build_study` takes beside model, records and free parameters."""
    alternatives = {k: _count(v, "--alternative", 0) for k, v in pairs(a.alternative).items()}
    return {
        "link": a.link,
        "individual": "auto" if a.individual is None else [x for x in a.individual if x != "none"],
        "response": a.response,
        "location": a.location,
        "alternatives": alternatives,
        "without": a.without,
        "settings": numbers(a.set),
    }


def _sampler(a: argparse.Namespace) -> dict[str, Any]:
    return {
        "chains": a.chains,
        "warmup": a.warmup,
        "draws": a.draws,
        "engine": a.engine,
        "every": a.every,
        "processes": a.processes,
    }


def _few(a: argparse.Namespace) -> dict[str, Any]:
    given = {"warmup": a.warmup, "draws": a.draws}
    return {k: v for k, v in given.items() if v is not None}


def _count(text: str, place: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"'{text}' is not a whole number of at least {least}", place)
    return int(text)


def _fingerprint(a: argparse.Namespace, mapping: str) -> str:
    """What a design's cells rest on."""
    from attach_ai.model import load_model

    model: Model = load_model(a.model)
    words = [model.sha256, mapping, a.free, a.instruments, sorted(_words(a).items(), key=str)]
    return repr(words)

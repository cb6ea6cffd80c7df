"""The paper from nothing: experiments, figures, numbers, PDF; only what is stale is done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from attach_ai.errors import InputError
from attach_ai.files import checkout, read_json, write_json
from attach_ai.lab import report as page
from attach_ai.lab.experiments import Experiment, available, load, suggest
from attach_ai.lab.report import Result
from attach_ai.lab.runs import Run, execute, plan, save
from attach_ai.lab.runs import load as load_cell
from attach_ai.progress import Progress


class StaleError(Exception):
    """A committed result no longer matches what it rests on."""


@dataclass(frozen=True)
class Report:
    """What was done, what the verdicts are, and where the paper lies.

    `lacking`: data sets that were not at hand, by experiment; their committed results are shown.
    """

    done: tuple[str, ...]
    verdicts: dict[str, bool]
    paper: Path
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)


def reproduce(
    only: Sequence[str] | None = None, scale: str = "standard", root: Path | None = None
) -> Report:
    """Bring `paper/generated/paper.pdf` up to date, doing only what is stale.

    `only` names experiments or figures ("F3"). `scale` is "standard", "deep" (the paper's full
    scale; small results go to `paper/data`, to be committed) or "shallow" (figures and PDF from
    those, without running anything). Raises `StaleError` if a committed result is missing or does
    not match the code any more, `InputError` for an unknown name or outside a checkout.
    """
    root = root or checkout()
    experiments = [load(path) for path in available(root).values()]
    chosen = _choose(experiments, only)
    names = [e.name for e in experiments]
    if scale == "shallow":
        with Progress(0) as progress:
            return _page([_kept(e, root) for e in chosen], names, "deep", root, progress, [])

    import jax

    runs = {e.name: plan(e, scale, root) for e in experiments}
    unfinished = [e for e in chosen if not runs[e.name].finished]
    # Where the data are not at hand, what was committed of them is shown.
    lacking = {e.name: e.lacks for e in unfinished if e.lacks}
    waiting = [runs[e.name] for e in unfinished if e.name not in lacking]
    # Each experiment brings a figure, and all together one PDF.
    total = sum(len(run.pending()) + 1 for run in waiting) + 1
    with Progress(total) as progress:
        for run in waiting:
            execute(run, progress)
            # What an experiment compiled serves no other, and holds memory maps of the process.
            jax.clear_caches()
        if scale == "deep":
            for e in chosen:
                if e.name not in lacking:
                    _keep(runs[e.name])
        results = [_result(run) for run in runs.values() if run.finished]
        for e in unfinished:
            if e.name in lacking:
                with suppress(StaleError):  # then there is nothing to show, which the report says
                    results.append(_kept(e, root))
        done = [run.experiment.name for run in waiting]
        report = _page(results, names, scale, root, progress, done)
        return replace(report, lacking=lacking)


def _page(
    results: Sequence[Result],
    names: Sequence[str],
    scale: str,
    root: Path,
    progress: Progress,
    done: list[str],
) -> Report:
    """Figures, numbers and PDF of these results."""
    figures = page.figures(results, names, root)
    waiting = [f for f in figures if not f.finished]
    progress.expect(progress.done + len(waiting) + 1)
    for figure in waiting:
        with progress.step(f"figure {figure.script.stem}"):
            figure.draw()
        done.append(f"figure {figure.script.stem}")
    page.write_numbers(results, figures, scale, root)
    if page.paper_stale(root):
        with progress.step("paper.pdf"):
            page.typeset(root)
        done.append("paper.pdf")
    verdicts = {r.experiment.name: bool(r.verdict["passed"]) for r in results}
    return Report(tuple(done), verdicts, root / "paper" / "generated" / "paper.pdf")


def _choose(experiments: Sequence[Experiment], only: Sequence[str] | None) -> list[Experiment]:
    if not only:
        return list(experiments)
    known = {n.lower(): e for e in experiments for n in (e.name, e.figure) if n}
    for name in only:
        if name.lower() not in known:
            raise InputError(f"no experiment is called '{name}'{suggest(name.lower(), known)}")
    wanted = {known[name.lower()].name for name in only}
    return [e for e in experiments if e.name in wanted]


def _result(run: Run) -> Result:
    return Result(
        run.experiment,
        run.key,
        run.verdict,
        run.record,
        lambda: run.experiment.summary(run.cells()),
    )


def _keep(run: Run) -> None:
    """Put a deep result, reduced to what its figure needs, where it is committed."""
    folder = run.root / "paper" / "data" / run.experiment.name
    if (folder / "run.json").is_file() and read_json(folder / "run.json")["key"] == run.key:
        return
    for old in folder.glob("*.nc"):
        old.unlink()
    for name, cell in run.experiment.summary(run.cells()).items():
        save(cell, folder / f"{name}.nc")
    write_json(folder / "verdict.json", run.verdict)
    write_json(folder / "run.json", run.record)


def _kept(experiment: Experiment, root: Path) -> Result:
    """A committed deep result, if it still matches."""
    folder = root / "paper" / "data" / experiment.name
    if not (folder / "run.json").is_file():
        raise StaleError(f"{experiment.name} has no deep result in paper/data; run it with --deep")
    record: dict[str, Any] = read_json(folder / "run.json")
    if record["key"] != plan(experiment, "deep", root).key:
        raise StaleError(
            f"{experiment.name} has changed since its deep result was made; run it with --deep"
        )
    return Result(
        experiment,
        record["key"],
        read_json(folder / "verdict.json"),
        record,
        partial(_read, folder),
    )


def _read(folder: Path) -> dict[str, Any]:
    return {path.stem: load_cell(path)[0] for path in sorted(folder.glob("*.nc"))}

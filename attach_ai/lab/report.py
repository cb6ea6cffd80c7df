"""From results to the page: figures, numbers, verdicts and the PDF."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attach_ai.errors import InputError
from attach_ai.files import digest, read_json, write, write_json
from attach_ai.lab import stale
from attach_ai.lab.experiments import Experiment, load_file

if TYPE_CHECKING:
    import xarray

FORMATS: dict[str, dict[str, Any]] = {
    # Dates inside the files would make equal pictures differ.
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 200},
}
STYLE: dict[Any, Any] = {"svg.hashsalt": "attach_ai", "pdf.fonttype": 42}


@dataclass(frozen=True)
class Result:
    """A finished experiment, as the page needs it; `cells` reads those its figure draws."""

    experiment: Experiment
    key: str
    verdict: Mapping[str, Any]
    record: Mapping[str, Any]
    cells: Callable[[], Mapping[str, xarray.Dataset]]


@dataclass(frozen=True)
class Figure:
    """A script of `paper/figures`: that of an experiment, or one that stands alone."""

    script: Path
    result: Result | None
    root: Path

    @property
    def key(self) -> str:
        """The hash of what it rests on."""
        if self.result is not None:
            return stale.figure_key(self.script, self.result.key, (), self.root)
        models = getattr(self._module(), "MODELS", ())
        return stale.figure_key(self.script, "", models, self.root)

    @property
    def finished(self) -> bool:
        """Whether it has been drawn from these very inputs."""
        stamp = self._file("json")
        drawn = all(self._file(kind).is_file() for kind in (*FORMATS, "json"))
        return drawn and read_json(stamp) == self.key

    def draw(self) -> None:
        """Draw and save it in each format."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        draw = self._module().draw
        with matplotlib.rc_context(STYLE):
            if self.result is None:
                figure = draw()
            else:
                figure = draw(self.result.cells(), self.result.verdict)
            for kind, options in FORMATS.items():
                write(self._file(kind), partial(figure.savefig, format=kind, **options))
        pyplot.close(figure)
        write_json(self._file("json"), self.key)

    def _file(self, kind: str) -> Path:
        return self.root / "paper" / "generated" / "figures" / f"{self.script.stem}.{kind}"

    def _module(self) -> Any:
        module = load_file(self.script, f"paper.figures.{self.script.stem}")
        if not hasattr(module, "draw"):
            raise InputError("a figure script needs a function 'draw'", str(self.script))
        return module


def figures(results: Sequence[Result], names: Sequence[str], root: Path) -> list[Figure]:
    """Figures of these results, and those of no experiment (`names` are the experiments)."""
    by_name = {r.experiment.name: r for r in results}
    found = []
    for script in sorted((root / "paper" / "figures").glob("*.py")):
        if script.stem in by_name:
            found.append(Figure(script, by_name[script.stem], root))
        elif script.stem not in names and not script.stem.startswith("_"):
            found.append(Figure(script, None, root))
    return found


def write_numbers(
    results: Sequence[Result], drawn: Sequence[Figure], scale: str, root: Path
) -> None:
    """`values.json` and `verdicts.json`, the only source of numbers in the paper."""
    generated = root / "paper" / "generated"
    records = [r.record for r in results]
    values = {
        "scale": scale,
        "version": _shared(records, "version"),
        "machine": _shared(records, "machine"),
        "date": max((str(r["date"]) for r in records), default=""),
        "figures": [f.script.stem for f in drawn],
        "experiments": {r.experiment.name: _values(r) for r in results},
    }
    verdicts = {r.experiment.name: {**r.verdict, "scale": scale} for r in results}
    for name, content in (("values.json", values), ("verdicts.json", verdicts)):
        path = generated / name
        if not path.is_file() or read_json(path) != content:
            write_json(path, content)


def paper_stale(root: Path) -> bool:
    """Whether the PDF is older than anything that it shows."""
    stamp = root / "paper" / "generated" / "paper.json"
    pdf = stamp.with_suffix(".pdf")
    return not (pdf.is_file() and stamp.is_file() and read_json(stamp) == _paper_key(root))


def typeset(root: Path) -> None:
    """Compile `paper/main.typ` into `paper/generated/paper.pdf`."""
    import typst

    source = root / "paper" / "main.typ"
    pdf = root / "paper" / "generated" / "paper.pdf"

    def compile_to(path: Path) -> None:
        typst.compile(source, output=path, root=source.parent, ignore_system_fonts=True)

    try:
        write(pdf, compile_to)
    except typst.TypstError as error:
        raise InputError(f"does not compile: {error.message}", str(source)) from error
    write_json(pdf.with_suffix(".json"), _paper_key(root))


def _values(result: Result) -> dict[str, Any]:
    """Measured figures of a result: by perception ("all" without one), then by finding."""
    found: dict[str, Any] = {
        "config": result.record["config"],
        "seconds": round(sum(result.record["seconds"].values()), 1),
    }
    for f in result.verdict["outcomes"]:
        group = found.setdefault(f["perception"] or "all", {})
        group[f["name"]] = {**f["measured"], "passed": f["passed"], "share": f["share"]}
    return found


def _shared(records: Sequence[Mapping[str, Any]], name: str) -> str:
    return "; ".join(sorted({str(r[name]) for r in records}))


def _paper_key(root: Path) -> str:
    paper = root / "paper"
    parts = [*sorted(paper.glob("*.typ")), *sorted(paper.glob("*.bib")), paper / "claims.toml"]
    generated = paper / "generated"
    parts += [generated / "values.json", generated / "verdicts.json"]
    parts += sorted((generated / "figures").glob("*.json"))
    return digest(json.dumps({p.name: digest(p.read_bytes()) for p in parts if p.is_file()}))[:16]

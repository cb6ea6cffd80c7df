"""A fit on one page of HTML: what was asked, whether to believe the answer, what came out.

Every number and picture comes from the trees it is given; nothing is fetched when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attach_ai.errors import InputError
from attach_ai.files import write_text
from attach_ai.lab import fit_doubts as doubts
from attach_ai.lab import fit_sections as sections
from attach_ai.lab import fit_words as words
from attach_ai.lab.fit_page import Page
from attach_ai.lab.fit_parts import Part
from attach_ai.plot.fit_labels import plain
from attach_ai.plot.style import LEVEL

Tree = Any  # xarray.DataTree, or the path of one
Section = Callable[[Page], list[Part]]

SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("asked", "What was asked", sections.asked),
    ("identified", "What could be identified", sections.identified),
    ("diagnostics", "Can the sampler be trusted?", sections.diagnostics),
    ("method", "Can the method be trusted?", sections.method),
    ("results", "What came out", sections.results),
    ("persons", "Single people", sections.persons),
    ("predictive", "Does the model predict these answers?", doubts.predictive),
    ("rivals", "Do rivals predict better?", doubts.rivals),
    ("missing", "Missing data", doubts.missing),
    ("sensitivity", "What the priors decide", doubts.sensitivity),
    ("methods", "A methods paragraph", sections.methods),
    ("citations", "To cite", sections.citations),
    ("provenance", "Where this came from", sections.provenance),
)


def report(
    tree: Tree,
    out: str | Path,
    recovery: Tree | None = None,
    calibration: Tree | None = None,
    comparison: Tree | None = None,
) -> Path:
    """Write one self-contained HTML file about a fit; returns its path.

    `tree`: the DataTree of a fit, or the path of `fit.nc`; the others likewise, from `recover`,
    `calibrate` and `compare`. A person's parameters whose recovery (without one, whose posterior
    reliability) is below .7 are left out. Groups `sensitivity` and `not_at_random` of the tree, if
    it has them, are shown.

    Raises `InputError` for a file that cannot be read, for a tree that lacks a group the page rests
    on, and for a place that cannot be written; nothing is written then.
    """
    out = Path(out)
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"a report is saved as .html, got '{out.name}'", str(out))
    given = {"recovery": recovery, "calibration": calibration, "comparison": comparison}
    others = {k: None if t is None else _read(t, k) for k, t in given.items()}
    write_text(out, _render(Page(_read(tree, "fit"), **others)))
    return out


def _render(page: Page) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    parts = [{"id": i, "title": title, "parts": say(page)} for i, title, say in SECTIONS]
    room = Environment(
        loader=PackageLoader("attach_ai.lab"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    model = plain(str(page.design.get("model", "a model")))
    n = page.tree["observed_data"].sizes["subject"]
    return room.get_template("fit_report.html").render(
        title=f"{model.capitalize()}, fitted to {words.people(n)}",
        subtitle=f"{words.occasions(page.tree)}; intervals are central and hold {LEVEL:.0%}",
        banners=page.banners(),
        tiles=page.tiles(),
        sections=[s for s in parts if s["parts"]],
        footer="Made by attach_ai; this file holds everything it shows.",
    )


def _read(tree: Tree, what: str) -> Any:
    """A tree, from its file where a path is given."""
    if not isinstance(tree, str | Path):
        return tree
    import xarray as xr

    path = Path(tree)
    if not path.is_file():
        raise InputError(f"there is no {what} here", str(path))
    try:
        with xr.open_datatree(path, engine="h5netcdf") as found:
            return found.load()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"could not be read as the tree of a {what}", str(path)) from error

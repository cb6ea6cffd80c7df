"""The factor graph of a model: who reads whom, and what the switched cause carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.model import Model
from attach_ai.plot.style import (
    BLUE,
    CAUSE,
    INK,
    LINE,
    MM,
    PAGE,
    QUIET,
    SMALLEST,
    save,
    styled,
    words,
    writable,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOICE, INNER = BLUE, "#DCEEF9"
WIDTH = PAGE * MM
PITCH = 10.5 * MM  # from one row of boxes to the next
TOP, TITLE, BOTTOM = 14 * MM, 6 * MM, 4 * MM  # for headings, a title, and the legend
DASHES, DOTS = (0, (2.5, 1.8)), (0, (0.8, 1.4))


@dataclass(frozen=True)
class Edge:
    """Something read by a table. `kind` is "before" (a factor one step ago), "now" or "action".

    `through` says that the table depends on it only because of the switched level, `silent` that at
    the parameters' defaults it makes no difference.
    """

    kind: str
    source: int
    target: int
    through: bool = False
    silent: bool = False


def edges(model: Model, without: str | None = None) -> list[Edge]:
    """What every table really depends on, read off the tables themselves.

    A table depends on a parent if its cells differ along the parent's axis. An edge is carried by
    the level `without` alone if they no longer do once that level is taken out.
    """
    layout = model.layout
    off = {(f, level) for f, factor in enumerate(layout.factors) for level in factor.excluded}
    if without is not None:
        off.add(_target(model, without))
    found = []
    for f, factor in enumerate(layout.factors):
        index, values = _cells(model, f"B.{factor.name}")
        less = _taken_out(index, factor.parents, off)
        less = np.delete(less, [level for g, level in off if g == f], axis=0)
        for axis, p in enumerate(factor.parents, start=1):
            if _varies(index, axis):
                found.append(
                    Edge("before", p, f, not _varies(less, axis), not _varies(values, axis))
                )
        for axis, a in enumerate(factor.actions, start=1 + len(factor.parents)):
            if _varies(index, axis):
                found.append(
                    Edge("action", a, f, not _varies(less, axis), not _varies(values, axis))
                )
    for m, modality in enumerate(layout.modalities):
        index, values = _cells(model, f"A.{modality.name}")
        less = _taken_out(index, modality.parents, off)
        for axis, p in enumerate(modality.parents, start=1):
            if _varies(index, axis):
                found.append(Edge("now", p, m, not _varies(less, axis), not _varies(values, axis)))
    return found


def _cells(model: Model, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Which cell stands where in a table, and what it is worth at the defaults."""
    table = model.tables[name]
    worth = np.array([float(c.evaluate(model.defaults)) for c in table.cells])
    return table.index, worth.round(12)[table.index]


def _taken_out(
    index: np.ndarray, parents: tuple[int, ...], off: set[tuple[int, int]]
) -> np.ndarray:
    for axis, p in enumerate(parents, start=1):
        index = np.delete(index, [level for f, level in off if f == p], axis=axis)
    return index


def _varies(index: np.ndarray, axis: int) -> bool:
    return bool((index != index.take([0], axis=axis)).any())


def _target(model: Model, target: str) -> tuple[int, int]:
    model.without(target)  # an unknown level is an InputError there
    return model.layout.level(target)


@styled
def graph(model: Model, path: str | Path | None = None, without: str | None = None) -> Figure:
    """Draw the factor graph, 180 mm wide.

    With `without`, as in "agents.benevolent", two graphs stand side by side: with that level, whose
    own edges are highlighted, and without it, where the edges that only it carried are dashed.

    `path` saves the figure as PDF, PNG or SVG, by its ending. Raises `InputError` for another
    ending, a folder that does not exist and an unknown level.
    """
    from matplotlib.figure import Figure

    where = None if path is None else writable(path)
    layout = model.layout
    rows = max(len(layout.factors) + len(layout.actions), len(layout.modalities))
    height = TOP + (TITLE if without else 0) + rows * PITCH + BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    found = edges(model, without)
    cause = None if without is None else _target(model, without)
    already_off = any(f.excluded for f in layout.factors)
    panels = [already_off] if without is None else [False, True]
    for i, gone in enumerate(panels):
        width = WIDTH / len(panels)
        axes = figure.add_axes((i / len(panels), 0, 1 / len(panels), 1))
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.axis("off")
        panel = _Panel(model, axes, found, cause, gone)
        panel.draw("" if without is None else f"{'without' if gone else 'with'} {without}")
    silent = any(e.silent for e in found)
    _legend(figure, height, cause is not None, already_off or cause is not None, silent)
    if where is not None:
        save(figure, where)
    return figure


class _Panel:
    """One graph: factors one step ago and actions, factors now, outcomes."""

    def __init__(
        self,
        model: Model,
        axes: Axes,
        found: list[Edge],
        cause: tuple[int, int] | None,
        gone: bool,
    ):
        self.layout, self.axes, self.found = model.layout, axes, found
        self.cause, self.gone = cause, gone
        right = axes.get_xlim()[1]
        top = axes.get_ylim()[1] - TOP - (TITLE if cause else 0)
        self.roomy = right == WIDTH  # levels have a place beside the names
        self.box = ((44 if self.roomy else 21) * MM, 7.8 * MM)
        w = self.box[0]
        self.before = 20 * MM  # names end here, lines start
        self.outcome = right - 3 * MM - w / 2
        self.now = (self.before + self.outcome - w / 2) / 2 + 0.5 * MM
        n_factors, n_outcomes = len(self.layout.factors), len(self.layout.modalities)
        factor_y = [top - i * PITCH for i in range(n_factors)]
        drop = max(0, n_factors - n_outcomes) * PITCH / 2
        free = [top - drop - i * PITCH for i in range(n_outcomes)]

        def causes(m: int) -> float:
            return float(np.mean([factor_y[e.source] for e in found if _into(e) == ("now", m)]))

        # outcomes stand near what they read, so that lines cross less
        order = sorted(range(n_outcomes), key=causes, reverse=True)
        action_y = [factor_y[-1] - PITCH * (i + 1) for i in range(len(self.layout.actions))]
        self.y = {
            "factor": factor_y,
            "outcome": [free[order.index(m)] for m in range(n_outcomes)],
            "action": action_y,
        }

    def draw(self, title: str) -> None:
        head = self.y["factor"][0] + 8 * MM
        top = self.axes.get_ylim()[1]
        for x, text in ((self.now, "now"), (self.outcome, "felt and seen")):
            self._text(x, head, text, 7.5, style="italic")
        self._text(self.before, head, "one step ago", 7.5, ha="right", style="italic")
        if title:
            color = INK if self.gone else CAUSE
            middle = self.axes.get_xlim()[1] / 2
            self._text(middle, top - 5 * MM, title, 9, color=color, weight="bold")
        for e in sorted(self.found, key=self._rank):
            self._edge(e)
        for f, factor in enumerate(self.layout.factors):
            y = self.y["factor"][f]
            color = CAUSE if self._is_cause(f) and not self.gone else INK
            self._text(self.before, y, words(factor.name), 7.5, ha="right", color=color)
            self._box(self.now, y, factor.name, factor.levels, edge=color, round_=True, factor=f)
        for m, modality in enumerate(self.layout.modalities):
            fill = INNER if modality.inner else "white"
            y = self.y["outcome"][m]
            self._box(self.outcome, y, modality.name, modality.levels, fill=fill)
        for a, action in enumerate(self.layout.actions):
            y = self.y["action"][a]
            self._text(
                self.before, y, words(action.name), 7.5, ha="right", color=CHOICE, weight="bold"
            )

    def _is_cause(self, f: int) -> bool:
        return self.cause is not None and self.cause[0] == f

    def _lit(self, e: Edge) -> bool:
        return e.through and not self.gone and self.cause is not None

    def _rank(self, e: Edge) -> int:
        """What persists is drawn first, what is highlighted last."""
        return 2 if self._lit(e) else 0 if _persists(e) else 1

    def _source_y(self, e: Edge) -> float:
        return self.y["action" if e.kind == "action" else "factor"][e.source]

    def _edge(self, e: Edge) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path as Curve

        lost = self.gone and e.through
        color = LINE
        if self._lit(e):
            color = CAUSE
        elif lost or _persists(e):
            color = QUIET
        elif e.kind == "action":
            color = CHOICE
        width = 0.8 if e.silent or not self._lit(e) else 1.4
        # arrows into one box arrive below each other, in the order they come from
        rivals = sorted((o for o in self.found if _into(o) == _into(e)), key=self._source_y)
        shift = (rivals.index(e) - (len(rivals) - 1) / 2) * min(1.5 * MM, 6 * MM / len(rivals))
        w = self.box[0]
        x0 = self.now + w / 2 if e.kind == "now" else self.before + 1.2 * MM
        x1 = (self.outcome if e.kind == "now" else self.now) - w / 2 - 0.3 * MM
        y0 = self._source_y(e)
        y1 = self.y["outcome" if e.kind == "now" else "factor"][e.target] + shift
        bend = 0.5 * (x1 - x0)
        points = [(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)]
        curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
        self.axes.add_patch(
            FancyArrowPatch(
                path=curve,
                arrowstyle="-|>,head_length=2.6,head_width=1.2",
                mutation_scale=1,
                color=color,
                linewidth=width,
                linestyle=DOTS if e.silent else DASHES if lost else "solid",
                shrinkA=0,
                shrinkB=0,
                zorder=self._rank(e),
            )
        )

    def _box(
        self,
        x: float,
        y: float,
        name: str,
        levels: tuple[str, ...],
        fill: str = "white",
        edge: str = INK,
        round_: bool = False,
        factor: int | None = None,
    ) -> None:
        from matplotlib.patches import FancyBboxPatch

        w, h = self.box
        style = f"round,pad=0,rounding_size={h / 2 if round_ else 0.3 * MM}"
        width = 1.4 if edge == CAUSE else 0.8
        self.axes.add_patch(
            FancyBboxPatch(
                (x - w / 2, y - h / 2),
                w,
                h,
                boxstyle=style,
                facecolor=fill,
                edgecolor=edge,
                linewidth=width,
                zorder=3,
            )
        )
        second = " · ".join(words(level) for level in levels) if self.roomy else ""
        color = LINE
        if factor is not None and self._is_cause(factor) and self.cause is not None:
            second = f"no {levels[self.cause[1]]}" if self.gone else levels[self.cause[1]]
            color = LINE if self.gone else CAUSE
        up = 1.35 * MM if second else 0
        self._text(x, y + up, words(name), 7.5)
        self._text(x, y - 1.75 * MM, second, SMALLEST, color=color)

    def _text(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        default: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
        self.axes.text(x, y, text, size=size, **(default | style))


def _persists(e: Edge) -> bool:
    return e.kind == "before" and e.source == e.target


def _into(e: Edge) -> tuple[str, int]:
    """Where an edge ends: an outcome ("now"), or a factor."""
    return ("now" if e.kind == "now" else "factor", e.target)


def _legend(figure: Figure, height: float, cause: bool, gone: bool, silent: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Any] = [Line2D([], [], color=LINE, lw=0.8, label="is read by")]
    entries.append(Line2D([], [], color=QUIET, lw=0.8, label="persists"))
    entries.append(Line2D([], [], color=CHOICE, lw=0.8, label="is chosen"))
    if cause:
        entries.append(Line2D([], [], color=CAUSE, lw=1.4, label="through this cause alone"))
    if gone:
        entries.append(Line2D([], [], color=QUIET, lw=0.8, ls=DASHES, label="gone with it"))
    if silent:
        entries.append(Line2D([], [], color=LINE, lw=0.8, ls=DOTS, label="silent at defaults"))
    entries.append(Patch(facecolor=INNER, edgecolor=INK, lw=0.8, label="fed by the mind itself"))
    figure.legend(
        handles=entries,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.5 * MM / height),
        ncols=len(entries),
        fontsize=SMALLEST,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.2,
        handletextpad=0.5,
    )

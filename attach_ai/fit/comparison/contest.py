"""A model against what could make it unnecessary: its parts taken out, and honest rivals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attach_ai.errors import InputError
from attach_ai.fit.comparison.compare import Comparison, compare_studies
from attach_ai.fit.comparison.rivals import rivals
from attach_ai.fit.study.abstract import AbstractStudy
from attach_ai.fit.study.build import build_study
from attach_ai.model.document import suggest

if TYPE_CHECKING:
    from attach_ai.agent import Agent
    from attach_ai.fit.records.records import Records
    from attach_ai.model import Model


@dataclass(frozen=True)
class Ablation:
    """A part of a model, and how it is taken out: levels switched off, or parameters set."""

    name: str
    without: tuple[str, ...] = ()
    settings: tuple[tuple[str, float], ...] = ()


ABLATIONS = (
    Ablation("without benevolent", without=("agents.benevolent",)),
    Ablation("without law", without=("law.unstable", "law.contingent")),
    Ablation("without author", settings=(("awareness", 0.0),)),
)
# A model whose mind never takes the calm for its own making has no author to take out.
AUTHOR = Ablation("with author", settings=(("awareness", 1.0),))


def compare(
    model: str | Model,
    agent: Agent | None,
    records: Records,
    free: Sequence[str],
    *,
    seed: int,
    only: Iterable[str] | None = None,
    words: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    **options: Any,
) -> Comparison:
    """Fit the model, its ablations and its rivals to the same answers, and compare them.

    `words`: what `build_study` takes beside; `only`: names of opponents, all where left out.
    `options`: of `compare_studies` and of the sampler. With a `folder` what was fitted is not
    fitted again.

    Raises `InputError` for an unknown opponent.
    """
    studies = opponents(model, agent, records, free, words=words)
    ours = next(iter(studies))
    if only is not None:
        names = list(only)
        for name in names:
            if name not in studies:
                raise InputError(
                    f"no opponent is called '{name}'{suggest(name, studies)}", "compare"
                )
        studies = {name: s for name, s in studies.items() if name in (ours, *names)}
    return compare_studies(studies, seed, folder=folder, **options)


def opponents(
    model: str | Model,
    agent: Agent | None,
    records: Records,
    free: Sequence[str],
    *,
    words: Mapping[str, Any] | None = None,
) -> dict[str, AbstractStudy]:
    """The study itself, under its model's name, then ablations and rivals by name.

    Every ablation has the free parameters of the whole that still mean something in it, the same
    ones differing between people.
    """
    given = dict(words or {})
    base = build_study(model, agent, records, free, **given)
    given["individual"] = [f.name for f in base.free if f.individual]
    known = base.declared.parameters
    studies: dict[str, AbstractStudy] = {base.declared.name: base}
    aware = dict(base.settings).get("awareness", base.declared.defaults.get("awareness", 0.0))
    has_author = "awareness" in free or aware > 0
    for part in (*ABLATIONS[:2], ABLATIONS[2] if has_author else AUTHOR):
        if not _fits(part, base):
            continue
        settings = {k: v for k, v in part.settings if k in known}
        left = [f for f in free if f not in settings]
        studies[part.name] = build_study(
            model,
            agent,
            records,
            left,
            **given
            | {
                "individual": [f for f in given["individual"] if f in left],
                "without": [*given.get("without", ()), *part.without],
                "settings": {**given.get("settings", {}), **settings},
            },
        )
    return studies | dict(rivals(base, records))


def _fits(part: Ablation, base: Any) -> bool:
    """Whether the model has what is to be taken out."""
    layout = base.declared.layout
    for target in part.without:
        try:
            f, level = layout.level(target)
        except LookupError:
            return False
        if level in layout.factors[f].excluded:
            return False
    return all(name in base.declared.parameters for name, _ in part.settings)

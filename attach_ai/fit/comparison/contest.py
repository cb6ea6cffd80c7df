"""A model against what could make it unnecessary: its parts taken out, and honest rivals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attach_ai.errors import InputError
from attach_ai.fit.comparison.compare import Comparison, compare_studies
from attach_ai.fit.comparison.rivals import rivals
from attach_ai.fit.comparison.rivals.build import NAMES
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

    Raises `InputError` for an unknown opponent, and for one that this model or these records cannot
    bring.
    """
    studies = opponents(model, agent, records, free, words=words, only=only)
    return compare_studies(studies, seed, folder=folder, **options)


def opponents(
    model: str | Model,
    agent: Agent | None,
    records: Records,
    free: Sequence[str],
    *,
    words: Mapping[str, Any] | None = None,
    only: Iterable[str] | None = None,
) -> dict[str, AbstractStudy]:
    """The study itself, under its model's name, then ablations and rivals by name.

    `only`: those alone, all where left out. Every ablation has the free parameters of the whole
    that still mean something in it, the same ones differing between people.
    """
    wanted = None if only is None else _known(only)
    given = dict(words or {})
    base = build_study(model, agent, records, free, **given)
    given["individual"] = [f.name for f in base.free if f.individual]
    known = base.declared.parameters
    studies: dict[str, AbstractStudy] = {base.declared.name: base}
    aware = dict(base.settings).get("awareness", base.declared.defaults.get("awareness", 0.0))
    has_author = "awareness" in free or aware > 0
    for part in (*ABLATIONS[:2], ABLATIONS[2] if has_author else AUTHOR):
        if not _fits(part, base) or (wanted is not None and part.name not in wanted):
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
    others = rivals(base, records)
    if wanted is None:
        return studies | others
    for name in wanted - studies.keys() - others.keys():
        raise InputError(f"'{name}' cannot be made from this model and these records", "compare")
    return studies | {name: s for name, s in others.items() if name in wanted}


def _known(only: Iterable[str]) -> set[str]:
    """Names that opponents can have, before anything is built."""
    known = [part.name for part in (*ABLATIONS, AUTHOR)] + list(NAMES)
    for name in only:
        if name not in known:
            raise InputError(f"no opponent is called '{name}'{suggest(name, known)}", "compare")
    return set(only)


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

"""The rivals of a study, by name, over the very same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from attach_ai.fit.comparison.rivals.driven import Autoregression, EventFilter, scale_scores
from attach_ai.fit.comparison.rivals.known import Design, Known, independent, known
from attach_ai.fit.comparison.rivals.latent import Growth, Place
from attach_ai.fit.comparison.rivals.rival import Rival, rival
from attach_ai.fit.comparison.rivals.scores import ScoreModel, score_priors
from attach_ai.fit.study.abstract import Fixed, People
from attach_ai.fit.study.pomdp import POMDPStudy

if TYPE_CHECKING:
    from attach_ai.fit.records.records import Records

# name, kind, whether levels are by period (else a line over time)
KINDS = (
    ("mixed", "mixed", True),
    ("growth", "growth", False),
    ("autoregression", "same", True),
    ("autoregression, events before", "before", True),
    ("event filter", "filter", True),
)
NAMES = tuple(name for name, _, _ in KINDS)
LEVEL, PERIOD, OTHER = 1.5, 1.0, 0.5  # prior standard deviations of fixed effects, logits


def rivals(base: POMDPStudy, records: Records) -> dict[str, Rival]:
    """Every rival that these records allow.

    "mixed": a level for each period and arm, a person's own level and slope, items of a scale alike
    (a sum-score mixed model put behind the items). "growth": straight lines by arm, free slopes
    (graded response with latent growth). "autoregression": the last score carried over, with the
    same step's events; "autoregression, events before": with those since the last occasion;
    "event filter": events alone, traces fading. The last two need recorded events.
    """
    design = Design(base, records)
    person = design.person
    return {
        name: _rival(
            base, design, kind, person | (design.by_period() if levels else design.by_time())
        )
        for name, kind, levels in KINDS
        if design.events[0] or kind in ("mixed", "growth", "same")
    }


def score_model(base: POMDPStudy, records: Records) -> ScoreModel:
    """The plain mixed model of scale scores (each the mean of its items, as shares of the range).

    Its densities are of scores: it is compared with the others on predicted scores, not on answers.
    """
    design = Design(base, records)
    columns = design.person | design.by_period()
    columns = independent(columns, design.at >= 0)
    told = known(design, columns, base)
    scales = tuple(map(str, base.coords["scale"]))
    items, top = _items(base)
    score, seen = (np.asarray(x) for x in scale_scores(base.people, items, top, len(scales)))
    measure = np.where(seen, score, np.nan)
    nothing = np.full(measure.shape, -1, np.int32)
    effects = tuple(f"{what} {s}" for what in ("level", "slope") for s in scales)
    return ScoreModel(
        people=People(jnp.asarray(nothing), jnp.asarray(measure, base.people.measure.dtype), told),
        priors=Fixed(score_priors(len(scales), len(columns))),
        effects=effects,
        coords=Fixed(dict(base.coords) | {"item": scales, "column": tuple(columns)}),
    )


def _rival(base: POMDPStudy, design: Design, kind: str, columns: dict[str, np.ndarray]) -> Rival:
    columns = independent(columns, design.at >= 0)
    if base.location == "belief":
        # The cutpoints of each scale's first item average to zero: levels stand in theta.
        columns = {"level": np.ones(design.shape)} | columns
    told = known(design, columns, base)
    scales = tuple(map(str, base.coords["scale"]))
    items, top = _items(base)
    score, seen = (np.asarray(x) for x in scale_scores(base.people, items, top, len(scales)))
    place = Place(
        scales=scales,
        sign=_signs(score, seen),
        prior_sd=tuple(_prior_sd(name) for name in columns),
        n_clusters=len(base.coords["cluster"]),
    )
    events = design.events[0]
    latent: Growth | Autoregression | EventFilter
    if kind in ("mixed", "growth"):
        latent = Growth(place)
    elif kind == "filter":
        latent = EventFilter(place, len(events))
    else:
        at = [(score[..., k][seen[..., k]]) for k in range(len(scales))]
        latent = Autoregression(
            place,
            items=items,
            top=top,
            centre=tuple(float(x.mean()) if len(x) else 0.5 for x in at),
            width=tuple(float(x.std()) or 1.0 if len(x) else 1.0 for x in at),
            interval=_interval(told),
            n_events=len(events),
            when=kind,
        )
    labels = {"column": tuple(columns), "event": events}
    return rival(base, latent, told, labels, slopes=kind != "mixed")


def _prior_sd(column: str) -> float:
    if column == "level":
        return LEVEL
    return PERIOD if column == "time" or column.startswith("period ") else OTHER


def _items(base: POMDPStudy) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Scale and highest level of each item."""
    return (
        tuple(q.scale for q in base.questions),
        tuple((q.n_levels or 2) - 1 for q in base.questions),
    )


def _signs(score: np.ndarray, seen: np.ndarray) -> tuple[int, ...]:
    """Of each scale's correlation with the first, over people's means."""
    total, n = np.where(seen, score, 0.0).sum((1, 2)), seen.sum((1, 2))
    mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    signs = []
    for k in range(mean.shape[1]):
        both = ~np.isnan(mean[:, 0]) & ~np.isnan(mean[:, k])
        a, b = mean[both, 0], mean[both, k]
        signs.append(-1 if len(a) > 2 and ((a - a.mean()) * (b - b.mean())).sum() < 0 else 1)
    return tuple(signs)


def _interval(told: Known) -> float:
    """Steps between neighbouring occasions, on average."""
    at = np.asarray(told.at)
    gaps = np.diff(at, axis=2)[(at[:, :, 1:] >= 0) & (at[:, :, :-1] >= 0)]
    return float(gaps.mean()) if gaps.size and gaps.mean() > 0 else 1.0

"""What if those who left are not like those who stayed?

The fit takes missing answers to be missing at random: given what is known of a person, theirs would
have been as the model predicts. The delta-adjusted analysis (a pattern mixture) supposes instead
that the log odds of each unseen answer after a person's last one were shifted,

    logit P_delta(y >= k) = logit P(y >= k | sites, effects) + delta,

draws these answers, and asks again for what was to be shown. delta = 0 is what was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attach_ai.errors import InputError
from attach_ai.fit.checks.identification import covariance
from attach_ai.fit.checks.information import expected_at, flatten, known
from attach_ai.fit.checks.power import ancova
from attach_ai.fit.study.abstract import AbstractStudy, People

if TYPE_CHECKING:
    import xarray

    from attach_ai.fit.sampling.sample import Draws

MOST_LEVELS = 12
IMPUTATIONS = 20
WIDE = 1.598  # half-width of an 89 % interval of a normal, in standard deviations


@dataclass(frozen=True)
class NotAtRandom:
    """How conclusions move with delta (logits); `str` is the table.

    `data`: `effect`, `effect_low`, `effect_high` (delta, contrast, scale), an arm's last mean item
    score against the reference arm's, adjusted for the first, pooled over imputations by Rubin's
    rules; `unknown_mean`, `unknown_low`, `unknown_high` (delta, unknown) on the scale that is
    sampled; `missing` (arm): answers that were shifted. Intervals are of 89 %.
    """

    data: xarray.Dataset

    def tipping(self, contrast: str, scale: str) -> float | None:
        """The delta nearest to zero at which the interval of an effect covers zero.

        None where it never does; 0 where it does to begin with.
        """
        at = self.data.sel(contrast=contrast, scale=scale)
        covers = (at.effect_low <= 0) & (at.effect_high >= 0)
        deltas = self.data.delta.values[covers.values]
        return float(deltas[np.abs(deltas).argmin()]) if deltas.size else None

    def table(self) -> str:
        """One line a delta for each contrast of scores, then for each unknown."""
        d = self.data
        told = ", ".join(f"{a} {n}" for a, n in zip(d.arm.values, d.missing.values, strict=True))
        lines = [f"answers missing after a last one: {told}"]
        if not d.missing.values.any():
            return f"{lines[0]}; nothing hangs on why"
        for contrast in d.contrast.values:
            for scale in d.scale.values:
                at = d.sel(contrast=contrast, scale=scale)
                tips = self.tipping(str(contrast), str(scale))
                how = "no delta tried" if tips is None else f"delta {tips:g}"
                lines.append(f"{contrast}, last {scale}: the interval covers zero at {how}")
                lines += [
                    f"  delta {x:>5.2f}  {m:>6.2f} [{low:.2f}, {high:.2f}]"
                    for x, m, low, high in zip(
                        d.delta.values,
                        at.effect.values,
                        at.effect_low.values,
                        at.effect_high.values,
                        strict=True,
                    )
                ]
        for unknown in d.unknown.values:
            mean = d.unknown_mean.sel(unknown=unknown).values
            ends = ", ".join(f"{x:g}: {m:.2f}" for x, m in zip(d.delta.values, mean, strict=True))
            lines.append(f"{unknown} by delta  {ends}")
        return "\n".join(lines)

    __str__ = table


def missing_not_at_random(
    study: AbstractStudy,
    draws: Draws,
    deltas: Sequence[float],
    key: Array,
    *,
    group: Sequence[str] | None = None,
    scales: Mapping[str, Sequence[str]] | None = None,
    unknowns: Sequence[str] = (),
    shifted: Sequence[str] | None = None,
    n_imputations: int = IMPUTATIONS,
) -> NotAtRandom:
    """Impute what was never answered, `deltas` logits higher, and look at the effects again.

    `group`: the arm of each subject, whose first label is the reference. `scales`: item names of
    each score to compare. `unknowns`: labels whose posterior is followed ("effect[trust, arm]"), by
    one Newton step from the posterior mean: sampling again is exact, and this is cheap. `shifted`:
    arms whose answers are (all). Continuous items are left as they are.

    Raises `InputError` for a label that the study has not.
    """
    import xarray as xr

    flat = flatten(study)
    for name in unknowns:
        if name not in flat.labels:
            raise InputError(f"no unknown of this study is called '{name}'", "unknowns")
    n = study.people.answer.shape[0]
    arms = np.array(["all"] * n if group is None else [str(g) for g in group])
    names = list(dict.fromkeys(arms.tolist()))
    left = after_dropout(study.people)
    if shifted is not None:
        for name in set(shifted) - set(names):
            raise InputError(f"no arm is called '{name}'; there are {', '.join(names)}", "shifted")
    moved = left & np.isin(arms, names if shifted is None else list(shifted))[:, None, None, None]
    deltas = sorted({0.0, *map(float, deltas)})
    k_impute, k_score, k_information = jax.random.split(key, 3)
    peoples = _imputed(study, draws, deltas, left, moved, k_impute, n_imputations)
    scales = scales or {}
    contrasts = names[1:] if scales else []
    effect = np.array(
        [
            [[_pooled(study, row, arms, names[0], c, scales[s]) for s in scales] for c in contrasts]
            for row in peoples
        ]
    ).reshape(len(deltas), len(contrasts), len(scales), 3)
    moving = _newton(study, draws, flat, peoples, deltas, left, unknowns, (k_score, k_information))
    return NotAtRandom(
        xr.Dataset(
            {
                f"{what}{end}": (dims, values[..., i])
                for what, dims, values in (
                    ("effect", ("delta", "contrast", "scale"), effect),
                    ("unknown_mean", ("delta", "unknown"), moving),
                )
                for i, end in enumerate(("", "_low", "_high"))
            }
            | {"missing": ("arm", [int(left[arms == a].sum()) for a in names])},
            coords={
                "delta": deltas,
                "contrast": np.array([f"{c} against {names[0]}" for c in contrasts], str),
                "scale": np.array(list(scales), str),
                "unknown": np.array(list(unknowns), str),
                "arm": names,
            },
        ).rename({"unknown_mean_low": "unknown_low", "unknown_mean_high": "unknown_high"})
    )


def after_dropout(people: People) -> Bool[np.ndarray, "subject episode occasion item"]:
    """Ordinal answers that were asked for after a person's last one and never came."""
    given = np.asarray(people.answer) >= 0
    known = given | np.isfinite(np.asarray(people.measure))
    shape = given.shape
    last = known.any(3).reshape(shape[0], -1)
    when = np.where(last.any(1), last.shape[1] - 1 - last[:, ::-1].argmax(1), -1)
    later = (np.arange(last.shape[1]) > when[:, None]).reshape(*shape[:3], 1)
    return ~given & given.any(0) & later


def _imputed(
    study: AbstractStudy,
    draws: Draws,
    deltas: Sequence[float],
    left: np.ndarray,
    moved: np.ndarray,
    key: Array,
    n_imputations: int,
) -> list[list[People]]:
    """Completed people, by delta and imputation; the same uniform numbers for every delta."""
    n_chains, n_draws = draws.sites["effects"].shape[:2]
    n = n_chains * n_draws
    sites = {k: np.asarray(v).reshape(n, *v.shape[2:]) for k, v in draws.sites.items()}
    at = np.linspace(0, n - 1, min(n_imputations, n)).round().astype(int)
    mask = jnp.asarray(left)

    @jax.jit
    def probability(draw: dict[str, Array], level: Array) -> Array:
        answer = jnp.where(mask, level.astype(study.people.answer.dtype), -1)
        nothing = jnp.full_like(study.people.measure, jnp.nan)
        asked = eqx.tree_at(lambda p: (p.answer, p.measure), study.people, (answer, nothing))
        log_p = study.by_answer(draw, draw["effects"], asked)
        return jnp.where(mask & jnp.isfinite(log_p), jnp.exp(log_p), 0.0)

    answers = np.asarray(study.people.answer)
    found: list[list[People]] = [[] for _ in deltas]
    for k, i in zip(jax.random.split(key, len(at)), at, strict=True):
        draw = {name: jnp.asarray(x[i]) for name, x in sites.items()}
        p = [np.asarray(probability(draw, jnp.asarray(0)), float)]
        while len(p) < MOST_LEVELS and (np.sum(p, 0)[left] < 1 - 1e-4).any():
            p.append(np.asarray(probability(draw, jnp.asarray(len(p))), float))
        above = np.cumsum(p[::-1], 0)[::-1][1:]  # P(y >= k), k = 1, 2, ...
        u = np.asarray(jax.random.uniform(k, left.shape))
        for row, delta in zip(found, deltas, strict=True):
            drawn = (u < _shift(above, delta * moved)).sum(0)
            completed = np.where(left, drawn, answers).astype(answers.dtype)
            row.append(eqx.tree_at(lambda p: p.answer, study.people, jnp.asarray(completed)))
    return found


def _shift(p: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """A probability with its log odds moved; 0 and 1 stay."""
    odds = p * np.exp(delta)
    return odds / (1 - p + odds)


def _pooled(
    study: AbstractStudy,
    peoples: list[People],
    arms: np.ndarray,
    reference: str,
    other: str,
    items: Sequence[str],
) -> tuple[float, float, float]:
    """Rubin's rules: estimate and interval of an arm's effect over imputations."""
    from scipy.stats import t

    names = list(study.coords["item"])
    two = np.isin(arms, [reference, other])
    found = []
    for people in peoples:
        answer = np.asarray(people.answer, float)[two][..., [names.index(i) for i in items]]
        answer = np.where(answer < 0, np.nan, answer).reshape(len(answer), -1, len(items))
        found.append(ancova(answer, (arms[two] == other).astype(float)))
    if any(f is None for f in found):
        return (float("nan"),) * 3
    effects = np.array([f.effect for f in found if f is not None])
    within = float(np.mean([f.variance for f in found if f is not None]))
    between = float(effects.var(ddof=1)) * (1 + 1 / len(effects)) if len(effects) > 1 else 0.0
    freedom = (len(effects) - 1) * (1 + within / between) ** 2 if between > 0 else np.inf
    half = float(t.ppf(0.945, freedom)) * (within + between) ** 0.5
    return float(effects.mean()), float(effects.mean()) - half, float(effects.mean()) + half


def _newton(
    study: AbstractStudy,
    draws: Draws,
    flat: Any,
    peoples: list[list[People]],
    deltas: Sequence[float],
    left: np.ndarray,
    unknowns: Sequence[str],
    keys: tuple[Array, Array],
) -> Float[np.ndarray, "delta unknown 3"]:
    """Posterior mean and interval of unknowns, moved by C (score(delta) - score(0)).

    C is the posterior covariance that complete answers would leave; scores are at the posterior
    mean, averaged over imputations. Intervals keep their width.
    """
    if not unknowns:
        return np.zeros((len(deltas), 0, 3))
    x = flat.vector({name: draws.sites[name] for name in study.priors})
    mean, sd = x.mean((0, 1)), x.std((0, 1))
    dtype = study.people.measure.dtype
    point = jnp.asarray(mean, dtype)
    start = jnp.asarray(draws.sites["effects"].mean((0, 1)), dtype)
    scores = jax.jit(lambda people: known(study, flat, point, people, start, keys[0]).score.sum(0))
    asked = jnp.where(jnp.asarray(left), 0, study.people.answer)
    whole = study.restricted(eqx.tree_at(lambda p: p.answer, study.people, asked))
    information = expected_at(whole, flat)(mean, keys[1]).information
    total = np.stack([np.mean([np.asarray(scores(p)) for p in row], 0) for row in peoples])
    step = (total - total[list(deltas).index(0.0)]) @ covariance(information, flat.sd)
    at = [flat.labels.index(u) for u in unknowns]
    centre = (mean + step)[:, at]
    return np.stack([centre, centre - WIDE * sd[at], centre + WIDE * sd[at]], -1)

"""Our model against honest rivals: the same answers, the same items, another account of them.

What makes the figures comparable: each study scores the same answers of the same people as one
joint probability of a person (an autoregression as a product of conditionals), with what events,
arms and covariates say known to all. Where answers differ, nothing is compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from attach_ai.errors import InputError
from attach_ai.fit.comparison.loo import Integrated, Waves, enough, integrated, leave_wave_out
from attach_ai.fit.comparison.marginal import Integrator
from attach_ai.fit.comparison.selection import Selection, random_effects
from attach_ai.fit.sampling.sample import Draws, sample
from attach_ai.fit.study.abstract import AbstractStudy
from attach_ai.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

CLEAR = 2.0  # standard errors from which on a difference is called one
FEW = 4.0  # nats below which models predict alike (Sivula et al. 2020, arXiv:2008.10296)


@dataclass(frozen=True)
class Comparison:
    """Studies of the same answers, fitted and held against each other.

    `loo`: people left out; `waves`: each person's last occasion (or each); `weights`: of stacking;
    `selection`: which model each person follows, its log evidences being the integrated
    leave-one-out log densities of persons (the population's posterior without the person stands
    for its prior), or None where there is one study. `exploratory`: names of fits that are.
    """

    loo: Mapping[str, Integrated]
    waves: Mapping[str, Waves]
    weights: Mapping[str, float]
    selection: Selection | None
    exploratory: tuple[str, ...] = ()

    def difference(self, name: str, other: str) -> tuple[float, float]:
        """elpd of `name` less that of `other`, and its standard error over people (nats)."""
        return _difference(self.loo[name].elpd, self.loo[other].elpd)

    def difference_of_waves(self, name: str, other: str) -> tuple[float, float]:
        """The same of left-out occasions, summed within people."""
        a, b = (np.nansum(self.waves[k].elpd, axis=0) for k in (name, other))
        return _difference(a, b)

    def table(self) -> pd.DataFrame:
        """A row for each study, best first; nats. Differences are from the best."""
        import pandas as pd

        best = max(self.loo, key=lambda k: self.loo[k].total)
        rows = {}
        for k, name in enumerate(self.loo):
            found, wave = self.loo[name], self.waves[name]
            away, away_se = self.difference(name, best)
            wave_away, wave_se = self.difference_of_waves(name, best)
            rows[name] = {
                "elpd": found.total,
                "se": found.se,
                "difference": away,
                "difference_se": away_se,
                "p_loo": found.p_loo,
                "weight": self.weights[name],
                "k_share": found.k_share,
                "conditional_k_share": found.conditional_k_share,
                "waves": wave.total,
                "waves_difference": wave_away,
                "waves_difference_se": wave_se,
                "waves_k_share": wave.k_share,
            }
            if self.selection is not None:
                rows[name] |= {
                    "frequency": self.selection.frequency[k],
                    "exceedance": self.selection.exceedance[k],
                    "protected": self.selection.protected[k],
                }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
        return table.sort_values("elpd", ascending=False)

    def verdict_text(self, ours: str | None = None) -> str:
        """What came out, in plain words; `ours` (default: the first) is held against each other."""
        ours = ours if ours is not None else next(iter(self.loo))
        if ours not in self.loo:
            raise InputError(f"no study is called '{ours}'", "comparison")
        lines = [
            f"Of people left out, {name} predicts {_words(*self.difference(name, ours))} {ours}."
            for name in self.loo
            if name != ours
        ]
        lines += [
            f"Of occasions left out, {name} predicts "
            f"{_words(*self.difference_of_waves(name, ours))} {ours}."
            for name in self.loo
            if name != ours
        ]
        if self.selection is not None:
            s = self.selection
            best = int(np.argmax(s.protected))
            lines.append(
                f"The model that most people follow is {s.models[best]} with protected exceedance "
                f"probability {s.protected[best]:.2f}; that all models are equally frequent has "
                f"probability {s.omnibus_risk:.2f}."
            )
        bad = {name: max(x.k_share, self.waves[name].k_share) for name, x in self.loo.items()}
        lines += [
            f"{share:.0%} of the importance weights of {name} failed (k-hat above 0.7): its "
            "figure is optimistic."
            for name, share in bad.items()
            if share > 0
        ]
        lines += [
            f"The fit of {name} is exploratory: report no number of it."
            for name in self.exploratory
        ]
        return "\n".join(lines)

    def to_tree(self) -> xr.DataTree:
        """Groups `table` (model), `people` (model, subject), `waves` (model, fold, subject)."""
        import xarray as xr

        table = self.table()
        models = list(self.loo)
        subjects = list(map(str, next(iter(self.loo.values())).subjects))
        folds = list(next(iter(self.waves.values())).folds)
        people = {
            what: (("model", "subject"), np.stack([getattr(self.loo[m], what) for m in models]))
            for what in ("elpd", "fitted", "pareto_k", "conditional_k", "noise", "refitted")
        }
        if self.selection is not None:
            people["responsibility"] = (("model", "subject"), self.selection.responsibility.T)
        waves = {
            what: (
                ("model", "fold", "subject"),
                np.stack([getattr(self.waves[m], what) for m in models]),
            )
            for what in ("elpd", "pareto_k", "refitted")
        }
        risk = None if self.selection is None else self.selection.omnibus_risk
        attrs = {
            "verdict": self.verdict_text(),
            "omnibus_risk": json.dumps(risk),
            "exploratory": json.dumps(self.exploratory),
        }
        return xr.DataTree.from_dict(
            {
                "/": xr.Dataset(attrs=attrs),
                "/table": xr.Dataset.from_dataframe(table),
                "/people": xr.Dataset(people, {"model": models, "subject": subjects}),
                "/waves": xr.Dataset(waves, {"model": models, "fold": folds, "subject": subjects}),
            }
        )


def compare_studies(
    studies: Mapping[str, AbstractStudy],
    seed: int,
    *,
    folder: Path | None = None,
    waves: str = "last",
    refit: bool = False,
    n_importance: int = 64,
    max_draws: int = 200,
    fitted: Mapping[str, Draws] | None = None,
    progress: bool = True,
    **options: Any,
) -> Comparison:
    """Fit each study (`sample`'s `options`; its draws kept under `folder`/name) and compare them.

    The first is ours. `waves`: each person's "last" occasion, or "each". `refit`: whether people
    and occasions whose importance weights fail are left out in earnest, by fits with the same
    options. `fitted`: draws of studies that were fitted already.

    `InputError` where the studies do not score the same answers.
    """
    _same_answers(studies)
    if {"chains", "draws"} <= options.keys():  # said before the first fit, not after it
        enough(options["chains"] * options["draws"])
    found, last, exploratory = {}, {}, []
    with Progress(2 * len(studies)) as bar:
        step = bar.step if progress else nullcontext
        for i, (name, study) in enumerate(studies.items()):
            here = None if folder is None else folder / _file_name(name)
            with step(f"fit {name}"):
                drawn = (fitted or {}).get(name) or sample(
                    study, seed, folder=here, progress=False, **options
                )
            again = _refitter(seed, options) if refit else None
            key = jax.random.fold_in(jax.random.key(seed), i)
            ways: dict[str, Any] = {
                "max_draws": max_draws,
                "integrate": Integrator(study, n_importance),
                "refit": again,
            }
            with step(f"leave out of {name}"):
                found[name] = integrated(study, drawn, key, **ways)
                last[name] = leave_wave_out(study, drawn, key, waves, **ways)
            if drawn.exploratory:
                exploratory.append(name)
    return compared(found, last, tuple(exploratory))


def compared(
    loo: Mapping[str, Integrated], waves: Mapping[str, Waves], exploratory: tuple[str, ...] = ()
) -> Comparison:
    """What is made of predictions that are there: stacking weights, and the selection of models."""
    evidence = np.stack([x.elpd for x in loo.values()], 1)
    selection = random_effects(evidence, tuple(loo)) if len(loo) > 1 else None
    weights = dict(zip(loo, stacking(evidence), strict=True))
    return Comparison(loo, waves, weights, selection, exploratory)


def stacking(log_p: np.ndarray) -> np.ndarray:
    """Weights w >= 0 of sum 1 that maximise sum_i ln sum_k w_k p_k(y_i) (Yao et al. 2018).

    From log predictive densities (case, model), by expectation maximisation: the target is
    concave, and every step stays inside.
    """
    weights = np.full(log_p.shape[1], 1 / log_p.shape[1])
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    for _ in range(20_000):
        share = p * weights
        found = (share / share.sum(1, keepdims=True)).mean(0)
        if np.abs(found - weights).max() < 1e-10:
            break
        weights = found
    return weights


def _same_answers(studies: Mapping[str, AbstractStudy]) -> None:
    if not studies:
        raise InputError("nothing to compare; name at least one study", "comparison")
    first, *others = studies
    ours = studies[first].people
    for name in others:
        people = studies[name].people
        same = all(
            np.array_equal(np.asarray(a), np.asarray(b), equal_nan=a.dtype.kind == "f")
            for a, b in ((ours.answer, people.answer), (ours.measure, people.measure))
        )
        if not same:
            raise InputError(
                f"'{first}' and '{name}' do not have the same answers, so that their scores "
                "cannot be compared",
                "comparison",
            )


def _refitter(seed: int, options: Mapping[str, Any]) -> Callable[[AbstractStudy], Draws]:
    return lambda study: sample(study, seed, progress=False, **options)


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    off = a - b
    se = float(np.sqrt(len(off)) * off.std(ddof=1)) if len(off) > 1 else float("nan")
    return float(off.sum()), se


def _words(difference: float, se: float) -> str:
    """A difference in elpd as an adverb phrase that ends in "than" or "as"."""
    figures = f"by {abs(difference):.0f} nats (standard error {se:.0f})"
    if abs(difference) < FEW:
        return f"about as well ({difference:+.1f} nats, standard error {se:.1f}) as"
    better = "better" if difference > 0 else "worse"
    if abs(difference) < CLEAR * se:
        return f"{better} {figures}, which is not clear, than"
    return f"{better} {figures} than"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)

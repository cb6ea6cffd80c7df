"""Before any data: how many people, waves, items and sessions would tell what is asked.

A cell of the design is a study of synthetic people, built under the researcher's own model and
link. Its expected information (`information.py`) is that of so many people; it grows in proportion
to their number, so that each cell is simulated once for all numbers of people. What grows with
groups of people (cluster effects) is not told by more people in each.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from attach_ai.errors import InputError
from attach_ai.files import digest, read_json, write_json
from attach_ai.fit.checks.identification import covariance, summarise
from attach_ai.fit.checks.information import Expected, Flat, expected_at, flatten
from attach_ai.fit.checks.power import ancova_power, assurance, power
from attach_ai.fit.study.abstract import AbstractStudy
from attach_ai.model.document import suggest
from attach_ai.progress import Progress

if TYPE_CHECKING:
    import xarray

REFERENCE = 200  # people simulated for a cell, at most
AXES = ("waves", "items", "dose")
OF_ITEMS = ("discrimination", "cut_")  # sites that no design is about
WANTED = 0.8  # power that a design is usually asked for

Build = Callable[..., AbstractStudy]


@dataclass(frozen=True)
class Design:
    """What each design would tell; `str` is the table.

    `data`: over (people, waves, items, dose) the `power` at the effect named, averaged over
    populations drawn from the priors (how much people differ among them), `assurance` (averaged
    over the prior of the effect too, with its Monte Carlo error `assurance_se`), `posterior_sd` (at
    the prior's centre) and `prior_sd` of the target; `reliability` of what differs by person;
    `score_power` of an analysis of covariance of each scale's last score, where arms are known;
    `verdict`, in sentences.
    """

    target: str
    effect: float
    level: float
    n_populations: int
    seed: int
    data: xarray.Dataset

    def table(self) -> str:
        """One line a design."""
        d = self.data
        effects = [str(e) for e in d.effect.values]
        scales = [str(s) for s in d.scale.values]
        head = ["people", *AXES, "power", "assurance", "sd"]
        head += [f"reliability {e}" for e in effects] + [f"power of {s} alone" for s in scales]
        rows = [head]
        for at in itertools.product(*(d[a].values for a in ("people", *AXES))):
            cell = d.sel(dict(zip(("people", *AXES), at, strict=True)))
            rows.append(
                [str(a) for a in at]
                + [f"{float(cell[k]):.2f}" for k in ("power", "assurance", "posterior_sd")]
                + [f"{r:.2f}" for r in cell.reliability.values]
                + [f"{p:.2f}" for p in cell.score_power.values]
            )
        wide = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = ["  ".join(f"{x:>{w}}" for x, w in zip(row, wide, strict=True)) for row in rows]
        said = [s for s in dict.fromkeys(str(v) for v in d.verdict.values.flat) if s]
        return "\n".join([self._asked(), "", *lines, *([""] if said else []), *said])

    __str__ = table

    def _asked(self) -> str:
        return (
            f"{self.target} = {self.effect:g} against a prior sd of "
            f"{float(self.data.prior_sd.max()):.3g}; power: the {self.level:.0%} interval of the "
            "posterior lies on the effect's side of zero"
        )

    def smallest(self, wanted: float = WANTED, **at: Any) -> dict[str, Any] | None:
        """The design with the fewest people that reaches the power, None if no design does.

        `at` holds axes where they are; among equals the first in the order given.
        """
        chosen = self._at(at)
        for people in chosen.people.values:
            cells = chosen.power.sel(people=people)
            best = cells.isel(cells.argmax(...))
            if float(best) >= wanted:
                return {"people": people.item(), **{a: best[a].item() for a in AXES}}
        return None

    def preregistration(self, wanted: float = WANTED, **at: Any) -> str:
        """A paragraph for the preregistration, every number from the computation.

        Speaks of the design `at` these values of people, waves, items, dose; of the smallest that
        reaches the power `wanted` where several are left, and of the largest where none does.
        """
        smallest = self.smallest(wanted, **at)
        chosen = self._at(at)
        last = {"people": chosen.people.values[-1]} | {a: chosen[a].values[-1] for a in AXES}
        where = smallest or last
        cell = chosen.sel(where)
        reliable = ", ".join(
            f"{e} {float(cell.reliability.sel(effect=e)):.2f}" for e in cell.effect.values
        )
        text = [
            f"With {where['people']} people, {where['waves']} waves, items {where['items']} and "
            f"dose {where['dose']}, a true {self.target} of {self.effect:g} is expected to be "
            f"found with probability {float(cell.power):.2f} (the {self.level:.0%} posterior "
            "interval lies on its side of zero; averaged over populations drawn from the priors; "
            f"expected posterior sd at their centre {float(cell.posterior_sd):.2g}, prior sd "
            f"{float(cell.prior_sd):.2g}).",
            f"Averaged over the prior of that effect too, the assurance is "
            f"{float(cell.assurance):.2f} (Monte Carlo standard error "
            f"{float(cell.assurance_se):.2f}, {self.n_populations} populations).",
        ]
        if smallest is None:
            text.append(
                f"No design considered reaches a power of {wanted:.2f}; this is the largest."
            )
        if reliable:
            text.append(f"Expected individual reliability: {reliable}.")
        for scale in cell.scale.values:
            power = float(cell.score_power.sel(scale=scale))
            if np.isfinite(power):
                text.append(
                    f"An analysis of covariance of the last {scale} score would find a "
                    f"difference between the arms with probability {power:.2f}."
                )
        if str(cell.verdict.values):
            text.append(str(cell.verdict.values))
        text.append(
            "These figures come from expected Fisher information under the model and link to be "
            f"fitted, with synthetic people (seed {self.seed})."
        )
        return " ".join(text)

    def _at(self, at: Mapping[str, Any]) -> xarray.Dataset:
        for axis, value in at.items():
            if axis not in ("people", *AXES) or value not in self.data[axis].values:
                raise InputError(f"no design has {axis} = {value}", "design")
        return self.data.sel({axis: [value] for axis, value in at.items()})


def design(
    build: Build,
    *,
    target: str,
    effect: float,
    people: Sequence[int],
    waves: Sequence[Any] = (3,),
    items: Sequence[Any] = ("all",),
    dose: Sequence[Any] = (1.0,),
    seed: int,
    level: float = 0.95,
    n_populations: int = 4,
    n_draws: int | None = None,
    scores: Mapping[str, Sequence[str]] | None = None,
    arm: Callable[[AbstractStudy], Any] | None = None,
    folder: Path | None = None,
    fingerprint: str = "",
) -> Design:
    """Power, assurance, individual reliability and identification over designs.

    `build(people=, waves=, items=, dose=)` makes a study of synthetic people. `target`: the label
    of an unknown, as identification prints it ("effect[trust, practice]"); `effect`: the value of
    it (log-odds) at which power is asked for. `scores`: items by scale, for the power of a plain
    analysis of covariance of scores beside it, by default those of a `POMDPStudy`; `arm(study)`
    says who is in which arm (0, 1), by default the covariate that the target names, or the only
    one. Power is computed at the centre of the priors,
    assurance over `n_populations` drawn from them. Finished cells are kept in `folder`, under
    `fingerprint` (what `build` rests on), and not computed again.

    Raises `InputError` for a target that the study has not, and for a design without people.
    """
    if min(people, default=0) < 2:
        raise InputError(
            f"expected at least two people in each design, got {list(people)}", "design"
        )
    asked = {"waves": list(waves), "items": list(items), "dose": list(dose)}
    settings = [target, effect, sorted(people), seed, level, n_populations, n_draws, fingerprint]
    settings += [{k: list(v) for k, v in (scores or {}).items()}]
    cells: dict[tuple[int, ...], Mapping[str, Any]] = {}
    with Progress(int(np.prod([len(v) for v in asked.values()]))) as progress:
        for index in np.ndindex(*(len(v) for v in asked.values())):
            cell = {a: asked[a][i] for a, i in zip(AXES, index, strict=True)}
            name = digest(json.dumps([settings, cell], sort_keys=True, default=str))[:16]
            path = None if folder is None else folder / f"cell-{name}.json"
            with progress.step(", ".join(f"{a} {_label(v)}" for a, v in cell.items())):
                if path is not None and path.is_file():
                    cells[index] = read_json(path)
                    continue
                n_reference = min(max(people), REFERENCE)
                study = build(people=n_reference, **cell)
                cells[index] = _Cell(study, target, effect, level, scores or {}, arm).measure(
                    sorted(people), seed, n_populations, n_draws
                )
                if path is not None:
                    write_json(path, cells[index])
    return Design(target, effect, level, n_populations, seed, _gather(cells, sorted(people), asked))


@dataclass(frozen=True)
class _Cell:
    """One design but for the number of its people."""

    study: AbstractStudy
    target: str
    effect: float
    level: float
    scores: Mapping[str, Sequence[str]]
    arm: Callable[[AbstractStudy], Any] | None

    def measure(
        self, people: list[int], seed: int, n_populations: int, n_draws: int | None
    ) -> dict[str, Any]:
        """Everything about it, ready for JSON; lists run over `people`."""
        flat = flatten(self.study)
        if self.target not in flat.labels:
            of_people = [x for x in flat.labels if not x.startswith(OF_ITEMS)]
            near = suggest(self.target, of_people)
            raise InputError(f"no unknown of this study is called '{self.target}'{near}", "target")
        b = flat.labels.index(self.target)
        at = expected_at(self.study, flat, n_draws)
        centre = flat.centre(self.study)
        centre[b] = self.effect
        keys = jax.random.split(jax.random.key(seed), n_populations + 2)
        expected = at(centre, keys[0])
        drawn = []
        for key in keys[2:]:
            k_sites, k_expected = jax.random.split(key)
            found = at(flat.vector(self.study.draw_prior(k_sites)[0]), k_expected)
            if np.isfinite(found.information).all():
                drawn.append(found)
        sd = [self._sd(expected, flat, b, n) for n in people]
        m, s0 = float(flat.mean[b]), float(flat.sd[b])
        # A finding is as likely as in the population that is met, and nobody knows which that is.
        sds = [[self._sd(e, flat, b, n) for n in people] for e in drawn or [expected]]
        at_effect = [[power(self.effect, m, s0, s, self.level) for s in row] for row in sds]
        over = np.array([[assurance(m, s0, s, self.level) for s in row] for row in sds])
        seen = summarise(self.study, flat, expected)
        return {
            "prior_sd": s0,
            "posterior_sd": sd,
            "power": np.mean(at_effect, axis=0).tolist(),
            "assurance": over.mean(0).tolist(),
            "assurance_se": (over.std(0) / max(1, len(over) - 1) ** 0.5).tolist(),
            "reliability": {e: seen.reliability[e] for e in seen.individuals},
            "verdict": [
                " ".join(summarise(self.study, flat, _of(expected, n)).unidentified) for n in people
            ],
            "score_power": self._score_power(flat, centre, people, keys[1]),
        }

    def _sd(self, expected: Expected, flat: Flat, b: int, n: int) -> float:
        return float(covariance(_of(expected, n).information, flat.sd)[b, b] ** 0.5)

    def _score_power(
        self, flat: Flat, centre: np.ndarray, people: list[int], key: Any
    ) -> dict[str, list[float]]:
        """Of an analysis of covariance of each score, from people simulated at `centre`."""
        arm, scores = self._arm(), self.scores or _scales(self.study)
        if arm is None or not scores or np.ptp(arm) == 0:
            return {}
        synthetic = self.study.people
        sites = flat.sites(jnp.asarray(centre, synthetic.measure.dtype))
        n = len(arm)
        draw = jax.jit(lambda key, effects: self.study.draw(key, sites, effects, synthetic).answer)
        found = []
        for k in jax.random.split(key, max(1, 4000 // n)):
            k_effects, k_answers = jax.random.split(k)
            shape = (n, len(self.study.effects))
            effects = jax.random.normal(k_effects, shape, synthetic.measure.dtype)
            answer = np.asarray(draw(k_answers, effects), float)
            found.append(np.where(answer < 0, np.nan, answer).reshape(n, -1, answer.shape[-1]))
        answers, arms = np.concatenate(found), np.tile(arm, len(found))
        names = list(self.study.coords["item"])
        found_power = {
            scale: ancova_power(
                answers[..., [names.index(i) for i in items]], arms, people, self.level
            )
            for scale, items in scores.items()
        }
        return {scale: p for scale, p in found_power.items() if p and np.isfinite(p).all()}

    def _arm(self) -> np.ndarray | None:
        if self.arm is not None:
            return np.asarray(self.arm(self.study), float)
        covariate = getattr(self.study.people.rest, "covariate", None)
        names = [str(c) for c in self.study.coords.get("covariate", ())]
        named = [c for c in names if self.target.endswith(f" {c}]")] or names
        if covariate is None or len(named) != 1:
            return None
        return np.asarray(covariate, float)[:, -1, names.index(named[0])]


def _scales(study: AbstractStudy) -> dict[str, list[str]]:
    """Items by scale, of a study that knows them."""
    found: dict[str, list[str]] = {}
    for question in getattr(study, "questions", ()):
        found.setdefault(study.coords["scale"][question.scale], []).append(question.name)
    return found


def _of(expected: Expected, n: int) -> Expected:
    """The same of `n` people."""
    return Expected(
        expected.information * n / expected.n_people,
        expected.remaining,
        n,
        expected.n_draws,
        expected.effective,
    )


def _gather(
    cells: Mapping[tuple[int, ...], Mapping[str, Any]], people: list[int], asked: dict[str, list]
) -> xarray.Dataset:
    import xarray as xr

    shape = (*(len(v) for v in asked.values()), len(people))

    def over(name: str, dtype: Any = float) -> np.ndarray:
        values = np.empty(shape, dtype)
        for index, cell in cells.items():
            values[index] = cell[name]
        return values

    def each(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Figures that a cell has by name: the names, and (name, *shape)."""
        known = list(dict.fromkeys(k for c in cells.values() for k in c[name]))
        values = np.full((len(known), *shape), np.nan)
        for index, cell in cells.items():
            for i, k in enumerate(known):
                values[(i, *index)] = cell[name].get(k, np.nan)
        return np.array(known, str), values

    names = ("power", "assurance", "assurance_se", "posterior_sd", "prior_sd")
    effects, reliability = each("reliability")
    scales, score = each("score_power")
    axes = (*AXES, "people")
    found = xr.Dataset(
        {k: (axes, over(k)) for k in names}
        | {
            "verdict": (axes, over("verdict", object).astype(str)),
            "reliability": (("effect", *AXES), reliability[..., 0]),
            "score_power": (("scale", *axes), score),
        },
        coords={
            "people": people,
            "effect": effects,
            "scale": scales,
            **{a: [_label(x) for x in v] for a, v in asked.items()},
        },
    )
    return found.transpose("effect", "scale", "people", *AXES)


def _label(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else " + ".join(str(v) for v in value)

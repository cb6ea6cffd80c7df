"""Do items mean the same in every wave and every arm? If not, a response shift looks like a belief.

Three studies of the same people: *scalar* holds cutpoints and discriminations equal, *metric* lets
cutpoints move, *configural* both. What moves is shrunken and has no mean: offset d of item j in
level g (a wave, or an arm) is

    d_jg = s sum_c H_gc (z_jc - mean of z_.c over j's scale),   z ~ Normal(0, 1), s ~ half-normal,

with H orthonormal columns that sum to zero over levels. A shift that all items of a scale share is
left to the belief, from which answers cannot tell it. They are compared by how well they predict
people who were left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from attach_ai.errors import InputError
from attach_ai.fit.comparison.loo import grouped
from attach_ai.fit.sampling.chain import plain_rules
from attach_ai.fit.study.abstract import AbstractStudy, Fixed, People, Prior, Sites

if TYPE_CHECKING:
    from attach_ai.fit.sampling.sample import Draws

KINDS = {"scalar": (), "metric": ("dif_location",), "configural": ("dif_location", "dif_slope")}
SHRUNKEN = 0.3  # scale of the half-normal prior of an offset's size, in logits and in ln a
CERTAIN = 2.0  # standard errors by which a freer study must predict better


class Offset(AbstractStudy):
    """A study whose items may differ between the levels that `people.rest.contrast` codes.

    The study within reads the sites "dif_location" (item, contrast), added to the item's cutpoints
    times the contrasts, and "dif_slope", likewise to its log discrimination. Here they are in units
    of "dif_spread" (offset). `scales`: index of each item's scale.
    """

    people: People
    priors: Mapping[str, Prior] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    coords: Mapping[str, tuple[Any, ...]] = eqx.field(static=True)
    study: AbstractStudy
    scales: tuple[int, ...] = eqx.field(static=True)

    def by_answer(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, "subject episode occasion item"]:
        return self.study.by_answer(self.moved(sites), effects, people)

    def log_likelihood(
        self, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> Float[Array, " subject"]:
        return self.study.log_likelihood(self.moved(sites), effects, people)

    def draw(
        self, key: Array, sites: Sites, effects: Float[Array, "subject effect"], people: People
    ) -> People:
        return self.study.draw(key, self.moved(sites), effects, people)

    def quantities(
        self, sites: Sites, effects: Float[Array, "subject effect"]
    ) -> dict[str, tuple[tuple[str, ...], Array]]:
        found = self.study.restricted(self.people).quantities(self.moved(sites), effects)
        moved = self.moved(sites)
        for name in self.coords["offset"]:
            found[name] = (("item", "level"), moved[name] @ _basis(len(self.coords["level"])).T)
        return found

    def moved(self, sites: Sites) -> dict[str, Array]:
        """The sites as the study within reads them: offsets centred within scales."""
        found = {k: v for k, v in sites.items() if k != "dif_spread"}
        same = np.equal.outer(self.scales, self.scales)
        within = np.eye(len(self.scales)) - same / same.sum(1, keepdims=True)
        for i, name in enumerate(self.coords["offset"]):
            centred = jnp.asarray(within, sites[name].dtype) @ sites[name]
            found[name] = sites["dif_spread"][i] * centred
        return found


def freed(
    study: AbstractStudy,
    over: Literal["waves"] | Sequence[Any],
    kind: str,
    *,
    scales: Sequence[int] | None = None,
) -> AbstractStudy:
    """The study with items free to differ `over` waves, or arms (one label a person).

    `kind`: "scalar" (the study itself), "metric" or "configural". `scales`: index of each item's
    scale; where it is not given the study's own, or else items of one instrument are one scale.

    Raises `InputError` for fewer than two levels, labels that are not one a person, scales of one
    item each, and a study that reads no offsets.
    """
    if kind not in KINDS:
        raise InputError(f"'{kind}'; expected one of {', '.join(KINDS)}", "invariance")
    offsets = KINDS[kind]
    if not offsets:
        return study
    levels, contrast = _contrast(study, over)
    if not hasattr(study.people.rest, "contrast"):
        raise InputError("this study's items cannot be moved", "invariance")
    items = tuple(study.coords["item"])
    if scales is None:
        scales = _scales(study)
    if len(set(scales)) == len(scales):
        raise InputError(
            "every scale has one item, and a shift of that cannot be told from a belief's",
            "invariance",
        )
    dtype = study.people.measure.dtype
    people = eqx.tree_at(lambda p: p.rest.contrast, study.people, jnp.asarray(contrast, dtype))
    shape = (len(items), contrast.shape[-1])
    unit = dist.Normal(jnp.zeros((), dtype), jnp.ones((), dtype)).expand(shape)
    spread = dist.HalfNormal(jnp.asarray(SHRUNKEN, dtype)).expand((len(offsets),))
    new = {
        name: Prior(unit, ("item", "contrast"), "offsets of items, in units of dif_spread")
        for name in offsets
    }
    new["dif_spread"] = Prior(spread, ("offset",), "items differ little, if they do")
    labels = {"contrast": tuple(range(1, shape[1] + 1)), "offset": offsets, "level": levels}
    made = Offset(
        people=people,
        priors=Fixed({**study.priors, **new}),
        effects=study.effects,
        coords=Fixed({**study.coords, **labels}),
        study=study,
        scales=tuple(scales),
    )
    _see_that_it_moves(made)
    return made


@dataclass(frozen=True)
class Invariance:
    """How well each kind predicts people left out: `elpd` (kind, subject), in nats.

    `offsets`: posterior mean (item, level) of each offset under the freest kind, with `sd`.
    """

    elpd: dict[str, np.ndarray]
    items: tuple[str, ...]
    levels: tuple[Any, ...]
    offsets: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]

    def gain(self, kind: str) -> tuple[float, float]:
        """By how much a kind predicts better than "scalar", in nats, and the standard error."""
        apart = self.elpd[kind] - self.elpd["scalar"]
        return float(apart.sum()), float(np.sqrt(len(apart)) * apart.std(ddof=1))

    @property
    def holds(self) -> str:
        """The strictest kind that no freer one beats by `CERTAIN` standard errors."""
        best = "scalar"
        for kind in list(self.elpd)[1:]:
            apart = self.elpd[kind] - self.elpd[best]
            se = np.sqrt(len(apart)) * apart.std(ddof=1)
            if apart.sum() > CERTAIN * se:
                best = kind
        return best

    def table(self) -> str:
        """A line a kind, then the largest offsets."""
        lines = [f"{'items are':<14}{'elpd':>10}{'gain':>9}{'se':>8}"]
        for kind, elpd in self.elpd.items():
            gain, se = self.gain(kind)
            lines.append(f"{kind:<14}{elpd.sum():>10.1f}{gain:>9.1f}{se:>8.1f}")
        lines += ["", f"{'largest offsets':<40}{'logits':>8}{'sd':>7}"]
        at = self.offsets["dif_location"]
        for i in np.argsort(-np.abs(at), axis=None)[:5]:
            item, level = np.unravel_index(i, at.shape)
            name = f"{self.items[item]}, {self.levels[level]}"
            sd = self.sd["dif_location"][item, level]
            lines.append(f"{name:<40}{at[item, level]:>8.2f}{sd:>7.2f}")
        return "\n".join([*lines, "", self.verdict_text()])

    def verdict_text(self) -> str:
        """What it comes to, in plain words."""
        if self.holds == "scalar":
            return "no response shift that predicts: items may be held equal (scalar invariance)"
        what = "cutpoints" if self.holds == "metric" else "cutpoints and discriminations"
        gain, se = self.gain(self.holds)
        return (
            f"{what} differ between levels: freeing them predicts better by {gain:.1f} nats "
            f"(se {se:.1f}); fit with them free before speaking of beliefs that changed"
        )


def invariance(
    study: AbstractStudy,
    over: Literal["waves"] | Sequence[Any],
    seed: int,
    *,
    fit: Callable[[AbstractStudy, str], Draws],
    n_folds: int = 5,
    kinds: Sequence[str] = tuple(KINDS),
    scales: Sequence[int] | None = None,
) -> Invariance:
    """Compare the kinds by cross-validation over `n_folds` groups of people.

    `over`: "waves", or the arm of each person; folds then hold every arm. `fit(study, name)` draws
    from a posterior; names such as "metric" and "metric, fold 2" tell its fits apart, so that each
    can have a folder of its own.
    """
    if kinds[0] != "scalar" or len(kinds) < 2:
        raise InputError("expected scalar first, and something freer", "invariance")
    n = study.people.answer.shape[0]
    if not 2 <= n_folds <= n:
        raise InputError(f"{n_folds} folds of {n} people; expected 2 or more", "invariance")
    fold = _folds(np.arange(n) * 0 if isinstance(over, str) else over, n_folds, seed)
    elpd: dict[str, np.ndarray] = {}
    offsets: dict[str, np.ndarray] = {}
    sd: dict[str, np.ndarray] = {}
    levels: tuple[Any, ...] = ()
    for kind in kinds:
        own = freed(study, over, kind, scales=scales)
        draws = fit(own, kind)
        count = iter(range(1, n_folds + 1))

        def of_fold(part: AbstractStudy, kind: str = kind, count: Any = count) -> Draws:
            return fit(part, f"{kind}, fold {next(count)}")

        elpd[kind] = grouped(own, fold, draws, jax.random.key(seed), fit=of_fold).elpd
        if isinstance(own, Offset):
            levels = own.coords["level"]
            offsets, sd = _estimated(own, draws)
    return Invariance(elpd, tuple(study.coords["item"]), levels, offsets, sd)


def _estimated(study: Offset, draws: Draws) -> tuple[dict[str, Any], dict[str, Any]]:
    """Posterior means and standard deviations of offsets (item, level)."""
    names = (*study.coords["offset"], "dif_spread")
    sites = {k: draws.sites[k].reshape(-1, *draws.sites[k].shape[2:]) for k in names}
    with plain_rules():
        moved = jax.vmap(study.moved)({k: jnp.asarray(v) for k, v in sites.items()})
    basis = np.asarray(_basis(len(study.coords["level"])))
    found = {k: np.asarray(moved[k]) @ basis.T for k in study.coords["offset"]}
    return {k: x.mean(0) for k, x in found.items()}, {k: x.std(0) for k, x in found.items()}


def _contrast(study: AbstractStudy, over: Any) -> tuple[tuple[Any, ...], np.ndarray]:
    """The levels, and the contrasts of each cell: (subject, episode, occasion, contrast)."""
    n, n_episodes, n_occasions = study.people.answer.shape[:3]
    if isinstance(over, str):
        if over != "waves":
            raise InputError(f"'{over}'; expected waves, or a label a person", "invariance")
        episodes, occasions = study.coords["episode"], study.coords["occasion"]
        levels = tuple(
            str(o) if n_episodes == 1 else f"{e}, {o}" for e in episodes for o in occasions
        )
        at = np.broadcast_to(np.arange(n_episodes * n_occasions), (n, n_episodes * n_occasions))
    else:
        if len(over) != n:
            raise InputError(f"{len(over)} labels for {n} people", "invariance")
        levels = tuple(dict.fromkeys(over))
        own = np.array([levels.index(x) for x in over])
        at = np.repeat(own[:, None], n_episodes * n_occasions, axis=1)
    if len(levels) < 2:
        raise InputError("one level alone; items can differ between two or more", "invariance")
    found = np.asarray(_basis(len(levels)))[at]
    return levels, found.reshape(n, n_episodes, n_occasions, -1)


def _basis(n_levels: int) -> Float[Array, "level contrast"]:
    """Orthonormal columns that sum to zero over levels."""
    from scipy.linalg import helmert

    return jnp.asarray(helmert(n_levels).T, jnp.zeros(()).dtype)


def _scales(study: AbstractStudy) -> list[int]:
    if hasattr(study, "questions"):
        return [int(q.scale) for q in study.questions]
    instruments = [str(item).partition(".")[0] for item in study.coords["item"]]
    return [instruments.index(x) for x in instruments]


def _folds(strata: Any, n_folds: int, seed: int) -> list[int]:
    """A fold for each person, the same number of each stratum in every fold (or one more)."""
    strata = np.asarray(strata)
    fold = np.zeros(len(strata), int)
    rng = np.random.default_rng(seed)
    start = 0
    for label in dict.fromkeys(strata.tolist()):
        own = rng.permutation(np.flatnonzero(strata == label))
        fold[own] = (start + np.arange(len(own))) % n_folds
        start += len(own)
    return [int(x) for x in fold]


def _see_that_it_moves(study: Offset) -> None:
    """`InputError` where the study within pays no heed to offsets."""
    with plain_rules():
        sites, effects = study.draw_prior(jax.random.key(0))
        still = {**sites, "dif_spread": jnp.zeros_like(sites["dif_spread"])}
        moved, unmoved = (study.by_answer(s, effects, study.people) for s in (sites, still))
    if np.allclose(moved, unmoved):
        raise InputError("this study's items cannot be moved", "invariance")

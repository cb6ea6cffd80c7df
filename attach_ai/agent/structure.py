"""Changing the structure of a model: a level more, a level less, and which of the two to believe.

Expansion gives a level that was impossible some probability, reduction asks what the evidence would
have been under another prior, and one rule says whether a cause is kept or pruned.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Bool, Float, Int

from attach_ai.errors import InputError
from attach_ai.model.layout import Factor, Layout, Modality
from attach_ai.model.pomdp import POMDP

Scalar = Float[Array, ""] | float
_ROUNDING = 1e-9  # relative; a reduced posterior may miss zero by this much


def expand(
    pomdp: POMDP,
    target: str,
    mass: Scalar,
    template: POMDP | None = None,
    *,
    flat: bool = False,
    place: str = "",
) -> POMDP:
    """M0 -> M1: a level without any mass, such as "agents.benevolent", becomes possible.

    It gets prior probability `mass`, and inflow `mass` from every other level of its factor; the
    others give up that share. What it makes felt are the columns of A that are there already (a
    model's `without` leaves them as declared), those of `template` (the same model with the level
    in it), or with `flat` uniform ones over the outcomes that can occur in a context: a spare slot,
    to be learned (Smith et al. 2020, Front Comput Neurosci 14:41). What it becomes next is taken
    from `template` too. Without one it stays as it is, except where `without` has left of these
    columns only where the level goes when it ends: then it ends with probability `mass`, as it
    begins. `prune` undoes all of this but a column of A that was replaced.

    Raises `InputError` at `place` for an unknown level, for one that already has mass, for a factor
    that an action sets, and for a mass outside [0, 1). Under tracing, where nothing can be raised,
    a model in which the level has mass stays as it is.
    """
    place = place or f"expand {target}"
    layout = pomdp.layout
    f, level = find(layout, target, place)
    _refuse_known(layout, f, place)
    if not isinstance(mass, jax.core.Tracer) and not 0 <= float(mass) < 1:
        raise InputError(f"mass is {float(mass):.4g}; expected a probability below 1", place)
    possible = _possible(pomdp, f, level, target, place)
    dtype = pomdp.D[f].dtype
    mass = jnp.asarray(mass, dtype)

    def admit(table: Float[Array, "next *rest"]) -> Array:
        return jnp.where(_is(table, 0, level), mass, table * (1 - mass))

    D, B, A = admit(pomdp.D[f]), admit(pomdp.B[f]), list(pomdp.A)
    parents = layout.factors[f].parents
    if f in parents:
        old = pomdp.B[f]
        ends = jnp.where(_is(B, 0, level), 1 - mass, old * mass)
        becomes = jnp.where(old[level : level + 1] > 0, old, ends)
        becomes = becomes if template is None else template.B[f]
        B = jnp.where(_is(B, 1 + parents.index(f), level), becomes, B)
    modalities = list(layout.modalities)
    for m, modality in enumerate(layout.modalities):
        if f not in modality.parents or not (flat or template):
            continue
        own = _is(A[m], 1 + modality.parents.index(f), level)
        if flat or template is None:
            column, modalities[m] = _flat(layout, m, dtype), _reading(modality, f)
        else:
            column, modalities[m] = template.A[m], template.layout.modalities[m]
        A[m] = jnp.where(own, column, A[m])
    layout = replace(admitting(layout, f, level), modalities=tuple(modalities))
    D, B, *A = (
        jnp.where(possible, old, new)
        for old, new in zip((pomdp.D[f], pomdp.B[f], *pomdp.A), (D, B, *A), strict=True)
    )
    return _with(pomdp, f, tuple(A), B, D, layout)


def prune(pomdp: POMDP, target: str) -> POMDP:
    """The same mind without a level: its prior and its inflow become zero, columns renormalise.

    What `Model.without` does to a declared model, done to arrays. Raises `InputError` for an
    unknown level, a factor that an action sets, and a column that would be left empty.
    """
    place = f"prune {target}"
    f, level = find(pomdp.layout, target, place)
    _refuse_known(pomdp.layout, f, place)

    def remove(table: Float[Array, "next *rest"], what: str) -> Array:
        kept = jnp.where(_is(table, 0, level), 0.0, table)
        total = kept.sum(0, keepdims=True)
        if not isinstance(total, jax.core.Tracer) and not np.all(np.asarray(total) > 0):
            name = pomdp.layout.factors[f].name
            raise InputError(f"switching it off leaves a column of {what}.{name} empty", place)
        return kept / total

    factor = pomdp.layout.factors[f]
    without = replace(factor, excluded=tuple(sorted({*factor.excluded, level})))
    layout = _replace_factor(pomdp.layout, f, without)
    return _with(pomdp, f, pomdp.A, remove(pomdp.B[f], "B"), remove(pomdp.D[f], "D"), layout)


def reduce(
    posterior: Float[Array, "level *column"],
    prior: Float[Array, "level *column"],
    reduced: Float[Array, "level *column"],
) -> Float[Array, ""]:
    """ln p(data | reduced prior) - ln p(data | prior) in nats, from Dirichlet counts alone.

    All in observations, one Dirichlet per column of axis 0; columns add up:
    ln B(posterior + reduced - prior) - ln B(reduced) - ln B(posterior) + ln B(prior), B being the
    multivariate beta function (Friston, Parr, Zeidman 2018, arXiv:1805.07092). A level that is
    impossible under `prior` (0) stays so: it is 0 in all three. One that only `reduced` makes
    impossible costs nothing if it was never seen, and else everything (-inf).

    Raises `InputError` for other shapes, and for counts with which the evidence is undefined: below
    zero, or a reduced posterior that is not positive where `reduced` is (as after forgetting).
    """
    place = "reduce"
    posterior, prior, reduced = (jnp.asarray(x) for x in (posterior, prior, reduced))
    if not posterior.shape == prior.shape == reduced.shape:
        raise InputError(
            f"posterior, prior and reduced prior have shapes {posterior.shape}, {prior.shape} and "
            f"{reduced.shape}; expected one shape",
            place,
        )
    seen = posterior - prior
    after = seen + reduced
    tolerance = _ROUNDING * posterior
    unseen = jnp.abs(seen) <= tolerance
    off = (reduced == 0) & (prior > 0)
    wrong = jnp.where(off, after < -tolerance, (after <= 0) & (reduced > 0))
    wrong |= (prior <= 0) & ((posterior != 0) | (reduced != 0) | (prior < 0))
    wrong |= (prior > 0) & ((posterior <= 0) | (reduced < 0))
    if not isinstance(wrong, jax.core.Tracer) and (bad := np.argwhere(np.asarray(wrong))).size:
        cell = tuple(bad[0].tolist())
        raise InputError(
            f"the evidence is undefined with posterior {float(posterior[cell]):.4g}, prior "
            f"{float(prior[cell]):.4g} and reduced prior {float(reduced[cell]):.4g}",
            f"{place}, cell {cell}",
        )
    change = log_beta(jnp.where(off, 0.0, after)) - log_beta(reduced)
    change = jnp.sum(change - log_beta(posterior) + log_beta(prior))
    return jnp.where(jnp.any(off & ~unseen), -jnp.inf, change)


def log_beta(counts: Float[Array, "level *column"]) -> Float[Array, "*column"]:
    """ln of the multivariate beta function of each column; a zero count is a level that is not."""
    there = counts > 0
    each = jnp.where(there, gammaln(jnp.where(there, counts, 1.0)), 0.0)
    total = counts.sum(0)
    return each.sum(0) - gammaln(jnp.where(total > 0, total, 1.0))


def keep(
    log_bayes_factor: Float[Array, "*session"] | float,
    prior_odds: Scalar = 0.0,
    threshold: Scalar = 3.0,
) -> Int[Array, "*session"]:
    """Whether a cause stays in the model: 1 keep it, -1 prune it, 0 go on watching.

    `log_bayes_factor`: nats in favour of the model with the cause (`simulation.compare`, or minus
    what `reduce` finds for the prior without it); `prior_odds`: log-odds of that model beforehand;
    `threshold`: the posterior log-odds, in nats, that settle it. Where the data come from the model
    without the cause, the Bayes factor is a martingale of mean one: it is ever kept, however long
    one watches, with probability at most exp(prior_odds - threshold) (Ville's inequality), and
    likewise pruned, where the data come from the model with it, with at most
    exp(-prior_odds - threshold). Two thresholds as in Wald's sequential test (1945).

    Raises `InputError` for a threshold that is not positive.
    """
    if not isinstance(threshold, jax.core.Tracer) and not float(threshold) > 0:
        raise InputError(f"threshold is {threshold}; expected nats above zero", "keep")
    odds = jnp.asarray(log_bayes_factor) + jnp.asarray(prior_odds)
    bound = jnp.asarray(threshold)
    return (odds >= bound).astype(jnp.int32) - (odds <= -bound).astype(jnp.int32)


def find(layout: Layout, target: str, place: str) -> tuple[int, int]:
    """Indices (factor, level) of "factor.level"; `InputError` at `place` names the choices."""
    try:
        return layout.level(target)
    except LookupError as error:
        raise InputError(str(error.args[0]), place) from None


def admitting(layout: Layout, f: int, level: int) -> Layout:
    """The layout with a level of factor `f` no longer switched off."""
    factor = layout.factors[f]
    excluded = tuple(x for x in factor.excluded if x != level)
    return _replace_factor(layout, f, replace(factor, excluded=excluded))


def _replace_factor(layout: Layout, f: int, factor: Factor) -> Layout:
    return replace(layout, factors=(*layout.factors[:f], factor, *layout.factors[f + 1 :]))


def _with(pomdp: POMDP, f: int, A: tuple[Array, ...], B: Array, D: Array, layout: Layout) -> POMDP:
    return replace(
        pomdp,
        A=A,
        B=(*pomdp.B[:f], B, *pomdp.B[f + 1 :]),
        D=(*pomdp.D[:f], D, *pomdp.D[f + 1 :]),
        layout=layout,
    )


def _is(table: Array, axis: int, level: int) -> np.ndarray:
    """Which cells of a table have `level` on an axis; broadcasts against it."""
    shape = [1] * table.ndim
    shape[axis] = table.shape[axis]
    return (np.arange(table.shape[axis]) == level).reshape(shape)


def _flat(layout: Layout, m: int, dtype: jnp.dtype) -> Array:
    """Uniform over the outcomes that can occur in each context, shaped to broadcast against A."""
    modality = layout.modalities[m]
    known = [p for p in modality.parents if p in layout.known]
    table = np.zeros((len(modality.levels), *(len(layout.factors[p].levels) for p in known)))
    for c, context in enumerate(layout.contexts):
        at = tuple(context[layout.known.index(p)] for p in known)
        for o in layout.outcomes(m, c):
            table[(o, *at)] = 1.0
    # A modality's own contexts may meet here from different contexts of the model: they agree.
    table /= table.sum(0, keepdims=True)
    shape = [len(layout.factors[p].levels) if p in known else 1 for p in modality.parents]
    return jnp.asarray(table.reshape(len(modality.levels), *shape), dtype)


def _reading(modality: Modality, f: int) -> Modality:
    """The modality once A depends on factor `f` wherever more than one outcome can occur."""
    if modality.reads is None:
        return modality
    many = [len(o) > 1 for o in modality.outcomes or ()] or [True] * len(modality.reads)
    reads = [
        tuple(sorted({*here, f})) if more else here
        for here, more in zip(modality.reads, many, strict=True)
    ]
    return replace(modality, reads=tuple(reads))


def _refuse_known(layout: Layout, f: int, place: str) -> None:
    if f in layout.known:
        name = layout.factors[f].name
        raise InputError(f"'{name}' is set by an action, so its levels come and go with it", place)


def _possible(pomdp: POMDP, f: int, level: int, target: str, place: str) -> Bool[Array, ""] | bool:
    """Whether a level has prior or inflow already: an `InputError` unless that is traced."""
    prior, inflow = pomdp.D[f][level], pomdp.B[f][level]
    if f in (parents := pomdp.layout.factors[f].parents):
        inflow = jnp.delete(inflow, level, axis=parents.index(f))
    most = inflow.max(initial=0)
    if isinstance(prior, jax.core.Tracer) or isinstance(most, jax.core.Tracer):
        return (prior > 0) | (most > 0)
    if prior > 0 or most > 0:
        raise InputError(
            f"'{target}' already has mass (prior {float(prior):.4g}, inflow up to "
            f"{float(most):.4g}); only a level that is impossible can be added",
            place,
        )
    return False

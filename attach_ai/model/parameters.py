"""Parameters: a default, a support, a meaning, and a prior for the day they are fitted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from attach_ai.errors import InputError
from attach_ai.model.document import Place, array, identifier, keys, real, suggest, table, text

# how many numbers each prior takes
PRIORS = {
    "beta": 2,
    "normal": 2,
    "lognormal": 2,
    "gamma": 2,
    "uniform": 2,
    "halfnormal": 1,
    "exponential": 1,
}
_PRIOR = re.compile(r"\s*([A-Za-z_]+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class Parameter:
    """A named number that cells may use. `prior` is written as in "beta(2, 4)"."""

    name: str
    default: float
    support: tuple[float, float]
    meaning: str = ""
    prior: str | None = None


def read_parameters(data: dict[str, Any], place: Place) -> tuple[Parameter, ...]:
    """Read a `[parameters]` table, in file order.

    Raises `InputError` for an empty support, a default outside it, or a malformed prior.
    """
    return tuple(_read(name, entry, place / name) for name, entry in table(data, place).items())


def _read(name: str, entry: Any, place: Place) -> Parameter:
    identifier(name, place)
    entry = table(entry, place)
    keys(
        entry, {"default", "support", "meaning", "prior"}, {"default", "support", "meaning"}, place
    )
    default = real(entry["default"], place / "default")
    ends = [real(v, place / "support") for v in array(entry["support"], place / "support")]
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise (place / "support").error(
            f"expected [lowest, highest] with lowest < highest, got {entry['support']}"
        )
    if not ends[0] <= default <= ends[1]:
        raise (place / "default").error(f"{default:g} lies outside the support {ends}")
    prior = text(entry["prior"], place / "prior") if "prior" in entry else None
    if prior is not None:
        _check_prior(prior, place / "prior")
    meaning = text(entry["meaning"], place / "meaning")
    return Parameter(name, default, (ends[0], ends[1]), meaning, prior)


def _check_prior(prior: str, place: Place) -> None:
    match = _PRIOR.fullmatch(prior)
    if match is None:
        raise place.error(f"expected a distribution such as beta(2, 4), got '{prior}'")
    name, inside = match.groups()
    if name not in PRIORS:
        raise place.error(f"no prior is called '{name}'{suggest(name, PRIORS)}")
    arguments = inside.split(",")
    try:
        [float(a) for a in arguments]
    except ValueError:
        raise place.error(f"expected numbers in '{prior}'") from None
    if len(arguments) != PRIORS[name]:
        raise place.error(f"{name} takes {PRIORS[name]} number(s), got {len(arguments)}")


def within(parameter: Parameter, value: Any, place: str) -> Any:
    """A traced value as it is; a number as a float, inside the support.

    Raises `InputError` for an array, for something that is no number, and outside the support.
    """
    from jax.core import Tracer

    shape = getattr(value, "shape", ())
    if shape != ():
        raise InputError(
            f"{parameter.name} is a scalar, got an array of shape {shape}; "
            "use jax.vmap over build for many",
            place=place,
        )
    if isinstance(value, Tracer):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{parameter.name} is a number, got {value!r}", place=place) from None
    low, high = parameter.support
    slack = 1e-6 * (high - low)  # single precision may round an end of the support outwards
    if not low - slack <= number <= high + slack:
        raise InputError(
            f"{parameter.name} = {number:g} lies outside its support [{low:g}, {high:g}]",
            place=place,
        )
    return min(max(number, low), high)

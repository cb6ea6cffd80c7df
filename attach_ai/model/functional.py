"""What of a belief an answer reads: functionals, declared as data and checked against a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attach_ai.errors import InputError
from attach_ai.model.document import Place, identifier, keys, suggest, table, text
from attach_ai.model.expression import Expression, parse
from attach_ai.model.layout import Layout
from attach_ai.model.model import Model
from attach_ai.model.rows import When
from attach_ai.model.support import Sampler

VALENCE = ("valence", "negative_valence")
# Each kind of functional: what it may say beside `of` and `sign`, and what it must say.
KINDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "now": (frozenset({"given"}), frozenset()),
    "window": (frozenset({"given", "window"}), frozenset({"window"})),
    "freq": (frozenset({"given", "window"}), frozenset({"window"})),
    "prior": (frozenset({"given"}), frozenset()),
    "cond": (frozenset({"given"}), frozenset({"given"})),
    "policy": (frozenset({"against", "given", "window"}), frozenset()),
    "predictive": (frozenset({"given", "window"}), frozenset()),
    "entropy": (frozenset({"window"}), frozenset()),
    "param": (frozenset(), frozenset()),
}
_WINDOW = re.compile(r"\s*(\d+(?:\.\d*)?)\s*d\s*")


@dataclass(frozen=True)
class Functional:
    """What of a belief an answer reads.

    `kind`: a key of `KINDS`. `of`: what it is about, as written: levels ("agents.absent"; of one
    factor any of them, of several together), a factor (entropy), "valence" or "negative_valence",
    or arithmetic of parameters (param). `given`: levels that are taken as given; `against`: the
    levels of the action that odds are taken against (policy; none: all the others). `window`: the
    recall frame, "14 d". `sign` -1 turns it round.
    """

    kind: str
    of: tuple[str, ...]
    given: When = ()
    window: str | None = None
    sign: int = 1
    against: tuple[str, ...] = ()

    @property
    def days(self) -> float | None:
        """Length of the recall frame."""
        match = _WINDOW.fullmatch(self.window or "")
        return float(match[1]) if match else None

    @property
    def event(self) -> dict[str, tuple[str, ...]]:
        """Levels by factor, modality or action, of an `of` that names levels."""
        return _by_owner(self.of)

    @property
    def valence(self) -> bool:
        """Whether it reads expected preference."""
        return self.of[0] in VALENCE

    @property
    def expression(self) -> Expression:
        """The arithmetic of a param."""
        return parse(self.of[0])

    @property
    def label(self) -> str:
        """In a line, as in "window P(self_state.ashamed), 14 d"."""
        what = " & ".join(f"{n}.{'|'.join(v)}" for n, v in self.event.items())
        if self.kind in ("entropy", "param") or self.valence:
            what = self.of[0]
        if self.against:
            what += f" : {'|'.join(a.partition('.')[2] for a in self.against)}"
        if self.given:
            what += " | " + ", ".join(f"{name} = {'|'.join(v)}" for name, v in self.given)
        frame = f", {self.window}" if self.window else ""
        return f"{'-' if self.sign < 0 else ''}{self.kind} {what}{frame}"

    def unsuitable(self, model: Model) -> str | None:
        """Why a model cannot supply this reading; None where it can.

        A level that is switched off (`Model.without`) cannot be given, nor be all that is asked.
        """
        if self.kind == "param":
            lacking = sorted(n for n in self.expression.names if n not in model.parameters)
            return f"it has no parameter {', '.join(lacking)}" if lacking else None
        return _unsuitable(self, model)

    def is_share(self, model: Model) -> bool:
        """Of a param: whether it lies in [0, 1] wherever the model's parameters may."""
        points = Sampler(model.parameters).points(self.expression.names)
        values = np.asarray(self.expression.evaluate(points), float)
        return bool(values.min() >= -1e-9 and values.max() <= 1 + 1e-9)


def read_functional(entry: Any, place: Place) -> Functional:
    """`{ kind, of, given, against, window, sign }`; `of` and `against` may be lists."""
    if "kind" not in table(entry, place):
        raise place.error("'kind' is missing")
    kind = text(entry["kind"], place / "kind")
    if kind not in KINDS:
        raise (place / "kind").error(f"no kind is called '{kind}'{suggest(kind, KINDS)}")
    allowed, required = KINDS[kind]
    keys(entry, {"kind", "of", "sign", *allowed}, {"kind", "of", *required}, place)
    sign = entry.get("sign", 1)
    if isinstance(sign, bool) or sign not in (1, -1):
        raise (place / "sign").error(f"expected 1 or -1, got {sign!r}")
    functional = Functional(
        kind=kind,
        of=texts(entry["of"], place / "of"),
        given=_read_given(entry.get("given", {}), place / "given"),
        window=text(entry["window"], place / "window") if "window" in entry else None,
        sign=sign,
        against=texts(entry["against"], place / "against") if "against" in entry else (),
    )
    _check(functional, place)
    return functional


def _check(f: Functional, place: Place) -> None:
    """What a functional says makes sense for its kind, whatever the model."""
    if f.window is not None and not (f.days and f.days > 0):
        raise (place / "window").error(f"expected days, as in '14 d', got '{f.window}'")
    if f.kind in ("entropy", "param") and len(f.of) != 1:
        raise (place / "of").error(f"{f.kind} is of one thing, got {len(f.of)}")
    if f.kind == "param":
        try:
            parse(f.of[0])
        except InputError as problem:
            raise (place / "of").error(str(problem)) from None
    elif f.kind == "entropy":
        identifier(f.of[0], place / "of")
    elif f.valence:
        if f.kind not in ("now", "window", "freq", "prior"):
            raise (place / "of").error(f"{f.kind} cannot be of {f.of[0]}")
        if len(f.of) > 1 or f.given:
            raise (place / "of").error(f"{f.of[0]} stands alone, with nothing given")
    else:
        for target in (*f.of, *f.against):
            name, dot, level = target.partition(".")
            if not (name and dot and level):
                raise (place / "of").error(
                    f"'{target}' should be written name.level, as in agents.benevolent"
                )
        if f.kind == "policy" and len(_by_owner((*f.of, *f.against))) > 1:
            raise (place / "of").error("policy is of levels of one action")


def _read_given(data: Any, place: Place) -> When:
    return tuple(
        (identifier(name, place), texts(levels, place / name))
        for name, levels in table(data, place).items()
    )


def texts(value: Any, place: Place) -> tuple[str, ...]:
    """A text, or a list of different ones."""
    listed = tuple(text(v, place) for v in (value if isinstance(value, list) else [value]))
    if not listed:
        raise place.error("the list is empty")
    for v in listed:
        if listed.count(v) > 1:
            raise place.error(f"'{v}' is named twice")
    return listed


def _by_owner(targets: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for target in targets:
        name, _, level = target.partition(".")
        found[name] = (*found.get(name, ()), level)
    return found


def _unsuitable(f: Functional, model: Model) -> str | None:
    layout = model.layout
    hidden = {layout.factors[i].name: layout.factors[i].levels for i in layout.hidden}
    modalities = {m.name: m.levels for m in layout.modalities}
    actions = {a.name: a.levels for a in layout.actions}
    if f.kind == "policy":
        wanted, known, what = _by_owner((*f.of, *f.against)), actions, "action"
    elif f.valence:
        if not any(c.constant != 0 for m in modalities for c in model.tables[f"C.{m}"].cells):
            return "it prefers nothing to anything"
        wanted, known, what = {}, {}, ""
    elif f.kind == "entropy":
        wanted, known, what = {f.of[0]: ()}, hidden, "hidden factor"
    elif f.kind == "predictive":
        wanted, known, what = f.event, hidden | modalities, "hidden factor or modality"
    else:
        wanted, known, what = f.event, hidden, "hidden factor"
    return (
        _absent(wanted, known, what)
        or _absent(dict(f.given), hidden, "hidden factor")
        or _switched_off(f, layout)
    )


def _absent(
    wanted: Mapping[str, tuple[str, ...]], known: Mapping[str, tuple[str, ...]], what: str
) -> str | None:
    for name, levels in wanted.items():
        if name not in known:
            return f"it has no {what} {name}"
        lacking = [level for level in levels if level not in known[name]]
        if lacking:
            return f"its {name} is never {', '.join(lacking)}"
    return None


def _switched_off(f: Functional, layout: Layout) -> str | None:
    event = {} if f.kind in ("policy", "entropy") or f.valence else f.event
    for factor in layout.factors:
        for levels in (event.get(factor.name), dict(f.given).get(factor.name)):
            if levels and all(factor.levels.index(v) in factor.excluded for v in levels):
                return f"{factor.name}.{levels[0]} is switched off"
    return None

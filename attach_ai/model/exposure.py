"""Exposure: what each arm of a study lived through, step by step. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from attach_ai.model.document import Place, array, keys, real, table, text, whole


@dataclass(frozen=True)
class Period:
    """Steps `start` to `end` - 1: practised `days` days a week, each `share` of a full dose."""

    start: int
    end: int
    days: float
    share: float


@dataclass(frozen=True)
class Arm:
    """What an arm lived through: a practice, the world meanwhile, the body loop, and when."""

    practice: str
    world: str
    gain: float
    rate: float
    periods: tuple[Period, ...]


def read_exposure(data: Any, place: Place) -> dict[str, Arm] | None:
    """The arms of a schedule by label; None where the exposure is unknown."""
    if data == "unknown":
        data = {"kind": "unknown"}
    keys(table(data, place), {"kind", "arms"}, (), place)
    kind = text(data.get("kind", "schedule" if "arms" in data else "unknown"), place / "kind")
    if kind not in ("unknown", "schedule"):
        raise (place / "kind").error(f"expected 'unknown' or 'schedule', got '{kind}'")
    if (kind == "schedule") != ("arms" in data):
        raise place.error("a schedule needs 'arms', and an unknown exposure has none")
    if kind == "unknown":
        return None
    arms = table(data["arms"], place / "arms")
    if not arms:
        raise (place / "arms").error("expected at least one arm")
    return {name: _arm(entry, place / "arms" / name) for name, entry in arms.items()}


def _arm(entry: Any, place: Place) -> Arm:
    allowed = {"practice", "world", "inner", "session_minutes", "periods"}
    keys(table(entry, place), allowed, {"practice", "world", "periods"}, place)
    inner = table(entry.get("inner", {}), place / "inner")
    keys(inner, {"gain", "rate"}, (), place / "inner")
    loop = {k: real(inner.get(k, d), place / "inner" / k) for k, d in (("gain", 0.5), ("rate", 1))}
    for name, value in loop.items():
        if not 0 <= value <= 1:
            raise (place / "inner" / name).error(f"expected a number from 0 to 1, got {value:g}")
    full = real(entry["session_minutes"], place) if "session_minutes" in entry else None
    periods = tuple(
        _period(p, full, place / f"period {i}")
        for i, p in enumerate(array(entry["periods"], place / "periods"), start=1)
    )
    for i, (a, b) in enumerate(pairwise(periods), start=2):
        if b.start < a.end:
            raise (place / f"period {i}").error(
                f"it starts at step {b.start}, before period {i - 1} ends at step {a.end}"
            )
    return Arm(
        practice=text(entry["practice"], place / "practice"),
        world=text(entry["world"], place / "world"),
        gain=loop["gain"],
        rate=loop["rate"],
        periods=periods,
    )


def _period(entry: Any, full: float | None, place: Place) -> Period:
    keys(table(entry, place), {"from", "to", "days_a_week", "share", "minutes"}, {"to"}, place)
    start = whole(entry.get("from", 0), place / "from")
    end = whole(entry["to"], place / "to", least=start + 1)
    days = real(entry.get("days_a_week", 7), place / "days_a_week")
    share = real(entry.get("share", 1), place / "share")
    if "minutes" in entry:
        if full is None or full <= 0 or "share" in entry:
            raise place.error("'minutes' stand instead of 'share', and need 'session_minutes'")
        share = real(entry["minutes"], place / "minutes") / full
    if not 0 <= days <= 7:
        raise (place / "days_a_week").error(f"expected a number from 0 to 7, got {days:g}")
    if not 0 <= share <= 1:
        raise place.error(f"a dose is a share from 0 to 1 of a full one, got {share:g}")
    return Period(start, end, days, share)

"""Instruments as a person reads them: the list of all, and one in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from attach_ai.model.instrument import Instrument, Item, Scale, load_instrument
from attach_ai.model.library import names
from attach_ai.model.link import Link

WIDTH = 100
_ITEMS_AT = 24  # column at which a scale's items start


def table(instruments: Iterable[Instrument] | None = None) -> str:
    """One line for each instrument (all that are declared, unless some are given)."""
    chosen = list(instruments or (load_instrument(n) for n in names("instrument")))
    rows = [("name", "items", "range", "scales", "key", "full name; licence")]
    rows += [
        (
            i.name,
            str(len(i.items)),
            options(i.items),
            str(len(i.scales)),
            i.verified,
            "; ".join(filter(None, (i.full_name, i.licence))),
        )
        for i in chosen
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) for cell, w in zip(row[:5], widths, strict=True)]
        lines += _wrap("  ".join((*cells, row[5])), later=" " * (sum(widths) + 10))
    return "\n".join(lines)


def show(instrument: Instrument, link: Link | None = None) -> str:
    """Scales, items, keys, scoring, licence and citation of one instrument; no item texts.

    `link`: what it reads for each scale is shown too. At most 100 columns wide.
    """
    i = instrument
    lines = [f"{i.name}: {i.full_name}", *_wrap(i.meaning)]
    frame = f"; time frame: {i.time_frame}" if i.time_frame else ""
    lines += ["", f"ITEMS: {len(i.items)}, {options(i.items)}{frame}"]
    if i.targets:
        each = f"may be asked about each of: {', '.join(i.targets)}"
        lines += _wrap(f"{each} (items {i.targets[0]}_{i.items[0].name}, ...)", "  ", "    ")
    for title, chosen in (
        ("reversed", tuple(x.name for x in i.items if x.reverse)),
        ("fillers", tuple(x.name for x in i.items if x.filler)),
        ("never linked", i.unlinked),
    ):
        if chosen:
            lines += _wrap(f"{title}: {runs(chosen)}", "  ", "    ")
    lines += ["", "SCALES"]
    for scale in i.scales:
        lines += _scale(scale)
        lines += _readings(f"{i.name}.{scale.name}", link) if link else []
    if i.totals:
        lines += ["", "TOTALS (scored, linked to nothing)"]
        for scale in i.totals:
            lines += _scale(scale)
    lines += ["", *_wrap(f"SCORING: {_scoring(i)}")]
    for item, say in i.notices.items():
        lines += _wrap(f"NOTICE, item {item}: {say}")
    lines += [""]
    known = "read" if i.verified == "read" else "recalled, to be checked before use"
    for title, value in (
        ("structure and key", f"{known}{f' ({i.source})' if i.source else ''}"),
        ("note", i.note),
        ("licence", i.licence),
        ("citation", i.citation),
        ("doi", i.doi),
    ):
        if value:
            lines += _wrap(f"{title}: {value}")
    return "\n".join(lines)


def options(items: Iterable[Item]) -> str:
    """The ranges of items: "1-7", "0-3 and 0-10", "0 to 100 (continuous)"."""
    made = []
    for item in items:
        dash = "-" if item.kind == "ordinal" else " to "
        end = "" if item.kind == "ordinal" else " (continuous)"
        made.append(f"{item.low:g}{dash}{item.high:g}{end}")
    return " and ".join(dict.fromkeys(made))


def runs(chosen: tuple[str, ...]) -> str:
    """Items in short, as a file would list them: "9 11 20 22 26-31"."""
    parts: list[list[str]] = []
    for name in chosen:
        if parts and _next(parts[-1][-1]) == name:
            parts[-1].append(name)
        else:
            parts.append([name])
    made = []
    for part in parts:
        digits = part[-1][len(part[-1].rstrip("0123456789")) :]
        made += [f"{part[0]}-{digits}"] if len(part) > 2 else part
    return " ".join(made)


def _next(name: str) -> str | None:
    stem = name.rstrip("0123456789")
    return f"{stem}{int(name[len(stem) :]) + 1}" if stem != name else None


def _scale(scale: Scale) -> list[str]:
    turned = f"; turned round here: {runs(scale.reverse)}" if scale.reverse else ""
    head = f"  {scale.name:<{_ITEMS_AT - 4}}  {runs(scale.items)}{turned}"
    return _wrap(f"{head}  {scale.meaning}".rstrip(), "", " " * _ITEMS_AT)


def _readings(scale: str, link: Link) -> list[str]:
    """What a link reads for a scale, its default first; what single items read instead."""
    if scale not in link.scales:
        return _wrap(f"reads nothing: the link '{link.name}' does not have it", "      ", " " * 8)
    found = link.scales[scale]
    lines = []
    for k, f in enumerate(found.readings):
        lines += _wrap(f"{'or' if k else 'reads'} {f.label}", "      ", " " * 8)
    for item, own in found.items.items():
        name = item.partition(".")[2]
        lines += _wrap(f"item {name}: {own.label if own else 'a residual only'}", "      ", " " * 8)
    if not found.readings:
        lines += ["      has a residual only"]
    return lines + _wrap(f"identified: {found.identified}", "      ", " " * 8)


def _scoring(i: Instrument) -> str:
    rule = i.scoring
    times = f", times {rule.times:g}" if rule.times != 1 else ""
    whose = "the authors' rule" if rule.published else "our rule, for want of a published one"
    least = "all items" if rule.least == 1 else f"at least {rule.least:.0%} of the items"
    return (
        f"the {rule.how} of a scale's items{times}; missing items are prorated, and a score needs "
        f"{least} ({whose})"
    )


def _wrap(text: str, first: str = "", later: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False
    )

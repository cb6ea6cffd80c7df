"""Skeletons of an instrument and a mapping file, guessed from a table of answers.

What comes out is a start for a person: each guess says what it was made from, and every line is
to be checked. Our own readers accept it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from attach_ai.files import write_text
from attach_ai.fit.records.formats.read import read_table
from attach_ai.fit.records.formats.table import Table
from attach_ai.fit.records.item_sets import ItemSet, find_item_sets, identifier
from attach_ai.model.codebook import runs
from attach_ai.model.document import FORMAT

ROLES: Mapping[str, tuple[str, ...]] = {
    "subject": ("subject", "subject_id", "participant", "participant_id", "id", "pid", "record_id"),
    "wave": ("wave", "session", "visit", "timepoint", "time", "redcap_event_name"),
    "day": ("day",),
    "beep": ("beep", "prompt", "ping"),
    "episode": ("episode", "period", "phase"),
    "group": ("group", "arm", "condition", "treatment", "intervene", "randomisation"),
    "cluster": ("cluster", "class", "school", "site", "centre", "center"),
}
MEANT = {
    "episode": "stretches of time that are each lived from their own start",
    "group": "the arm",
    "cluster": "the class or site that was assigned as a whole",
}
COVARIATES = {"age": False, "gender": True, "sex": True}  # whether it is a factor


def scaffold(path: str | Path) -> str:
    """All skeletons for a file of answers in one text, each under a line with its name.

    Raises `InputError` for a file that cannot be read as a table.
    """
    parts = [f"# {'-' * 20} {name}\n{body}" for name, body in skeletons(path).items()]
    return "\n".join(parts)


def write_scaffold(path: str | Path, folder: str | Path) -> list[Path]:
    """Write the skeletons into a folder, each file whole or not at all; the paths, mapping last."""
    made = []
    for name, body in skeletons(path).items():
        made.append(Path(folder) / name)
        write_text(made[-1], body)
    return made


def skeletons(path: str | Path) -> dict[str, str]:
    """File name -> text: an instrument for each item set that is not declared, and a mapping."""
    table = read_table(path)
    sets = find_item_sets(table)
    files = {f"{s.name}.toml": _instrument(s, table) for s in sets if not s.known}
    stem = identifier(table.path.stem, "data")
    stem = f"{stem}_mapping" if f"{stem}.toml" in files else stem
    return files | {f"{stem}.toml": _mapping(stem, sets, table)}


def _instrument(one: ItemSet, table: Table) -> str:
    kind = "" if one.kind == "ordinal" else ', kind = "continuous"'
    numbered = one.items == tuple(str(n) for n in range(1, len(one.items) + 1))
    which = f"count = {len(one.items)}" if numbered else f"names = {_list(one.items)}"
    hint = (
        f"items {runs(one.turned)} correlate negatively with the others"
        if one.turned
        else "no item correlates negatively with the others"
    )
    waves = f", waves {', '.join(one.waves)}" if one.waves else ""
    return _text(
        [
            f"# Guessed from {len(one.columns)} columns of {_quote(table.path.name)} "
            f"({_quote(one.pattern)}{waves}): check every line against the questionnaire.",
            f"format     = {FORMAT}",
            f"name       = {_quote(one.name)}   # check: a short name; no declared instrument's",
            f"full_name  = {_quote(one.name)}   # check: the instrument's full name",
            'meaning    = ""   # check: what it measures, in a sentence',
            f"items      = {{ {which}, low = {one.low:g}, high = {one.high:g}{kind} }}"
            "   # check: all options, not only those that were chosen",
            f"# reverse  = {_quote(runs(one.turned))}   # check the published key; {hint}",
            'time_frame = ""   # check: as in "past 2 weeks", "in general", "now"',
            'verified   = "recalled"   # "read" once every line was checked, with a source',
            'licence    = ""   # check: who may use it',
            'citation   = ""   # check',
            "",
            "[scoring]",
            'how   = "mean"   # check: "mean" or "sum"',
            "least = 0.8      # check: the share of a scale's items that must be answered",
            "",
            "[scales]",
            f"score = {_quote(runs(one.items))}   # check: one line for each subscale",
        ]
    )


def _mapping(name: str, sets: list[ItemSet], table: Table) -> str:
    roles = _roles(table)
    codes = sorted({str(c) for s in sets for c in s.codes})
    lines = [
        f"# Guessed from {_quote(table.path.name)}: {len(table)} rows, {len(table.columns)} "
        "columns. Check every line.",
        f"format  = {FORMAT}",
        f"name    = {_quote(name)}",
        'meaning = ""   # check: what the file holds, and whose it is',
        f"subject = {_quote(roles['subject'])}   # check: the column that says who answered",
    ]
    if codes:
        lines.append(f"missing = {_list(codes)}   # check: values that stand for no answer")
    for role, what in MEANT.items():
        if role in roles:
            lines.append(f"{role:<7} = {_quote(roles[role])}   # check: the column of {what}")
    lines += ["", "[time]", *_time(sets, roles, table)]
    for one in sets:
        lines += ["", f"[instruments.{one.name}]", *_columns(one)]
    for column, factor in COVARIATES.items():
        match = next((c for c in table.columns if c.lower() == column), None)
        if match is not None:
            kind = "factor = true" if factor else "standardise = true"
            lines += ["", f"[covariates.{column}]", f"column = {_quote(match)}   # check", kind]
    placed = {*roles.values(), *(c for s in sets for c in s.columns)}
    left = [c for c in table.columns if c not in placed and c.lower() not in COVARIATES]
    if left:
        shown = ", ".join(_quote(c) for c in left[:20])
        more = f", and {len(left) - 20} more" if len(left) > 20 else ""
        lines += ["", f"# not used: {shown}{more}"]
    lines += [
        "",
        "# Nothing is known here of what people were exposed to between answers; models/README.md",
        "# says how an [exposure] by arm is declared.",
    ]
    return _text(lines)


def _time(sets: list[ItemSet], roles: Mapping[str, str], table: Table) -> list[str]:
    waves = sorted({w for s in sets for w in s.waves})
    step = 'step  = "1 w"   # check: how long a step of the model is'
    if waves:
        return [step, f"waves = {_at(waves)}   # check: the step of each wave"]
    if "day" in roles and "beep" in roles:
        beeps, _ = table.numbers(roles["beep"])
        most = int(np.nanmax(beeps, initial=1))
        return [
            f"day         = {_quote(roles['day'])}   # check",
            f"beep        = {_quote(roles['beep'])}   # check",
            f"beeps_a_day = {most}   # check: the most that was seen",
        ]
    if "wave" in roles:
        found = [t for t in table.texts(roles["wave"]) if t is not None]
        labels = sorted(dict.fromkeys(found), key=lambda t: (len(t), t))
        return [
            step,
            f"wave  = {_quote(roles['wave'])}   # check: the column that says when",
            f"waves = {_at(labels)}   # check: their order, and the step of each",
        ]
    return [step]


def _columns(one: ItemSet) -> list[str]:
    lines = []
    if one.pattern:
        lines.append(f"columns = {_quote(one.pattern)}   # {len(one.columns)} columns")
    else:
        pairs = ", ".join(f"{i} = {_quote(i)}" for i in one.items)
        lines.append(f"columns = {{ {pairs} }}")
    if one.waves:
        lines.append(f"waves   = {_list(one.waves)}")
    if one.known:
        seen = f"{one.low:g} to {one.high:g}"
        lines += [
            f"# check: the name, {len(one.items)} items and answers {seen} fit '{one.known}'",
            "# check: that its items stand in the published order; else give columns item by item",
        ]
    else:
        lines.append(f"codebook = {_quote(f'{one.name}.toml')}   # check that file first")
    lines.append("already_reversed = false   # check: true if the file holds turned items turned")
    return lines


def _roles(table: Table) -> dict[str, str]:
    """Columns by what they are for; somebody must be the subject."""
    by_name = {c.lower(): c for c in reversed(list(table.columns))}
    roles = {}
    for role, known in ROLES.items():
        found = [by_name[n] for n in known if n in by_name]
        if role in ("group", "episode"):  # "arm_mbct" is as good as "arm"
            starts = tuple(f"{n}_" for n in known)
            found += [c for n, c in by_name.items() if n.startswith(starts)]
        if found:
            roles[role] = found[0]
    if table.subject:
        roles["subject"] = table.subject
    if table.wave:
        roles["wave"] = table.wave
    return {"subject": next(iter(table.columns)), **roles}


def _at(waves: Iterable[str]) -> str:
    return "{ " + ", ".join(f"{_quote(w)} = {i}" for i, w in enumerate(waves)) + " }"


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_quote(v) for v in values) + "]"


def _quote(value: str) -> str:
    """A TOML string on one line."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"

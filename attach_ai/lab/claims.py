"""The claims of the seed documents, and where each stands (`paper/claims.toml`)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from attach_ai.errors import InputError
from attach_ai.files import checkout, read_json
from attach_ai.lab.verdict import KINDS

TEXTS = ("title", "seed", "quote", "verdict_kind", "prediction", "refutation", "ablation", "status")
VERDICT_KINDS = (*KINDS, "NOT MODELLABLE")
STATUSES = ("measured", "planned", "excluded")
WORDS = 15


@dataclass(frozen=True)
class Claim:
    """One claim. `figures` are those of the experiments that speak to it."""

    id: int
    title: str
    seed: str
    quote: str
    verdict_kind: str
    prediction: str
    refutation: str
    ablation: str
    figures: tuple[str, ...]
    status: str
    parts: str = ""


def read(path: Path) -> tuple[list[Claim], dict[str, str]]:
    """The claims of a file, and the experiment behind each figure.

    `InputError` names the claim and the field that is missing, unknown or out of range.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"could not be read: {error}", str(path)) from error
    figures: dict[str, str] = data.get("figures", {})
    claims = [_claim(entry, figures, str(path)) for entry in data.get("claims", [])]
    for n, claim in enumerate(claims, start=1):
        if claim.id != n:
            raise InputError(
                f"claim {claim.id} stands at place {n}; expected 1, 2, 3, ...", str(path)
            )
    return claims, figures


def table(root: Path | None = None) -> list[dict[str, Any]]:
    """Every claim as a plain record, with its `experiment` files and its `result`.

    A result reads "F3 passed" ("" if there is none). Results come from
    `paper/generated/verdicts.json`, or else from the deep ones in `paper/data`.
    """
    root = root or checkout()
    claims, figures = read(root / "paper" / "claims.toml")
    verdicts = _verdicts(root)
    return [
        {
            **asdict(claim),
            "experiment": [figures[f] for f in claim.figures],
            "result": _result(claim.id, verdicts),
        }
        for claim in claims
    ]


def as_json(root: Path | None = None) -> str:
    """The table as JSON."""
    return json.dumps(table(root), indent=1, ensure_ascii=False)


def as_table(root: Path | None = None) -> str:
    """The table as lines to read."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("#", "seed", "claim", "kind", "figure", "status"):
        shown.add_column(heading, no_wrap=heading in ("#", "seed", "kind"))
    for row in table(root):
        status = row["result"] or row["status"].replace("measured", "not run yet")
        cells = (row["id"], row["seed"], row["title"], row["verdict_kind"])
        shown.add_row(*map(str, cells), ", ".join(row["figures"]), status)
    page = StringIO()
    Console(file=page, width=110).print(shown)
    return "\n".join(line.rstrip() for line in page.getvalue().strip("\n").splitlines())


def _claim(entry: Mapping[str, Any], figures: Mapping[str, str], place: str) -> Claim:
    place = f"{place}: claim {entry.get('id', '?')}"
    known = {"id", "figures", "parts", *TEXTS}
    for name in (*TEXTS, "id", "figures"):
        if name not in entry:
            raise InputError(f"'{name}' is missing", place)
    for name in entry:
        if name not in known:
            raise InputError(f"no field is called '{name}'", place)
    for name in TEXTS:
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise InputError(f"'{name}' should be a text that is not empty", place)
    for name, choices in (("verdict_kind", VERDICT_KINDS), ("status", STATUSES)):
        if entry[name] not in choices:
            raise InputError(
                f"{name} is '{entry[name]}'; expected one of {', '.join(choices)}", place
            )
    if len(entry["quote"].split()) > WORDS:
        raise InputError(f"the quote has more than {WORDS} words", place)
    for figure in entry["figures"]:
        if figure not in figures:
            raise InputError(f"no figure is called '{figure}' in [figures]", place)
    if entry["status"] == "measured" and not entry["figures"]:
        raise InputError("is measured, and names no figure", place)
    return Claim(**{**entry, "figures": tuple(entry["figures"])})


def _verdicts(root: Path) -> list[Mapping[str, Any]]:
    generated = root / "paper" / "generated" / "verdicts.json"
    if generated.is_file():
        return list(read_json(generated).values())
    return [read_json(p) for p in sorted((root / "paper" / "data").glob("*/verdict.json"))]


def _result(claim: int, verdicts: list[Mapping[str, Any]]) -> str:
    """What each experiment found of a claim: by the findings that decide, else by those beside."""
    found = []
    for verdict in verdicts:
        own = [f for f in verdict["outcomes"] if f["claim"] == claim]
        if not own and claim in verdict["claims"]:
            own = [f for f in verdict["outcomes"] if f["claim"] is None]
        deciding = [f["passed"] for f in own if f["decides"]]
        beside = "" if deciding else " (reported beside)"
        if own:
            passed = "passed" if all(deciding or [f["passed"] for f in own]) else "failed"
            found.append(f"{verdict['figure'] or verdict['experiment']} {passed}{beside}")
    return ", ".join(found)

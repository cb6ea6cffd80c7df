"""The paper compiles with whatever is there, and says at which scale it was made."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from attach_ai.lab.reproduce import reproduce

PAPER = Path(__file__).parents[2] / "paper"


@pytest.mark.parametrize(
    "names", [(), ("who_pays_for_belief",), ("who_pays_for_belief", "fear_of_loss_collapse", "new")]
)
def test_it_compiles(checkout: Path, names: tuple[str, ...]) -> None:
    for file in (*PAPER.glob("*.typ"), PAPER / "refs.bib"):
        shutil.copy(file, checkout / "paper")
    for folder in ("experiments", "paper/figures"):
        original = checkout / folder / "tiny.py"
        text = original.read_text()
        original.unlink()
        for name in names:
            text_of = text.replace('Verdict("tiny"', f'Verdict("{name}"')
            (checkout / folder / f"{name}.py").write_text(text_of)
    report = reproduce(root=checkout)
    assert report.paper.stat().st_size > 10_000
    values = json.loads((checkout / "paper/generated/values.json").read_text())
    assert sorted(values["experiments"]) == sorted(names)
    assert values["figures"] == sorted(names)


def test_no_result_is_typed_by_hand() -> None:
    text = (PAPER / "main.typ").read_text()
    results = text[text.index("= Results") : text.index("= What this does not show")]
    assert not any(c.isdigit() for c in re.sub(r"@\w+", "", results))  # citations carry a year

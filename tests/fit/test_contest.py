"""The opponents of a model: which there are, what each lacks, and what stays the same for all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.comparison import contest
from attach_ai.fit.comparison.rivals.build import NAMES
from attach_ai.fit.study.lives import Practices, lives
from attach_ai.fit.study.planned import planned_records
from attach_ai.model import load_model

FREE = ("trust", "fear_of_loss", "hold")
RIVALS = {name: f"rival {name}" for name in NAMES[:3]}  # what records without events allow


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each study was asked to be; nothing is compiled."""
    asked: list[dict[str, Any]] = []

    def build_study(model: Any, agent: Any, records: Any, free: Any, **words: Any) -> Any:
        asked.append({"free": tuple(free), **words})
        own = words.get("individual", "auto")
        parameters = [
            SimpleNamespace(name=f, individual=f != "hold" if own == "auto" else f in own)
            for f in free
        ]
        declared = load_model(model)
        for target in words.get("without", ()):
            declared = declared.without(target)
        return SimpleNamespace(
            declared=declared, free=parameters, settings=dict(words.get("settings", {}))
        )

    monkeypatch.setattr(contest, "build_study", build_study)
    monkeypatch.setattr(contest, "rivals", lambda base, records: dict(RIVALS))
    return asked


def found(**how: Any) -> dict[str, Any]:
    nobody: Any = None
    return contest.opponents("attachment_waves", None, nobody, how.pop("free", FREE), **how)


def test_parts_are_taken_out_and_rivals_stand_beside(built: list[dict[str, Any]]) -> None:
    names = list(found())
    ablations = ["without benevolent", "without law", "with author"]
    assert names == ["attachment_waves", *ablations, *RIVALS]
    whole, benevolent, law, author = built
    assert "without" not in whole
    assert benevolent["without"] == ["agents.benevolent"]
    assert law["without"] == ["law.unstable", "law.contingent"]
    assert author["settings"] == {"awareness": 1.0}
    # the same parameters differ between people as in the whole, whatever the ablation could tell
    assert [b["individual"] for b in built[1:]] == [["trust", "fear_of_loss"]] * 3
    assert {b["free"] for b in built} == {FREE}


def test_a_mind_with_an_author_loses_it(built: list[dict[str, Any]]) -> None:
    names = list(found(free=("trust", "awareness"), words={"settings": {"heal": 0.1}}))
    assert "without author" in names
    assert "with author" not in names
    assert built[-1]["free"] == ("trust",)
    assert built[-1]["individual"] == ["trust"]
    assert built[-1]["settings"] == {"heal": 0.1, "awareness": 0.0}


def test_what_is_out_already_is_not_taken_out_again(built: list[dict[str, Any]]) -> None:
    names = list(found(words={"without": ["agents.benevolent"]}))
    assert "without benevolent" not in names
    assert built[-1]["without"] == ["agents.benevolent"]


def test_only_those_that_are_named_are_built(built: list[dict[str, Any]]) -> None:
    assert list(found(only=["mixed", "without law"])) == [
        *("attachment_waves", "without law", "mixed")
    ]
    assert len(built) == 2
    with pytest.raises(InputError, match="no opponent is called 'mixd'; did you mean 'mixed'"):
        found(only=["mixd"])
    assert len(built) == 2  # found out before anything was built
    for name in ("event filter", "without author"):
        with pytest.raises(InputError, match=f"'{name}' cannot be made from this model and these"):
            found(only=[name])


def test_what_a_mind_leaves_out_is_not_thereby_out_of_the_world() -> None:
    """The world without drift would leave an unstable law nowhere to go, had it no other."""
    records = planned_records("cohort", 2, waves=2, items=1, instruments=["ecr_rs"])
    assert records.group is not None
    group = {s: str(g) for s, g in records.group.items()}
    whole = load_model("attachment_waves")
    less = whole.without("law.unstable").without("law.contingent")
    names = [arm.practice for arm in records.exposure.arms.values()]
    ours, theirs = (lives(records, m, whole, Practices(names, m), group) for m in (whole, less))
    assert len(ours.shares) == len(whole.layout.modalities)
    for a, b in zip(ours.shares, theirs.shares, strict=True):
        np.testing.assert_array_equal(a, b)

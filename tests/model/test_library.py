"""Declared files by name and by path; practices and settings."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.model import library, load_model, load_phenotype, load_practice, load_world, names
from attach_ai.model.layout import Action, Factor, Layout


def test_what_is_shipped() -> None:
    assert names("model") == [
        "attachment",
        "attachment_core",
        "attachment_waves",
        "caregiving",
        "teaching",
    ]
    kinds = ("clamp", "condition", "expand", "precision", "prior_change")
    included = [f"inclusion_by_{k}" for k in kinds]
    held = ["loving_kindness", "loving_kindness_day", "sham", "waitlist", "waitlist_day"]
    assert names("practice") == [*included, *held]
    assert names("phenotype") == ["attachment_injury", "secure"]
    assert names("world") == ["imagined_other", "real_other"]


def test_a_path_works_where_a_name_does(tmp_path: Path) -> None:
    path = library.find("practice", "waitlist")
    copy = tmp_path / "mine.toml"
    copy.write_bytes(path.read_bytes())
    assert load_practice(copy).sha256 == load_practice("waitlist").sha256
    assert load_practice(str(copy)).phases == load_practice("waitlist").phases


def test_names_are_unique_within_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "worlds"
    folder.mkdir()
    for file in ("a.toml", "b.toml"):
        (folder / file).write_text('format = 1\nname = "twin"\n[parameters]\n')
    monkeypatch.setattr(library, "root", lambda: tmp_path)
    with pytest.raises(
        InputError, match=r"a\.toml and b\.toml: two files declare the world 'twin'"
    ):
        load_world("twin")


def test_a_broken_file_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "worlds"
    folder.mkdir()
    (folder / "bad.toml").write_text("[[[")
    (folder / "good.toml").write_text('format = 1\nname = "good"\n[parameters]\n')
    monkeypatch.setattr(library, "root", lambda: tmp_path)
    assert len(load_world("good")) == 0
    with pytest.raises(InputError, match="not valid TOML"):
        load_world("bad")


class TestPractice:
    def test_loving_kindness_binds_to_the_family(self) -> None:
        practice = load_practice("loving_kindness")
        for name in ("attachment", "attachment_core"):
            model = load_model(name)
            bound = practice.bind(model.layout, model.parameters)
            assert bound.phases[2].allowed == {"next_stance": ("maintain", "withdraw")}
            assert bound.phases[1].allowed is None
        include = practice.phases[1].operators[0]
        assert (include.kind, include.factor, include.level) == ("field", "agents", "benevolent")
        assert include.while_ == {"stance": ("maintain",)}
        assert include.strength is not None
        assert include.strength.evaluate(practice.defaults) == 2.0
        assert practice.schedule.steps == sum(p.steps for p in practice.phases) == 40
        assert (practice.schedule.days_on, practice.schedule.days_off) == (5, 2)
        assert practice.schedule.stop_after == 20

    def test_sham_differs_from_it_in_what_is_held_alone(self) -> None:
        real, sham = load_practice("loving_kindness"), load_practice("sham")
        assert sham.schedule == real.schedule
        assert sham.parameters["hold"] == real.parameters["hold"]
        for ours, theirs in zip(sham.phases, real.phases, strict=True):
            assert (ours.steps, ours.allowed) == (theirs.steps, theirs.allowed)
            assert len(ours.operators) == len(theirs.operators)
            for a, b in zip(ours.operators, theirs.operators, strict=True):
                assert (a.kind, a.strength, a.while_) == (b.kind, b.strength, b.while_)
                assert (a.factor, a.level) == ("law", "stable")
        # no outcome reads what the sham holds, so the body has nothing to say about it
        layout = load_model("attachment").layout
        law = layout.factor("law")
        assert all(law not in m.parents for m in layout.modalities)

    def test_waitlist_keeps_the_time_and_holds_nothing(self) -> None:
        waitlist = load_practice("waitlist")
        assert waitlist.schedule == load_practice("loving_kindness").schedule
        assert not any(p.operators or p.allowed for p in waitlist.phases)

    def test_copies_leave_the_original_alone(self) -> None:
        practice = load_practice("loving_kindness")
        layout = load_model("attachment_core").layout
        forced = practice.allowing("maintain").bind(layout)
        assert {p.allowed["next_stance"] for p in forced.phases if p.allowed} == {("maintain",)}
        assert not any(p.operators for p in practice.without_operators().phases)
        assert practice.phases[1].operators
        with pytest.raises(FrozenInstanceError):
            practice.name = "other"  # type: ignore[misc]

    def test_a_list_will_not_do_for_several_actions(self) -> None:
        two = Layout(
            (Factor("stance", ("maintain", "monitor"), (0,)),),
            (),
            (Action("u", ("maintain", "monitor")), Action("v", ("a", "b"))),
        )
        practice = load_practice("waitlist")
        with pytest.raises(InputError, match="several actions: expected a table with u, v"):
            practice.allowing("maintain").bind(two)

    def test_parameter_names_are_unique_across_model_and_practice(self) -> None:
        practice = load_practice("loving_kindness")
        with pytest.raises(InputError, match="'hold' is a parameter of the model too"):
            practice.bind(load_model("attachment_core").layout, ["trust", "hold"])


class TestSettings:
    def test_a_mapping_with_its_sources(self) -> None:
        injured = load_phenotype("attachment_injury")
        assert injured["trust"] == 0.05
        assert len(injured) == len(dict(injured))
        assert set(injured.notes) == set(injured)
        assert "starting value" in injured.notes["trust"]
        assert "assumption" in injured.notes["shame"]
        assert "hostility" in injured.optional

    def test_the_imagined_other_never_comes(self) -> None:
        world = load_world("imagined_other")
        for name in ("trust", "hostility", "return_rate", "intrusion", "w_own"):
            assert world[name] == 0
        assert world["awareness"] == 1
        real = load_world("real_other")
        assert (real["trust"], real["h0"], real["awareness"], real["w_own"]) == (1, 0, 0, 0)

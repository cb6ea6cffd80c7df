"""Links from scales to readings: what ships resolves, and what is wrong is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.model.functional import KINDS, Functional
from attach_ai.model.instrument import load_instrument
from attach_ai.model.library import names
from attach_ai.model.link import Link, load_link, read_link

LINK = load_link("attachment")
WAVES = load_model("attachment_waves")
MODELS = ("attachment_waves", "attachment_core", "attachment")
# Scales that no belief of the family answers to.
ALONE = {
    "ess.bodily",
    "foc.for_others",
    "itq.affective_dysregulation",
    "itq.ptsd_impairment",
    "itq.dso_impairment",
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", names("instrument"))
def test_every_shipped_scale_reads_something_in_every_member_of_the_family(
    name: str, model: str
) -> None:
    instrument = load_instrument(name)
    resolved = LINK.resolve(load_model(model), [instrument])
    assert [r.scale for r in resolved] == [f"{name}.{s.name}" for s in instrument.scales]
    for r in resolved:
        assert (r.functional is None) == (r.scale in ALONE)
        link = LINK.scales[r.scale]
        assert len(r.passed_over) == (
            link.readings.index(r.functional) if r.functional else len(link.readings)
        )
        for item, functional in r.items.items():
            own = item in link.items
            assert functional == r.functional or own, item
            assert item.partition(".")[2] not in instrument.unlinked


def test_no_link_is_for_a_scale_that_is_not_there() -> None:
    scales = {f"{i}.{s.name}" for i in names("instrument") for s in load_instrument(i).scales}
    assert set(LINK.scales) - scales == {"esm_affect.ashamed"}
    assert {f.kind for x in LINK.scales.values() for f in x.readings} == set(KINDS)
    assert all(x.why and x.identified for x in LINK.scales.values())


def test_the_table_of_the_specification() -> None:
    full = {
        r.scale: r for r in LINK.resolve(load_model("attachment"), every("ecr_rs", "gad7", "phq9"))
    }
    waves = {r.scale: r for r in LINK.resolve(WAVES, every("ecr_rs", "gad7", "zung_sds", "ucla3"))}
    anxiety = full["ecr_rs.anxiety"].functional
    assert anxiety == Functional(
        "prior", ("law.unstable", "law.contingent"), (("agents", ("benevolent",)),)
    )
    assert full["gad7.anxiety"].functional == Functional("freq", ("threat.high",), window="14 d")
    worry = full["gad7.anxiety"].items["gad7.2"]
    assert worry is not None
    assert (worry.kind, worry.of) == ("policy", ("next_stance.monitor",))
    assert full["gad7.anxiety"].items["gad7.1"] == full["gad7.anxiety"].functional
    assert waves["gad7.anxiety"].functional != full["gad7.anxiety"].functional
    assert "no hidden factor threat" in waves["gad7.anxiety"].passed_over[0]
    assert waves["ecr_rs.anxiety"].functional == anxiety
    mood = full["phq9.depression"].items
    assert "phq9.9" not in mood
    assert mood["phq9.3"] is None
    assert mood["phq9.1"] == Functional("freq", ("negative_valence",), window="14 d")
    lonely = LINK.scales["ucla3.loneliness"].readings
    assert (lonely[0].sign, lonely[0].of) == (-1, ("attachment.proximal",))
    assert waves["ucla3.loneliness"].functional == lonely[1]


def every(*instruments: str) -> list:
    return [load_instrument(i) for i in instruments]


def test_alternatives_are_chosen_by_place() -> None:
    (found,) = (
        r
        for r in LINK.resolve(WAVES, every("ecr_rs"), {"ecr_rs.anxiety": 1})
        if r.scale == "ecr_rs.anxiety"
    )
    assert found.functional == Functional("prior", ("law.contingent",))
    for alternatives, said in (
        ({"ecr_rs.anxiety": 3}, "there is no alternative 3; there are 0 to 2"),
        ({"ecr_rs.avoidance": 1}, "cannot supply prior attachment.unavailable: it has no hidden"),
        ({"ecr_rs.anxeity": 1}, "no scale is called 'ecr_rs.anxeity'; did you mean"),
    ):
        with pytest.raises(InputError, match=said):
            LINK.resolve(WAVES, every("ecr_rs"), alternatives)
    with pytest.raises(InputError, match="this scale has a residual only"):
        LINK.resolve(WAVES, every("ess"), {"ess.bodily": 0})


def test_a_level_that_is_switched_off_cannot_be_given() -> None:
    without = WAVES.without("agents.benevolent")
    (anxiety,) = (r for r in LINK.resolve(without, every("ecr_s")) if r.scale == "ecr_s.anxiety")
    assert anxiety.functional == Functional("prior", ("law.contingent",))
    assert "agents.benevolent is switched off" in anxiety.passed_over[0]


def test_several_people_are_asked_about_in_one_scale() -> None:
    both = load_instrument("ecr_rs").for_targets("mother", "friend")
    (anxiety,) = (r for r in LINK.resolve(WAVES, [both]) if r.scale == "ecr_rs.anxiety")
    assert list(anxiety.items) == [
        f"ecr_rs.{t}_{i}" for t in ("mother", "friend") for i in (7, 8, 9)
    ]


def test_shares_are_told_from_other_numbers() -> None:
    for text, share in (
        ("contam_received", True),
        ("contam_received * contamination", True),
        ("1 - trust", True),
        ("kappa", False),
        ("trust - shame", False),
    ):
        assert Functional("param", (text,)).is_share(WAVES) == share


GOOD = """\
format = 1
name = "mine"
[[links]]
scales = ["who5.wellbeing"]
readings = [ { READING } ]
identified = "?"
why = "?"
"""
NOW = 'kind = "now", of = "agents.absent"'


def written(tmp_path: Path, text: str) -> Link:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_link(path)


BROKEN = {
    'of = "agents.absent"': "'kind' is missing",
    'kind = "nwo", of = "agents.absent"': "no kind is called 'nwo'; did you mean 'now'?",
    'kind = "now"': "'of' is missing",
    'kind = "now", of = []': "the list is empty",
    'kind = "now", of = ["agents.absent", "agents.absent"]': "'agents.absent' is named twice",
    'kind = "now", of = "absent"': "'absent' should be written name.level",
    NOW + ', window = "14 d"': "unknown key 'window'",
    NOW + ", sign = 2": "expected 1 or -1, got 2",
    NOW + ", given = 3": "expected a table, got 3",
    'kind = "window", of = "agents.absent"': "'window' is missing",
    'kind = "freq", of = "agents.absent", window = "2 weeks"': "expected days, as in '14 d'",
    'kind = "freq", of = "agents.absent", window = "0 d"': "expected days, as in '14 d'",
    'kind = "cond", of = "agents.absent"': "'given' is missing",
    'kind = "cond", of = "valence", given = { law = "stable" }': "cond cannot be of valence",
    'kind = "now", of = "valence", given = { law = "stable" }': "valence stands alone",
    'kind = "policy", of = "next_stance.monitor", against = "a.b"': "levels of one action",
    'kind = "entropy", of = ["law", "agents"]': "entropy is of one thing, got 2",
    'kind = "param", of = "1 +"': "cannot read '1 +'",
}


@pytest.mark.parametrize("reading", BROKEN)
def test_a_reading_that_makes_no_sense_is_one_sentence_with_its_place(
    reading: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        written(tmp_path, GOOD.replace("READING", reading))
    assert BROKEN[reading] in str(caught.value)
    assert "link 1, reading 0" in caught.value.place


def test_other_faults_of_a_file(tmp_path: Path) -> None:
    good = GOOD.replace("READING", NOW)
    for text, said in (
        (good.replace("who5.wellbeing", "who5"), "'who5' should be written instrument.scale"),
        (good + good[good.index("[[") :], "scale 'who5.wellbeing' is linked twice"),
        (good.replace('why = "?"', ""), "'why' is missing"),
        (good.replace("{ " + NOW + " }", ""), "say 'residual only' where none is meant"),
        (good + 'items = { "phq9.1" = "residual only" }\n', "of one of these scales' instruments"),
        ('response = "likert"\n' + good, "expected graded or rating, got 'likert'"),
        ('format = 1\nname = "mine"\nlinks = []\n', "expected at least one link"),
    ):
        with pytest.raises(InputError, match=said.replace("(", r"\(")):
            written(tmp_path, text)


def test_what_resolve_refuses(tmp_path: Path) -> None:
    good = GOOD.replace("READING", NOW)
    with pytest.raises(InputError, match=r"no link for 'phq9\.depression'"):
        written(tmp_path, good).resolve(WAVES, every("phq9"))
    never = good.replace("who5.wellbeing", "phq9.depression")
    with pytest.raises(InputError, match=r"item 'phq9\.9' is never to be linked"):
        written(tmp_path, never + 'items = { "phq9.9" = "residual only" }\n').resolve(
            WAVES, every("phq9")
        )
    with pytest.raises(InputError, match="who5 has no item '77'"):
        written(tmp_path, good + 'items = { "who5.77" = "residual only" }\n').resolve(
            WAVES, every("who5")
        )
    nothing = GOOD.replace("READING", 'kind = "now", of = "threat.high"')
    with pytest.raises(InputError, match=r"can supply no reading \(now threat.high: it has no"):
        written(tmp_path, nothing).resolve(WAVES, every("who5"))
    left = nothing.replace(" } ]", ' }, "residual only" ]')
    (alone,) = written(tmp_path, left).resolve(WAVES, every("who5"))
    assert alone.functional is None
    assert len(alone.items) == 5

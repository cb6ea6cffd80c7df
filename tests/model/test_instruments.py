"""Instruments: what each file says of keys and scales, and what a file may not say."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.model.codebook import runs, show, table
from attach_ai.model.instrument import Item, load_instrument, read_instrument
from attach_ai.model.library import find, names
from attach_ai.model.link import read_link

SHIPPED = names("instrument")
# instrument: items, lowest, highest, reverse key, scales with their items
STRUCTURE = {
    "ecr_r": (36, 1, 7, "9 11 20 22 26-31 33-36", {"anxiety": "1-18", "avoidance": "19-36"}),
    "ecr_rs": (9, 1, 7, "1-4", {"avoidance": "1-6", "anxiety": "7-9"}),
    "ess": (25, 1, 4, "", {"characterological": "1-12", "behavioural": "13-21"}),
    "fscrs": (22, 0, 4, "", {"hated_self": "9 10 12 15 22"}),
    "phq9": (9, 0, 3, "", {"depression": "1-9"}),
    "pcl5": (20, 0, 4, "", {"intrusion": "1-5", "avoidance": "6 7", "arousal": "15-20"}),
    "sccs": (12, 1, 5, "1-5 7-10 12", {"clarity": "1-12"}),
    "zung_sds": (20, 1, 4, "2 5 6 11 12 14 16-18 20", {"depression": "1-20"}),
    "ucla3": (20, 1, 4, "1 5 6 9 10 15 16 19 20", {"loneliness": "1-20"}),
    "foc": (38, 0, 4, "", {"from_others": "from_1-13", "for_self": "self_1-15"}),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_instrument_is_whole(name: str) -> None:
    instrument = load_instrument(name)
    in_scales = [i for s in instrument.scales for i in s.items]
    assert len(in_scales) == len(set(in_scales))
    assert set(in_scales) == {i.name for i in instrument.items if not i.filler}
    assert instrument.citation
    assert instrument.licence
    assert instrument.time_frame
    assert re.fullmatch(r"10\.\d+/\S+", instrument.doi)
    assert instrument.verified == "read" or "recalled" in instrument.note
    assert pickle.loads(pickle.dumps(instrument)) == instrument
    assert len(max(show(instrument).splitlines(), key=len)) <= 100


@pytest.mark.parametrize("name", STRUCTURE)
def test_the_structure_is_the_published_one(name: str) -> None:
    count, low, high, reverse, scales = STRUCTURE[name]
    instrument = load_instrument(name)
    assert len(instrument.items) == count
    assert {(i.low, i.high) for i in instrument.items} == {(low, high)}
    assert runs(tuple(i.name for i in instrument.items if i.reverse)) == reverse
    ours = {s.name: runs(s.items) for s in instrument.scales}
    assert scales.items() <= ours.items()


def test_every_instrument_of_the_link_table_is_there() -> None:
    wanted = "ecr_r ecr_rs ecr_s ess scs scs_sf fscrs foc phq9 gad7 pcl5 itq k10 who5 ucla3 sccs"
    assert {*wanted.split(), "rses", "zung_sds", "dass21", "esm_affect"} == set(SHIPPED)
    assert "zung_sds" in table()


def test_no_file_holds_an_item_text() -> None:
    for name in SHIPPED:
        body = find("instrument", name).read_text()
        assert not re.search(r"\bI (am|feel|have|worry|find|can|try)\b|\bmyself\b", body), name


def test_phq9_item_9_is_never_linked_and_never_passed_over_in_silence() -> None:
    phq9 = load_instrument("phq9")
    assert phq9.unlinked == ("9",)
    assert "self-harm" in phq9.notices["9"]
    assert "never linked: 9" in show(phq9)


def test_subscales_of_self_compassion_point_where_their_names_do_and_the_total_does_not() -> None:
    for name, key in (("scs_sf", "1 4 8 9 11 12"), ("scs", "1 2 4 6 8 11 13 16 18 20 21 24 25")):
        scs = load_instrument(name)
        negative = {"self_judgment", "isolation", "over_identification"}
        turned = [i for s in scs.scales if s.name in negative for i in s.items]
        assert runs(scs.totals[0].reverse) == key
        assert set(turned) == set(scs.totals[0].reverse)
        assert not any(i.reverse for i in scs.items)


def test_keys() -> None:
    zung = load_instrument("zung_sds")
    assert [zung.keyed("1", v) for v in (1, 2, 3, 4)] == [0, 1, 2, 3]
    assert [zung.keyed("2", v) for v in (1, 2, 3, 4)] == [3, 2, 1, 0]
    assert zung.item("2").n_levels == 4
    assert zung.scale_of("2") == "depression"
    np.testing.assert_array_equal(zung.item("2").units(zung.item("2").key([1, 4])), [4, 1])
    line = Item("pain", 0.0, 100.0, "continuous", reverse=True)
    assert line.n_levels == 0
    np.testing.assert_array_equal(line.key([0.0, 12.5]), [100.0, 87.5])
    np.testing.assert_array_equal(line.fits([0.5, 100.5, np.nan]), [True, False, False])


@pytest.mark.parametrize("value", [0, 5, 2.5, -99, float("nan")])
def test_what_an_item_cannot_have_been_answered_with(value: float) -> None:
    with pytest.raises(InputError, match="item 2: expected a whole number from 1 to 4, got"):
        load_instrument("zung_sds").keyed("2", value)


def test_an_unknown_item_or_instrument_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="zung_sds has no item '21'; there are 1 to 20"):
        load_instrument("zung_sds").item("21")
    with pytest.raises(InputError, match="no item 'chearful'; did you mean 'cheerful'"):
        load_instrument("esm_affect").item("chearful")
    with pytest.raises(InputError, match="did you mean 'zung_sds'"):
        load_instrument("zung_sd")


def test_the_same_items_about_several_people() -> None:
    both = load_instrument("ecr_rs").for_targets("mother", "friend")
    assert len(both.items) == 18
    assert both.item("friend_2").reverse
    assert both.scale_of("friend_8") == "anxiety"
    assert {t.name: runs(t.items) for t in both.totals} == {
        "mother_avoidance": "mother_1-6",
        "mother_anxiety": "mother_7-9",
        "friend_avoidance": "friend_1-6",
        "friend_anxiety": "friend_7-9",
    }
    assert len(load_instrument("ecr_rs").for_targets().items) == 36
    with pytest.raises(InputError, match="no target is called 'boss'"):
        load_instrument("ecr_rs").for_targets("boss")
    with pytest.raises(InputError, match="phq9 is not asked about several people"):
        load_instrument("phq9").for_targets("mother")


OWN = """format = 1
name = "own"
full_name = "Own"
items = [
  { count = 3, low = 1, high = 3 },
  { names = ["pain"], low = 0, high = 100, kind = "continuous" },
  { prefix = "x", count = 2, low = 0, high = 9 },
]
reverse = [2, "pain"]
fillers = "x2"
[scales]
mood = "1-3"
other = "pain, x1"
"""


def test_items_of_mixed_range_fillers_and_a_line(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    own = load_instrument(tmp_path / "own.toml")
    assert [i.n_levels for i in own.items] == [3, 3, 3, 0, 10, 10]
    assert own.scale_of("x2") is None
    assert (own.keyed("2", 3), own.keyed("pain", 30.5), own.keyed("x1", 9)) == (0, 69.5, 9)
    assert own.verified == "recalled"
    assert "0 to 100 (continuous)" in show(own)


BROKEN = {
    "no such item": ("reverse = [2,", "reverse = [7,", "own.toml, reverse: no item is called '7'"),
    "twice in a key": ("reverse = [2,", "reverse = [2, 2,", "item '2' is named twice"),
    "not in a scale": ('"pain, x1"', '"pain"', "item 'x1' is in no scale; if it is not scored"),
    "in two scales": ('"pain, x1"', '"pain, x1, 3"', "item '3' is in 'mood' too; use a total"),
    "filler in a scale": ('"pain, x1"', '"pain, x1, x2"', "item 'x2' is scored in other"),
    "range": ("high = 3 }", "high = 1 }", "group 1, high: expected more than low = 1, got 1"),
    "half an option": ("high = 3 }", "high = 3.5 }", "expected a whole number, got 3.5"),
    "too many options": (', kind = "continuous"', "", "101 options are too many for an ordinal"),
    "kind": ('"continuous"', '"slider"', "no kind is called 'slider'"),
    "count and names": ("{ count = 3,", '{ count = 3, names = ["a"],', "either 'count'"),
    "none": ("count = 3", "count = 0", "count: expected a whole number of at least 1, got 0"),
    "same name": ('["pain"]', '["pain", "1"]', "items: item '1' is named twice"),
    "no scale": ("mood =", "mood = []\nsad =", "scales, mood, items: the list is empty"),
    "run": ('"1-3"', '"3-1"', "'3-1' is no run of items"),
    "long run": ('"1-3"', '"1-999999999999"', "is no run of items"),
    "item name": ('["pain"]', '["pain, now"]', "'pain, now' is no item name"),
    "key of a scale": ('"1-3"', '{ items = "1-3", reverse = "1" }', "only a total turns items"),
    "how": (
        "[scales]",
        '[scoring]\nhow = "median"\n[scales]',
        "expected mean or sum, got 'median'",
    ),
    "least": (
        "[scales]",
        "[scoring]\nleast = 80\n[scales]",
        "expected a share above 0 and up to 1",
    ),
    "verified": ("reverse =", 'verified = "read"\nreverse =', "needs a 'source' that says where"),
    "notice": ("[scales]", '[notices]\n99 = "!"\n[scales]', "notices: no item is called '99'"),
    "total": ("[scales]", '[totals]\nmood = "1"\n[scales]', "a scale has this name too"),
    "missing": ('full_name = "Own"', "", "'full_name' is missing"),
    "unknown key": ("fillers", "filler", "unknown key 'filler'; did you mean 'fillers'?"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_sentence_with_the_place(case: str, tmp_path: Path) -> None:
    old, new, said = BROKEN[case]
    assert old in OWN
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_instrument(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_read_for_a_scale_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "l.toml"
    path.write_text(
        'format = 1\nname = "l"\n[[links]]\nscales = ["gad7.anxiety"]\n'
        'readings = [{ kind = "now", of = "threat.high" }, '
        '{ kind = "prior", of = "law.stable" }]\n'
        'identified = "good"\nwhy = "w"\nitems = { "gad7.2" = "residual only" }\n'
    )
    shown = show(load_instrument("gad7"), read_link(path))
    assert (
        "reads now threat.high\n      or prior law.stable\n      item 2: a residual only" in shown
    )
    assert "reads nothing: the link 'l' does not have it" in show(
        load_instrument("k10"), read_link(path)
    )

"""Every way to get a model wrong that we could think of: one clear sentence, with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.model.library import root

CORE = (root() / "generative" / "attachment_core.toml").read_text()


def refused(text: str, tmp_path: Path) -> tuple[str, str]:
    """Place within the file, and sentence."""
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_model(path)
    place = caught.value.place
    message = str(caught.value).removeprefix(f"{place}: ")
    assert "\n" not in message
    file, _, inside = place.partition(", ")
    assert file.endswith("broken.toml")
    return inside, message


# (what is replaced, by what, place, sentence)
BROKEN = {
    "format": ("format  = 1", "format = 2", "format", "expected format = 1, got 2"),
    "no format": ("format  = 1", "", "format", "expected format = 1, got nothing"),
    "unknown section": ("[C]", "[Z]", "", "unknown key 'Z'; there are A, B, C"),
    "missing section": ("[E]\nnext_stance = {", "[C.cue]\n#", "", "'E' is missing"),
    "unknown key of a factor": (
        'meaning = "Theta: how dangerous now is"',
        'meanign = "Theta: how dangerous now is"',
        "factors, threat",
        "unknown key 'meanign'; did you mean 'meaning'?",
    ),
    "unknown key of a row": (
        '{ when = { threat = "low" },  p = "calm_base" }',
        '{ wehn = { threat = "low" },  p = "calm_base" }',
        "A.interoception, noisy_or, leak, row 1",
        "unknown key 'wehn'; did you mean 'when'?",
    ),
    "misspelt factor": (
        '{ when = { agents = "absent" },     then',
        '{ when = { agnets = "absent" },     then',
        "A.approval, row 1",
        "no factor is called 'agnets'; did you mean 'agents'?",
    ),
    "misspelt level": (
        '{ when = { agents = "hostile" },    then = { nothing',
        '{ when = { agents = "hostil" },    then = { nothing',
        "A.approval, row 2",
        "agents has no level 'hostil'; did you mean 'hostile'?",
    ),
    "misspelt outcome": (
        'condemn = "(1 - self_valid) / 3"',
        'condem = "(1 - self_valid) / 3"',
        "A.self_talk, row 1",
        "there is no level 'condem'; did you mean 'condemn'?",
    ),
    "misspelt parameter": (
        'ashamed = "wound"',
        'ashamed = "wuond"',
        "B.self_state, row 2, cell ashamed",
        "no parameter is called 'wuond'; did you mean 'wound'?",
    ),
    "action in A": (
        '{ when = { stance = "monitor", author = "received" }',
        '{ when = { next_stance = "monitor", author = "received" }',
        "A.source, row 2",
        "'next_stance' is an action, which only B reads and cannot stand in 'when'",
    ),
    "modality as a parent": (
        '{ when = { threat = "high", next_stance = "maintain" }',
        '{ when = { cue = "ambiguous", next_stance = "maintain" }',
        "B.threat, row 4",
        "'cue' is a modality and cannot stand in 'when'",
    ),
    "overlap": (
        'self_state = "ashamed", agents = ["absent", "hostile"] }',
        'self_state = "ashamed", agents = ["absent", "benevolent"] }',
        "B.self_state",
        "row 3 and row 4 both cover self_state = ashamed, agents = benevolent, threat = low",
    ),
    "uncovered": (
        'next_stance = ["monitor", "withdraw"] },     then = { low',
        'next_stance = "monitor" },     then = { low',
        "B.threat",
        "no row covers agents = absent, threat = high, next_stance = withdraw",
    ),
    "overlapping causes": (
        '{ when = { author = "self_made", self_state = "accepted" }, p',
        '{ when = { author = "self_made" }, p',
        "A.interoception, noisy_or, cause own",
        "row 1 and row 2 both cover",
    ),
    "uncovered leak": (
        '{ when = { threat = "low" },  p = "calm_base" },',
        "",
        "A.interoception, noisy_or, leak",
        "no row covers self_state = accepted, agents = absent, threat = low",
    ),
    "rest twice": (
        '{ affirm = "self_valid",  condemn = "(1 - self_valid) / 3", neutral = "rest" }',
        '{ affirm = "self_valid",  condemn = "rest", neutral = "rest" }',
        "A.self_talk, row 1, cell neutral",
        "'rest' stands twice, first for condemn",
    ),
    "sum": (
        'accepted = "heal", ashamed = "rest"',
        'accepted = "heal", ashamed = "1 - heal * heal"',
        "B.self_state, row 3",
        "the column sums to 1.25, not to 1 where heal = 0.5",
    ),
    "constant sum": (
        "then = { ambiguous = 1 }",
        "then = { ambiguous = 0.9 }",
        "A.cue, row 1",
        "the column sums to 0.9, not to 1",
    ),
    "negative rest": (
        'benevolent = "return_rate", hostile = "intrusion"',
        'benevolent = "return_rate", hostile = "intrusion * 2"',
        "B.agents, row 1, cell absent (rest)",
        "'1 - intrusion * 2 - return_rate' is -0.5, which is no probability, "
        "where intrusion = 0.5, return_rate = 0.5",
    ),
    "above one": (
        'absent = "h_unstable"',
        'absent = "h_unstable * 3"',
        "B.agents, row 4, cell absent",
        "'h_unstable * 3' is 3, which is no probability, where h_unstable = 1",
    ),
    "probability of a cause": (
        '{ when = { author = "self_made", self_state = "accepted" }, p = "w_own" }',
        '{ when = { author = "self_made", self_state = "accepted" }, p = "w_own - 0.5" }',
        "A.interoception, noisy_or, cause own, row 1, cell p",
        "'w_own - 0.5' is -0.5, which is no probability, where w_own = 0",
    ),
    "not a number somewhere": (
        'calm = "like"',
        'calm = "1 / like"',
        "C.interoception, cell calm",
        "'1 / like' is not a number where like = 0",
    ),
    "bad expression": (
        'keeps = "1 - law_drift"',
        'keeps = "1 - * law_drift"',
        "B.law, keeps",
        "cannot read '1 - * law_drift': found '*' at character 5",
    ),
    "code": (
        'keeps = "1 - law_drift"',
        "keeps = \"__import__('os').getcwd()\"",
        "B.law, keeps",
        "found ''' at character 12",
    ),
    "cell of another type": (
        'then = { absent = "hostile_end", hostile = "rest" }',
        'then = { absent = true, hostile = "rest" }',
        "B.agents, row 2, cell absent",
        "expected a number, got True",
    ),
    "nan": (
        "self_made = 1 } },  ",
        "self_made = nan } },  ",
        "B.author, row 3, cell self_made",
        "expected a number, got nan",
    ),
    "default outside": (
        "delta           = { default = 0.0, ",
        "delta = { default = 2.0, ",
        "parameters, delta, default",
        "2 lies outside the support [0.0, 1.0]",
    ),
    "empty support": (
        "delta           = { default = 0.0,  support = [0.0, 1.0]",
        "delta = { default = 0.0,  support = [1.0, 0.0]",
        "parameters, delta, support",
        "expected [lowest, highest] with lowest < highest, got [1.0, 0.0]",
    ),
    "prior": (
        'prior = "beta(1, 4)"',
        'prior = "bta(1, 4)"',
        "parameters, fear_of_loss, prior",
        "no prior is called 'bta'; did you mean 'beta'?",
    ),
    "prior's arguments": (
        'prior = "beta(1, 4)"',
        'prior = "beta(1)"',
        "parameters, fear_of_loss, prior",
        "beta takes 2 number(s), got 1",
    ),
    "missing A": ('[A.posture]\ncopies = "stance"', "", "A", "modality 'posture' has no table"),
    "missing B": ('[B.stance]\nset_by = "next_stance"', "", "B", "factor 'stance' has no table"),
    "missing D": ("stance     = { maintain = 1 }", "", "D", "factor 'stance' has no table"),
    "missing E": ("next_stance = { monitor =", "next = { monitor =", "E", "no action is called"),
    "table of nothing": ("[A.posture]", "[A.psture]", "A", "no modality is called 'psture'"),
    "duplicated level": (
        '["low", "high"],      ',
        '["low", "low"],      ',
        "factors, threat, levels",
        "level 'low' is named twice",
    ),
    "duplicated name": (
        "[parameters]\n",
        '[parameters]\nthreat = { default = 0, support = [0, 1], meaning = "" }\n',
        "",
        "'threat' is the name of a factor and of a parameter",
    ),
    "reserved name": (
        "[parameters]\n",
        '[parameters]\nrest = { default = 0, support = [0, 1], meaning = "" }\n',
        "parameters, rest",
        "'rest' has a meaning of its own in cells and cannot be a name",
    ),
    "set_by other levels": (
        'next_stance = { levels = ["maintain", "monitor", "withdraw"], sets = "stance" }',
        'next_stance = { levels = ["monitor", "maintain", "withdraw"], sets = "stance" }',
        "B.stance, set_by",
        "levels differ: next_stance has monitor, maintain, withdraw",
    ),
    "sets something else": (
        'sets = "stance"',
        'sets = "author"',
        "B.stance",
        "'next_stance' is declared to set 'author'",
    ),
    "copies other levels": (
        'copies = "stance"',
        'copies = "agents"',
        "A.posture, copies",
        "levels differ: agents has absent, hostile, benevolent",
    ),
    "two forms at once": (
        'keeps = "1 - law_drift"',
        'keeps = "1 - law_drift"\nset_by = "next_stance"',
        "B.law",
        "expected exactly one of rows, keeps, set_by, got 2",
    ),
    "form of another table": (
        'copies = "stance"',
        'keeps = "0.9"',
        "A.posture",
        "unknown key 'keeps'",
    ),
    "parents in D": (
        "author     = { received = 1 }",
        'author = { when = { threat = "low" }, then = { received = 1 } }',
        "D.author",
        "has no parents: expected level = cell, got 'when'",
    ),
    "D does not sum": (
        "author     = { received = 1 }",
        "author     = { received = 0.5 }",
        "D.author",
        "the column sums to 0.5, not to 1",
    ),
    "rest in C": (
        'condemn = "-dislike" }',
        'condemn = "rest" }',
        "C.self_talk, cell condemn",
        "'rest' has no meaning here",
    ),
    "counts of nothing": (
        '"D.law"    = 10.0',
        '"D.lwa"    = 10.0',
        "counts",
        "no table is called 'D.lwa'; did you mean 'D.law'?",
    ),
    "counts not positive": (
        '"D.law"    = 10.0',
        '"D.law"    = 0.0',
        'counts, "D.law"',
        "expected a number above zero, got 0",
    ),
    "noisy-OR of no outcome": (
        'outcome = "calm"',
        'outcome = "clam"',
        "A.interoception, noisy_or, outcome",
        "there is no level 'clam'; did you mean 'calm'?",
    ),
    "noisy-OR combined oddly": (
        'outcome = "calm"',
        'outcome = "calm"\ncombine = "maximum"',
        "A.interoception, noisy_or, combine",
        "there is no 'maximum'",
    ),
    "noisy-OR without otherwise": (
        "[A.interoception.noisy_or.otherwise]",
        "[A.interoception.noisy_or.causes.x]",
        "A.interoception, noisy_or, cause x",
        "expected a list",
    ),
    "empty list": (
        'stance = ["maintain", "withdraw"] },                              then',
        "stance = [] }, then",
        "A.cue, row 1",
        "the list is empty, expected levels of stance",
    ),
    "not a name": ('name    = "attachment_core"', 'name = "my model"', "name", "is not a name"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_the_sentence_and_its_place(kind: str, tmp_path: Path) -> None:
    old, new, place, sentence = BROKEN[kind]
    assert CORE.count(old) >= 1, "the model has changed under the test"
    inside, message = refused(CORE.replace(old, new, 1), tmp_path)
    assert inside == place
    assert sentence in message


def test_toml_errors_give_the_line(tmp_path: Path) -> None:
    inside, message = refused(CORE.replace("[D]", "[D", 1), tmp_path)
    assert inside == ""
    line = CORE[: CORE.index("[D]")].count("\n") + 1
    assert message.startswith("this is not valid TOML")
    assert f"at line {line}," in message


def test_a_key_given_twice_is_a_toml_error(tmp_path: Path) -> None:
    _, message = refused(CORE.replace("[D]", "[C]", 1), tmp_path)
    assert "not valid TOML" in message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml: there is no such file"):
        load_model(tmp_path / "nowhere.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_model(tmp_path / "folder.toml")
    (tmp_path / "latin.toml").write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        load_model(tmp_path / "latin.toml")


@pytest.mark.parametrize("section", ["factors", "A", "parameters", "counts"])
@pytest.mark.parametrize("value", ["3", '"text"', "[1, 2]"])
def test_a_section_of_the_wrong_type(section: str, value: str, tmp_path: Path) -> None:
    small = {"factors", "modalities", "actions", "A", "B", "D", "E"} - {section}
    text = f'format = 1\nname = "x"\n{section} = {value}\n'
    text += "".join(f"{other} = {{}}\n" for other in sorted(small))
    inside, message = refused(text, tmp_path)
    assert inside == section
    assert message.startswith("expected a table, got")

"""The report of a fit: it says what the tree says, hides what it must, and fetches nothing."""

from __future__ import annotations

import base64
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from attach_ai.errors import InputError
from attach_ai.lab import fit_page
from attach_ai.lab import fit_words as words
from attach_ai.lab.fit_report import report
from attach_ai.plot import fit_persons as persons
from tests import fit_trees


class Page(HTMLParser):
    """Elements in order, and all text."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for t, attrs in self.found if t == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with everything in it; one name in it is hostile."""
    folder = tmp_path_factory.mktemp("report")
    tree = fit_trees.fitted(12)
    tree["trajectory"]["belief"] = tree["trajectory"]["belief"].where(
        tree["trajectory"]["reading"] != "prior law.stable", 0.4
    )
    tree["identification"] = xr.DataTree(fit_trees.identified())
    tree["not_at_random"] = xr.DataTree(fit_trees.shifted())
    tree["sensitivity"] = xr.DataTree(fit_trees.scaled())
    row = {"item": "phq9.9", "notice": "Item 9 asks about self-harm.", "subjects": ["p003"]}
    tree.attrs["notices"] = json.dumps([row])
    tree.attrs["notes"] = json.dumps(["<script>alert('a')</script> was a column"])
    path = folder / "fit.nc"
    tree.to_netcdf(path, engine="h5netcdf")
    out = report(
        path,
        folder / "fit.html",
        recovery=fit_trees.recovered(),
        calibration=fit_trees.calibrated(),
        comparison=fit_trees.compared(),
    )
    return out.read_text(encoding="utf-8")


def test_nothing_is_fetched_and_nothing_runs(html: str) -> None:
    page = Page(html)
    assert "http" not in html
    assert not page.all("script")
    assert not page.all("link")
    assert {a["href"][0] for a in page.all("a")} == {"#"}
    pictures = [base64.b64decode(i["src"].partition(",")[2]).decode() for i in page.all("img")]
    for picture in pictures:
        assert not re.search(r"(href|src)=\"(?!#|data:)", picture)
        assert "matplotlib.org" not in picture


def test_it_can_be_read_by_those_who_do_not_see_it(html: str) -> None:
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert all(len(i["alt"]) > 20 for i in page.all("img"))
    assert len(page.all("img")) == len(page.all("figure")) >= 9
    assert all(th["scope"] in ("col", "row") for th in page.all("th"))
    levels = [int(t[1]) for t, _ in page.found if re.fullmatch("h[1-6]", t)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert len({s["id"] for s in page.all("section")}) == len(page.all("section")) == 13
    # Good and bad are told by a word and a sign too.
    assert "✓ fine" in page.text


def test_it_is_made_for_paper(html: str) -> None:
    assert "@page { size: A4" in html
    assert "@media print" in html


def test_single_people_are_shown_only_where_recovery_allows(html: str) -> None:
    text = Page(html).text
    assert "precision: 0.50" in text
    assert "Hidden, because their recovery in simulations is below 0.7" in text
    start = text.index("Single people\n", text.index("Population parameters"))
    people = text[text.index("Person", start + 20) : text.index("Does the model predict", start)]
    assert people.startswith("Persontrust")
    assert "precision" not in people
    assert "p011" in people


def test_the_notice_names_ids_and_no_answers(html: str) -> None:
    text = Page(html).text
    notice = text[text.index("Item 9 of phq9") : text.index("Hypotheses")]
    assert "1 person chose more than its lowest option" in notice
    assert "p003" in notice
    assert "p004" not in notice


def test_rivals_and_calibration_are_said_as_they_came(html: str) -> None:
    text = Page(html).text
    assert "autoregression predicts better by 34 nats" in text
    assert "calibrated: p = 0.5." in text
    assert text.count("Hypotheses, not clinical advice.") == 1
    assert "EXPLORATORY" not in text
    assert "Exposure unknown" not in text


def test_codebooks_are_cited(html: str) -> None:
    assert "Kroenke" in html
    assert "doi:10.1046/j.1525-1497.2001.016009606.x" in html


def test_what_hangs_on_priors_and_on_who_left_is_said(html: str) -> None:
    text = Page(html).text
    assert "precision: mean0.300.300.30the prior decides more than the data" in text
    assert "Of items, 1 of 1 parameters hang on theirs." in text
    assert "a difference at delta 0, none at 1: it hangs on who left" in text


def test_what_does_not_move_explains_nothing(html: str) -> None:
    assert "Nothing that is free moves prior P(law stable)" in Page(html).text


def test_whole_clusters_are_said() -> None:
    tree = fit_trees.fitted(8)
    assert words.clusters(tree) == ""
    data = tree["constant_data"].to_dataset()
    for cluster, said in ((np.arange(8) % 4, True), (np.arange(8) // 4, False)):
        named = data.assign(cluster=("subject", cluster.astype(str)))
        tree["constant_data"] = xr.DataTree(named)
        assert ("whole clusters (4 in 2 groups)" in words.clusters(tree)) == said


def test_a_poor_fit_says_so_at_the_top() -> None:
    tree = fit_trees.fitted(6, exploratory=True, exposure="unknown", engine="mean-field inference")
    page = fit_page.Page(tree, None, None, None)
    first, second, *_ = page.banners()
    assert "EXPLORATORY: not a posterior" in first["title"]
    assert "nothing here is a claim about a practice" in second["title"]
    assert page.tiles()[0] == {"title": "Sampler", "good": False, "text": "exploratory engine"}


@pytest.mark.slow
def test_a_poor_fit_says_so_all_the_way_down(tmp_path: Path) -> None:
    tree = fit_trees.fitted(6, exploratory=True, exposure="unknown", engine="mean-field inference")
    tree["sample_stats"]["diverging"] = tree["sample_stats"]["diverging"] | True
    page = Page(report(tree, tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "✗ Sampler" in page.text[: page.text.index("What was asked")]
    assert "none of this is about a practice" in page.text
    assert "every number below may yet change" in page.text
    assert "Not asked here. Compare with honest rivals" in page.text


def test_without_a_recovery_reliability_decides() -> None:
    found = persons.trust(fit_trees.fitted(), fit_trees.INDIVIDUAL)
    assert found["trust"] == pytest.approx(0.91, abs=0.01)
    assert found["precision"] == pytest.approx(1 - 0.75**2, abs=0.02)
    known = persons.trust(fit_trees.fitted(), ("trust", "other"), fit_trees.recovered((0.8, 0.2)))
    assert known["trust"] == 0.8
    assert np.isnan(known["other"])


def test_people_on_their_own_scale_by_episode() -> None:
    tree = fit_trees.fitted(5)
    drawn = np.random.default_rng(0).uniform(size=(2, 50, 5, 2, 2))
    dims = ("chain", "draw", "subject", "episode", "individual")
    coords = {"individual": list(fit_trees.INDIVIDUAL), "episode": ["before", "after"]}
    tree["person"] = xr.DataTree(xr.Dataset({"person": (dims, drawn)}, coords))
    frame = persons.by_person(tree, ["precision"])
    assert frame["what"].values.tolist() == ["precision, before", "precision, after"]
    wanted = np.median(drawn[:, :, 3, 1, 1])
    assert float(frame["mid"].isel(subject=3, what=1)) == pytest.approx(wanted)


def test_an_effect_in_words() -> None:
    clear = words.effect("trust", "arm", 0.5, 0.2, 0.8, 0.99)
    assert clear.startswith("Arm goes with higher trust, by 0.50 logits")
    assert "the interval leaves zero out" in clear
    open_ = words.effect("trust", "arm", -0.1, -0.4, 0.2, 0.3)
    assert open_.startswith("Arm and trust: −0.10 logits")
    assert "do not settle the sign; the probability that it is lower is 0.70." in open_


def test_only_covariates_of_groups_are_read_as_such() -> None:
    tree = fit_trees.fitted()
    told = {c: words.of_groups(tree, c) for c in ("practice", "arm:after", "arm=waitlist", "age")}
    assert told == {"practice": True, "arm:after": True, "arm=waitlist": True, "age": False}


def test_the_methods_paragraph_counts() -> None:
    said = words.methods(fit_trees.fitted(9))
    assert "9 people (5 in practice and 4 in waitlist) to 6 items at 3 occasions" in said
    assert "480 samples from the posterior with NUTS (NumPyro) in 4 chains" in said
    assert "all with practice and age" in said
    tree = fit_trees.fitted(3)
    tree.attrs["methods"] = json.dumps("It says so itself.")
    assert words.methods(tree) == "It says so itself."


def test_numbers_in_tables() -> None:
    assert [words.number(x) for x in (-0.001, -0.5, float("nan"))] == ["0.00", "−0.50", "–"]


def test_bad_input_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    for tree, message in (
        (tmp_path / "none.nc", "there is no fit here"),
        (Path(__file__), "could not be read as the tree of a fit"),
        (xr.DataTree(), "no group"),
    ):
        with pytest.raises(InputError, match=message):
            report(tree, out)
    with pytest.raises(InputError, match=r"saved as \.html, got 'a\.pdf'"):
        report(fit_trees.fitted(3), tmp_path / "a.pdf")
    with pytest.raises(InputError, match="tree of the recovery: there is no group"):
        report(fit_trees.fitted(3), out, recovery=fit_trees.compared())
    assert not out.exists()

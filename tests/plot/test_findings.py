"""What a verdict says in the margin of its figure."""

from __future__ import annotations

import numpy as np

from attach_ai.lab import Finding, Verdict
from attach_ai.plot.findings import MARKERS, SHARES, findings, mark, robustness, tally
from attach_ai.plot.style import FAIL, PASS, sheet

VERDICT = Verdict(
    "test",
    "it rises",
    "it does not",
    (
        Finding("rises", "", True, {"variants": 1.0, "false_pass": 0.1}, 0.9, "exact"),
        Finding("rises", "", False, {"variants": 0.5, "false_pass": 0.2}, 0.4, "mean_field"),
        Finding("stays", "", True, {"mean": 1.0}, None, "exact"),
        Finding("aside", "", False, {}, None, "exact", decides=False),
    ),
).as_dict()


def test_only_what_decides_and_nan_for_what_is_missing() -> None:
    frame = findings(VERDICT)
    assert frame["finding"].values.tolist() == ["rises", "stays"]
    np.testing.assert_array_equal(frame["passed"], [[1, 1], [0, np.nan]])
    np.testing.assert_array_equal(frame["share"], [[0.9, np.nan], [0.4, np.nan]])
    np.testing.assert_array_equal(frame["false_pass"], [[0.1, np.nan], [0.2, np.nan]])


def test_the_tally_counts_each_perception() -> None:
    assert tally(VERDICT) == "predictions held: 2 of 2 exact, 0 of 1 mean field"


def test_marks() -> None:
    assert mark(VERDICT, "rises", "exact") == PASS
    assert mark(VERDICT, "rises", "mean_field") == FAIL
    assert mark(VERDICT, "stays", "mean_field") == ""


def test_markers_stand_at_the_shares() -> None:
    exact, field = robustness(
        sheet(90, 40), VERDICT, left=30, top=8, width=50, height=20, labels={"rises": "It rises"}
    )
    assert [t.get_text() for t in exact.get_yticklabels()] == ["It rises", "stays"]
    for axes, perception in ((exact, "exact"), (field, "mean_field")):
        at = findings(VERDICT).sel(perception=perception)
        lines = {line.get_label(): line for line in axes.lines}
        for name, label in SHARES.items():
            np.testing.assert_array_equal(lines[label].get_xdata(), at[name])
            shift = MARKERS[name][0]
            np.testing.assert_allclose(lines[label].get_ydata(), np.arange(2) + shift)
    assert [t.get_text() for t in field.texts] == [FAIL, ""]


def test_a_perception_under_which_nothing_was_swept_says_so() -> None:
    rough = Finding("rises", "", True, {"mean": 1.0}, None, "mean_field")
    swept = Finding("rises", "", True, {}, 0.9, "exact")
    verdict = Verdict("test", "", "", (swept, rough)).as_dict()
    exact, field = robustness(sheet(90, 40), verdict, left=30, top=8, width=50, height=20)
    assert (exact.get_xlabel(), field.get_xlabel()) == ("share", "reference only")

"""The factor graph: which edges there are, and which the switched cause carries alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from attach_ai.errors import InputError
from attach_ai.model import load_model
from attach_ai.plot.graph import edges, graph

CAUSE = "agents.benevolent"


def test_what_the_benevolent_other_carries() -> None:
    """Read off the tables by hand."""
    model = load_model("attachment_core")
    layout = model.layout
    sources = {"action": layout.actions, "before": layout.factors, "now": layout.factors}
    through = {
        (e.kind, sources[e.kind][e.source].name, e.target) for e in edges(model, CAUSE) if e.through
    }
    factor, modality = layout.factor, layout.modality
    assert through == {
        ("before", "agents", factor("self_state")),  # only a benevolent other repairs shame
        ("before", "self_state", factor("agents")),  # and only such a one leaves because of it
        ("before", "law", factor("agents")),
        ("action", "next_stance", factor("agents")),
        ("now", "agents", modality("interoception")),
        ("now", "agents", modality("cue")),
    }


def test_without_a_cause_nothing_is_singled_out() -> None:
    model = load_model("attachment_core")
    assert not any(e.through for e in edges(model))
    kinds = [e.kind for e in edges(model)]
    assert [kinds.count(k) for k in ("before", "action", "now")] == [10, 4, 11]


def test_a_model_with_a_level_off_shows_what_is_gone() -> None:
    model = load_model("attachment_core")
    off = model.without(CAUSE)
    assert edges(off) == edges(model, CAUSE)


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_it_is_saved_whole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"graph.{suffix}"
    figure = graph(load_model("teaching"), path, without=CAUSE)
    assert path.stat().st_size > 5000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(figure.axes) == 2
    assert figure.get_size_inches()[0] == pytest.approx(180 / 25.4)


def test_labels_are_legible_at_print_size() -> None:
    figure = graph(load_model("attachment"), without=CAUSE)
    sizes = [t.get_fontsize() for axes in figure.axes for t in axes.texts if t.get_text()]
    assert min(sizes) >= 6
    names = {t.get_text() for t in figure.axes[0].texts}
    assert {"self state", "interoception", "next stance"} <= names


@pytest.mark.parametrize(
    ("path", "without", "sentence"),
    [
        ("graph.jpg", None, "saved as .pdf, .png, .svg, got 'graph.jpg'"),
        ("missing/graph.png", None, "there is no folder"),
        ("graph.png", "agents.kind", "no level of agents is called 'kind'"),
    ],
)
def test_mistakes_leave_no_file(
    path: str, without: str | None, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        graph(load_model("teaching"), tmp_path / path, without)
    assert list(tmp_path.iterdir()) == []

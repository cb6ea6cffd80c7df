"""What the reader makes of a file: layouts, contexts, several actions, random tables."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attach_ai.model import load_model
from attach_ai.model.layout import Layout


def joint_outcomes(layout: Layout, context: int) -> int:
    return prod(len(layout.outcomes(m, context)) for m in range(len(layout.modalities)))


def states_read(layout: Layout, context: int) -> int:
    read = {f for m in range(len(layout.modalities)) for f in layout.reads(m, context)}
    return prod(len(layout.factors[f].levels) for f in read)


def test_the_core_is_sliced_by_its_stance() -> None:
    layout = load_model("attachment_core").layout
    assert (layout.n_states, layout.n_hidden) == (216, 72)
    maintain, monitor, withdraw = range(3)
    assert layout.first_context == maintain
    for context in (maintain, withdraw):
        assert states_read(layout, context) == 24
        assert joint_outcomes(layout, context) == 27
    assert states_read(layout, monitor) == 24
    cue, source = layout.modality("cue"), layout.modality("source")
    assert layout.outcomes(cue, monitor) == (0, 2)
    assert layout.outcomes(source, monitor) == (1, 2)
    assert layout.reads(cue, maintain) == ()
    assert layout.reads(cue, monitor) == (layout.factor("agents"),)
    posture = layout.modality("posture")
    assert [layout.outcomes(posture, c) for c in range(3)] == [(0,), (1,), (2,)]
    assert [layout.reads(posture, c) for c in range(3)] == [()] * 3


def test_the_full_member_has_the_factors_the_documents_name() -> None:
    model, core = load_model("attachment"), load_model("attachment_core")
    assert (model.layout.n_states, model.layout.n_hidden) == (2916, 972)
    named = {f.name for f in model.layout.factors}
    assert {"self_state", "environment", "agents", "threat", "attachment"} < named
    for name, parameter in core.parameters.items():
        shared = model.parameters[name]
        assert (shared.default, shared.support) == (parameter.default, parameter.support)
        if name != "proximity":  # there a constant, here a factor
            assert shared.meaning == parameter.meaning
    inner = {m.name for m in model.layout.modalities if m.inner}
    assert inner == {"interoception", "self_talk", "memory", "future"}


def test_reads_and_outcomes_agree_with_the_arrays() -> None:
    """Against brute force: an A that varies along a factor in a context must be read there."""
    model = load_model("attachment")
    rng = np.random.default_rng(2)
    pomdp = model.build({p.name: float(rng.uniform(*p.support)) for p in model.declared})
    layout = model.layout
    for (m, modality), context in product(enumerate(layout.modalities), range(3)):
        a = np.asarray(pomdp.A[m])
        parents = list(modality.parents)
        for f, level in zip(layout.known, layout.contexts[context], strict=True):
            if f in parents:
                a = a.take([level], axis=1 + parents.index(f))
        varies = tuple(f for i, f in enumerate(parents, 1) if np.ptp(a, axis=i).max() > 1e-12)
        occurs = tuple(np.flatnonzero(a.reshape(len(a), -1).max(axis=1) > 0).tolist())
        assert layout.reads(m, context) == varies
        assert layout.outcomes(m, context) == occurs


TWO_ACTIONS = """
format = 1
name = "two_actions"
[factors]
place = { levels = ["left", "right"] }
gaze = { levels = ["down", "up"] }
mood = { levels = ["low", "mid", "high"] }
[modalities]
sight = { levels = ["dark", "light"] }
[actions]
walk = { levels = ["left", "right"], sets = "place" }
look = { levels = ["down", "up"] }
[parameters]
drift = { default = 0.1, support = [0, 1], meaning = "" }
firm = { default = 5.0, support = [1, 9], meaning = "" }
[A.sight]
rows = [
  { when = { gaze = "down" }, then = { dark = 1 } },
  { when = { gaze = "up", mood = ["low", "mid"] }, then = { light = "drift", dark = "rest" } },
  { when = { gaze = "up", mood = "high" }, then = { light = "rest" } } ]
[B]
place.set_by = "walk"
gaze.set_by = "look"
[B.mood]
rows = [
  { when = { place = "left", look = "up" }, then = { high = "drift", low = "rest" } },
  { when = { place = "left", look = "down" }, then = { low = 1 } },
  { when = { place = "right" }, then = { mid = 1 } } ]
[D]
place = { left = "rest" }
gaze = { down = 0.5, up = 0.5 }
mood = { low = 1 }
[E]
walk = { left = 0.5, right = 0.5 }
look = { down = "drift", up = "rest" }
[counts]
"D.mood" = "firm"
"""


def test_several_actions_and_a_parent_that_only_an_axis_names(tmp_path: Path) -> None:
    path = tmp_path / "two_actions.toml"
    path.write_text(TWO_ACTIONS)
    model = load_model(path)
    layout = model.layout
    assert [f.start for f in layout.factors] == [0, None, 0]
    assert layout.known == (0,)  # the gaze is set by an action, yet starts unknown
    assert [a.name for a in layout.actions] == ["walk", "look"]
    mood = layout.factors[2]
    assert mood.parents == (0, 2)  # the factor itself, though no row names it
    assert mood.actions == (1,)
    assert len(layout.choices) == 4
    pomdp = model.build(drift=0.25, firm=3.0)
    np.testing.assert_allclose(pomdp.B[2][:, 0, :, 1], np.outer([0.75, 0, 0.25], [1, 1, 1]))
    np.testing.assert_allclose(pomdp.C[0], 0)
    np.testing.assert_allclose(pomdp.counts["D.mood"], 3.0)
    assert layout.outcomes(0, 0) == (0, 1)
    assert model.sha256 == __import__("hashlib").sha256(path.read_bytes()).hexdigest()


def random_model(seed: int) -> tuple[str, np.ndarray]:
    """A model whose only table of note splits a 3 x 2 x 2 grid into random boxes."""
    rng = np.random.default_rng(seed)
    sizes = {"f": 3, "g": 2, "h": 2}
    levels = {k: [f"{k}{i}" for i in range(n)] for k, n in sizes.items()}
    boxes = [{k: list(v) for k, v in levels.items()}]
    for _ in range(rng.integers(0, 6)):  # cut a box in two
        i = rng.integers(len(boxes))
        axis = rng.choice(list(sizes))
        if len(boxes[i][axis]) > 1:
            box = boxes.pop(i)
            cut = rng.integers(1, len(box[axis]))
            boxes += [box | {axis: box[axis][:cut]}, box | {axis: box[axis][cut:]}]
    expected = np.zeros((2, *sizes.values()))
    rows = []
    for box in boxes:
        p = float(rng.uniform())
        when = ", ".join(
            f"{k} = {v!r}" for k, v in box.items() if len(v) < sizes[k] or rng.integers(2)
        )
        rows.append(f'{{ when = {{ {when} }}, then = {{ yes = {p!r}, no = "rest" }} }}')
        at = np.ix_(*([levels[k].index(x) for x in v] for k, v in box.items()))
        expected[(0, *at)], expected[(1, *at)] = p, 1 - p
    rng.shuffle(rows)
    factors = "\n".join(f"{k} = {{ levels = {v} }}" for k, v in levels.items())
    start = "\n".join(f"{k} = {{ {k}0 = 1 }}" for k in sizes)
    keeps = "\n".join(f"{k}.keeps = 0.9" for k in sizes)
    text = (
        f'format = 1\nname = "random"\n[factors]\n{factors}\n[modalities]\no = {{ levels = '
        f'["yes", "no"] }}\n[actions]\nu = {{ levels = ["a", "b"] }}\n[A.o]\nrows = [\n'
        + ",\n".join(rows)
        + f"]\n[B]\n{keeps}\n[D]\n{start}\n[E]\nu = {{ a = 0.5, b = 0.5 }}\n"
    )
    return text, expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rows_fill_exactly_the_boxes_they_name(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text, expected = random_model(seed)
    path = tmp_path_factory.mktemp("random") / "random.toml"
    path.write_text(text)
    model = load_model(path)
    array = np.asarray(model.build().A[0])
    parents = model.layout.modalities[0].parents
    left_out = tuple(i + 1 for i in range(3) if i not in parents)
    full = np.broadcast_to(np.expand_dims(array, left_out), expected.shape)
    np.testing.assert_allclose(full, expected, atol=1e-15)


def test_reading_a_model_needs_no_jax() -> None:
    code = (
        "import sys; from attach_ai.model import load_model, show; "
        "show(load_model('attachment')); "
        "assert not {'jax', 'xarray', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

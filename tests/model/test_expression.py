"""Cells: the arithmetic they may hold, and what they refuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attach_ai.errors import InputError
from attach_ai.model.expression import Expression, parse

VALUES = {"a": 0.3, "b_2": 1.7}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 - a - b_2", 1 - 0.3 - 1.7),
        ("1 - (a - b_2)", 1 - (0.3 - 1.7)),
        ("2 / 4 / 2", 0.25),
        ("2 + 3 * 4", 14),
        ("-a * -2", 0.6),
        ("--a", 0.3),
        ("1e-3 + .5 + 2.", 2.501),
        ("1 - (1 - a) * exp(-b_2)", 1 - 0.7 * np.exp(-1.7)),
        (" exp ( ( a ) ) ", np.exp(0.3)),
    ],
)
def test_arithmetic_binds_as_usual(text: str, expected: float) -> None:
    assert parse(text).evaluate(VALUES) == pytest.approx(expected, rel=1e-14)


def test_names_are_the_parameters_alone() -> None:
    assert parse("1 - (1 - h0) * exp(-kappa) + h0").names == {"h0", "kappa"}
    assert parse("2 * 3").names == frozenset()


def test_floats_arrays_and_tracers_give_the_same() -> None:
    cell = parse("(a + 1) / exp(a * b_2) - -a")
    plain = cell.evaluate(VALUES)
    points = {name: np.array([v, 2 * v]) for name, v in VALUES.items()}
    assert cell.evaluate(points)[0] == pytest.approx(plain, rel=1e-14)
    assert jax.jit(cell.evaluate)(VALUES) == pytest.approx(plain, rel=1e-14)
    slope = jax.grad(lambda a: cell.evaluate({"a": a, "b_2": jnp.asarray(1.7)}))(0.3)
    step = 1e-6
    up, down = (cell.evaluate({"a": 0.3 + s, "b_2": 1.7}) for s in (step, -step))
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-8)


@pytest.mark.parametrize(
    ("text", "found", "position"),
    [
        ("a +", "the end", 4),
        ("a b", "'b'", 3),
        ("(a", "the end", 3),
        ("a)", "')'", 2),
        ("a ** 2", "'*'", 4),
        ("a ^ 2", "'^'", 3),
        ("exp a", "'a'", 5),
        ("1 / 0", "'0'", 5),
        ("1 / (2 - 2)", "'('", 5),
        ("a.b", "'.'", 2),
        ("__import__('os')", "'''", 12),
        ("", "the end", 1),
    ],
)
def test_what_does_not_fit_is_named_with_its_position(text: str, found: str, position: int) -> None:
    with pytest.raises(InputError, match="cannot read") as caught:
        parse(text)
    assert f"found {found} at character {position}," in str(caught.value)


def test_depth_and_length_are_bounded() -> None:
    with pytest.raises(InputError, match="at most 30 parentheses"):
        parse("(" * 100 + "1" + ")" * 100)
    with pytest.raises(InputError, match="has 602 characters"):
        parse("1+" * 300 + "11")


cells = st.recursive(
    st.sampled_from(["a", "b_2", "0.5", "3"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"-{t}"),
        inner.map(lambda t: f"({t}) / (1 + a)"),
    ),
    max_leaves=8,
)


@given(cells)
def test_what_is_printed_reads_back_as_the_same(text: str) -> None:
    cell = parse(text)
    again = parse(str(cell))
    assert again.evaluate(VALUES) == pytest.approx(cell.evaluate(VALUES), rel=1e-12, abs=1e-12)
    assert len(str(cell)) <= len(text) + 4  # no parentheses without need


def test_a_cell_without_parameters_is_a_constant() -> None:
    assert parse("2 * 3 - 6").constant == 0
    assert parse("a * 0").constant is None
    one, a = Expression("number", (1.0,)), parse("a")
    assert str((one - a) * one) == "1 - a"

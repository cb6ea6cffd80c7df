"""Arithmetic in a table cell: numbers, parameter names, `+ - * / ( )`, unary minus and `exp`.

The parser is a recursive descent over the grammar below; nothing is ever evaluated as Python.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed)*
    signed  = "-" signed | atom
    atom    = number | name | "exp" "(" sum ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from attach_ai.errors import InputError

MAX_LENGTH = 300  # characters; a longer cell wants parameters or rows of its own
MAX_DEPTH = 30  # parentheses within parentheses

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[-+*/()]))",
    re.ASCII,
)


@dataclass(frozen=True)
class Expression:
    """One cell. `op` is "number", "name", "exp", "neg", "max", "min" or one of `+ - * /`.

    "max" and "min" cannot be written in a cell: they come from the ways causes combine.
    """

    op: str
    args: tuple[Any, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """Parameters that the cell mentions."""
        if self.op == "name":
            return frozenset(self.args)
        if self.op == "number":
            return frozenset()
        return frozenset().union(*(a.names for a in self.args))

    @property
    def constant(self) -> float | None:
        """The value of a cell that no parameter enters, else None."""
        return None if self.names else float(self.evaluate({}))

    def evaluate(
        self, values: Mapping[str, Any], known: dict[Expression, Any] | None = None
    ) -> Any:
        """Value given the parameters; these may be floats, NumPy arrays or JAX tracers.

        `known` remembers what was worked out, so that cells can share their common parts.
        """
        if self.op == "number":
            return self.args[0]
        if self.op == "name":
            return values[self.args[0]]
        if known is not None and self in known:
            return known[self]
        args = [a.evaluate(values, known) for a in self.args]
        match self.op:
            case "+":
                value = args[0] + args[1]
            case "-":
                value = args[0] - args[1]
            case "*":
                value = args[0] * args[1]
            case "/":
                value = args[0] / args[1]
            case "neg":
                value = -args[0]
            case "max" | "min":
                value = _extreme(self.op, args[0], args[1])
            case _:
                value = _exp(args[0])
        if known is not None:
            known[self] = value
        return value

    def __str__(self) -> str:
        return _write(self, 0)

    def __add__(self, other: Expression) -> Expression:
        return (
            self if other.constant == 0 else other if self.constant == 0 else _new("+", self, other)
        )

    def __sub__(self, other: Expression) -> Expression:
        return self if other.constant == 0 else _new("-", self, other)

    def __mul__(self, other: Expression) -> Expression:
        if 0 in (self.constant, other.constant):
            return ZERO
        return (
            self if other.constant == 1 else other if self.constant == 1 else _new("*", self, other)
        )


def number(value: float) -> Expression:
    """A cell that is just a number."""
    return Expression("number", (float(value),))


ZERO, ONE = number(0), number(1)


def _new(op: str, left: Expression, right: Expression) -> Expression:
    """Two numbers are added up at once; anything else is kept as written."""
    made = Expression(op, (left, right))
    return made if made.names else number(made.evaluate({}))


def parse(text: str) -> Expression:
    """Read a cell.

    Raises `InputError` with the position of the first character that does not fit.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str):
        if len(text) > MAX_LENGTH:
            raise InputError(f"the expression has {len(text)} characters, at most {MAX_LENGTH} fit")
        self.text = text
        self.tokens = list(self._scan())
        self.at = 0
        self.depth = 0

    def _scan(self) -> Any:
        position, end = 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                position += len(self.text[position:]) - len(self.text[position:].lstrip())
                raise self.error("a number, a parameter or one of + - * / ( )", position)
            yield match.lastgroup, match[match.lastgroup or 0], match.start(match.lastgroup or 0)
            position = match.end()
        yield "end", "", end

    def error(self, expected: str, position: int | None = None) -> InputError:
        position = self.tokens[self.at][2] if position is None else position
        found = f"'{self.text[position]}'" if position < len(self.text.rstrip()) else "the end"
        return InputError(
            f"cannot read '{self.text}': found {found} at character {position + 1}, "
            f"expected {expected}"
        )

    def take(self, *marks: str) -> str | None:
        kind, word, _ = self.tokens[self.at]
        if kind == "mark" and word in marks:
            self.at += 1
            return word
        return None

    def whole(self) -> Expression:
        made = self.sum()
        if self.tokens[self.at][0] != "end":
            raise self.error("an operator or the end")
        return made

    def sum(self) -> Expression:
        made = self.product()
        while op := self.take("+", "-"):
            made = Expression(op, (made, self.product()))
        return made

    def product(self) -> Expression:
        made = self.signed()
        while op := self.take("*", "/"):
            position = self.tokens[self.at][2]
            right = self.signed()
            if op == "/" and not right.names and right.evaluate({}) == 0:
                raise self.error("a divisor other than zero", position)
            made = Expression(op, (made, right))
        return made

    def signed(self) -> Expression:
        if self.take("-"):
            inner = self.signed()
            return number(-inner.args[0]) if inner.op == "number" else Expression("neg", (inner,))
        return self.atom()

    def atom(self) -> Expression:
        kind, word, _ = self.tokens[self.at]
        if kind == "number":
            self.at += 1
            return number(float(word))
        if kind == "name" and word != "exp":
            self.at += 1
            return Expression("name", (word,))
        if kind == "name":
            self.at += 1
            if self.tokens[self.at][1] != "(":
                raise self.error("( after exp")
            return Expression("exp", (self.bracket(),))
        if word == "(":
            return self.bracket()
        raise self.error("a number, a parameter or (")

    def bracket(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"at most {MAX_DEPTH} parentheses within each other")
        self.take("(")
        made = self.sum()
        if not self.take(")"):
            raise self.error(")")
        self.depth -= 1
        return made


def extreme(op: str, *cells: Expression) -> Expression:
    """The largest ("max") or smallest ("min") of some cells."""
    found = cells[0]
    for c in cells[1:]:
        found = _new(op, found, c)
    return found


def _extreme(op: str, a: Any, b: Any) -> Any:
    xp: Any = np
    if not all(isinstance(x, np.ndarray | np.generic | int | float) for x in (a, b)):
        import jax.numpy as xp
    return xp.maximum(a, b) if op == "max" else xp.minimum(a, b)


def _exp(x: Any) -> Any:
    if isinstance(x, np.ndarray | np.generic):
        return np.exp(x)
    if isinstance(x, int | float):
        try:
            return math.exp(x)
        except OverflowError:
            return math.inf
    import jax.numpy as jnp

    return jnp.exp(x)


_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3}


def _write(e: Expression, outer: int) -> str:
    if e.op == "number":
        return f"{e.args[0]:.12g}" if e.args[0] >= 0 or outer < 2 else f"({e.args[0]:.12g})"
    if e.op == "name":
        return str(e.args[0])
    if e.op == "exp":
        return f"exp({_write(e.args[0], 0)})"
    if e.op in ("max", "min"):
        return f"{e.op}({_write(e.args[0], 0)}, {_write(e.args[1], 0)})"
    strength = _STRENGTH[e.op]
    if e.op == "neg":
        text = f"-{_write(e.args[0], 3)}"
    else:
        # the right side of - and / binds one step tighter: a - (b - c)
        right = strength + (e.op in "-/")
        text = f"{_write(e.args[0], strength)} {e.op} {_write(e.args[1], right)}"
    return f"({text})" if strength < outer else text

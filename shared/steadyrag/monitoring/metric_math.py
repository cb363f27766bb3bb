"""CloudWatch metric math, as far as alarms use it: reading an expression.

    or      a OR b, a || b            compare  < <= > >= == !=
    and     a AND b, a && b           sum      + -
    product * /                       unary    -
    power   ^                         the rest numbers, ids, [a, b], F(a, b), parentheses

What the functions do is in metric_functions.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from steadyrag.monitoring.metric_functions import (
    FUNCTIONS,
    WORDS,
    Array,
    BadExpression,
    Points,
    Unfilled,
    Value,
    negate,
    operate,
)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
        |(?P<name>[A-Za-z][A-Za-z0-9_]*)
        |(?P<text>"[^"]*"|'[^']*')
        |(?P<sign>&&|\|\||[<>=!]=|[-+*/^<>()\[\],])
    )""",
    re.VERBOSE,
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("OR", "||"),
    ("AND", "&&"),
    ("==", "!=", "<=", ">=", "<", ">"),
    ("+", "-"),
    ("*", "/"),
)


@dataclass(frozen=True, slots=True)
class _Given:
    """What an expression is worked out with: data points by id, all of the same periods."""

    points: Mapping[str, Points]
    metrics: Sequence[str]
    length: int
    period_s: int
    unfilled: Unfilled


def evaluate(
    expression: str,
    points: Mapping[str, Points],
    *,
    period_s: int,
    length: int,
    metrics: Sequence[str] | None = None,
    unfilled: Unfilled = "zero",
) -> Points:
    """The data points of `expression`, which is over `length` periods.

    `metrics` are the ids that METRICS() means, all by default. Raises `BadExpression` for what
    is not understood and for what ends in a single number or in several series, which no
    alarm can watch.
    """
    ids = list(points) if metrics is None else metrics
    found = _work_out(_parse(expression), _Given(points, ids, length, period_s, unfilled))
    if not isinstance(found, Points):
        kind = "several series" if isinstance(found, Array) else "a single number"
        raise BadExpression(f"{expression}: ends in {kind}, where an alarm needs one series")
    return found


def names(expression: str) -> frozenset[str]:
    """The ids that an expression uses by name. Raises `BadExpression`."""
    return frozenset(_names(_parse(expression)))


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Operation:
    sign: str
    left: _Node
    right: _Node


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


type _Node = float | _Name | _Text | _Call | _Operation


def _names(node: _Node) -> Iterator[str]:
    match node:
        case _Name(name) if name not in WORDS:
            yield name
        case _Call(_, arguments):
            for argument in arguments:
                yield from _names(argument)
        case _Operation(_, left, right):
            yield from _names(left)
            yield from _names(right)


def _work_out(node: _Node, given: _Given) -> Value:
    match node:
        case float():
            return node
        case _Name(name):
            if name not in given.points:
                raise BadExpression(f"{name}: no metric has this id")
            return given.points[name]
        case _Operation(sign, left, right):
            return operate(sign, _work_out(left, given), _work_out(right, given), given.unfilled)
        case _Call("-", (operand,)):
            return negate(_work_out(operand, given))
        case _Call("[", items):
            return Array(_series(item, given) for item in items)
        case _Call("METRICS", arguments):
            wanted = arguments[0].text if arguments and isinstance(arguments[0], _Text) else ""
            return Array(given.points[name] for name in given.metrics if wanted in name)
        case _Call("PERIOD", _):
            return float(given.period_s)
        case _Call("TIME_SERIES", (operand,)):
            return Points([_scalar(_work_out(operand, given))] * given.length)
        case _Call(name, arguments):
            return _call(name, arguments, given)
    raise BadExpression(f"{node}: text is for METRICS alone")


def _call(name: str, arguments: tuple[_Node, ...], given: _Given) -> Value:
    function = FUNCTIONS[name]
    if len(arguments) not in function.takes:
        raise BadExpression(f"{name} takes {function.takes} arguments, not {len(arguments)}")
    worked: list[Value | str] = []
    for place, argument in enumerate(arguments):
        if (name, place) == ("FILL", 1) and isinstance(argument, _Name) and argument.name in WORDS:
            worked.append(argument.name)
        else:
            worked.append(_work_out(argument, given))
    return function.apply(worked, given.unfilled, given.period_s)


def _series(item: _Node, given: _Given) -> Points:
    found = _work_out(item, given)
    if isinstance(found, Array):
        raise BadExpression("an array within an array: write one list")
    return found if isinstance(found, Points) else Points([found] * given.length)


def _scalar(value: Value) -> float:
    if isinstance(value, float):
        return value
    raise BadExpression("TIME_SERIES takes a single number")


@lru_cache(maxsize=512)
def _parse(expression: str) -> _Node:
    parser = _Parser(expression)
    found = parser.level(0)
    if parser.next is not None:
        raise BadExpression(f"{expression}: {parser.next!r} is not expected there")
    return found


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = _split(expression)
        self.next: str | None = None
        self._advance()

    def level(self, depth: int) -> _Node:
        """Operators of `_LEVELS[depth]` and all that bind tighter."""
        if depth == len(_LEVELS):
            return self._unary()
        found = self.level(depth + 1)
        while self.next in _LEVELS[depth]:
            sign = str(self._advance())
            found = _Operation(sign, found, self.level(depth + 1))
        return found

    def _unary(self) -> _Node:
        """What CloudWatch makes of -a ^ b and of a ^ b ^ c is not written down."""
        negative = self.next == "-"
        if negative:
            self._advance()
            found: _Node = _Call("-", (self._operand(),))
        else:
            found = self._operand()
        if self.next == "^":
            self._advance()
            if negative:
                raise BadExpression(f"{self._expression}: put parentheses around one of - and ^")
            found = _Operation("^", found, self._operand())
            if self.next == "^":
                raise BadExpression(f"{self._expression}: put parentheses around one of the ^")
        return found

    def _operand(self) -> _Node:
        token = self._advance()
        if token is None:
            raise BadExpression(f"{self._expression}: ends too soon")
        if token == "(":  # noqa: S105 - a sign of the expression
            inner = self.level(0)
            self._expect(")")
            return inner
        if token == "[":  # noqa: S105
            return _Call("[", self._list("]"))
        if token[0] in "\"'":
            return _Text(token[1:-1])
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if not token[0].isalpha():
            raise BadExpression(f"{self._expression}: {token!r} is not expected there")
        if self.next != "(":
            return _Name(token)
        if token not in FUNCTIONS and token not in ("METRICS", "PERIOD", "TIME_SERIES"):
            raise BadExpression(f"{self._expression}: the function {token} is not known here")
        self._advance()
        return _Call(token, self._list(")"))

    def _list(self, end: str) -> tuple[_Node, ...]:
        items: list[_Node] = []
        while self.next != end:
            items.append(self.level(0))
            if self.next != end:
                self._expect(",")
        self._advance()
        return tuple(items)

    def _expect(self, token: str) -> None:
        if self.next != token:
            raise BadExpression(f"{self._expression}: {token!r} is missing")
        self._advance()

    def _advance(self) -> str | None:
        token = self.next
        self.next = self._tokens.pop(0) if self._tokens else None
        return token


def _split(expression: str) -> list[str]:
    tokens: list[str] = []
    text = expression.strip()
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise BadExpression(f"{expression}: {text[place:]!r} is not understood")
        place = found.end()
        tokens.append(found.group().strip())
    return tokens

"""What operators and functions of metric math do, data point by data point.

A data point that is missing: CloudWatch's guide ("Using metric math") says that arithmetic between
two series takes it for 0 where the other has one. Users report that it makes the result missing.
Nor does the guide say what FILL makes of a metric without any data point in the whole range, where
there may be no series to fill. Each reading can be asked for (`Unfilled`), so that an alarm can be
shown to depend on none: one that fills what may be missing, and adds it up by SUM, says the same
under all.

    zero      missing data points count as 0 beside others, FILL fills whatever it is given
    missing   a data point that is missing makes the result missing
    empty     so it does, and FILL leaves a metric empty that has no data point at all; SUM and
              the like pass over it
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

type Unfilled = Literal["zero", "missing", "empty"]


class BadExpression(ValueError):
    """An expression that is wrong, or that is beyond what is understood here."""


class Points(list[float | None]):
    """A series: one data point a period, oldest first, None where there is none."""


class Array(list[Points]):
    """Several series."""


type Value = float | Points | Array

WORDS = frozenset({"REPEAT", "LINEAR"})
"""How FILL may go on, besides a value."""


type Apply = Callable[[Sequence[Value | str], Unfilled, int], Value]
"""From arguments, how to take missing data points, and the period in seconds."""


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` holds how many arguments are possible."""

    takes: tuple[int, ...]
    apply: Apply


def operate(sign: str, left: Value, right: Value, unfilled: Unfilled) -> Value:
    """`left sign right`: comparisons and AND, OR give 1 or 0; a division by zero and a power
    that is no number give no data point."""
    if isinstance(left, Array) and isinstance(right, Array):
        raise BadExpression(f"{sign} between two arrays is not known here")
    if isinstance(left, Array):
        return Array(_series(operate(sign, one, right, unfilled)) for one in left)
    if isinstance(right, Array):
        return Array(_series(operate(sign, left, one, unfilled)) for one in right)
    work = _OPERATORS[sign]
    if isinstance(left, float) and isinstance(right, float):
        found = work(left, right)
        if found is None:
            raise BadExpression(f"{left:g} {sign} {right:g} has no value")
        return found
    return Points(_one(work, pair, unfilled) for pair in _pairs(left, right))


def _one(
    work: Callable[[float, float], float | None],
    pair: tuple[float | None, float | None],
    unfilled: Unfilled,
) -> float | None:
    left, right = pair
    if left is None and right is None:
        return None
    if left is None or right is None:
        if unfilled != "zero":
            return None
        left, right = left or 0.0, right or 0.0
    return work(left, right)


def negate(value: Value) -> Value:
    return _each(operator.neg)([value], "missing", 0)


def _pairs(
    left: float | Points, right: float | Points
) -> Sequence[tuple[float | None, float | None]]:
    """A single number stands beside every data point that there is, and makes none."""
    if isinstance(right, float):
        return [(one, None if one is None else right) for one in _series(left)]
    if isinstance(left, float):
        return [(None if one is None else left, one) for one in right]
    return list(zip(left, right, strict=True))


def _divide(left: float, right: float) -> float | None:
    return None if right == 0 else left / right


def _power(left: float, right: float) -> float | None:
    try:
        found = left**right
    except (OverflowError, ZeroDivisionError):
        return None
    return None if isinstance(found, complex) else float(found)


def _truth(work: Callable[[float, float], bool]) -> Callable[[float, float], float | None]:
    return lambda left, right: float(work(left, right))


_AND = _truth(lambda left, right: bool(left) and bool(right))
_OR = _truth(lambda left, right: bool(left) or bool(right))
_OPERATORS: dict[str, Callable[[float, float], float | None]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "^": _power,
    "==": _truth(operator.eq),
    "!=": _truth(operator.ne),
    "<": _truth(operator.lt),
    "<=": _truth(operator.le),
    ">": _truth(operator.gt),
    ">=": _truth(operator.ge),
    "AND": _AND,
    "&&": _AND,
    "OR": _OR,
    "||": _OR,
}


def _series(value: Value | str) -> Points:
    if isinstance(value, Points):
        return value
    raise BadExpression("a series is wanted there")


def _each(work: Callable[[float], float]) -> Apply:
    """`work` on every data point."""

    def apply(arguments: Sequence[Value | str], unfilled: Unfilled, period_s: int) -> Value:
        (value,) = arguments
        if isinstance(value, Array):
            return Array(_series(apply([one], unfilled, period_s)) for one in value)
        if isinstance(value, float):
            return float(work(value))
        return Points(None if one is None else float(work(one)) for one in _series(value))

    return apply


def _over(work: Callable[[Sequence[float]], float]) -> Apply:
    """Of an array a series, period by period, over those that have a data point; of one
    series a single number. CloudWatch takes what is missing of an average for 0."""

    def apply(arguments: Sequence[Value | str], unfilled: Unfilled, period_s: int) -> Value:
        (value,) = arguments
        if not isinstance(value, Array):
            present = [one for one in _series(value) if one is not None]
            return float(work(present)) if present else 0.0
        if not value:
            raise BadExpression("an array without a series in it")
        return Points(_across(work, column, unfilled) for column in zip(*value, strict=True))

    return apply


def _across(
    work: Callable[[Sequence[float]], float], column: Sequence[float | None], unfilled: Unfilled
) -> float | None:
    present = [one for one in column if one is not None]
    if not present or (unfilled == "missing" and len(present) < len(column)):
        return None
    if work is _mean:
        return math.fsum(present) / len(column)
    return float(work(present))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _if(arguments: Sequence[Value | str], unfilled: Unfilled, period_s: int) -> Value:
    """A condition without a data point gives none; neither does a false one without a value
    for that case. A true one whose value is missing gives 0, by the guide."""
    condition, *values = arguments
    then, other = values[0], values[1] if len(values) == 2 else None
    if isinstance(condition, float):
        chosen = then if condition else other
        if isinstance(chosen, float | Points):
            return chosen
        raise BadExpression("IF: a condition that is a single number leaves nothing there")
    length = len(_series(condition))
    yes, no = _column(then, length), _column(other, length)
    absent = 0.0 if unfilled == "zero" else None
    return Points(
        None if asked is None else (no_one if not asked else absent if one is None else one)
        for asked, one, no_one in zip(_series(condition), yes, no, strict=True)
    )


def _column(value: Value | str | None, length: int) -> Sequence[float | None]:
    if value is None or isinstance(value, float):
        return [value] * length
    return _series(value)


def _fill(arguments: Sequence[Value | str], unfilled: Unfilled, period_s: int) -> Value:
    value, filling = arguments
    if isinstance(value, Array):
        return Array(_series(_fill([one, filling], unfilled, period_s)) for one in value)
    points = _series(value)
    if unfilled == "empty" and all(one is None for one in points):
        return points
    if filling == "REPEAT":
        return _repeated(points)
    if filling == "LINEAR":
        return _linear(points)
    if isinstance(filling, str | Array):
        raise BadExpression("FILL takes a number, a series, REPEAT or LINEAR")
    column = _column(filling, len(points))
    return Points(other if one is None else one for one, other in zip(points, column, strict=True))


def _repeated(points: Points) -> Points:
    """The last data point again; nothing before the first."""
    filled, last = Points(), None
    for one in points:
        last = one if one is not None else last
        filled.append(last)
    return filled


def _linear(points: Points) -> Points:
    """On the line between two data points; nothing before the first and after the last."""
    filled = Points(points)
    known = [(place, one) for place, one in enumerate(points) if one is not None]
    for (left, begin), (right, end) in itertools.pairwise(known):
        for place in range(left + 1, right):
            filled[place] = begin + (end - begin) * (place - left) / (right - left)
    return filled


def _change(per_second: bool) -> Apply:
    """From the data point before, which need not be a period ago."""

    def apply(arguments: Sequence[Value | str], unfilled: Unfilled, period_s: int) -> Value:
        (value,) = arguments
        if isinstance(value, Array):
            return Array(_series(apply([one], unfilled, period_s)) for one in value)
        found: Points = Points()
        before: tuple[int, float] | None = None
        for place, one in enumerate(_series(value)):
            if one is None or before is None:
                found.append(None)
            else:
                width = (place - before[0]) * period_s if per_second else 1
                found.append((one - before[1]) / width)
            before = before if one is None else (place, one)
        return found

    return apply


def _running_sum(arguments: Sequence[Value | str], unfilled: Unfilled, period_s: int) -> Value:
    (value,) = arguments
    if isinstance(value, Array):
        return Array(_series(_running_sum([one], unfilled, period_s)) for one in value)
    return Points(itertools.accumulate(0.0 if one is None else one for one in _series(value)))


FUNCTIONS: dict[str, Function] = {
    "ABS": Function((1,), _each(abs)),
    "CEIL": Function((1,), _each(math.ceil)),
    "FLOOR": Function((1,), _each(math.floor)),
    "AVG": Function((1,), _over(_mean)),
    "MAX": Function((1,), _over(max)),
    "MIN": Function((1,), _over(min)),
    "SUM": Function((1,), _over(math.fsum)),
    "IF": Function((2, 3), _if),
    "FILL": Function((2,), _fill),
    "DIFF": Function((1,), _change(per_second=False)),
    "RATE": Function((1,), _change(per_second=True)),
    "RUNNING_SUM": Function((1,), _running_sum),
}
"""By name. Of one series AVG, MAX, MIN and SUM give a single number over all that the alarm
retrieves, which is more than its evaluation periods: CloudWatch advises against it."""

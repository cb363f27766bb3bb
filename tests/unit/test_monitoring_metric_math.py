"""Metric math, by the examples of the CloudWatch user guide, "Using metric math", and by what
alarms write."""

import pytest

from steadyrag.monitoring.metric_functions import BadExpression, Points
from steadyrag.monitoring.metric_math import evaluate, names

__ = None


def math(expression, unfilled="zero", period_s=60, **series):
    length = len(next(iter(series.values()))) if series else 3
    points = {name: Points(values) for name, values in series.items()}
    return list(evaluate(expression, points, period_s=period_s, length=length, unfilled=unfilled))


GUIDE = {"metric1": [30, 20, 0, 0], "metric2": [20, __, 20, __]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("metric1 < metric2", [0, 0, 1, 0]),
        ("metric1 >= 30", [1, 0, 0, 0]),
        ("metric1 > 15 AND metric2 > 15", [1, 0, 0, 0]),
        ("(metric1 > 15) && (metric2 > 15)", [1, 0, 0, 0]),
        ("metric1 > 15 || metric2 > 15", [1, 1, 1, 0]),
    ],
)
def test_comparisons_are_those_of_the_user_guide(expression, expected):
    assert math(expression, **GUIDE) == expected


CHOICE = {"c": [1, 1, 0, 0, __], "yes": [30, __, 0, 0, 30], "no": [0, 0, 20, __, 20]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(c, yes, no)", [30, 0, 20, __, __]),
        ("IF(c, 5, no)", [5, 5, 20, __, __]),
        ("IF(c, yes, 5)", [30, 0, 5, 5, __]),
        ("IF(c, yes)", [30, 0, __, __, __]),
        ("IF(1, yes, no)", [30, __, 0, 0, 30]),
    ],
)
def test_choices_are_those_of_the_user_guide(expression, expected):
    assert math(expression, **CHOICE) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + 2 * b", [21, 42]),
        ("(a + 2) * b", [30, 80]),
        ("-(a ^ 2)", [-1, -4]),
        ("2 ^ a * 3", [6, 12]),
        ("a - b - 1", [-10, -19]),
        ("b / a / 2", [5, 5]),
        ("a * 1.5e1", [15, 30]),
        ("a == 1", [1, 0]),
        ("a != 1", [0, 1]),
        ("1 - (a > 1)", [1, 0]),
        ("MAX([a, b, 15])", [15, 20]),
        ("MIN([a, b])", [1, 2]),
        ("SUM(METRICS())", [11, 22]),
        ('SUM(METRICS("a"))', [1, 2]),
        ("AVG([a, b])", [5.5, 11]),
        ("SUM([a, b] * 2)", [22, 44]),
        ("SUM(100 / [a, b])", [110, 55]),
        ("a / SUM(a)", [1 / 3, 2 / 3]),
        ("ABS(a - b)", [9, 18]),
        ("CEIL(a / 2)", [1, 1]),
        ("FLOOR(a / 2)", [0, 1]),
        ("b / PERIOD(b)", [10 / 60, 20 / 60]),
        ("TIME_SERIES(7)", [7, 7]),
        ("RUNNING_SUM(b)", [10, 30]),
        ("DIFF(b)", [__, 10]),
        ("RATE(b)", [__, 10 / 60]),
    ],
)
def test_an_expression_gives(expression, expected):
    assert math(expression, a=[1, 2], b=[10, 20]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("FILL(a, 0)", [0, 1, 0, 3, 0]),
        ("FILL(a, b)", [5, 1, 7, 3, __]),
        ("FILL(a, REPEAT)", [__, 1, 1, 3, 3]),
        ("FILL(a, LINEAR)", [__, 1, 2, 3, __]),
        ("FILL(METRICS(), 0) * 1", None),
        ("DIFF(a)", [__, __, __, 2, __]),
        ("RATE(a)", [__, __, __, 2 / 120, __]),
    ],
)
def test_gaps_are_filled(expression, expected):
    series = {"a": [__, 1, __, 3, __], "b": [5, 6, 7, 8, __]}
    if expected is None:
        with pytest.raises(BadExpression, match="several series"):
            math(expression, **series)
    else:
        assert math(expression, **series) == expected


def test_a_missing_data_point_is_zero_by_the_guide_and_missing_by_experience():
    series = {"a": [1, __, 1, __], "b": [2, 2, __, __]}
    assert math("a + b", **series) == [3, 2, 1, __]
    assert math("a + b", "missing", **series) == [3, __, __, __]
    assert math("SUM([a, b])", **series) == [3, 2, 1, __]
    assert math("SUM([a, b])", "missing", **series) == [3, __, __, __]
    assert math("a + 1", **series) == [2, __, 2, __]


def test_a_metric_without_any_data_point_may_stay_empty_when_filled():
    series = {"a": [1, __, 1], "b": [__, __, __]}
    assert math("FILL(b, 0)", **series) == [0, 0, 0]
    assert math("FILL(b, 0)", "empty", **series) == [__, __, __]
    assert math("FILL(a, 0) + FILL(b, 0)", "empty", **series) == [__, __, __]


@pytest.mark.parametrize("unfilled", ["zero", "missing", "empty"])
def test_what_is_filled_and_added_up_by_sum_reads_the_same_any_way(unfilled):
    series = {"a": [1, __, 1], "b": [__, __, __]}
    assert math("SUM([FILL(a, 0), FILL(b, 0)])", unfilled, **series) == [1, 0, 1]
    assert math("MAX([FILL(a, 0), FILL(b, 0)])", unfilled, **series) == [1, 0, 1]


@pytest.mark.parametrize("unfilled", ["zero", "missing", "empty"])
def test_what_is_filled_reads_the_same_any_way(unfilled):
    series = {"errors": [1, __, __], "requests": [10, 10, __]}
    share = math("100 * FILL(errors, 0) / requests", unfilled, **series)
    assert share == [10, 0, __]


def test_a_division_by_zero_leaves_no_data_point():
    assert math("a / b", a=[1, 1], b=[0, 2]) == [__, 0.5]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("STDDEV([a, b])", "the function STDDEV is not known here"),
        ("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND is not known"),
        ("a +", "ends too soon"),
        ("-a ^ b", "parentheses"),
        ("a ^ b ^ a", "parentheses"),
        ("a b", "'b' is not expected"),
        ("(a", "'\\)' is missing"),
        ("a % b", "is not understood"),
        ("c", "no metric has this id"),
        ("SUM(a)", "a single number"),
        ("[a, b]", "several series"),
        ("IF(a)", "takes"),
        ("FILL(a, NEXT)", "no metric has this id"),
        ('a + "b"', "text is for METRICS"),
    ],
)
def test_what_is_not_understood_is_said_and_never_guessed(expression, problem):
    with pytest.raises(BadExpression, match=problem):
        math(expression, a=[1], b=[2])


def test_the_names_in_an_expression_are_known():
    assert names("IF(FILL(m1, REPEAT) > 2, m2 / e1, 0)") == {"m1", "m2", "e1"}

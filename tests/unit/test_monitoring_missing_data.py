"""What an alarm makes of missing data, by the tables of the CloudWatch user guide,
"Configuring how CloudWatch alarms treat missing data". Five data points are looked at for three
that are wanted: 0 is fine, X breaches, - is missing; the newest is on the right."""

from typing import get_args

import pytest

from steadyrag.monitoring.missing_data import EXTRA, Missing, Point, State, judge

KEPT = "kept"
STATES: tuple[State, ...] = get_args(State.__value__)
WAYS: tuple[Missing, ...] = ("missing", "ignore", "breaching", "notBreaching")


def judged(points: str, missing: Missing, current: State, *, m: int, n: int = 3) -> State:
    return judge(
        [Point(point) for point in points.split()],
        evaluation_periods=n,
        datapoints_to_alarm=m,
        missing=missing,
        current=current,
    )


THREE_OF_THREE = {
    "0 - X - X": ("OK", "OK", "OK", "OK"),
    "0 - - - -": ("OK", "OK", "OK", "OK"),
    "- - - - -": ("INSUFFICIENT_DATA", KEPT, "ALARM", "OK"),
    "0 X X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "- - X - -": ("ALARM", KEPT, "ALARM", "OK"),
}
TWO_OF_THREE = {
    "0 - X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 0 X 0 X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 - X - -": ("OK", "OK", "ALARM", "OK"),
    "- - - - 0": ("OK", "OK", "ALARM", "OK"),
    "- - - X -": ("ALARM", KEPT, "ALARM", "OK"),
}


@pytest.mark.parametrize("current", STATES)
@pytest.mark.parametrize(
    ("m", "points", "expected"),
    [(m, *row) for m, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE)) for row in table.items()],
)
def test_the_tables_of_the_user_guide_hold(m, points, expected, current):
    told = tuple(judged(points, missing, current, m=m) for missing in WAYS)
    assert told == tuple(current if state == KEPT else state for state in expected)


@pytest.mark.parametrize("points", ["- - - - X", "- - - X -"])
def test_a_breach_that_has_just_come_does_not_fire_before_its_time(points):
    assert judged(points, "missing", "OK", m=3) != "ALARM"


@pytest.mark.parametrize("points", ["- - X - -", "- X - X -", "- - X - X", "X - - - -"])
def test_a_breach_with_nothing_better_since_fires_in_the_end(points):
    assert judged(points, "missing", "OK", m=3) == "ALARM"


@pytest.mark.parametrize("points", ["0 - X - -", "- - X 0 -"])
def test_one_good_data_point_in_sight_keeps_a_lone_breach_from_firing(points):
    assert judged(points, "missing", "ALARM", m=3) == "OK"


def test_a_lone_breach_with_too_few_periods_tells_nothing():
    assert judged("- - - - X", "missing", "OK", m=3) == "INSUFFICIENT_DATA"
    assert judged("- - - - X", "ignore", "OK", m=3) == "OK"


@pytest.mark.parametrize(("m", "expected"), [(1, "ALARM"), (2, "ALARM"), (3, "OK")])
def test_m_of_n_counts_the_newest_n(m, expected):
    assert judged("X X X 0 X", "missing", "OK", m=m) == expected


def test_older_breaches_do_not_count_where_nothing_is_missing():
    assert judged("X X 0 0 0", "breaching", "ALARM", m=1) == "OK"


def test_silence_takes_five_minutes_to_fire_three_of_five():
    """Real data points count for as long as the range, which is longer, still shows them."""
    states = [
        judged(" ".join((["0"] * 7 + ["-"] * silent)[-7:]), "breaching", "OK", m=3, n=5)
        for silent in range(1, 7)
    ]
    assert EXTRA == 2
    assert states == ["OK", "OK", "OK", "OK", "ALARM", "ALARM"]

"""What an alarm makes of its data points, missing ones among them.

This follows "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide,
whose two tables are the tests of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Literal

type State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
type Missing = Literal["breaching", "notBreaching", "ignore", "missing"]

EXTRA = 2
"""How many more data points than its evaluation periods an alarm looks at. The guide says that
the number depends on the period, and shows 5 for 3; it gives no other."""


class Point(Enum):
    FINE = "0"
    BREACHING = "X"
    MISSING = "-"


def judge(
    points: Sequence[Point],
    *,
    evaluation_periods: int,
    datapoints_to_alarm: int,
    missing: Missing,
    current: State,
) -> State:
    """The state after `points`, the evaluation range from oldest to newest.

    Real data points count first, from as far back as the range goes; only as many as are
    still wanted for `evaluation_periods` are filled in.
    """
    real = [point for point in points if point is not Point.MISSING][-evaluation_periods:]
    breaching = real.count(Point.BREACHING)
    wanted = evaluation_periods - len(real)
    if wanted and missing == "breaching":
        breaching += wanted
    if breaching >= datapoints_to_alarm:
        return "ALARM"
    if not wanted or missing in ("breaching", "notBreaching") or Point.FINE in real:
        return "OK"
    # Nothing but breaching points, and too few of them, or no point at all.
    if missing == "ignore":
        return current
    return "ALARM" if _old_enough(points, datapoints_to_alarm) else "INSUFFICIENT_DATA"


def _old_enough(points: Sequence[Point], datapoints_to_alarm: int) -> bool:
    """Whether a point has been breaching, with nothing better since, for as many periods as
    it takes to alarm. One that has just come might be followed by a better one."""
    if Point.BREACHING not in points:
        return False
    return len(points) - points.index(Point.BREACHING) >= datapoints_to_alarm

"""Why an alarm is in its state, in the words in which CloudWatch tells those who are paged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from steadyrag.monitoring.definitions import COMPARISONS, CompositeAlarm, MetricAlarm
from steadyrag.monitoring.metric_functions import Points
from steadyrag.monitoring.missing_data import State


def metric_reason(alarm: MetricAlarm, points: Points, new: State, at: float) -> str:
    """`points` are those of the evaluation range, which ends at `at`."""
    begins = [at - place * alarm.period_s for place in range(len(points), 0, -1)]
    real = [
        (value, begin) for value, begin in zip(points, begins, strict=True) if value is not None
    ]
    seen = real[-alarm.evaluation_periods :]
    absent = alarm.evaluation_periods - len(seen)
    if new == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {_counted(absent)} unknown."
    holds, words = COMPARISONS[alarm.comparison]
    crossing = [(value, begin) for value, begin in seen if holds(value, alarm.threshold)]
    shown = crossing if new == "ALARM" else [one for one in seen if one not in crossing]
    treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(alarm.missing)
    if not shown:
        return (
            f"Threshold Crossed: no datapoints were received for {absent} periods and "
            f"{_counted(absent)} treated as [{treated or alarm.missing}]."
        )
    listed = ", ".join(
        f"{value} ({datetime.fromtimestamp(begin, UTC):%d/%m/%y %H:%M:%S})"
        for value, begin in reversed(shown)
    )
    of_last = f"{len(shown)} out of the last {alarm.evaluation_periods} datapoints"
    verb = ("was " if len(shown) == 1 else "were ") + ("" if new == "ALARM" else "not ")
    least = alarm.datapoints_to_alarm
    if new == "OK":
        least = alarm.evaluation_periods - alarm.datapoints_to_alarm + 1
    return (
        f"Threshold Crossed: {of_last} [{listed}] {verb}{words} the threshold "
        f"({alarm.threshold}) (minimum {least} {'datapoint' if least == 1 else 'datapoints'} "
        f"for {'OK -> ALARM' if new == 'ALARM' else 'ALARM -> OK'} transition)."
    )


def composite_reason(alarm: CompositeAlarm, states: Mapping[str, State]) -> str:
    told = ", ".join(f"{name} is {state}" for name, state in states.items())
    return f"{alarm.rule}: {told}."


def _counted(datapoints: int) -> str:
    return "1 datapoint was" if datapoints == 1 else f"{datapoints} datapoints were"

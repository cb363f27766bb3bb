"""Alarms, and watching them: what CloudWatch would say of a `Series` at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steadyrag.monitoring.definitions import (
    COMPARISONS,
    Alarm,
    CompositeAlarm,
    Metric,
    MetricAlarm,
)
from steadyrag.monitoring.metric_functions import Points, Unfilled
from steadyrag.monitoring.metric_math import evaluate as evaluate_math
from steadyrag.monitoring.missing_data import EXTRA, Point, State, judge
from steadyrag.monitoring.reasons import composite_reason, metric_reason
from steadyrag.monitoring.rule import parse_rule
from steadyrag.monitoring.series import Series

__all__ = [
    "Alarm",
    "CompositeAlarm",
    "Metric",
    "MetricAlarm",
    "State",
    "Transition",
    "Watch",
]

EVALUATED_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state at `at`, epoch seconds; `reason` as for a person who reads the page."""

    at: float
    name: str
    old: State
    new: State
    reason: str


class Watch:
    """Alarms over a series. An alarm begins without a state of its own, INSUFFICIENT_DATA.

    `unfilled` is how metric math takes a data point that is missing. `delay_s` is how long a
    sample is on its way, to the minute: it is not seen before.
    """

    def __init__(
        self,
        alarms: Sequence[Alarm],
        series: Series,
        *,
        unfilled: Unfilled = "zero",
        delay_s: float = 0,
    ) -> None:
        self._series = series
        self._unfilled = unfilled
        self._delay_s = delay_s
        self._alarms = _in_order(alarms)
        self._states: dict[str, State] = {
            alarm.full_name: "INSUFFICIENT_DATA" for alarm in self._alarms
        }
        self.transitions: list[Transition] = []

    def evaluate(self, now: float) -> dict[str, State]:
        """The state of each alarm, by name, at `now`: of what is known of the periods that
        are over. CloudWatch does this every minute, whatever the alarm's period."""
        at = now // EVALUATED_EVERY_S * EVALUATED_EVERY_S
        for alarm in self._alarms:
            old = self._states[alarm.full_name]
            new, reason = self._judged(alarm, at, old)
            if new != old:
                self._states[alarm.full_name] = new
                self.transitions.append(Transition(at, alarm.name, old, new, reason(new)))
        return {alarm.name: self._states[alarm.full_name] for alarm in self._alarms}

    def data_points(self, alarm: MetricAlarm, now: float) -> Points:
        """What the alarm compares with its threshold: its evaluation range up to `now`."""
        length = alarm.evaluation_periods + EXTRA
        end = now // EVALUATED_EVERY_S * EVALUATED_EVERY_S
        start = end - length * alarm.period_s
        found = {
            metric.id: Points(
                self._series.values(
                    metric.namespace or "",
                    metric.name or "",
                    metric.dimensions,
                    metric.stat or "",
                    metric.period_s,
                    start,
                    end,
                    seen_until=end - self._delay_s,
                )
            )
            for metric in alarm.metrics
            if metric.expression is None
        }
        measured = list(found)
        for metric in alarm.in_order:
            if metric.expression is not None:
                found[metric.id] = evaluate_math(
                    metric.expression,
                    found,
                    period_s=alarm.period_s,
                    length=length,
                    metrics=measured,
                    unfilled=self._unfilled,
                )
        return found[alarm.compared.id]

    def _judged(self, alarm: Alarm, at: float, old: State) -> tuple[State, Callable[[State], str]]:
        if isinstance(alarm, CompositeAlarm):
            rule, names = parse_rule(alarm.rule)
            states = {name: self._states[name] for name in sorted(names)}
            return "ALARM" if rule(states) else "OK", lambda _: composite_reason(alarm, states)
        points = self.data_points(alarm, at)
        if self._too_few(alarm, at):
            return old, lambda _: ""
        breaches = COMPARISONS[alarm.comparison][0]
        new = judge(
            [
                Point.MISSING
                if value is None
                else Point.BREACHING
                if breaches(value, alarm.threshold)
                else Point.FINE
                for value in points
            ],
            evaluation_periods=alarm.evaluation_periods,
            datapoints_to_alarm=alarm.datapoints_to_alarm,
            missing=alarm.treats_missing_as,
            current=old,
        )
        return new, lambda state: metric_reason(alarm, points, state, at)

    def _too_few(self, alarm: MetricAlarm, at: float) -> bool:
        """Whether a percentile is of too few samples to be looked at, by the guide's measure."""
        metric = alarm.compared
        if alarm.low_samples == "evaluate" or not (metric.stat or "").startswith("p"):
            return False
        share = float(str(metric.stat)[1:]) / 100
        enough = round(10 / max(1e-9, 1 - share if share >= 0.5 else share), 6)
        width = alarm.evaluation_periods * alarm.period_s
        (samples,) = self._series.values(
            metric.namespace or "",
            metric.name or "",
            metric.dimensions,
            "SampleCount",
            width,
            at - width,
            at,
            seen_until=at - self._delay_s,
        )
        return (samples or 0) < enough


def _in_order(alarms: Sequence[Alarm]) -> list[Alarm]:
    """Alarms with the composite ones after those they ask; raises `ValueError` where one asks
    for an alarm that is not there, or they ask each other."""
    ordered: list[Alarm] = [alarm for alarm in alarms if isinstance(alarm, MetricAlarm)]
    waiting = [alarm for alarm in alarms if isinstance(alarm, CompositeAlarm)]
    while waiting:
        known = {alarm.full_name for alarm in ordered}
        ready = [alarm for alarm in waiting if alarm.asks <= known]
        if not ready:
            unknown = {alarm.full_name: sorted(alarm.asks - known) for alarm in waiting}
            raise ValueError(f"composite alarms ask for alarms that are not there: {unknown}")
        ordered += ready
        waiting = [alarm for alarm in waiting if alarm not in ready]
    return ordered

"""What an alarm is: what it looks at, and when it fires."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from steadyrag.monitoring.metric_math import names
from steadyrag.monitoring.missing_data import Missing
from steadyrag.monitoring.rule import parse_rule
from steadyrag.monitoring.series import check_statistic

MOST_S = 24 * 3600

type Comparison = Literal[
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
]
COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of an alarm, or with `expression` what is worked out of the others. `returns`
    marks the one that is compared."""

    id: str
    namespace: str | None = None
    name: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    stat: str | None = None
    period_s: int = 60
    expression: str | None = None
    returns: bool = True


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """An alarm on metrics. `name` is without the stack's; `actions` are who is told when it
    fires, topics by ARN or what stands for one. `low_samples` is what happens to a percentile
    of few samples: it is compared all the same, or the state stays."""

    name: str
    full_name: str
    description: str
    metrics: Sequence[Metric]
    period_s: int
    evaluation_periods: int
    datapoints_to_alarm: int
    threshold: float
    comparison: Comparison
    missing: Missing = "missing"
    actions: Sequence[str] = ()
    low_samples: Literal["evaluate", "ignore"] = "evaluate"
    in_order: Sequence[Metric] = field(init=False, repr=False)
    """The metrics, each expression after those it names."""

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise ValueError(f"{self.full_name}: {self.comparison} is not known here")
        if self.missing not in get_args(Missing.__value__):
            raise ValueError(f"{self.full_name}: missing data can't be treated as {self.missing}")
        if not 1 <= self.datapoints_to_alarm <= self.evaluation_periods:
            raise ValueError(
                f"{self.full_name}: {self.datapoints_to_alarm} of {self.evaluation_periods}"
            )
        if self.evaluation_periods * self.period_s > MOST_S:
            raise ValueError(f"{self.full_name}: alarms over more than a day are not known here")
        if sum(metric.returns for metric in self.metrics) != 1:
            raise ValueError(f"{self.full_name}: exactly one of its metrics is compared")
        for metric in self.metrics:
            if metric.expression is None:
                check_statistic(metric.stat or "none")
        object.__setattr__(self, "in_order", _in_order(self.metrics))

    @property
    def compared(self) -> Metric:
        return next(metric for metric in self.metrics if metric.returns)

    @property
    def treats_missing_as(self) -> Missing:
        """`missing`, save that CloudWatch ignores what is missing of DynamoDB's own metrics,
        whatever the alarm says."""
        of_dynamodb = any(metric.namespace == "AWS/DynamoDB" for metric in self.metrics)
        return "ignore" if of_dynamodb else self.missing


@dataclass(frozen=True, slots=True)
class CompositeAlarm:
    """An alarm on other alarms' states, which `rule` names by their full names."""

    name: str
    full_name: str
    description: str
    rule: str
    actions: Sequence[str] = ()

    @property
    def asks(self) -> frozenset[str]:
        return parse_rule(self.rule)[1]


type Alarm = MetricAlarm | CompositeAlarm


def _in_order(metrics: Sequence[Metric]) -> Sequence[Metric]:
    """Raises `ValueError` where expressions name each other, or something that is not there."""
    ordered = [metric for metric in metrics if metric.expression is None]
    waiting = [metric for metric in metrics if metric.expression is not None]
    while waiting:
        known = {metric.id for metric in ordered}
        ready = [metric for metric in waiting if names(metric.expression or "") <= known]
        if not ready:
            raise ValueError(
                f"no metric is called {[names(m.expression or '') - known for m in waiting]}"
            )
        ordered += ready
        waiting = [metric for metric in waiting if metric not in ready]
    return ordered

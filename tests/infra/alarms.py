"""The stack's alarms as CloudFormation makes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from infra.cloudformation import shown
from infra.stack import template

KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")

PAGES = {
    *("sources-slow", "answers-slow", "errors", "throttled", "not-ready", "vendor-refuses"),
    "down",
}
TICKETS = {
    *("degraded", "circuit-open", "cache-cold", "relevance-low", "golden-lost"),
    *("embedding-calls", "cost-forecast", "functions-failing", "report-missing"),
    *("rate-limit-fallback", "live-config-unusable"),
    *("ingest-lag", "ingest-behind", "ingest-dead", "ingest-errors"),
}
RELEASES = {"release-errors", "release-throttles", "release-slow"}
"""All there are, by who is told: on-call, the team in the morning, CodeDeploy."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric that an alarm looks at. `id` is empty where there is no other."""

    id: str
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    stat: str
    period_s: int
    unit: str | None


@cache
def alarms(**parameters: str) -> dict[str, dict[str, Any]]:
    """Properties of all of them, those of nested stacks too, by name without the stack's."""
    return {
        alarm["AlarmName"].removeprefix("stack-"): alarm
        for _, part in template(**parameters).every()
        for kind in KINDS
        for _, alarm in part.of_type(kind)
    }


def metric_alarms() -> dict[str, dict[str, Any]]:
    return {name: alarm for name, alarm in alarms().items() if "AlarmRule" not in alarm}


def measured(alarm: Mapping[str, Any]) -> Iterator[Measured]:
    """What it looks at, expressions aside."""
    if "Metrics" not in alarm:
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        yield _measured("", {**alarm, "Metric": alarm, "Stat": stat})
    for one in alarm.get("Metrics", []):
        if "MetricStat" in one:
            yield _measured(one["Id"], one["MetricStat"])


def _measured(id: str, said: Mapping[str, Any]) -> Measured:
    metric = said["Metric"]
    return Measured(
        id,
        metric["Namespace"],
        metric["MetricName"],
        {one["Name"]: shown(one["Value"]) for one in metric["Dimensions"]},
        said["Stat"],
        said["Period"],
        said.get("Unit"),
    )


def expressions(alarm: Mapping[str, Any]) -> dict[str, str]:
    """By id, how what it looks at is worked out."""
    listed = alarm.get("Metrics", [])
    return {one["Id"]: one["Expression"] for one in listed if "Expression" in one}

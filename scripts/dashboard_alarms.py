"""The stack's alarms as its dashboard and its page show them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from dashboard_graphs import ALARM_COLOUR, GOAL_COLOUR, Line, Mark

from infra.runbooks import Alarm
from infra.stack import template
from steadyrag.goals import GOALS

KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
STACK = "AWS::CloudFormation::Stack"
DASHBOARD = "Dashboard"
"""The nested stack that is written from this, and so is not asked."""


@cache
def alarms() -> Mapping[str, Alarm]:
    """By name, those that page first."""
    root = template()
    found: list[Alarm] = []
    for stack, _ in root.of_type(STACK):
        if stack == DASHBOARD:
            continue
        part = root.nested(stack)
        for _, resource in part.resources():
            if resource["Type"] in KINDS:
                raw = resource["Properties"]
                name = part.resolve(raw["AlarmName"]).removeprefix("stack-")
                found.append(Alarm(name, part, stack, raw))
    order = ("page", "ticket", "CodeDeploy")
    return {alarm.name: alarm for alarm in sorted(found, key=lambda one: order.index(one.topic))}


def of_topic(topic: str) -> list[str]:
    return [alarm.name for alarm in alarms().values() if alarm.topic == topic]


def side_of(alarm: Alarm) -> Literal["above", "below"]:
    """On which side of its threshold it fires."""
    return "above" if alarm.raw["ComparisonOperator"].startswith("Greater") else "below"


def goal(name: str) -> float | None:
    """What is promised of what the alarm watches, in the alarm's unit."""
    for one in GOALS:
        if one.alarm_name == name and one.goal is not None:
            return one.goal * 100 if one.unit == "share" else one.goal
    return None


def marks(*names: str) -> list[Mark]:
    """Lines where these alarms fire, at what the deployer chose, and of their goals."""
    drawn: list[Mark] = []
    for name in names:
        alarm = alarms()[name]
        if alarm.threshold is None:
            raise LookupError(f"{name} fires at no chosen value: there is no line to draw")
        parameter, _ = alarm.threshold
        drawn.append(Mark(name, f"${{{parameter}}}", ALARM_COLOUR, side_of(alarm)))
        if (promised := goal(name)) is not None:
            drawn.append(Mark("goal", promised, GOAL_COLOUR))
    return drawn


def inputs(name: str) -> Iterator[Line]:
    """Hidden lines of all that an alarm on metric math works out, but for its last step: whoever
    draws it counts what the alarm counts."""
    for one in alarms()[name].raw["Metrics"]:
        if one.get("ReturnData", True):
            continue
        if "Expression" in one:
            yield Line(expression=one["Expression"], id=one["Id"], hidden=True)
            continue
        stat = one["MetricStat"]
        metric = stat["Metric"]
        yield Line(
            namespace=metric["Namespace"],
            name=metric["MetricName"],
            dimensions=_dimensions(metric["Dimensions"]),
            stat=stat["Stat"],
            id=one["Id"],
            hidden=True,
        )


def _dimensions(said: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    return {one["Name"]: _substituted(one["Value"]) for one in said}


def _substituted(value: Any) -> str:
    """A reference as `Fn::Sub` writes it; the dashboard calls its parameters what the alarms'
    templates call theirs."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::Sub": str(text)}:
            return text
    return str(value)

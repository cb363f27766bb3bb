"""The alarms of a CloudFormation template, as a stack of it would have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from steadyrag.monitoring.cloudformation import Template, UnreadableTemplate, read
from steadyrag.monitoring.definitions import Alarm, CompositeAlarm, Metric, MetricAlarm

_UNDERSTOOD = {
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "AlarmName",
    "AlarmRule",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluateLowSampleCountPercentile",
    "EvaluationPeriods",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Tags",
    "Threshold",
    "TreatMissingData",
    "Unit",
}
"""Properties that are read, or that change nothing about when an alarm fires. `Unit` is one:
no metric here has samples in two units."""


def read_alarms(path: Path | str, **parameters: Any) -> list[Alarm]:
    """Every alarm in the template at `path` and in the stacks it nests, from the source or from
    what `sam build` made of it.

    `parameters` are the template's; `Prefix` is the stack's name, `steadyrag` by default.
    Raises `UnreadableTemplate`, also for an alarm that uses what can't be evaluated here.
    """
    stack = str(parameters.get("Prefix", "steadyrag"))
    root = Path(path)
    given = {name: value for name, value in parameters.items() if name != "Prefix"}
    if "Prefix" in read(root).get("Parameters", {}):
        given["Prefix"] = stack
    found: list[Alarm] = []
    for template in Template(root, given, stack=stack).every():
        for kind, made in _KINDS.items():
            for logical_id, properties in template.of_type(kind):
                try:
                    found.append(made(stack, logical_id, properties))
                except (KeyError, TypeError, ValueError) as error:
                    raise UnreadableTemplate(f"{template.path}, {logical_id}: {error}") from None
    return found


def _metric_alarm(stack: str, logical_id: str, said: Mapping[str, Any]) -> MetricAlarm:
    if unknown := said.keys() - _UNDERSTOOD:
        raise ValueError(f"{', '.join(sorted(unknown))} can't be evaluated here")
    metrics = list(_metrics(said))
    periods = {metric.period_s for metric in metrics if metric.expression is None}
    if len(periods) != 1:
        raise ValueError(f"its metrics have the periods {sorted(periods)}: one is needed")
    full_name = str(said.get("AlarmName", logical_id))
    evaluation_periods = int(said["EvaluationPeriods"])
    return MetricAlarm(
        name=full_name.removeprefix(f"{stack}-"),
        full_name=full_name,
        description=str(said.get("AlarmDescription", "")),
        metrics=metrics,
        period_s=periods.pop(),
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=int(said.get("DatapointsToAlarm", evaluation_periods)),
        threshold=float(said["Threshold"]),
        comparison=said["ComparisonOperator"],
        missing=said.get("TreatMissingData", "missing"),
        actions=tuple(map(str, said.get("AlarmActions", ()))),
        low_samples=said.get("EvaluateLowSampleCountPercentile", "evaluate"),
    )


def _metrics(said: Mapping[str, Any]) -> Iterator[Metric]:
    if "Metrics" not in said:
        statistic = said.get("Statistic") or said["ExtendedStatistic"]
        yield Metric(
            id="m1",
            namespace=said["Namespace"],
            name=said["MetricName"],
            dimensions=_dimensions(said),
            stat=statistic,
            period_s=int(said["Period"]),
        )
        return
    period_s = next(
        (int(m["MetricStat"]["Period"]) for m in said["Metrics"] if "MetricStat" in m), 60
    )
    for one in said["Metrics"]:
        returns = str(one.get("ReturnData", "true")).lower() == "true"
        if "Expression" in one:
            said_as = str(one["Expression"])
            yield Metric(one["Id"], period_s=period_s, expression=said_as, returns=returns)
            continue
        stat = one["MetricStat"]
        yield Metric(
            id=one["Id"],
            namespace=stat["Metric"]["Namespace"],
            name=stat["Metric"]["MetricName"],
            dimensions=_dimensions(stat["Metric"]),
            stat=stat["Stat"],
            period_s=int(stat["Period"]),
            returns=returns,
        )


def _dimensions(said: Mapping[str, Any]) -> Mapping[str, str]:
    return {one["Name"]: str(one["Value"]) for one in said.get("Dimensions", ())}


def _composite_alarm(stack: str, logical_id: str, said: Mapping[str, Any]) -> CompositeAlarm:
    full_name = str(said.get("AlarmName", logical_id))
    if any(name.startswith("ActionsSuppressor") for name in said):
        raise ValueError("a suppressor can't be evaluated here")
    alarm = CompositeAlarm(
        name=full_name.removeprefix(f"{stack}-"),
        full_name=full_name,
        description=str(said.get("AlarmDescription", "")),
        rule=str(said["AlarmRule"]),
        actions=tuple(map(str, said.get("AlarmActions", ()))),
    )
    _ = alarm.asks  # a rule that can't be read is told now
    return alarm


_KINDS: Mapping[str, Callable[[str, str, Mapping[str, Any]], Alarm]] = {
    "AWS::CloudWatch::Alarm": _metric_alarm,
    "AWS::CloudWatch::CompositeAlarm": _composite_alarm,
}

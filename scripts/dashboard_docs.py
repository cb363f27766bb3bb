"""The tables of docs/observability.md: every metric, every alarm, and what the metrics cost."""

import math
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboard_alarms import alarms, goal

from infra.cloudformation import ROOT
from infra.runbooks import Alarm
from steadyrag.telemetry.catalogue import CATALOGUE, DIMENSIONS, Metric

PAGE = ROOT / "docs" / "observability.md"

METRIC_USD = 0.30
"""A custom metric for a month, the first 10,000 of an account: CloudWatch's list price in
us-east-1, November 2026."""

SIGNS = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}


def page() -> str:
    """The page with its tables as they have to be; the rest as it is."""
    said = PAGE.read_text(encoding="utf-8")
    tables = {
        "metrics": metrics_table(),
        "count": textwrap.wrap(cost(), 99),
        "alarms": alarms_table(),
    }
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if (said.count(begin), said.count(end)) != (1, 1):
            sys.exit(f"{PAGE}: there must be one {begin.strip()} and one {end}")
        before, _, rest = said.partition(begin)
        after = rest.partition(end)[2]
        said = before + begin + "".join(f"{line}\n" for line in lines) + end + after
    return said


def metrics_table() -> list[str]:
    rows = []
    for metric in CATALOGUE:
        by = " ".join(f"`{name}`" for name in metric.dimensions)
        unit = "" if metric.unit == "None" else metric.unit
        rows.append((f"`{metric.name}`", unit, by, metric.meaning))
    return _table(("metric", "unit", "by", "what it is"), rows)


def cost() -> str:
    without = sum(not metric.dimensions for metric in CATALOGUE)
    most = sum(map(combinations, CATALOGUE))
    dollars = METRIC_USD * most
    return (
        f"The catalogue's {len(CATALOGUE)} metrics, {without} of them without a dimension, are at "
        f"most {most} custom metrics, one model of each kind assumed: about ${dollars:.0f} a month "
        f"at ${METRIC_USD:.2f}. CloudWatch bills the hours in which one is written, and most are "
        "written on bad days alone."
    )


def combinations(metric: Metric) -> int:
    """Custom metrics that CloudWatch makes of it."""
    return math.prod(1 if name == "model" else len(DIMENSIONS[name]) for name in metric.dimensions)


def alarms_table() -> list[str]:
    rows = []
    for alarm in alarms().values():
        link = f"[{alarm.name}](../infra/runbooks/{alarm.name}.md)"
        promised = goal(alarm.name)
        shown = "" if promised is None else f"{promised:g}"
        rows.append((link, alarm.topic, shown, *_fires(alarm)))
    return _table(("alarm", "tells", "goal", "watches", "fires at", "in", "silence"), rows)


def _fires(alarm: Alarm) -> tuple[str, str, str, str]:
    raw = alarm.raw
    if "AlarmRule" in raw:
        return _rule(alarm), "both", "", ""
    watched, unit = _watched(raw)
    parameter, value = alarm.threshold or ("", str(raw["Threshold"]))
    chosen = f" (`{parameter}`)" if parameter else ""
    return (
        watched,
        f"{SIGNS[raw['ComparisonOperator']]} {value} {unit}{chosen}",
        f"{raw['DatapointsToAlarm']} of {raw['EvaluationPeriods']} × {_period_s(raw) // 60} min",
        {"breaching": "fires", "notBreaching": "is fine"}[raw["TreatMissingData"]],
    )


def _watched(raw: Mapping[str, Any]) -> tuple[str, str]:
    """What it looks at, and the unit of what is compared where there is one."""
    if "Metrics" not in raw:
        return f"`{raw['MetricName']}`, {raw.get('Statistic') or raw['ExtendedStatistic']}", ""
    (label,) = (one["Label"] for one in raw["Metrics"] if one.get("ReturnData", True))
    stats = [one["MetricStat"]["Metric"] for one in raw["Metrics"] if "MetricStat" in one]
    names = dict.fromkeys(f"`{metric['MetricName']}`" for metric in stats)
    return ", ".join(names), label


def _period_s(raw: Mapping[str, Any]) -> int:
    if "Period" in raw:
        return int(raw["Period"])
    return int(next(o["MetricStat"]["Period"] for o in raw["Metrics"] if "MetricStat" in o))


def _rule(alarm: Alarm) -> str:
    """The alarms that a composite one asks."""
    resources = alarm.part.raw["Resources"]
    text = alarm.raw["AlarmRule"]["Fn::Sub"]
    names = [
        alarm.part.resolve(resources[found]["Properties"]["AlarmName"]).removeprefix("stack-")
        for found in re.findall(r"\$\{(\w+)\}", text)
    ]
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return list(_lines(head, rows))


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield re.sub(r"  +", " ", f"| {' | '.join(row)} |")

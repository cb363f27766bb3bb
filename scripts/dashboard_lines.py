"""The lines of the dashboard's graphs. One is called what its metric is called, or the value that
tells it apart, so that a runbook can name it."""

from collections.abc import Iterator, Mapping
from typing import get_args

from dashboard_graphs import Line

from infra.stack import FUNCTION, template
from steadyrag.domain.models import Mode
from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import DIMENSIONS, NAMESPACE, Metric

FUNCTIONS = [name.removesuffix("Function") for name, _ in template().of_type(FUNCTION)]

NONE: Mapping[str, str] = {}
RUNGS: Mapping[str, str] = {
    "full": "#2da44e",
    "partial": "#a5c85a",
    "keyword_only": "#e3b341",
    "cached": "#8b7bd8",
    "canned": "#e07b00",
}
RED, GREY = "#d1434b", "#8c959f"


def ours(
    metric: Metric,
    stat: str = "Sum",
    label: str = "",
    *,
    of: Mapping[str, str] = NONE,
    id: str = "",
    period_s: int | None = None,
    colour: str = "",
) -> Line:
    """One of the catalogue's metrics; hidden if it has an id, for then others are made of it."""
    return Line(
        label or metric.name,
        NAMESPACE,
        metric.name,
        {**of, "service": "${Prefix}"},
        stat,
        id=id,
        hidden=bool(id),
        period_s=period_s,
        colour=colour,
    )


def by(metric: Metric, before: str = "") -> list[Line]:
    """One line for each value of a metric's only dimension."""
    (dimension,) = metric.dimensions
    return [
        ours(metric, label=f"{before}{value}", of={dimension: value})
        for value in sorted(DIMENSIONS[dimension])
    ]


def total(metric: Metric) -> Iterator[Line]:
    """The sum over all values of a metric's only dimension."""
    (dimension,) = metric.dimensions
    ids = []
    for value in sorted(DIMENSIONS[dimension]):
        ids.append(f"{metric.name[0].lower()}{metric.name[1:]}_{value}")
        yield ours(metric, of={dimension: value}, id=ids[-1])
    filled = ", ".join(f"FILL({one}, 0)" for one in ids)
    yield Line(metric.name, expression=f"SUM([{filled}])")


def by_model(metric: Metric, period_s: int) -> Line:
    """One line for each model that is in use; its name follows the metric's."""
    found = f'{{{NAMESPACE},model,service}} MetricName="{metric.name}" service="${{Prefix}}"'
    return Line(metric.name, expression=f"SEARCH('{found}', 'Sum', {period_s})")


def percent(metric: Metric) -> list[Line]:
    """Of a metric that is 0 or 1 each time."""
    return [
        ours(metric, "Average", id="share"),
        Line(metric.name, expression="100 * share"),
    ]


def level(label: str, value: str, colour: str) -> Line:
    """A horizontal line whose place has to be worked out, which a mark's can't be."""
    return Line(label, expression=f"TIME_SERIES({value})", colour=colour)


def rungs() -> Iterator[Line]:
    for mode in get_args(Mode):
        yield ours(catalogue.REQUESTS, label=mode, of={"mode": mode}, colour=RUNGS[mode])


def of_function(name: str, metric: str, stat: str = "Sum", label: str = "") -> Line:
    dimensions = {"FunctionName": f"${{{name}FunctionName}}"}
    return Line(label or name.lower(), "AWS/Lambda", metric, dimensions, stat)


def of_functions(metric: str, stat: str = "Sum") -> list[Line]:
    return [of_function(name, metric, stat) for name in FUNCTIONS]


def of_release(metric: str, stat: str = "Sum") -> Line:
    """Of the version of search that was released last."""
    dimensions = {
        "FunctionName": "${SearchFunctionName}",
        "Resource": "${SearchFunctionName}:live",
        "ExecutedVersion": "${SearchVersion}",
    }
    return Line("search, newest version", "AWS/Lambda", metric, dimensions, stat)


def of_gateway(metric: str, stat: str = "Sum", label: str = "", colour: str = "") -> Line:
    named = {"ApiName": "${Prefix}"}
    return Line(label or metric, "AWS/ApiGateway", metric, named, stat, colour=colour)


def of_searches(metric: str, label: str, colour: str) -> Line:
    route = {"ApiName": "${Prefix}", "Stage": "v1", "Method": "POST", "Resource": "/search"}
    return Line(label, "AWS/ApiGateway", metric, route, colour=colour)


def of_queue(parameter: str, metric: str, label: str) -> Line:
    return Line(label, "AWS/SQS", metric, {"QueueName": f"${{{parameter}}}"}, "Maximum")


def throttled_tables() -> Iterator[Line]:
    for table in ("cache", "documents"):
        for kind in ("Read", "Write"):
            named = {"TableName": f"${{Prefix}}-{table}"}
            yield Line(f"{table}, {kind}s".lower(), "AWS/DynamoDB", f"{kind}ThrottleEvents", named)

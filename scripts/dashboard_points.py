"""What a dashboard's graphs show of metrics over time, worked out as CloudWatch would."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cloudformation import ROOT
from steadyrag.monitoring.cloudformation import Template
from steadyrag.monitoring.metric_functions import Points
from steadyrag.monitoring.metric_math import evaluate, names
from steadyrag.monitoring.series import Series

_SEARCH = re.compile(
    r"SEARCH\('\{(?P<namespace>\w+),(?P<free>\w+),service\} MetricName=\"(?P<name>\w+)\" "
    r"service=\"(?P<service>[\w-]+)\"', '(?P<stat>\w+)', (?P<period>\d+)\)"
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a graph: a value for each period from the start of the window."""

    label: str
    values: Sequence[float | None]
    period_s: int
    colour: str = ""


def deployed() -> dict[str, Any]:
    """The dashboard's body as a stack named steadyrag with all defaults would have it."""
    root = Template(ROOT / "template.yaml", {}, stack="steadyrag")
    ((_, made),) = root.nested("Dashboard").of_type("AWS::CloudWatch::Dashboard")
    body: dict[str, Any] = json.loads(made["DashboardBody"])
    return body


def curves(graph: Mapping[str, Any], series: Series, start: float, end: float) -> list[Curve]:
    """The visible lines of a metric widget's properties, in their order."""
    return list(_Window(graph, series, start, end).curves())


class _Window:
    """A graph between two times, its expressions worked out as they are asked for."""

    def __init__(self, graph: Mapping[str, Any], series: Series, start: float, end: float) -> None:
        self._series, self._start, self._end = series, start, end
        self._period_s: int = graph["period"]
        self._lines = [(line[:-1], line[-1]) for line in graph["metrics"]]
        self._known: dict[str, Points] = {}

    def curves(self) -> Iterator[Curve]:
        for named, told in self._lines:
            if not told.get("visible", True):
                continue
            period_s = told.get("period", self._period_s)
            colour = told.get("color", "")
            if found := _SEARCH.fullmatch(told.get("expression", "")):
                for label, values in self._found(found):
                    yield Curve(f"{told['label']} {label}", values, int(found["period"]), colour)
            else:
                yield Curve(told["label"], self._points(named, told), period_s, colour)

    def _points(self, named: Sequence[str], told: Mapping[str, Any]) -> Points:
        period_s = told.get("period", self._period_s)
        if expression := told.get("expression"):
            given = {name: self._by_id(name) for name in names(expression)}
            length = int((self._end - self._start) // period_s)
            return evaluate(expression, given, period_s=period_s, length=length)
        namespace, name, *pairs = named
        dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
        window = (told["stat"], period_s, self._start, self._end)
        return Points(self._series.values(namespace, name, dimensions, *window))

    def _by_id(self, id: str) -> Points:
        if id not in self._known:
            (line,) = (line for line in self._lines if line[1].get("id") == id)
            self._known[id] = self._points(*line)
        return self._known[id]

    def _found(self, search: re.Match[str]) -> Iterator[tuple[str, Points]]:
        for metric in sorted(
            self._series.metrics(), key=lambda one: sorted(one.dimensions.items())
        ):
            free = metric.dimensions.get(search["free"])
            wanted = {"service": search["service"], search["free"]: free}
            if (metric.name, metric.dimensions) == (search["name"], wanted) and free:
                window = (search["stat"], int(search["period"]), self._start, self._end)
                values = self._series.values(
                    search["namespace"], metric.name, metric.dimensions, *window
                )
                yield free, Points(values)

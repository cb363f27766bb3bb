"""The dashboard shows every metric and every alarm, and nothing that isn't there."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import pytest

from infra import runbooks
from infra.cloudformation import ROOT, shown
from infra.runbooks import prose, runbook, section
from infra.stack import FUNCTION, template
from steadyrag.goals import GOALS
from steadyrag.monitoring.metric_math import names
from steadyrag.monitoring.series import Series
from steadyrag.telemetry import catalogue

sys.path.insert(0, str(ROOT / "scripts"))
import dashboard
import dashboard_docs
from dashboard_alarms import alarms
from dashboard_points import curves, deployed

NAMES = runbooks.names()

MOST_WIDGETS, MOST_METRICS, MOST_OF_ALL = 500, 500, 2500
"""Quotas of CloudWatch: of a dashboard, of a widget, of all widgets together."""

AWS: Mapping[str, Mapping[str, tuple[set[str], ...]]] = {
    "AWS/ApiGateway": dict.fromkeys(
        ("Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"),
        ({"ApiName"}, {"ApiName", "Stage", "Method", "Resource"}),
    ),
    "AWS/Lambda": {
        **dict.fromkeys(
            ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"),
            (
                {"FunctionName"},
                {"FunctionName", "Resource"},
                {"FunctionName", "Resource", "ExecutedVersion"},
            ),
        ),
        "ClaimedAccountConcurrency": (set(),),
    },
    "AWS/SQS": dict.fromkeys(
        ("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"), ({"QueueName"},)
    ),
    "AWS/DynamoDB": dict.fromkeys(("ReadThrottleEvents", "WriteThrottleEvents"), ({"TableName"},)),
}
"""What AWS measures, and under which dimensions, by its guides."""

SEARCH = re.compile(r"""SEARCH\('\{Steadyrag,model,service\} MetricName="(\w+)" service="(\w+)"'""")


@pytest.fixture(scope="module")
def widgets() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployed()["widgets"]
    return found


def graphs(widgets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in widgets if widget["type"] == "metric"]


def rows(widgets: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The graphs below each row's heading."""
    found: dict[str, list[dict[str, Any]]] = {}
    row = ""
    for widget in widgets:
        if widget["type"] == "text":
            row = widget["properties"]["markdown"].partition("\n")[0].removeprefix("## ")
        elif widget["type"] == "metric":
            found.setdefault(row, []).append(widget["properties"])
    return found


def measured(graph: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    for namespace, name, *rest in (line for line in graph["metrics"] if len(line) > 1):
        pairs = rest[:-1]
        yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def test_the_dashboard_and_the_page_are_up_to_date() -> None:
    dashboard.main(["--check"])


def test_a_stale_dashboard_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "TEMPLATE", ROOT / "infra" / "stale.yaml")
    with pytest.raises(SystemExit, match=r"infra/stale\.yaml is stale: make docs"):
        dashboard.main(["--check"])


def test_cloudwatch_takes_as_much(widgets: list[dict[str, Any]]) -> None:
    counts = [len(graph["metrics"]) for graph in graphs(widgets)]
    assert len(widgets) <= MOST_WIDGETS
    assert max(counts) <= MOST_METRICS
    assert sum(counts) <= MOST_OF_ALL


def test_no_widget_lies_over_another_or_over_the_edge(widgets: list[dict[str, Any]]) -> None:
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)
    for one, other in combinations(widgets, 2):
        beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        above = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
        assert beside or above, (one, other)


def test_every_metric_of_the_catalogue_is_on_a_graph_with_every_value_of_its_dimensions(
    widgets: list[dict[str, Any]],
) -> None:
    on_it = {
        (name, tuple(value for key, value in dimensions.items() if key != "service"))
        for graph in graphs(widgets)
        for namespace, name, dimensions in measured(graph)
        if namespace == catalogue.NAMESPACE
    }
    searched = {name for name, _ in SEARCH.findall(json.dumps(widgets).replace('\\"', '"'))}
    for metric in catalogue.CATALOGUE:
        if metric.dimensions == ("model",):
            assert metric.name in searched
            continue
        values = [catalogue.DIMENSIONS[name] for name in metric.dimensions]
        wanted = [(value,) for value in values[0]] if values else [()]
        assert {(metric.name, one) for one in wanted} <= on_it, "put it into dashboard_rows.py"


def test_no_graph_names_a_metric_that_does_not_exist(widgets: list[dict[str, Any]]) -> None:
    known = {metric.name: metric for metric in catalogue.CATALOGUE}
    for graph in graphs(widgets):
        for namespace, name, dimensions in measured(graph):
            if namespace == catalogue.NAMESPACE:
                assert dimensions.pop("service") == "steadyrag"
                assert catalogue.problem(known[name], dimensions) is None
            else:
                assert dimensions.keys() in AWS[namespace][name], (graph["title"], name)
    found = SEARCH.findall(json.dumps(widgets).replace('\\"', '"'))
    assert {service for _, service in found} == {"steadyrag"}
    assert all(known[name].dimensions == ("model",) for name, _ in found)


def test_every_expression_can_be_worked_out(widgets: list[dict[str, Any]]) -> None:
    for graph in graphs(widgets):
        ids = [line[-1]["id"] for line in graph["metrics"] if "id" in line[-1]]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"[a-z]\w*", one) for one in ids)
        expressions = [line[-1]["expression"] for line in graph["metrics"] if len(line) == 1]
        named = [names(one) for one in expressions if not one.startswith("SEARCH")]
        assert set().union(*named) <= set(ids), graph["title"]
        assert curves(graph, Series(), 0, 6 * 3600) is not None


def test_a_graph_takes_time_in_the_steps_that_its_searches_take(
    widgets: list[dict[str, Any]],
) -> None:
    for graph in graphs(widgets):
        for line in graph["metrics"]:
            if found := re.search(r"SEARCH\(.*, (\d+)\)", line[-1].get("expression", "")):
                assert int(found[1]) == graph["period"]


def test_every_alarm_is_shown_with_its_state_beside_those_that_tell_the_same_people(
    widgets: list[dict[str, Any]],
) -> None:
    states = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    base = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:steadyrag-"
    named = [[arn.removeprefix(base) for arn in one] for one in states]
    assert sorted(name for one in named for name in one) == NAMES
    assert all(len({alarms()[name].topic for name in one}) == 1 for one in named)


def test_every_alarm_has_its_runbook_beside_the_graphs_that_tell_why(
    widgets: list[dict[str, Any]],
) -> None:
    headings = [w["properties"]["markdown"] for w in widgets if w["type"] == "text"][1:]
    linked = {
        name for one in headings for name in re.findall(r"/infra/runbooks/([a-z-]+)\.md", one)
    }
    assert linked == set(NAMES)


@pytest.mark.parametrize("name", [one.name for one in alarms().values() if one.threshold])
def test_where_an_alarm_fires_is_drawn_where_the_deployer_put_it(name: str) -> None:
    threshold = alarms()[name].threshold
    assert threshold
    held = template(**{threshold[0]: "123"}).nested("Dashboard")
    ((_, made),) = held.of_type("AWS::CloudWatch::Dashboard")
    drawn = json.loads(made["DashboardBody"])["widgets"]
    marks = [m for g in graphs(drawn) for m in g.get("annotations", {}).get("horizontal", [])]
    level = "TIME_SERIES(100 - 123)"
    levels = [line for g in graphs(drawn) for line in g["metrics"] if level in str(line)]
    assert levels or [mark for mark in marks if mark["value"] == 123]


def test_goals_are_drawn_beside_the_alarms_that_stand_in_for_them(
    widgets: list[dict[str, Any]],
) -> None:
    for goal in GOALS:
        if goal.goal is None or goal.alarm_name == "errors":
            continue
        value = goal.goal * 100 if goal.unit == "share" else goal.goal
        marks = [
            {mark["label"]: mark["value"] for mark in graph["annotations"]["horizontal"]}
            for graph in graphs(widgets)
            if "annotations" in graph
        ]
        assert [one for one in marks if goal.alarm_name in one and one.get("goal") == value], goal
    availability = graphs(widgets)[0]
    (errors,) = (goal.goal for goal in GOALS if goal.alarm_name == "errors")
    assert errors is not None
    assert f"TIME_SERIES({100 - 100 * errors:g})" in json.dumps(availability)


def test_every_function_is_on_the_graphs_of_lambda(widgets: list[dict[str, Any]]) -> None:
    named = {
        function["FunctionName"].replace("stack-", "steadyrag-")
        for _, function in template().of_type(FUNCTION)
    }
    for title in ("Lambda Errors", "Lambda Throttles", "Lambda Duration, p99"):
        (graph,) = (one for one in graphs(widgets) if one["title"] == title)
        drawn = {dimensions["FunctionName"] for _, _, dimensions in measured(graph)}
        assert drawn == named, title


def test_tables_and_queues_are_called_what_they_are_called(widgets: list[dict[str, Any]]) -> None:
    data = template().nested("Data")
    made = {
        shown(properties[key]).replace("stack-", "steadyrag-")
        for kind, key in (("DynamoDB::Table", "TableName"), ("SQS::Queue", "QueueName"))
        for _, properties in data.of_type(f"AWS::{kind}")
    }
    drawn = {
        dimensions[key]
        for graph in graphs(widgets)
        for _, _, dimensions in measured(graph)
        for key in ("TableName", "QueueName")
        if key in dimensions
    }
    assert drawn <= made


@pytest.mark.parametrize("name", NAMES)
def test_what_a_runbook_looks_for_is_in_the_row_that_it_names(
    name: str, widgets: list[dict[str, Any]]
) -> None:
    look = prose(section(runbook(name), "Look first"))
    said = look.partition("**Dashboard** `$STACK`, ")[2]
    places = {row: json.dumps(one) for row, one in rows(widgets).items()}
    row = said.partition("row `")[2].partition("`")[0]
    for word, after in re.findall(r"(?<!row )`(\w+)`(?: in the row `(\w+)`)?", said):
        assert word in places[after or row], f"the row {after or row} has no {word}"


def test_the_page_has_every_metric_and_every_alarm_and_is_short() -> None:
    page = dashboard_docs.PAGE.read_text(encoding="utf-8")
    metrics = page.partition("<!-- metrics -->")[2]
    assert re.findall(r"^\| `(\w+)` \|", metrics, re.M) == [m.name for m in catalogue.CATALOGUE]
    assert sorted(re.findall(r"^\| \[([a-z-]+)\]", page, re.M)) == NAMES
    assert len(page.split()) < 2700


def test_metrics_are_counted_by_the_values_that_they_may_have() -> None:
    assert dashboard_docs.combinations(catalogue.LATENCY) == 1
    assert dashboard_docs.combinations(catalogue.PROMPT_TOKENS) == 1
    modes = len(catalogue.DIMENSIONS["mode"])
    assert dashboard_docs.combinations(catalogue.REQUESTS) == modes

"""Who is told of what, by which figures, and that the figures are ones that exist."""

import re

import pytest

from infra.alarms import (
    PAGES,
    RELEASES,
    TICKETS,
    Measured,
    alarms,
    expressions,
    measured,
    metric_alarms,
)
from infra.cloudformation import ROOT, shown
from infra.stack import FUNCTION, environment, template
from steadyrag.settings import load
from steadyrag.telemetry.catalogue import CATALOGUE, DIMENSIONS, NAMESPACE, problem

METRICS = {metric.name: metric for metric in CATALOGUE}
STATISTICS = {
    "Count": {"Sum"},
    "Milliseconds": {"p99", "p90", "SampleCount"},
    "Seconds": {"Maximum"},
    "None": {"Average", "Minimum", "Sum", "SampleCount"},
}
"""By unit, what an alarm may make of a metric."""

AWS = {
    "AWS/ApiGateway": {"Count": "Sum", "5XXError": "Sum"},
    "AWS/Lambda": {"Errors": "Sum", "Throttles": "Sum", "Duration": "p99"},
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage": "Maximum",
        "ApproximateNumberOfMessagesVisible": "Maximum",
    },
}


def looked_at() -> list[tuple[str, Measured]]:
    return [(name, one) for name, alarm in metric_alarms().items() for one in measured(alarm)]


def test_every_alarm_tells_those_who_are_to_act_on_it_and_nobody_else() -> None:
    told: dict[str, set[str]] = {}
    for name, alarm in alarms().items():
        actions = alarm.get("AlarmActions", [])
        assert len(actions) == (0 if name in RELEASES else 1), name
        assert alarm.get("OKActions", []) == actions, "whoever is told is told when it is over"
        told.setdefault(shown(actions[0]) if actions else "CodeDeploy", set()).add(name)
    assert told == {
        "Operations.Outputs.PageTopicArn": PAGES,
        "Operations.Outputs.TicketTopicArn": TICKETS,
        "CodeDeploy": RELEASES,
    }


def test_a_description_says_what_users_see_and_where_the_runbook_is() -> None:
    base = template().parameters["RunbookBase"]["Default"]
    for name, alarm in alarms().items():
        text = alarm["AlarmDescription"]
        assert text.endswith(f" Runbook: {base}{name}.md"), name
        assert re.search(r"\busers\b", text, re.IGNORECASE), name
        assert "${" not in text, name
        assert 100 < len(text) < 1024, name


def test_the_runbooks_may_be_those_of_a_fork() -> None:
    moved = alarms(RunbookBase="https://git.example.com/rag/runbooks/")
    for name, alarm in moved.items():
        assert alarm["AlarmDescription"].endswith(f"https://git.example.com/rag/runbooks/{name}.md")


def test_the_addresses_of_runbooks_lead_into_this_repository() -> None:
    base = template().parameters["RunbookBase"]["Default"]
    assert base.endswith("/blob/main/infra/runbooks/")
    pattern = template().parameters["RunbookBase"]["AllowedPattern"]
    for address, good in ((base, True), (base.rstrip("/"), False), ("runbooks/", False)):
        assert bool(re.fullmatch(pattern, address)) is good


def test_only_the_silence_of_the_readiness_check_is_a_failure() -> None:
    missing = {name: alarm["TreatMissingData"] for name, alarm in metric_alarms().items()}
    assert {name for name, treated in missing.items() if treated == "breaching"} == {"not-ready"}
    assert set(missing.values()) == {"breaching", "notBreaching"}


@pytest.mark.parametrize(
    ("name", "parameter", "default", "comparison"),
    [
        ("sources-slow", "SourcesP99Ms", "1000", "GreaterThanThreshold"),
        ("answers-slow", "AnswersP99Ms", "8000", "GreaterThanThreshold"),
        ("errors", "ErrorPercent", "1", "GreaterThanThreshold"),
        ("degraded", "DegradedPercent", "10", "GreaterThanThreshold"),
        ("cache-cold", "CacheHitPercent", "20", "LessThanThreshold"),
        ("relevance-low", "TopRelevanceMin", "0.5", "LessThanThreshold"),
        ("embedding-calls", "EmbeddingCallsPerHour", "50000", "GreaterThanThreshold"),
        ("cost-forecast", "DailyBudgetUsd", "20", "GreaterThanThreshold"),
        ("ingest-lag", "IngestLagSeconds", "900", "GreaterThanThreshold"),
        ("ingest-behind", "IngestLagSeconds", "900", "GreaterThanThreshold"),
        ("release-slow", "ReleaseMaxP99Ms", "15000", "GreaterThanThreshold"),
    ],
)
def test_a_deployer_says_how_much_is_too_much(
    name: str, parameter: str, default: str, comparison: str
) -> None:
    assert alarms()[name]["Threshold"] == default
    assert alarms()[name]["ComparisonOperator"] == comparison
    assert alarms(**{parameter: "123"})[name]["Threshold"] == "123"
    said = template().parameters[parameter]
    assert said["MinValue"] <= float(default) <= said.get("MaxValue", float("inf"))


def test_any_at_all_is_too_much_of_almost_all_the_rest() -> None:
    given = {
        name: (alarm["ComparisonOperator"], alarm["Threshold"])
        for name, alarm in metric_alarms().items()
        if not isinstance(alarm["Threshold"], str)
    }
    assert given.pop("not-ready") == ("LessThanThreshold", 1)
    assert given.pop("report-missing") == ("GreaterThanThreshold", 25)
    assert given.pop("functions-failing") == ("GreaterThanThreshold", 1)
    assert set(given.values()) == {("GreaterThanThreshold", 0)}


def test_what_alarms_look_at_is_in_the_catalogue_with_the_dimensions_it_has_there() -> None:
    service = load(environment(dict(template().of_type(FUNCTION))["SearchFunction"])).service
    for name, one in looked_at():
        if one.namespace != NAMESPACE:
            continue
        metric = METRICS[one.name]
        others = dict(one.dimensions)
        assert others.pop("service") == service, name
        assert others.keys() == set(metric.dimensions), f"{name}: the sum of all is no metric"
        assert problem(metric, others) is None, name
        assert one.stat in STATISTICS[metric.unit], name
        assert one.unit in (None, metric.unit), name


def test_what_alarms_look_at_of_aws_is_what_aws_measures() -> None:
    for name, one in looked_at():
        if one.namespace != NAMESPACE:
            assert one.stat == AWS[one.namespace][one.name], name


def test_errors_are_those_of_the_one_route_that_is_promised() -> None:
    ((_, api),) = template().of_type("AWS::Serverless::Api")
    event = dict(template().of_type(FUNCTION))["SearchFunction"]["Events"]["Search"]["Properties"]
    expected = {
        "ApiName": api["Name"],
        "Stage": api["StageName"],
        "Method": event["Method"],
        "Resource": event["Path"],
    }
    seen = {one.id: one for _, one in looked_at() if one.namespace == "AWS/ApiGateway"}
    feedback = seen.pop("feedback")
    assert [(one.name, one.dimensions) for one in seen.values()] == [
        ("Count", expected),
        ("5XXError", expected),
    ]
    assert (feedback.name, feedback.dimensions) == (
        "5XXError",
        {**expected, "Resource": "/feedback"},
    ), "what Lambda counts and nobody searched for"
    (everything,) = (s for s in api["MethodSettings"] if s["ResourcePath"] == "/*")
    assert everything["HttpMethod"] == "*"
    assert everything["MetricsEnabled"] is True, "without, the gateway counts no route by itself"


def test_what_lambda_counts_is_of_the_alias_that_takes_the_traffic() -> None:
    for name, one in looked_at():
        if one.namespace == "AWS/Lambda" and name not in ("ingest-errors", "functions-failing"):
            expected = {"FunctionName": "SearchFunction", "Resource": "SearchFunction:live"}
            if name in ("release-errors", "release-slow"):
                expected["ExecutedVersion"] = "SearchFunction.Version.Version"
            assert one.dimensions == expected, name


def test_every_function_is_one_whose_failures_somebody_is_told_of() -> None:
    """Of health the readiness check tells, and of smoke the release that it stops."""
    told = {one.dimensions["FunctionName"] for _, one in looked_at() if one.name == "Errors"}
    functions = {name for name, _ in template().of_type(FUNCTION)}
    assert told == functions - {"HealthFunction", "SmokeFunction"}


def test_alarms_of_older_stacks_are_updated_where_they_are() -> None:
    """A stack under another logical id is made before the old one is deleted, and no two alarms
    of a region may have one name: the deployment would fail."""
    resources = template().raw["Resources"]
    assert resources["Alarms"]["Properties"]["TemplateURL"] == "infra/ingest_alarms.yaml"
    part = template().nested("Alarms")
    assert {name for name, _ in part.of_type("AWS::CloudWatch::Alarm")} == {
        *("IngestLag", "IngestBehind", "IngestDead", "IngestErrors"),
    }


@pytest.mark.parametrize(
    ("name", "metric", "values"),
    [
        ("vendor-refuses", "VendorRefused", DIMENSIONS["dependency"]),
        ("circuit-open", "CircuitOpened", DIMENSIONS["dependency"]),
        # A store is what may hold an answer for others, and what may count limits.
        (
            "rate-limit-fallback",
            "RateLimitFallback",
            DIMENSIONS["dependency"] & DIMENSIONS["tier"],
        ),
    ],
)
def test_a_sum_leaves_no_dependency_out(name: str, metric: str, values: frozenset[str]) -> None:
    alarm = alarms()[name]
    summed = {one.id: one for one in measured(alarm)}
    assert {one.name for one in summed.values()} == {metric}
    assert {one.dimensions["dependency"] for one in summed.values()} == values
    assert all(one.id == one.dimensions["dependency"] for one in summed.values())
    ((_, expression),) = expressions(alarm).items()
    listed = re.fullmatch(r"SUM\(\[(.*)\]\)", expression)
    assert listed is not None, "+ is missing where one of them was never counted"
    assert sorted(re.split(r",\s+(?=FILL)", listed[1])) == sorted(
        f"FILL({one}, 0)" for one in summed
    )


@pytest.mark.parametrize("name", sorted(metric_alarms()))
def test_an_alarm_is_one_that_cloudwatch_takes(name: str) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
    alarm = metric_alarms()[name]
    (period_s,) = {one.period_s for one in measured(alarm)}
    assert period_s % 60 == 0
    assert 1 <= alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
    assert alarm["EvaluationPeriods"] * period_s <= 86_400
    if "Metrics" in alarm:
        parts = {one["Id"]: one for one in alarm["Metrics"]}
        assert len(parts) == len(alarm["Metrics"])
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", one) for one in parts)
        assert len(list(measured(alarm))) <= 10
        assert sum(one.get("ReturnData", True) for one in parts.values()) == 1
        assert not {"MetricName", "Statistic", "Period", "Dimensions"} & alarm.keys()


@pytest.mark.parametrize("name", sorted(n for n, a in metric_alarms().items() if "Metrics" in a))
def test_an_expression_uses_what_the_alarm_looks_at_and_all_of_it(name: str) -> None:
    alarm = alarms()[name]
    worked_out = expressions(alarm)
    words = {word for text in worked_out.values() for word in re.findall(r"[A-Za-z_]\w*", text)}
    functions = {"IF", "FILL", "OR", "SUM", "MAX"}
    assert {word for word in words if word.isupper()} <= functions
    (result,) = (one["Id"] for one in alarm["Metrics"] if one.get("ReturnData", True))
    named = words - functions
    assert named == {one["Id"] for one in alarm["Metrics"]} - {result}


def test_an_outage_is_both_of_two_alarms_that_page_by_themselves() -> None:
    pages = dict(template().nested("PageAlarms").of_type("AWS::CloudWatch::Alarm"))
    rule = alarms()["down"]["AlarmRule"]
    named = re.findall(r"ALARM\(\"\$\{(\w+)\}\"\)", rule)
    assert [pages[one]["AlarmName"] for one in named] == ["stack-not-ready", "stack-errors"]
    assert re.sub(r"ALARM\([^)]*\)", "x", rule) == "x AND x"


def test_what_cloudwatch_asks_for_alarms_stays_small() -> None:
    """10 cents for each metric in an alarm and 50 for a composite one, in a month."""
    cents = sum(10 * len(list(measured(alarm))) for alarm in metric_alarms().values())
    composite = [alarm for alarm in alarms().values() if "AlarmRule" in alarm]
    assert cents + 50 * len(composite) <= 600


def test_every_alarm_is_in_the_page_for_operators() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([a-z-]+)\]\(\.\./infra/runbooks/\1\.md\) \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(alarms())

"""Metrics and alarms: the real client against CloudWatch's protocol, and against a local AWS."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from fakes.metric_reader import InMemoryReader, Raised
from servers import REGION, unique
from steadyrag.adapters.cloudwatch import MOST_PAGES, QUERIES_A_CALL, CloudWatch
from steadyrag.domain.errors import Refused, Throttled, Unavailable
from steadyrag.domain.ports import MetricReader, Statistic
from steadyrag.monitoring.series import Series
from vendors import Fault, serving
from vendors.cloudwatch import Change
from vendors.cloudwatch import CloudWatch as Wire

DAY = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
HOUR = 3600.0
RUNBOOK = "Users wait. Runbook: https://example.com/runbooks/{}.md"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def wire(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with serving(Wire()) as listening:
        monkeypatch.setenv("AWS_ENDPOINT_URL", listening.url)
        yield listening


@pytest.fixture
async def reader(wire: Wire) -> AsyncIterator[CloudWatch]:
    opened = CloudWatch()
    yield opened
    await opened.aclose()


def statistic(metric: str, stat: str = "Sum", **dimensions: str) -> Statistic:
    named = {"service": "rag", **dimensions}
    return Statistic("Steadyrag", metric, tuple(sorted(named.items())), stat)


@dataclass
class Either:
    """The adapter, or what stands in for it, and how to measure for it and set alarms off."""

    reader: MetricReader
    series: Series
    raise_alarm: Callable[[str, float], None]


@pytest.fixture(params=["cloudwatch", "memory"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Either]:
    if request.param == "memory":
        fake = InMemoryReader()
        yield Either(fake, fake.series, lambda name, at: fake.raised.append(Raised(name, at)))
        return
    wire: Wire = request.getfixturevalue("wire")

    def raise_alarm(name: str, at: float) -> None:
        wire.alarms[name] = RUNBOOK.format(name.removeprefix("rag-"))
        wire.changes.append(Change(name, "ALARM", at))

    opened = CloudWatch()
    yield Either(opened, wire.series, raise_alarm)
    await opened.aclose()


async def test_a_span_begins_with_its_start_and_stops_before_its_end(either: Either) -> None:
    for at, value in ((-60, 1), (0, 2), (HOUR - 60, 4), (HOUR, 8)):
        either.series.put("Steadyrag", "Cost", {"service": "rag"}, value, DAY + at)
        either.raise_alarm("rag-cost-forecast", DAY + at)
    span = {"start": DAY, "end": DAY + HOUR}
    assert await either.reader.read([statistic("Cost")], **span) == [6]
    assert await either.reader.alarms_raised("rag-", **span) == {"cost-forecast": 2}


async def test_what_was_never_measured_has_no_value(either: Either) -> None:
    either.series.put("Steadyrag", "Requests", {"service": "rag", "mode": "full"}, 1, DAY)
    asked = [statistic("Cost"), statistic("Requests"), statistic("Requests", mode="canned")]
    assert await either.reader.read(asked, start=DAY, end=DAY + HOUR) == [None] * 3
    assert await either.reader.read([], start=DAY, end=DAY + HOUR) == []
    assert await either.reader.alarms_raised("rag-", start=DAY, end=DAY + HOUR) == {}


async def test_each_statistic_is_that_of_the_whole_span(wire: Wire, reader: CloudWatch) -> None:
    for number in range(1, 101):
        at = DAY + number * 600
        wire.series.put("Steadyrag", "Latency", {"service": "rag"}, number, at)
        wire.series.put("Steadyrag", "Requests", {"service": "rag", "mode": "full"}, 1, at)
    asked = [
        *(statistic("Latency", stat) for stat in ("p50", "p99", "Maximum", "Average")),
        statistic("Requests", mode="full"),
        *(statistic("Requests", mode="canned"), statistic("Requests")),
    ]
    p50, p99, *others = await reader.read(asked, start=DAY, end=DAY + 24 * HOUR)
    assert p50 == pytest.approx(50.5, abs=1)
    assert p99 == pytest.approx(99, abs=1)
    assert others == [100, 50.5, 100, None, None]


@pytest.mark.parametrize("hours", [23, 24, 25])
async def test_a_day_of_any_length_is_one_period(
    wire: Wire, reader: CloudWatch, hours: int
) -> None:
    for at in (-60, 0, hours * HOUR - 60, hours * HOUR):
        wire.series.put("Steadyrag", "Errors", {"service": "rag"}, 1, DAY + at)
    assert await reader.read([statistic("Errors")], start=DAY, end=DAY + hours * HOUR) == [2]
    (asked,) = wire.asked("GetMetricData")
    (query,) = asked.json["MetricDataQueries"]
    assert query["MetricStat"]["Period"] == hours * 3600


async def test_more_than_a_call_may_ask_for_is_asked_in_several(
    wire: Wire, reader: CloudWatch
) -> None:
    many = QUERIES_A_CALL + 7
    for number in (0, QUERIES_A_CALL, many - 1):
        wire.series.put("Steadyrag", f"M{number}", {"service": "rag"}, number, DAY)
    asked = [statistic(f"M{number}") for number in range(many)]
    found = await reader.read(asked, start=DAY, end=DAY + HOUR)
    assert {n: v for n, v in enumerate(found) if v is not None} == {
        n: n for n in (0, QUERIES_A_CALL, many - 1)
    }
    assert len(wire.asked("GetMetricData")) > 1


async def test_every_page_is_read(wire: Wire, reader: CloudWatch) -> None:
    wire.page = 3
    for number in range(10):
        wire.series.put("Steadyrag", f"M{number}", {"service": "rag"}, number, DAY)
        wire.alarms[f"rag-a{number}"] = RUNBOOK.format(f"a{number}")
        wire.changes.append(Change(f"rag-a{number}", "ALARM", DAY + number))
    asked = [statistic(f"M{number}") for number in range(10)]
    assert await reader.read(asked, start=DAY, end=DAY + HOUR) == list(range(10))
    raised = await reader.alarms_raised("rag-", start=DAY, end=DAY + HOUR)
    assert raised == {f"a{number}": 1 for number in range(10)}


async def test_an_answer_without_an_end_is_given_up(wire: Wire, reader: CloudWatch) -> None:
    wire.page = 0
    wire.alarms["rag-errors"] = RUNBOOK.format("errors")
    with pytest.raises(Unavailable, match=f"more than {MOST_PAGES} pages"):
        await reader.alarms_raised("rag-", start=DAY, end=DAY + HOUR)


async def test_alarms_count_each_time_that_they_went_off(wire: Wire, reader: CloudWatch) -> None:
    wire.alarms |= {f"rag-{name}": RUNBOOK.format(name) for name in ("errors", "degraded")}
    for minute, to in enumerate(("ALARM", "OK", "ALARM", "INSUFFICIENT_DATA")):
        wire.changes.append(Change("rag-errors", to, DAY + 60 * minute))
    wire.changes.append(Change("rag-degraded", "ALARM", DAY + HOUR))  # belongs to the next span
    assert await reader.alarms_raised("rag-", start=DAY, end=DAY + HOUR) == {"errors": 2}


async def test_alarms_of_a_stack_whose_name_only_begins_alike_are_none_of_ours(
    wire: Wire, reader: CloudWatch
) -> None:
    wire.alarms["rag-eu-errors"] = RUNBOOK.format("errors")
    wire.alarms["rag-errors"] = RUNBOOK.format("errors")
    wire.alarms["rag-by-hand"] = "made by somebody"
    for name in wire.alarms:
        wire.changes.append(Change(name, "ALARM", DAY))
    assert await reader.alarms_raised("rag-", start=DAY, end=DAY + HOUR) == {"errors": 1}


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault("status", 400, "Throttling"), Throttled, "answered 400 Throttling"),
        (Fault("status", 400, "ThrottlingException"), Throttled, "ThrottlingException"),
        (Fault("status", 500, "InternalServiceFault"), Unavailable, "answered 500"),
        (Fault("status", 403, "AccessDenied"), Refused, "answered 403 AccessDenied"),
    ],
)
@pytest.mark.parametrize("operation", ["GetMetricData", "DescribeAlarmHistory"])
async def test_a_failure_is_one_of_ours_and_repeats_nothing_of_its_text(
    wire: Wire,
    reader: CloudWatch,
    fault: Fault,
    error: type[Exception],
    said: str,
    operation: str,
) -> None:
    wire.faults.add(operation, fault)
    asking = {
        "GetMetricData": lambda: reader.read([statistic("Errors")], start=DAY, end=DAY + HOUR),
        "DescribeAlarmHistory": lambda: reader.alarms_raised("rag-", start=DAY, end=DAY + HOUR),
    }
    with pytest.raises(error, match=said) as raised:
        await asking[operation]()
    assert "as the test ordered" not in str(raised.value)


async def test_a_silent_service_costs_its_time_limit(wire: Wire) -> None:
    wire.faults.latency_ms["*"] = 3000
    reader = CloudWatch(timeout_s=0.5)
    started = time.perf_counter()
    with pytest.raises(Unavailable):
        await reader.read([statistic("Errors")], start=DAY, end=DAY + HOUR)
    assert time.perf_counter() - started < 2.5
    await reader.aclose()


async def test_missing_credentials_are_refused(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    reader = CloudWatch()
    with pytest.raises(Refused, match="has no credentials"):
        await reader.read([statistic("Errors")], start=DAY, end=DAY + HOUR)
    await reader.aclose()


async def test_a_local_aws_says_the_same(
    local_aws: Any, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of days in UTC; it has periods begin at whole ones."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    client, service = boto3.client("cloudwatch"), unique("rag")
    named = [{"Name": "service", "Value": service}]
    client.put_metric_data(
        Namespace="Steadyrag",
        MetricData=[
            {"MetricName": "Cost", "Dimensions": named, "Value": value, "Timestamp": DAY + at}
            for value, at in ((1, -60), (2, 0), (3, 23 * HOUR), (4, 24 * HOUR))
        ],
    )
    for name in ("errors", "eu-errors"):
        client.put_metric_alarm(
            AlarmName=f"{service}-{name}",
            AlarmDescription=RUNBOOK.format("errors"),
            Namespace="Steadyrag",
            MetricName="Cost",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
        for state in ("ALARM", "OK"):
            client.set_alarm_state(
                AlarmName=f"{service}-{name}", StateValue=state, StateReason="a test"
            )
    client.close()
    reader, now = CloudWatch(), time.time()
    cost = Statistic("Steadyrag", "Cost", (("service", service),), "Sum")
    assert await reader.read([cost], start=DAY, end=DAY + 24 * HOUR) == [5]
    raised = await reader.alarms_raised(f"{service}-", start=now - 600, end=now + 600)
    assert raised == {"errors": 1}
    await reader.aclose()

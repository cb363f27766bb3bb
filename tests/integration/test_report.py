"""The daily report by the function and by the command, on a local AWS that does what a real one
would, and on a CloudWatch that speaks its protocol."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from contract.test_sns import Subscribed
from integration.test_lambda import FUNCTIONS, load_function
from integration.xray_daemon import FUNCTION_SEGMENT, ROOT, Daemon, header
from servers import REGION, unique
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.cli import cli
from steadyrag.report_sending import KEY
from steadyrag.telemetry import log, metrics, spans
from vendors import Fault, serving
from vendors.cloudwatch import CloudWatch

HOUR = SimpleNamespace(aws_request_id="r-1", get_remaining_time_in_millis=lambda: 120_000)
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
NOON = datetime(YESTERDAY.year, YESTERDAY.month, YESTERDAY.day, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def wire() -> Iterator[CloudWatch]:
    with serving(CloudWatch()) as listening:
        yield listening


@pytest.fixture
def service(
    local_aws: Any, monkeypatch: pytest.MonkeyPatch, wire: CloudWatch
) -> Iterator[tuple[str, Subscribed, Daemon]]:
    """A stack's name, its ticket topic and its X-Ray daemon; its table is there, and the
    environment of its report function."""
    name, daemon = unique("rag"), Daemon()
    create_table(table=f"{name}-cache", endpoint_url=local_aws.url, region=REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    topic = Subscribed()
    for variable, value in {
        "AWS_ENDPOINT_URL_CLOUDWATCH": wire.url,
        "STEADYRAG_TABLE_PREFIX": f"{name}-",
        "STEADYRAG_SERVICE": name,
        "STEADYRAG_METRICS": "emf",
        "STEADYRAG_TRACING": "xray",
        "STEADYRAG_REPORT_TOPIC": topic.arn,
        "STEADYRAG_REPORT_HOUR": "0",
        "LAMBDA_TASK_ROOT": str(FUNCTIONS),
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
        "_X_AMZN_TRACE_ID": header(),
    }.items():
        monkeypatch.setenv(variable, value)
    yield name, topic, daemon
    topic.close()
    daemon.close()
    spans.configure("off")
    metrics.configure("off")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The one that all functions of an environment share."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    made.close()


@pytest.fixture
def report(service: Any, loop: asyncio.AbstractEventLoop) -> Iterator[ModuleType]:
    """The function of a stack that was there yesterday."""
    function = load_function("report")
    born = {"born": b"%d" % (NOON - 3600)}
    loop.run_until_complete(function.parts.store.update(KEY, put=born))
    yield function
    loop.run_until_complete(function.parts.aclose())


def ages(printed: str) -> list[float]:
    documents = map(json.loads, printed.splitlines())
    return [age for document in documents for age in document.get("ReportAge", [])]


def put(wire: CloudWatch, service: str, metric: str, value: float, **dimensions: str) -> None:
    wire.series.put("Steadyrag", metric, {"service": service, **dimensions}, value, NOON)


def steadyrag(*arguments: str) -> Result:
    """In a thread of its own: the function's event loop stays this one's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(partial(CliRunner().invoke, cli, arguments)).result()


def test_the_hourly_event_sends_the_report_of_yesterday_once(
    service: Any, report: ModuleType, wire: CloudWatch, capfd: Any
) -> None:
    name, topic, daemon = service
    put(wire, name, "Requests", 1234, mode="full")
    log.configure()  # onto what captures now
    for _ in range(3):
        report.handler({"report": {}}, HOUR)
    ((subject, text),) = topic.received()
    assert subject == f"{name}: report of {YESTERDAY}"
    assert text.splitlines()[3].split() == ["searches", "1,234", "-", "-"]
    printed = capfd.readouterr()
    assert ages(printed.out) == pytest.approx([0, 0, 0], abs=0.01)
    assert printed.out.count('"ColdStarts"') > 0
    said = [json.loads(line)["message"] for line in printed.err.splitlines() if line]
    assert said == ["report sent"]
    runs = [one for one in daemon.heard() if one["name"] == "report"]
    assert len(runs) == 3
    assert {(one["trace_id"], one["parent_id"]) for one in runs} == {(ROOT, FUNCTION_SEGMENT)}


def test_two_environments_at_once_send_one_report(
    service: Any, report: ModuleType, wire: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, topic, _ = service
    monkeypatch.setenv("STEADYRAG_TRACING", "off")  # a process has one tracer
    wire.faults.latency_ms["*"] = 100

    def another() -> None:
        """In a thread of its own, as in an environment of its own."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        function = load_function("report")
        function.handler({"report": {}}, HOUR)
        loop.run_until_complete(function.parts.aclose())
        loop.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(another) for _ in range(4)]:
            done.result()
    assert len(topic.received()) == 1


def test_a_throttled_cloudwatch_is_asked_again_the_next_hour(
    service: Any, report: ModuleType, wire: CloudWatch, capfd: Any
) -> None:
    name, topic, _ = service
    wire.faults.add("GetMetricData", Fault("status", 400, "Throttling"), times=2)
    log.configure()
    for _ in range(2):
        report.handler({"report": {}}, HOUR)  # and ends well: Lambda has nothing to try again
    assert topic.received() == []
    printed = capfd.readouterr()
    assert all(age >= 24 for age in ages(printed.out))
    said = [json.loads(line) for line in printed.err.splitlines() if line]
    assert [one["message"] for one in said] == ["report not sent"] * 2
    assert said[0]["reason"] == "cloudwatch: answered 400 Throttling"
    report.handler({"report": {}}, HOUR)
    assert [subject for subject, _ in topic.received()] == [f"{name}: report of {YESTERDAY}"]
    assert ages(capfd.readouterr().out) == pytest.approx([0], abs=0.01)


def test_a_topic_that_is_gone_leaves_the_report_unsent(
    service: Any, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    _, topic, _ = service
    monkeypatch.setenv("STEADYRAG_REPORT_TOPIC", f"{topic.arn}-gone")
    function, run = load_function("report"), loop.run_until_complete
    log.configure()
    run(function.parts.store.update(KEY, put={"born": b"%d" % (NOON - 3600)}))
    function.handler({"report": {}}, HOUR)
    known = run(function.parts.store.update(KEY))
    run(function.parts.aclose())
    assert known.keys() == {"born"}
    printed = capfd.readouterr()
    assert "sns: answered 404 NotFound" in printed.err
    assert ages(printed.out)[0] >= 24


def test_a_stack_that_is_new_sends_nothing_and_is_missing_nothing(
    service: Any, loop: asyncio.AbstractEventLoop, wire: CloudWatch, capfd: Any
) -> None:
    _, topic, _ = service
    function = load_function("report")
    function.handler({"report": {}}, HOUR)
    loop.run_until_complete(function.parts.aclose())
    assert ages(capfd.readouterr().out) == [0.0]
    assert topic.received() == []
    assert wire.requests == []


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("STEADYRAG_REPORT_TOPIC", "", "STEADYRAG_REPORT_TOPIC: is needed"),
        ("STEADYRAG_TABLE_PREFIX", "", "STEADYRAG_TABLE_PREFIX: is needed"),
        ("STEADYRAG_REPORT_TIME_ZONE", "Asia/Soul", "STEADYRAG_REPORT_TIME_ZONE: 'Asia/Soul'"),
        ("STEADYRAG_REPORT_HOUR", "24", "STEADYRAG_REPORT_HOUR: '24'"),
        ("STEADYRAG_REPORT_TOPIC", "ticket", "STEADYRAG_REPORT_TOPIC: 'ticket'"),
    ],
)
def test_a_function_that_could_send_nothing_does_not_start(
    service: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Exception, match=named):
        load_function("report")


def test_the_command_prints_what_was_sent(
    service: Any, report: ModuleType, wire: CloudWatch
) -> None:
    name, topic, _ = service
    put(wire, name, "Requests", 77, mode="full")
    report.handler({"report": {}}, HOUR)
    ((_, sent),) = topic.received()
    printed = steadyrag("report")
    assert printed.exit_code == 0, printed.output
    assert printed.output == sent
    assert steadyrag("report", "--date", str(YESTERDAY)).output == sent


def test_the_command_counts_days_where_it_is_told(service: Any, wire: CloudWatch) -> None:
    printed = steadyrag("report", "--date", "2026-10-25", "--time-zone", "Europe/Berlin")
    assert printed.exit_code == 0, printed.output
    assert "Sunday, 2026-10-25 (Europe/Berlin)" in printed.output
    first = wire.asked("GetMetricData")[0].json
    assert first["MetricDataQueries"][0]["MetricStat"]["Period"] == 25 * 3600
    assert first["StartTime"] == datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--date", "24.11.2026"), "'24.11.2026' is no date; write it as 2026-11-24"),
        (("--date", "2026-02-30"), "'2026-02-30' is no date"),
        (("--date", "2999-01-01"), "2999-01-01 is not over yet in UTC; say a day before"),
        (("--date", "2001-01-01"), "keeps metrics for 455 days"),
        (("--time-zone", "Berlin"), "'Berlin' is no known time zone; write UTC, or a name as"),
    ],
)
def test_what_is_wrong_with_a_command_is_named(
    service: Any, arguments: tuple[str, ...], named: str
) -> None:
    result = steadyrag("report", *arguments)
    assert result.exit_code == 2
    assert named in " ".join(result.output.replace("│", " ").split())


def test_a_stack_that_is_not_there_is_named_with_what_to_check(service: Any) -> None:
    result = steadyrag("report", "--stack", "no-such-stack")
    assert result.exit_code != 0
    said = f"{result.output}{result.exception}"
    assert "there is no stack no-such-stack with a function report" in said


def test_without_credentials_the_command_says_what_to_look_at(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    result = steadyrag("report")
    assert result.exit_code == 1
    assert "cloudwatch: has no credentials; check the region and the credentials" in result.output


def test_on_a_local_aws_the_whole_way_is_the_same(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CloudWatch takes the metrics as CloudWatch would make them of what is printed."""
    name, _, _ = service
    monkeypatch.delenv("AWS_ENDPOINT_URL_CLOUDWATCH")
    client = boto3.client("cloudwatch")
    named = [{"Name": "service", "Value": name}]
    client.put_metric_data(
        Namespace="Steadyrag",
        MetricData=[
            {"MetricName": "Cost", "Dimensions": named, "Value": value, "Timestamp": NOON + value}
            for value in (1.0, 2.0, 2.25)
        ],
    )
    client.close()
    printed = steadyrag("report")
    assert printed.exit_code == 0, printed.output
    (cost,) = [line for line in printed.output.splitlines() if line.startswith("vendors' calls")]
    assert cost.split()[-3:] == ["$5.25", "-", "-"]

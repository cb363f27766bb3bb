"""The daily report, from the schedule to whoever subscribed to the ticket topic."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from e2e import logs
from e2e.conftest import Command
from e2e.stack import REGION, STACK, Cloud, Deployed
from e2e.test_sweep import every_minute, now_as_scheduled
from e2e.waiting import until
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.domain.local_days import bounds, day_due
from steadyrag.report_sending import KEY

WITHIN_S = 100.0
DAY_S = 86_400


@pytest.fixture
def inbox(cloud: Cloud, deployed: Deployed) -> Iterator[str]:
    """A queue that gets what the ticket topic is told."""
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    topic, queue = deployed.outputs["TicketTopicArn"], found["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sns = cloud.client("sns")
    told = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    yield str(url)
    sns.unsubscribe(SubscriptionArn=told)
    sqs.delete_queue(QueueUrl=url)


def test_the_report_comes_once_and_the_command_prints_the_same(
    cloud: Cloud, deployed: Deployed, command: Command, inbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stack that is three days old; what it does is metrics that it had printed."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    asyncio.run(_born(time.time() - 3 * DAY_S))
    day = day_due(time.time(), UTC, 7)
    noon = bounds(day, UTC)[0] + DAY_S / 2
    _measure(cloud, noon, "Requests", 1234, mode="full")
    _measure(cloud, noon - DAY_S, "Requests", 1000, mode="full")
    _measure(cloud, noon, "Cost", 1.5)
    function = deployed.outputs["ReportFunction"]
    with every_minute(cloud, f"{STACK}-report"):
        runs = len(logs.values(cloud, function, "ReportAge"))
        until(
            lambda: len(logs.values(cloud, function, "ReportAge")),
            lambda count: count > runs,
            within_s=WITHIN_S,
        )
    now_as_scheduled(cloud, f"{STACK}-report")
    came = _received(cloud, inbox)
    assert len(came) == 1, came
    ((subject, text),) = came
    assert subject == f"{STACK}: report of {day}"
    assert _line(text, "searches") == ["1,234", "1,000", "+23", "%", "-"]
    assert all(age < 1 for age in logs.values(cloud, function, "ReportAge")[-2:])
    shell = cloud.environment()
    title, skipped, rest = text.split("\n", 2)
    assert skipped.startswith(f"no report was sent of {day - timedelta(2)} to ")
    asked = command("report", "--stack", STACK, "--date", str(day), env=shell)
    assert asked == f"{title}\n{rest}"
    earlier = command("report", "--stack", STACK, "--date", str(day - timedelta(1)), env=shell)
    assert _line(earlier, "searches") == ["1,000", "-", "-"]


def _line(text: str, label: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.startswith(label)]
    return found.removeprefix(label).split()


async def _born(at: float) -> None:
    store = DynamoStore(table=f"{STACK}-cache", region=REGION, timeout_s=5, connect_timeout_s=5)
    await store.update(KEY, put={"born": b"%d" % at}, remove=["day", "at"], ttl_s=DAY_S)
    await store.aclose()


def _measure(cloud: Cloud, at: float, metric: str, value: float, **dimensions: str) -> None:
    """As CloudWatch would from a line that a function prints."""
    named = {"service": STACK, **dimensions}
    cloud.client("cloudwatch").put_metric_data(
        Namespace="Steadyrag",
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in named.items()],
                "Timestamp": datetime.fromtimestamp(at, UTC),
                "Value": value,
            }
        ],
    )


def _received(cloud: Cloud, url: str) -> list[tuple[str, str]]:
    """Subject and text of the reports that came, at first and a moment later."""
    found, sqs = [], cloud.client("sqs")
    for wait_s in (20, 2):
        answer: dict[str, Any] = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s
        )
        for message in answer.get("Messages", []):
            said = json.loads(message["Body"])
            if "report of" in said["Subject"]:  # alarms talk there, too
                found.append((said["Subject"], said["Message"]))
    return found

"""Topics: the real client against a local AWS, and against one on a bad day."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from contract.scripted_http import Reply, ScriptedHttp
from servers import REGION, unique
from steadyrag.adapters.sns import LONGEST_SUBJECT, SnsTopic
from steadyrag.domain.errors import Refused, Throttled, Unavailable

ARN = f"arn:aws:sns:{REGION}:123456789012:rag-ticket"


class Subscribed:
    """A topic, and a queue that gets what is published there."""

    def __init__(self) -> None:
        name = unique("topic")
        self._sns, self._sqs = boto3.client("sns"), boto3.client("sqs")
        self.arn = self._sns.create_topic(Name=name)["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        named = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        endpoint = named["Attributes"]["QueueArn"]
        self._sns.subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=endpoint)

    def received(self) -> list[tuple[str, str]]:
        """Subject and text of what has come since the last call."""
        found = []
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
            if not (messages := answer.get("Messages", [])):
                return found
            for message in messages:
                said = json.loads(message["Body"])
                found.append((said["Subject"], said["Message"]))
                handle = message["ReceiptHandle"]
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=handle)

    def close(self) -> None:
        self._sns.close()
        self._sqs.close()


@pytest.fixture
def subscribed(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscribed]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    made = Subscribed()
    yield made
    made.close()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedHttp]:
    with ScriptedHttp() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server


async def test_what_is_published_comes_as_it_was(subscribed: Subscribed) -> None:
    topic = SnsTopic(subscribed.arn)
    await topic.publish("rag: report of 2026-11-24", "searches  1,200\n\n한국어 ×\n")
    await topic.aclose()
    assert subscribed.received() == [
        ("rag: report of 2026-11-24", "searches  1,200\n\n한국어 ×\n"),
    ]


async def test_a_subject_is_made_to_fit(subscribed: Subscribed) -> None:
    topic = SnsTopic(subscribed.arn)
    await topic.publish(f" 한국\n{'x' * 200}", "text")
    await topic.aclose()
    ((subject, _),) = subscribed.received()
    assert subject == "??" + "?" + "x" * (LONGEST_SUBJECT - 4)


async def test_a_topic_that_is_gone_is_refused(subscribed: Subscribed) -> None:
    topic = SnsTopic(f"{subscribed.arn}-gone")
    with pytest.raises(Refused, match="404 NotFound"):
        await topic.publish("subject", "text")
    await topic.aclose()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "KMSAccessDenied", Refused),
        (403, "AuthorizationError", Refused),
        (400, "Throttled", Throttled),
        (400, "Throttling", Throttled),
        (400, "KMSThrottling", Throttled),
        (500, "InternalError", Unavailable),
    ],
)
async def test_a_failure_is_one_of_ours(
    scripted: ScriptedHttp, status: int, code: str, error: type[Exception]
) -> None:
    said = f"<Code>{code}</Code><Message>secret</Message>"
    body = f"<ErrorResponse><Error>{said}</Error></ErrorResponse>"
    scripted.replies = [Reply(status, body.encode())]
    topic = SnsTopic(ARN)
    with pytest.raises(error, match=code) as raised:
        await topic.publish("subject", "text")
    assert "secret" not in str(raised.value)
    await topic.aclose()


async def test_a_silent_topic_costs_its_time_limit(scripted: ScriptedHttp) -> None:
    scripted.replies = [Reply(200, b"<x/>", promised=1000)]
    topic = SnsTopic(ARN, timeout_s=0.5)
    with pytest.raises(Unavailable):
        await topic.publish("subject", "text")
    await topic.aclose()

"""The fake, the local and the SQS queue keep the promises of a queue."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import pytest

from contract.queue_contract import QueueContract, Receive, Wait
from contract.store_contract import Clock
from fakes import InMemoryQueue
from servers import REGION, unique
from steadyrag.adapters.local.queue import LocalQueue
from steadyrag.adapters.sqs import SqsQueue
from steadyrag.domain.errors import Refused, Rejected
from steadyrag.domain.ledger import Letter


@pytest.fixture
def clock() -> Clock:
    return Clock()


def passing(clock: Clock) -> Wait:
    async def wait(seconds: float) -> None:
        clock.passes(seconds)

    return wait


class TestInMemoryQueue(QueueContract):
    @pytest.fixture
    def queue(self, clock: Clock) -> InMemoryQueue:
        return InMemoryQueue(clock=clock)

    @pytest.fixture
    def receive(self, queue: InMemoryQueue) -> Receive:
        async def receive() -> list[Letter]:
            return queue.receive()

        return receive

    @pytest.fixture
    def wait(self, clock: Clock) -> Wait:
        return passing(clock)


class TestLocalQueue(QueueContract):
    @pytest.fixture
    def queue(self, clock: Clock) -> LocalQueue:
        return LocalQueue(clock=clock)

    @pytest.fixture
    def receive(self, queue: LocalQueue) -> Receive:
        return queue.receive

    @pytest.fixture
    def wait(self, clock: Clock) -> Wait:
        return passing(clock)


@pytest.fixture
def sqs(local_aws) -> Any:
    client = boto3.client("sqs", endpoint_url=local_aws.url, region_name=REGION)
    yield client
    client.close()


@pytest.fixture
def url(sqs: Any) -> str:
    made: str = sqs.create_queue(QueueName=unique("ingest"))["QueueUrl"]
    return made


def received(sqs: Any, url: str) -> list[Letter]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=0,
        MessageAttributeNames=["All"],
        AttributeNames=["All"],
    )
    letters: list[Letter] = []
    for one in answer.get("Messages", []):
        said = one.get("MessageAttributes", {})
        count = int(one["Attributes"]["ApproximateReceiveCount"])
        attributes = {name: value["StringValue"] for name, value in said.items()}
        letters.append(Letter(one["MessageId"], one["Body"], count, attributes))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return letters


class TestSqsQueue(QueueContract):
    @pytest.fixture
    async def queue(self, local_aws, url: str) -> AsyncIterator[SqsQueue]:
        opened = SqsQueue(url, endpoint_url=local_aws.url, region=REGION, timeout_s=20.0)
        yield opened
        await opened.aclose()

    @pytest.fixture
    def receive(self, sqs: Any, url: str) -> Receive:
        async def receive() -> list[Letter]:
            return await asyncio.to_thread(received, sqs, url)

        return receive

    @pytest.fixture
    def wait(self) -> Wait:
        return asyncio.sleep

    async def test_what_sqs_would_not_take_is_mended_and_cut(self, queue, receive: Receive):
        attributes = {"reason": "\0\x1b휴" * 2000, "empty": "", "surrogate": "\ud800"}
        await queue.send("a\0b\ud800", attributes=attributes)
        (letter,) = await receive()
        assert letter.body == "a\ufffdb\ufffd"
        assert set(letter.attributes) == {"reason", "surrogate"}
        assert 1990 <= len(letter.attributes["reason"].encode()) <= 2000
        assert letter.attributes["reason"].startswith("\ufffd\ufffd휴")

    async def test_a_message_that_is_too_large_is_rejected_unsent(self, queue, receive: Receive):
        with pytest.raises(Rejected, match="240,000"):
            await queue.send("휴" * 80_001)
        assert await receive() == []

    async def test_a_missing_queue_is_refused(self, local_aws, url: str):
        queue = SqsQueue(url + "-not", endpoint_url=local_aws.url, region=REGION)
        with pytest.raises(Refused):
            await queue.send("a")
        await queue.aclose()


@pytest.mark.parametrize("make", [InMemoryQueue, LocalQueue])
@pytest.mark.parametrize("delay_s", [-1, 901])
async def test_a_delay_that_sqs_would_not_take_is_not_taken_here(
    make: Callable[[], Any], delay_s: int
):
    with pytest.raises(ValueError, match="from 0 to 900"):
        await make().send("a", delay_s=delay_s)


async def test_receiving_waits_for_what_is_sent():
    queue = LocalQueue()
    waiting = asyncio.create_task(queue.receive())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await queue.send("a")
    assert [letter.body for letter in await waiting] == ["a"]


async def test_receiving_waits_for_what_becomes_due_first():
    queue, began = LocalQueue(), time.monotonic()
    queue.give_back(Letter("1", "late"), delay_s=30)
    waiting = asyncio.create_task(queue.receive())
    await asyncio.sleep(0.02)
    queue.give_back(Letter("2", "soon"), delay_s=0.05)
    assert [letter.body for letter in await waiting] == ["soon"]
    assert 0.05 <= time.monotonic() - began < 5


async def test_what_is_given_back_is_handed_out_again_and_counted():
    queue = LocalQueue()
    await queue.send("a", attributes={"k": "v"})
    (first,) = await queue.receive()
    queue.give_back(first)
    assert await queue.receive() == [Letter(first.id, "a", 2, {"k": "v"})]


async def test_several_receivers_share_what_there_is():
    queue = LocalQueue()
    receivers = [asyncio.create_task(queue.receive(most=2)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for n in range(6):
        await queue.send(str(n))
    batches = await asyncio.wait_for(asyncio.gather(*receivers), 5)
    assert sorted(letter.body for batch in batches for letter in batch) == list("012345")


async def test_a_receiver_that_gives_up_takes_nothing_along():
    queue = LocalQueue()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await queue.receive()
    await queue.send("a")
    assert [letter.body for letter in await queue.receive()] == ["a"]

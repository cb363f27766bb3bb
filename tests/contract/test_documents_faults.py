"""The ledger, the bucket and the queue in AWS on a bad day: nobody there, silence, resets,
throttles, denials, half an answer. Each is said in our own words, in time, and heals."""

import asyncio
import json
import re
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from contract.ledger_contract import INDEXED, place, record
from contract.scripted_http import Reply, ScriptedHttp
from servers import REGION, unique
from steadyrag.adapters.dynamodb_ledger import DynamoDbLedger
from steadyrag.adapters.dynamodb_table import ensure_documents_table
from steadyrag.adapters.s3 import S3Bucket
from steadyrag.adapters.sqs import SqsQueue
from steadyrag.domain.errors import DependencyError, Refused, Rejected, Throttled, Unavailable
from steadyrag.domain.ledger import Outcome
from steadyrag.domain.objects import Attributes
from tcp_proxy import TcpProxy

LIMIT_S, SLACK_S = 1.5, 1.5

type Call = Callable[["World"], Awaitable[Any]]


class World:
    """All three behind one address."""

    def __init__(self, url: str, *, table: str, bucket: str, queue: str, folder: Path) -> None:
        where: dict[str, Any] = {"region": REGION, "endpoint_url": url, "timeout_s": LIMIT_S}
        self.ledger = DynamoDbLedger(table, **where)
        self.bucket = S3Bucket(bucket, transfer_timeout_s=2 * LIMIT_S, **where)
        self.queue = SqsQueue(queue, **where)
        self.copy = str(folder / "copy")

    async def aclose(self) -> None:
        for part in (self.ledger, self.bucket, self.queue):
            await part.aclose()


async def emptied(items: Any) -> list[Any]:
    return [item async for item in items]


CALLS: dict[str, Call] = {
    "look_up": lambda world: world.ledger.look_up(place()),
    "claim": lambda world: world.ledger.claim(place(), owner="me", until=10**12),
    "put": lambda world: world.ledger.owned_by("me").put("default", record()),
    "remove": lambda world: world.ledger.owned_by("me").remove("default", "a.md"),
    "records": lambda world: world.ledger.owned_by("me").records("default"),
    "settle": lambda world: world.ledger.settle(place(), owner="me", mark="", outcome=INDEXED),
    "release": lambda world: world.ledger.release(place(), owner="me"),
    "expect": lambda world: world.ledger.expect(place(), Outcome("pending")),
    "want_gone": lambda world: world.ledger.want_gone(place("other"), "mark"),
    "entries": lambda world: emptied(world.ledger.entries("default")),
    "namespaces": lambda world: world.ledger.namespaces(),
    "bucket put": lambda world: world.bucket.put("k", b"1", Attributes()),
    "head": lambda world: world.bucket.head("k"),
    "fetch": lambda world: world.bucket.fetch("k", world.copy),
    "delete": lambda world: world.bucket.delete("other"),
    "objects": lambda world: emptied(world.bucket.objects("")),
    "folders": lambda world: world.bucket.folders(""),
    "send": lambda world: world.queue.send("a"),
}
"""Each succeeds after those before it."""


@pytest.fixture
def proxy(local_aws) -> Iterator[TcpProxy]:
    with TcpProxy(local_aws.port) as network:
        yield network


@pytest.fixture
async def world(local_aws, proxy: TcpProxy, tmp_path: Path) -> AsyncIterator[World]:
    """Connected through the proxy."""
    where = {"endpoint_url": local_aws.url, "region_name": REGION}
    table, bucket = unique("faults") + "-", unique("faults")
    ensure_documents_table(table, endpoint_url=local_aws.url, region=REGION)
    s3, sqs = boto3.client("s3", **where), boto3.client("sqs", **where)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    queue = sqs.create_queue(QueueName=unique("faults"))["QueueUrl"]
    s3.close()
    sqs.close()
    url = f"http://127.0.0.1:{proxy.port}"
    opened = World(url, table=table, bucket=bucket, queue=queue, folder=tmp_path)
    for call in CALLS.values():
        await call(opened)
    yield opened
    await opened.aclose()


async def all_fail(world: World, *, within_s: float) -> None:
    for name, call in CALLS.items():
        started = time.perf_counter()
        with pytest.raises(Unavailable):
            await call(world)
        assert time.perf_counter() - started < within_s + SLACK_S, name


async def all_answer(world: World) -> None:
    for call in CALLS.values():
        await call(world)


async def test_connections_that_were_killed_are_opened_again(world, proxy):
    for call in CALLS.values():
        proxy.reset()
        await call(world)


async def test_refused_connections_fail_at_once_and_heal_by_themselves(world, proxy):
    proxy.refuse()
    await all_fail(world, within_s=0)
    proxy.accept()
    await all_answer(world)


async def test_connections_that_are_reset_while_used_fail_at_once_and_heal(world, proxy):
    proxy.resetting = True
    await all_fail(world, within_s=0)
    proxy.resetting = False
    await all_answer(world)


async def test_silence_costs_the_timeout_and_no_more(world, proxy):
    proxy.silent = True
    started = time.perf_counter()
    outcomes = await asyncio.gather(
        *(call(world) for call in CALLS.values()), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(CALLS)
    assert time.perf_counter() - started < 2 * LIMIT_S + SLACK_S
    proxy.silent = False
    await asyncio.sleep(LIMIT_S + 0.2)  # for the threads of what was given up
    await all_answer(world)


async def test_what_is_no_http_is_unavailable(world, proxy):
    proxy.answer = b"what?\r\n\r\n"
    await all_fail(world, within_s=2 * LIMIT_S)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedHttp]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    with ScriptedHttp() as scripted:
        yield scripted


@pytest.fixture
async def scripted(service: ScriptedHttp, tmp_path: Path) -> AsyncIterator[World]:
    opened = World(
        service.url,
        table="t-",
        bucket="documents",
        queue=f"{service.url}/123/queue",
        folder=tmp_path,
    )
    yield opened
    await opened.aclose()


def xml(code: str) -> bytes:
    said = f"<Error><Code>{code}</Code><Message>about sesame</Message></Error>"
    return b'<?xml version="1.0" encoding="UTF-8"?>' + said.encode()


def amz_json(code: str) -> bytes:
    return json.dumps({"__type": f"com.amazonaws#{code}", "message": "about sesame"}).encode()


LEDGER, BUCKET, QUEUE = (
    ["look_up", "claim", "settle", "put", "entries", "records"],
    ["bucket put", "fetch", "delete", "objects", "folders"],
    ["send"],
)


@pytest.mark.parametrize(
    ("calls", "reply", "kind"),
    [
        (LEDGER, Reply(400, amz_json("ThrottlingException")), Throttled),
        (LEDGER, Reply(400, amz_json("ProvisionedThroughputExceededException")), Throttled),
        (LEDGER, Reply(400, amz_json("AccessDeniedException")), Refused),
        (LEDGER, Reply(400, amz_json("ResourceNotFoundException")), Refused),
        (LEDGER, Reply(500, amz_json("InternalServerError")), Unavailable),
        (BUCKET, Reply(503, xml("SlowDown")), Throttled),
        (BUCKET, Reply(503, xml("ServiceUnavailable")), Unavailable),
        (BUCKET, Reply(500, xml("InternalError")), Unavailable),
        (BUCKET, Reply(403, xml("AccessDenied")), Refused),
        (BUCKET, Reply(404, xml("NoSuchBucket")), Refused),
        (BUCKET, Reply(400, xml("KeyTooLongError")), Rejected),
        (["fetch"], Reply(403, xml("InvalidObjectState")), Rejected),
        (["objects", "folders"], Reply(200, b"<ListBucketResult><Cont"), Unavailable),
        (["objects"], Reply(200, b"<a><Contents><Key>k</Key></Contents></a>"), Unavailable),
        (["head"], Reply(403), Refused),
        (["head"], Reply(503), Unavailable),
        (["head"], Reply(429), Throttled),
        (["head", "fetch"], Reply(200, b"1", {"etag": '"e"'}), Unavailable),
        (QUEUE, Reply(400, amz_json("RequestThrottled")), Throttled),
        (QUEUE, Reply(400, amz_json("InvalidMessageContents")), Rejected),
        (QUEUE, Reply(403, amz_json("AccessDeniedException")), Refused),
        (QUEUE, Reply(400, amz_json("QueueDoesNotExist")), Refused),
        (QUEUE, Reply(503, b"<html>busy</html>"), Unavailable),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
async def test_what_aws_answers_is_told_apart_by_its_code(scripted, service, calls, reply, kind):
    service.replies = [reply]
    for name in calls:
        with pytest.raises(DependencyError) as caught:
            await CALLS[name](scripted)
        assert type(caught.value) is kind, name
        assert "sesame" not in "".join(traceback.format_exception(caught.value))


async def test_a_throttle_says_how_long_to_wait_where_aws_does(scripted, service):
    service.replies = [Reply(503, xml("SlowDown"), {"retry-after": "7"})]
    with pytest.raises(Throttled) as caught:
        await scripted.bucket.delete("k")
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("body", [b"{}", b'{"Items": 7}', b'{"Items": [{"s": {}}]}', b"{half"])
async def test_a_page_that_makes_no_sense_is_unavailable(scripted, service, body):
    service.replies = [Reply(200, body)]
    with pytest.raises(Unavailable):
        await emptied(scripted.ledger.entries("default"))


@pytest.mark.parametrize("ids", ["", "AQ==", "AQEC", "AHs="])
async def test_a_record_that_makes_no_sense_is_unavailable(scripted, service, ids):
    item = {"d": {"S": "a.md"}, "s": {"S": "indexed"}, "rf": {"S": "f"}, "rc": {"B": ids}}
    service.replies = [Reply(200, json.dumps({"Item": item}).encode())]
    with pytest.raises(Unavailable):
        await scripted.ledger.look_up(place())


def used(request: dict[str, Any]) -> set[str]:
    """Names of values in all of a request's expressions."""
    return {
        name
        for part, said in request.items()
        if part.endswith("Expression")
        for name in re.findall(r":[a-z]+", said)
    }


async def test_every_request_is_one_that_dynamodb_takes(scripted, service):
    """It refuses values that no expression uses, and to change an attribute in two ways."""
    service.replies = [Reply(200, b'{"Items": []}')]
    ledger = scripted.ledger
    for call in LEDGER:
        await CALLS[call](scripted)
    await ledger.owned_by("me").remove("default", "a.md")
    await ledger.settle(place(), owner="me", mark="mark", outcome=Outcome("deleted", reason="why"))
    for reason in (None, "why"):
        await ledger.release(place(), owner="me", reason=reason)
        await ledger.expect(place(), Outcome("pending", reason=reason))
    await emptied(ledger.entries("default", after="a"))
    await ledger.namespaces()
    requests = [json.loads(asked) for asked in service.asked]
    assert len(requests) == len(LEDGER) + 1 + 1 + 1 + 4 + 2
    for request in requests:
        assert used(request) == set(request.get("ExpressionAttributeValues", {}))
        update = request.get("UpdateExpression", "")
        clauses = re.split(r"(?:^| )(?:SET|ADD|REMOVE) ", update)[1:]
        changed = [
            part.split()[0] for clause in clauses for part in re.split(r", (?![^(]*\))", clause)
        ]
        assert len(changed) == len(set(changed))
        assert {"n", "d"}.isdisjoint(changed)


HEADERS = {"etag": '"e"', "last-modified": "Wed, 25 Nov 2026 00:00:00 GMT"}


async def test_content_that_is_cut_short_is_unavailable(scripted, service):
    service.replies = [Reply(200, b"x" * 2_000_000, HEADERS, promised=3_000_000)]
    with pytest.raises(Unavailable):
        await scripted.bucket.fetch("k", scripted.copy)


async def test_content_that_drips_is_given_up_in_time(scripted, service):
    service.replies = [Reply(200, b"x" * 200, HEADERS, pause_s=0.1)]
    started = time.perf_counter()
    with pytest.raises(Unavailable, match="within 3 s"):
        await scripted.bucket.fetch("k", scripted.copy)
    assert time.perf_counter() - started < 2 * LIMIT_S + SLACK_S


async def test_a_fetch_that_is_cancelled_stops_reading(scripted, service):
    service.replies = [Reply(200, b"x" * 50, HEADERS, pause_s=0.02)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await scripted.bucket.fetch("k", scripted.copy)


async def test_content_that_can_not_be_kept_is_not_taken_for_a_missing_object(
    scripted, service, tmp_path
):
    service.replies = [Reply(200, b"x", HEADERS)]
    with pytest.raises(Unavailable):
        await scripted.bucket.fetch("k", str(tmp_path / "no folder" / "copy"))

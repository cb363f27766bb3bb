"""`DynamoStore` on a bad day: throttled, denied, half an answer, or nobody there."""

import asyncio
import json
import logging
import time
import traceback
import zlib
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from servers import REGION
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.domain.errors import ConfigError, DependencyError, Refused, Throttled, Unavailable
from tcp_proxy import TcpProxy

SLACK_S = 0.9


@pytest.fixture
def proxy(local_aws) -> Iterator[TcpProxy]:
    with TcpProxy(local_aws.port) as network:
        yield network


@pytest.fixture
async def store(proxy: TcpProxy, dynamo_table: dict[str, Any]) -> AsyncIterator[DynamoStore]:
    """Connected through the proxy, and holding `a`."""
    where = dynamo_table | {"endpoint_url": f"http://127.0.0.1:{proxy.port}"}
    opened = DynamoStore(**where, timeout_s=1.0, connect_timeout_s=1.0)
    await opened.write({"a": b"1"}, ttl_s=60)
    yield opened
    await opened.aclose()


async def answers(store: DynamoStore) -> bool:
    return await store.read(["a"]) == ({"a": b"1"}, {})


async def test_a_call_after_all_connections_were_killed_succeeds(store, proxy):
    proxy.reset()
    assert await answers(store)


async def test_a_silent_service_costs_the_timeout_and_is_used_again_when_it_speaks(store, proxy):
    proxy.silent = True
    started = time.perf_counter()
    with pytest.raises(Unavailable, match="within 1 s"):
        await store.read(["a"])
    assert time.perf_counter() - started < 1.0 + SLACK_S
    proxy.silent = False
    assert await answers(store)


async def test_refused_connections_fail_at_once_and_heal_by_themselves(store, proxy):
    proxy.refuse()
    started = time.perf_counter()
    with pytest.raises(Unavailable):
        await store.read(["a"])
    assert time.perf_counter() - started < SLACK_S
    proxy.accept()
    assert await answers(store)


async def test_a_closed_store_connects_again(store, proxy):
    await store.aclose()
    before = proxy.accepted
    assert await answers(store)
    assert proxy.accepted == before + 1


async def test_a_missing_table_is_refused(dynamo_table):
    store = DynamoStore(**dynamo_table | {"table": "no-such-table"}, timeout_s=5.0)
    for call in (
        store.read(["a"]),
        store.write({"a": b"1"}, ttl_s=1),
        store.take("u", limit=1, window_s=1),
    ):
        with pytest.raises(Refused):
            await call
    await store.aclose()


async def test_missing_credentials_and_a_missing_region_are_refused(dynamo_table, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for where in (dynamo_table, dynamo_table | {"region": None}):
        store = DynamoStore(**where, timeout_s=2.0, connect_timeout_s=2.0)
        with pytest.raises(Refused):
            await store.read(["a"])
        await store.aclose()


async def test_a_client_that_failed_while_nobody_waited_is_made_again(dynamo_table, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    store = DynamoStore(**dynamo_table | {"region": None}, timeout_s=2.0, connect_timeout_s=2.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await store.read(["a"])
    await asyncio.sleep(0.5)
    with pytest.raises(Refused):
        await store.read(["a"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert await store.read(["a"]) == ({}, {})
    await store.aclose()


async def test_a_value_too_large_for_an_item_is_not_kept_and_its_key_is_emptied(store, caplog):
    with caplog.at_level(logging.WARNING):
        await store.write({"a": b"x" * 500_000, "b": b"2"}, ttl_s=60)
    assert await store.read(["a", "b"]) == ({"b": b"2"}, {})
    assert "500000 bytes" in caplog.text


async def test_a_table_is_made_once(dynamo_table):
    create_table(**dynamo_table)
    with pytest.raises(ConfigError, match="can't create table no"):
        create_table(**dynamo_table | {"table": "no"})


class Scripted:
    """Answers each request with the next of `replies`, a status and a body, and the last one
    from then on."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Any]] = []
        self.asked: list[Any] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                scripted.asked.append(json.loads(self.rfile.read(length)))
                replies = scripted.replies
                status, body = replies.pop(0) if len(replies) > 1 else replies[0]
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("content-length", str(len(data)))
                self.send_header("x-amz-crc32", str(zlib.crc32(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    scripted = Scripted()
    yield scripted
    scripted.stop()


@pytest.fixture
async def scripted(service: Scripted) -> AsyncIterator[DynamoStore]:
    url = f"http://127.0.0.1:{service.server.server_port}"
    opened = DynamoStore(table="state", endpoint_url=url, region=REGION, timeout_s=2)
    yield opened
    await opened.aclose()


def error(code: str) -> dict[str, str]:
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "about sesame"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("ProvisionedThroughputExceededException"), Throttled),
        (400, error("ThrottlingException"), Throttled),
        (400, error("RequestLimitExceeded"), Throttled),
        (400, error("AccessDeniedException"), Refused),
        (400, error("UnrecognizedClientException"), Refused),
        (400, error("ValidationException"), Refused),
        (500, error("InternalServerError"), Unavailable),
        (503, b"<html>busy</html>", Unavailable),
        (200, b"{ half", Unavailable),
        (200, {"Responses": 7}, Unavailable),
        (200, {}, Unavailable),
        (200, {"Responses": {"state": [{"k": {"S": "a"}, "x": {"N": "nan"}}]}}, Unavailable),
    ],
)
async def test_what_the_service_answers_is_told_apart_by_its_code(
    scripted, service, status, body, kind
):
    service.replies = [(status, body)]
    with pytest.raises(DependencyError) as caught:
        await scripted.read(["a"])
    assert type(caught.value) is kind
    assert len(service.asked) == 1
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


async def test_keys_left_out_of_a_batch_are_asked_for_again(scripted, service):
    def item(key: str) -> dict[str, Any]:
        return {"k": {"S": key}, "v": {"B": "MQ=="}}

    left = {"state": {"Keys": [{"k": {"S": "b"}}], "ConsistentRead": True}}
    service.replies = [
        (200, {"Responses": {"state": [item("a")]}, "UnprocessedKeys": left}),
        (200, {"Responses": {"state": [item("b")]}, "UnprocessedKeys": {}}),
    ]
    assert await scripted.read(["a", "b"]) == ({"a": b"1", "b": b"1"}, {})
    assert service.asked[1]["RequestItems"] == left


async def test_keys_left_out_again_and_again_are_a_throttle(scripted, service):
    left = {"state": {"Keys": [{"k": {"S": "a"}}], "ConsistentRead": True}}
    service.replies = [(200, {"Responses": {"state": []}, "UnprocessedKeys": left})]
    with pytest.raises(Throttled):
        await scripted.read(["a"])
    assert len(service.asked) == 3


async def test_items_left_unwritten_are_sent_again(scripted, service):
    left = {"state": [{"DeleteRequest": {"Key": {"k": {"S": "a"}}}}]}
    service.replies = [(200, {"UnprocessedItems": left}), (200, {"UnprocessedItems": {}})]
    await scripted.delete(["a", "b"])
    assert service.asked[1]["RequestItems"] == left


async def test_an_item_that_others_keep_changing_is_given_up(scripted, service):
    now = int(time.time() // 60)

    def held(count: int) -> dict[str, Any]:
        window = {"b": {"N": str(now - 5)}, "c": {"N": str(count)}, "p": {"N": "0"}}
        return {**error("ConditionalCheckFailedException"), "Item": window}

    service.replies = [(400, held(count)) for count in range(9)]
    with pytest.raises(Unavailable, match="others changed"):
        await scripted.take("user", limit=5, window_s=60)

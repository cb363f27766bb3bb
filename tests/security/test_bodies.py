"""Bodies that are too large or never end, sent to the local server over real connections. In AWS
API Gateway reads a body to its end, 10 MB at most, before the function is asked at all."""

import contextlib
import http.client
import json
import socket
import time
import tracemalloc
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from fakes import (
    FakeEmbedder,
    FakeGenerator,
    FakeReranker,
    InMemoryBucket,
    InMemoryIndex,
    InMemoryLedger,
)
from security.fuzz.served import serving
from steadyrag.api import create_app
from steadyrag.api.documents import documents_router
from steadyrag.api.health import health_router
from steadyrag.api.search import search_router
from steadyrag.documents import DocumentParts
from steadyrag.search import Service

CROWD = 200


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    service = Service(
        FakeEmbedder(), InMemoryIndex(), FakeReranker(), FakeGenerator(), FakeGenerator()
    )
    documents = DocumentParts(InMemoryBucket(), InMemoryLedger(), time.time)
    app = create_app([search_router(service), health_router({}), documents_router(documents)])
    with serving(app) as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0)


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join(
        (f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", *lines, "", "")
    ).encode()


def asked(address: tuple[str, int]) -> float:
    """Seconds until a question was answered."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection(*address, timeout=5)
    with contextlib.closing(connection):
        connection.request(
            "POST", "/search", json.dumps({"query": "a"}), {"Content-Type": "application/json"}
        )
        assert connection.getresponse().status == 200
    return time.perf_counter() - started


def test_a_crowd_that_never_finishes_its_sentence_keeps_nobody_waiting(address):
    with contextlib.ExitStack() as ending:
        crowd = [
            ending.enter_context(socket.create_connection(address, timeout=5)) for _ in range(CROWD)
        ]
        for number, one in enumerate(crowd):
            one.sendall(head("/search", "Content-Length: 200000")[: None if number % 2 else 40])
        for _ in range(5):
            for one in crowd:
                one.sendall(b"a")
            assert asked(address) < 2


@pytest.mark.parametrize(("path", "limit"), [("/search", 256 * 1024), ("/documents", 5 << 20)])
@pytest.mark.parametrize("lines", [("Transfer-Encoding: chunked",), ("Content-Length: 90000000",)])
def test_a_body_without_an_end_is_refused_before_it_fills_the_memory(address, path, limit, lines):
    part = b"x" * 65_536
    chunked = "chunked" in lines[0]
    piece = b"10000\r\n" + part + b"\r\n" if chunked else part
    tracemalloc.start()
    sent = 0
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head(path, *lines))
        with contextlib.suppress(ConnectionError):
            while sent < 80_000_000 and not _readable(connection):
                connection.sendall(piece)
                sent += len(part)
        answer = connection.recv(4096)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent < limit + 8_000_000  # what the connection's buffers hold
    assert peak < 4 * limit + 4_000_000
    assert asked(address) < 2


def _readable(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(10)


def test_a_body_that_is_cut_off_is_no_failure_of_ours(address, caplog):
    for _ in range(50):
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(head("/search", "Content-Length: 1000") + b'{"query": "a')
    assert asked(address) < 2
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []

"""An X-Ray daemon that is not there, takes nothing, or is never read: no request is slower for
it, and none fails."""

import contextlib
import errno
import ipaddress
import math
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from integration.test_lambda import CONTEXT, FUNCTIONS, event, load_function
from integration.xray_daemon import Daemon, header
from steadyrag.telemetry import metrics, spans

ABSENT = "127.0.0.1:1"
REQUESTS = 300


@pytest.fixture(autouse=True)
def invoked(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header())
    yield
    spans.configure("off")
    metrics.configure("off")


@pytest.fixture
def unread() -> Iterator[socket.socket]:
    """A daemon that is there and never reads, with room for a datagram or two."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound


def trace(requests: int = REQUESTS) -> list[float]:
    """Traces that many of six spans each; the seconds that each took."""
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        with spans.span("search"):
            spans.annotate(mode="full")
            for stage in ("embedding", "vector", "keyword", "rerank", "generation"):
                with spans.span(stage):
                    spans.note(attempts=1)
        took.append(time.perf_counter() - began)
    return took


def typical_s() -> float:
    """The median time of a request; endless when one is still blocked in the kernel by then."""
    took: list[float] = []
    thread = threading.Thread(target=lambda: took.extend(trace()), daemon=True)
    thread.start()
    thread.join(10)
    return statistics.median(took) if took else math.inf


def fill(sending: socket.socket) -> None:
    """Sends until nothing more goes in."""
    sending.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sending.send(b"x" * 1000)
    sending.setblocking(True)


def xray_through(made: type[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing over sockets of this class."""
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", made)
        spans.configure("xray", environment=os.environ.get)


def address(bound: socket.socket) -> str:
    return f"127.0.0.1:{bound.getsockname()[1]}"


def test_a_daemon_that_is_not_there_costs_nothing(monkeypatch):
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", ABSENT)
    spans.configure("xray", environment=os.environ.get)
    assert typical_s() < 0.005


def test_a_daemon_that_never_reads_costs_nothing(monkeypatch, unread):
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address(unread))
    spans.configure("xray", environment=os.environ.get)
    assert typical_s() < 0.005
    assert unread.recv(65_536).startswith(b'{"format":"json","version":1}\n')


def test_what_the_kernel_can_not_take_at_once_is_dropped(monkeypatch):
    """A pair of sockets whose buffer is full: to send would be to wait."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    fill(here)

    class Full(socket.socket):
        refused = 0

        def __init__(self, *_: Any) -> None:
            super().__init__(fileno=here.detach())

        def sendto(self, data: bytes, _: Any) -> int:
            try:
                return self.send(data)
            except BlockingIOError:
                Full.refused += 1
                raise

    xray_through(Full, monkeypatch)
    assert typical_s() < 0.005
    assert Full.refused == REQUESTS * 6
    there.close()


@pytest.mark.parametrize(
    "code", [errno.ENOBUFS, errno.ENETUNREACH, errno.EMSGSIZE, errno.EPERM, errno.ECONNREFUSED]
)
def test_no_error_of_the_network_reaches_a_request(monkeypatch, caplog, code):
    class Refusing(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise OSError(code, "refused")

    xray_through(Refusing, monkeypatch)
    trace(3)
    assert caplog.text == ""


def test_a_name_is_looked_up_once_and_never_by_a_request(monkeypatch):
    daemon, asked, sent_to = Daemon(), [], []
    lookup = socket.getaddrinfo

    def counted(host: str, *more: Any, **options: Any) -> Any:
        asked.append(host)
        return lookup("127.0.0.1", *more, **options)

    class Seen(socket.socket):
        def sendto(self, data: bytes, to: Any) -> int:
            sent_to.append(to[0])
            return super().sendto(data, to)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    port = daemon.address.partition(":")[2]
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"xray.internal:{port}")
    xray_through(Seen, monkeypatch)
    trace(5)
    assert asked == ["xray.internal"]
    assert len(daemon.heard()) == len(sent_to) == 30
    assert all(ipaddress.ip_address(host) for host in sent_to)  # the kernel looks nothing up
    daemon.close()


@pytest.mark.parametrize("address", ["nowhere.invalid:2000", "nonsense", "127.0.0.1:port"])
def test_an_address_that_leads_nowhere_is_logged_once_and_tried_no_more(
    monkeypatch, caplog, address
):
    def unknown(*_: Any, **__: Any) -> Any:
        asked.append(_)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
    spans.configure("xray", environment=os.environ.get)
    trace(5)
    assert [record.message for record in caplog.records] == ["nothing is traced"]
    assert len(asked) <= 1


class TestTheSearchFunction:
    @pytest.fixture(autouse=True)
    def environment(self, local, monkeypatch):
        for name, value in {
            **local.environment,
            "STEADYRAG_TRACING": "xray",
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
        }.items():
            monkeypatch.setenv(name, value)

    def answers(self) -> list[int]:
        handler = load_function("search").handler
        asked = event("POST", "/search", {"query": "What is the capital of South Korea?"})
        return [handler(asked, CONTEXT)["statusCode"] for _ in range(5)]

    @pytest.mark.parametrize("address", [ABSENT, "nowhere.invalid:2000", "nonsense"])
    def test_it_answers_where_no_daemon_can_be_reached(self, monkeypatch, address):
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
        assert self.answers() == [200] * 5

    def test_it_answers_where_the_daemon_never_reads(self, monkeypatch, unread):
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address(unread))
        assert self.answers() == [200] * 5

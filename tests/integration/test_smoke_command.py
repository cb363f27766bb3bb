"""`steadyrag smoke` over HTTP: against the real functions behind what stands for API Gateway,
and against `steadyrag serve`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from integration.test_lambda import CONTEXT, event, load_function
from integration.vendored import Vendors
from servers import unique
from steadyrag.adapters.local.child_process import Service, free_port
from steadyrag.cli.smoke import command
from vendors import Fault, serving
from vendors.server import Request, Response, Vendor

KEY = "gateway-key"
ENGLISH, KOREAN = "What is the capital of South Korea?", "한글은 누가 창제했나요?"
ASKED = ("--question", ENGLISH, "--question", KOREAN)


class Gateway(Vendor):
    """The REST API at `/v1`: asks for a key, and invokes the functions."""

    def __init__(self) -> None:
        super().__init__()
        self.open_to_all = False
        self.dropped: set[str] = set()
        self._environment = ThreadPoolExecutor(1)
        self._handlers = self._environment.submit(_handlers).result()

    def operation_of(self, request: Request) -> str:
        return request.path.removeprefix("/v1")

    def answer(self, request: Request, fault: Fault | None) -> Response:
        path = request.operation
        if path not in self._handlers or not request.path.startswith("/v1/"):
            return _problem(404, "not-found", "Not Found")
        allowed = self.open_to_all or request.headers.get("x-api-key") == KEY
        if path != "/health/live" and not allowed:
            return _problem(403, "forbidden", "Forbidden")
        asked = event(request.method, path, request.body.decode() or None)
        reply = self._environment.submit(self._handlers[path], asked, CONTEXT).result()
        kept = {k: v for k, v in reply["headers"].items() if k not in self.dropped}
        kept.pop("content-length", None)
        return Response(reply["statusCode"], reply["body"].encode(), kept)

    def error(self, fault: Fault) -> Response:
        return _problem(fault.status, fault.code or "internal-error", "as the test ordered")


def _handlers() -> dict[str, Any]:
    asyncio.set_event_loop(asyncio.new_event_loop())
    health = load_function("health").handler
    search = load_function("search").handler
    return {"/health/live": health, "/health": health, "/search": search}


def _problem(status: int, kind: str, title: str) -> Response:
    body = {"type": f"urn:steadyrag:problem:{kind}", "title": title, "detail": "no"}
    return Response(status, body, {"content-type": "application/problem+json"})


@pytest.fixture
def gateway(
    local: Vendors, valkey_cluster: Service, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gateway]:
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    with Redis(port=valkey_cluster.port) as valkey:
        valkey.flushall()  # circuits that another test has opened
    monkeypatch.setenv("STEADYRAG_CACHE_URL", valkey_cluster.url)
    monkeypatch.setenv("STEADYRAG_RATE_LIMIT", "600/minute")
    with serving(Gateway()) as running:
        yield running


def smoke(url: str, *arguments: str, **environment: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(command, [url, *arguments], env=environment)


def statuses(result: Result) -> list[str]:
    """Of each finding, in order."""
    words = {"ok", "warn", "fail", "skip"}
    starts = [line.split(" ", 1)[0] for line in result.stdout.splitlines()]
    return [start for start in starts if start in words]


def test_a_service_that_is_well_passes(gateway):
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, *ASKED)
    assert statuses(result) == ["ok"] * 6, result.stdout
    assert result.exit_code == 0
    assert "search without a key: refused: Forbidden" in result.stdout
    assert f" ms  search “{KOREAN}”: mode full" in result.stdout


def test_the_key_may_come_from_the_environment_and_is_not_shown(gateway):
    result = smoke(f"{gateway.url}/v1/", *ASKED, STEADYRAG_API_KEY=KEY)
    assert statuses(result) == ["ok"] * 6, result.stdout
    assert KEY not in result.output


def test_both_questions_are_asked_without_any_being_given(gateway):
    smoke(f"{gateway.url}/v1", "--api-key", KEY)
    asked = [json.loads(request.body)["query"] for request in gateway.asked("/search")]
    assert asked[:2] == ["What is this about?", "이 문서는 무엇에 대한 것인가요?"]


def test_a_wrong_key_says_which_to_pass(gateway):
    result = smoke(f"{gateway.url}/v1", "--api-key", "stale", *ASKED)
    assert result.exit_code == 1
    assert "answered 403 instead of 200" in result.stdout
    assert "STEADYRAG_API_KEY" in result.stdout


def test_a_service_that_answers_anybody_fails(gateway):
    gateway.open_to_all = True
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, *ASKED)
    assert statuses(result).count("fail") == 1
    assert "answers anybody" in result.stdout


def test_an_address_without_its_stage_says_so(gateway):
    result = smoke(gateway.url, "--api-key", KEY, *ASKED)
    assert result.exit_code == 1
    assert "ends in its stage" in result.stdout


def test_a_degraded_answer_warns_and_a_canned_one_fails(gateway, local):
    local.pinecone.faults.add("rerank", Fault("status", status=503))
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, "--question", unique("capital?"))
    assert "mode partial; lost: rerank\n" in result.stdout, result.stdout
    assert result.exit_code == 0
    for operation in ("vector_search", "keyword_search", "stats"):
        local.pinecone.faults.add(operation, Fault("status", status=503))
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, "--question", unique("bread?"))
    assert "it is canned" in result.stdout, result.stdout
    assert result.exit_code == 1


def test_a_service_that_lost_its_index_says_what_health_said(gateway, local):
    local.pinecone.faults.add("stats", Fault("status", status=503))
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, *ASKED)
    assert result.exit_code == 1
    assert "it can't answer: index: answered 503" in result.stdout


def test_a_namespace_without_documents_warns(gateway):
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, "--namespace", unique("empty"))
    assert "nothing was found" in result.stdout
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("header", "status", "said"),
    [("server-timing", "fail", "Server-Timing"), ("ratelimit", "warn", "RateLimit")],
)
def test_headers_that_get_lost_are_missed(gateway, header, status, said):
    gateway.dropped = {header}
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, *ASKED)
    assert statuses(result).count(status) == 2
    assert f"there is no {said} header" in result.stdout
    assert result.exit_code == (status == "fail")


def test_a_refusal_that_is_no_problem_document_fails(gateway):
    gateway.dropped = {"content-type"}
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, *ASKED)
    assert "a 422 that is no problem document" in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("status", status=429, code="rate-limited"), "wait as long as Retry-After"),
        (Fault("status", status=500), "answered 500 instead of 200"),
        (Fault("garbage"), "the answer is wrong"),
        (Fault("reset"), "could not be reached"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_an_answer_that_is_none_fails_and_says_what_to_do(gateway, fault, said):
    gateway.faults.add("/search", fault)
    result = smoke(f"{gateway.url}/v1", "--api-key", KEY, *ASKED)
    assert result.exit_code == 1
    assert said in result.stdout


def test_where_nobody_answers_one_line_is_enough():
    result = smoke(f"http://127.0.0.1:{free_port()}")
    assert statuses(result) == ["fail"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [("127.0.0.1:8080",), ("http://h", "--question", " "), ("http://h", "--namespace", "a/b")],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_asked(arguments):
    assert smoke(*arguments).exit_code == 2


def test_serve_without_a_key_passes(tmp_path: Path):
    port = free_port()
    environment = os.environ | {"STEADYRAG_PORT": str(port), "STEADYRAG_DATA_DIR": str(tmp_path)}
    program = Path(sys.executable).with_name("steadyrag")
    (tmp_path / "refunds.md").write_text("# Refunds\n\nA refund takes five working days.\n")
    subprocess.run(
        [program, "ingest", str(tmp_path)], env=environment, check=True, capture_output=True
    )
    server = subprocess.Popen(
        [program, "serve"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        assert any("Ready on" in line for line in server.stderr)
        result = smoke(f"http://127.0.0.1:{port}", "--question", "How long does a refund take?")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=15)
    assert statuses(result) == ["ok", "ok", "warn", "ok"], result.stdout
    assert "nothing is limited" in result.stdout
    assert result.exit_code == 0

"""Traces as the X-Ray daemon gets them: datagrams on a port of this machine."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from integration.test_lambda import CONTEXT, FUNCTIONS, event, load_function
from steadyrag.telemetry import metrics, spans
from vendors.faults import Fault

QUESTION = "What is the capital of South Korea, between you and me?"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"
FUNCTION_SEGMENT = "53995c3f42cd8ad8"


class Daemon:
    """Listens where the X-Ray daemon would."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def heard(self) -> list[dict[str, Any]]:
        """The subsegments that have come since the last call, in the order they closed."""
        found = []
        while True:
            try:
                header, _, document = self._socket.recv(65_536).partition(b"\n")
            except TimeoutError:
                return found
            assert json.loads(header) == {"format": "json", "version": 1}
            found.append(json.loads(document))

    def trace(self) -> dict[str, dict[str, Any]]:
        """By name, where each name came once."""
        heard = self.heard()
        by_name = {subsegment["name"]: subsegment for subsegment in heard}
        assert len(by_name) == len(heard)
        return by_name

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module", autouse=True)
def sdk() -> Iterator[None]:
    """The SDK opens its socket when it is imported, and never closes it."""
    from aws_xray_sdk.core import xray_recorder

    yield
    xray_recorder.emitter._socket.close()


@pytest.fixture
def daemon(local, monkeypatch) -> Iterator[Daemon]:
    listening = Daemon()
    for name, value in {
        **local.environment,
        "STEADYRAG_TRACING": "xray",
        "LAMBDA_TASK_ROOT": str(FUNCTIONS),
        "AWS_XRAY_DAEMON_ADDRESS": listening.address,
    }.items():
        monkeypatch.setenv(name, value)
    yield listening
    listening.close()
    spans.configure("off")
    metrics.configure("off")


@pytest.fixture
def invoked(monkeypatch):
    """Sets what Lambda sets before each invocation."""

    def invoke(*, root: str = ROOT, parent: str = FUNCTION_SEGMENT, sampled: int = 1) -> None:
        header = f"Root={root};Parent={parent};Sampled={sampled}"
        monkeypatch.setenv("_X_AMZN_TRACE_ID", header)

    invoke()
    return invoke


def ask(handler: Any, question: str = QUESTION) -> dict[str, Any]:
    response = handler(event("POST", "/search", {"query": question}), CONTEXT)
    return {"status": response["statusCode"], **json.loads(response["body"])}


def test_branches_that_run_side_by_side_are_both_children_of_the_search(daemon, local, invoked):
    local.slow(embeddings=60, keyword_search=60)
    body = ask(load_function("search").handler)
    trace = daemon.trace()
    stages = {"embedding", "vector", "keyword", "rerank", "generation"}
    assert set(trace) == {"search", *stages}
    search = trace["search"]
    assert (search["trace_id"], search["parent_id"]) == (ROOT, FUNCTION_SEGMENT)
    assert {trace[stage]["parent_id"] for stage in stages} == {search["id"]}
    assert {subsegment["trace_id"] for subsegment in trace.values()} == {ROOT}
    assert trace["keyword"]["start_time"] < trace["embedding"]["end_time"]
    assert trace["embedding"]["end_time"] <= trace["vector"]["start_time"]
    assert search["annotations"] == {
        "search_id": body["search_id"],
        "mode": "full",
        "cache": "off",
    }
    assert not any("fault" in subsegment for subsegment in trace.values())


@pytest.mark.parametrize("root", [ROOT, "1-67891233-abcdef012345678912345678"])
def test_the_second_invocation_has_its_own_parent(daemon, invoked, root):
    handler = load_function("search").handler
    ask(handler)
    first = daemon.trace()["search"]
    invoked(root=root, parent="70de5b6f19ff9a0a")
    ask(handler)
    second = daemon.trace()
    assert second["search"]["trace_id"] == root
    assert second["search"]["parent_id"] == "70de5b6f19ff9a0a"
    assert second["vector"]["parent_id"] == second["search"]["id"] != first["id"]


def test_a_degraded_answer_says_so_in_body_trace_log_and_metrics(
    daemon, local, invoked, monkeypatch, capfd
):
    monkeypatch.setenv("STEADYRAG_METRICS", "emf")
    local.pinecone.faults.add("rerank", Fault("status", status=503))
    body = ask(load_function("search").handler)
    assert (body["mode"], body["degraded"]) == ("partial", ["rerank"])

    trace = daemon.trace()
    annotations = trace["search"]["annotations"]
    assert (annotations["mode"], annotations["degraded"]) == ("partial", "rerank")
    assert "fault" not in trace["search"]
    lost = {name: s["annotations"] for name, s in trace.items() if s.get("fault")}
    assert lost == {"rerank": {"reason": "Unavailable"}}

    printed = capfd.readouterr()
    counted = [json.loads(line) for line in printed.out.splitlines()]
    assert [document["mode"] for document in counted if "Requests" in document] == ["partial"]
    assert [document["RerankLost"] for document in counted if "RerankLost" in document] == [[1]]

    lines = [json.loads(line) for line in printed.err.splitlines()]
    (lost_line,) = [line for line in lines if line["message"] == "stage lost"]
    (answer_line,) = [line for line in lines if line["message"] == "search"]
    assert (lost_line["stage"], lost_line["dependency"]) == ("rerank", "reranker")
    assert answer_line["search_id"] == annotations["search_id"]
    assert (answer_line["degraded"], answer_line["cache"]) == (["rerank"], "off")
    gateway_id = event("POST", "/search")["requestContext"]["requestId"]
    assert {line["request_id"] for line in lines} == {gateway_id}


def test_no_word_of_the_question_is_traced(daemon, local, invoked):
    local.pinecone.faults.add("*", Fault("garbage"))
    ask(load_function("search").handler)
    heard = daemon.heard()
    assert heard
    assert "between you and me" not in json.dumps(heard)


def test_a_callers_mistake_is_an_error_and_no_fault(daemon, invoked):
    assert ask(load_function("search").handler, question=" ")["status"] == 422
    search = daemon.trace()["search"]
    assert search["error"]
    assert "fault" not in search
    assert search["annotations"] == {"reason": "InvalidInput"}


def test_what_is_not_sampled_is_not_sent(daemon, invoked):
    invoked(sampled=0)
    assert ask(load_function("search").handler)["mode"] == "full"
    assert daemon.heard() == []


def test_nothing_is_sent_outside_of_an_invocation(daemon):
    assert ask(load_function("search").handler)["mode"] == "full"
    assert daemon.heard() == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:2000", "nonsense"])
def test_a_daemon_that_can_not_be_reached_costs_no_answer(daemon, invoked, monkeypatch, address):
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
    assert ask(load_function("search").handler)["mode"] == "full"


def test_the_sdk_is_imported_only_where_it_traces(daemon, monkeypatch):
    def imported() -> str:
        code = (
            "import sys, runpy; runpy.run_path(sys.argv[1]);"
            "slow = ('aws_xray_sdk', 'botocore.session');"
            "print([name for name in slow if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(FUNCTIONS / "search.py")],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert imported() == "['aws_xray_sdk']"
    monkeypatch.setenv("STEADYRAG_TRACING", "off")
    assert imported() == "[]"

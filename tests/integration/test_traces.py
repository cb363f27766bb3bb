"""Traces of the search function, as the X-Ray daemon gets them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from integration.test_lambda import CONTEXT, FUNCTIONS, event, imported, load_function
from integration.xray_daemon import FUNCTION_SEGMENT, ROOT, Daemon, header
from steadyrag.telemetry import metrics, spans
from steadyrag.telemetry.redaction import redact
from vendors.faults import Fault

QUESTION = "What is the capital of South Korea, between you and me?"


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

    def invoke(**invocation: Any) -> None:
        monkeypatch.setenv("_X_AMZN_TRACE_ID", header(**invocation))

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
        "variant": "default",
        "namespace": "default",
    }
    assert not any("fault" in subsegment for subsegment in trace.values())
    assert "metadata" not in search
    generation = trace["generation"]["metadata"]["steadyrag"]
    assert generation["model"] == body["model"]
    assert generation["completion_tokens"] == body["usage"]["completion_tokens"]


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
    assert trace["search"]["metadata"]["steadyrag"] == {"query": redact(QUESTION, "hash")}
    lost = {name: s["annotations"] for name, s in trace.items() if s.get("fault")}
    assert lost == {"rerank": {"reason": "Unavailable: answered 503 UNAVAILABLE"}}

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
    assert {line["xray_trace_id"] for line in lines} == {ROOT}


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
    assert search["annotations"]["reason"] == "InvalidInput"


def test_what_is_not_sampled_is_not_sent_and_no_line_says_that_it_is(daemon, invoked, capfd):
    invoked(sampled=0)
    assert ask(load_function("search").handler)["mode"] == "full"
    assert daemon.heard() == []
    assert ROOT not in capfd.readouterr().err


def test_nothing_is_sent_outside_of_an_invocation(daemon):
    assert ask(load_function("search").handler)["mode"] == "full"
    assert daemon.heard() == []


def test_tracing_imports_no_sdk(daemon):
    assert imported("aws_xray_sdk", "botocore.session") == []
    assert imported("steadyrag.telemetry.xray") == ["steadyrag.telemetry.xray"]

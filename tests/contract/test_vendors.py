"""The vendor servers themselves: what other tests rest on."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from steadyrag.adapters.pinecone_schema import schema
from vendors import Fault, OpenAIVendor, PineconeVendor, serving

OPENAI_HEADERS = {"Authorization": "Bearer sk-local-openai", "Content-Type": "application/json"}
PINECONE_HEADERS = {
    "Api-Key": "pc-local",
    "X-Pinecone-Api-Version": "2026-07",
    "Content-Type": "application/json",
}


def call(
    url: str, body: object = None, headers: dict[str, str] | None = None, method: str = ""
) -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        raw = None if body is None else json.dumps(body)
        connection.request(method or ("POST" if raw else "GET"), parts.path, raw, headers or {})
        answer = connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if said else None
    finally:
        connection.close()


@pytest.fixture
def openai() -> Iterator[OpenAIVendor]:
    with serving(OpenAIVendor()) as vendor:
        yield vendor


@pytest.fixture
def pinecone() -> Iterator[PineconeVendor]:
    now = [0.0]
    with serving(PineconeVendor(clock=lambda: now[0], visible_after_s=3)) as vendor:
        vendor.now = now  # type: ignore[attr-defined]
        vendor.create("docs", schema(2)["fields"])
        yield vendor


def embed(openai: OpenAIVendor, body: dict[str, object]) -> tuple[int, Any]:
    return call(f"{openai.base_url}/embeddings", body, OPENAI_HEADERS)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "text-embedding-9"}, 404, "model"),
        ({"input": []}, 400, "input"),
        ({"input": [""]}, 400, "input"),
        ({"input": ["x"] * 2049}, 400, "input"),
        ({"input": "word " * 9000}, 400, "input"),
        ({"dimensions": 4000}, 400, "dimensions"),
        ({"encoding_format": "int8"}, 400, "encoding_format"),
        ({"surprise": 1}, 400, "surprise"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_openai_refuses_what_openai_refuses(
    openai: OpenAIVendor, change: dict[str, object], status: int, param: str
) -> None:
    body = {"model": "text-embedding-3-small", "input": "x"} | change
    got, said = embed(openai, body)
    assert (got, said["error"]["param"]) == (status, param)
    assert said["error"].keys() == {"message", "type", "param", "code"}


def test_openai_wants_its_key(openai: OpenAIVendor) -> None:
    status, said = call(f"{openai.base_url}/embeddings", {}, {"Authorization": "Bearer sk-x"})
    assert (status, said["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "change", [{"max_tokens": 5}, {"temperature": 0.2}, {"model": "o1"}, {"messages": []}]
)
def test_chat_refuses_what_a_reasoning_model_refuses(
    openai: OpenAIVendor, change: dict[str, object]
) -> None:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]} | change
    status, said = call(f"{openai.base_url}/chat/completions", body, OPENAI_HEADERS)
    assert status in (400, 404)
    assert said["error"]["type"] == "invalid_request_error"


GOOD = {"_id": "a", "embedding": [1, 0], "terms": "one two"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_id": "한글"}, "ASCII"),
        ({"_id": "x" * 513}, "512"),
        ({"embedding": [1, 0, 0]}, "dimension 3 does not match the dimension of the index 2"),
        ({"embedding": [0, 0]}, "non-zero"),
        ({"embedding": None}, "list of numbers"),
        ({"terms": ["a"]}, "must be a string"),
        ({"year": None}, "metadata 'year'"),
        ({"nested": {"a": 1}}, "metadata 'nested'"),
        ({"_score": 1}, "reserved"),
        ({"text": "x" * 41_000}, "40960"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_pinecone_refuses_documents_that_pinecone_refuses(
    pinecone: PineconeVendor, change: dict[str, object], said: str
) -> None:
    url = f"{pinecone.host('docs')}/namespaces/n/documents/upsert"
    status, answer = call(url, {"documents": [GOOD | change]}, PINECONE_HEADERS)
    assert status == 400
    assert said in answer["error"]["message"]


@pytest.mark.parametrize(
    "expression",
    [
        {},
        {"year": 2024},
        {"year": {"$near": 1}},
        {"year": {"$gt": "x"}},
        {"public": {"$in": [True]}},
        {"terms": {"$eq": "one"}},
        {"$not": [{"a": {"$eq": 1}}]},
    ],
    ids=str,
)
def test_pinecone_refuses_filters_that_pinecone_refuses(
    pinecone: PineconeVendor, expression: dict[str, object]
) -> None:
    clause = {"type": "text", "query": "one", "fields": ["terms"]}
    status, _ = call(
        f"{pinecone.host('docs')}/namespaces/n/documents/search",
        {"score_by": [clause], "top_k": 5, "filter": expression},
        PINECONE_HEADERS,
    )
    assert status == 400


def test_a_search_without_include_fields_tells_id_and_score_only(
    pinecone: PineconeVendor,
) -> None:
    base = f"{pinecone.host('docs')}/namespaces/n/documents"
    call(f"{base}/upsert", {"documents": [GOOD | {"title": "T"}]}, PINECONE_HEADERS)
    call(f"{pinecone.url}/_settle", {})
    clause = {"type": "dense_vector", "field": "embedding", "values": [2, 0]}
    _, bare = call(f"{base}/search", {"score_by": [clause], "top_k": 5}, PINECONE_HEADERS)
    assert bare["matches"] == [{"_id": "a", "_score": 1.0}]
    body = {"score_by": [clause], "top_k": 5, "include_fields": ["title"]}
    assert call(f"{base}/search", body, PINECONE_HEADERS)[1]["matches"][0]["title"] == "T"


def test_a_vector_clause_stands_alone(pinecone: PineconeVendor) -> None:
    clauses = [
        {"type": "dense_vector", "field": "embedding", "values": [1, 0]},
        {"type": "text", "query": "one", "fields": ["terms"]},
    ]
    status, _ = call(
        f"{pinecone.host('docs')}/namespaces/n/documents/search",
        {"score_by": clauses, "top_k": 5},
        PINECONE_HEADERS,
    )
    assert status == 400


def test_pinecone_wants_key_and_version(pinecone: PineconeVendor) -> None:
    url = f"{pinecone.url}/indexes"
    assert call(url, headers={})[0] == 401
    assert call(url, headers={"Api-Key": "pc-local"})[0] == 400
    assert call(url, headers=PINECONE_HEADERS)[0] == 200


def test_a_write_is_visible_when_its_time_has_come(pinecone: PineconeVendor) -> None:
    base = pinecone.host("docs")
    call(f"{base}/namespaces/n/documents/upsert", {"documents": [GOOD]}, PINECONE_HEADERS)

    def visible() -> int:
        said = call(f"{base}/describe_index_stats", {}, PINECONE_HEADERS)[1]
        return int(said["totalVectorCount"])

    pinecone.now[0] = 2.9  # type: ignore[attr-defined]
    assert visible() == 0
    pinecone.now[0] = 3.0  # type: ignore[attr-defined]
    assert visible() == 1


def test_faults_are_set_over_http_counted_and_cleared(openai: OpenAIVendor) -> None:
    order = {"operation": "embeddings", "fault": {"kind": "status", "status": 503}, "times": 2}
    assert call(f"{openai.url}/_faults", order | {"after": 1})[0] == 200
    body: dict[str, object] = {"model": "text-embedding-3-small", "input": "x"}
    assert [embed(openai, body)[0] for _ in range(5)] == [200, 503, 503, 200, 200]
    call(f"{openai.url}/_faults", order)
    call(f"{openai.url}/_faults", method="DELETE")
    assert embed(openai, body)[0] == 200
    listed = call(f"{openai.url}/_requests")[1]
    assert [item["operation"] for item in listed] == ["embeddings"] * 6


def test_an_unknown_fault_is_refused(openai: OpenAIVendor) -> None:
    status, said = call(f"{openai.url}/_faults", {"operation": "chat", "fault": {"kind": "gloom"}})
    assert status == 400
    assert "gloom" in said["problem"]


def test_latency_is_what_was_asked_for_however_many_ask(openai: OpenAIVendor) -> None:
    openai.faults.latency_ms["embeddings"] = 150
    body: dict[str, object] = {"model": "text-embedding-3-small", "input": "a question"}

    def timed(_: int) -> float:
        started = time.perf_counter()
        embed(openai, body)
        return time.perf_counter() - started

    with ThreadPoolExecutor(8) as pool:
        slowest = max(pool.map(timed, range(8)))
    assert 0.15 <= slowest < 0.25


def test_an_operation_resets_the_connection_when_told_to(openai: OpenAIVendor) -> None:
    openai.faults.add("embeddings", Fault("reset"))
    with pytest.raises(ConnectionResetError):
        embed(openai, {"model": "text-embedding-3-small", "input": "x"})


def test_both_vendors_serve_from_a_process_of_their_own() -> None:
    tests = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "vendors", "--openai-key", "sk-mine"],
        cwd=tests,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        headers = {"Authorization": "Bearer sk-mine"}
        assert call(f"{where['openai']}/models", headers=headers)[0] == 200
        assert call(f"{where['pinecone']}/indexes", headers=PINECONE_HEADERS)[0] == 200
        process.terminate()
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.communicate()

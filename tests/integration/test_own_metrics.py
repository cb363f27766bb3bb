"""Requests that overlap in one server: what each one's metrics hold."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn

from builders import chunk
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex
from steadyrag.adapters.local.child_process import free_port
from steadyrag.api import create_app
from steadyrag.api.search import search_router
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import EmbeddedChunk, Hit, Question, Ranking
from steadyrag.search import Service
from steadyrag.telemetry import metrics

REQUESTS = 200
TIMES = {
    "Latency": "total",
    "SourcesLatency": "sources",
    "RerankLatency": "rerank",
    "KeywordLatency": "keyword",
    "VectorLatency": "vector",
}
"""What tells requests apart that took the same time by chance: metric and stage."""

TEXT = "Seoul is the capital of Korea."


class ScoresByQuestion(FakeReranker):
    """Scores the n-th question n / 1,000, after a while of its own. Every fifth is lost."""

    async def rerank(self, question: Question, hits: list[Hit], *, top_k: int) -> Ranking:
        number = int(question.text)
        await asyncio.sleep(number * 37 % 50 / 1000)
        if number % 5 == 0:
            raise Unavailable("reranker", "answered 503", retry_after_s=60)
        return Ranking([replace(hits[0], score=number / 1000)], calibrated=True)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    embedder, index = FakeEmbedder(), InMemoryIndex()
    (vector,) = (await embedder.embed_passages([TEXT])).vectors
    await index.upsert("default", [EmbeddedChunk(chunk(TEXT, id="seoul"), vector)])
    service = Service(embedder, index, ScoresByQuestion(), FakeGenerator(), FakeGenerator())
    service.breakers.guard = _unguarded  # type: ignore[method-assign]
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app([search_router(service)]), port=port, log_level="error")
    )
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has a flag only
            await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def _unguarded(_: str, call: Any, **__: Any) -> Any:
    return await call()


async def test_requests_side_by_side_count_each_for_itself(address, capfd, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    metrics.configure("emf", service="many", strict=True)
    try:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=REQUESTS)) as client:
            numbers = range(1, REQUESTS + 1)
            answers = await asyncio.gather(
                *(client.post(f"{address}/search", json={"query": f"{n}"}) for n in numbers)
            )
    finally:
        metrics.configure("off")
    sys.stdout.flush()
    printed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    own = [document for document in printed if "Latency" in document]
    assert len(own) == REQUESTS
    assert all(len(v) == 1 for document in own for v in document.values() if isinstance(v, list))
    by_times = {tuple(document[name][0] for name in TIMES): document for document in own}
    for number, answer in zip(numbers, answers, strict=True):
        timings_ms = answer.json()["timings_ms"]
        document = by_times[tuple(timings_ms[stage] for stage in TIMES.values())]
        lost = number % 5 == 0
        assert document["Degraded"] == [int(lost)]
        assert document.get("RerankLost") == ([1] if lost else None)
        assert document.get("TopRelevance") == (None if lost else [number / 1000])
    modes = [document["mode"] for document in printed if "Requests" in document]
    assert (modes.count("full"), modes.count("partial")) == (REQUESTS * 4 // 5, REQUESTS // 5)

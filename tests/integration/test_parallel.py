"""The production pipeline takes as long as its critical path, and no longer.

Timed on purpose: what is measured is the vendors' latency, which no load on this machine
shortens, so one request within the bar shows that stages overlap as they should.
"""

import pytest

from steadyrag.domain.models import Query
from steadyrag.search import search
from steadyrag.settings import load
from steadyrag.wiring.service import build

LATENCY_MS = {
    "embeddings": 150,
    "vector_search": 50,
    "keyword_search": 30,
    "rerank": 200,
    "chat": 2000,
}
CRITICAL_PATH_MS = 150 + 50 + 200 + 2000


@pytest.mark.parametrize("keyword_ms", [30, 190])
async def test_the_total_is_the_critical_path_within_three_percent(local, keyword_ms):
    service = build(load(local.environment))
    await search(Query("What is the capital of Korea?"), service)  # imports SDKs, connects
    local.slow(**LATENCY_MS | {"keyword_search": keyword_ms})
    totals: list[float] = []
    while len(totals) < 8 and not (totals and totals[-1] <= CRITICAL_PATH_MS * 1.03):
        # Never the same question twice: its embedding would be held.
        answer = await search(Query(f"Is city {len(totals)} the capital of Korea?"), service)
        assert answer.mode == "full"
        totals.append(answer.timings_ms["total"])
    await service.aclose()
    assert CRITICAL_PATH_MS <= min(totals) <= CRITICAL_PATH_MS * 1.03, totals

"""How long a search takes, by the language of the question."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles

from steadyrag.domain.models import Answer, Language, Query
from steadyrag.progress import progress
from steadyrag.search import Service, search

WARM_UP = 5
"""Questions asked before the clock counts."""
WRITTEN = 50
"""Questions that are also answered, not just searched for."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of `search.search` over the questions of one language.

    p50 to p99, `cpu_ms` and `stages_ms` are with `generate=false`; `answered_p50_ms` is with
    an answer. `cpu_ms` is the median processor time of the whole process, all threads;
    `stages_ms` the median of each stage, of which both searches run side by side.
    """

    language: Language
    questions: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cpu_ms: float
    stages_ms: dict[str, float]
    answered_p50_ms: float
    lost: int


async def measure_latency(
    language: Language, texts: Sequence[str], service: Service, *, namespace: str
) -> Latency:
    """Asks one question after the other; `texts` is not empty."""
    queries = [Query(text, namespace=namespace, generate=False) for text in texts]
    for query in queries[:WARM_UP]:
        await search(replace(query, generate=True), service)
    walls, cpus, answers = await _timed(f"Searching ({language})", queries, service)
    written = [replace(query, generate=True) for query in queries[:WRITTEN]]
    answered, _, more = await _timed(f"Answering ({language})", written, service)
    cuts = quantiles(walls, n=100, method="inclusive") if len(walls) > 1 else walls * 99
    stages = dict.fromkeys(stage for answer in answers for stage in answer.timings_ms)
    return Latency(
        language=language,
        questions=len(texts),
        p50_ms=cuts[49],
        p90_ms=cuts[89],
        p99_ms=cuts[98],
        cpu_ms=median(cpus),
        stages_ms={
            stage: median(answer.timings_ms.get(stage, 0.0) for answer in answers)
            for stage in stages
        },
        answered_p50_ms=median(answered),
        lost=sum(bool(answer.degraded) for answer in (*answers, *more)),
    )


async def _timed(
    label: str, queries: Sequence[Query], service: Service
) -> tuple[list[float], list[float], list[Answer]]:
    """Wall-clock and processor milliseconds of each search, and what it said."""
    walls: list[float] = []
    cpus: list[float] = []
    answers: list[Answer] = []
    with progress(label) as advance:
        for done, query in enumerate(queries, 1):
            cpu, wall = time.process_time(), time.perf_counter()
            answers.append(await search(query, service))
            walls.append((time.perf_counter() - wall) * 1000)
            cpus.append((time.process_time() - cpu) * 1000)
            advance(done, len(queries))
    return walls, cpus, answers

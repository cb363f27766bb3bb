"""The run behind `steadyrag bench`: ingest from empty, again, open, search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Language
from steadyrag.domain.sentences import language_of
from steadyrag.evaluation.dataset import Dataset
from steadyrag.evaluation.english import ENGLISH_QUESTIONS
from steadyrag.evaluation.latency import Latency, measure_latency
from steadyrag.evaluation.workbench import Workbench, take_in, visible_chunks

MOST_QUESTIONS = 200
"""Questions of one language that are asked, spread evenly over the set."""
ROUNDS = 5
"""How often the few English questions are asked, and the index is opened."""

type Open = Callable[[], Workbench]
"""Makes the service anew over the same files, empty the first time."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Seconds and milliseconds as `BenchReport` describes them."""

    chunks: int | None
    ingest_s: float
    ingest_cpu_s: float
    reingest_s: float
    open_s: float
    latencies: Sequence[Latency]


async def benchmark(dataset: Dataset, open_bench: Open) -> Benchmark:
    """Runs everything once, one step after the other."""
    first = open_bench()
    await first.service.embedder.embed_query("warm")
    try:
        cpu, started = time.process_time(), time.perf_counter()
        summary = await take_in(dataset, first, "Ingesting from empty")
        ingest_s = time.perf_counter() - started
        ingest_cpu_s = time.process_time() - cpu
        chunks = await visible_chunks(first, summary)
    finally:
        await first.aclose()
    started = time.perf_counter()
    again = open_bench()
    try:
        await take_in(dataset, again, "Ingesting the same again")
    finally:
        await again.aclose()
    reingest_s = time.perf_counter() - started
    open_s = median([await _opened_s(open_bench) for _ in range(ROUNDS)])
    bench = open_bench()
    try:
        latencies = [
            await measure_latency(language, texts, bench.service, namespace=bench.namespace)
            for language, texts in questions_by_language(dataset).items()
        ]
    finally:
        await bench.aclose()
    return Benchmark(chunks, ingest_s, ingest_cpu_s, reingest_s, open_s, latencies)


async def _opened_s(open_bench: Open) -> float:
    """Seconds until the index, opened anew, has answered a keyword search."""
    started = time.perf_counter()
    bench = open_bench()
    try:
        await bench.service.index.keyword_search(
            "open", top_k=1, namespace=bench.namespace, filter=Filter()
        )
        return time.perf_counter() - started
    finally:
        await bench.aclose()


def questions_by_language(dataset: Dataset) -> dict[Language, list[str]]:
    """The set's questions, Korean first; a set without English ones is also asked
    `ENGLISH_QUESTIONS`."""
    found: dict[Language, list[str]] = {"ko": [], "en": []}
    for question in dataset.questions:
        found[language_of(question.text)].append(question.text)
    spread = {language: _spread(texts) for language, texts in found.items() if texts}
    return spread if "en" in spread else {**spread, "en": [*ENGLISH_QUESTIONS] * ROUNDS}


def _spread(texts: Sequence[str]) -> list[str]:
    step = max(1, -(-len(texts) // MOST_QUESTIONS))
    return list(texts[::step])

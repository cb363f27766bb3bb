"""Asks one question of the pipeline, and keeps what every stage made of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steadyrag.domain.fusion import FusionMethod, fuse
from steadyrag.domain.models import Hit, Query, Ranking
from steadyrag.evaluation.answers import Sighting, seen, without_citations
from steadyrag.evaluation.dataset import GoldQuestion
from steadyrag.evaluation.metrics import CUTOFF
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.run import Run
from steadyrag.search import Retrieved, Service, rank, retrieve, write

BM25, DENSE, FULL = "BM25", "dense", "full"
FUSIONS: tuple[FusionMethod, ...] = ("weighted", "rrf")
ROWS = (BM25, DENSE, *FUSIONS, FULL)

SHOWN = 5
"""Sources that a search returns unless told otherwise; what an answer is written from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one question brought back.

    `ranked` is document ids, best first, by row; `latency_ms` by row, without the time to
    embed the question. `top_score` is the shown score of the first hit, None without a hit;
    `sighting` is None where no answer was asked for.
    """

    question: GoldQuestion
    ranked: Mapping[str, Sequence[str]]
    latency_ms: Mapping[str, float]
    top_score: float | None
    calibrated: bool
    lost: Sequence[str]
    sighting: Sighting | None = None


async def ask(
    question: GoldQuestion,
    service: Service,
    *,
    namespace: str,
    gold_texts: Sequence[str] | None = None,
) -> Outcome:
    """Runs the stages of `search` once, and reads each row off them.

    `gold_texts` are the relevant documents' texts; with them an answer is written too.
    """
    run = Run()
    query = Query(question.text, top_k=_depth(service), namespace=namespace, generate=False)
    with deadline(service.options.deadline_s):
        found = await retrieve(query, service, run)
        ranking = await rank(query, found, service, run)
        sighting = (
            await _sight(question, query, found, ranking, service, run, gold_texts)
            if gold_texts is not None
            else None
        )
    fused, fuse_ms = _fusions(found, service)
    searched_ms = max(run.timings_ms.get("vector", 0.0), run.timings_ms["keyword"])
    configured_ms = searched_ms + fuse_ms[service.options.fusion]
    return Outcome(
        question=question,
        ranked={
            BM25: documents(found.keyword or ()),
            DENSE: documents(found.dense or ()),
            **{method: documents(hits) for method, hits in fused.items()},
            FULL: documents(ranking.hits),
        },
        latency_ms={
            BM25: run.timings_ms["keyword"],
            DENSE: run.timings_ms.get("vector", 0.0),
            **{method: searched_ms + ms for method, ms in fuse_ms.items()},
            FULL: configured_ms + run.timings_ms.get("rerank", 0.0),
        },
        top_score=ranking.hits[0].score if ranking.hits else None,
        calibrated=ranking.calibrated,
        lost=tuple(run.lost),
        sighting=sighting,
    )


def documents(hits: Sequence[Hit]) -> list[str]:
    """The first documents of a ranking of chunks: a document stands where its best chunk does."""
    return list(dict.fromkeys(hit.chunk.document_id for hit in hits))[:CUTOFF]


def _depth(service: Service) -> int:
    """Hits to ask for: as many as the pipeline looks at anyway, so that asking changes nothing."""
    options = service.options
    looked_at = options.candidates
    if service.reranker is not None:
        looked_at = min(looked_at, options.rerank_candidates)
    return max(looked_at, CUTOFF)


def _fusions(
    found: Retrieved, service: Service
) -> tuple[dict[FusionMethod, list[Hit]], dict[FusionMethod, float]]:
    """Each fusion of the two lists, and the milliseconds it took."""
    fused: dict[FusionMethod, list[Hit]] = {}
    took_ms: dict[FusionMethod, float] = {}
    for method in FUSIONS:
        started = time.perf_counter()
        fused[method] = fuse(
            found.dense or (),
            found.keyword or (),
            method=method,
            dense_weight=service.options.dense_weight,
        )
        took_ms[method] = (time.perf_counter() - started) * 1000
    return fused, took_ms


async def _sight(
    question: GoldQuestion,
    query: Query,
    found: Retrieved,
    ranking: Ranking,
    service: Service,
    run: Run,
    gold_texts: Sequence[str],
) -> Sighting:
    shown = replace(ranking, hits=ranking.hits[:SHOWN])
    asked = replace(query, top_k=SHOWN, generate=True)
    written = await write(asked, found, shown, service, run)
    return Sighting(
        literal=seen(question.answers, gold_texts),
        sources=seen(question.answers, [hit.chunk.text for hit in shown.hits]),
        context=seen(question.answers, [block.text for block in written.blocks]),
        answer=seen(question.answers, [without_citations(written.text or "")]),
    )

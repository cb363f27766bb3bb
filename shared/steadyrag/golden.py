"""Golden questions, asked as people would ask them, to tell which are lost.

read the sets ─ retrieve and rank, question by question ─ keep how each stands ─ tell

What goes beyond finding sources has no part in it: no answer is written or held, no limit counts
it, and neither statistics nor records of searches know of it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.golden import GoldenQuestion, Standing, rank_of, stands
from steadyrag.domain.models import Query
from steadyrag.golden_sets import GoldenSet, GoldenSets
from steadyrag.resilience.deadline import Clock, deadline
from steadyrag.resilience.run import Run
from steadyrag.resilience.together import together
from steadyrag.search import Service, rank, retrieve
from steadyrag.telemetry import catalogue, metrics, records
from steadyrag.telemetry.spans import span

log = logging.getLogger(__name__)

PARALLEL = 4
"""Questions at once: the vendors' limits are for people."""

OUT_OF_TIME = "time"

SHOWN = 3
"""Of the documents that were found."""


@dataclass(frozen=True, slots=True)
class GoldenParts:
    """What asking needs. `service` is that of searches, whose deadline is each question's;
    `clock` tells epoch seconds, `timer` how long it has taken. After a question that could not
    be asked there is a pause: while a circuit is open, all the others would be over in no time."""

    service: Service
    sets: GoldenSets
    clock: Clock = time.time
    timer: Clock = time.monotonic
    pause_s: float = 1.0

    async def aclose(self) -> None:
        await self.service.aclose()
        await self.sets.aclose()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, how it stood before, and how it stands now; None where it could not be asked,
    and then `missing` names the stages that were lost, or `OUT_OF_TIME`. `found` are the first
    documents that were found, whichever they should have been."""

    namespace: str
    question: GoldenQuestion
    before: Standing | None
    now: Standing | None
    missing: Sequence[str] = ()
    found: Sequence[str] = ()

    @property
    def lost(self) -> bool:
        """One that could not be asked stays as it was."""
        standing = self.now or self.before
        return standing is not None and standing.lost_since is not None


async def watch_golden(parts: GoldenParts, *, seconds: float) -> None:
    """Asks all there are, counts and logs those that are lost. What there is no time for comes
    first the next time. Raises `DependencyError` when the sets can't be read."""
    sets = await parts.sets.read(tolerant=True)
    if not sets:
        return
    with span("golden") as traced:
        asked = await ask_golden(sets, parts, seconds=seconds)
        counts = _told(asked)
        traced.facts.update(counts)
        try:
            await keep(asked, sets, parts)
        except DependencyError as error:
            log.error("golden standings not kept", extra={"reason": str(error)})


async def ask_golden(
    sets: Sequence[GoldenSet],
    parts: GoldenParts,
    *,
    seconds: float = math.inf,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Asked]:
    """All questions of these sets, in their order. Those that were asked longest ago are asked
    first, and none is begun that `seconds` may not be enough for."""
    ends_at = parts.timer() + seconds - parts.service.options.deadline_s
    asked: dict[tuple[str, str], Asked] = {}
    total = sum(len(golden.questions) for golden in sets)

    async def ask_some(waiting: Iterator[tuple[str, GoldenQuestion, Standing | None]]) -> None:
        for namespace, question, before in waiting:
            in_time = parts.timer() <= ends_at
            answer = (
                await ask(question, namespace, parts, before=before)
                if in_time
                else Asked(namespace, question, before, None, (OUT_OF_TIME,))
            )
            asked[namespace, question.id] = answer
            advance(len(asked), total)
            if in_time and answer.now is None:
                await asyncio.sleep(parts.pause_s)

    waiting = iter(_longest_ago_first(sets))
    await together(ask_some(waiting) for _ in range(PARALLEL))
    return [asked[golden.namespace, one.id] for golden in sets for one in golden.questions]


async def ask(
    question: GoldenQuestion,
    namespace: str,
    parts: GoldenParts,
    *,
    before: Standing | None = None,
) -> Asked:
    """One question: embedding, both searches and reranking as for anybody who asks it, but looked
    at to the last candidate, so that it is known how far a lost document has fallen."""
    service = parts.service
    options = service.options
    candidates = min(options.candidates, options.rerank_candidates)
    query = Query(question.text, top_k=max(question.top_k, candidates), namespace=namespace)
    run = Run(
        breakers=service.breakers,
        deadline_s=options.deadline_s,
        prices=service.prices,
    )
    with span("question") as untraced, deadline(options.deadline_s):
        untraced.trace_id = None  # a thousand of them are more than a trace may hold
        found = await retrieve(query, service, run)
        ranking = await rank(query, found, service, run)
    if run.lost:
        return Asked(namespace, question, before, None, tuple(run.lost))
    place = rank_of(question.document_id, ranking.hits)
    now = stands(question, place, parts.clock(), before)
    documents = dict.fromkeys(hit.chunk.document_id for hit in ranking.hits)
    return Asked(namespace, question, before, now, found=list(documents)[:SHOWN])


async def add(
    question: GoldenQuestion, namespace: str, parts: GoldenParts, *, anyway: bool = False
) -> Asked:
    """Asks the question and, if it finds its document, adds it; `anyway` adds it all the same."""
    asked = await ask(question, namespace, parts)
    if anyway or (asked.now and not asked.lost):
        await parts.sets.put(namespace, question)
        await keep([asked], await parts.sets.read(namespace), parts)
    return asked


async def keep(asked: Sequence[Asked], sets: Sequence[GoldenSet], parts: GoldenParts) -> None:
    """Has the next one who asks know how these stand."""
    for golden in sets:
        now = {
            one.question.id: one.now
            for one in asked
            if one.namespace == golden.namespace and one.now
        }
        await parts.sets.settle(golden, now)


def _longest_ago_first(
    sets: Sequence[GoldenSet],
) -> list[tuple[str, GoldenQuestion, Standing | None]]:
    waiting = [
        (golden.namespace, question, golden.standings.get(question.id))
        for golden in sets
        for question in golden.questions
    ]
    return sorted(waiting, key=lambda one: one[2].asked_at if one[2] else 0.0)


def _told(asked: Sequence[Asked]) -> Mapping[str, int]:
    """Counts and logs what came of it."""
    missing = sorted({stage for one in asked for stage in one.missing})
    counts = {
        "asked": sum(one.now is not None for one in asked),
        "lost": sum(one.lost for one in asked),
        "unasked": sum(one.now is None for one in asked),
    }
    metrics.count(catalogue.GOLDEN_ASKED, counts["asked"])
    metrics.count(catalogue.GOLDEN_LOST, counts["lost"])
    log.info(
        "golden questions asked",
        extra={
            "asked": counts["asked"],
            "lost": counts["lost"],
            "unasked": counts["unasked"],
            "missing": missing or None,
        },
    )
    for one in asked:
        if one.lost and one.now:
            _tell(one, one.now)
    return counts


def _tell(one: Asked, now: Standing) -> None:
    log.warning(
        "golden question lost",
        extra={
            "question_id": one.question.id,
            "question": records.shown(one.question.text),
            "namespace": one.namespace,
            "document_id": one.question.document_id,
            "top_k": one.question.top_k,
            "rank": now.rank,
            "rank_before": one.before.rank if one.before else None,
            "lost_since": now.lost_since,
            "found": one.found or None,
        },
    )

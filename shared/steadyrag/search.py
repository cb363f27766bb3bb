"""The search pipeline, in the order it runs.

embed ─ vector search ┐
keyword search ───────┴─ fuse ─ rerank ─ build context ─ generate ─ cite
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypedDict

from steadyrag.domain.citations import resolve_citations
from steadyrag.domain.context import build_context
from steadyrag.domain.filters import Filter
from steadyrag.domain.fusion import FusionMethod, fuse
from steadyrag.domain.messages import message
from steadyrag.domain.models import (
    Answer,
    Block,
    CacheInfo,
    Embedding,
    Generation,
    Hit,
    Language,
    Mode,
    Query,
    Question,
    Ranking,
    Source,
    Usage,
)
from steadyrag.domain.ports import (
    Closeable,
    Embedder,
    Generator,
    Index,
    Reranker,
    SharedStore,
    Warmable,
)
from steadyrag.domain.prices import Prices
from steadyrag.domain.search_ids import new_id
from steadyrag.domain.sentences import language_of
from steadyrag.domain.slices import Caps
from steadyrag.resilience.answer_cache import AnswerCache
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.request_state import RequestState
from steadyrag.resilience.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How the pipeline is tuned; one value for all requests."""

    fusion: FusionMethod = "weighted"
    dense_weight: float = 0.5
    candidates: int = 50
    rerank_candidates: int = 50
    context_tokens: int = 2000
    answer_tokens: int = 300
    deadline_s: float = 25.0


@dataclass(frozen=True, slots=True)
class Service:
    """Everything the pipeline needs. `reranker` is None where none is wanted; `fallback` is
    the model asked when `generator` is lost, and `extractive` answers from the sources alone
    when both are. `cache` is None where nothing is to be kept. `stores` are closed along with
    the rest."""

    embedder: Embedder
    index: Index
    reranker: Reranker | None
    generator: Generator
    extractive: Generator
    fallback: Generator | None = None
    cache: AnswerCache | None = None
    breakers: Breakers = field(default_factory=Breakers)
    stores: Sequence[SharedStore] = ()
    prices: Prices = field(default_factory=Prices)
    options: Options = field(default_factory=Options)
    caps: Caps = field(default_factory=Caps)
    new_id: Callable[[], str] = new_id

    async def warm(self) -> None:
        """Loads what the first question would wait for; raises `ConfigError` when a part is
        not usable."""
        await asyncio.gather(*(part.warm() for part in self._parts() if isinstance(part, Warmable)))

    async def aclose(self) -> None:
        """Drops every connection and file. A part that can't be closed leaves none of the
        others open."""
        for part in self._parts():
            try:
                await part.aclose()
            except Exception:
                log.exception("part not closed", extra={"part": type(part).__name__})

    def _parts(self) -> list[Closeable]:
        writers = (self.generator, self.fallback, self.extractive)
        parts = (self.embedder, self.index, self.reranker, *writers, *self.stores)
        return list({id(part): part for part in parts if part}.values())


async def search(
    query: Query, service: Service, *, deadline_s: float | None = None, refresh: bool = False
) -> Answer:
    """Answers one question; never raises for a dependency's failure, only for the caller's.

    `deadline_s` may shorten the service's own; `refresh` passes over what is held.
    """
    run = Run(
        breakers=service.breakers,
        deadline_s=service.options.deadline_s,
        prices=service.prices,
    )
    with deadline(min(deadline_s or math.inf, service.options.deadline_s)):
        if service.cache is None:
            answer = await compute(query, service, run)
        else:
            answer = await service.cache.answer(
                query, lambda state: compute(query, service, run, state), refresh=refresh
            )
    if not answer.stages and service.cache:
        run.waited("cache")
        answer = replace(answer, timings_ms=run.timings_ms, stages=run.stages)
    timings_ms = {**answer.timings_ms, "total": run.since_ms(run.began)}
    return replace(answer, timings_ms=timings_ms)


async def compute(
    query: Query, service: Service, run: Run, state: RequestState | None = None
) -> Answer:
    """The answer from the index as it is now, or the best that is left of it."""
    if state:
        run.waited("cache")
    if state and state.breakers is not None:
        held_in = state.tier.name if state.tier else None
        service.breakers.absorb(state.breakers, held_in=held_in, read_at=state.began_at)
    found = await retrieve(query, service, run, state)
    if found.lost and (answer := _last_good(state, found, service, run)):
        return answer
    ranking = await rank(query, found, service, run)
    run.timings_ms["sources"] = run.since_ms(run.began)
    written = await write(query, found, ranking, service, run)
    answer_text, hits = _cited(written, ranking.hits)
    generation = written.generation
    return Answer(
        search_id=service.new_id(),
        answer=answer_text,
        sources=[_source(hit, place) for place, hit in enumerate(hits, 1)],
        mode="canned" if written.canned else _mode(run.lost),
        degraded=tuple(dict.fromkeys(run.lost)),
        calibrated=ranking.calibrated,
        cache=CacheInfo(),
        model=generation.model if generation else None,
        variant="default",
        usage=Usage(
            embedding_tokens=found.embedding_tokens,
            prompt_tokens=generation.prompt_tokens if generation else 0,
            completion_tokens=generation.completion_tokens if generation else 0,
            cost_usd=run.cost_usd,
        ),
        timings_ms=run.timings_ms,
        stages=run.stages,
    )


def _last_good(
    state: RequestState | None, found: Retrieved, service: Service, run: Run
) -> Answer | None:
    """What this question was answered last, when the index is lost and nothing of it has
    been deleted since."""
    if state is None or service.cache is None:
        return None
    held = state.last_good(service.cache.shared.clock(), service.new_id())
    if held is None:
        return None
    return replace(
        held,
        degraded=tuple(dict.fromkeys(run.lost)),
        usage=Usage(embedding_tokens=found.embedding_tokens, cost_usd=run.cost_usd),
        timings_ms=run.timings_ms,
        stages=run.stages,
    )


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What the two searches brought back. A list is None when its search was lost."""

    question: Question
    dense: Sequence[Hit] | None
    keyword: Sequence[Hit] | None
    embedding_tokens: int = 0

    @property
    def lost(self) -> bool:
        return self.dense is None and self.keyword is None


class Asked(TypedDict):
    """What both searches are asked for."""

    top_k: int
    namespace: str
    filter: Filter


async def retrieve(
    query: Query, service: Service, run: Run, state: RequestState | None = None
) -> Retrieved:
    """Embedding and vector search, with keyword search beside them from the start. Documents
    deleted lately are left out, whatever the index still says."""
    asked = Asked(
        top_k=max(service.options.candidates, query.top_k),
        namespace=query.namespace,
        filter=query.filter,
    )
    (embedding, dense), keyword = await asyncio.gather(
        _by_vector(query, asked, service, run, state),
        run.attempt(
            "keyword",
            lambda: service.index.keyword_search(query.text, **asked),
            cap_s=service.caps.keyword_s,
            dependency="index:keyword",
        ),
    )
    if state:
        dense = None if dense is None else state.filter_hits(dense)
        keyword = None if keyword is None else list(state.filter_hits(keyword))
    question = Question(
        text=query.text,
        language=language_of(query.text),
        vector=embedding.vector if embedding else None,
        namespace=query.namespace,
    )
    return Retrieved(question, dense, keyword, embedding.tokens if embedding else 0)


async def _by_vector(
    query: Query, asked: Asked, service: Service, run: Run, state: RequestState | None
) -> tuple[Embedding | None, Sequence[Hit] | None]:
    embedding = await _embedding(query, service, run, state)
    if embedding is None:
        return None, None
    hits = await run.attempt(
        "vector",
        lambda: service.index.vector_search(embedding.vector, **asked),
        cap_s=service.caps.vector_s,
        dependency="index:vector",
    )
    return embedding, hits


async def _embedding(
    query: Query, service: Service, run: Run, state: RequestState | None
) -> Embedding | None:
    """The question's vector, held or made."""
    return await run.attempt(
        "embedding",
        lambda: (
            state.embed(service.embedder) if state else service.embedder.embed_query(query.text)
        ),
        cap_s=service.caps.embed_s,
        dependency=None,  # its circuit is inside the embedder, where calls are shared
    )


async def rank(query: Query, found: Retrieved, service: Service, run: Run) -> Ranking:
    """The best `top_k` hits: fused, then reranked; in fused order when the reranker is lost."""
    options = service.options
    fused = fuse(
        found.dense or (),
        found.keyword or (),
        method=options.fusion,
        dense_weight=options.dense_weight,
    )
    if (reranker := service.reranker) and fused:
        candidates = fused[: max(options.rerank_candidates, query.top_k)]
        ranking = await run.attempt(
            "rerank",
            lambda: reranker.rerank(found.question, candidates, top_k=query.top_k),
            cap_s=service.caps.rerank_s,
            dependency="reranker",
        )
        if ranking is not None:
            return ranking
    return Ranking(hits=fused[: query.top_k], calibrated=False)


@dataclass(frozen=True, slots=True)
class Written:
    """The answer before its citations are resolved. `text` is None when none was asked for;
    `canned` says that it is all there was to say."""

    text: str | None
    generation: Generation | None = None
    blocks: Sequence[Block] = ()
    canned: bool = False


async def write(
    query: Query, found: Retrieved, ranking: Ranking, service: Service, run: Run
) -> Written:
    """An answer from the best hits, by the generator or, when it is lost, by quoting them."""
    language = found.question.language
    if found.lost:
        text = message("canned", language) if query.generate else None
        return Written(text, canned=True)
    if not query.generate:
        return Written(None)
    if not ranking.hits:
        return Written(await _nothing(query, language, service, run))
    blocks = build_context(ranking, service.options.context_tokens)
    for stage, writer in _writers(service):
        generation = await run.attempt(
            stage,
            partial(
                writer.generate,
                found.question,
                blocks,
                max_tokens=service.options.answer_tokens,
            ),
            cap_s=service.caps.generate_s,
            dependency=None if writer is service.extractive else f"llm:{writer.model}",
        )
        if generation is not None:
            return Written(generation.text, generation, blocks)
    return Written(message("canned", language), canned=True)


def _writers(service: Service) -> list[tuple[str, Generator]]:
    """Who may write the answer, by stage, in the order they are asked."""
    if service.generator is service.extractive:
        return [("generation", service.generator)]
    fallback = [("fallback", service.fallback)] if service.fallback else []
    return [("generation", service.generator), *fallback, ("extractive", service.extractive)]


async def _nothing(query: Query, language: Language, service: Service, run: Run) -> str:
    """Why there is no hit: an empty namespace, or a filter that nothing passes."""
    status = await run.attempt(
        "index",
        lambda: service.index.status(query.namespace),
        cap_s=service.caps.keyword_s,
        dependency="index:status",
    )
    empty = status is not None and status.chunks == 0
    return message("no_documents" if empty else "no_match", language)


def _cited(written: Written, hits: Sequence[Hit]) -> tuple[str | None, Sequence[Hit]]:
    if written.text is None or not written.blocks:
        return written.text, hits
    return resolve_citations(written.text, written.blocks, hits)


def _mode(lost: Sequence[str]) -> Mode:
    """The rung of the fallback ladder that `lost` leaves."""
    dense_lost = "embedding" in lost or "vector" in lost
    if dense_lost and "keyword" in lost:
        return "canned"
    if dense_lost:
        return "keyword_only"
    return "partial" if lost else "full"


def _source(hit: Hit, place: int) -> Source:
    chunk = hit.chunk
    return Source(
        id=chunk.id,
        document_id=chunk.document_id,
        title=chunk.title,
        url=chunk.url,
        text=chunk.text,
        score=round(hit.score, 4),
        rank=place,
    )

"""The pipeline over fakes: what comes out, and what is left when a stage is lost."""

import asyncio
from array import array
from dataclasses import replace

import pytest

from builders import chunk
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex
from steadyrag.domain.errors import Refused, Throttled, Unavailable
from steadyrag.domain.filters import parse_filter
from steadyrag.domain.models import EmbeddedChunk, Query
from steadyrag.domain.prices import ModelPrice, Prices
from steadyrag.resilience.request_state import RequestState
from steadyrag.resilience.run import Run
from steadyrag.search import Caps, Options, Service, compute, search

PASSAGES = {
    "seoul": "Seoul is the capital of South Korea and its largest city.",
    "paris": "Paris is the capital of France and lies on the Seine.",
    "bread": "Sourdough bread needs flour, water, salt and time.",
    "hangul": "한글은 세종대왕이 1443년에 창제한 문자이다.",
}


@pytest.fixture
async def service() -> Service:
    embedder = FakeEmbedder()
    index = InMemoryIndex()
    vectors = (await embedder.embed_passages(list(PASSAGES.values()))).vectors
    await index.upsert(
        "default",
        [
            EmbeddedChunk(
                chunk(text, id=name, document_id=name, metadata={"kind": name[0]}), vector
            )
            for (name, text), vector in zip(PASSAGES.items(), vectors, strict=True)
        ],
    )
    return Service(
        embedder=embedder,
        index=index,
        reranker=FakeReranker(),
        generator=FakeGenerator(),
        extractive=FakeGenerator(model="extractive"),
    )


QUESTION = Query("What is the capital of Korea?")


async def test_an_answer_cites_the_source_it_came_from(service):
    answer = await search(QUESTION, service)
    assert answer.mode == "full"
    assert answer.degraded == ()
    assert answer.answer == f"{PASSAGES['seoul']} [1]"
    assert answer.sources[0].document_id == "seoul"
    assert [source.rank for source in answer.sources] == [1, 2, 3, 4]


async def test_the_cited_source_comes_first_whatever_its_rank(service):
    service.generator.says = "Flour, water, salt [2], and a city [9]."
    answer = await search(QUESTION, service)
    assert answer.answer == "Flour, water, salt [1], and a city."
    assert answer.sources[0].document_id == "paris"
    assert answer.sources[1].document_id == "seoul"


async def test_without_generation_sources_are_ranked_and_no_model_is_called(service):
    answer = await search(Query(QUESTION.text, top_k=2, generate=False), service)
    assert answer.answer is None
    assert answer.model is None
    assert [source.document_id for source in answer.sources] == ["seoul", "paris"]
    assert not service.generator.calls


async def test_a_filter_and_a_namespace_reach_both_searches(service):
    only_bread = Query(QUESTION.text, filter=parse_filter({"kind": "b"}), generate=False)
    assert [s.document_id for s in (await search(only_bread, service)).sources] == ["bread"]
    elsewhere = Query(QUESTION.text, namespace="elsewhere", generate=False)
    assert (await search(elsewhere, service)).sources == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("anything?", "No documents have been indexed"), ("아무거나?", "아직 색인된 문서가 없습니다")],
)
async def test_an_empty_namespace_is_said_in_the_questions_language(service, text, said):
    answer = await search(Query(text, namespace="empty"), service)
    assert said in answer.answer
    assert answer.mode == "full"


async def test_a_filter_nothing_passes_is_said(service):
    answer = await search(Query("capital?", filter=parse_filter({"kind": "none"})), service)
    assert answer.answer == "No document matches this question and its filter."


DOWN = Unavailable("somewhere", "down")


@pytest.mark.parametrize("error", [DOWN, Throttled("x", "slow"), Refused("x", "key")])
async def test_a_dead_embedding_api_still_answers_from_keywords(service, error):
    service.embedder.fail(error, on="embed_query")
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.degraded) == ("keyword_only", ("embedding",))
    assert answer.sources[0].document_id == "seoul"
    assert "[1]" in answer.answer


async def test_a_lost_vector_search_still_answers_from_keywords(service):
    service.index.fail(DOWN, on="vector_search")
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.degraded) == ("keyword_only", ("vector",))
    assert answer.sources


async def test_a_lost_keyword_search_leaves_the_vectors(service):
    service.index.fail(DOWN, on="keyword_search")
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.degraded) == ("partial", ("keyword",))
    assert answer.sources[0].document_id == "seoul"


async def test_a_lost_reranker_leaves_the_fused_order_uncalibrated(service):
    service.reranker.fail(DOWN)
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.degraded) == ("partial", ("rerank",))
    assert not answer.calibrated
    assert len(answer.sources) == 4


async def test_a_lost_generator_leaves_an_answer_quoted_from_the_sources(service):
    service.generator.fail(DOWN)
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.degraded) == ("partial", ("generation",))
    assert answer.model == "extractive"
    assert "[1]" in answer.answer


async def test_a_lost_generator_leaves_the_second_model(service):
    service.generator.fail(DOWN)
    both = replace(service, fallback=FakeGenerator(model="second"))
    answer = await search(QUESTION, both)
    assert (answer.mode, answer.degraded) == ("partial", ("generation",))
    assert answer.model == "second"


async def test_two_lost_models_leave_an_answer_quoted_from_the_sources(service):
    service.generator.fail(DOWN)
    second = FakeGenerator(model="second")
    second.fail(DOWN)
    answer = await search(QUESTION, replace(service, fallback=second))
    assert (answer.mode, answer.degraded) == ("partial", ("generation", "fallback"))
    assert answer.model == "extractive"


@pytest.mark.parametrize(
    ("text", "said"), [("capital?", "not available"), ("수도는?", "검색을 할 수 없습니다")]
)
async def test_a_dead_index_is_said_politely_in_the_questions_language(service, text, said):
    service.index.fail(DOWN)
    answer = await search(Query(text), service)
    assert answer.mode == "canned"
    assert said in answer.answer
    assert answer.sources == []
    assert set(answer.degraded) == {"vector", "keyword"}


async def test_an_adapter_that_breaks_unforeseen_costs_its_stage_only(service):
    service.embedder.fail(ZeroDivisionError(), on="embed_query")
    assert (await search(QUESTION, service)).mode == "keyword_only"


async def test_a_stage_that_hangs_is_cut_off(service):
    service.reranker.slow(60)
    impatient = Service(
        embedder=service.embedder,
        index=service.index,
        reranker=service.reranker,
        generator=service.generator,
        extractive=service.extractive,
        caps=Caps(rerank_s=0.02),
    )
    answer = await asyncio.wait_for(search(QUESTION, impatient), 5)
    assert answer.degraded == ("rerank",)


async def test_nothing_outlives_the_deadline(service):
    for part in (service.embedder, service.index, service.reranker, service.generator):
        part.slow(60)
    hurried = Service(
        embedder=service.embedder,
        index=service.index,
        reranker=service.reranker,
        generator=service.generator,
        extractive=service.extractive,
        options=Options(deadline_s=0.05),
    )
    answer = await asyncio.wait_for(search(QUESTION, hurried), 5)
    assert answer.mode == "canned"


async def test_keyword_search_starts_with_the_embedding(service):
    """Each waits for the other to have begun: in sequence, both would be cut off."""
    embedding_began, keyword_began = asyncio.Event(), asyncio.Event()
    embed, keyword = service.embedder.embed_query, service.index.keyword_search

    async def embed_query(text):
        embedding_began.set()
        await keyword_began.wait()
        return await embed(text)

    async def keyword_search(text, **options):
        keyword_began.set()
        await embedding_began.wait()
        return await keyword(text, **options)

    service.embedder.embed_query = embed_query
    service.index.keyword_search = keyword_search
    answer = await asyncio.wait_for(search(QUESTION, service), 5)
    assert answer.degraded == ()


async def test_the_question_reaches_the_reranker_with_its_vector(service):
    await search(QUESTION, service)
    [(question, _)] = service.reranker.asked
    assert isinstance(question.vector, array)
    assert (question.language, question.namespace) == ("en", "default")


async def test_timings_name_every_stage_that_ran(service):
    answer = await search(QUESTION, service)
    assert set(answer.timings_ms) == {
        "embedding",
        "vector",
        "keyword",
        "rerank",
        "sources",
        "generation",
        "total",
    }
    assert [stage.name for stage in answer.stages][-2:] == ["rerank", "generation"]
    assert answer.timings_ms["sources"] <= answer.timings_ms["total"]


async def test_stages_say_when_they_ran_and_what_they_used(service):
    answer = await search(QUESTION, service)
    stages = {stage.name: stage for stage in answer.stages}
    assert stages["vector"].start_ms >= stages["embedding"].duration_ms
    assert stages["rerank"].start_ms >= stages["keyword"].start_ms + stages["keyword"].duration_ms
    assert stages["generation"].facts["prompt_tokens"] == answer.usage.prompt_tokens
    assert stages["embedding"].facts["tokens"] == answer.usage.embedding_tokens
    assert not any(stage.lost for stage in answer.stages)


async def test_a_lost_stage_says_why(service):
    service.reranker.fail(Unavailable("reranker", "answered 503"))
    answer = await search(QUESTION, service)
    (lost,) = [stage for stage in answer.stages if stage.lost]
    assert (lost.name, lost.facts["reason"]) == ("rerank", "Unavailable: answered 503")


async def test_a_second_try_is_a_fact_of_its_stage(service):
    service.reranker.fail(Unavailable("reranker", "answered 503"), times=1)
    answer = await search(QUESTION, service)
    (rerank,) = [stage for stage in answer.stages if stage.name == "rerank"]
    assert (rerank.lost, rerank.facts["attempts"]) == (False, 2)


async def test_a_vector_that_is_held_is_a_stage_that_asked_nobody(service):
    state = RequestState(QUESTION, "key", "vector", began_at=0.0)
    state.embedding, state.embedding_held_in = await service.embedder.embed_query("x"), "valkey"
    asked = service.embedder.calls.total()
    answer = await compute(QUESTION, service, Run(), state)
    (embedding,) = [stage for stage in answer.stages if stage.name == "embedding"]
    assert (embedding.facts["cache"], embedding.facts["tokens"]) == ("valkey", 0)
    assert service.embedder.calls.total() == asked


PRICES = Prices(ModelPrice(1000.0), {"fake": ModelPrice(10_000.0, 50_000.0)}, rerank_usd=0.25)


async def test_an_answer_costs_what_its_stages_cost(service):
    priced = replace(service, generator=FakeGenerator(model="fake"), prices=PRICES)
    answer = await search(QUESTION, priced)
    used = answer.usage
    tokens = used.embedding_tokens * 0.001
    tokens += used.prompt_tokens * 0.01 + used.completion_tokens * 0.05
    assert used.cost_usd == pytest.approx(0.25 + tokens)
    assert used.prompt_tokens > 0


async def test_a_model_without_a_price_leaves_the_cost_open(service):
    unpriced = Prices(chat={"fake-writer": None})
    answer = await search(QUESTION, replace(service, prices=unpriced))
    assert answer.usage.cost_usd is None


async def test_closing_closes_every_part_once(service):
    shared = replace(service, extractive=service.generator)
    await shared.aclose()
    parts = (service.embedder, service.index, service.reranker, service.generator)
    assert [part.closed for part in parts] == [1, 1, 1, 1]

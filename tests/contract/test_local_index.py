# ruff: noqa: ASYNC240
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from contract.local_index import EVERYTHING, a_chunk, an_index, axis, texts, vector_of
from steadyrag.adapters.local.index import LocalIndex
from steadyrag.domain.errors import ConfigError, Unavailable
from steadyrag.domain.filters import parse_filter
from steadyrag.domain.models import Chunk, EmbeddedChunk, Hit, Question

SEARCHES = pytest.mark.parametrize("by", ["keyword", "vector"])


@pytest_asyncio.fixture
async def index(tmp_path: Path) -> AsyncIterator[LocalIndex]:
    index = an_index(tmp_path / "데이터" / "index.sqlite")
    yield index
    await index.aclose()


@SEARCHES
async def test_the_chunk_that_says_it_comes_first(index: LocalIndex, by: str) -> None:
    await index.upsert("default", [a_chunk("the river floods in spring"), a_chunk("a red rose")])
    assert (await texts(index, "red roses", by=by))[0] == "a red rose"


async def test_korean_is_found_whatever_particle_follows(index: LocalIndex) -> None:
    await index.upsert("default", [a_chunk("서울은 수도이다"), a_chunk("고양이는 잔다")])
    assert await texts(index, "수도가 어디인가") == ["서울은 수도이다"]


async def test_vector_search_scores_by_cosine_whatever_the_length(index: LocalIndex) -> None:
    chunk = a_chunk("a rose").chunk
    await index.upsert("default", [EmbeddedChunk(chunk, axis(3.0, 4.0), [])])
    (hit,) = await index.vector_search(axis(10.0), top_k=5, namespace="default", filter=EVERYTHING)
    assert hit.score == hit.dense == pytest.approx(0.6)
    assert hit.keyword is None


async def test_keyword_search_returns_only_what_matches(index: LocalIndex) -> None:
    await index.upsert("default", [a_chunk("a rose"), a_chunk("a river")])
    (hit,) = await index.keyword_search("rose", top_k=5, namespace="default", filter=EVERYTHING)
    assert hit.score == hit.keyword
    assert hit.score > 0
    assert hit.dense is None
    assert await texts(index, "unheard-of !?") == []


@SEARCHES
async def test_top_k_bounds_the_hits_and_keeps_the_best(index: LocalIndex, by: str) -> None:
    await index.upsert("default", [a_chunk("rose " + "filler " * n) for n in range(30)])
    every = await texts(index, "rose", by=by, top_k=100)
    assert len(every) == 30
    assert await texts(index, "rose", by=by, top_k=7) == every[:7]


@SEARCHES
async def test_namespaces_do_not_see_each_other(index: LocalIndex, by: str) -> None:
    await index.upsert("a", [a_chunk("a rose", id="1")])
    await index.upsert("b", [a_chunk("a rose and a river", id="1")])
    assert await texts(index, "rose", by=by, namespace="a") == ["a rose"]
    assert await texts(index, "rose", by=by, namespace="b") == ["a rose and a river"]
    assert await texts(index, "rose", by=by, namespace="c") == []


async def test_rare_words_are_rare_within_their_namespace(index: LocalIndex) -> None:
    async def score() -> float:
        (hit,) = await index.keyword_search("rose", top_k=1, namespace="a", filter=EVERYTHING)
        return hit.score

    await index.upsert("a", [a_chunk("a rose"), a_chunk("a river")])
    before = await score()
    await index.upsert("b", [a_chunk(f"rose {n}") for n in range(20)])
    assert await score() == before


@SEARCHES
async def test_a_filter_sees_metadata_and_the_fields_of_the_chunk(
    index: LocalIndex, by: str
) -> None:
    await index.upsert(
        "default",
        [
            a_chunk("rose one", metadata={"year": 2020, "tags": ["ko", "en"]}),
            a_chunk("rose two", metadata={"year": 2024}, context="Gardens"),
            a_chunk("rose three", url="https://example.com/3"),
        ],
    )
    for expression, expected in (
        ({"year": {"$gte": 2021}}, {"rose two"}),
        ({"tags": "ko"}, {"rose one"}),
        ({"title": "Gardens"}, {"rose two"}),
        ({"url": {"$exists": True}}, {"rose three"}),
        ({"document_id": "doc of rose one"}, {"rose one"}),
        ({"year": 1999}, set()),
    ):
        found = await texts(index, "rose", by=by, filter=parse_filter(expression))
        assert set(found) == expected, expression


async def test_a_filter_looks_at_chunks_that_came_after_it_was_first_used(
    index: LocalIndex,
) -> None:
    recent = parse_filter({"year": 2024})
    await index.upsert("default", [a_chunk("rose one", metadata={"year": 2020})])
    assert await texts(index, "rose", filter=recent) == []
    await index.upsert("default", [a_chunk("rose two", metadata={"year": 2024})])
    assert await texts(index, "rose", filter=recent) == ["rose two"]


@SEARCHES
async def test_an_upsert_replaces_the_chunk_of_the_same_id(index: LocalIndex, by: str) -> None:
    await index.upsert("default", [a_chunk("a rose", id="1"), a_chunk("a river", id="2")])
    await index.upsert("default", [a_chunk("a tulip", id="1")])
    assert set(await texts(index, "a", by="vector")) == {"a tulip", "a river"}
    assert await texts(index, "rose") == []
    assert (await texts(index, "tulip", by=by))[0] == "a tulip"


@SEARCHES
async def test_deleted_chunks_are_gone_and_unknown_ids_are_ignored(
    index: LocalIndex, by: str
) -> None:
    await index.upsert("default", [a_chunk("a rose", id="1"), a_chunk("rose river", id="2")])
    await index.delete("default", ["1", "never there"])
    await index.delete("nowhere", ["2"])
    assert await texts(index, "rose", by=by) == ["rose river"]
    await index.delete("default", ["2"])
    assert await texts(index, "rose", by=by) == []


async def test_every_field_of_a_chunk_comes_back(index: LocalIndex) -> None:
    chunk = Chunk(
        id="id-1",
        document_id="문서 1",
        title="제목",
        context="제목 › 절",
        text="본문 \N{SNOWMAN} of the rose",
        tokens=7,
        url="https://example.com/문서",
        metadata={"year": 2024, "share": 0.5, "draft": False, "tags": ["가", "b"]},
    )
    await index.upsert("default", [EmbeddedChunk(chunk, axis(1.0), [])])
    (hit,) = await index.keyword_search("rose", top_k=1, namespace="default", filter=EVERYTHING)
    assert hit.chunk == chunk


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = an_index(tmp_path / "index.sqlite")
    await first.upsert("default", [a_chunk("a rose")])
    await first.aclose()
    second = an_index(tmp_path / "index.sqlite")
    await second.warm()
    assert await texts(second, "rose") == ["a rose"]
    assert (await second.status()).chunks == 1
    await second.aclose()


async def test_an_index_that_was_never_written_is_ready_and_says_how_to_fill_it(
    index: LocalIndex, tmp_path: Path
) -> None:
    await index.warm()
    status = await index.status()
    assert (status.ready, status.chunks) == (True, 0)
    assert "steadyrag ingest" in status.detail
    for by in ("keyword", "vector"):
        assert await texts(index, "rose", by=by) == []
    evidence = await index.evidence(Question("rose", "en", axis(1.0)), [])
    assert evidence.keyword.shape == (0,)
    assert list(tmp_path.iterdir()) == []


async def test_status_counts_by_namespace(index: LocalIndex) -> None:
    await index.upsert("a", [a_chunk("one"), a_chunk("two")])
    await index.upsert("b", [a_chunk("three")])
    counts = [(await index.status(name)).chunks for name in ("a", "b", "c", None)]
    assert counts == [2, 1, 0, 3]


async def test_evidence_scores_every_hit_whichever_search_found_it(index: LocalIndex) -> None:
    chunks = [
        a_chunk("The river floods in spring. Farmers fear the water then.", context="Rivers"),
        a_chunk("Roses are red, and some of them are white."),
    ]
    await index.upsert("default", chunks)
    vector = vector_of("do rivers flood")
    found = await index.vector_search(vector, top_k=2, namespace="default", filter=EVERYTHING)
    bare = [Hit(chunk.chunk, 0.0) for chunk in chunks]
    evidence = await index.evidence(Question("do rivers flood", "en", vector), bare)

    dense = {hit.chunk.id: hit.score for hit in found}
    assert evidence.dense is not None
    assert evidence.dense.tolist() == pytest.approx([dense[chunk.chunk.id] for chunk in chunks])
    (best, *_) = await index.keyword_search(
        "do rivers flood", top_k=2, namespace="default", filter=EVERYTHING
    )
    assert evidence.keyword.tolist() == pytest.approx([best.score, 0.0])
    assert evidence.keyword_ceiling > best.score
    assert [len(cosines) for cosines in evidence.sentences] == [3, 1]
    for cosines, chunk in zip(evidence.sentences, chunks, strict=True):
        expected = [float(np.dot(vector, sentence)) for sentence in chunk.sentences]
        assert cosines.tolist() == pytest.approx(expected, abs=1e-4)


async def test_evidence_without_a_vector_is_keyword_evidence(index: LocalIndex) -> None:
    await index.upsert("default", [a_chunk("a rose")])
    evidence = await index.evidence(Question("rose", "en"), [Hit(a_chunk("a rose").chunk, 0.0)])
    assert evidence.dense is None
    assert evidence.keyword[0] > 0
    assert [len(cosines) for cosines in evidence.sentences] == [0]


async def test_evidence_looks_in_the_namespace_of_the_question(index: LocalIndex) -> None:
    await index.upsert("a", [a_chunk("a rose", id="1")])
    await index.upsert("b", [a_chunk("a river", id="1")])
    hit = Hit(a_chunk("a river", id="1").chunk, 0.0)
    question = Question("river", "en", vector_of("a river"), namespace="b")
    evidence = await index.evidence(question, [hit])
    assert evidence.dense is not None
    assert evidence.dense[0] == pytest.approx(1.0, abs=1e-5)
    assert evidence.keyword[0] > 0


async def test_a_hit_that_was_deleted_since_keeps_its_own_scores(index: LocalIndex) -> None:
    await index.upsert("default", [a_chunk("a rose")])
    gone = Hit(a_chunk("a tulip").chunk, score=1.0, dense=0.7, keyword=3.0)
    evidence = await index.evidence(Question("rose", "en", vector_of("rose")), [gone])
    assert evidence.dense is not None
    assert (evidence.dense[0], evidence.keyword[0]) == (pytest.approx(0.7), 3.0)
    assert len(evidence.sentences[0]) == 0


async def test_vectors_of_another_dimension_are_refused(index: LocalIndex) -> None:
    chunk = a_chunk("a rose").chunk
    with pytest.raises(ConfigError, match="dimensions"):
        await index.upsert("default", [EmbeddedChunk(chunk, axis(1.0)[:5], [])])
    with pytest.raises(Unavailable, match="dimensions"):
        await index.vector_search(axis(1.0)[:5], top_k=1, namespace="default", filter=EVERYTHING)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
async def test_a_vector_that_points_nowhere_does_not_rank_first(
    index: LocalIndex, bad: float
) -> None:
    nowhere = EmbeddedChunk(a_chunk("nowhere").chunk, axis(*[bad] * 64), [])
    somewhere = EmbeddedChunk(a_chunk("somewhere").chunk, axis(1.0, 1.0), [])
    await index.upsert("default", [nowhere, somewhere])
    found = await index.vector_search(axis(1.0), top_k=2, namespace="default", filter=EVERYTHING)
    assert [hit.chunk.text for hit in found] == ["somewhere", "nowhere"]
    assert found[1].score == 0.0


async def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    index = an_index(tmp_path / "index.sqlite")
    await index.upsert("default", [a_chunk("a rose")])
    await texts(index, "rose")
    await index.aclose()
    await index.aclose()

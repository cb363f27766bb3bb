"""What holds for every `ports.Index`, whichever engine is behind it.

A test class inherits from `IndexContract` and provides a fixture `index`, empty at the start
of each test and made for vectors of `DIMENSION` dimensions, and `settled`, if writes of its
index take time to show.
"""

from array import array
from collections.abc import Sequence

import pytest

from steadyrag.domain.filters import Filter, parse_filter
from steadyrag.domain.models import Chunk, EmbeddedChunk, Hit, MetadataValue
from steadyrag.domain.ports import Index

DIMENSION = 4
EVERYTHING = Filter()

EAST, NORTH, UP = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)


def embedded(
    chunk_id: str,
    text: str = "plain words",
    direction: Sequence[float] = EAST,
    *,
    context: str = "",
    url: str | None = None,
    **metadata: MetadataValue,
) -> EmbeddedChunk:
    """A chunk with its vector."""
    chunk = Chunk(
        id=chunk_id,
        document_id=f"doc-{chunk_id}",
        title=f"Title of {chunk_id}",
        context=context,
        text=text,
        tokens=len(text.split()),
        url=url,
        metadata=metadata,
    )
    return EmbeddedChunk(chunk, array("f", direction))


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


class IndexContract:
    async def settled(self) -> None:
        """Returns when everything written so far is visible."""

    async def put(self, index: Index, *chunks: EmbeddedChunk, namespace: str = "default") -> None:
        await index.upsert(namespace, chunks)
        await self.settled()

    async def near(
        self, index: Index, direction: Sequence[float] = EAST, *, top_k: int = 10, **options: object
    ) -> list[Hit]:
        return await index.vector_search(
            array("f", direction),
            top_k=top_k,
            namespace=str(options.get("namespace", "default")),
            filter=parse_filter(options.get("filter", {})),
        )

    async def said(
        self, index: Index, text: str, *, top_k: int = 10, **options: object
    ) -> list[Hit]:
        return await index.keyword_search(
            text,
            top_k=top_k,
            namespace=str(options.get("namespace", "default")),
            filter=parse_filter(options.get("filter", {})),
        )

    async def test_an_empty_index_finds_nothing(self, index: Index) -> None:
        assert await self.near(index) == []
        assert await self.said(index, "anything") == []

    async def test_a_hit_carries_the_whole_chunk(self, index: Index) -> None:
        put = embedded(
            "c1",
            "The gate opens at nine. 정문은 아홉 시에 엽니다.",
            context="Handbook › Gates",
            url="https://example.com/gates",
            year=2024,
            ratio=0.5,
            public=True,
            tags=["gate", "정문"],
            lang="ko",
        )
        await self.put(index, put)
        for hit in (*await self.near(index), *await self.said(index, "gate")):
            assert hit.chunk == put.chunk
            assert type(hit.chunk.metadata["year"]) is int

    async def test_a_bare_chunk_comes_back_as_it_was(self, index: Index) -> None:
        put = embedded("bare")
        await self.put(index, put)
        (hit,) = await self.near(index)
        assert hit.chunk == put.chunk

    async def test_vectors_are_ranked_by_cosine(self, index: Index) -> None:
        between = (3.0, 4.0, 0.0, 0.0)
        await self.put(
            index, embedded("n", direction=NORTH), embedded("b", direction=between), embedded("e")
        )
        hits = await self.near(index, EAST)
        assert ids(hits) == ["e", "b", "n"]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.6, 0.0], abs=1e-5)
        assert all(hit.dense == hit.score and hit.keyword is None for hit in hits)

    async def test_keywords_are_ranked_by_rarity(self, index: Index) -> None:
        await self.put(
            index,
            embedded("one", "common words about gates"),
            embedded("two", "common words about ladders"),
            embedded("three", "nothing to see here"),
        )
        hits = await self.said(index, "common ladders")
        assert ids(hits) == ["two", "one"]
        assert hits[0].score > hits[1].score > 0
        assert all(hit.keyword == hit.score and hit.dense is None for hit in hits)

    async def test_korean_is_found_whatever_particle_follows(self, index: Index) -> None:
        await self.put(
            index,
            embedded("pw", "비밀번호는 90일마다 바꿔야 합니다."),
            embedded("gate", "정문은 아홉 시에 엽니다."),
        )
        assert ids(await self.said(index, "비밀번호를 바꾸려면?")) == ["pw"]

    async def test_english_is_found_in_another_form(self, index: Index) -> None:
        await self.put(index, embedded("keys", "Rotating keys"), embedded("gate", "The gate"))
        assert ids(await self.said(index, "how do I rotate a key")) == ["keys"]

    async def test_headings_are_searched_along_with_the_text(self, index: Index) -> None:
        await self.put(index, embedded("c", "Every quarter.", context="Policies › Passwords"))
        assert ids(await self.said(index, "password")) == ["c"]

    @pytest.mark.parametrize(
        "text", ["ladder AND gate", "NOT ladder", '"ladder', "ladder^9 -gate", "text:(ladder", "*"]
    )
    async def test_a_question_is_no_query_language(self, index: Index, text: str) -> None:
        await self.put(index, embedded("l", "a ladder"), embedded("o", "an oven"))
        assert ids(await self.said(index, text)) == (["l"] if "ladder" in text else [])

    async def test_a_question_without_words_finds_nothing(self, index: Index) -> None:
        await self.put(index, embedded("c"))
        assert await self.said(index, "?! ... 🙂") == []

    async def test_top_k_is_the_most_that_comes_back(self, index: Index) -> None:
        await self.put(index, *(embedded(f"c{i}", "same words") for i in range(5)))
        assert len(await self.near(index, top_k=3)) == 3
        assert len(await self.said(index, "words", top_k=2)) == 2

    async def test_namespaces_do_not_see_each_other(self, index: Index) -> None:
        await self.put(index, embedded("mine", "shared words"), namespace="mine")
        await self.put(index, embedded("yours", "shared words"), namespace="yours")
        assert ids(await self.near(index, namespace="mine")) == ["mine"]
        assert ids(await self.said(index, "words", namespace="yours")) == ["yours"]
        assert await self.near(index) == []

    async def test_an_upsert_replaces_the_whole_chunk(self, index: Index) -> None:
        await self.put(
            index, embedded("c", "old ladders", EAST, year=2020, url="https://a.example")
        )
        await self.put(index, embedded("c", "new gates", NORTH, lang="en"))
        (hit,) = await self.near(index, NORTH)
        assert hit.chunk == embedded("c", "new gates", lang="en").chunk
        assert hit.score == pytest.approx(1.0, abs=1e-5)
        assert await self.said(index, "ladders") == []
        assert await self.near(index, filter={"year": 2020}) == []

    async def test_what_is_deleted_is_not_found(self, index: Index) -> None:
        await self.put(index, embedded("a", "two words"), embedded("b", "two words"))
        await index.delete("default", ["a"])
        await self.settled()
        assert ids(await self.near(index)) == ["b"]
        assert ids(await self.said(index, "words")) == ["b"]

    async def test_deleting_what_is_not_there_is_no_error(self, index: Index) -> None:
        await index.delete("never-seen", ["x"])
        await self.put(index, embedded("a"))
        await index.delete("default", ["x"])
        await index.delete("default", [])
        await self.settled()
        assert ids(await self.near(index)) == ["a"]

    async def test_upserting_nothing_is_no_error(self, index: Index) -> None:
        await index.upsert("default", [])

    @pytest.mark.parametrize(
        ("filter", "expected"),
        [
            ({"year": 2024}, {"a"}),
            ({"year": {"$gt": 2020}}, {"a", "b"}),
            ({"year": {"$gte": 2022, "$lt": 2024}}, {"b"}),
            ({"year": {"$lte": 2022}}, {"b"}),
            ({"year": {"$ne": 2024}}, {"b", "c"}),
            ({"year": {"$in": [2022, 1999]}}, {"b"}),
            ({"year": {"$nin": [2022]}}, {"a", "c"}),
            ({"lang": "ko"}, {"a"}),
            ({"lang": {"$in": ["ko", "en"]}}, {"a", "b"}),
            ({"public": True}, {"a"}),
            ({"public": {"$ne": True}}, {"b", "c"}),
            ({"public": {"$in": [True, False]}}, {"a", "b"}),
            ({"public": {"$nin": [True, "x"]}}, {"b", "c"}),
            ({"tags": "red"}, {"a", "b"}),
            ({"tags": {"$in": ["blue"]}}, {"a"}),
            ({"tags": {"$ne": "blue"}}, {"b", "c"}),
            ({"tags": {"$nin": ["red", "blue"]}}, {"c"}),
            ({"year": {"$exists": True}}, {"a", "b"}),
            ({"year": {"$exists": False}}, {"c"}),
            ({"year": 2024, "lang": "en"}, set()),
            ({"$or": [{"lang": "ko"}, {"year": {"$exists": False}}]}, {"a", "c"}),
            ({"$and": [{"tags": "red"}, {"$or": [{"year": 2022}, {"lang": "xx"}]}]}, {"b"}),
            ({"한글": "값"}, {"c"}),
            ({"document_id": "doc-a"}, {"a"}),
            ({"document_id": {"$nin": ["doc-a", "doc-b"]}}, {"c"}),
            ({"title": "Title of b"}, {"b"}),
            ({"title": "in metadata"}, set()),
            ({"url": {"$exists": True}}, {"b"}),
            ({"url": {"$ne": "https://example.com/b"}}, {"a", "c"}),
        ],
        ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
    )
    async def test_filters_hold_in_both_searches(
        self, index: Index, filter: dict[str, object], expected: set[str]
    ) -> None:
        await self.put(
            index,
            embedded("a", year=2024, lang="ko", public=True, tags=["red", "blue"]),
            embedded(
                "b",
                url="https://example.com/b",
                year=2022,
                lang="en",
                public=False,
                tags=["red"],
            ),
            embedded("c", title="in metadata", 한글="값"),
        )
        assert set(ids(await self.near(index, filter=filter))) == expected
        assert set(ids(await self.said(index, "words", filter=filter))) == expected

    async def test_a_filter_does_not_cost_hits(self, index: Index) -> None:
        others = [embedded(f"o{i}", direction=EAST) for i in range(20)]
        await self.put(index, *others, embedded("far", direction=NORTH, keep=True))
        assert ids(await self.near(index, EAST, top_k=1, filter={"keep": True})) == ["far"]

    async def test_the_status_counts_chunks_by_namespace(self, index: Index) -> None:
        await self.put(index, embedded("a"), embedded("b"), namespace="one")
        await self.put(index, embedded("a"), namespace="two")
        assert (await index.status()).chunks == 3
        assert (await index.status("one")).chunks == 2
        assert (await index.status("three")).chunks == 0
        assert (await index.status("one")).ready

    async def test_closing_twice_is_no_error(self, index: Index) -> None:
        await index.aclose()
        await index.aclose()

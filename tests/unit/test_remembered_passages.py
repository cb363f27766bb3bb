"""Vectors that are kept in case what they were made for is tried again."""

import asyncio
from collections.abc import Sequence

from fakes import FakeEmbedder
from steadyrag.domain.models import Embeddings
from steadyrag.resilience.remembered_passages import RememberedPassages

ONE_BYTES = 64 * 4


async def test_what_was_embedded_lately_costs_nothing_the_second_time() -> None:
    inner = FakeEmbedder()
    embedder = RememberedPassages(inner)
    first = await embedder.embed_passages(["a", "b", "a"])
    again = await embedder.embed_passages(["b", "c", "a"])
    assert inner.texts == ["a", "b", "c"]
    assert [again.vectors[1]] == (await inner.embed_passages(["c"])).vectors
    assert (again.vectors[2], again.vectors[0]) == (first.vectors[0], first.vectors[1])
    assert (first.vectors[2], again.tokens) == (first.vectors[0], 1)


async def test_no_more_is_kept_than_there_is_room_for() -> None:
    inner = FakeEmbedder()
    embedder = RememberedPassages(inner, most_bytes=2 * ONE_BYTES)
    await embedder.embed_passages(["a", "b", "c"])
    await embedder.embed_passages(["b", "c"])
    assert inner.batches == [3]
    await embedder.embed_passages(["a"])
    assert inner.batches == [3, 1]


async def test_calls_at_once_do_not_take_each_others_vectors_away() -> None:
    class Uneven(FakeEmbedder):
        async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
            await asyncio.sleep(0.05 if "slow" in texts else 0)
            return await super().embed_passages(texts)

    inner = Uneven()
    embedder = RememberedPassages(inner, most_bytes=10 * ONE_BYTES)
    first = await embedder.embed_passages(["shared"])
    slow, _ = await asyncio.gather(
        embedder.embed_passages(["shared", "slow"]),
        embedder.embed_passages([f"other {n}" for n in range(10)]),
    )
    assert slow.vectors[0] == first.vectors[0]
    assert inner.texts.count("shared") == 1

import asyncio
import hashlib
import sqlite3
from array import array
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from fakes import FakeEmbedder
from steadyrag.adapters.local.vector_cache import CachedEmbedder
from steadyrag.domain.errors import ConfigError, Unavailable


@pytest_asyncio.fixture
async def caches(tmp_path: Path) -> AsyncIterator["Caches"]:
    caches = Caches(tmp_path / "cache" / "vectors.sqlite")
    yield caches
    await caches.aclose()


class Caches:
    """Cached embedders on one file, as several processes would have them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[CachedEmbedder] = []

    def cached(self, embedder: FakeEmbedder) -> CachedEmbedder:
        self._made.append(CachedEmbedder(embedder, self.path, busy_timeout_s=0.05))
        return self._made[-1]

    async def aclose(self) -> None:
        for cached in self._made:
            await cached.aclose()


async def test_only_texts_that_were_never_embedded_reach_the_embedder(caches: Caches) -> None:
    first, second = FakeEmbedder(), FakeEmbedder()
    before = await caches.cached(first).embed_passages(["a rose", "a river"])
    after = await caches.cached(second).embed_passages(["a river", "수도", "a rose", "수도"])
    assert second.texts == ["수도"]
    assert [after.vectors[2], after.vectors[0]] == list(before.vectors)
    assert after.vectors[1] == after.vectors[3]
    assert (before.tokens, after.tokens) == (4, 1)


async def test_a_question_and_a_passage_of_the_same_words_are_kept_apart(caches: Caches) -> None:
    embedder = FakeEmbedder()
    cached = caches.cached(embedder)
    await cached.embed_query("a rose")
    await cached.embed_passages(["a rose"])
    assert embedder.texts == ["a rose"]


async def test_questions_asked_together_are_the_ones_asked_alone(caches: Caches) -> None:
    embedder = FakeEmbedder()
    cached = caches.cached(embedder)
    alone = await cached.embed_query("a rose")
    found = await cached.embed_queries(["a river", "a rose"])
    assert embedder.asked == [["a river"]]
    assert found.vectors[1] == alone.vector
    assert found.tokens == 2


async def test_a_cached_question_costs_no_call(caches: Caches) -> None:
    embedder = FakeEmbedder()
    asked = await caches.cached(embedder).embed_query("a rose")
    embedder.fail(Unavailable("embedding", "down"))
    again = await caches.cached(embedder).embed_query("a rose")
    assert again.vector == asked.vector
    assert (asked.tokens, again.tokens) == (2, 0)


async def test_models_of_different_names_share_nothing(caches: Caches) -> None:
    await caches.cached(FakeEmbedder(name="one/64")).embed_passages(["a rose"])
    other = FakeEmbedder(name="two/64")
    await caches.cached(other).embed_passages(["a rose"])
    assert other.texts == ["a rose"]


async def test_a_vector_of_another_dimension_is_a_miss(caches: Caches) -> None:
    await caches.cached(FakeEmbedder(name="m/64", dimension=64)).embed_passages(["a rose"])
    short = FakeEmbedder(name="m/32", dimension=32)
    found = await caches.cached(short).embed_passages(["a rose"])
    assert len(found.vectors[0]) == 32


async def test_a_file_filled_elsewhere_by_the_same_rule_is_used(caches: Caches) -> None:
    caches.path.parent.mkdir()
    vector = array("f", [0.5] * 64)
    key = hashlib.sha256("fake\0passage\0장미".encode()).digest()
    with sqlite3.connect(caches.path) as db:
        db.execute("create table vectors(key blob primary key, value blob) without rowid")
        db.execute("insert into vectors values(?, ?)", (key, vector.tobytes()))
    db.close()
    embedder = FakeEmbedder()
    found = await caches.cached(embedder).embed_passages(["장미"])
    assert found.vectors == [vector]
    assert embedder.texts == []


async def test_a_locked_file_is_a_miss(caches: Caches) -> None:
    cached = caches.cached(FakeEmbedder())
    await cached.warm()
    with sqlite3.connect(caches.path, isolation_level=None) as other:
        other.execute("begin exclusive")
        found = await cached.embed_passages(["a rose"])
        assert len(found.vectors) == 1
    other.close()


async def test_embedders_that_write_at_once_all_succeed(caches: Caches) -> None:
    def passages(worker: int) -> Sequence[str]:
        return [f"text {i % 7} of {worker % 2}" for i in range(20)]

    embedders = [caches.cached(FakeEmbedder()) for _ in range(6)]
    found = await asyncio.gather(*(e.embed_passages(passages(i)) for i, e in enumerate(embedders)))
    assert found[0].vectors == found[2].vectors == found[4].vectors


async def test_the_embedders_failure_comes_through_and_is_not_kept(caches: Caches) -> None:
    embedder = FakeEmbedder()
    cached = caches.cached(embedder)
    embedder.fail(Unavailable("embedding", "down"), times=1)
    with pytest.raises(Unavailable):
        await cached.embed_passages(["a rose"])
    assert len((await cached.embed_passages(["a rose"])).vectors) == 1


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 9, b"SQL"])
async def test_a_file_that_is_no_database_is_named(caches: Caches, content: bytes) -> None:
    caches.path.parent.mkdir()
    caches.path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"vectors\.sqlite is not a vector cache"):
        await caches.cached(FakeEmbedder()).warm()
    assert caches.path.read_bytes() == content


async def test_somebody_elses_database_is_left_alone(caches: Caches) -> None:
    caches.path.parent.mkdir()
    with sqlite3.connect(caches.path) as db:
        db.execute("create table accounts(name text)")
    db.close()
    with pytest.raises(ConfigError, match="holds other tables"):
        await caches.cached(FakeEmbedder()).embed_query("a rose")
    with sqlite3.connect(caches.path) as db:
        assert db.execute("select name from sqlite_master").fetchall() == [("accounts",)]
    db.close()


async def test_a_place_where_no_file_can_be_is_named(caches: Caches) -> None:
    caches.path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot open the vector cache"):
        await caches.cached(FakeEmbedder()).warm()

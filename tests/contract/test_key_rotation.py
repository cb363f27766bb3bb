"""A key is rotated while the service runs: the stores, both vendors and their SDKs are real."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from steadyrag.adapters import secrets
from steadyrag.adapters.openai_embedder import OpenAIEmbedder
from steadyrag.adapters.openai_generator import OpenAIGenerator
from steadyrag.adapters.pinecone_index import PineconeIndex
from steadyrag.adapters.pinecone_reranker import PineconeReranker
from steadyrag.adapters.pinecone_schema import schema
from steadyrag.adapters.secrets import EXPIRE_EVERY_S, RETRY_S, StoredKey
from steadyrag.domain.errors import Refused
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Block, Chunk, Hit, Question
from vendors import Fault, KeyStore, OpenAIVendor, PineconeVendor, serving

HIT = Hit(Chunk("c", "d", "T", "", "Bees make honey.", 4), 1.0)
QUESTION = Question("Who makes honey?", "en")
NAMES = {"openai": "rag/openai", "pinecone": "/rag/pinecone"}


@dataclass
class World:
    """Who issues keys, who keeps them, and every call that needs one. `now` is the time."""

    store: KeyStore
    openai: OpenAIVendor
    pinecone: PineconeVendor
    calls: dict[str, Callable[[], Awaitable[object]]]
    now: float = 1_000_000.0

    def vendor_of(self, operation: str) -> OpenAIVendor | PineconeVendor:
        return self.openai if operation in ("embeddings", "chat") else self.pinecone

    def rotate(self, *, kept: bool = True) -> None:
        """Both vendors take new keys only; `kept` says whether the stores hold them yet."""
        self.openai.api_key, self.pinecone.api_key = "sk-second", "pc-second"
        if kept:
            self.store.values |= {NAMES["openai"]: "sk-second", NAMES["pinecone"]: "pc-second"}


@pytest.fixture
def servers() -> Iterator[tuple[KeyStore, OpenAIVendor, PineconeVendor]]:
    openai, pinecone = OpenAIVendor(api_key="sk-first"), PineconeVendor(api_key="pc-first")
    with serving(KeyStore()) as store, serving(openai), serving(pinecone):
        pinecone.create("docs", schema(2)["fields"])
        yield store, openai, pinecone


@pytest.fixture
async def world(
    servers: tuple[KeyStore, OpenAIVendor, PineconeVendor], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    store, openai, pinecone = servers
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    secrets.prepare.cache_clear()
    world = World(store, openai, pinecone, {})
    openai_key = StoredKey(f"secretsmanager:{NAMES['openai']}", now=lambda: world.now)
    pinecone_key = StoredKey(f"ssm:{NAMES['pinecone']}", now=lambda: world.now)
    embedder = OpenAIEmbedder(api_key=openai_key, base_url=openai.base_url)
    generator = OpenAIGenerator(api_key=openai_key, base_url=openai.base_url, model="gpt-6-luna")
    index = PineconeIndex(api_key=pinecone_key, host=pinecone.host("docs"), dimension=2)
    reranker = PineconeReranker(api_key=pinecone_key, controller_host=pinecone.url)
    world.calls = {
        "embeddings": lambda: embedder.embed_query("x"),
        "chat": lambda: generator.generate(
            QUESTION, [Block(1, HIT, HIT.chunk.text, 4)], max_tokens=300
        ),
        "vector_search": lambda: index.vector_search(
            array("f", [1, 0]), top_k=1, namespace="n", filter=Filter()
        ),
        "rerank": lambda: reranker.rerank(QUESTION, [HIT], top_k=1),
    }
    for call in world.calls.values():
        await call()
    for vendor in servers:
        vendor.requests.clear()
    yield world
    for adapter in (embedder, generator, index, reranker):
        await adapter.aclose()
    secrets.prepare.cache_clear()


@pytest.mark.parametrize("operation", ["embeddings", "chat", "vector_search", "rerank"])
async def test_a_rotated_key_costs_one_refusal_and_no_answer(world: World, operation: str) -> None:
    world.rotate()
    await world.calls[operation]()
    assert len(world.vendor_of(operation).asked(operation)) == 2
    assert len(world.store.requests) == 1
    await world.calls[operation]()
    assert len(world.vendor_of(operation).asked(operation)) == 3
    assert len(world.store.requests) == 1


async def test_every_call_of_that_moment_shares_one_reading(world: World) -> None:
    world.rotate()
    world.store.faults.latency_ms["*"] = 50
    await asyncio.gather(*(call() for call in world.calls.values() for _ in range(10)))
    assert len(world.store.asked("GetSecretValue")) == 1
    assert len(world.store.asked("GetParameter")) == 1


async def test_a_key_that_stays_wrong_does_not_hammer_the_store(world: World) -> None:
    world.rotate(kept=False)
    for _ in range(5):
        with pytest.raises(Refused, match="401"):
            await world.calls["embeddings"]()
    assert len(world.store.requests) == 1
    assert len(world.openai.requests) == 5
    world.now += EXPIRE_EVERY_S
    for _ in range(5):
        with pytest.raises(Refused, match="401"):
            await world.calls["embeddings"]()
    assert len(world.store.requests) == 2


async def test_a_store_that_is_down_at_that_moment_is_asked_again_soon(world: World) -> None:
    world.rotate()
    world.store.faults.add("*", Fault("status", status=500))
    with pytest.raises(Refused, match="embedding: answered 401"):
        await world.calls["embeddings"]()
    world.store.faults.clear()
    world.now += RETRY_S
    await world.calls["embeddings"]()


async def test_looking_for_another_key_has_no_more_time_than_the_call(world: World) -> None:
    world.rotate()
    world.store.faults.latency_ms["*"] = 800
    started = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await world.calls["embeddings"]()
    assert asyncio.get_running_loop().time() - started < 0.5


async def test_after_a_snapshot_every_key_is_read_anew(world: World) -> None:
    key = secrets.secret(f"secretsmanager:{NAMES['openai']}")
    assert key is secrets.secret(f"secretsmanager:{NAMES['openai']}")
    key.expire()
    assert await key() == "sk-first"
    world.rotate()
    assert await key() == "sk-first"
    secrets.expire_all()
    assert await key() == "sk-second"


async def test_a_key_from_the_environment_is_refused_at_once(world: World) -> None:
    adapter = OpenAIEmbedder(api_key="sk-wrong", base_url=world.openai.base_url)
    with pytest.raises(Refused, match="401"):
        await adapter.embed_query("x")
    assert len(world.openai.requests) == 1
    await adapter.aclose()

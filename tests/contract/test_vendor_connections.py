"""What every adapter of a vendor does with its connections and its key."""

import logging
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from steadyrag.adapters.openai_embedder import OpenAIEmbedder
from steadyrag.adapters.openai_generator import OpenAIGenerator
from steadyrag.adapters.pinecone_index import PineconeIndex
from steadyrag.adapters.pinecone_reranker import PineconeReranker
from steadyrag.adapters.pinecone_schema import schema
from steadyrag.adapters.vendor_http import KEEPALIVE_S
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Block, Chunk, Hit, Question
from vendors import Fault, OpenAIVendor, PineconeVendor, serving

KEY = "sk-a-key-that-must-not-show"
HIT = Hit(Chunk("c", "d", "T", "", "Bees make honey.", 4), 1.0)
QUESTION = Question("Who makes honey?", "en")

type Calls = dict[str, Callable[[], Awaitable[object]]]


@pytest.fixture(scope="module")
def vendors() -> Iterator[tuple[OpenAIVendor, PineconeVendor]]:
    openai, pinecone = OpenAIVendor(api_key=KEY), PineconeVendor(api_key=KEY)
    with serving(openai), serving(pinecone):
        pinecone.create("docs", schema(2)["fields"])
        yield openai, pinecone


@pytest.fixture
async def calls(vendors: tuple[OpenAIVendor, PineconeVendor]) -> AsyncIterator[Calls]:
    openai, pinecone = vendors
    for vendor in vendors:
        vendor.requests.clear()
        vendor.faults.clear()
    embedder = OpenAIEmbedder(api_key=KEY, base_url=openai.base_url)
    generator = OpenAIGenerator(api_key=KEY, base_url=openai.base_url, model="gpt-6-luna")
    index = PineconeIndex(api_key=KEY, host=pinecone.host("docs"), dimension=2)
    reranker = PineconeReranker(api_key=KEY, controller_host=pinecone.url)
    blocks = [Block(1, HIT, HIT.chunk.text, 4)]
    yield {
        "embeddings": lambda: embedder.embed_query("x"),
        "chat": lambda: generator.generate(QUESTION, blocks, max_tokens=300),
        "vector_search": lambda: index.vector_search(
            array("f", [1, 0]), top_k=1, namespace="n", filter=Filter()
        ),
        "rerank": lambda: reranker.rerank(QUESTION, [HIT], top_k=1),
    }
    for adapter in (embedder, generator, index, reranker):
        await adapter.aclose()


async def test_connections_outlive_a_quiet_minute(
    calls: Calls,
    vendors: tuple[OpenAIVendor, PineconeVendor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for call in calls.values():
        await call()
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 60)
    for call in calls.values():
        await call()
    for operation in calls:
        asked = [request for vendor in vendors for request in vendor.asked(operation)]
        assert len(asked) == 2
        assert len({request.connection for request in asked}) == 1, operation


async def test_connections_idle_for_long_by_the_wall_clock_are_not_trusted(
    calls: Calls,
    vendors: tuple[OpenAIVendor, PineconeVendor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a thaw: the clock that the HTTP libraries look at stood still."""
    for call in calls.values():
        await call()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + KEEPALIVE_S + 1)
    for call in calls.values():
        await call()
    for operation in calls:
        asked = [request for vendor in vendors for request in vendor.asked(operation)]
        assert len({request.connection for request in asked}) == 2, operation


async def test_a_kept_connection_that_died_unseen_costs_no_call(
    calls: Calls, vendors: tuple[OpenAIVendor, PineconeVendor]
) -> None:
    for call in calls.values():
        await call()
    for vendor in vendors:
        for operation in calls:
            vendor.faults.add(operation, Fault("reset"), times=1)
    for call in calls.values():
        await call()
    for operation in calls:
        asked = [request for vendor in vendors for request in vendor.asked(operation)]
        assert len(asked) == 3, operation
        assert asked[0].connection == asked[1].connection != asked[2].connection


async def test_a_reset_on_a_new_connection_is_the_vendors_failure(
    calls: Calls, vendors: tuple[OpenAIVendor, PineconeVendor]
) -> None:
    for vendor in vendors:
        vendor.faults.add("*", Fault("reset"))
    for operation, call in calls.items():
        with pytest.raises(Unavailable):
            await call()
        asked = [request for vendor in vendors for request in vendor.asked(operation)]
        assert len(asked) == 1, operation


async def test_an_answer_that_breaks_off_is_not_asked_for_again(
    calls: Calls, vendors: tuple[OpenAIVendor, PineconeVendor]
) -> None:
    for call in calls.values():
        await call()
    for vendor in vendors:
        vendor.faults.add("*", Fault("half"))
    for operation, call in calls.items():
        with pytest.raises(Unavailable):
            await call()
        asked = [request for vendor in vendors for request in vendor.asked(operation)]
        assert len(asked) == 2, operation


async def test_endpoints_do_not_share_a_pool(
    calls: Calls, vendors: tuple[OpenAIVendor, PineconeVendor]
) -> None:
    for call in calls.values():
        await call()
    for vendor in vendors:
        assert len({request.connection for request in vendor.requests}) == 2


async def test_the_key_is_in_no_log_at_any_level(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for call in calls.values():
            await call()
    assert caplog.records
    assert KEY not in caplog.text

"""An embedder behind its circuit, with calls shared in front of it."""

import asyncio

import pytest

from fakes import FakeEmbedder
from steadyrag.domain.errors import DependencyError, Unavailable
from steadyrag.resilience.batching import BatchedEmbedder
from steadyrag.resilience.breaker import CircuitOpen
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.guarded_embedder import GuardedEmbedder

DOWN = Unavailable("embedding", "refused the connection")


@pytest.fixture
def fake() -> FakeEmbedder:
    return FakeEmbedder()


def shared(fake: FakeEmbedder, breakers: Breakers, *, fair_s: float = 0.0) -> BatchedEmbedder:
    return BatchedEmbedder(GuardedEmbedder(fake, breakers, fair_s=fair_s))


async def together(embedder: BatchedEmbedder, count: int) -> list[object]:
    asked = (embedder.embed_query(f"question {number}") for number in range(count))
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_a_call_that_fails_a_hundred_callers_failed_once_and_was_tried_again_once(fake):
    fake.fail(DOWN)
    breakers = Breakers()
    outcomes = await together(shared(fake, breakers), 50)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert fake.calls["embed_queries"] == 2
    assert breakers.state("embedding") == "closed"


async def test_five_failed_calls_open_the_circuit_for_all(fake):
    fake.fail(DOWN)
    breakers = Breakers()
    embedder = shared(fake, breakers)
    for _ in range(4):
        await together(embedder, 10)
    outcomes = await together(embedder, 10)
    assert fake.calls["embed_queries"] == 5
    assert all(isinstance(outcome, CircuitOpen) for outcome in outcomes)


async def test_a_call_that_hangs_counts_although_its_callers_give_up_too(fake):
    fake.slow(5)
    breakers = Breakers()
    embedder = shared(fake, breakers)
    for number in range(5):
        with deadline(0.05), pytest.raises((TimeoutError, DependencyError)):
            async with asyncio.timeout(0.05):
                await embedder.embed_query(f"question {number}")
    assert breakers.state("embedding") == "open"


async def test_callers_in_a_hurry_open_no_circuit(fake):
    fake.slow(5)
    breakers = Breakers()
    embedder = shared(fake, breakers, fair_s=1.0)
    for number in range(10):
        with deadline(0.02), pytest.raises(TimeoutError):
            await embedder.embed_query(f"question {number}")
    assert breakers.state("embedding") == "closed"


async def test_passages_are_nobodys_business(fake):
    fake.fail(DOWN)
    breakers = Breakers()
    embedder = GuardedEmbedder(fake, breakers, fair_s=0.0)
    for _ in range(6):
        with pytest.raises(Unavailable):
            await embedder.embed_passages(["a"])
    assert breakers.states() == {}

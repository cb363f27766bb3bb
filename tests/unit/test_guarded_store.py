"""A shared store that cannot hold up a request."""

import asyncio
import time

import pytest

from cache_rig import Clock
from fakes.store import InMemoryStore
from steadyrag.domain.errors import Refused, Unavailable
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.breaker import CircuitOpen, LocalBreaker
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.guarded_store import GuardedStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> InMemoryStore:
    return InMemoryStore(clock=clock, name="valkey")


@pytest.fixture
def guarded(store, clock) -> GuardedStore:
    return GuardedStore(store, clock=clock, timeout_s=0.02, connect_s=0.1)


async def took(call) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(Unavailable, match="longer than"):
        await call
    return loop.time() - started


async def test_it_is_a_store_like_the_one_it_guards(guarded):
    store: SharedStore = guarded
    await store.write({"a": b"1"}, ttl_s=10)
    assert await store.update("m", put={"f": b"1"}, add={"n": 2}) == {"f": b"1", "n": b"2"}
    assert await store.read(["a"], ["m"]) == ({"a": b"1"}, {"m": {"f": b"1", "n": b"2"}})
    await store.delete(["a"])
    assert await store.read(["a"]) == ({}, {})
    assert await store.claim("l", "me", ttl_s=1)
    await store.release("l", "me")
    assert (await store.take("r", limit=1, window_s=60)).allowed
    assert store.name == "valkey"
    await store.aclose()


async def test_the_first_call_may_take_as_long_as_a_new_connection(guarded, store):
    store.slow(0.05)
    assert await guarded.read([]) == ({}, {})
    assert await took(guarded.read([])) < 0.05


async def test_so_may_the_first_one_after_a_freeze(guarded, store, clock):
    await guarded.read([])
    clock.passes(600)
    store.slow(0.05)
    assert await guarded.read([]) == ({}, {})


async def test_a_first_call_that_fails_was_the_first_one(guarded, store):
    store.slow(1)
    assert await took(guarded.read([])) >= 0.1
    assert await took(guarded.read([])) < 0.08


async def test_a_large_reading_has_more_time(guarded, store):
    await guarded.read([])
    store.slow(0.05)
    assert await guarded.read([], large=True) == ({}, {})


async def test_five_time_outs_in_a_row_open_it_for_a_minute_then_one_probes(guarded, store, clock):
    store.slow(1)
    for _ in range(5):
        await took(guarded.read([]))
    with pytest.raises(CircuitOpen):
        await guarded.read([])
    assert store.calls["read"] == 5
    store.heal()
    clock.passes(60)
    assert await guarded.read([]) == ({}, {})
    assert guarded.breaker.state == "closed"


async def test_a_cancelled_call_tells_nothing_of_the_store(guarded, store):
    store.slow(1)
    for _ in range(6):
        call = asyncio.create_task(guarded.read([]))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert guarded.breaker.state == "closed"


async def test_its_own_errors_pass_and_a_bug_becomes_one(guarded, store):
    store.fail(Refused("valkey", "no permission"), times=1)
    with pytest.raises(Refused):
        await guarded.read([])
    store.fail(KeyError("bug"), times=1)
    with pytest.raises(Unavailable, match="KeyError"):
        await guarded.read([])


async def test_time_outs_of_a_process_that_was_busy_say_nothing_of_the_store(guarded, store):
    """As when garbage is collected, or a hundred requests want the processor at once."""
    store.slow(1)
    for _ in range(6):
        call = asyncio.create_task(guarded.read([]))
        await asyncio.sleep(0)
        time.sleep(0.25)  # noqa: ASYNC251 - the loop stands still
        with pytest.raises(Unavailable):
            await call
    assert guarded.breaker.state == "closed"


async def test_a_store_that_is_back_has_the_time_of_a_new_connection(guarded, store, clock):
    """With a request every second, so that it is never quiet."""
    store.slow(1)
    for _ in range(5):
        clock.passes(1)
        await took(guarded.read([]))
    store.slow(0.05)  # longer than a call, shorter than a connection
    for _ in range(59):
        clock.passes(1)
        with pytest.raises(CircuitOpen):
            await guarded.read([])
    clock.passes(1)
    assert await guarded.read([]) == ({}, {})


async def test_a_request_with_little_time_waits_for_little_and_that_counts_for_nothing(
    guarded, store, clock
):
    patient = GuardedStore(store, clock=clock, timeout_s=5, connect_s=5)
    store.slow(1)
    loop = asyncio.get_running_loop()
    for _ in range(6):
        started = loop.time()
        with deadline(0.2), pytest.raises(Unavailable):
            await patient.read([])
        assert loop.time() - started < 0.19
    assert patient.breaker.state == "closed"


async def test_a_refusal_is_told_once_a_minute_and_opens_nothing(store, clock, caplog):
    refused: list[str] = []
    breaker = LocalBreaker("valkey", clock=clock, on_refused=refused.append)
    guarded = GuardedStore(store, breaker=breaker, clock=clock)
    store.fail(Refused("valkey", "wrong password"))
    for _ in range(7):
        with pytest.raises(Refused):
            await guarded.read([])
    assert (breaker.state, refused) == ("closed", ["valkey"] * 7)
    assert [record.message for record in caplog.records] == ["store refuses us"]


async def test_what_the_first_call_needs_is_loaded_before_it(clock):
    class Heavy(InMemoryStore):
        loaded = 0

        async def warm(self) -> None:
            self.loaded += 1
            raise Refused("valkey", "no credentials")

    heavy = Heavy(clock=clock, name="valkey")
    await GuardedStore(heavy, clock=clock).warm()
    assert heavy.loaded == 1

"""How often a caller may ask, counted for the whole fleet."""

import asyncio
import logging

import pytest

from fakes import InMemoryStore
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.limits import Limit, Rules, parse_overrides
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.limiter import Caller, RateLimiter

DOWN = Unavailable("memory", "refused the connection")
ANN = Caller(user="sub:ann")


class Clock:
    now = 1_200_000.0  # where a minute begins

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> InMemoryStore:
    return InMemoryStore(clock=clock)


def limiter(store, clock, *, rules: Rules | None = None, **more) -> RateLimiter:
    return RateLimiter([store] if store else [], rules=rules or Rules(), clock=clock, **more)


async def passed(asked: RateLimiter, caller: Caller, times: int, route: str = "/search") -> int:
    return sum([(await asked.check(caller, route=route)).allowed for _ in range(times)])


async def test_ten_a_minute_pass_and_the_rest_is_told_when_to_come_back(store, clock):
    asked = limiter(store, clock)
    assert await passed(asked, ANN, 10) == 10
    refused = await asked.check(ANN, route="/search")
    assert not refused.allowed
    assert 1 <= refused.tightest.retry_after_s <= 66
    clock.now += refused.tightest.retry_after_s + 0.001
    assert (await asked.check(ANN, route="/search")).allowed


async def test_environments_count_together(store, clock):
    fleet = [limiter(InMemoryStore(clock=clock, beside=store), clock) for _ in range(8)]
    outcomes = await asyncio.gather(*(passed(one, ANN, 25) for one in fleet))
    assert sum(outcomes) == 10


async def test_callers_do_not_count_for_each_other(store, clock):
    asked = limiter(store, clock)
    assert await passed(asked, ANN, 20) == 10
    assert await passed(asked, Caller(user="sub:bob"), 20) == 10


async def test_a_key_has_a_larger_limit_of_its_own(store, clock):
    asked = limiter(store, clock, rules=Rules(key=Limit(30, 60)))
    assert await passed(asked, Caller(key_id="k1"), 40) == 30
    assert await passed(asked, Caller(key_id="k2"), 40) == 30


async def test_both_limits_hold_and_the_tighter_is_reported(store, clock):
    asked = limiter(store, clock, rules=Rules(key=Limit(15, 60)))
    first = await asked.check(Caller("sub:ann", "k1"), route="/search")
    assert [one.rule.name for one in first.applied] == ["user", "key"]
    assert (first.tightest.rule.name, first.tightest.allowance.remaining) == ("user", 9)
    assert await passed(asked, Caller("sub:ann", "k1"), 20) == 9
    assert await passed(asked, Caller("sub:bob", "k1"), 20) == 5
    refused = await asked.check(Caller("sub:bob", "k1"), route="/search")
    assert refused.tightest.rule.name == "key"


async def test_one_users_flood_does_not_use_up_the_key_of_the_others(store, clock):
    asked = limiter(store, clock, rules=Rules(key=Limit(15, 60)))
    await passed(asked, Caller("sub:ann", "k1"), 500)
    assert await passed(asked, Caller("sub:bob", "k1"), 5) == 5


async def test_a_route_with_its_own_limit_has_its_own_window(store, clock):
    rules = Rules(overrides=parse_overrides("user:/documents=2/minute"))
    asked = limiter(store, clock, rules=rules)
    assert await passed(asked, ANN, 5, "/documents") == 2
    assert await passed(asked, ANN, 20, "/search") == 10


async def test_a_denial_is_remembered_until_it_is_over(store, clock):
    asked = limiter(store, clock)
    await passed(asked, ANN, 11)
    before = store.calls["take"]
    refused = await asked.check(ANN, route="/search")
    wait_s = refused.tightest.allowance.reset_s
    clock.now += wait_s - 1
    refused = await asked.check(ANN, route="/search")
    assert refused.tightest.allowance.reset_s == pytest.approx(1)
    assert await passed(asked, ANN, 1000) == 0
    assert store.calls["take"] == before
    clock.now += 1.001
    assert await passed(asked, ANN, 2) == 1


async def test_without_an_identity_or_a_limit_nothing_is_asked(store, clock):
    asked = limiter(store, clock, rules=Rules(user=None))
    decision = await asked.check(ANN, route="/search")
    assert (decision.allowed, decision.tightest) == (True, None)
    assert (await asked.check(Caller(), route="/search")).allowed
    assert store.calls["take"] == 0


async def test_a_dead_store_leaves_the_same_limit_to_each_process(store, clock, caplog):
    lost: list[str] = []
    asked = limiter(store, clock, on_fallback=lost.append)
    store.fail(DOWN)
    with caplog.at_level(logging.WARNING):
        assert await passed(asked, ANN, 20) == 10
        clock.now += 120
        assert await passed(asked, ANN, 20) == 10
    assert len(caplog.records) == 2
    assert lost == ["memory"] * 22
    store.heal()
    clock.now += 120
    assert await passed(asked, ANN, 20) == 10
    assert len(lost) == 22


async def test_losing_the_store_does_not_start_the_count_anew(store, clock):
    asked = limiter(store, clock)
    assert await passed(asked, ANN, 8) == 8
    store.fail(DOWN)
    assert await passed(asked, ANN, 8) == 2


async def test_a_slow_store_is_waited_for_a_moment_and_then_not_asked(store, clock):
    lost: list[str] = []
    store.slow(5)
    guarded = GuardedStore(store, timeout_s=0.01, connect_s=0.01, clock=clock)
    asked = limiter(guarded, clock, on_fallback=lost.append)
    async with asyncio.timeout(1):
        assert await passed(asked, ANN, 10) == 10
    assert (store.calls["take"], len(lost)) == (5, 10)


async def test_while_the_nearest_store_is_down_the_fleet_counts_in_the_next(store, clock):
    lost: list[str] = []
    down = InMemoryStore(clock=clock)
    down.fail(DOWN)
    fleet = [
        RateLimiter(
            [down, InMemoryStore(clock=clock, beside=store)],
            rules=Rules(),
            clock=clock,
            on_fallback=lost.append,
        )
        for _ in range(2)
    ]
    assert await passed(fleet[0], ANN, 8) + await passed(fleet[1], ANN, 8) == 10
    assert lost == []


async def test_no_store_is_a_limit_for_each_process_without_a_word(clock, caplog):
    assert await passed(limiter(None, clock), ANN, 20) == 10
    assert caplog.records == []


async def test_a_flood_of_callers_stays_bounded_in_memory(clock):
    asked = limiter(None, clock, rules=Rules(user=Limit(1, 60)))
    for n in range(12_000):
        await passed(asked, Caller(user=f"ip:{n}"), 2)
    assert len(asked._windows) == len(asked._denied) == 10_000


async def test_nobody_can_be_read_from_the_store(store, clock):
    asked = limiter(store, clock)
    await passed(asked, Caller("sub:김철수\ud800", "key-1"), 1)
    keys = list(store._shelves.windows)
    assert len(keys) == 2
    assert all(key.startswith("sr:rate:") and key.isascii() for key in keys)
    assert not any("key-1" in key for key in keys)


async def test_a_user_and_a_key_of_the_same_name_are_two(store, clock):
    asked = limiter(store, clock, rules=Rules(key=Limit(10, 60)))
    assert await passed(asked, Caller(user="x"), 10) == 10
    assert await passed(asked, Caller(key_id="x"), 10) == 10

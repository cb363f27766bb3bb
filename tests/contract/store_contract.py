"""What holds for every `ports.SharedStore`, whichever server is behind it.

A test class inherits from `StoreContract` and provides a fixture `connect`: `connect(clock)`
opens a store, and every call within one test leads to the same, at first empty, contents.
`StoreAcrossProcesses` wants a fixture `where` for `store_process.open_store` besides.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from contract.store_process import SIZE, everywhere, start_processes
from steadyrag.domain import sliding_window
from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import SharedStore

type Connect = Callable[[Callable[[], float]], SharedStore]

KOREAN = "대한민국의 수도는 서울이다".encode()
HOUR_S = 3600.0


class Clock:
    """Stands still at the real time, until told to move."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        self.now_s += seconds


class StoreContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, connect: Connect, clock: Clock) -> SharedStore:
        return connect(clock)

    async def test_what_one_environment_writes_another_reads(self, connect, clock):
        kept = {"a": b"", "b": KOREAN, "c": bytes(range(256)), "d": b"12", "large": b"x" * 300_000}
        await connect(clock).write(kept, ttl_s=HOUR_S)
        assert await connect(clock).read([*kept]) == (kept, {})

    async def test_a_batch_brings_values_and_maps_and_leaves_out_what_is_missing(self, store):
        await store.write({"a": b"1", "b": b"2"}, ttl_s=HOUR_S)
        await store.update("m", put={"field": b"3"})
        asked = await store.read(["missing", "a", "b"], ["m", "no map"])
        assert asked == ({"a": b"1", "b": b"2"}, {"m": {"field": b"3"}})

    async def test_a_batch_of_nothing_is_nothing(self, store):
        await store.write({}, ttl_s=HOUR_S)
        await store.delete([])
        assert await store.read([]) == ({}, {})

    async def test_a_batch_may_be_long_and_name_a_key_twice(self, store):
        kept = {f"key-{i}": b"%d" % i for i in range(120)}
        await store.write(kept, ttl_s=HOUR_S)
        assert await store.read([*kept, "key-7"]) == (kept, {})

    async def test_a_second_write_replaces_the_value_and_its_expiry(self, store, clock):
        await store.write({"a": b"old"}, ttl_s=10)
        await store.write({"a": b"new"}, ttl_s=HOUR_S)
        clock.passes(11)
        assert await store.read(["a"]) == ({"a": b"new"}, {})

    async def test_an_expired_value_is_missing_to_every_clock_that_says_so(self, connect, clock):
        slow = Clock()
        await connect(clock).write({"a": b"1"}, ttl_s=10)
        clock.passes(9.9)
        assert await connect(clock).read(["a"]) == ({"a": b"1"}, {})
        clock.passes(0.2)
        assert await connect(clock).read(["a"]) == ({}, {})
        assert await connect(slow).read(["a"]) == ({"a": b"1"}, {})

    async def test_deleted_values_are_gone_and_unknown_ones_ignored(self, store):
        await store.write({"a": b"1", "b": b"2", "c": b"3"}, ttl_s=HOUR_S)
        await store.delete(["a", "missing", "c"])
        await store.delete(["b"])
        assert await store.read(["a", "b", "c"]) == ({}, {})

    async def test_an_update_changes_what_it_names_and_returns_the_whole_map(self, store):
        first = await store.update("m", put={"state": b"open", "why": KOREAN, "none": b""})
        assert first == {"state": b"open", "why": KOREAN, "none": b""}
        then = await store.update("m", put={"state": b"shut"}, remove=["why", "unknown"])
        assert then == {"state": b"shut", "none": b""}
        assert await store.read([], ["m"]) == ({}, {"m": then})

    async def test_an_update_of_nothing_returns_what_is_there(self, store):
        assert await store.update("m") == {}
        await store.update("m", put={"a": b"1"})
        assert await store.update("m") == {"a": b"1"}

    async def test_adding_counts_from_zero_or_from_what_was_put(self, store):
        assert await store.update("m", add={"version": 1, "down": -3}) == {
            "version": b"1",
            "down": b"-3",
        }
        await store.update("m", put={"version": b"41"})
        assert (await store.update("m", add={"version": 1}))["version"] == b"42"
        assert (await store.update("m", add={"version": 0}))["version"] == b"42"

    @pytest.mark.parametrize("value", [b"007", b"-0", b"1e3", b"1732330000.25", b" 1", b"9" * 30])
    async def test_what_only_resembles_a_number_comes_back_as_it_was(self, store, value):
        assert await store.update("m", put={"a": value}) == {"a": value}
        assert await store.read([], ["m"]) == ({}, {"m": {"a": value}})

    async def test_adding_to_text_fails_and_changes_nothing(self, store):
        before = await store.update("m", put={"text": b"words", "count": b"1"})
        with pytest.raises(DependencyError):
            await store.update("m", add={"count": 1, "text": 1}, put={"new": b"1"})
        assert await store.read([], ["m"]) == ({}, {"m": before})

    async def test_a_field_is_changed_in_one_way_at_a_time(self, store):
        with pytest.raises(ValueError, match="one way"):
            await store.update("m", put={"a": b"1"}, remove=["a"])

    async def test_a_map_without_fields_is_missing(self, store):
        await store.update("m", put={"a": b"1"}, ttl_s=HOUR_S)
        assert await store.update("m", remove=["a"]) == {}
        assert await store.read([], ["m"]) == ({}, {})

    async def test_a_map_expires_as_a_whole_and_starts_anew(self, store, clock):
        await store.update("m", put={"a": b"1"}, add={"n": 5}, ttl_s=10)
        clock.passes(5)
        assert await store.update("m", add={"n": 1}) == {"a": b"1", "n": b"6"}
        clock.passes(5.1)
        assert await store.read([], ["m"]) == ({}, {})
        assert await store.update("m", add={"n": 1}) == {"n": b"1"}
        clock.passes(HOUR_S)
        assert await store.read([], ["m"]) == ({}, {"m": {"n": b"1"}})

    async def test_a_map_kept_for_ever_can_be_given_an_expiry(self, store, clock):
        await store.update("m", put={"a": b"1"})
        await store.update("m", ttl_s=10)
        clock.passes(10.1)
        assert await store.update("m", put={"b": b"2"}, ttl_s=10) == {"b": b"2"}

    async def test_a_lease_is_held_by_one_and_renewed_by_the_same(self, connect, clock):
        mine, other = connect(clock), connect(clock)
        assert await mine.claim("lease", "me", ttl_s=10)
        assert not await other.claim("lease", "you", ttl_s=10)
        clock.passes(9)
        assert await mine.claim("lease", "me", ttl_s=10)
        clock.passes(9)
        assert not await other.claim("lease", "you", ttl_s=10)

    async def test_a_lease_that_ran_out_is_free(self, store, clock):
        await store.claim("lease", "me", ttl_s=10)
        clock.passes(10.1)
        assert await store.claim("lease", "you", ttl_s=10)
        assert not await store.claim("lease", "me", ttl_s=10)

    async def test_only_its_owner_gives_a_lease_back(self, store):
        await store.claim("lease", "me:1", ttl_s=10)
        await store.release("lease", "you")
        assert not await store.claim("lease", "you", ttl_s=10)
        await store.release("lease", "me:1")
        await store.release("lease", "me:1")
        assert await store.claim("lease", "you", ttl_s=10)

    async def test_of_fifty_claims_at_once_one_succeeds(self, store):
        claims = (store.claim("lease", f"owner-{i}", ttl_s=10) for i in range(50))
        assert sum(await asyncio.gather(*claims)) == 1

    async def test_a_window_allows_its_limit_and_says_what_is_left(self, store):
        verdicts = [await store.take("user", limit=3, window_s=60) for _ in range(5)]
        assert [one.allowed for one in verdicts] == [True, True, True, False, False]
        assert [one.remaining for one in verdicts] == [2, 1, 0, 0, 0]
        assert {one.limit for one in verdicts} == {3}
        assert verdicts[0].reset_s == 0
        assert 0 < verdicts[-1].reset_s <= 80

    async def test_a_refused_caller_is_allowed_once_the_stated_time_has_passed(self, store, clock):
        while (last := await store.take("user", limit=4, window_s=60)).allowed:
            clock.passes(1)
        clock.passes(last.reset_s - 0.5)
        assert not (await store.take("user", limit=4, window_s=60)).allowed
        clock.passes(0.6)
        assert (await store.take("user", limit=4, window_s=60)).allowed

    async def test_windows_of_two_callers_do_not_touch(self, store):
        assert (await store.take("one", limit=1, window_s=60)).allowed
        assert (await store.take("two", limit=1, window_s=60)).allowed

    async def test_every_verdict_is_the_one_that_the_arithmetic_gives(self, connect, clock):
        stores, held, steps = [connect(clock), connect(clock)], None, random.Random(7)  # noqa: S311
        for _ in range(60):
            clock.passes(steps.choice([0, 0.5, 3, 20, 61, 200, -4]))
            held, expected = sliding_window.take(held, limit=5, now_s=clock(), window_s=60)
            verdict = await steps.choice(stores).take("user", limit=5, window_s=60)
            assert verdict == expected

    async def test_fifty_additions_at_once_all_count(self, store):
        results = await asyncio.gather(*(store.update("m", add={"n": 1}) for _ in range(50)))
        assert sorted(int(one["n"]) for one in results) == list(range(1, 51))

    async def test_a_closed_store_connects_again_when_it_is_asked(self, store):
        await store.write({"a": b"1"}, ttl_s=HOUR_S)
        await store.aclose()
        await store.aclose()
        assert await store.read(["a"]) == ({"a": b"1"}, {})


class StoreAcrossProcesses:
    @pytest.fixture(scope="class")
    @classmethod
    def processes(cls) -> Iterator[ProcessPoolExecutor]:
        with start_processes() as pool:
            yield pool

    def test_of_two_hundred_requests_from_eight_processes_exactly_the_limit_passes(
        self, processes, where: dict[str, Any]
    ):
        for user in ("first", "second", "third"):
            verdicts = everywhere(
                processes, where, "take", 200 // SIZE, key=user, limit=10, window_s=60
            )
            assert sum(verdict.allowed for verdict in verdicts) == 10

    def test_no_addition_of_eight_processes_is_lost(self, processes, where: dict[str, Any]):
        results = everywhere(processes, where, "update", 25, key="m", add={"n": 1})
        assert sorted(int(one["n"]) for one in results) == list(range(1, 201))

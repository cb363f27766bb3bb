"""What holds for every `RecordStore`, whatever keeps it.

A test class inherits from `RecordStoreContract` and provides a fixture `connect`:
`connect(clock, most)` opens a store, and every call within one test leads to the same, at first
empty, records.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from contract.store_contract import Clock
from steadyrag.domain.models import CacheInfo, Stage, Usage
from steadyrag.domain.ports import RecordStore
from steadyrag.domain.records import Feedback, Result, SearchRecord

type Connect = Callable[..., RecordStore]

DAY_S = 86_400.0
WHOLE = SearchRecord(
    search_id="01jdhm3q9kfa8v7w2c5x6y0ztr.k3v7q2m5n6c4x2z7",
    at=1_700_000_000.125,
    query="재순위화가 멈추면? 🧭",
    namespace="docs",
    language="ko",
    caller="c4ll3r",
    request_id="7a1f4c1e",
    trace_id="1-58406520-a006649127e371903a2de979",
    mode="partial",
    degraded=("rerank", "generation"),
    cache=CacheInfo("hit", "valkey", 12),
    calibrated=True,
    results=(Result("c1", "a.md", 0.91, 1), Result("c2", "b.md", 0.5, 2)),
    answer="It keeps the fused order. [1]",
    model="gpt-6-luna",
    variant="b",
    usage=Usage(3, 500, 40, 0.0012),
    stages=(
        Stage("embedding", 0.1, 12.5, facts={"model": "m", "attempts": 2, "cost_usd": 0.1}),
        Stage("rerank", 13, 100.0, lost=True, facts={"retried": True}),
    ),
    total_ms=231.75,
)


def a_search(search_id: str = "s1", at: float = 1_700_000_000.0, **fields: object) -> SearchRecord:
    return SearchRecord(**{"search_id": search_id, "at": at, "query": "q", "mode": "full"} | fields)


class RecordStoreContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, connect: Connect, clock: Clock) -> RecordStore:
        return connect(clock)

    async def test_nothing_is_known_of_what_never_was(self, store):
        assert list(await store.recent()) == []
        assert await store.get("s1") is None

    async def test_a_search_is_read_back_whole_by_everyone(self, connect, clock):
        record = replace(WHOLE, at=clock())
        await connect(clock).add_search(record)
        assert (await connect(clock).get(record.search_id)).search == record
        assert [one.search for one in await connect(clock).recent()] == [record]

    async def test_a_search_that_failed_before_it_was_understood_is_read_back_too(
        self, store, clock
    ):
        record = SearchRecord("s1", clock(), "?", error="InvalidInput")
        await store.add_search(record)
        assert (await store.get("s1")).search == record

    async def test_the_newest_come_first_in_whatever_order_they_came(self, store, clock):
        for minute in (3, 1, 4, 0, 2):
            await store.add_search(a_search(f"s{minute}", clock() - 60 * minute))
        found = [one.search.search_id for one in await store.recent()]
        assert found == ["s0", "s1", "s2", "s3", "s4"]
        assert [one.search.search_id for one in await store.recent(2)] == ["s0", "s1"]

    async def test_of_one_moment_the_last_to_come_is_first(self, store, clock):
        for name in ("a", "b", "c"):
            await store.add_search(a_search(name, clock()))
        assert [one.search.search_id for one in await store.recent()] == ["c", "b", "a"]

    async def test_those_that_failed_are_told_from_the_others(self, store, clock):
        await store.add_search(a_search("well", clock()))
        await store.add_search(a_search("broke", clock() + 1, mode=None, error="TypeError"))
        await store.add_search(a_search("canned", clock() + 2, mode="canned"))
        failed = [one.search.search_id for one in await store.recent(failed=True)]
        assert failed == ["canned", "broke"]
        assert [one.search.search_id for one in await store.recent(failed=False)] == ["well"]

    async def test_a_search_that_comes_again_takes_its_own_place(self, store, clock):
        await store.add_search(a_search("s1", clock()))
        await store.add_search(a_search("s1", clock(), answer="second"))
        (found,) = await store.recent()
        assert found.search.answer == "second"

    async def test_feedback_is_joined_to_its_search_alone(self, store, clock):
        await store.add_search(a_search("s1", clock()))
        await store.add_search(a_search("s2", clock()))
        said = Feedback("s1", clock() + 5, clicked_rank=2, rating=1, comment="좋아요")
        await store.add_feedback(said)
        assert (await store.get("s1")).feedback == (said,)
        assert (await store.get("s2")).feedback == ()

    async def test_feedback_that_comes_before_its_search_waits_for_it(self, store, clock):
        said = Feedback("s1", clock(), rating=-1)
        await store.add_feedback(said)
        assert await store.get("s1") is None
        await store.add_search(a_search("s1", clock()))
        assert (await store.get("s1")).feedback == (said,)

    async def test_the_same_feedback_again_counts_once(self, store, clock):
        await store.add_search(a_search("s1", clock()))
        said = Feedback("s1", clock(), clicked_rank=2, rating=1, comment="good")
        for _ in range(2):
            await store.add_feedback(said)
        assert (await store.get("s1")).feedback == (said,)
        await store.add_feedback(replace(said, at=clock() + 9))
        assert (await store.get("s1")).feedback == (
            Feedback("s1", clock(), clicked_rank=2),
            Feedback("s1", clock() + 9, rating=1, comment="good"),
        )

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    async def test_feedback_comes_to_the_same_in_any_order_and_again(self, store, clock, order):
        at = clock()
        coming = [
            Feedback("s1", at, clicked_rank=3, rating=-1),
            Feedback("s1", at + 1, clicked_rank=1),
            Feedback("s1", at + 2, rating=1, comment="better"),
            Feedback("s1", at + 3, clicked_rank=3),
        ]
        await store.add_search(a_search("s1", at))
        for place in (*order, *order):
            await store.add_feedback(coming[place])
        assert (await store.get("s1")).feedback == (
            Feedback("s1", at, clicked_rank=3),
            Feedback("s1", at + 1, clicked_rank=1),
            Feedback("s1", at + 2, rating=1, comment="better"),
        )

    async def test_who_changes_their_mind_twice_is_taken_at_the_last_word(self, store, clock):
        await store.add_search(a_search("s1", clock()))
        for later_s, rating in enumerate((1, -1, 1)):
            await store.add_feedback(Feedback("s1", clock() + later_s, rating=rating))
        assert (await store.get("s1")).feedback == (Feedback("s1", clock() + 2, rating=1),)

    async def test_only_so_many_are_kept_and_those_are_the_newest(self, connect, clock):
        store = connect(clock, most=3)
        for second in (5, 1, 4, 2, 3):
            await store.add_search(a_search(f"s{second}", clock() + second))
        assert [one.search.search_id for one in await store.recent()] == ["s5", "s4", "s3"]
        for _ in range(2):
            await store.add_search(a_search("of-one-moment", clock() + 5))
        found = [one.search.search_id for one in await store.recent()]
        assert found == ["of-one-moment", "s5", "s4"]

    async def test_feedback_on_searches_that_never_come_is_bounded_too(self, connect, clock):
        store = connect(clock, most=3)
        for number in range(5):
            await store.add_feedback(Feedback(f"s{number}", clock() + number, rating=1))
        for number in range(5):
            await store.add_search(a_search(f"s{number}", clock() + 10))
        joined = {one.search.search_id for one in await store.recent() if one.feedback}
        assert joined == {"s2", "s3", "s4"}

    async def test_a_search_of_ninety_days_ago_is_gone(self, store, clock):
        await store.add_search(a_search("s1", clock()))
        clock.passes(90 * DAY_S)
        assert await store.get("s1")
        clock.passes(1)
        assert await store.get("s1") is None
        assert list(await store.recent()) == []

    async def test_many_at_once_are_all_kept(self, store, clock):
        await asyncio.gather(
            *(store.add_search(a_search(f"s{n}", clock() + n)) for n in range(200)),
            *(store.add_feedback(Feedback(f"s{n}", clock(), rating=1)) for n in range(200)),
        )
        found = await store.recent(500)
        assert len(found) == 200
        assert all(one.feedback for one in found)

    async def test_closing_twice_is_harmless(self, store, clock):
        await store.add_search(a_search("s1", clock()))
        await store.aclose()
        await store.aclose()

"""What holds for every `domain.ledger.Ledger`, whatever keeps it.

A test class inherits from `LedgerContract` and provides a fixture `connect`: `connect(clock)`
opens a ledger, and every call within one test leads to the same, at first empty, entries.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contract.store_contract import Clock
from steadyrag.domain.chunking import chunk_document
from steadyrag.domain.documents import ParsedDocument, Section
from steadyrag.domain.ledger import Entry, Held, LeaseLost, Ledger, Outcome
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

type Connect = Callable[[Callable[[], float]], Ledger]

DAY_S = 86_400.0
IDS = [
    "a",
    "a/b.md",
    "a b?c=%2F&d='e'\"f\".md",
    "Z",
    "#",
    "\\",
    "가이드/휴가 규정.md",
    unicodedata.normalize("NFD", "가이드/휴가 규정.md"),
    "\ufb01 ligature",  # in UTF-16 before nothing of the next two planes
    "\uffee",
    "🧭/map.md",
    "\U0002f9fd",
    "é",
    unicodedata.normalize("NFD", "é"),
    "d" * 900,
]

INDEXED = Outcome(
    "indexed",
    version="v-1",
    stamp="etag@1700000000",
    sequencer="0055AED6DCD90281E5",
    recipe="recipe/1",
    origin="s3://bucket/documents/ns/휴가.md",
    title="휴가 규정 🧭",
    size_bytes=12_345_678_901,
    chunks=16_000,
)


def place(document_id: str = "a.md", namespace: str = "default") -> Place:
    return Place(namespace, document_id)


def record(document_id: str = "a.md", chunk_ids: Sequence[str] = ("c-1", "c-2")) -> DocumentRecord:
    return DocumentRecord(document_id, "s3://bucket/휴가.md", "vectors+1", tuple(chunk_ids))


def real_chunk_ids() -> list[str]:
    """As chunking makes them, repeats included."""
    sections = [Section((f"Heading {n % 7}",), "The same words again.") for n in range(300)]
    sections += [Section((f"Heading {n}",), f"Other words {n}. " * 9) for n in range(20)]
    document = ParsedDocument("a.md", "A", sections)
    return [
        chunk.id for chunk in chunk_document(document, lambda text: len(text) // 4, max_tokens=16)
    ]


async def all_of(ledger: Ledger, namespace: str, **request: Any) -> list[Entry]:
    return [entry async for entry in ledger.entries(namespace, **request)]


class LedgerContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def ledger(self, connect: Connect, clock: Clock) -> Ledger:
        return connect(clock)

    async def settled(
        self, ledger: Ledger, clock: Clock, where: Place, outcome: Outcome = INDEXED
    ) -> None:
        await ledger.claim(where, owner="settler", until=clock() + 60)
        await ledger.settle(where, owner="settler", mark="", outcome=outcome)

    async def test_nothing_is_known_of_what_never_was(self, ledger):
        assert await ledger.look_up(place()) is None
        assert await all_of(ledger, "default") == []
        assert await ledger.namespaces() == []
        assert await ledger.want_gone(place(), "mark") is None
        await ledger.release(place(), owner="nobody")
        assert dict(await ledger.owned_by("nobody").records("default")) == {}
        assert await ledger.look_up(place()) is None

    async def test_a_first_claim_makes_an_entry(self, ledger, clock):
        claimed = await ledger.claim(place(), owner="me", until=clock() + 60)
        assert claimed == Entry("a.md", "pending", attempts=1)
        found = await ledger.look_up(place())
        assert found == Entry("a.md", "indexing", attempts=1, updated_at=clock())

    async def test_what_was_settled_is_read_back_whole_by_everyone(self, connect, clock):
        await self.settled(connect(clock), clock, place())
        fields = {name: getattr(INDEXED, name) for name in INDEXED.__dataclass_fields__}
        expected = Entry("a.md", updated_at=clock(), **fields)
        assert await connect(clock).look_up(place()) == expected
        assert await all_of(connect(clock), "default") == [expected]
        claimed = await connect(clock).claim(place(), owner="me", until=clock() + 60)
        assert claimed == replace(expected, attempts=1)

    async def test_what_is_settled_replaces_all_that_was_said_before(self, ledger, clock):
        await self.settled(ledger, clock, place())
        clock.passes(1)
        await self.settled(ledger, clock, place(), Outcome("failed", reason="holds no text"))
        assert await ledger.look_up(place()) == Entry(
            "a.md", "failed", reason="holds no text", updated_at=clock()
        )

    async def test_a_lease_keeps_everybody_else_out(self, connect, clock):
        until = clock() + 60.25
        await connect(clock).claim(place(), owner="me", until=until)
        clock.passes(60)
        with pytest.raises(Held) as held:
            await connect(clock).claim(place(), owner="you", until=clock() + 60)
        assert held.value.until == until
        await connect(clock).claim(place("b.md"), owner="you", until=clock() + 60)
        await connect(clock).claim(place(namespace="other"), owner="you", until=clock() + 60)

    async def test_a_lease_ends_by_the_clock_of_who_comes_next(self, connect, clock):
        await connect(clock).claim(place(), owner="me", until=clock() + 60)
        clock.passes(60)
        claimed = await connect(clock).claim(place(), owner="you", until=clock() + 60)
        assert (claimed.status, claimed.attempts) == ("indexing", 2)

    async def test_who_lost_the_lease_can_write_nothing(self, ledger, clock):
        await ledger.claim(place(), owner="me", until=clock() + 60)
        await ledger.owned_by("me").put("default", record())
        clock.passes(61)
        await ledger.claim(place(), owner="you", until=clock() + 60)
        before = await ledger.look_up(place())
        for attempt in (
            ledger.settle(place(), owner="me", mark="", outcome=INDEXED),
            ledger.owned_by("me").put("default", record(chunk_ids=["mine"])),
            ledger.owned_by("me").remove("default", "a.md"),
        ):
            with pytest.raises(LeaseLost):
                await attempt
        await ledger.release(place(), owner="me", reason="late")
        assert await ledger.look_up(place()) == before
        await ledger.settle(place(), owner="you", mark="", outcome=INDEXED)

    async def test_a_lease_that_ran_out_is_its_owners_until_somebody_claims_it(self, ledger, clock):
        await ledger.claim(place(), owner="me", until=clock() + 60)
        clock.passes(3600)
        await ledger.owned_by("me").put("default", record())
        await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)
        assert (await ledger.look_up(place())).status == "indexed"

    async def test_a_claim_whose_answer_was_lost_can_be_repeated(self, ledger, clock):
        await ledger.claim(place(), owner="me", until=clock() + 60)
        again = await ledger.claim(place(), owner="me", until=clock() + 60)
        assert (again.status, again.attempts) == ("indexing", 1)
        await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)

    async def test_a_settle_whose_answer_was_lost_can_be_repeated(self, ledger, clock):
        await self.settled(ledger, clock, place())
        await ledger.settle(place(), owner="settler", mark="", outcome=INDEXED)
        with pytest.raises(LeaseLost):
            await ledger.settle(place(), owner="another", mark="", outcome=INDEXED)
        await ledger.want_gone(place(), "mark")
        await ledger.settle(place(), owner="settler", mark="", outcome=INDEXED)
        assert (await ledger.look_up(place())).status == "deleting"
        await ledger.claim(place(), owner="you", until=clock() + 60)
        with pytest.raises(LeaseLost):
            await ledger.settle(place(), owner="settler", mark="mark", outcome=INDEXED)

    async def test_nobody_settles_what_nobody_claimed(self, ledger):
        with pytest.raises(LeaseLost):
            await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)
        await ledger.expect(place(), Outcome("pending"))
        with pytest.raises(LeaseLost):
            await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)
        with pytest.raises(LeaseLost):
            await ledger.owned_by("me").put("default", record())
        with pytest.raises(LeaseLost):
            await ledger.owned_by("me").remove("default", "never there")

    async def test_what_is_given_back_waits_with_a_reason_and_has_cost_no_attempt(
        self, ledger, clock
    ):
        await self.settled(ledger, clock, place())
        await ledger.claim(place(), owner="me", until=clock() + 60)
        clock.passes(5)
        await ledger.release(place(), owner="me", reason="embedding: slow down")
        entry = await ledger.look_up(place())
        assert (entry.status, entry.reason, entry.attempts) == (
            "pending",
            "embedding: slow down",
            0,
        )
        assert (entry.version, entry.updated_at) == ("v-1", clock())
        await ledger.claim(place(), owner="you", until=clock() + 60)
        await ledger.release(place(), owner="you")
        assert (await ledger.look_up(place())).reason is None

    async def test_attempts_count_those_that_ended_without_a_word(self, ledger, clock):
        for attempt in (1, 2, 3):
            entry = await ledger.claim(place(), owner=f"owner-{attempt}", until=clock() + 60)
            assert entry.attempts == attempt
            clock.passes(61)
        await ledger.claim(place(), owner="last", until=clock() + 60)
        await ledger.release(place(), owner="last")
        assert (await ledger.look_up(place())).attempts == 3
        await self.settled(ledger, clock, place())
        assert (await ledger.look_up(place())).attempts == 0

    async def test_what_is_expected_waits_and_keeps_what_was_known(self, ledger, clock):
        await self.settled(ledger, clock, place(), replace(INDEXED, reason="why"))
        clock.passes(1)
        await ledger.expect(place(), Outcome("indexed", title="새 제목", size_bytes=7))
        assert await ledger.look_up(place()) == Entry(
            "a.md",
            "pending",
            version="v-1",
            stamp=INDEXED.stamp,
            sequencer=INDEXED.sequencer,
            recipe=INDEXED.recipe,
            origin=INDEXED.origin,
            title="새 제목",
            size_bytes=7,
            chunks=16_000,
            updated_at=clock(),
        )

    async def test_a_new_document_can_be_expected(self, ledger, clock):
        await ledger.expect(place(), Outcome("pending", title="T", reason="uploading"))
        expected = Entry("a.md", "pending", title="T", reason="uploading", updated_at=clock())
        assert await ledger.look_up(place()) == expected
        assert await ledger.namespaces() == ["default"]

    async def test_expecting_a_document_takes_the_lease_from_nobody(self, ledger, clock):
        await ledger.claim(place(), owner="me", until=clock() + 60)
        await ledger.owned_by("me").put("default", record())
        await ledger.expect(place(), Outcome("pending"))
        assert (await ledger.look_up(place())).status == "pending"
        with pytest.raises(Held):
            await ledger.claim(place(), owner="you", until=clock() + 60)
        await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)
        assert (await ledger.look_up(place())).record == record()

    async def test_what_is_wanted_gone_is_not_settled_by_who_did_not_know(self, ledger, clock):
        await self.settled(ledger, clock, place())
        await ledger.claim(place(), owner="me", until=clock() + 60)
        before = await ledger.want_gone(place(), "mark-1")
        assert (before.status, before.version, before.mark) == ("indexing", "v-1", "")
        with pytest.raises(LeaseLost):
            await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)
        with pytest.raises(LeaseLost):
            await ledger.settle(place(), owner="me", mark="mark-2", outcome=INDEXED)
        assert (await ledger.look_up(place())).mark == "mark-1"
        await ledger.settle(place(), owner="me", mark="mark-1", outcome=Outcome("deleted"))
        assert await ledger.look_up(place()) == Entry("a.md", "deleted", updated_at=clock())

    async def test_deleting_outlasts_claims_and_is_ended_by_a_new_version(self, ledger, clock):
        await self.settled(ledger, clock, place())
        await ledger.want_gone(place(), "mark")
        claimed = await ledger.claim(place(), owner="me", until=clock() + 60)
        assert (claimed.status, claimed.mark) == ("deleting", "mark")
        assert (await ledger.look_up(place())).status == "deleting"
        await ledger.release(place(), owner="me", reason="index: down")
        entry = await ledger.look_up(place())
        assert (entry.status, entry.reason) == ("deleting", "index: down")
        await ledger.expect(place(), Outcome("pending"))
        entry = await ledger.look_up(place())
        assert (entry.status, entry.mark) == ("pending", "mark")

    async def test_what_is_deleted_is_not_wanted_gone_again(self, ledger, clock):
        await self.settled(ledger, clock, place(), Outcome("deleted"))
        assert await ledger.want_gone(place(), "mark") is None
        entry = await ledger.look_up(place())
        assert (entry.status, entry.mark) == ("deleted", "")
        await ledger.claim(place(), owner="me", until=clock() + 60)  # it has come back
        assert (await ledger.want_gone(place(), "mark")).status == "indexing"

    async def test_a_deleted_document_is_forgotten_after_thirty_days(self, ledger, clock):
        await self.settled(ledger, clock, place(), Outcome("deleted", sequencer="05"))
        clock.passes(30 * DAY_S - 5)
        assert (await ledger.look_up(place())).sequencer == "05"
        assert len(await all_of(ledger, "default")) == 1
        clock.passes(10)
        assert await ledger.look_up(place()) is None
        assert await all_of(ledger, "default") == []
        assert await ledger.want_gone(place(), "mark") is None
        assert await ledger.namespaces() == ["default"]

    async def test_a_forgotten_document_begins_anew(self, ledger, clock):
        for document_id in ("claimed", "expected"):
            await self.settled(ledger, clock, place(document_id), Outcome("deleted", title="Old"))
        clock.passes(31 * DAY_S)
        claimed = await ledger.claim(place("claimed"), owner="me", until=clock() + 60)
        assert claimed == Entry("claimed", "pending", attempts=1)
        await ledger.expect(place("expected"), Outcome("pending"))
        expected = Entry("expected", "pending", updated_at=clock())
        assert await ledger.look_up(place("expected")) == expected
        clock.passes(365 * DAY_S)
        assert len(await all_of(ledger, "default")) == 2

    @pytest.mark.parametrize("how", ["claim", "expect", "settle"])
    async def test_a_document_that_came_back_is_not_forgotten(self, ledger, clock, how):
        await self.settled(ledger, clock, place(), Outcome("deleted"))
        if how == "claim":
            await ledger.claim(place(), owner="me", until=clock() + 60)
        elif how == "expect":
            await ledger.expect(place(), Outcome("pending"))
        else:
            await self.settled(ledger, clock, place())
        clock.passes(31 * DAY_S)
        assert await ledger.look_up(place()) is not None

    async def test_records_are_written_by_the_leases_owner_and_read_by_everyone(
        self, connect, clock
    ):
        ledger, mine = connect(clock), record(chunk_ids=real_chunk_ids())
        await ledger.claim(place(), owner="me", until=clock() + 60)
        await ledger.claim(place("other.md"), owner="me", until=clock() + 60)
        await ledger.claim(place("a.md", "elsewhere"), owner="me", until=clock() + 60)
        await ledger.owned_by("me").put("default", mine)
        await ledger.owned_by("me").put("elsewhere", record(chunk_ids=()))
        other = connect(clock)
        assert dict(await other.owned_by("you").records("default")) == {"a.md": mine}
        assert dict(await other.owned_by("").records("elsewhere")) == {"a.md": record(chunk_ids=())}
        assert (await other.look_up(place())).record == mine
        assert [one.record for one in await all_of(other, "default")] == [None, None]

    async def test_a_record_outlasts_every_outcome_until_it_is_removed(self, ledger, clock):
        await ledger.claim(place(), owner="me", until=clock() + 60)
        catalogue = ledger.owned_by("me")
        await catalogue.put("default", record())
        await ledger.release(place(), owner="me")
        await ledger.expect(place(), Outcome("pending"))
        await ledger.want_gone(place(), "mark")
        claimed = await ledger.claim(place(), owner="me", until=clock() + 60)
        assert claimed.record == record()
        await catalogue.put("default", record(chunk_ids=["other"]))
        assert (await ledger.look_up(place())).record == record(chunk_ids=["other"])
        await catalogue.remove("default", "a.md")
        await catalogue.aclose()
        entry = await ledger.look_up(place())
        assert (entry.record, entry.status) == (None, "deleting")
        await ledger.settle(place(), owner="me", mark="mark", outcome=Outcome("deleted"))

    async def test_a_record_may_name_two_versions_of_the_largest_document(self, ledger, clock):
        owner = "0123456789abcdef0123"
        ids = tuple(f"{owner}-{n:020x}" for n in range(16_000))
        ids += tuple(f"{owner}-{'f' * 20}-{n}" for n in range(2, 16_002))
        largest = record(chunk_ids=ids)
        await ledger.claim(place(), owner="me", until=clock() + 60)
        await ledger.owned_by("me").put("default", largest)
        await ledger.settle(place(), owner="me", mark="", outcome=INDEXED)
        assert (await ledger.look_up(place())).record == largest
        assert (await ledger.claim(place(), owner="me", until=clock() + 60)).record == largest

    @pytest.mark.parametrize("document_id", IDS)
    async def test_every_id_is_kept_as_it_was_given(self, ledger, clock, document_id):
        await self.settled(ledger, clock, place(document_id))
        assert (await ledger.look_up(place(document_id))).document_id == document_id
        assert [one.document_id for one in await all_of(ledger, "default")] == [document_id]

    async def test_entries_come_in_the_order_of_their_ids_bytes(self, ledger, clock):
        for document_id in IDS:
            await ledger.expect(place(document_id), Outcome("pending"))
        expected = sorted(IDS, key=str.encode)
        listed = [one.document_id for one in await all_of(ledger, "default")]
        assert listed == expected
        for at, document_id in enumerate(expected):
            rest = [one.document_id for one in await all_of(ledger, "default", after=document_id)]
            assert rest == expected[at + 1 :]
        between = [one.document_id for one in await all_of(ledger, "default", after="a/")]
        assert between == [one for one in expected if one.encode() > b"a/"]

    async def test_a_thousand_entries_are_listed_once_each(self, ledger):
        names = sorted(f"guide/문서-{n}.md" for n in range(1000))
        for some in (names[start : start + 50] for start in range(0, 1000, 50)):
            outcome = Outcome("pending", title="제목" * 400)
            await asyncio.gather(*(ledger.expect(place(name), outcome) for name in some))
        assert [one.document_id for one in await all_of(ledger, "default")] == names

    async def test_namespaces_are_kept_apart_and_listed_in_order(self, ledger, clock):
        for namespace in ("b", "a", "Z", "b"):
            await ledger.expect(place(namespace=namespace), Outcome("pending", title=namespace))
        await self.settled(ledger, clock, place("other", "c"))
        assert await ledger.namespaces() == ["Z", "a", "b", "c"]
        assert [one.title for one in await all_of(ledger, "a")] == ["a"]

    async def test_of_twenty_claims_at_once_one_succeeds(self, connect, clock):
        ledgers = [connect(clock) for _ in range(4)]
        await ledgers[0].expect(place(), Outcome("pending"))
        for round_ in range(3):

            async def claim(n: int, where: Place) -> str:
                try:
                    await ledgers[n % 4].claim(where, owner=f"owner-{n}", until=clock() + 60)
                except Held:
                    return ""
                return f"owner-{n}"

            where = place(f"{round_}.md")
            winners = await asyncio.gather(*(claim(n, where) for n in range(20)))
            (winner,) = filter(None, winners)
            await ledgers[0].settle(where, owner=winner, mark="", outcome=INDEXED)

    async def test_a_closed_ledger_may_be_closed_again(self, ledger):
        await ledger.look_up(place())
        await ledger.aclose()
        await ledger.aclose()

"""Which document is to blame when reading goes wrong, and which only kept bad company."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from documents_rig import DocumentsRig, Killed, parse_text, place, sentences
from fakes import InMemoryBucket
from steadyrag import documents
from steadyrag.domain.documents import ParsedDocument
from steadyrag.domain.errors import ConfigError, DependencyError, Refused, Rejected, Unavailable
from steadyrag.domain.ledger import Letter
from steadyrag.domain.letters import Sweep
from steadyrag.domain.objects import Attributes, Layout
from steadyrag.reconcile import reconcile
from steadyrag.reconcile_parts import Wanted
from steadyrag.reconcile_step import MOST_ATTEMPTS
from steadyrag.resilience.corpus import read_tombs
from steadyrag.resilience.keys import tombs_key
from steadyrag.sweep import sweep

FORBIDDEN = Refused("s3", "answered 403 AccessDenied")
ARCHIVED = Rejected("s3", "answered 403 InvalidObjectState")


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


def refuse(rig: DocumentsRig, error: DependencyError, *document_ids: str) -> None:
    """Has the bucket keep some objects' contents to itself."""
    inner = rig.bucket.fetch
    keys = {rig.layout.key(place(document_id)) for document_id in document_ids}

    async def fetch(key: str, into: str) -> Any:
        if key in keys:
            raise error
        return await inner(key, into)

    rig.bucket.fetch = fetch  # type: ignore[method-assign]


async def status(rig: DocumentsRig, document_id: str) -> str:
    entry = await rig.ledger.look_up(place(document_id))
    assert entry is not None
    return entry.status


class TestWhatWasDeleted:
    async def test_stays_hidden_when_the_next_version_can_not_be_read(
        self, rig: DocumentsRig
    ) -> None:
        await rig.work([await rig.put("a", "Secret salaries.")])
        await documents.remove(place("a"), rig.document_parts())
        await documents.add(place("a"), b"unreadable", Attributes(), rig.document_parts())
        await rig.work([rig.event("a")])
        await rig.work_off()
        rig.now += 8 * 86400  # by when its tombstone is gone
        assert await status(rig, "a") == "failed"
        assert rig.held() == {}
        assert await rig.shown() == []

    async def test_is_back_when_the_version_after_that_can_be_read(self, rig: DocumentsRig) -> None:
        await rig.work([await rig.put("a", "Secret salaries.")])
        await documents.remove(place("a"), rig.document_parts())
        await rig.work([await rig.put("a", "unreadable")])
        await rig.work([await rig.put("a", "Public salaries.")])
        await rig.work_off()
        assert rig.held() == {"a": ["Public salaries."]}
        assert await rig.shown() == ["a"]

    async def test_leaves_no_lasting_tombstone_where_nobody_had_heard_of_it(
        self, rig: DocumentsRig
    ) -> None:
        await rig.put("a", "Alpha.")
        await documents.remove(place("a"), rig.document_parts())
        await rig.work_off()
        rig.now += 8 * 86400
        _, maps = await rig.store.read((), [tombs_key("default")])
        assert not read_tombs(maps.get(tombs_key("default"), {}), rig.now).by_digest

    async def test_is_shown_when_its_next_version_overtakes_the_tombstone(
        self, rig: DocumentsRig
    ) -> None:
        parts = rig.document_parts()
        changing = parts.changes.changing

        async def late(namespace: str, **told: Any) -> None:
            await rig.work([await rig.put("a", "Two.")])
            await changing(namespace, **told)

        await rig.work([await rig.put("a", "One.")])
        parts.changes.changing = late  # type: ignore[method-assign]
        await documents.remove(place("a"), parts)
        await rig.work_off()
        assert rig.held() == {"a": ["Two."]}
        assert await rig.shown() == ["a"]

    async def test_holds_no_place_among_the_wanted_when_it_is_gone_first(
        self, rig: DocumentsRig
    ) -> None:
        parts = rig.document_parts()
        changing = parts.changes.changing

        async def late(namespace: str, **told: Any) -> None:
            await rig.work([rig.event("a")])
            await changing(namespace, **told)

        await rig.work([await rig.put("a", "One.")])
        parts.changes.changing = late  # type: ignore[method-assign]
        await documents.remove(place("a"), parts)
        await rig.work_off()
        assert await status(rig, "a") == "deleted"
        _, maps = await rig.store.read((), [tombs_key("default")])
        tombs = read_tombs(maps[tombs_key("default")], rig.now).by_digest.values()
        assert [tomb.wanted for tomb in tombs] == [False]

    async def test_an_unreadable_version_leaves_the_one_before(self, rig: DocumentsRig) -> None:
        await rig.work([await rig.put("a", "The first.")])
        await rig.work([await rig.put("a", "unreadable")])
        assert await rig.shown() == ["a"]


class TestObjectsOutOfReach:
    @pytest.mark.parametrize("error", [FORBIDDEN, ARCHIVED])
    async def test_stop_nobody_else(self, rig: DocumentsRig, error: DependencyError) -> None:
        refuse(rig, error, "f1", "f2", "f3")
        events = [await rig.put(name, f"Text of {name}.") for name in ("f1", "f2", "f3", *"abcde")]
        await rig.work(events)
        assert list(rig.held()) == list("abcde")
        assert await rig.worker_parts().pause.left_s() == 0
        assert [await status(rig, name) for name in ("f1", "f2", "f3")] == ["failed"] * 3

    async def test_one_in_an_archive_fails_at_once(self, rig: DocumentsRig) -> None:
        refuse(rig, ARCHIVED, "a")
        await rig.work([await rig.put("a", "Alpha.")])
        assert await status(rig, "a") == "failed"
        assert len(rig.dead.sent) == 1

    async def test_alone_it_may_be_the_roles_rights_and_waits(self, rig: DocumentsRig) -> None:
        refuse(rig, FORBIDDEN, "a")
        await rig.work([await rig.put("a", "Alpha.")])
        assert await status(rig, "a") == "pending"
        assert await rig.worker_parts().pause.left_s() == 0

    async def test_a_bucket_that_is_down_is_not_asked_for_each_object(
        self, rig: DocumentsRig
    ) -> None:
        names = [f"d{n}" for n in range(10)]
        events = [await rig.put(name, "Text.") for name in names]
        asked = 0

        async def fetch(key: str, into: str) -> Any:
            nonlocal asked
            asked += 1
            raise Unavailable("s3", "answered 503")

        inner, rig.bucket.fetch = rig.bucket.fetch, fetch  # type: ignore[method-assign]
        await rig.work(events)
        assert asked <= 8  # three in a row and one ahead, twice each
        assert {await status(rig, name) for name in names} == {"pending"}
        rig.bucket.fetch = inner  # type: ignore[method-assign]
        await rig.work_off()
        assert len(rig.held()) == 10


class TestTime:
    async def test_a_vendor_that_hangs_fails_nobody(self, rig: DocumentsRig) -> None:
        rig.embedder.slow(5.0)
        await rig.queue.send(await rig.put("a", "Alpha."))
        for _ in range(MOST_ATTEMPTS + 3):
            rig.now += 900
            await rig.work(rig.queue.receive(), seconds=0.05)
        assert await status(rig, "a") == "pending"
        assert rig.dead.sent == []
        assert rig.queue.sent[-1].delay_s > 60, "asked ever later"

    async def test_a_bucket_that_hangs_fails_nobody_and_stops_nobody(
        self, rig: DocumentsRig
    ) -> None:
        async def fetch(key: str, into: str) -> Any:
            await asyncio.sleep(5.0)

        rig.bucket.fetch = fetch  # type: ignore[method-assign]
        await rig.queue.send(await rig.put("a", "Alpha."))
        for _ in range(MOST_ATTEMPTS + 3):
            rig.now += 900
            await rig.work(rig.queue.receive(), seconds=0.05)
        assert await status(rig, "a") == "pending"
        assert await rig.worker_parts().pause.left_s() == 0

    async def test_a_suspect_is_not_blamed_for_the_time_that_others_took(self) -> None:
        rig = WithRealTime()
        late = await rig.put("late", "late")

        def dies(*_: object) -> ParsedDocument:
            raise Killed

        with pytest.raises(Killed):
            await rig.work([late], parse=dies)
        rig.now += 1800

        def slowly(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
            time.sleep(0.4 if document_id == "late" else 0.25)
            return parse_text(path, document_id, attributes)

        others = [Letter(f"o{n}", await rig.put(f"d{n}", f"Text {n}.")) for n in range(4)]
        await rig.work([*others, Letter("late", late)], seconds=1.2, parse=slowly)
        assert "late" in rig.held()
        rig.now += 900
        await rig.work_off()
        assert len(rig.held()) == 5

    async def test_a_suspect_for_which_little_time_is_left_waits(self) -> None:
        rig = WithRealTime()
        events = [await rig.put(name, name) for name in ("first", "second")]

        def dies(*_: object) -> ParsedDocument:
            raise Killed

        for event in events:
            with pytest.raises(Killed):
                await rig.work([event], parse=dies)
        rig.now += 1800

        def slowly(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
            time.sleep(0.4)
            return parse_text(path, document_id, attributes)

        await rig.work(events, seconds=0.6, parse=slowly)
        entries = [await rig.ledger.look_up(place(name)) for name in ("first", "second")]
        assert sorted((e.status, e.attempts) for e in entries if e) == [
            ("indexed", 0),
            ("indexing", 1),
        ]


class TestStores:
    async def test_one_that_is_down_is_asked_ever_later_and_named(self, rig: DocumentsRig) -> None:
        await rig.work([await rig.put("a", "One.")])
        await rig.queue.send(await rig.put("a", "One."))  # the same again: nothing to embed
        rig.store.fail(Unavailable("valkey", "is down"), on="update")
        ends_at = rig.now + 3600
        deliveries = 0
        while rig.now < ends_at:
            letters = rig.queue.receive()
            deliveries += len(letters)
            await rig.work(letters)
            rig.now += 1
        assert deliveries < 20
        entry = await rig.ledger.look_up(place("a"))
        assert entry is not None
        assert entry.reason == "valkey: is down"


class TestOurOwnFaults:
    async def test_an_index_of_another_embedder_is_nobodys_fault(self, rig: DocumentsRig) -> None:
        async def wrong(namespace: str, chunks: object) -> None:
            raise ConfigError("the index is another embedder's")

        rig.index.upsert = wrong  # type: ignore[method-assign]
        events = [await rig.put(f"d{n}", sentences(f"cats{n}", 200)) for n in range(4)]
        await rig.work(events)
        assert {await status(rig, f"d{n}") for n in range(4)} == {"pending"}
        assert rig.dead.sent == []
        entry = await rig.ledger.look_up(place("d0"))
        assert entry is not None
        assert entry.reason == "the index is another embedder's"

    async def test_one_that_only_one_document_shows_is_told_of_that_document(
        self, rig: DocumentsRig
    ) -> None:
        def stumbles(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
            if document_id == "b":
                raise ZeroDivisionError
            return parse_text(path, document_id, attributes)

        await rig.work([await rig.put(name, f"Text of {name}.") for name in "abc"], parse=stumbles)
        assert [await status(rig, name) for name in "abc"] == ["indexed", "failed", "indexed"]


async def test_another_buckets_half_done_document_is_not_called_indexed(rig: DocumentsRig) -> None:
    other = InMemoryBucket(name="other", clock=rig.clock)
    await other.put("a", sentences("cats", 200).encode(), Attributes())
    parts = rig.reconcile_parts(bucket=other, layout=Layout("", "default"))
    upsert = rig.index.upsert

    async def dies(*_: object) -> None:
        raise Killed

    rig.index.upsert = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        await reconcile({place("a"): Wanted()}, parts, owner="bulk", seconds=60)
    rig.index.upsert = upsert  # type: ignore[method-assign]
    rig.now += 3600
    await rig.work([rig.event("a")])
    assert await status(rig, "a") == "pending"
    await sweep(Sweep(), rig.worker_parts(), seconds=60)
    await rig.work_off()
    await reconcile({place("a"): Wanted()}, parts, owner="again", seconds=60)
    assert await status(rig, "a") == "indexed"


class WithRealTime(DocumentsRig):
    def clock(self) -> float:
        return self.now + time.monotonic()

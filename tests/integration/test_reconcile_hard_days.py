"""What must not happen to documents when people, vendors and machines get in each other's way."""

import asyncio
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from documents_rig import DocumentsRig, Killed, parse_text, place, sentences
from fakes import InMemoryBucket
from steadyrag import documents
from steadyrag.adapters.local.queue import LocalQueue
from steadyrag.bulk import bring_up
from steadyrag.domain.documents import ParsedDocument
from steadyrag.domain.errors import (
    ConfigError,
    DependencyError,
    InvalidInput,
    NotFound,
    Refused,
    Throttled,
    Unavailable,
)
from steadyrag.domain.ledger import Letter
from steadyrag.domain.letters import Sweep, sweep_letter
from steadyrag.domain.objects import Attributes, Layout
from steadyrag.reconcile import reconcile
from steadyrag.reconcile_parts import Later, Wanted
from steadyrag.reconcile_step import MOST_ATTEMPTS
from steadyrag.resilience.corpus_changes import MOST_TOMBS
from steadyrag.sweep import sweep
from steadyrag.wiring.local_documents import LocalDocuments


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


def slowly(seconds: float, *only: str) -> Any:
    """A parser that blocks for a while, for these documents or all."""

    def parse(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
        if not only or document_id in only:
            time.sleep(seconds)
        return parse_text(path, document_id, attributes)

    return parse


class TestDeletes:
    async def delete_at_the_second_look(self, rig: DocumentsRig) -> None:
        """Has DELETE be acknowledged after the worker's last look at the object."""
        head, looks = rig.bucket.head, 0

        async def late(key: str) -> Any:
            nonlocal looks
            found = await head(key)
            looks += 1
            if looks == 2:
                rig.bucket.head = head  # type: ignore[method-assign]
                await documents.remove(place("a"), rig.document_parts())
            return found

        rig.bucket.head = late  # type: ignore[method-assign]

    async def test_one_acknowledged_while_it_is_confirmed_stays_out_of_answers(
        self, rig: DocumentsRig
    ) -> None:
        event = await rig.put("a", "Alpha.")
        await self.delete_at_the_second_look(rig)
        assert await rig.work([event]) == []
        assert await rig.shown() == []

    async def test_even_where_the_worker_dies_before_it_has_settled(
        self, rig: DocumentsRig
    ) -> None:
        event = await rig.put("a", "Alpha.")
        await self.delete_at_the_second_look(rig)

        async def dies(*_: object, **__: object) -> None:
            raise Killed

        rig.ledger.settle = dies  # type: ignore[method-assign]
        with pytest.raises(Killed):
            await rig.work([event])
        assert await rig.shown() == []

    async def test_one_between_asking_and_lifting_is_buried_again(self, rig: DocumentsRig) -> None:
        event = await rig.put("a", "Alpha.")
        look_up, asked = rig.ledger.look_up, 0

        async def late(where: Any) -> Any:
            nonlocal asked
            entry = await look_up(where)
            asked += 1
            if asked == 2:  # the last question before tombstones are lifted
                rig.ledger.look_up = look_up  # type: ignore[method-assign]
                await documents.remove(place("a"), rig.document_parts())
            return entry

        rig.ledger.look_up = late  # type: ignore[method-assign]
        await rig.work([event], seconds=0.5)
        assert await rig.shown() == []

    async def test_a_tombstone_outlives_a_worker_that_is_far_behind(
        self, rig: DocumentsRig
    ) -> None:
        await rig.work([await rig.put("secret", "Salaries.")])
        await documents.remove(place("secret"), rig.document_parts())
        changes = rig.document_parts().changes
        for n in range(12):
            rig.now += 50
            gone = [f"d{n}-{m}" for m in range(MOST_TOMBS // 10)]
            await changes.changing("default", deleted=gone)
        assert await rig.shown() == []
        await rig.work_off()
        assert rig.held() == {}

    async def test_more_than_can_be_kept_out_of_answers_are_not_acknowledged(
        self, rig: DocumentsRig
    ) -> None:
        changes = rig.document_parts().changes
        for n in range(20):
            wanted = [f"d{n}-{m}" for m in range(MOST_TOMBS // 10)]
            await changes.changing("default", wanted_gone=wanted)
        with pytest.raises(Throttled):
            await changes.changing("default", wanted_gone=["one too many"])

    async def test_one_that_races_with_a_new_version_ends_in_either_state(
        self, rig: DocumentsRig
    ) -> None:
        await rig.work([await rig.put("a", "One.")])
        want_gone = rig.ledger.want_gone

        async def late(where: Any, mark: str) -> Any:
            rig.ledger.want_gone = want_gone  # type: ignore[method-assign]
            await documents.add(where, b"Two.", Attributes(), rig.document_parts())
            await rig.work([rig.event("a")])
            return await want_gone(where, mark)

        rig.ledger.want_gone = late  # type: ignore[method-assign]
        await documents.remove(place("a"), rig.document_parts())
        await rig.work_off()
        entry = await rig.ledger.look_up(place("a"))
        assert entry is not None
        assert (await rig.shown(), entry.status) == (["a"], "indexed")

    async def test_one_in_the_bucket_itself_does_not_wait_for_the_embedder(
        self, rig: DocumentsRig
    ) -> None:
        await rig.work([await rig.put("a", "Alpha.")])
        await rig.worker_parts().pause.begin(900)
        await rig.work([await rig.delete("a"), await rig.put("b", "Beta.")])
        assert await rig.shown() == []
        assert rig.queue.waiting == 1


class TestTime:
    @pytest.mark.parametrize("slow", [("slow",), ()], ids=["one of them", "all of them"])
    async def test_a_batch_that_takes_longer_than_there_is_comes_along(
        self, rig: DocumentsRig, slow: tuple[str, ...]
    ) -> None:
        for name in [*(f"d{n}" for n in range(9)), "slow"]:
            await rig.queue.send(await rig.put(name, f"Text of {name}."))
        for _ in range(15):
            rig.now += 60
            await rig.work(rig.queue.receive(), seconds=0.35, parse=slowly(0.05, *slow))
        assert len(rig.held()) == 10

    async def test_a_large_one_does_not_keep_the_small_ones_waiting(
        self, rig: DocumentsRig, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("steadyrag.reconcile_feed.SMALL_BYTES", 1000)
        events = [await rig.put("large", "x " * 2000)]
        events += [await rig.put(f"d{n}", f"Text {n}.") for n in range(9)]
        await rig.work(events, seconds=0.2, parse=slowly(0.4, "large"))
        assert len(rig.held()) == 9

    async def test_one_that_never_fits_is_given_up_in_the_end(self, rig: DocumentsRig) -> None:
        await rig.queue.send(await rig.put("slow", "slow"))
        for _ in range(MOST_ATTEMPTS + 3):
            rig.now += 60
            await rig.work(rig.queue.receive(), seconds=0.03, parse=slowly(0.1))
        entry = await rig.ledger.look_up(place("slow"))
        assert entry is not None
        assert entry.status == "failed"
        assert len(rig.dead.sent) == 1

    async def test_nothing_is_written_after_the_lease(self, rig: DocumentsRig) -> None:
        await rig.put("a", "Alpha.")
        parts = rig.reconcile_parts(clock=time.time)
        rig.ledger.slow(0.6, on="claim")
        rig.index.slow(5.0, on="upsert")
        began = time.time()
        results = await reconcile(
            {place("a"): Wanted()}, parts, owner="w", seconds=1.0, grace_s=1.0
        )
        assert time.time() - began < 2.0
        assert isinstance(results[place("a")], Later)


class TestMoney:
    @pytest.mark.parametrize("error", [Unavailable("index", "down"), Refused("index", "quota")])
    @pytest.mark.parametrize("on", ["status", "upsert"])
    async def test_nothing_is_embedded_again_while_the_index_is_down(
        self, rig: DocumentsRig, error: DependencyError, on: str
    ) -> None:
        rig.index.fail(error, on=on)
        await rig.queue.send(await rig.put("a", sentences("cats", 100)))
        for _ in range(20):
            rig.now += 6
            await rig.work(rig.queue.receive())
        texts = rig.embedder.texts
        assert len(texts) == len(set(texts))
        delays = [sent.delay_s for sent in rig.queue.sent[1:]]
        assert max(delays) > 30

    async def test_nothing_is_embedded_while_caches_cannot_be_told(self, rig: DocumentsRig) -> None:
        rig.store.fail(Unavailable("valkey", "down"))
        await rig.work([await rig.put("a", sentences("cats", 100))])
        assert rig.embedder.texts == []


class TestNeighbours:
    @pytest.mark.parametrize("method", ["head", "fetch"])
    async def test_an_object_that_may_not_be_read_takes_nobody_along(
        self, rig: DocumentsRig, method: str
    ) -> None:
        inner = getattr(rig.bucket, method)

        async def refused(key: str, *rest: Any) -> Any:
            if key.endswith("/forbidden"):
                raise Refused("s3", "answered 403 AccessDenied")
            return await inner(key, *rest)

        setattr(rig.bucket, method, refused)
        events = [await rig.put(name, f"{name}.") for name in ("a", "b", "forbidden", "c", "d")]
        assert await rig.work(events) == []
        assert list(rig.held()) == ["a", "b", "c", "d"]
        entry = await rig.ledger.look_up(place("forbidden"))
        assert entry is not None
        assert (entry.status, entry.reason) == ("failed", "s3: answered 403 AccessDenied")

    async def test_nor_does_it_in_a_bulk_load(self, rig: DocumentsRig) -> None:
        head = rig.bucket.head

        async def refused(key: str) -> Any:
            if key.endswith("/d07"):
                raise Refused("s3", "answered 403")
            return await head(key)

        rig.bucket.head = refused  # type: ignore[method-assign]
        for n in range(50):
            await rig.put(f"d{n:02}", f"Text {n}.")
        places = [place(f"d{n:02}") for n in range(50)]
        summary = await bring_up(places, rig.reconcile_parts())
        assert (summary.indexed, len(summary.failed)) == (49, 1)

    async def test_one_that_kills_its_process_is_found_out_before_the_queue_gives_up(
        self, rig: DocumentsRig
    ) -> None:
        bodies = {"p": await rig.put("poison", "x")}
        bodies |= {f"m{n}": await rig.put(f"d{n}", f"Text {n}.") for n in range(9)}

        def parse(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
            if document_id == "poison":
                raise Killed
            return parse_text(path, document_id, attributes)

        for count in range(1, MOST_ATTEMPTS + 2):
            rig.now += 1800
            letters = [Letter(name, body, count) for name, body in bodies.items()]
            try:
                failed = await rig.work(letters, parse=parse)
            except Killed:
                continue
            bodies = {name: body for name, body in bodies.items() if name in failed}
        assert len(rig.held()) == 9
        entry = await rig.ledger.look_up(place("poison"))
        assert entry is not None
        assert entry.status == "failed"
        assert bodies == {}

    @pytest.mark.parametrize(
        "body",
        [
            '{"sweep": true}',
            '{"sweep": {"after": 5}}',
            '{"Records": [{"eventTime": "2026-01-01T00:00:00Z", "s3": {"bucket": {"name": "b"}, '
            '"object": {"key": ["x"]}}}]}',
        ],
    )
    async def test_a_letter_nobody_understands_takes_nobody_along(
        self, rig: DocumentsRig, body: str
    ) -> None:
        assert await rig.work([body, await rig.put("a", "Alpha.")]) == []
        assert rig.held() == {"a": ["Alpha."]}

    async def test_of_two_events_in_a_letter_each_gets_its_due(self, rig: DocumentsRig) -> None:
        bad, good = await rig.put("bad", "unreadable"), await rig.put("b", "Beta.")
        records = json.loads(bad)["Records"] + json.loads(good)["Records"]
        rig.embedder.fail(Unavailable("e", "x"), times=2)
        await rig.queue.send(json.dumps({"Records": records}))
        await rig.work_off()
        assert len(rig.dead.sent) == 1
        assert rig.held() == {"b": ["Beta."]}

    async def test_a_document_of_another_bucket_survives_a_sweep_of_ours(
        self, rig: DocumentsRig
    ) -> None:
        other = InMemoryBucket(name="other", clock=rig.clock)
        await other.put("a", b"Alpha.", Attributes())
        parts = rig.reconcile_parts(bucket=other, layout=Layout("", "default"))
        upsert = rig.index.upsert

        async def late(namespace: str, chunks: Any) -> None:
            await upsert(namespace, chunks)
            await sweep(Sweep(), rig.worker_parts(), seconds=60)

        rig.index.upsert = late  # type: ignore[method-assign]
        await reconcile({place("a"): Wanted()}, parts, owner="bulk", seconds=60)
        await rig.work_off()
        assert rig.held() == {"a": ["Alpha."]}


class TestMachines:
    async def test_a_full_disk_is_not_the_documents_fault(
        self, rig: DocumentsRig, monkeypatch: Any
    ) -> None:
        event = await rig.put("a", "Alpha.")

        def full(*_: object, **__: object) -> str:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "mkdtemp", full)
        for _ in range(MOST_ATTEMPTS + 1):
            rig.now += 1800
            assert await rig.work([event]) == []
        monkeypatch.undo()
        rig.now += 1800
        await rig.work([event])
        assert rig.held() == {"a": ["Alpha."]}

    async def test_an_index_that_does_not_fit_is_not_the_documents_fault(
        self, rig: DocumentsRig
    ) -> None:
        event = await rig.put("a", "Alpha.")
        upsert = rig.index.upsert

        async def wrong(namespace: str, chunks: Any) -> None:
            raise ConfigError("the index is another embedder's")

        rig.index.upsert = wrong  # type: ignore[method-assign]
        for _ in range(MOST_ATTEMPTS + 1):
            rig.now += 1800
            assert await rig.work([event]) == []
        rig.index.upsert = upsert  # type: ignore[method-assign]
        await rig.work([event])
        assert rig.held() == {"a": ["Alpha."]}

    async def test_the_local_worker_goes_on_after_whatever_happened(
        self, rig: DocumentsRig, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("steadyrag.wiring.local_documents._AGAIN_S", 0.01)
        queue = LocalQueue()
        local = LocalDocuments(
            rig.document_parts(), queue, replace(rig.worker_parts(), queue=queue)
        )
        look_up, failures = rig.ledger.look_up, 3

        async def broken(where: Any) -> Any:
            nonlocal failures
            if failures:
                failures -= 1
                raise ConfigError("the file is damaged")
            return await look_up(where)

        rig.ledger.look_up = broken  # type: ignore[method-assign]
        await rig.put("a", "Alpha.")
        working = asyncio.create_task(local.work())
        async with asyncio.timeout(5):
            while not rig.held():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    async def test_a_sweep_goes_on_where_it_failed(self, rig: DocumentsRig) -> None:
        for n in range(300):
            await rig.put(f"d{n:03}", "x")
        inner, pages = rig.bucket.objects, 0

        async def fails(prefix: str, *, after: str = "") -> Any:
            nonlocal pages
            pages += 1
            seen = 0
            async for found in inner(prefix, after=after):
                seen += 1
                if seen > 250 and pages < 4:
                    raise Unavailable("s3", "answered 503")
                yield found

        rig.bucket.objects = fails  # type: ignore[method-assign]
        await rig.queue.send(sweep_letter(Sweep()))
        for _ in range(60):
            rig.now += 60
            await rig.work(rig.queue.receive())
        asked = [sent for sent in rig.queue.sent if "sweep" not in sent.body]
        assert len(asked) <= 400
        assert len(rig.held()) == 300


async def test_what_is_refused_leaves_no_trace(rig: DocumentsRig) -> None:
    said = Attributes(title="t", metadata={f"k{n}": "가" * 100 for n in range(10)})
    with pytest.raises(InvalidInput):
        await documents.add(place("a"), b"x", said, rig.document_parts())
    with pytest.raises(NotFound):
        await documents.look_up(place("a"), rig.document_parts())

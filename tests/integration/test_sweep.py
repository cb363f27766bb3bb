"""What events did not bring about, a comparison of bucket and ledger does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from documents_rig import DocumentsRig, place
from fakes import InMemoryBucket
from steadyrag import documents
from steadyrag.api.queue_handler import queue_handler
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ledger import Entry, Letter, Outcome
from steadyrag.domain.letters import Sweep, read_letter, sweep_letter
from steadyrag.domain.objects import Attributes, Layout
from steadyrag.ingest_worker import work
from steadyrag.reconcile import reconcile
from steadyrag.reconcile_parts import Wanted
from steadyrag.sweep import sweep

NAMES = ["a", "b/1", "b/2", "가", "나 다", "😀", "z"]


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


async def swept(rig: DocumentsRig, *, seconds: float = 60.0) -> list[str]:
    """The ids that a sweep asks for."""
    before = len(rig.queue.sent)
    await sweep(Sweep(), rig.worker_parts(), seconds=seconds)
    ids = []
    for sent in rig.queue.sent[before:]:
        wish = read_letter(sent.body)
        if not isinstance(wish, Sweep):
            ids += [found.document_id for e in wish if (found := rig.layout.place(e.key))]
    return ids


async def test_a_sweep_of_what_is_in_order_asks_for_nothing(rig: DocumentsRig) -> None:
    await rig.work([await rig.put(name, f"{name}.") for name in NAMES])
    await rig.work([await rig.delete("z")])
    await rig.work([await rig.put("a", "unreadable")])
    assert await swept(rig) == []


async def test_objects_whose_events_were_lost_are_found(rig: DocumentsRig) -> None:
    for name in NAMES:
        await rig.put(name, f"{name}.")
    assert await swept(rig) == sorted(NAMES, key=str.encode)
    await rig.work_off()
    assert list(rig.held()) == sorted(NAMES)
    assert await swept(rig) == []


async def test_what_waits_for_a_vendor_is_not_asked_for_again_by_each_sweep(
    rig: DocumentsRig,
) -> None:
    rig.embedder.fail(Unavailable("embedding", "down"))
    await rig.queue.send(await rig.put("a", "Alpha."))
    for _ in range(60):  # every minute of an hour
        await rig.work(rig.queue.receive())
        rig.now += 60
    assert await swept(rig) == []
    rig.now += 4_000  # and nobody has come
    assert await swept(rig) == ["a"]


async def test_changes_and_removals_whose_events_were_lost_are_found(rig: DocumentsRig) -> None:
    await rig.work([await rig.put(name, f"{name}.") for name in NAMES])
    rig.now += 10
    await rig.put("b/2", "Changed.")
    await rig.delete("가")
    assert await swept(rig) == ["b/2", "가"]
    await rig.work_off()
    assert rig.held()["b/2"] == ["Changed."]
    assert "가" not in rig.held()


async def test_another_embedder_or_parser_reads_everything_again(rig: DocumentsRig) -> None:
    await rig.work([await rig.put(name, f"{name}.") for name in NAMES])
    parts = rig.worker_parts(parser="another")
    await sweep(Sweep(), parts, seconds=60)
    assert rig.queue.waiting == len(NAMES)


async def test_a_namespace_whose_last_object_went_unnoticed_is_swept_too(
    rig: DocumentsRig,
) -> None:
    await rig.work([await rig.put("only", "Only.")])
    await rig.delete("only")
    assert await swept(rig) == ["only"]


async def test_documents_of_another_bucket_are_left_alone(rig: DocumentsRig) -> None:
    theirs = Outcome("indexed", origin="s3://other/documents/default/a")
    await rig.ledger.claim(place("a"), owner="o", until=rig.now + 60)
    await rig.ledger.settle(place("a"), owner="o", mark="", outcome=theirs)
    assert await swept(rig) == []


async def test_folders_that_no_namespace_is_called_are_passed_over(rig: DocumentsRig) -> None:
    await rig.bucket.put("documents/not ours/x", b"x", Attributes())
    await rig.bucket.put("documents/default/", b"", Attributes())
    assert await swept(rig) == []


async def test_a_sweep_without_time_goes_on_in_another_message(rig: DocumentsRig) -> None:
    for name in NAMES:
        await rig.put(name, f"{name}.")
    await sweep(Sweep(), rig.worker_parts(), seconds=0)
    continued = [s.body for s in rig.queue.sent if "sweep" in json.loads(s.body)]
    assert len(continued) == 1
    for _ in range(20):
        letters = rig.queue.receive(100)
        if not letters:
            break
        parts = rig.worker_parts()
        assert await work(letters, parts, owner=rig.owner(), seconds=60) == []
    assert list(rig.held()) == sorted(NAMES)


async def test_a_sweep_that_fails_is_asked_for_again(rig: DocumentsRig) -> None:
    rig.bucket.fail(Unavailable("bucket", "down"), on="folders")
    assert await rig.work([sweep_letter(Sweep())]) == []
    assert rig.queue.sent[-1].delay_s > 0
    assert read_letter(rig.queue.sent[-1].body) == Sweep()


class TestDeletions:
    """What somebody has asked to delete by name, and no worker has come to yet."""

    async def test_they_stay_hidden_while_ingest_is_paused(self, rig: DocumentsRig) -> None:
        await rig.work([await rig.put("a", "Salaries.")])
        await documents.remove(place("a"), rig.document_parts())
        for _ in range(60):
            rig.now += 86_400
            assert await swept(rig) == ["a"]
            assert await rig.shown() == []
        await rig.work_off()
        assert rig.held() == {}

    async def test_all_are_told_of_together(self, rig: DocumentsRig) -> None:
        names = [f"d{n:03}" for n in range(70)]
        await rig.work([await rig.put(name, f"{name}.") for name in names])
        for name in names:
            await documents.remove(place(name), rig.document_parts())
        changes, told = rig.reconcile_parts().ingest.changes, []

        class Watched:
            async def changing(self, namespace: str, **said: Any) -> None:
                told.append(said)
                await changes.changing(namespace, **said)

        ingest = replace(rig.reconcile_parts().ingest, changes=Watched())
        await sweep(Sweep(), rig.worker_parts(ingest=ingest), seconds=60)
        assert told == [{"wanted_gone": names}]

    async def test_nobody_has_to_wait_for_the_sweep(self, rig: DocumentsRig) -> None:
        await rig.work([await rig.put("a", "Alpha.")])
        await documents.remove(place("a"), rig.document_parts())
        before = await rig.ledger.look_up(place("a"))
        await swept(rig)
        assert await rig.ledger.look_up(place("a")) == before
        await rig.work(rig.queue.receive())
        assert rig.held() == {}

    async def test_one_that_somebody_works_on_is_left_to_them(self, rig: DocumentsRig) -> None:
        await rig.work([await rig.put("a", "Alpha.")])
        await documents.remove(place("a"), rig.document_parts())
        await rig.ledger.claim(place("a"), owner="somebody", until=rig.now + 7200)
        rig.now += 3600
        updates = rig.store.calls["update"]
        assert await swept(rig) == ["a"]
        assert rig.store.calls["update"] == updates

    async def test_one_that_is_back_since_it_was_compared_is_not_hidden(
        self, rig: DocumentsRig
    ) -> None:
        await rig.work([await rig.put("a", "Alpha.")])
        await documents.remove(place("a"), rig.document_parts())
        entries = rig.ledger.entries

        async def of_before(namespace: str, *, after: str = "") -> AsyncIterator[Entry]:
            rig.ledger.entries = entries  # type: ignore[method-assign]
            compared = [entry async for entry in entries(namespace, after=after)]
            await rig.work_off()
            await documents.add(place("a"), b"Back.", Attributes(), rig.document_parts())
            await rig.work([rig.event("a")])
            for entry in compared:
                yield entry

        rig.ledger.entries = of_before  # type: ignore[method-assign]
        await swept(rig)
        assert await rig.shown() == ["a"]
        await rig.work_off()
        assert await rig.shown() == ["a"]

    async def test_those_of_another_bucket_are_found_too(self, rig: DocumentsRig) -> None:
        other = InMemoryBucket(name="other", clock=rig.clock)
        await other.put("a", b"Alpha.", Attributes())
        parts = rig.reconcile_parts(bucket=other, layout=Layout("", "default"))
        await reconcile({place("a"): Wanted()}, parts, owner="bulk", seconds=60)

        async def lost(event: Any) -> None:
            raise Unavailable("queue", "down")

        with suppress(Unavailable):
            await documents.remove(place("a"), replace(rig.document_parts(), tell=lost))
        rig.now += 3600
        assert await swept(rig) == ["a"]
        await rig.work_off()
        entry = await rig.ledger.look_up(place("a"))
        assert entry is not None
        assert (rig.held(), entry.status) == ({}, "deleted")


class TestErrors:
    @pytest.fixture
    async def many(self, rig: DocumentsRig) -> DocumentsRig:
        await rig.work([await rig.put(f"d{n:03}", "x") for n in range(300)])
        return rig

    def fail_after(self, rig: DocumentsRig, most: int) -> list[str]:
        """Has each listing of the bucket break off; returns where each began."""
        inner, began = rig.bucket.objects, list[str]()

        async def breaks_off(prefix: str, *, after: str = "") -> Any:
            began.append(after)
            seen = 0
            async for found in inner(prefix, after=after):
                seen += 1
                if seen > most:
                    raise Unavailable("bucket", "down")
                yield found

        rig.bucket.objects = breaks_off  # type: ignore[method-assign]
        return began

    async def work_off(self, rig: DocumentsRig, most_rounds: int) -> None:
        for _ in range(most_rounds):
            rig.now += 60
            assert await rig.work(rig.queue.receive()) == []

    async def test_a_sweep_goes_on_from_where_it_came_to_even_if_nothing_differed(
        self, many: DocumentsRig
    ) -> None:
        began = self.fail_after(many, 100)
        await many.queue.send(sweep_letter(Sweep()))
        await self.work_off(many, 5)
        assert many.queue.waiting == 0
        assert len(began) == 3

    async def test_one_that_differs_does_not_have_all_after_it_compared_again(
        self, many: DocumentsRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("steadyrag.sweep._COMPARED_TOGETHER", 50)
        await many.put("d000", "changed")
        began = self.fail_after(many, 100)
        await many.queue.send(sweep_letter(Sweep()))
        await self.work_off(many, 5)
        assert began[1].endswith("d099")

    async def test_one_that_comes_no_further_waits_longer_each_time(
        self, many: DocumentsRig
    ) -> None:
        self.fail_after(many, 0)
        await many.queue.send(sweep_letter(Sweep()))
        await self.work_off(many, 90)
        delays = [sent.delay_s for sent in many.queue.sent[1:]]
        assert delays == sorted(delays)
        assert (delays[0], delays[-1]) == (60, 900)

    async def test_one_that_comes_along_does_not(self, many: DocumentsRig) -> None:
        self.fail_after(many, 30)
        await many.queue.send(sweep_letter(Sweep()))
        await self.work_off(many, 12)
        assert {sent.delay_s for sent in many.queue.sent[1:]} == {60}
        assert many.queue.waiting == 0


def _record(body: str, **attributes: str) -> dict[str, Any]:
    return {
        "messageId": "m1",
        "receiptHandle": "r",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "3"},
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
        },
        "eventSource": "aws:sqs",
    }


def test_the_handler_reports_what_failed_and_runs_sweeps() -> None:
    seen: list[Any] = []

    async def works(letters: Any, owner: str, seconds: float) -> list[str]:
        seen.append((letters, seconds))
        return ["m1"]

    async def sweeps(wish: Sweep, seconds: float) -> None:
        seen.append(wish)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    handler = queue_handler(works, sweeps)
    context = SimpleNamespace(aws_request_id="r-1", get_remaining_time_in_millis=lambda: 300_000)
    answer = handler({"Records": [_record("{}", reason="why")]}, context)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert seen[0] == ([Letter("m1", "{}", 3, {"reason": "why"})], 275.0)
    assert handler({"sweep": {}}, context) == {}
    assert seen[1] == Sweep()
    asyncio.set_event_loop(None)
    loop.close()

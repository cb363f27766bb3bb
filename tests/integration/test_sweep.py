"""What events did not bring about, a comparison of bucket and ledger does."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from documents_rig import DocumentsRig, place
from steadyrag.api.queue_handler import queue_handler
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ledger import Letter, Outcome
from steadyrag.domain.letters import Sweep, read_letter, sweep_letter
from steadyrag.domain.objects import Attributes
from steadyrag.ingest_worker import sweep, work

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

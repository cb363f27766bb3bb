"""Many documents of a bucket at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from documents_rig import DocumentsRig, place
from steadyrag.bulk import GIVE_UP_AFTER_S, STEP, ask_for, bring_up, compare
from steadyrag.domain.errors import Throttled
from steadyrag.resilience.remembered_passages import RememberedPassages


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


def sleeping(rig: DocumentsRig, work: Callable[[], Any] | None = None) -> Any:
    """Lets the time pass that is slept, and a worker work meanwhile."""

    async def sleep(seconds: float) -> None:
        rig.now += seconds
        if work:
            await work()

    return sleep


async def test_all_that_differs_is_brought_up_and_counted(rig: DocumentsRig) -> None:
    await rig.work([await rig.put("same", "Same."), await rig.put("gone", "Gone.")])
    await rig.delete("gone")
    for n in range(STEP + 5):
        await rig.put(f"d{n:03}", f"Text {n}.")
    await rig.put("bad", "unreadable")
    parts = rig.reconcile_parts()
    compared, places = await compare(parts)
    assert (compared, len(places)) == (STEP + 8, STEP + 7)
    seen: list[tuple[int, int]] = []
    summary = await bring_up(
        places, parts, progress=lambda done, total, note: seen.append((done, total))
    )
    assert (summary.indexed, summary.deleted, summary.chunks) == (STEP + 5, 1, STEP + 5)
    assert [(p.document_id, why) for p, why in summary.failed] == [("bad", "is damaged")]
    assert seen[-1] == (STEP + 7, STEP + 7)
    assert await compare(parts) == (STEP + 8, [])


async def test_one_that_was_interrupted_goes_on_at_once_where_it_stopped(
    rig: DocumentsRig,
) -> None:
    for n in range(STEP * 2):
        await rig.put(f"d{n:03}", f"Text {n}.")
    parts = rig.reconcile_parts()
    _, places = await compare(parts)
    task: asyncio.Task[Any]

    def interrupt(done: int, total: int, note: str) -> None:
        rig.embedder.slow(0.2)
        asyncio.get_running_loop().call_later(0.05, task.cancel)

    task = asyncio.create_task(bring_up(places, parts, progress=interrupt))
    with pytest.raises(asyncio.CancelledError):
        await task
    rig.embedder.heal()
    _, left = await compare(parts)
    assert len(left) == STEP
    summary = await bring_up(left, parts, sleep=sleeping(rig))
    assert summary.indexed == STEP
    assert len(rig.held()) == STEP * 2


async def test_what_a_vendor_holds_up_is_tried_again(rig: DocumentsRig) -> None:
    await rig.put("a", "Alpha.")
    rig.embedder.fail(Throttled("embedding", "429", retry_after_s=20), times=6)
    _, places = await compare(rig.reconcile_parts())
    before = rig.now
    summary = await bring_up(places, rig.reconcile_parts(), sleep=sleeping(rig))
    assert summary.indexed == 1
    assert rig.now - before >= 20


async def test_a_vendor_that_stays_down_is_given_up(rig: DocumentsRig) -> None:
    await rig.put("a", "Alpha.")
    rig.embedder.fail(Throttled("embedding", "429"))
    _, places = await compare(rig.reconcile_parts())
    before = rig.now
    summary = await bring_up(places, rig.reconcile_parts(), sleep=sleeping(rig))
    assert [p.document_id for p, _ in summary.left] == ["a"]
    assert GIVE_UP_AFTER_S <= rig.now - before < GIVE_UP_AFTER_S + 60


async def test_everything_can_be_embedded_anew(rig: DocumentsRig) -> None:
    await rig.work([await rig.put("a", "Alpha.")])
    _, places = await compare(rig.reconcile_parts(), anew=True)
    assert places == [place("a")]
    before = len(rig.embedder.texts)
    rig.remembered = RememberedPassages(rig.embedder)  # as another process has it
    summary = await bring_up(places, rig.reconcile_parts(), anew=True)
    assert summary.indexed == 1
    assert len(rig.embedder.texts) == before + 1


async def test_workers_are_asked_and_watched_until_all_is_done(rig: DocumentsRig) -> None:
    for n in range(25):
        await rig.put(f"d{n:03}", f"Text {n}.")
    await rig.put("bad", "unreadable")
    parts = rig.reconcile_parts()
    _, places = await compare(parts)

    async def one_worker() -> None:
        await rig.work(rig.queue.receive())

    seen: list[int] = []
    summary = await ask_for(
        places,
        parts,
        rig.queue,
        progress=lambda done, total, note: seen.append(done),
        sleep=sleeping(rig, one_worker),
    )
    assert summary.indexed == 25
    assert summary.failed == [(place("bad"), "is damaged")]
    assert sorted(set(seen)) == [0, 10, 20, 26]


async def test_those_that_wait_long_do_not_keep_the_others_from_being_seen(
    rig: DocumentsRig,
) -> None:
    for n in range(20):
        await rig.put(f"z{n:02}", f"Text {n}.")
    parts = rig.reconcile_parts()
    _, theirs = await compare(parts)
    stuck = [place(f"a{n:04}") for n in range(1_000)]

    async def one_worker(seconds: float) -> None:
        rig.now += 100
        letters = [one for one in rig.queue.receive(2_000) if "%2Fz" in one.body]
        await rig.work(letters)

    summary = await ask_for([*stuck, *theirs], parts, rig.queue, sleep=one_worker)
    assert summary.indexed == 20
    assert [p for p, _ in summary.left] == stuck


async def test_all_are_looked_at_before_they_are_given_up(
    rig: DocumentsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steadyrag.bulk._LOOKED_AT", 2)
    for n in range(20):
        await rig.put(f"d{n:02}", f"Text {n}.")
    parts = rig.reconcile_parts()
    _, places = await compare(parts)

    async def one_worker(seconds: float) -> None:
        rig.now += GIVE_UP_AFTER_S
        await rig.work(rig.queue.receive(20)[-1:])

    summary = await ask_for(places, parts, rig.queue, sleep=one_worker)
    assert summary.indexed == 1
    assert len(summary.left) == 19


async def test_workers_that_do_nothing_are_given_up(rig: DocumentsRig) -> None:
    await rig.put("a", "Alpha.")
    parts = rig.reconcile_parts()
    _, places = await compare(parts)
    summary = await ask_for(places, parts, rig.queue, sleep=sleeping(rig))
    assert [p.document_id for p, _ in summary.left] == ["a"]

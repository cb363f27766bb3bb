"""When ingest workers stop asking a vendor together, and for how long."""

from dataclasses import replace
from typing import Any

import pytest

from documents_rig import DocumentsRig, place
from steadyrag.domain.errors import Throttled, Unavailable
from steadyrag.domain.ledger import Letter
from steadyrag.domain.objects import Attributes
from steadyrag.ingest_worker import POSTPONED, work

DOWN = Unavailable("embedding", "answered 503")


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


async def paused_s(rig: DocumentsRig) -> float:
    return await rig.worker_parts().pause.left_s()


def often_postponed(body: str, *, times: int = 8) -> Letter:
    return Letter("old", body, attributes={POSTPONED: str(times)})


async def fails_elsewhere(rig: DocumentsRig) -> str:
    """The event of a document of another namespace, which the index does not take."""
    await rig.bucket.put("documents/other/a", b"Alpha.", Attributes())
    upsert = rig.index.upsert

    async def fails(namespace: str, chunks: Any) -> None:
        if namespace == "other":
            raise Unavailable("index", "down")
        await upsert(namespace, chunks)

    rig.index.upsert = fails  # type: ignore[method-assign]
    return rig.event("a").replace("documents%2Fdefault%2Fa", "documents%2Fother%2Fa")


async def test_a_message_that_waits_for_something_else_makes_no_pause_longer(
    rig: DocumentsRig,
) -> None:
    held = often_postponed(await rig.put("a", "Alpha."))
    await rig.ledger.claim(place("a"), owner="somebody", until=rig.now + 20)
    rig.embedder.fail(DOWN)
    await rig.work([held, await rig.put("b", "Beta.")])
    assert await paused_s(rig) == 5


async def test_one_that_waits_for_the_vendor_does_up_to_a_minute(rig: DocumentsRig) -> None:
    rig.embedder.fail(DOWN)
    old = often_postponed(await rig.put("a", "Alpha."))
    await rig.work([old, await rig.put("b", "Beta.")])
    assert await paused_s(rig) == 60
    assert sorted(sent.delay_s for sent in rig.queue.sent) == [5, 900]


@pytest.mark.parametrize(("asks_s", "waits_s"), [(40, 40), (300, 300), (86_400, 900)])
async def test_the_vendor_itself_may_ask_for_more(
    rig: DocumentsRig, asks_s: float, waits_s: float
) -> None:
    rig.embedder.fail(Throttled("embedding", "429", retry_after_s=asks_s))
    await rig.work([await rig.put("a", "Alpha.")])
    assert await paused_s(rig) == waits_s


async def test_where_others_are_served_only_the_message_itself_waits(rig: DocumentsRig) -> None:
    await rig.work([often_postponed(await fails_elsewhere(rig)), await rig.put("b", "Beta.")])
    assert list(rig.held()) == ["b"]
    assert await paused_s(rig) == 0
    assert [sent.delay_s for sent in rig.queue.sent] == [900]


async def test_those_that_find_a_pause_come_back_one_after_the_other(rig: DocumentsRig) -> None:
    rig.embedder.fail(DOWN)
    await rig.work([await rig.put("first", "First.")])
    letters = [Letter(str(n), await rig.put(f"d{n}", f"{n}.")) for n in range(20)]
    jitters = iter([n / 20 for n in range(20)] * 2)
    parts = replace(rig.worker_parts(), jitter=lambda: next(jitters))
    await work(letters, parts, owner="another", seconds=60)
    delays_s = sorted(sent.delay_s for sent in rig.queue.sent[-20:])
    assert delays_s[0] >= 5
    assert len(set(delays_s)) > 15
    assert delays_s[-1] <= 5 * 5 * 1.25


async def test_what_needs_no_vendor_does_not_tell_that_one_is_up(rig: DocumentsRig) -> None:
    known = await rig.put("known", "Known.")
    await rig.work([known, await rig.put("gone", "Gone.")])
    gone = await rig.delete("gone")
    await rig.work([known, gone, await fails_elsewhere(rig)])
    assert list(rig.held()) == ["known"]
    assert await paused_s(rig) == 5


async def test_the_time_it_takes_to_ask_for_a_pause_is_not_spent_twice(rig: DocumentsRig) -> None:
    event, read, claim = await rig.put("a", "Alpha."), rig.store.read, rig.ledger.claim
    began, until = rig.now, list[float]()

    async def slow(*said: Any, **more: Any) -> Any:
        rig.now += 20 if rig.now == began else 0
        return await read(*said, **more)

    async def watched(*said: Any, **more: Any) -> Any:
        until.append(more["until"])
        return await claim(*said, **more)

    rig.store.read = slow  # type: ignore[method-assign]
    rig.ledger.claim = watched  # type: ignore[method-assign]
    letters = [Letter("m", event)]
    await work(letters, rig.worker_parts(), owner="o", seconds=60, grace_s=10)
    assert until == [began + 70]

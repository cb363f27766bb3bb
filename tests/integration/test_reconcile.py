"""Events of a bucket in any order, any number of times, with workers that die."""

import json
import random
from typing import Any

import pytest

from documents_rig import DocumentsRig, Killed, KilledSoon, parse_text, place, sentences
from steadyrag.domain.errors import Refused, Throttled, Unavailable
from steadyrag.domain.ledger import Letter
from steadyrag.domain.objects import Attributes
from steadyrag.ingest_worker import POSTPONED, REASON
from steadyrag.reconcile_step import MOST_ATTEMPTS
from steadyrag.resilience.keys import tombs_key


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


async def test_a_new_object_is_indexed_and_the_ledger_says_so(rig: DocumentsRig) -> None:
    assert await rig.work([await rig.put("a", "Alpha is first.", title="The first")]) == []
    assert rig.held() == {"a": ["Alpha is first."]}
    entry = await rig.ledger.look_up(place("a"))
    assert entry is not None
    assert (entry.status, entry.chunks, entry.title) == ("indexed", 1, "The first")


async def test_a_changed_object_replaces_what_was_there(rig: DocumentsRig) -> None:
    await rig.work([await rig.put("a", sentences("cats"))])
    await rig.work([await rig.put("a", "Dogs.")])
    assert rig.held() == {"a": ["Dogs."]}


async def test_a_removed_object_leaves_the_index_and_a_tombstone(rig: DocumentsRig) -> None:
    await rig.work([await rig.put("a", "Alpha.")])
    await rig.work([await rig.delete("a")])
    assert rig.held() == {}
    entry = await rig.ledger.look_up(place("a"))
    assert entry is not None
    assert (entry.status, entry.record) == ("deleted", None)
    _, maps = await rig.store.read((), [tombs_key("default")])
    assert maps


async def test_many_small_documents_share_embedding_calls(rig: DocumentsRig) -> None:
    await rig.work([await rig.put(f"d{n}", f"Text {n}.") for n in range(10)])
    assert rig.embedder.batches == [10]


async def test_an_event_delivered_again_costs_one_look_at_the_ledger(rig: DocumentsRig) -> None:
    event = await rig.put("a", "Alpha.")
    await rig.work([event])
    calls = rig.bucket.calls.copy(), rig.embedder.calls.copy(), rig.index.calls.copy()
    assert await rig.work([event, event]) == []
    assert (rig.bucket.calls, rig.embedder.calls, rig.index.calls) == calls


async def test_events_in_the_wrong_order_end_with_what_the_bucket_holds(
    rig: DocumentsRig,
) -> None:
    events = [await rig.put("a", "One."), await rig.delete("a"), await rig.put("a", "Three.")]
    for event in reversed(events):
        await rig.work([event])
    assert rig.held() == {"a": ["Three."]}


async def test_one_letter_with_several_events_of_several_namespaces(rig: DocumentsRig) -> None:
    await rig.put("a", "Alpha.")
    await rig.bucket.put("documents/other/b", b"Beta.", Attributes())
    there = rig.event("b").replace("documents%2Fdefault%2Fb", "documents%2Fother%2Fb")
    records = [json.loads(body)["Records"][0] for body in (rig.event("a"), there)]
    body = json.dumps({"Records": records})
    assert await rig.work([body]) == []
    assert rig.held() == {"a": ["Alpha."]}
    assert len(rig.index.held("other")) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "documents-bucket"}',
        '{"Records": []}',
    ],
)
async def test_what_asks_for_nothing_is_done_at_once(rig: DocumentsRig, body: str) -> None:
    assert await rig.work([body]) == []
    assert rig.dead.sent == []


@pytest.mark.parametrize("body", ["", "[]", "{}", "not json", '{"Records": [{}]}'])
async def test_what_nobody_understands_is_put_aside_with_the_reason(
    rig: DocumentsRig, body: str
) -> None:
    assert await rig.work([body]) == []
    (dead,) = rig.dead.sent
    assert "message" in dead.attributes[REASON]


async def test_objects_elsewhere_are_none_of_our_business(rig: DocumentsRig) -> None:
    await rig.bucket.put("elsewhere/x", b"x", Attributes())
    event = rig.event("a").replace("documents%2Fdefault%2Fa", "elsewhere%2Fx")
    assert await rig.work([event]) == []
    assert rig.ledger.calls["claim"] == 0


async def test_an_unreadable_document_is_put_aside_and_keeps_its_last_version(
    rig: DocumentsRig,
) -> None:
    await rig.work([await rig.put("a", "Alpha.")])
    await rig.work([await rig.put("a", "unreadable"), await rig.put("b", "Beta.")])
    assert rig.held() == {"a": ["Alpha."], "b": ["Beta."]}
    (dead,) = rig.dead.sent
    assert dead.attributes[REASON] == "is damaged"
    entry = await rig.ledger.look_up(place("a"))
    assert entry is not None
    assert (entry.status, entry.reason) == ("failed", "is damaged")


async def test_what_was_put_aside_is_tried_anew_when_it_comes_back(rig: DocumentsRig) -> None:
    await rig.work([await rig.put("a", "unreadable")])
    (dead,) = rig.dead.sent

    def parse(path: Any, document_id: str, attributes: Any) -> Any:
        path.write_text(path.read_text().replace("unreadable", "mended"))
        return parse_text(path, document_id, attributes)

    back = Letter("m", dead.body, attributes=dead.attributes)
    await rig.work([back], parse=parse)
    assert rig.held() == {"a": ["mended"]}


async def test_a_known_failure_is_put_aside_again_when_its_letter_was_not_finished(
    rig: DocumentsRig,
) -> None:
    event = await rig.put("a", "unreadable")
    rig.dead.fail(Unavailable("queue", "down"), times=1)
    assert await rig.work([event]) == ["m0"]
    assert rig.dead.sent == []
    assert await rig.work([Letter("m0", event, receive_count=2)]) == []
    assert len(rig.dead.sent) == 1


async def test_a_document_over_the_limit_is_never_fetched(rig: DocumentsRig) -> None:
    await rig.work([await rig.put("a", "x" * 100_001)])
    assert "at most" in rig.dead.sent[0].attributes[REASON]
    assert rig.bucket.calls["fetch"] == 0


async def test_a_text_the_vendor_rejects_is_the_documents_fault(rig: DocumentsRig) -> None:
    rig.embedder.bad = {"bad\nNo."}
    await rig.work([await rig.put("bad", "No."), await rig.put("good", "Yes.")])
    assert rig.held() == {"good": ["Yes."]}
    assert len(rig.dead.sent) == 1


@pytest.mark.parametrize(
    "error",
    [
        Throttled("embedding", "429", retry_after_s=40.0),
        Unavailable("embedding", "down"),
        Refused("embedding", "401"),
    ],
)
async def test_a_vendors_bad_day_postpones_and_loses_nothing(rig: DocumentsRig, error: Any) -> None:
    rig.embedder.fail(error)
    event = await rig.put("a", "Alpha.")
    for _ in range(12):  # far more often than the queue would deliver
        rig.now += 1000
        assert await rig.work([event]) == []
    assert rig.dead.sent == []
    assert all(sent.delay_s > 0 for sent in rig.queue.sent)
    entry = await rig.ledger.look_up(place("a"))
    assert entry is not None
    assert (entry.status, entry.attempts) == ("pending", 0)
    rig.embedder.heal()
    await rig.work_off()
    assert rig.held() == {"a": ["Alpha."]}


async def test_a_throttled_vendor_slows_every_worker(rig: DocumentsRig) -> None:
    rig.embedder.fail(Throttled("embedding", "429", retry_after_s=40.0))
    await rig.work([await rig.put("a", "Alpha.")])
    calls = rig.embedder.calls.total()
    assert await rig.work([await rig.put("b", "Beta.")]) == []
    assert rig.embedder.calls.total() == calls
    assert rig.queue.sent[-1].delay_s >= 40


async def test_delays_grow_while_a_vendor_throttles(rig: DocumentsRig) -> None:
    rig.embedder.fail(Throttled("embedding", "429"))
    await rig.queue.send(await rig.put("a", "Alpha."))
    for _ in range(8):
        rig.now += 1000
        await rig.work(rig.queue.receive())
    delays = [sent.delay_s for sent in rig.queue.sent[1:]]
    assert delays == sorted(delays)
    assert delays[-1] > 8 * delays[0]
    assert rig.queue.sent[-1].attributes[POSTPONED] == "8"


async def test_a_document_that_somebody_else_works_on_waits(rig: DocumentsRig) -> None:
    event = await rig.put("a", "Alpha.")
    await rig.ledger.claim(place("a"), owner="somebody", until=rig.now + 20)
    assert await rig.work([event]) == []
    assert rig.queue.sent[-1].delay_s == 20
    rig.now += 30
    await rig.work_off()
    assert rig.held() == {"a": ["Alpha."]}


async def test_an_object_that_changes_while_it_is_indexed_is_indexed_again(
    rig: DocumentsRig,
) -> None:
    event = await rig.put("a", "Old.")
    upsert = rig.index.upsert

    async def upsert_late(namespace: str, chunks: Any) -> None:
        await upsert(namespace, chunks)
        if rig.index.calls["upsert"] == 1:
            await rig.put("a", "New.")

    rig.index.upsert = upsert_late  # type: ignore[method-assign]
    await rig.work([event])
    assert rig.held() == {"a": ["New."]}


async def test_an_object_that_goes_while_it_is_indexed_is_not_left_in_the_index(
    rig: DocumentsRig,
) -> None:
    event = await rig.put("a", "Old.")
    upsert = rig.index.upsert

    async def upsert_late(namespace: str, chunks: Any) -> None:
        await upsert(namespace, chunks)
        await rig.delete("a")

    rig.index.upsert = upsert_late  # type: ignore[method-assign]
    await rig.work([event])
    assert rig.held() == {}
    entry = await rig.ledger.look_up(place("a"))
    assert entry is not None
    assert entry.status == "deleted"


async def test_a_document_that_kills_its_process_is_put_aside_and_takes_no_other_along(
    rig: DocumentsRig,
) -> None:
    killed = KilledSoon(rig.embedder)
    events = [await rig.put("poison", "Poison."), await rig.put("good", "Good.")]

    def parse(path: Any, document_id: str, attributes: Any) -> Any:
        if document_id == "poison":
            raise Killed
        return parse_text(path, document_id, attributes)

    killed.after(None)
    deaths = 0
    for attempt in range(1, MOST_ATTEMPTS + 2):
        rig.now += 1000  # leases run out
        letters = [Letter(f"m{n}", event, attempt) for n, event in enumerate(events)]
        try:
            assert await rig.work(letters, parse=parse) == []
        except Killed:
            deaths += 1
    assert deaths == MOST_ATTEMPTS
    assert rig.held() == {"good": ["Good."]}
    entry = await rig.ledger.look_up(place("poison"))
    assert entry is not None
    assert entry.status == "failed"
    assert "ended with its process" in (entry.reason or "")
    assert len(rig.dead.sent) == 1


async def test_when_time_runs_out_the_rest_is_sent_again(rig: DocumentsRig) -> None:
    rig.embedder.slow(0.3)
    events = [await rig.put(f"d{n}", sentences(f"topic {n}", 40)) for n in range(3)]
    assert await rig.work(events, seconds=0.05) == []
    assert rig.queue.waiting == 3
    assert rig.dead.sent == []
    rig.embedder.heal()
    await rig.work_off()
    assert len(rig.held()) == 3


@pytest.mark.parametrize("seed", range(30))
async def test_the_index_ends_equal_to_the_bucket_whatever_happens(seed: int) -> None:
    """Puts, overwrites and deletes; events delivered once to three times in random order;
    workers killed anywhere; every dependency failing now and then."""
    rig, rng = DocumentsRig(), random.Random(seed)  # noqa: S311
    killed = KilledSoon(rig.bucket, rig.ledger, rig.index, rig.embedder, rig.store, rig.queue)
    waiting: list[Letter] = []
    names = [f"d{n}" for n in range(8)]
    kills = 0
    for step in range(60):
        rig.now += rng.choice([0.2, 5.0, 100.0])
        rig.bucket.heal()  # it is up when somebody writes to it
        if step < 40:
            name = rng.choice(names)
            if rng.random() < 0.3:
                body = await rig.delete(name)
            else:
                body = await rig.put(name, sentences(f"{name} {step}", rng.choice([1, 5, 20])))
            waiting += [Letter(f"m{step}-{n}", body) for n in range(rng.choice([1, 2, 3]))]
        waiting += rig.queue.receive(100)
        rng.shuffle(waiting)
        some, waiting = waiting[:6], waiting[6:]
        if rng.random() < 0.3:
            troubled = rng.choice([rig.index, rig.embedder, rig.ledger, rig.bucket, rig.store])
            troubled.fail(Unavailable("x", "down"), times=rng.choice([1, 3, 6]))
        killed.after(rng.randrange(60) if rng.random() < 0.6 else None)
        try:
            failed = await rig.work(some)
        except Killed:
            kills += 1
            failed = [letter.id for letter in some]
        killed.after(None)
        waiting += [
            Letter(one.id, one.body, one.receive_count + 1, one.attributes)
            for one in some
            if one.id in failed
        ]
    for fake in (rig.index, rig.embedder, rig.ledger, rig.bucket, rig.store):
        fake.heal()
    for _ in range(200):
        rig.now += 300
        waiting += rig.queue.receive(100)
        if not waiting:
            break
        some, waiting = waiting[:6], waiting[6:]
        assert await rig.work(some) == []
    fresh = DocumentsRig()
    async for found in rig.bucket.objects("documents/"):
        text = rig.bucket._kept[found.key].content.decode()
        await fresh.work([await fresh.put(found.key.rpartition("/")[2], text)])
    assert rig.held() == fresh.held()
    assert kills
    assert rig.dead.sent == []

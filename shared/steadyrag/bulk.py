"""Many documents of a bucket at once, with somebody watching.

Compares the bucket with the ledger and brings up what differs: here, or by the workers of a
queue. Begun again, it compares again, and only what is left is done.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import batched

from steadyrag.differences import differences, namespaces
from steadyrag.domain.ledger import SETTLED, Entry, Queue
from steadyrag.domain.letters import event_letter
from steadyrag.domain.objects import ObjectEvent, Place
from steadyrag.reconcile import reconcile
from steadyrag.reconcile_parts import Later, ReconcileParts, Unreadable, Wanted
from steadyrag.resilience.together import together

STEP = 50
"""Documents claimed together."""
STEP_S = 120.0
"""That they may take. A killed run's documents wait as long for the next one."""

LOOK_EVERY_S = 2.0
GIVE_UP_AFTER_S = 900.0
"""Without a single document settled."""

_MOST_AT_ONCE = 16
_LOOKED_AT = 500
_LONGEST_WAIT_S = 30.0

type Compared = Callable[[int, int], None]
"""Called with how many were compared so far, and how many of them differ."""

type Progress = Callable[[int, int, str], None]
"""Called with how many are settled, of how many, and what else is worth knowing."""


@dataclass(slots=True)
class BulkSummary:
    """`failed` are documents that can't be read, with the reason; `left` those that were not
    settled in time, with what they wait for."""

    compared: int = 0
    indexed: int = 0
    deleted: int = 0
    chunks: int = 0
    failed: list[tuple[Place, str]] = field(default_factory=list)
    left: list[tuple[Place, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Documents settled, whatever the outcome."""
        return self.indexed + self.deleted + len(self.failed)


async def compare(
    parts: ReconcileParts,
    *,
    only: str | None = None,
    anew: bool = False,
    progress: Compared = lambda compared, differ: None,
) -> tuple[int, list[Place]]:
    """How many documents there are, and those that there is something to do about; with
    `anew` all of them. `only` is a namespace. Raises `DependencyError`."""
    compared, differing = 0, list[Place]()
    for namespace in [only] if only else await namespaces(parts):
        async for one in differences(namespace, parts):
            compared += 1
            if one.differs or anew:
                differing.append(one.place)
            progress(compared, len(differing))
    return compared, differing


async def bring_up(
    places: Sequence[Place],
    parts: ReconcileParts,
    *,
    anew: bool = False,
    progress: Progress = lambda done, total, note: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> BulkSummary:
    """In this process; `anew` embeds everything again. What has to wait is tried again until
    nothing gets settled any more."""
    summary = BulkSummary()
    waiting, settled_at = list(places), parts.clock()
    while waiting:
        later: list[tuple[Place, Later]] = []
        for some in batched(waiting, STEP, strict=False):
            wanted = {place: Wanted(anew=anew) for place in some}
            owner = uuid.uuid4().hex
            results = await reconcile(wanted, parts, owner=owner, seconds=STEP_S, rebuild=anew)
            for place, result in results.items():
                if isinstance(result, Later):
                    later.append((place, result))
                    continue
                settled_at = parts.clock()
                if isinstance(result, Unreadable):
                    summary.failed.append((place, result.reason))
                else:
                    _count(summary, place, result.status, result.chunks, None)
            progress(summary.done, len(places), _note(summary))
        waiting = [place for place, _ in later]
        if later and parts.clock() - settled_at >= GIVE_UP_AFTER_S:
            summary.left = [(place, result.reason) for place, result in later]
            break
        if later:
            wait_s = max(result.delay_s for _, result in later)
            await sleep(min(max(wait_s, 1.0), _LONGEST_WAIT_S))
    return summary


async def ask_for(
    places: Sequence[Place],
    parts: ReconcileParts,
    queue: Queue,
    *,
    progress: Progress = lambda done, total, note: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> BulkSummary:
    """By the workers of the queue, and watches the ledger until all are settled. Stopping
    it stops nothing but the watching. Raises `DependencyError`."""
    slots = asyncio.Semaphore(_MOST_AT_ONCE)
    summary, sent = BulkSummary(), 0
    before: dict[Place, float] = {}
    seen: dict[Place, Entry | None] = {}

    async def ask(place: Place) -> None:
        nonlocal sent
        key = parts.layout.key(place)
        async with slots:
            entry = await parts.ingest.retry(lambda: parts.ledger.look_up(place))
            before[place] = entry.updated_at if entry else 0.0
            event = ObjectEvent(parts.bucket.name, key, "", parts.clock())
            await parts.ingest.retry(lambda: queue.send(event_letter(event)))
        sent += 1
        progress(0, len(places), f"{sent:,} asked for")

    async def look(place: Place) -> None:
        async with slots:
            entry = await parts.ingest.retry(lambda: parts.ledger.look_up(place))
        seen[place] = entry

    await together(map(ask, places))
    waiting, settled_at = list(places), parts.clock()
    while waiting:
        await sleep(LOOK_EVERY_S)
        giving_up = parts.clock() - settled_at >= GIVE_UP_AFTER_S
        # They are worked off in about this order, but some may take long: so the first ones,
        # and the others in turn.
        first, others = waiting[:_LOOKED_AT], waiting[_LOOKED_AT : 2 * _LOOKED_AT]
        looked_at = waiting if giving_up else [*first, *others]
        await together(map(look, looked_at))
        settled = set[Place]()
        for place in looked_at:
            entry = seen.pop(place, None)
            if entry and entry.status in SETTLED and entry.updated_at != before[place]:
                settled.add(place)
                _count(summary, place, entry.status, entry.chunks, entry.reason)
        rest = [*first, *waiting[2 * _LOOKED_AT :], *others]
        waiting = [place for place in rest if place not in settled]
        settled_at = parts.clock() if settled else settled_at
        progress(summary.done, len(places), _note(summary))
        if giving_up and waiting and not settled:
            left = set(waiting)
            summary.left = [(p, "its worker has not said so") for p in places if p in left]
            break
    return summary


def _count(
    summary: BulkSummary, place: Place, status: str, chunks: int, reason: str | None
) -> None:
    summary.indexed += status == "indexed"
    summary.deleted += status == "deleted"
    summary.chunks += chunks if status == "indexed" else 0
    if status == "failed":
        summary.failed.append((place, reason or "could not be read before"))


def _note(summary: BulkSummary) -> str:
    failed = f", {len(summary.failed):,} failed" if summary.failed else ""
    return f"{summary.chunks:,} chunks{failed}"

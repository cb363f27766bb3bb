"""Work off messages of the ingest queue: what each asks for, what became of it, what to tell.

A message is done when the documents it is about are settled. One that has to wait is sent
again with a delay, so that waiting, which a vendor's bad day may make long, never counts as
failing; one whose document can't be read goes to the dead-letter queue with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from steadyrag.domain.documents import UnreadableDocument
from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ledger import Letter, Queue
from steadyrag.domain.letters import Sweep, Wish, event_letter, read_letter, sweep_letter
from steadyrag.domain.objects import ObjectEvent, Place, newest
from steadyrag.reconcile import reconcile
from steadyrag.reconcile_parts import (
    Later,
    ReconcileParts,
    Result,
    Settled,
    Unreadable,
    Wanted,
    later,
)
from steadyrag.resilience.pause import Pause
from steadyrag.resilience.together import together
from steadyrag.sweep import differences, namespaces
from steadyrag.telemetry import catalogue, metrics

log = logging.getLogger(__name__)

POSTPONED = "postponed"
"""Attribute of a message that was sent again: how often."""
REASON = "reason"
"""Attribute of a message in the dead-letter queue. One that comes back with it is tried anew."""

LONGEST_DELAY_S = 900
_FIRST_DELAY_S = 5.0
_SENT_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker works with. `jitter` is from 0 to 1."""

    reconcile: ReconcileParts
    queue: Queue
    dead: Queue
    pause: Pause
    jitter: Callable[[], float] = random.random

    async def aclose(self) -> None:
        for part in (self.reconcile, self.queue, self.dead):
            await part.aclose()


@dataclass(slots=True)
class _Post:
    """A message, what it asks for, and why that is not to be had, if it is not."""

    letter: Letter
    wish: Wish = field(default_factory=list)
    unreadable: str | None = None

    @property
    def events(self) -> Sequence[ObjectEvent]:
        return [] if isinstance(self.wish, Sweep) else self.wish


async def work(
    letters: Sequence[Letter],
    parts: WorkerParts,
    *,
    owner: str,
    seconds: float,
    grace_s: float = 10.0,
) -> list[str]:
    """Does what the messages ask for within `seconds`, needs `grace_s` more to write down how
    far it came, and then sends on what has to wait; returns the ids of those that the queue
    must deliver again. `owner` and both times are as `reconcile` wants them."""
    ends_at = parts.reconcile.clock() + seconds
    posts = [_opened(letter) for letter in letters]
    if (wait_s := await parts.pause.left_s()) > 0:
        return await _tell(posts, parts, lambda post: Later("a vendor asked to wait", wait_s))
    wanted = _wanted(posts, parts.reconcile)
    results = await reconcile(
        wanted, parts.reconcile, owner=owner, seconds=seconds, grace_s=grace_s
    )
    _measure(posts, results, parts.reconcile)
    waits = [r.delay_s for r in results.values() if isinstance(r, Later) and r.throttled]
    if waits:
        await parts.pause.begin(min(max(waits), LONGEST_DELAY_S))
    swept = {
        post.letter.id: await _swept(post.wish, parts, ends_at - parts.reconcile.clock())
        for post in posts
        if isinstance(post.wish, Sweep)
    }

    def outcome(post: _Post) -> Result | None:
        if post.letter.id in swept:
            return swept[post.letter.id]
        found = [results[p] for e in post.events if (p := _place(e, parts.reconcile)) in results]
        return max(found, key=_weight, default=None)

    return await _tell(posts, parts, outcome)


async def _swept(wish: Sweep, parts: WorkerParts, seconds: float) -> Later | None:
    try:
        await sweep(wish, parts, seconds=seconds)
    except DependencyError as error:
        return later(error)
    return None


async def sweep(wish: Sweep, parts: WorkerParts, *, seconds: float) -> None:
    """Asks for every document that differs. What there is no time left for is asked for in a
    message of its own. Raises `DependencyError`."""
    ends_at = parts.reconcile.clock() + seconds
    slots = asyncio.Semaphore(_SENT_AT_ONCE)

    async def ask(place: Place) -> None:
        event = ObjectEvent(
            bucket=parts.reconcile.bucket.name,
            key=parts.reconcile.layout.key(place),
            sequencer="",
            happened_at=parts.reconcile.clock(),
        )
        async with slots:
            await parts.queue.send(event_letter(event))

    for namespace in await namespaces(parts.reconcile):
        if namespace < wish.namespace:
            continue
        after = wish.after if namespace == wish.namespace else ""
        asked: list[Place] = []
        async for place, differs in differences(namespace, parts.reconcile, after=after):
            if differs:
                asked.append(place)
            if len(asked) >= _SENT_AT_ONCE * 10:
                await together(map(ask, asked))
                asked = []
            if parts.reconcile.clock() >= ends_at:
                await together(map(ask, asked))
                await parts.queue.send(sweep_letter(Sweep(namespace, place.document_id)))
                return
        await together(map(ask, asked))


def _opened(letter: Letter) -> _Post:
    try:
        return _Post(letter, read_letter(letter.body))
    except UnreadableDocument as problem:
        return _Post(letter, unreadable=str(problem))


def _place(event: ObjectEvent, parts: ReconcileParts) -> Place | None:
    """None for what is no document of ours: then there is nothing to do."""
    if event.bucket != parts.bucket.name:
        return None
    return parts.layout.place(event.key)


def _wanted(posts: Iterable[_Post], parts: ReconcileParts) -> dict[Place, Wanted]:
    """Each document once, whatever the number of events about it."""
    wanted: dict[Place, Wanted] = {}
    for post in posts:
        for event in post.events:
            if (place := _place(event, parts)) is None:
                continue
            before = wanted.get(place, Wanted(event.sequencer))
            told = before.sequencer and event.sequencer  # one that tells no order always counts
            wanted[place] = Wanted(
                newest([before.sequencer, event.sequencer]) if told else "",
                before.anew or REASON in post.letter.attributes,
            )
    return wanted


def _weight(result: Result) -> int:
    return (isinstance(result, Settled), isinstance(result, Unreadable), True).index(True)


async def _tell(
    posts: Sequence[_Post], parts: WorkerParts, outcome: Callable[[_Post], Result | None]
) -> list[str]:
    """Sends on what has to be; returns ids of messages that could not be dealt with."""

    async def tell(post: _Post) -> str | None:
        try:
            await _tell_one(post, outcome(post), parts)
        except DependencyError as error:
            log.warning("a message could not be sent on", extra={"reason": error.problem})
            return post.letter.id
        return None

    return [failed for failed in await asyncio.gather(*map(tell, posts)) if failed]


async def _tell_one(post: _Post, result: Result | None, parts: WorkerParts) -> None:
    letter = post.letter
    if post.unreadable:
        await _bury(letter, post.unreadable, parts)
    elif isinstance(result, Later):
        times = _times_postponed(letter.attributes)
        await parts.queue.send(
            letter.body,
            delay_s=_delay_s(result, times, parts.jitter()),
            attributes={**letter.attributes, POSTPONED: str(times + 1)},
        )
        metrics.count(catalogue.INGEST_POSTPONED)
    elif isinstance(result, Unreadable):
        await _bury(letter, result.reason, parts)
    elif isinstance(result, Settled) and result.status == "failed" and letter.receive_count > 1:
        # The process died between writing that down and sending this.
        await _bury(letter, "could not be read; GET /documents/{id} says why", parts)


async def _bury(letter: Letter, reason: str, parts: WorkerParts) -> None:
    await parts.dead.send(letter.body, attributes={REASON: reason})


def _times_postponed(attributes: Mapping[str, str]) -> int:
    try:
        return max(0, int(attributes.get(POSTPONED, "0")))
    except ValueError:
        return 0


def _delay_s(result: Later, times: int, jitter: float) -> int:
    """What was asked for, longer each time a vendor lets us down, never the same for all."""
    grown_s = _FIRST_DELAY_S * 2.0 ** min(times, 10) if result.throttled else _FIRST_DELAY_S
    wait_s = max(result.delay_s, grown_s) if result.delay_s > 0 else 0.0
    return min(LONGEST_DELAY_S, round(wait_s * (1 + jitter / 4)))


def _measure(
    posts: Iterable[_Post], results: Mapping[Place, Result], parts: ReconcileParts
) -> None:
    """Counts what was done, and how long after its event."""
    now = parts.clock()
    happened: dict[Place, float] = {}
    for post in posts:
        for event in post.events:
            if (place := _place(event, parts)) in results:
                assert place is not None  # noqa: S101
                at = min(happened.get(place, now), event.happened_at)
                happened[place] = at
    for place, result in results.items():
        lag_s = max(0.0, now - happened.get(place, now))
        if isinstance(result, Settled) and result.known:
            continue
        metrics.count(catalogue.INGEST_LAG, lag_s)
        if not isinstance(result, Later):
            status = "failed" if isinstance(result, Unreadable) else result.status
            metrics.count(catalogue.INGESTED, outcome=status)
            log.info(
                "document",
                extra={"namespace": place.namespace, "outcome": status, "lag_s": round(lag_s, 1)},
            )

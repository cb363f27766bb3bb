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
_SENT_TOGETHER = 80
_SWEEP_AGAIN_S = 60


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
    wanted = _wanted(posts, parts.reconcile)
    results: dict[Place, Result] = {}
    pause_s = await parts.pause.left_s()
    if pause_s > 0:
        results = await _waiting(wanted, parts.reconcile, Later("a vendor is down", pause_s))
    now = {place: wish for place, wish in wanted.items() if place not in results}
    results |= await reconcile(now, parts.reconcile, owner=owner, seconds=seconds, grace_s=grace_s)
    _measure(posts, results, parts.reconcile)
    times = max((_times_postponed(post.letter.attributes) for post in posts), default=0)
    waits = [_grown_s(r, times) for r in results.values() if isinstance(r, Later) and r.pauses]
    if waits:
        await parts.pause.begin(max(waits))
    swept = {
        post.letter.id: await _swept(post.wish, parts, ends_at - parts.reconcile.clock())
        for post in posts
        if isinstance(post.wish, Sweep)
    }

    async def tell(post: _Post) -> str | None:
        try:
            if post.unreadable:
                await _bury(post.letter, post.letter.body, post.unreadable, parts)
            elif isinstance(post.wish, Sweep):
                if later := swept[post.letter.id]:
                    await _postpone(post.letter, post.letter.body, later, parts)
            else:
                await _tell(post, results, parts)
        except DependencyError as error:
            log.warning("a message could not be sent on", extra={"reason": error.problem})
            return post.letter.id
        return None

    return [failed for failed in await asyncio.gather(*map(tell, posts)) if failed]


async def _waiting(
    wanted: Mapping[Place, Wanted], parts: ReconcileParts, later: Later
) -> dict[Place, Result]:
    """All but the documents whose objects are gone: taking those out needs no vendor that is
    paid for, and nobody may read them any more."""

    async def is_there(place: Place) -> bool:
        try:
            return await parts.bucket.head(parts.layout.key(place)) is not None
        except DependencyError:
            return True

    places = list(wanted)
    there = await asyncio.gather(*map(is_there, places))
    return {place: later for place, waits in zip(places, there, strict=True) if waits}


async def _swept(wish: Sweep, parts: WorkerParts, seconds: float) -> Later | None:
    try:
        await sweep(wish, parts, seconds=seconds)
    except DependencyError as error:
        return later(error)
    return None


async def sweep(wish: Sweep, parts: WorkerParts, *, seconds: float) -> None:
    """Asks for every document that differs. What there is no time left for, or what can't be
    compared now, is asked for in a message of its own. Raises `DependencyError`."""
    ends_at = parts.reconcile.clock() + seconds
    slots = asyncio.Semaphore(_SENT_AT_ONCE)

    async def ask(place: Place) -> None:
        key = parts.reconcile.layout.key(place)
        now = parts.reconcile.clock()
        async with slots:
            event = ObjectEvent(parts.reconcile.bucket.name, key, "", now)
            await parts.queue.send(event_letter(event))

    for namespace in await namespaces(parts.reconcile):
        if namespace < wish.namespace:
            continue
        after = asked_to = wish.after if namespace == wish.namespace else ""
        asked: list[Place] = []
        over = False
        try:
            async for place, differs in differences(namespace, parts.reconcile, after=after):
                after = place.document_id
                asked += [place] * differs
                over = parts.reconcile.clock() >= ends_at
                if over or len(asked) >= _SENT_TOGETHER:
                    await together(map(ask, asked))
                    asked, asked_to = [], after
                if over:
                    break
            await together(map(ask, asked))
        except DependencyError as error:
            log.warning("a sweep goes on later", extra={"reason": error.problem})
            rest = sweep_letter(Sweep(namespace, asked_to))
            await parts.queue.send(rest, delay_s=_SWEEP_AGAIN_S)
            return
        if over:
            await parts.queue.send(sweep_letter(Sweep(namespace, after)))
            return


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


async def _tell(post: _Post, results: Mapping[Place, Result], parts: WorkerParts) -> None:
    """Sends on each event of a message that is not done with by itself."""
    letter = post.letter
    for event in post.events:
        place = _place(event, parts.reconcile)
        result = results.get(place) if place else None
        body = letter.body if len(post.events) == 1 else event_letter(event)
        if isinstance(result, Later):
            await _postpone(letter, body, result, parts)
        elif isinstance(result, Unreadable):
            await _bury(letter, body, result.reason, parts)
        elif result and result.status == "failed" and letter.receive_count > 1:
            # The process died between writing that down and sending this.
            await _bury(letter, body, "could not be read; GET /documents/{id} says why", parts)


async def _postpone(letter: Letter, body: str, result: Later, parts: WorkerParts) -> None:
    times = _times_postponed(letter.attributes)
    delay_s = _grown_s(result, times) * (1 + parts.jitter() / 4)
    await parts.queue.send(
        body,
        delay_s=min(LONGEST_DELAY_S, round(delay_s)),
        attributes={**letter.attributes, POSTPONED: str(times + result.grows)},
    )
    metrics.count(catalogue.INGEST_POSTPONED)


async def _bury(letter: Letter, body: str, reason: str, parts: WorkerParts) -> None:
    kept = {name: value for name, value in letter.attributes.items() if name != POSTPONED}
    await parts.dead.send(body, attributes={**kept, REASON: reason})


def _times_postponed(attributes: Mapping[str, str]) -> int:
    try:
        return max(0, int(attributes.get(POSTPONED, "0")))
    except ValueError:
        return 0


def _grown_s(result: Later, times: int) -> float:
    """What was asked for, or more each time that something is down still."""
    grown_s = _FIRST_DELAY_S * 2.0 ** min(times, 10) if result.grows else 0.0
    return min(LONGEST_DELAY_S, max(result.delay_s, grown_s))


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

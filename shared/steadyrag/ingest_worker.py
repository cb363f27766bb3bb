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
from steadyrag.domain.letters import Sweep, Wish, event_letter, read_letter
from steadyrag.domain.objects import ObjectEvent, Place, newest
from steadyrag.postponing import LONGEST_DELAY_S, POSTPONED, grown_s, pause_s, times_postponed
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
from steadyrag.sweep import sweep
from steadyrag.telemetry import catalogue, metrics

log = logging.getLogger(__name__)

REASON = "reason"
"""Attribute of a message in the dead-letter queue. One that comes back with it is tried anew."""

_PAUSES_SPREAD = 5


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
    paused_s = await parts.pause.left_s()
    if paused_s > 0:
        results = await _waiting(wanted, parts, paused_s)
    now = {place: wish for place, wish in wanted.items() if place not in results}
    left_s = ends_at - parts.reconcile.clock()
    results |= await reconcile(now, parts.reconcile, owner=owner, seconds=left_s, grace_s=grace_s)
    _measure(posts, results, parts.reconcile)
    if (longest_s := _longest_pause_s(posts, results, parts.reconcile)) > 0:
        await parts.pause.begin(longest_s)
    swept = {
        post.letter.id: await _swept(post, post.wish, parts, ends_at)
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
    wanted: Mapping[Place, Wanted], parts: WorkerParts, paused_s: float
) -> dict[Place, Result]:
    """All but the documents whose objects are gone: taking those out needs no vendor that is
    paid for, and nobody may read them any more. They come back one after the other: only the
    first few will find out whether the vendor is up, and all others would come in vain."""
    bucket, layout = parts.reconcile.bucket, parts.reconcile.layout

    async def is_there(place: Place) -> bool:
        try:
            return await bucket.head(layout.key(place)) is not None
        except DependencyError:
            return True

    def waits() -> Later:
        spread = 1 + (_PAUSES_SPREAD - 1) * parts.jitter()
        return Later("a vendor is down", paused_s * spread)

    places = list(wanted)
    there = await asyncio.gather(*map(is_there, places))
    return {place: waits() for place, is_one in zip(places, there, strict=True) if is_one}


def _longest_pause_s(
    posts: Iterable[_Post], results: Mapping[Place, Result], parts: ReconcileParts
) -> float:
    """How long nobody had better ask a vendor; 0 where one has served another document just
    now, so that those that wait are enough."""
    if any(_is_new(result) for result in results.values()):
        return 0.0
    waits = [0.0]
    for post in posts:
        times = times_postponed(post.letter.attributes)
        asked = [place for event in post.events if (place := _place(event, parts))]
        told = [results.get(place) for place in asked]
        waits += [pause_s(one, times) for one in told if isinstance(one, Later) and one.pauses]
    return max(waits)


def _is_new(result: Result) -> bool:
    """Whether vendors have served it just now."""
    return isinstance(result, Settled) and not result.known and result.status != "deleted"


async def _swept(post: _Post, wish: Sweep, parts: WorkerParts, ends_at: float) -> Later | None:
    times, left_s = times_postponed(post.letter.attributes), ends_at - parts.reconcile.clock()
    try:
        await sweep(wish, parts, seconds=left_s, times=times)
    except DependencyError as error:
        return later(error)
    return None


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
    times = times_postponed(letter.attributes)
    delay_s = grown_s(result, times) * (1 + parts.jitter() / 4)
    await parts.queue.send(
        body,
        delay_s=min(LONGEST_DELAY_S, round(delay_s)),
        attributes={**letter.attributes, POSTPONED: str(times + result.grows)},
    )
    metrics.count(catalogue.INGEST_POSTPONED)


async def _bury(letter: Letter, body: str, reason: str, parts: WorkerParts) -> None:
    kept = {name: value for name, value in letter.attributes.items() if name != POSTPONED}
    await parts.dead.send(body, attributes={**kept, REASON: reason})


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

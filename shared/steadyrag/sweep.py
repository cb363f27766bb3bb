"""Ask for what events did not bring about: every document in which bucket and ledger differ.

It goes on in messages of its own, each from where the one before came to.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from steadyrag.differences import Comparison, differences, namespaces
from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ledger import Entry, Held
from steadyrag.domain.letters import Sweep, event_letter, sweep_letter
from steadyrag.domain.objects import ObjectEvent, Place
from steadyrag.postponing import POSTPONED, grown_s
from steadyrag.reconcile_parts import ReconcileParts, later
from steadyrag.resilience.together import together

if TYPE_CHECKING:
    from steadyrag.ingest_worker import WorkerParts

log = logging.getLogger(__name__)

_AT_ONCE = 8
_ASKED_TOGETHER = 80
_COMPARED_TOGETHER = 1_000
"""What an error may throw a sweep back by, at most."""
_AGAIN_S = 60
_HELD_S = 60.0
_MARGIN_S = 10.0
_STILL_TRIED_S = 3_600.0
"""Whoever waits for a vendor comes again sooner; a message more for each sweep would pile up."""


async def sweep(wish: Sweep, parts: WorkerParts, *, seconds: float, times: int = 0) -> None:
    """What there is no time left for, or what can't be compared now, is asked for in a message
    of its own. `times` is how often this one had to wait for the same. Raises
    `DependencyError`."""
    ends_at = parts.reconcile.clock() + seconds
    for namespace in await namespaces(parts.reconcile):
        if namespace < wish.namespace:
            continue
        progress = _Progress(parts, wish.after if namespace == wish.namespace else "")
        try:
            over = await progress.through(namespace, ends_at)
        except DependencyError as error:
            log.warning("a sweep goes on later", extra={"reason": error.problem})
            rest = Sweep(namespace, progress.asked_to)
            in_vain = times if rest == wish else 0
            await parts.queue.send(
                sweep_letter(rest),
                delay_s=max(_AGAIN_S, round(grown_s(later(error), in_vain))),
                attributes={POSTPONED: str(in_vain + 1)},
            )
            return
        if over:
            await parts.queue.send(sweep_letter(Sweep(namespace, progress.asked_to)))
            return


class _Progress:
    """Through one namespace. Up to the id `asked_to` nothing is left to ask for."""

    def __init__(self, parts: WorkerParts, after: str) -> None:
        self._parts = parts
        self.asked_to = after

    async def through(self, namespace: str, ends_at: float) -> bool:
        """Returns whether time was over before all was compared."""
        reconcile = self._parts.reconcile
        wanted: list[Comparison] = []
        compared, over = 0, False
        async with aclosing(differences(namespace, reconcile, after=self.asked_to)) as found:
            async for one in found:
                wanted += [one] * one.differs
                compared += 1
                over = reconcile.clock() >= ends_at
                many = len(wanted) >= _ASKED_TOGETHER or compared >= _COMPARED_TOGETHER
                if many or over or not wanted:
                    await _ask(wanted, self._parts)
                    self.asked_to = one.place.document_id
                    wanted, compared = [], 0
                if over:
                    break
        await _ask(wanted, self._parts)
        return over


async def _ask(wanted: Sequence[Comparison], parts: WorkerParts) -> None:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(place: Place) -> None:
        key = parts.reconcile.layout.key(place)
        event = ObjectEvent(parts.reconcile.bucket.name, key, "", parts.reconcile.clock())
        async with slots:
            await parts.queue.send(event_letter(event))

    deleting = [one.place for one in wanted if one.deleting]
    if deleting:
        await _keep_hidden(deleting, parts.reconcile)
    now = parts.reconcile.clock()
    idle = [one.place for one in wanted if now - one.tried_at >= _STILL_TRIED_S]
    await together(map(ask, idle))


async def _keep_hidden(places: Sequence[Place], parts: ReconcileParts) -> None:
    """Renews the tombstones of documents of one namespace that wait to be taken out of the
    index, which stores don't keep for ever.

    Each is held meanwhile. Of one that somebody else is at work on, or that has been settled
    since it was compared, the tombstone may be lifted already, and would hide it for good.
    """
    owner, slots = uuid.uuid4().hex, asyncio.Semaphore(_AT_ONCE)
    held: dict[Place, Entry] = {}
    until = parts.clock() + _HELD_S

    async def hold(place: Place) -> None:
        async with slots:
            entry = await parts.ingest.retry(lambda: parts.ledger.look_up(place))
            if entry and entry.status == "deleting":
                with suppress(Held):
                    held[place] = await parts.ingest.retry(
                        lambda: parts.ledger.claim(place, owner=owner, until=until)
                    )

    async def release(place: Place) -> None:
        reason = held[place].reason
        async with slots:
            await parts.ingest.retry(
                lambda: parts.ledger.release(place, owner=owner, reason=reason)
            )

    try:
        await together(map(hold, places))
        gone = [place.document_id for place, entry in held.items() if entry.status == "deleting"]
        if gone and parts.clock() < until - _MARGIN_S:
            namespace = places[0].namespace
            await parts.ingest.retry(
                lambda: parts.ingest.changes.changing(namespace, wanted_gone=gone)
            )
    finally:
        await together(map(release, held))

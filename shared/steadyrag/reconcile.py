"""Bring the index to what the bucket holds, for a few documents at a time.

An event only says that something happened to an object. What counts is what the bucket holds
when somebody looks, so events may come twice, late and in any order:

    claim     a lease on the document's entry in the ledger, which outlasts this process
    look      at the object as it is now: gone, known already, or to be fetched
    index     through `Indexing`, many documents to an embedding call
    look      again: if the object has changed meanwhile, begin again
    settle    write down what became of it, and give the lease back

Killed anywhere, the next one to claim the document finds in its record what the index may
hold of it, and goes on from there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ledger import SETTLED, Entry
from steadyrag.domain.objects import Place, is_older
from steadyrag.reconcile_parts import Later, ReconcileParts, Result, Settled, Wanted, later
from steadyrag.reconcile_step import Step


async def reconcile(
    wanted: Mapping[Place, Wanted],
    parts: ReconcileParts,
    *,
    owner: str,
    seconds: float,
    grace_s: float = 10.0,
    rebuild: bool = False,
) -> dict[Place, Result]:
    """Does what can be done within `seconds`, and needs up to `grace_s` more to write down
    how far it came. `rebuild` embeds again what has not changed. `owner` is this run's alone,
    and its process must be dead or done when both have passed. Never raises for a
    dependency's failure.
    """
    ends_at = parts.clock() + seconds
    results: dict[Place, Result] = {}
    entries = await _look_up(wanted, parts, results)
    for place, entry in entries.items():
        if known := _known(wanted[place], entry):
            results[place] = known
    for group in _groups([place for place in wanted if place not in results], entries):
        left_s = ends_at - parts.clock()
        if left_s <= 0:
            results.update(dict.fromkeys(group, Later("no time was left", 0)))
        else:
            step = Step(parts, group[0].namespace, owner, until=ends_at + grace_s, rebuild=rebuild)
            results.update(await step.run({place: wanted[place] for place in group}, ends_at))
    return results


async def _look_up(
    places: Iterable[Place], parts: ReconcileParts, results: dict[Place, Result]
) -> dict[Place, Entry | None]:
    async def look(place: Place) -> tuple[Place, Entry | None]:
        try:
            return place, await parts.ingest.retry(lambda: parts.ledger.look_up(place))
        except DependencyError as error:
            results[place] = later(error)
            return place, None

    return dict(await asyncio.gather(*map(look, places)))


def _known(wanted: Wanted, entry: Entry | None) -> Settled | None:
    """The outcome of a newer event, or of the same one delivered before."""
    if wanted.anew or not wanted.sequencer or entry is None or entry.status not in SETTLED:
        return None
    if is_older(entry.sequencer, wanted.sequencer):
        return None
    return Settled(entry.status, entry.chunks, known=True)


def _groups(
    places: Sequence[Place], entries: Mapping[Place, Entry | None]
) -> Iterable[list[Place]]:
    """Places of one namespace together. A document that was tried in vain before, as its
    process died perhaps, goes alone and last, so that it takes no other one along; the one
    that was so most often goes after the others, in which it may not be the same each time."""
    attempts = {place: entry.attempts if entry else 0 for place, entry in entries.items()}
    suspects = [place for place in places if attempts[place]]
    others = [place for place in places if not attempts[place]]
    for namespace in dict.fromkeys(place.namespace for place in others):
        yield [place for place in others if place.namespace == namespace]
    random.shuffle(suspects)
    suspects.sort(key=attempts.__getitem__)
    yield from ([place] for place in suspects)

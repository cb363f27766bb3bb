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

_FOR_OTHERS = 0.4
"""Of the time, when there are documents under suspicion: they get the rest, lest they are
blamed for time that others used."""
_FOR_A_SUSPECT = 0.5
"""Of the time, at least; else it waits for another run."""


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
    began_at = parts.clock()
    ends_at = began_at + seconds
    results: dict[Place, Result] = {}
    entries = await _look_up(wanted, parts, results)
    for place, entry in entries.items():
        if known := _known(wanted[place], entry):
            results[place] = known
    groups, suspects = _groups([place for place in wanted if place not in results], entries)

    async def run(group: Sequence[Place], ends_at: float, at_least_s: float = 0.0) -> None:
        if ends_at - parts.clock() <= at_least_s:
            results.update(dict.fromkeys(group, Later("no time was left", 0)))
            return
        step = Step(parts, group[0].namespace, owner, until=until, rebuild=rebuild)
        results.update(await step.run({place: wanted[place] for place in group}, ends_at))

    until = ends_at + grace_s
    for group in groups:
        await run(group, began_at + _FOR_OTHERS * seconds if suspects else ends_at)
    for suspect in suspects:
        await run([suspect], ends_at, _FOR_A_SUSPECT * seconds)
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
) -> tuple[list[list[Place]], list[Place]]:
    """Places of one namespace together; and the suspects. A document that was tried in vain
    before, as its process died perhaps, goes alone and last, so that it takes no other one
    along; the one that was so most often goes after the others, in which it may not be the
    same each time."""
    attempts = {place: entry.attempts if entry else 0 for place, entry in entries.items()}
    suspects = [place for place in places if attempts[place]]
    others = [place for place in places if not attempts[place]]
    namespaces = dict.fromkeys(place.namespace for place in others)
    groups = [[place for place in others if place.namespace == name] for name in namespaces]
    random.shuffle(suspects)
    suspects.sort(key=attempts.__getitem__)
    return groups, suspects

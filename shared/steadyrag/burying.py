"""Tombstones that say what the ledger says."""

from __future__ import annotations

from typing import Literal

from steadyrag.domain.ledger import Entry, Ledger
from steadyrag.domain.objects import Place
from steadyrag.resilience.corpus_changes import Changes

type Said = Literal["wanted_gone", "deleted", "added"]

MOST_LOOKS = 5


async def bury(place: Place, ledger: Ledger, changes: Changes, *, said: Said | None = None) -> None:
    """Tells everyone whether a document may be shown, and again if the ledger has changed
    meanwhile: two calls are not one, and a tombstone that comes after the one who would have
    lifted it hides its document for good. `said` is what they have been told so far. Raises
    `DependencyError`."""
    for _ in range(MOST_LOOKS):
        entry = await ledger.look_up(place)
        if (now := _of(entry)) == said:
            return
        said = now
        ids = [place.document_id]
        if said == "wanted_gone":
            await changes.changing(place.namespace, wanted_gone=ids)
        elif said == "deleted":
            await changes.changing(place.namespace, deleted=ids)
        else:
            await changes.changing(place.namespace, added=ids)


def _of(entry: Entry | None) -> Said:
    if entry is not None and entry.mark:
        return "wanted_gone"
    return "added" if entry is not None and entry.chunks else "deleted"

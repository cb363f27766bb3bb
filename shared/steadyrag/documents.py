"""Documents as clients see them: add one, ask what became of it, take it away.

All three only talk to the bucket and the ledger. What follows from a change in the bucket
happens by its events.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from steadyrag.burying import bury
from steadyrag.domain.attributes import written
from steadyrag.domain.errors import NotFound
from steadyrag.domain.ledger import Bucket, Entry, Ledger, Outcome, Upload
from steadyrag.domain.objects import Attributes, Layout, ObjectEvent, Place
from steadyrag.resilience.corpus_changes import Changes, Untold


async def _by_events(event: ObjectEvent) -> None:
    """The bucket's own events have to do."""


@dataclass(frozen=True, slots=True)
class DocumentParts:
    """What the three work with.

    tell: asks the workers to look at an object.
    bucket_tells: whether the bucket does so itself whenever an object is put or deleted.
    """

    bucket: Bucket
    ledger: Ledger
    clock: Callable[[], float]
    changes: Changes = field(default_factory=Untold)
    tell: Callable[[ObjectEvent], Awaitable[None]] = _by_events
    bucket_tells: bool = True
    layout: Layout = field(default_factory=Layout)
    largest_upload_bytes: int = 100_000_000
    upload_lives_s: int = 900

    async def aclose(self) -> None:
        for part in (self.bucket, self.ledger):
            await part.aclose()


async def add(place: Place, content: bytes, attributes: Attributes, parts: DocumentParts) -> Entry:
    """Puts a document, or its next version, into the bucket. It is found some time after.
    Raises `InvalidInput` and `DependencyError`."""
    key = parts.layout.key(place)
    written(attributes)  # what can't be kept is refused before anything is said
    await _expect(place, attributes, len(content), parts)
    await parts.bucket.put(key, content, attributes)
    if not parts.bucket_tells:
        await _tell(key, parts)
    return await look_up(place, parts)


async def add_by_upload(place: Place, attributes: Attributes, parts: DocumentParts) -> Upload:
    """Leave to put a document into the bucket oneself."""
    return await parts.bucket.upload(
        parts.layout.key(place),
        attributes,
        max_bytes=parts.largest_upload_bytes,
        lives_s=parts.upload_lives_s,
    )


async def look_up(place: Place, parts: DocumentParts) -> Entry:
    """Raises `NotFound` for a document that nobody has heard of."""
    entry = await parts.ledger.look_up(place)
    if entry is None:
        raise _unknown(place)
    return entry


async def remove(place: Place, parts: DocumentParts) -> Entry:
    """Takes a document away. When it returns, no answer shows it any more, even while the
    index still finds it. Doing it again does no harm. Raises `NotFound`, `DependencyError`.

    The object goes first: a mark in the ledger is then certain to be younger than any look
    at the object by whoever is indexing it, and keeps them from showing it again. The workers
    are told in the end, for the mark may come after they have dealt with the bucket's event.
    """
    key = parts.layout.key(place)
    entry = await parts.ledger.look_up(place)
    found = await parts.bucket.head(key)
    if found is None and (entry is None or entry.status == "deleted"):
        if entry is None:
            raise _unknown(place)
        return entry
    await parts.bucket.delete(key)
    marked = await parts.ledger.want_gone(place, secrets.token_urlsafe(9))
    await bury(place, parts.ledger, parts.changes)
    await _tell(key, parts)
    return replace(marked or Entry(place.document_id, "deleting"), status="deleting")


async def _expect(
    place: Place, attributes: Attributes, size_bytes: int, parts: DocumentParts
) -> None:
    """Said first: an event that is worked off at once must have the last word."""
    await parts.ledger.expect(
        place, Outcome("pending", title=attributes.title or "", size_bytes=size_bytes)
    )


async def _tell(key: str, parts: DocumentParts) -> None:
    await parts.tell(ObjectEvent(parts.bucket.name, key, "", parts.clock()))


def _unknown(place: Place) -> NotFound:
    return NotFound(f"id: there is no document {place.document_id!r} in this namespace")

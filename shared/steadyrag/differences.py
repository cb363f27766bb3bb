"""Compare a bucket with the ledger, document by document.

Both list their documents in the same order, so the comparison walks along them side by side
and holds no more than a page of each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from steadyrag.domain.ledger import SETTLED, Entry
from steadyrag.domain.objects import Place, StoredObject, origin
from steadyrag.reconcile_parts import ReconcileParts


@dataclass(frozen=True, slots=True)
class Comparison:
    """A document. `differs`: there is something to do about it. `deleting`: as somebody wants
    it gone, and the index may hold it still. `tried_at`: when somebody last set about it who
    will come again."""

    place: Place
    differs: bool
    deleting: bool = False
    tried_at: float = 0.0


async def namespaces(parts: ReconcileParts) -> list[str]:
    """All that the bucket or the ledger knows, sorted."""
    layout = parts.layout
    if layout.namespace is not None:
        return [layout.namespace]
    folders = await parts.ingest.retry(lambda: parts.bucket.folders(layout.prefix))
    named = [name for name in folders if layout.place(f"{layout.prefix}{name}/x")]
    return sorted({*named, *await parts.ingest.retry(parts.ledger.namespaces)})


async def differences(
    namespace: str, parts: ReconcileParts, *, after: str = ""
) -> AsyncGenerator[Comparison]:
    """Every document of a namespace that is in the bucket or in the ledger, from behind the
    id `after` on, in the order of their ids' UTF-8 bytes. Raises `DependencyError`."""
    prefix = parts.layout.prefix_of(namespace)
    start = parts.layout.key(Place(namespace, after)) if after else ""
    ours = origin(parts.bucket.name, prefix)
    async with (
        aclosing(_Ahead(parts.bucket.objects(prefix, after=start))) as objects,
        aclosing(_Ahead(parts.ledger.entries(namespace, after=after))) as entries,
    ):
        found, entry = await objects.next(), await entries.next()
        while found is not None or entry is not None:
            place = parts.layout.place(found.key) if found else None
            if found is not None and place is None:
                found = await objects.next()
                continue
            here = place.document_id.encode() if place else None
            there = entry.document_id.encode() if entry else None
            if there is None or (here is not None and here < there):
                assert place is not None  # noqa: S101
                yield Comparison(place, True)
                found = await objects.next()
            elif here is None or there < here:
                assert entry is not None  # noqa: S101
                place = Place(namespace, entry.document_id)
                yield _comparison(place, entry, differs=_left_behind(entry, ours))
                entry = await entries.next()
            else:
                assert place is not None and found is not None and entry is not None  # noqa: S101, PT018
                yield _comparison(place, entry, differs=not _current(found, entry, parts.recipe))
                found, entry = await objects.next(), await entries.next()


def _comparison(place: Place, entry: Entry, *, differs: bool) -> Comparison:
    tried_at = 0.0 if entry.status in SETTLED else entry.updated_at
    return Comparison(place, differs, _deleting(entry), tried_at)


def _left_behind(entry: Entry, ours: str) -> bool:
    """Whether an entry without an object is not known to be deleted. What others' buckets hold
    is none of our business, what was deleted by name is."""
    if _deleting(entry):
        return True
    return entry.status != "deleted" and (not entry.origin or entry.origin.startswith(ours))


def _deleting(entry: Entry) -> bool:
    return entry.status == "deleting"


def _current(found: StoredObject, entry: Entry, recipe: str) -> bool:
    return (
        entry.status in ("indexed", "failed")
        and entry.stamp == found.stamp
        and entry.recipe == recipe
    )


class _Ahead[T]:
    """An iterator asked for one at a time; None at its end."""

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items = items

    async def next(self) -> T | None:
        return await anext(self._items, None)

    async def aclose(self) -> None:
        if isinstance(self._items, AsyncGenerator):
            await self._items.aclose()

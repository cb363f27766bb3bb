"""Take documents out, everywhere: caches, index, catalogue.

In this order, so that it can be killed at any moment and run again: write down that the
chunks are not certain any more, tell everyone, delete them, forget the document, tell again.
A document that an interrupted run leaves in the index is thus never taken for unchanged when
it is ingested again, which is what lifts its tombstone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import TYPE_CHECKING

from steadyrag.domain.ports import DocumentRecord
from steadyrag.resilience.together import together

if TYPE_CHECKING:
    from steadyrag.indexing import IngestParts

_DOCUMENTS_A_STEP = 100


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What there was to delete. `unknown` are ids that the catalogue does not hold, of a
    document deleted before, say; they are kept out of answers all the same."""

    documents: int
    chunks: int
    unknown: Sequence[str]


async def forget(
    document_ids: Iterable[str], parts: IngestParts, *, namespace: str = "default"
) -> Forgotten:
    """Deletes documents. When it returns, no answer shows them any more, even where the index
    still finds them for a while.

    Doing it again does no harm. Raises `DependencyError` when it can't be told to everyone
    or done everywhere: then it must be done again. Raises `ConfigError` when the namespace is
    locked.
    """
    ids = list(dict.fromkeys(document_ids))
    with parts.lock(namespace):
        records = await parts.retry(lambda: parts.catalogue.records(namespace))
        known = [records[id_] for id_ in ids if id_ in records]
        unknown = [id_ for id_ in ids if id_ not in records]
        for some_ids in batched(unknown, _DOCUMENTS_A_STEP, strict=False):
            await _announce(some_ids, namespace, parts)
        for some in batched(known, _DOCUMENTS_A_STEP, strict=False):
            await remove_documents(some, namespace, parts)
        if ids:
            await parts.retry(lambda: parts.changes.changed(namespace))
    return Forgotten(len(known), sum(len(record.chunk_ids) for record in known), unknown)


async def remove_documents(
    records: Sequence[DocumentRecord], namespace: str, parts: IngestParts
) -> None:
    """One step of at most 100 documents; `changes.changed` is the caller's to call."""
    await together(_write(replace(record, fingerprint=""), namespace, parts) for record in records)
    await _announce([record.document_id for record in records], namespace, parts)
    chunk_ids = [chunk_id for record in records for chunk_id in record.chunk_ids]
    await parts.retry(lambda: parts.index.delete(namespace, chunk_ids))
    await together(_remove(record.document_id, namespace, parts) for record in records)


async def _announce(ids: Sequence[str], namespace: str, parts: IngestParts) -> None:
    await parts.retry(lambda: parts.changes.changing(namespace, deleted=ids))


async def _write(record: DocumentRecord, namespace: str, parts: IngestParts) -> None:
    await parts.retry(lambda: parts.catalogue.put(namespace, record))


async def _remove(document_id: str, namespace: str, parts: IngestParts) -> None:
    await parts.retry(lambda: parts.catalogue.remove(namespace, document_id))

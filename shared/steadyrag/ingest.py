"""Make the index hold what folders and files hold: find, compare, index, remove."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import batched

from steadyrag.domain.documents import (
    BrokenDocument,
    Corpus,
    FoundDocument,
    UnreadableDocument,
)
from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import DocumentRecord
from steadyrag.forget import remove_documents
from steadyrag.indexing import Hopeless, Indexing, IngestParts, IngestSummary, Progress


async def ingest(
    corpus: Corpus,
    parts: IngestParts,
    *,
    namespace: str = "default",
    rebuild: bool = False,
    progress: Progress = lambda summary, document_id: None,
    clock: Callable[[], float] = time.perf_counter,
) -> IngestSummary:
    """Makes the index hold what `corpus` holds, embedding only what is new.

    A document that can't be read or indexed is named in the summary and left as it was.
    Documents that `corpus` covers and no longer offers are removed, unless it offers none
    at all. `rebuild` embeds everything again. Raises `ConfigError` when the namespace is
    locked, and `DependencyError` when the catalogue can't be read.
    """
    started = clock()
    with parts.lock(namespace):
        run = _Run(parts, namespace, rebuild, progress)
        try:
            run.records = dict(await parts.retry(lambda: parts.catalogue.records(namespace)))
            async for offer in _read_in_thread(corpus):
                await run.take(offer, corpus)
            await run.indexing.finish()
            await run.remove_vanished(corpus)
        except Hopeless as end:
            run.indexing.give_up(str(end))
        await run.tell_that_it_is_over()
    run.summary.seconds = clock() - started
    return run.summary


class _Run:
    def __init__(
        self, parts: IngestParts, namespace: str, rebuild: bool, progress: Progress
    ) -> None:
        self.indexing = Indexing(parts, namespace, rebuild=rebuild, progress=progress)
        self.summary = self.indexing.summary
        self.records: Mapping[str, DocumentRecord] = {}
        self._parts = parts
        self._namespace = namespace
        self._progress = progress
        self._seen: set[str] = set()

    async def take(self, offer: FoundDocument | BrokenDocument, corpus: Corpus) -> None:
        self._progress(self.summary, offer.document_id)
        try:
            if isinstance(offer, BrokenDocument):
                raise UnreadableDocument(offer.reason)
            self._claim(offer, corpus)
        except UnreadableDocument as problem:
            self.summary.failed.append((offer.document_id, str(problem)))
        else:
            await self.indexing.take(offer, self.records.get(offer.document_id))

    def _claim(self, document: FoundDocument, corpus: Corpus) -> None:
        if document.document_id in self._seen:
            raise UnreadableDocument("another document of this run has the same id; rename one")
        self._seen.add(document.document_id)
        record = self.records.get(document.document_id)
        if record is None or record.origin == document.origin:
            return
        if not corpus.covers(record.origin) and corpus.holds(record.origin):
            raise UnreadableDocument(
                f"its id belongs to {record.origin}, ingested before; use another --namespace, "
                "or ingest a folder that holds both"
            )

    async def remove_vanished(self, corpus: Corpus) -> None:
        """Removes what this corpus used to offer. One that offers nothing is more likely a
        wrong path or a disk that is not mounted than an emptied folder."""
        if not self._seen:
            return
        vanished = [
            record
            for record in self.records.values()
            if record.document_id not in self._seen and corpus.covers(record.origin)
        ]
        for some in batched(vanished, 100, strict=False):
            self.indexing.touched = True
            try:
                await remove_documents(some, self._namespace, self._parts)
                self.summary.removed += len(some)
                self.summary.chunks_deleted += sum(len(record.chunk_ids) for record in some)
            except DependencyError as error:
                self.summary.failed.extend((r.document_id, f"not removed: {error}") for r in some)
                self.indexing.went_wrong([error])

    async def tell_that_it_is_over(self) -> None:
        """Lets caches forget what was computed while the index changed."""
        if self.indexing.touched:
            try:
                await self._parts.retry(lambda: self._parts.changes.changed(self._namespace))
            except DependencyError as error:
                self.indexing.give_up(
                    f"not everybody was told of the changes, run it again: {error}"
                )


async def _read_in_thread(corpus: Corpus) -> AsyncIterator[FoundDocument | BrokenDocument]:
    """The corpus's documents; reading them does not block the loop."""
    offers: Iterator[FoundDocument | BrokenDocument] = iter(corpus)
    while (offer := await asyncio.to_thread(next, offers, None)) is not None:
        yield offer

"""Take documents in: find, compare, parse, chunk, embed, index, remember.

A run may be killed at any moment. For each document the order is: write down what is about
to change, upsert new chunks, delete old ones, write down that it is done.
"""

import asyncio
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import Any

from steadyrag.domain.chunking import MAX_TOKENS, chunk_document
from steadyrag.domain.documents import (
    BrokenDocument,
    Corpus,
    FoundDocument,
    UnreadableDocument,
)
from steadyrag.domain.errors import DependencyError, Refused
from steadyrag.domain.models import Chunk, EmbeddedChunk
from steadyrag.domain.ports import Catalogue, CountTokens, DocumentRecord, Embedder, Index
from steadyrag.forget import remove_documents
from steadyrag.ingest_batches import EmbeddingBatches, Retry
from steadyrag.ingest_ledger import Job, Recipe, job_for
from steadyrag.resilience.corpus_changes import Changes, Untold

HOPELESS_AFTER = 3
"""Steps in a row that failed after all retries, and end the run."""


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What ingest works with.

    files: makes a corpus of paths, with the URL under which they are published, if any.
    lock: held on the namespace while it changes; raises `ConfigError` when it is taken.
    changes: told before and after the index changes, so that caches know.
    """

    embedder: Embedder
    index: Index
    catalogue: Catalogue
    count_tokens: CountTokens
    files: Callable[[Sequence[Path], str | None], Corpus]
    lock: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
    changes: Changes = field(default_factory=Untold)
    max_tokens: int = MAX_TOKENS
    parallel_calls: int = 1
    retry: Retry = field(default_factory=Retry)

    async def aclose(self) -> None:
        for part in (self.embedder, self.index, self.catalogue):
            await part.aclose()


@dataclass(slots=True)
class IngestSummary:
    """What a run did. `failed` holds (document id, reason); `stopped` says why the run ended
    early, in which case nothing was removed."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    empty: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    chunks_embedded: int = 0
    chunks_kept: int = 0
    chunks_deleted: int = 0
    embedding_tokens: int = 0
    seconds: float = 0.0
    stopped: str | None = None

    @property
    def documents(self) -> int:
        """Documents dealt with so far, whatever the outcome."""
        return self.added + self.changed + self.unchanged + len(self.failed)


type Progress = Callable[[IngestSummary, str], None]
"""Called with the summary so far and the document at hand."""


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
            await run.finish_batches()
            await run.remove_vanished(corpus)
        except _Hopeless as end:
            run.give_up(str(end))
        await run.tell_that_it_is_over()
    run.summary.seconds = clock() - started
    return run.summary


class _Hopeless(Exception):
    """Going on would only fail again."""


class _Run:
    def __init__(
        self, parts: IngestParts, namespace: str, rebuild: bool, progress: Progress
    ) -> None:
        self.summary = IngestSummary()
        self.records: Mapping[str, DocumentRecord] = {}
        self._parts = parts
        self._namespace = namespace
        self._rebuild = rebuild
        self._progress = progress
        self._recipe = Recipe(parts.embedder.name, parts.index.keeps_sentences, parts.max_tokens)
        self._batches = EmbeddingBatches(
            parts.embedder,
            with_sentences=parts.index.keeps_sentences,
            parallel_calls=parts.parallel_calls,
            retry=parts.retry,
        )
        self._seen: set[str] = set()
        self._open: dict[str, Job] = {}
        self._failures_in_a_row = 0
        self._touched = False

    async def take(self, offer: FoundDocument | BrokenDocument, corpus: Corpus) -> None:
        self._progress(self.summary, offer.document_id)
        try:
            if isinstance(offer, BrokenDocument):
                raise UnreadableDocument(offer.reason)
            self._claim(offer, corpus)
            if not await self._is_unchanged(offer):
                await self._index(offer, await asyncio.to_thread(self._chunks_of, offer))
        except UnreadableDocument as problem:
            self.summary.failed.append((offer.document_id, str(problem)))
        except DependencyError as error:
            self.summary.failed.append((offer.document_id, str(error)))
            self._went_wrong([error])

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

    async def _is_unchanged(self, document: FoundDocument) -> bool:
        record = self.records.get(document.document_id)
        fingerprint = self._recipe.fingerprint(document)
        if self._rebuild or record is None or record.fingerprint != fingerprint:
            return False
        if record.origin != document.origin:
            ids = record.chunk_ids
            await self._put(DocumentRecord(document.document_id, document.origin, fingerprint, ids))
        self.summary.unchanged += 1
        self.summary.chunks_kept += len(record.chunk_ids)
        return True

    def _chunks_of(self, document: FoundDocument) -> list[Chunk]:
        parsed = document.parse()
        return chunk_document(parsed, self._parts.count_tokens, max_tokens=self._parts.max_tokens)

    async def _index(self, document: FoundDocument, chunks: Sequence[Chunk]) -> None:
        record = self.records.get(document.document_id)
        job = job_for(document, chunks, record, self._recipe, rebuild=self._rebuild)
        if job.complete:
            await self._finish(job)
            return
        self._open[job.document_id] = job
        for chunk in job.missing:
            self._batches.add(job, chunk)
            while self._batches.full and not job.failure:
                await self._embed_batch()
            if job.failure:
                return

    async def finish_batches(self) -> None:
        while not self._batches.empty:
            await self._embed_batch()

    async def _embed_batch(self) -> None:
        """One step: embed a batch, upsert what is complete, settle the documents in it."""
        done, problems = await self._batches.embed()
        self.summary.embedding_tokens = self._batches.tokens
        jobs = {job.document_id: job for job, _ in done}
        try:
            await self._upsert(jobs, done)
        except DependencyError as error:
            problems.append(error)
            for job in jobs.values():
                job.failure = job.failure or str(error)
        for job in jobs.values():
            if job.complete and not job.failure:
                try:
                    await self._finish(job)
                except DependencyError as error:
                    problems.append(error)
                    job.failure = str(error)
        for job in [job for job in self._open.values() if job.failure]:
            self._fail(job)
        self._progress(self.summary, next(reversed(jobs), ""))
        self._went_wrong(problems)

    async def _upsert(
        self, jobs: Mapping[str, Job], done: Sequence[tuple[Job, EmbeddedChunk]]
    ) -> None:
        if not done:
            return
        await self._changing(jobs)
        await _all(self._begin(job) for job in jobs.values())
        chunks = [chunk for _, chunk in done]
        await self._parts.retry(lambda: self._parts.index.upsert(self._namespace, chunks))
        for job, chunk in done:
            job.upserted.add(chunk.chunk.id)
        self.summary.chunks_embedded += len(done)
        partly = [job for job in jobs.values() if not job.complete]
        await _all(self._put(job.unfinished()) for job in partly)

    async def _begin(self, job: Job) -> None:
        if not job.begun:
            await self._put(job.unfinished())
            job.begun = True

    async def _finish(self, job: Job) -> None:
        if job.stale:
            await self._changing([job.document_id])
            await self._begin(job)
            await self._delete(job.stale)
        await self._put(job.finished())
        self._open.pop(job.document_id, None)
        self.summary.added += job.is_new
        self.summary.changed += not job.is_new
        self.summary.empty += not job.chunks
        self.summary.chunks_kept += len(job.kept)

    def _fail(self, job: Job) -> None:
        del self._open[job.document_id]
        self.summary.failed.append((job.document_id, job.failure or "the run ended early"))

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
            self._touched = True
            try:
                await remove_documents(some, self._namespace, self._parts)
                self.summary.removed += len(some)
                self.summary.chunks_deleted += sum(len(record.chunk_ids) for record in some)
            except DependencyError as error:
                self.summary.failed.extend((r.document_id, f"not removed: {error}") for r in some)
                self._went_wrong([error])

    async def tell_that_it_is_over(self) -> None:
        """Lets caches forget what was computed while the index changed."""
        if self._touched:
            try:
                await self._parts.retry(lambda: self._parts.changes.changed(self._namespace))
            except DependencyError as error:
                self.give_up(f"not everybody was told of the changes, run it again: {error}")

    def give_up(self, reason: str) -> None:
        self.summary.stopped = reason
        for job in list(self._open.values()):
            self._fail(job)

    def _went_wrong(self, problems: Sequence[DependencyError]) -> None:
        """Counts failed steps in a row, of which no problem at all is the end."""
        if not problems:
            self._failures_in_a_row = 0
            return
        self._failures_in_a_row += 1
        worst = problems[-1]
        if self._failures_in_a_row >= HOPELESS_AFTER or isinstance(worst, Refused):
            raise _Hopeless(str(worst))

    async def _changing(self, document_ids: Iterable[str]) -> None:
        ids = list(document_ids)
        self._touched = True
        await self._parts.retry(lambda: self._parts.changes.changing(self._namespace, added=ids))

    async def _put(self, record: DocumentRecord) -> None:
        await self._parts.retry(lambda: self._parts.catalogue.put(self._namespace, record))

    async def _delete(self, chunk_ids: Sequence[str]) -> None:
        await self._parts.retry(lambda: self._parts.index.delete(self._namespace, chunk_ids))
        self.summary.chunks_deleted += len(chunk_ids)


async def _all(writes: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Concurrent writes, all of them over when this returns or raises the first error."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if outcome is not None:
            raise outcome


async def _read_in_thread(corpus: Corpus) -> AsyncIterator[FoundDocument | BrokenDocument]:
    """The corpus's documents; reading them does not block the loop."""
    offers: Iterator[FoundDocument | BrokenDocument] = iter(corpus)
    while (offer := await asyncio.to_thread(next, offers, None)) is not None:
        yield offer

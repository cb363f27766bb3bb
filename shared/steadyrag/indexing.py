"""Documents into the index: parse, chunk, embed many at once, upsert, remember.

It may be killed at any moment. For each document the order is: write down what is about to
change, upsert new chunks, delete old ones, write down that it is done.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from steadyrag.domain.chunking import MAX_TOKENS, chunk_document
from steadyrag.domain.documents import Corpus, FoundDocument, UnreadableDocument
from steadyrag.domain.errors import DependencyError, Refused, Rejected, SteadyragError
from steadyrag.domain.models import Chunk, EmbeddedChunk
from steadyrag.domain.ports import Catalogue, CountTokens, DocumentRecord, Embedder, Index
from steadyrag.ingest_batches import EmbeddingBatches, Retry
from steadyrag.ingest_blame import each_alone
from steadyrag.ingest_ledger import Job, Recipe, job_for
from steadyrag.resilience.corpus_changes import Changes, Untold
from steadyrag.resilience.together import together

HOPELESS_AFTER = 3
"""Steps in a row that failed after all retries, and end the run."""

LARGEST_METADATA_BYTES = 8000
"""As JSON. Pinecone takes 40,960 of a chunk, which has its metadata twice, beside its text."""


def _no_files(paths: Sequence[Path], base_url: str | None) -> Corpus:
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What ingest works with.

    files: makes a corpus of paths, with the URL under which they are published, if any; not
        needed where documents come from elsewhere.
    lock: held on the namespace while it changes; raises `ConfigError` when it is taken.
    changes: told before and after the index changes, so that caches know.
    """

    embedder: Embedder
    index: Index
    catalogue: Catalogue
    count_tokens: CountTokens
    files: Callable[[Sequence[Path], str | None], Corpus] = _no_files
    lock: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
    changes: Changes = field(default_factory=Untold)
    max_tokens: int = MAX_TOKENS
    most_chunks: int | None = None
    parallel_calls: int = 1
    retry: Retry = field(default_factory=Retry)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.embedder.name, self.index.keeps_sentences, self.max_tokens)

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


class Hopeless(Exception):
    """Going on would only fail again. `error` is the last that went wrong."""

    def __init__(self, error: DependencyError) -> None:
        super().__init__(str(error))
        self.error = error


class Indexing:
    """One run over documents of one namespace. `take` each, then `finish`. With `begin_first`
    nothing is embedded before everybody has been told and the ledger has been written: for
    runs that are tried again and again while one of these is down.

    reading: the document that is being parsed and chunked, or was when the run ended.
    done: chunks of each document that is in the index as it should be, by id.
    advanced: documents of which something has been written, finished or not.
    failures: why the others are not, by id. Those in neither had not been finished.
    touched: whether the index may have changed; then `changes.changed` is the caller's to
    call.
    """

    def __init__(
        self,
        parts: IngestParts,
        namespace: str,
        *,
        rebuild: bool = False,
        begin_first: bool = False,
        progress: Progress = lambda summary, document_id: None,
    ) -> None:
        self.summary = IngestSummary()
        self.reading: str | None = None
        self.done: dict[str, int] = {}
        self.advanced: set[str] = set()
        self.failures: dict[str, SteadyragError] = {}
        self.touched = False
        self._parts = parts
        self._namespace = namespace
        self._rebuild = rebuild
        self._begin_first = begin_first
        self._progress = progress
        self._recipe = parts.recipe
        self._batches = EmbeddingBatches(
            parts.embedder,
            with_sentences=parts.index.keeps_sentences,
            parallel_calls=parts.parallel_calls,
            retry=parts.retry,
        )
        self._open: dict[str, Job] = {}
        self._failures_in_a_row = 0

    async def take(self, document: FoundDocument, record: DocumentRecord | None) -> None:
        """Begins with a document, of which `record` is what is remembered. Raises `Hopeless`
        when the run should end."""
        try:
            if not await self._is_unchanged(document, record):
                self.reading = document.document_id
                chunks = await asyncio.to_thread(self._chunks_of, document)
                self.reading = None
                await self._index(document, record, chunks)
        except UnreadableDocument as problem:
            self.fail(document.document_id, problem)
        except DependencyError as error:
            self.fail(document.document_id, error)
            self.went_wrong([error])

    async def finish(self) -> None:
        """Embeds and writes what is left. Raises `Hopeless`."""
        while not self._batches.empty:
            await self._embed_batch()

    def fail(self, document_id: str, reason: SteadyragError) -> None:
        self._open.pop(document_id, None)
        self.failures[document_id] = reason
        self.summary.failed.append((document_id, str(reason)))

    def give_up(self, reason: str) -> None:
        """Nothing more will come: what is open has failed."""
        self.summary.stopped = reason
        for job in list(self._open.values()):
            self._fail(job)

    def went_wrong(self, problems: Sequence[DependencyError]) -> None:
        """Counts failed steps in a row, of which no problem at all is the end. Who rejects one
        document serves others."""
        grave = [problem for problem in problems if not isinstance(problem, Rejected)]
        if not grave:
            self._failures_in_a_row = 0
            return
        self._failures_in_a_row += 1
        refused = [problem for problem in grave if isinstance(problem, Refused)]
        if self._failures_in_a_row >= HOPELESS_AFTER or refused:
            raise Hopeless((refused or grave)[-1])

    async def _is_unchanged(self, document: FoundDocument, record: DocumentRecord | None) -> bool:
        fingerprint = self._recipe.fingerprint(document)
        if self._rebuild or record is None or record.fingerprint != fingerprint:
            return False
        if record.origin != document.origin:
            ids = record.chunk_ids
            await self._put(DocumentRecord(document.document_id, document.origin, fingerprint, ids))
        self.summary.unchanged += 1
        self.summary.chunks_kept += len(record.chunk_ids)
        self.done[document.document_id] = len(record.chunk_ids)
        return True

    def _chunks_of(self, document: FoundDocument) -> list[Chunk]:
        parsed = document.parse()
        said = len(json.dumps(dict(parsed.metadata), ensure_ascii=False).encode())
        if said > LARGEST_METADATA_BYTES:
            raise UnreadableDocument(
                f"has {said:,} bytes of metadata, front matter included; at most "
                f"{LARGEST_METADATA_BYTES:,} are kept with each chunk: shorten it"
            )
        chunks = chunk_document(parsed, self._parts.count_tokens, max_tokens=self._parts.max_tokens)
        most = self._parts.most_chunks
        if most is not None and len(chunks) > most:
            raise UnreadableDocument(f"makes {len(chunks):,} chunks; at most {most:,}: split it")
        return chunks

    async def _index(
        self, document: FoundDocument, record: DocumentRecord | None, chunks: Sequence[Chunk]
    ) -> None:
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

    async def _embed_batch(self) -> None:
        """One step: embed a batch, upsert what is complete, settle the documents in it."""
        problems = await self._begin_all() if self._begin_first else []
        if problems:  # vectors that can't be written are not paid for
            for job in [job for job in self._open.values() if not job.begun]:
                job.failure = problems[0]
                self._fail(job)
            self._batches.drop_failed()
            self.went_wrong(problems)
            return
        done, problems = await self._batches.embed()
        self.summary.embedding_tokens = self._batches.tokens
        jobs = {job.document_id: job for job, _ in done}
        try:
            problems += await self._upsert(jobs, done)
        except DependencyError as error:
            problems.append(error)
            for job in jobs.values():
                job.failure = job.failure or error
        for job in jobs.values():
            if job.complete and not job.failure:
                try:
                    await self._finish(job)
                except DependencyError as error:
                    problems.append(error)
                    job.failure = error
        if lost := [job for job in self._open.values() if job.failure]:
            for job in lost:
                self._fail(job)
            self._batches.drop_failed()
        self._progress(self.summary, next(reversed(jobs), ""))
        self.went_wrong(problems)

    async def _upsert(
        self, jobs: Mapping[str, Job], done: Sequence[tuple[Job, EmbeddedChunk]]
    ) -> list[DependencyError]:
        """Returns what is wrong with the index, where the documents are marked as failed."""
        if not done:
            return []
        await self._changing(jobs)
        await together(self._begin(job) for job in jobs.values())
        problems: list[DependencyError] = []
        try:
            await self._put_chunks(done)
        except Rejected as refusal:
            errors = await each_alone(
                list(jobs.values()),
                lambda job: self._put_chunks([pair for pair in done if pair[0] is job]),
                refusal,
            )
            for document_id, error in errors.items():
                jobs[document_id].failure = error
            problems.extend(errors.values())
        partly = [job for job in jobs.values() if not job.complete and not job.failure]
        await together(self._put(job.unfinished()) for job in partly)
        return problems

    async def _put_chunks(self, done: Sequence[tuple[Job, EmbeddedChunk]]) -> None:
        chunks = [chunk for _, chunk in done]
        await self._parts.retry(lambda: self._parts.index.upsert(self._namespace, chunks))
        for job, chunk in done:
            job.upserted.add(chunk.chunk.id)
            self.advanced.add(job.document_id)
        self.summary.chunks_embedded += len(done)

    async def _begin_all(self) -> list[DependencyError]:
        """Tells of the documents that begin with this batch, and writes them down."""
        new = [job for job in self._open.values() if not job.begun]
        try:
            if new:
                await self._changing(job.document_id for job in new)
                await together(self._begin(job) for job in new)
        except DependencyError as error:
            return [error]
        return []

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
        self.done[job.document_id] = len(job.chunks)
        self.summary.added += job.is_new
        self.summary.changed += not job.is_new
        self.summary.empty += not job.chunks
        self.summary.chunks_kept += len(job.kept)

    def _fail(self, job: Job) -> None:
        self.fail(job.document_id, job.failure or SteadyragError("the run ended early"))

    async def _changing(self, document_ids: Iterable[str]) -> None:
        ids = list(document_ids)
        self.touched = True
        await self._parts.retry(lambda: self._parts.changes.changing(self._namespace, added=ids))

    async def _put(self, record: DocumentRecord) -> None:
        await self._parts.retry(lambda: self._parts.catalogue.put(self._namespace, record))

    async def _delete(self, chunk_ids: Sequence[str]) -> None:
        await self._parts.retry(lambda: self._parts.index.delete(self._namespace, chunk_ids))
        self.summary.chunks_deleted += len(chunk_ids)

"""Chunks of many documents to full embedding calls."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from steadyrag.domain.errors import DependencyError, Refused, Rejected
from steadyrag.domain.models import Chunk, EmbeddedChunk, Embeddings, Vector
from steadyrag.domain.passages import sentences_of
from steadyrag.domain.ports import Embedder
from steadyrag.ingest_blame import nobodys_fault
from steadyrag.ingest_ledger import Job

MOST_TEXTS = 100
"""Texts of one embedding call."""

MOST_PARTS = 40
"""Calls for parts of a refused one. They single out any three of its texts; where more are
bad, the rest is for next time."""

type Sleep = Callable[[float], Awaitable[None]]
type _Failed = dict[str, DependencyError]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and with what pauses, a call is tried that may work next time."""

    attempts: int = 5
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    sleep: Sleep = asyncio.sleep

    async def __call__[T](self, call: Callable[[], Awaitable[T]]) -> T:
        pause_s = self.first_pause_s
        for _ in range(self.attempts - 1):
            try:
                return await call()
            except DependencyError as error:
                if not error.retryable:
                    raise
                wait_s = error.retry_after_s if error.retry_after_s is not None else pause_s
                await self.sleep(min(wait_s, self.longest_pause_s))
                pause_s = min(pause_s * 2, self.longest_pause_s)
        return await call()


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    chunk: Chunk
    texts: tuple[str, ...]


class EmbeddingBatches:
    """Collects chunks until their texts fill `parallel_calls` calls, then embeds them.

    A text that several chunks share is embedded once. `tokens` is what was charged so far.
    """

    def __init__(
        self, embedder: Embedder, *, with_sentences: bool, parallel_calls: int, retry: Retry
    ) -> None:
        self._embedder = embedder
        self._with_sentences = with_sentences
        self._room = parallel_calls * MOST_TEXTS
        self._retry = retry
        self._waiting: list[_Waiting] = []
        self._texts: dict[str, None] = {}
        self._vectors: dict[str, Vector] = {}
        self.tokens = 0

    @property
    def full(self) -> bool:
        return len(self._texts) >= self._room

    @property
    def empty(self) -> bool:
        return not self._waiting

    def add(self, job: Job, chunk: Chunk) -> None:
        sentences = sentences_of(chunk) if self._with_sentences else []
        waiting = _Waiting(job, chunk, (chunk.searchable, *sentences))
        self._waiting.append(waiting)
        self._texts |= dict.fromkeys(t for t in waiting.texts if t not in self._vectors)

    def drop_failed(self) -> None:
        """Forgets what waits of documents that have failed."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.job.failure]
        self._forget()

    async def embed(self) -> tuple[list[tuple[Job, EmbeddedChunk]], list[DependencyError]]:
        """Embeds as many texts as make full calls, or what is left; returns the chunks that
        are complete now, and what went wrong.

        A call that fails marks the documents with a text in it as failed; what else waits
        of them is dropped.
        """
        batch = list(self._texts)[: self._room]
        calls = [batch[i : i + MOST_TEXTS] for i in range(0, len(batch), MOST_TEXTS)]
        problems: list[DependencyError] = []
        for failed, problem in await asyncio.gather(*map(self._call, calls)):
            if problem:
                problems.append(problem)
            for waiting in self._waiting:
                for text in waiting.texts:
                    if text in failed:
                        waiting.job.failure = waiting.job.failure or failed[text]
        done = self._take_complete()
        self._forget()
        return done, problems

    async def _call(self, texts: Sequence[str]) -> tuple[_Failed, DependencyError | None]:
        """Embeds one call's texts; returns those that failed with the reason, and what is
        wrong with the embedder, if it is not the texts."""
        error = await self._try(texts)
        if error is None:
            return {}, None
        if not isinstance(error, Refused) or len(texts) == 1:
            return dict.fromkeys(texts, error), error
        return await self._call_parts(texts, error)

    async def _call_parts(
        self, texts: Sequence[str], refusal: Refused
    ) -> tuple[_Failed, DependencyError | None]:
        """Halves what is refused until each text that cannot be taken stands alone. What is
        still refused in company when `MOST_PARTS` are used up is not to blame."""
        refused = deque([(texts, refusal)])
        alone: dict[str, Refused] = {}
        failed: _Failed = {}
        unwell: DependencyError | None = None
        some_taken = False
        parts = 0
        while refused and unwell is None and parts < MOST_PARTS:
            whole, _ = refused.popleft()
            middle = len(whole) // 2
            halves = (whole[:middle], whole[middle:])
            errors = [await self._try(half) for half in halves]
            parts += len(halves)
            one_taken = None in errors
            some_taken = some_taken or one_taken
            for half, error in zip(halves, errors, strict=True):
                if isinstance(error, Rejected) or (one_taken and isinstance(error, Refused)):
                    if len(half) == 1:
                        alone[half[0]] = error
                    else:
                        refused.append((half, error))
                elif error is not None:
                    failed |= dict.fromkeys(half, error)
                    unwell = error
        for part, reason in refused:
            failed |= dict.fromkeys(part, nobodys_fault(reason))
        for text, reason in alone.items():
            failed[text] = reason if some_taken else nobodys_fault(reason)
        if some_taken:
            return failed, None if isinstance(unwell, Refused) else unwell
        return failed, unwell or nobodys_fault(refusal)

    async def _try(self, texts: Sequence[str]) -> DependencyError | None:
        try:
            self._keep(texts, await self._retry(lambda: self._embedder.embed_passages(texts)))
        except DependencyError as error:
            return error
        return None

    def _keep(self, texts: Sequence[str], embeddings: Embeddings) -> None:
        self._vectors.update(zip(texts, embeddings.vectors, strict=True))
        self.tokens += embeddings.tokens

    def _take_complete(self) -> list[tuple[Job, EmbeddedChunk]]:
        done: list[tuple[Job, EmbeddedChunk]] = []
        still: list[_Waiting] = []
        for waiting in self._waiting:
            if waiting.job.failure:
                continue
            if all(text in self._vectors for text in waiting.texts):
                vector, *sentences = (self._vectors[text] for text in waiting.texts)
                done.append((waiting.job, EmbeddedChunk(waiting.chunk, vector, sentences)))
            else:
                still.append(waiting)
        self._waiting = still
        return done

    def _forget(self) -> None:
        needed = {text: None for waiting in self._waiting for text in waiting.texts}
        self._vectors = {t: v for t, v in self._vectors.items() if t in needed}
        self._texts = {t: None for t in needed if t not in self._vectors}

"""Queries that come at the same time share one embedding call.

    idle         a query is sent at once, with all that arrived in the same turn of the loop
    under load   while a call is under way, queries gather for 5 ms or until 100 are there

so a lone query never waits for company, and nobody waits longer than 5 ms for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from steadyrag.domain.errors import CallerError, Rejected, Unavailable
from steadyrag.domain.models import Embedding, Embeddings
from steadyrag.domain.ports import Embedder
from steadyrag.domain.tokens import estimate_tokens
from steadyrag.resilience.around_embedder import AroundEmbedder
from steadyrag.resilience.deadline import remaining_s

_NEAR_S = 1.0
"""How much earlier than its own deadline a caller lets a call that it joins end."""


class BatchedEmbedder(AroundEmbedder):
    """An `Embedder` whose concurrent `embed_query` calls become calls of `embed_queries`.

    Equal texts are sent once. A batch refused for one of its texts is halved until that text
    stands alone, so it fails its own caller only; any other failure reaches each caller as an
    exception of its own. The shared call runs under the latest of its callers' deadlines and
    ends with its last caller; one that gives up early disturbs nobody. The tokens charged are
    shared out by estimated length, and their sum is what was charged.

    Whatever counts failures or retries belongs inside, around `inner`: one call that fails
    a hundred callers failed once.
    """

    def __init__(self, inner: Embedder, *, max_texts: int = 100, max_wait_s: float = 0.005) -> None:
        super().__init__(inner)
        self._max_texts = max_texts
        self._max_wait_s = max_wait_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filling: _Batch | None = None
        self._under_way: set[_Batch] = set()

    async def embed_query(self, text: str) -> Embedding:
        batch, answer = self._join(text)
        try:
            return await answer
        finally:
            batch.leave(text, answer)
            if not batch.waiting:
                await self._abandon(batch)

    def _join(self, text: str) -> tuple[_Batch, asyncio.Future[Embedding]]:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what an earlier loop left behind will never be answered
            self._loop, self._filling, self._under_way = loop, None, set()
        ends_at = loop.time() + remaining_s()
        for batch in self._under_way:
            if text in batch.waiting and batch.ends_at >= ends_at - _NEAR_S:
                return batch, batch.join(text, loop)
        batch = self._filling or self._open(loop)
        if ends_at > batch.ends_at:
            batch.ends_at, batch.context = ends_at, copy_context()
        answer = batch.join(text, loop)
        if len(batch.waiting) >= self._max_texts:
            self._send(batch)
        return batch, answer

    def _open(self, loop: asyncio.AbstractEventLoop) -> _Batch:
        self._filling = batch = _Batch()
        if self._under_way:
            batch.due = loop.call_later(self._max_wait_s, self._send, batch)
        else:
            batch.due = loop.call_soon(self._send, batch)
        return batch

    def _send(self, batch: _Batch) -> None:
        self._close(batch)
        self._under_way.add(batch)
        batch.call = asyncio.create_task(self._run(batch), context=batch.context)

    def _close(self, batch: _Batch) -> None:
        """No further query joins it, and nothing sends it by itself."""
        if batch.due:
            batch.due.cancel()
        if self._filling is batch:
            self._filling = None

    async def _abandon(self, batch: _Batch) -> None:
        """Ends what nobody waits for any more; returns once it has ended."""
        self._close(batch)
        self._under_way.discard(batch)
        if batch.call and not batch.call.done():
            batch.call.cancel()
            await asyncio.wait([batch.call])

    async def _run(self, batch: _Batch) -> None:
        try:
            await self._ask(batch, list(batch.waiting))
        finally:
            batch.fail(list(batch.waiting), Unavailable("embedding", "the call was cancelled"))
            self._under_way.discard(batch)
            if self._filling and not self._under_way:
                self._send(self._filling)

    async def _ask(self, batch: _Batch, texts: Sequence[str]) -> None:
        texts = [text for text in texts if batch.waiting.get(text)]
        if not texts:
            return
        try:
            made = await self.inner.embed_queries(texts)
            batch.deliver(texts, made)
        except (CallerError, Rejected) as error:
            if len(texts) == 1:
                batch.fail(texts, error)
                return
            middle = len(texts) // 2
            await asyncio.gather(self._ask(batch, texts[:middle]), self._ask(batch, texts[middle:]))
        except Exception as error:
            batch.fail(texts, error)


@dataclass(slots=True, eq=False)
class _Batch:
    """Texts and who waits for each; first filling (`due` sends it), then under way (`call`)."""

    waiting: dict[str, list[asyncio.Future[Embedding]]] = field(default_factory=dict)
    context: Context = field(default_factory=Context)
    ends_at: float = float("-inf")
    due: asyncio.Handle | None = None
    call: asyncio.Task[None] | None = None

    def join(self, text: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Embedding]:
        answer: asyncio.Future[Embedding] = loop.create_future()
        self.waiting.setdefault(text, []).append(answer)
        return answer

    def leave(self, text: str, answer: asyncio.Future[Embedding]) -> None:
        answers = self.waiting.get(text, [])
        if answer in answers:
            answers.remove(answer)
            if not answers:
                del self.waiting[text]

    def deliver(self, texts: Sequence[str], made: Embeddings) -> None:
        vectors = dict(zip(texts, made.vectors, strict=True))
        answers = [(text, answer) for text in texts for answer in self.waiting.pop(text, ())]
        repeats = {text: sum(text == other for other, _ in answers) for text in texts}
        weights = [estimate_tokens(text) / repeats[text] for text, _ in answers]
        for (text, answer), tokens in zip(answers, _shares(made.tokens, weights), strict=True):
            if not answer.done():
                answer.set_result(Embedding(vectors[text], tokens))

    def fail(self, texts: Sequence[str], error: Exception) -> None:
        for text in texts:
            for answer in self.waiting.pop(text, ()):
                if not answer.done():
                    answer.set_exception(_own(error))
                    answer.exception()  # a caller cancelled at this moment never looks


def _shares(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to `weights` whose sum is `total`."""
    whole = sum(weights) or 1.0
    bounds = [round(total * reached / whole) for reached in accumulate(weights, initial=0.0)]
    return [end - start for start, end in pairwise(bounds)]


def _own[E: Exception](error: E) -> E:
    """Another instance of `error`, caused by it: raising one instance in several tasks would
    mix their tracebacks. Not `copy`, which calls a constructor it knows nothing of."""
    own = type(error).__new__(type(error), *error.args)
    own.args = error.args
    own.__dict__.update(error.__dict__)
    own.__cause__ = error
    return own

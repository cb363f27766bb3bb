"""An embedder behind its circuit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from steadyrag.domain.models import Embedding, Embeddings
from steadyrag.domain.ports import Embedder
from steadyrag.resilience.around_embedder import AroundEmbedder
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.calling import call_dependency


class GuardedEmbedder(AroundEmbedder):
    """An `Embedder` whose calls for questions are guarded and tried once more.

    Belongs inside a `BatchedEmbedder`: one call that fails a hundred callers failed once.
    `fair_s` is what a call must have had for its time-out to count. Passages are passed on as
    they are, for whoever takes documents in has patience of its own.
    """

    def __init__(self, inner: Embedder, breakers: Breakers, *, fair_s: float) -> None:
        super().__init__(inner)
        self._breakers = breakers
        self._fair_s = fair_s

    async def embed_query(self, text: str) -> Embedding:
        return await self._guarded(lambda: self.inner.embed_query(text))

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return await self._guarded(lambda: self.inner.embed_queries(texts))

    async def _guarded[T](self, call: Callable[[], Awaitable[T]]) -> T:
        return await call_dependency(
            self._breakers, "embedding", call, fair_s=self._fair_s, shared=True
        )

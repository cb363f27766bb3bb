"""An embedder behind its circuit."""

from __future__ import annotations

from collections.abc import Sequence

from steadyrag.domain.models import Embedding, Embeddings
from steadyrag.domain.ports import Embedder, Warmable
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.calling import call_dependency


class GuardedEmbedder:
    """An `Embedder` whose calls for questions are guarded and tried once more.

    Belongs inside a `BatchedEmbedder`: one call that fails a hundred callers failed once.
    `fair_s` is what a call must have had for its time-out to count. Passages are passed on as
    they are, for whoever takes documents in has patience of its own.
    """

    def __init__(self, embedder: Embedder, breakers: Breakers, *, fair_s: float) -> None:
        self.inner = embedder
        self._breakers = breakers
        self._fair_s = fair_s

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def dimension(self) -> int:
        return self.inner.dimension

    async def warm(self) -> None:
        if isinstance(self.inner, Warmable):
            await self.inner.warm()

    async def embed_query(self, text: str) -> Embedding:
        return await call_dependency(
            self._breakers,
            "embedding",
            lambda: self.inner.embed_query(text),
            fair_s=self._fair_s,
            shared=True,
        )

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return await call_dependency(
            self._breakers,
            "embedding",
            lambda: self.inner.embed_queries(texts),
            fair_s=self._fair_s,
            shared=True,
        )

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self.inner.embed_passages(texts)

    async def aclose(self) -> None:
        await self.inner.aclose()

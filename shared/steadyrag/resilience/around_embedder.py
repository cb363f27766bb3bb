"""An embedder with something around it."""

from __future__ import annotations

from collections.abc import Sequence

from steadyrag.domain.models import Embedding, Embeddings
from steadyrag.domain.ports import Embedder, Warmable


class AroundEmbedder:
    """Passes everything on to `inner`; a subclass says what it does about some of it."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner

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
        return await self.inner.embed_query(text)

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return await self.inner.embed_queries(texts)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self.inner.embed_passages(texts)

    async def aclose(self) -> None:
        await self.inner.aclose()

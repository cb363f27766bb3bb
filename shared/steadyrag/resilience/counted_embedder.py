"""An embedder whose calls are counted."""

from __future__ import annotations

from collections.abc import Sequence

from steadyrag.domain.models import Embedding, Embeddings
from steadyrag.domain.ports import Embedder
from steadyrag.domain.prices import FREE, ModelPrice
from steadyrag.resilience.around_embedder import AroundEmbedder
from steadyrag.telemetry import catalogue, metrics


class CountedEmbedder(AroundEmbedder):
    """Counts what is asked of `inner`: calls, whatever becomes of them, with their texts, and
    the tokens that were charged for, at `price`. Belongs innermost, where every call is one of
    the API."""

    def __init__(self, inner: Embedder, price: ModelPrice | None = FREE) -> None:
        super().__init__(inner)
        self._model = inner.name.partition("/")[0]
        self._price = price

    async def embed_query(self, text: str) -> Embedding:
        self._calling(1)
        made = await self.inner.embed_query(text)
        self._charged(made.tokens)
        return made

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        self._calling(len(texts))
        made = await self.inner.embed_queries(texts)
        self._charged(made.tokens)
        return made

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        self._calling(len(texts))
        made = await self.inner.embed_passages(texts)
        self._charged(made.tokens)
        return made

    def _calling(self, texts: int) -> None:
        metrics.count(catalogue.EMBEDDING_CALLS)
        metrics.count(catalogue.EMBEDDING_TEXTS, texts)

    def _charged(self, tokens: int) -> None:
        if tokens:
            metrics.count(catalogue.EMBEDDING_TOKENS, tokens, model=self._model)
            if self._price and (cost_usd := self._price.input_usd * tokens / 1e6):
                metrics.count(catalogue.COST, cost_usd)

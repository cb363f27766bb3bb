"""Vectors of passages kept for a while, in case what they were made for is tried again."""

from __future__ import annotations

from collections.abc import Sequence

from cachetools import LRUCache

from steadyrag.domain.models import Embeddings, Vector
from steadyrag.domain.ports import Embedder
from steadyrag.resilience.around_embedder import AroundEmbedder


class RememberedPassages(AroundEmbedder):
    """An embedder whose last passages cost nothing the second time: when the index refuses what
    has been embedded, it is paid for once. `most_bytes` bounds what is kept."""

    def __init__(self, inner: Embedder, *, most_bytes: int = 64_000_000) -> None:
        super().__init__(inner)
        self._vectors: LRUCache[str, Vector] = LRUCache(
            most_bytes, getsizeof=lambda vector: len(vector) * vector.itemsize
        )

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        # Taken out at once: another call may push them out while this one waits.
        known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        made = await self.inner.embed_passages(new) if new else Embeddings([], 0)
        fresh = dict(zip(new, made.vectors, strict=True))
        self._vectors.update(fresh)
        vectors = known | fresh
        return Embeddings([vectors[text] for text in texts], made.tokens)

"""An embedder whose vectors are hashed character trigrams: same text, same vector; texts
that share wording are close."""

import math
import re
import unicodedata
import zlib
from array import array
from collections.abc import Sequence

from fakes.trouble import Trouble
from steadyrag.domain.errors import Rejected
from steadyrag.domain.models import Embedding, Embeddings, Vector

_TOKEN = re.compile(r"\w+|[^\w\s]")


class FakeEmbedder(Trouble):
    """`texts` is every passage ever embedded, `batches` the size of each call, `asked` the
    texts of each call of `embed_queries`. A call with one of the `bad` texts is rejected."""

    def __init__(self, *, dimension: int = 64, name: str | None = None) -> None:
        super().__init__()
        self._dimension = dimension
        self._name = name or f"fake/{dimension}"
        self.texts: list[str] = []
        self.batches: list[int] = []
        self.asked: list[list[str]] = []
        self.bad: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def count_tokens(self, text: str) -> int:
        """Words and punctuation marks."""
        return len(_TOKEN.findall(text))

    async def embed_query(self, text: str) -> Embedding:
        await self._called("embed_query")
        return Embedding(self._vector(text), self.count_tokens(text))

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        self.asked.append(list(texts))
        await self._called("embed_queries")
        return self._embedded(texts)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        await self._called("embed_passages")
        made = self._embedded(texts)
        self.texts.extend(texts)
        self.batches.append(len(texts))
        return made

    def _embedded(self, texts: Sequence[str]) -> Embeddings:
        if not 0 < len(texts) <= 100:
            raise ValueError(f"1 to 100 texts a call, not {len(texts)}")
        if bad := self.bad.intersection(texts):
            raise Rejected("embedding", f"cannot take {len(bad)} of the texts")
        return Embeddings([self._vector(t) for t in texts], sum(map(self.count_tokens, texts)))

    def _vector(self, text: str) -> Vector:
        if not text.strip():
            raise ValueError("a blank text has no embedding")
        padded = f" {unicodedata.normalize('NFC', text).casefold()} "
        sums = [0.0] * self._dimension
        for i in range(len(padded) - 2):
            bucket = zlib.crc32(padded[i : i + 3].encode())
            sums[bucket % self._dimension] += 1.0 if bucket & 1 << 31 else -1.0
        length = math.sqrt(sum(x * x for x in sums)) or 1.0
        return array("f", [x / length for x in sums])

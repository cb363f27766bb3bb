"""An index in a dictionary: exact cosine and textbook BM25, writes visible at once."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fakes.trouble import Trouble
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import EmbeddedChunk, Hit, Vector
from steadyrag.domain.ports import IndexStatus

_WORD = re.compile(r"[가-힣]+|[^\W가-힣]+")
_K1, _B = 1.2, 0.75


class InMemoryIndex(Trouble):
    """`held(namespace)` is what the index holds, by chunk id."""

    def __init__(self, *, keeps_sentences: bool = False) -> None:
        super().__init__()
        self._keeps_sentences = keeps_sentences
        self._namespaces: dict[str, dict[str, _Entry]] = {}

    @property
    def keeps_sentences(self) -> bool:
        return self._keeps_sentences

    def held(self, namespace: str = "default") -> dict[str, EmbeddedChunk]:
        return {key: entry.embedded for key, entry in self._entries(namespace).items()}

    async def vector_search(
        self, vector: Vector, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        await self._called("vector_search")
        entries = self._passing(namespace, filter)
        scored = ((entry, _cosine(vector, entry.embedded.vector)) for entry in entries)
        best = sorted(scored, key=lambda pair: -pair[1])[:top_k]
        return [Hit(entry.embedded.chunk, score, dense=score) for entry, score in best]

    async def keyword_search(
        self, text: str, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        await self._called("keyword_search")
        corpus = list(self._entries(namespace).values())
        idf = _idf(set(_terms(text)), corpus)
        mean = sum(entry.length for entry in corpus) / len(corpus) if corpus else 1.0
        scored = (
            (entry, sum(w * entry.weight(term, mean) for term, w in idf.items()))
            for entry in self._passing(namespace, filter)
        )
        best = sorted((p for p in scored if p[1] > 0), key=lambda pair: -pair[1])[:top_k]
        return [Hit(entry.embedded.chunk, score, keyword=score) for entry, score in best]

    async def upsert(self, namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
        await self._called("upsert")
        for chunk in chunks:
            if not chunk.chunk.id.isascii():
                raise ValueError(f"{chunk.chunk.id!r}: chunk ids are ASCII")
            entry = _Entry(chunk, Counter(_terms(chunk.chunk.searchable)))
            self._namespaces.setdefault(namespace, {})[chunk.chunk.id] = entry

    async def delete(self, namespace: str, chunk_ids: Sequence[str]) -> None:
        await self._called("delete")
        for chunk_id in chunk_ids:
            self._entries(namespace).pop(chunk_id, None)

    async def status(self, namespace: str | None = None) -> IndexStatus:
        await self._called("status")
        spaces = self._namespaces.values() if namespace is None else [self._entries(namespace)]
        chunks = sum(map(len, spaces))
        return IndexStatus(ready=True, chunks=chunks, detail="" if chunks else "empty")

    def _entries(self, namespace: str) -> "dict[str, _Entry]":
        return self._namespaces.get(namespace, {})

    def _passing(self, namespace: str, filter: Filter) -> "list[_Entry]":
        entries = self._entries(namespace).values()
        return [entry for entry in entries if filter.matches(entry.embedded.chunk.metadata)]


@dataclass(frozen=True, slots=True)
class _Entry:
    embedded: EmbeddedChunk
    terms: Counter[str]

    @property
    def length(self) -> int:
        return self.terms.total()

    def weight(self, term: str, mean_length: float) -> float:
        found = self.terms[term]
        return found * (_K1 + 1) / (found + _K1 * (1 - _B + _B * self.length / mean_length))


def _terms(text: str) -> Iterable[str]:
    for word in _WORD.findall(text.casefold()):
        if "가" <= word[0] <= "힣" and len(word) > 1:
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        else:
            yield word


def _idf(terms: set[str], corpus: Sequence[_Entry]) -> dict[str, float]:
    counts = {term: sum(term in entry.terms for entry in corpus) for term in terms}
    return {t: math.log(1 + (len(corpus) - n + 0.5) / (n + 0.5)) for t, n in counts.items() if n}


def _cosine(a: Vector, b: Vector) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0

"""A reranker that scores a hit by the share of the question's words it holds."""

import re
from collections.abc import Sequence
from dataclasses import replace

from fakes.trouble import Trouble
from steadyrag.domain.models import Hit, Question, Ranking

_WORD = re.compile(r"\w+")


class FakeReranker(Trouble):
    """`asked` is every question with the ids of the hits it was asked about."""

    def __init__(self, *, calibrated: bool = True) -> None:
        super().__init__()
        self._calibrated = calibrated
        self.asked: list[tuple[Question, list[str]]] = []

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        await self._called("rerank")
        self.asked.append((question, [hit.chunk.id for hit in hits]))
        scored = [replace(hit, score=_share(question.text, hit.chunk.searchable)) for hit in hits]
        return Ranking(sorted(scored, key=lambda hit: -hit.score)[:top_k], self._calibrated)


def _share(question: str, text: str) -> float:
    words = set(_WORD.findall(question.casefold()))
    held = text.casefold()
    return sum(word in held for word in words) / len(words) if words else 0.0

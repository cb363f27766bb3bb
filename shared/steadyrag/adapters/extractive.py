"""Answers in the sources' own sentences: the embedded default, and what is left when the
language model is lost. Needs nothing beyond the standard bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.extractive import Similarities, extract
from steadyrag.domain.models import Block, Generation, Hit, Question
from steadyrag.domain.passages import sentences_of


class SentenceSource(Protocol):
    """An index that keeps a vector of every sentence."""

    async def similarities(self, question: Question, hits: Sequence[Hit]) -> list[list[float]]:
        """Per hit, the cosine of the question with each of `sentences_of` its chunk; empty
        where it has none."""


class ExtractiveGenerator:
    """ports.Generator that quotes. With `sentences` it also weighs how similar each sentence
    is to the question; without, or when that is lost, it goes by the words alone.

    `abstain_below` is the relevance of the best source, in [0, 1], under which it says that
    the sources do not hold the answer.
    """

    def __init__(
        self, *, abstain_below: float = 0.2, sentences: SentenceSource | None = None
    ) -> None:
        self._abstain_below = abstain_below
        self._sentences = sentences

    @property
    def model(self) -> str:
        return "extractive"

    async def generate(
        self, question: Question, blocks: Sequence[Block], *, max_tokens: int
    ) -> Generation:
        """Never fails for its own reasons; consumes no tokens."""
        answer = extract(
            question,
            blocks,
            max_tokens=max_tokens,
            abstain_below=self._abstain_below,
            similarities=await self._similarities(question, blocks),
        )
        return Generation(answer.text, self.model, found=answer.found)

    async def ping(self) -> None:
        """Depends on nothing."""

    async def aclose(self) -> None:
        """Holds nothing; the sentences belong to the index."""

    async def _similarities(self, question: Question, blocks: Sequence[Block]) -> Similarities:
        if self._sentences is None or question.vector is None:
            return ()
        hits = [block.hit for block in blocks]
        try:
            cosines = await self._sentences.similarities(question, hits)
        except DependencyError:
            return ()
        return [
            dict(zip(sentences_of(hit.chunk), values, strict=False))
            for hit, values in zip(hits, cosines, strict=True)
        ]

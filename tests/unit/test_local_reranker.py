from collections.abc import Sequence

import numpy as np
import pytest

from steadyrag.adapters.local.evidence import Evidence
from steadyrag.adapters.local.reranker import LocalReranker, weighed
from steadyrag.domain.models import Chunk, Hit, Question

QUESTION = Question("What is the capital?", "en")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def hits(n: int) -> list[Hit]:
    return [
        Hit(Chunk(f"c{i}", f"d{i}", "", "", f"text {i}", 3), score=0.5, dense=0.8, keyword=2.0)
        for i in range(n)
    ]


class Known:
    """An evidence source that knows what it was told."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def evidence(self, question: Question, hits: Sequence[Hit]) -> Evidence:
        return self._evidence


def evidence(
    dense: Sequence[float] | None, keyword: Sequence[float], *sentences: Sequence[float]
) -> Evidence:
    return Evidence(
        dense=None if dense is None else floats(*dense),
        keyword=floats(*keyword),
        keyword_ceiling=100.0,
        sentences=[floats(*s) for s in sentences] or [floats()] * len(keyword),
    )


async def order(found: Evidence, **options: object) -> list[str]:
    ranking = await LocalReranker(Known(found), **options).rerank(
        QUESTION, hits(len(found.keyword)), top_k=10
    )
    return [hit.chunk.id for hit in ranking.hits]


def test_evidence_is_the_documented_sum() -> None:
    found = evidence([0.8, 0.9], [40.0, 10.0], [0.7, 0.85], [0.6])
    assert weighed(found) == pytest.approx([2 * 0.8 + 2 * 0.85 + 0.4, 2 * 0.9 + 2 * 0.6 + 0.1])


def test_a_chunk_without_sentence_vectors_is_its_own_best_sentence() -> None:
    assert weighed(evidence([0.8], [0.0], [])) == pytest.approx([3.2])


async def test_the_best_sentence_can_decide() -> None:
    assert await order(evidence([0.85, 0.85], [20.0, 20.0], [0.8], [0.9, 0.1])) == ["c1", "c0"]


async def test_keywords_can_decide() -> None:
    assert await order(evidence([0.85, 0.85], [5.0, 30.0], [0.8], [0.8])) == ["c1", "c0"]


async def test_equals_are_ordered_by_id() -> None:
    assert await order(evidence([0.8, 0.8], [5.0, 5.0], [0.8], [0.8])) == ["c0", "c1"]


async def test_without_a_question_vector_keywords_rank_alone() -> None:
    found = evidence(None, [5.0, 30.0, 0.0])
    ranking = await LocalReranker(Known(found)).rerank(QUESTION, hits(3), top_k=2)
    assert [hit.chunk.id for hit in ranking.hits] == ["c1", "c0"]
    assert ranking.calibrated


async def test_without_a_known_term_nothing_is_relevant_by_keywords() -> None:
    found = Evidence(None, floats(0.0, 0.0), 0.0, [floats(), floats()])
    ranking = await LocalReranker(Known(found)).rerank(QUESTION, hits(2), top_k=2)
    assert all(hit.score < 0.05 for hit in ranking.hits)


async def test_scores_are_probabilities_and_what_the_searches_said_is_kept() -> None:
    found = evidence([0.9, 0.8], [50.0, 2.0], [0.92], [0.79])
    ranking = await LocalReranker(Known(found)).rerank(QUESTION, hits(2), top_k=2)
    first, second = ranking.hits
    assert ranking.calibrated
    assert 0.7 < first.score < 1
    assert 0 < second.score < 0.1
    assert (first.dense, first.keyword) == (0.8, 2.0)


async def test_an_off_topic_question_scores_low_for_everything() -> None:
    found = evidence([0.79, 0.78, 0.77], [0.0, 0.0, 0.0], [0.8], [0.79], [0.78])
    ranking = await LocalReranker(Known(found)).rerank(QUESTION, hits(3), top_k=3)
    assert max(hit.score for hit in ranking.hits) < 0.05


async def test_top_k_cuts_without_changing_a_score() -> None:
    reranker = LocalReranker(Known(evidence([0.9, 0.8], [50.0, 2.0], [0.92], [0.79])))
    both = await reranker.rerank(QUESTION, hits(2), top_k=2)
    one = await reranker.rerank(QUESTION, hits(2), top_k=1)
    assert list(one.hits) == list(both.hits[:1])


async def test_another_embedders_vectors_are_ranked_by_normalised_signals() -> None:
    found = evidence([0.5, 0.1, 0.3], [1.0, 9.0, 8.0], [0.6], [0.1], [0.5])
    ranking = await LocalReranker(Known(found), calibration=None).rerank(QUESTION, hits(3), top_k=3)
    assert not ranking.calibrated
    assert [hit.chunk.id for hit in ranking.hits] == ["c2", "c0", "c1"]
    assert all(0 <= hit.score <= 1 for hit in ranking.hits)


@pytest.mark.parametrize("calibrated", [True, False])
async def test_one_hit_and_no_hit_are_ranked_too(calibrated: bool) -> None:
    options = {} if calibrated else {"calibration": None}
    assert await order(evidence([0.8], [3.0], [0.8]), **options) == ["c0"]
    assert await order(evidence([], []), **options) == []

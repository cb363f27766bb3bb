from collections.abc import Sequence

import pytest

from steadyrag.domain.fusion import FusionMethod, fuse, rrf, weighted_min_max
from steadyrag.domain.models import Chunk, Hit


def hits(**scores: float) -> list[Hit]:
    return [
        Hit(Chunk(id=name, document_id=name, title="", context="", text=name, tokens=1), score)
        for name, score in scores.items()
    ]


def ids(found: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in found]


METHODS: list[FusionMethod] = ["weighted", "rrf"]


def test_weighted_adds_the_normalised_scores() -> None:
    fused = weighted_min_max(hits(a=0.75, b=0.5, c=0.25), hits(c=30.0, b=20.0, d=10.0))
    assert {hit.chunk.id: hit.score for hit in fused} == pytest.approx(
        {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.0}
    )
    assert ids(fused) == ["a", "b", "c", "d"]


def test_the_weight_moves_the_balance() -> None:
    dense, keyword = hits(a=0.9, b=0.7), hits(b=9.0, a=3.0)
    assert ids(weighted_min_max(dense, keyword, dense_weight=0.6)) == ["a", "b"]
    assert ids(weighted_min_max(dense, keyword, dense_weight=0.4)) == ["b", "a"]


def test_rrf_adds_reciprocal_ranks() -> None:
    fused = rrf(hits(a=0.9, b=0.8), hits(b=9.0))
    assert [hit.score for hit in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61])
    assert ids(fused) == ["b", "a"]


@pytest.mark.parametrize("method", METHODS)
def test_what_the_searches_said_is_kept(method: FusionMethod) -> None:
    fused = {h.chunk.id: h for h in fuse(hits(a=0.9, b=0.8), hits(b=9.0, c=8.0), method=method)}
    assert (fused["a"].dense, fused["a"].keyword) == (0.9, None)
    assert (fused["b"].dense, fused["b"].keyword) == (0.8, 9.0)
    assert (fused["c"].dense, fused["c"].keyword) == (None, 8.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_lost_search_leaves_the_order_of_the_other(method: FusionMethod) -> None:
    for weight in (0.0, 0.5, 1.0):
        assert ids(fuse(hits(b=3.0, a=1.0), [], method=method, dense_weight=weight)) == ["b", "a"]
        assert ids(fuse([], hits(b=3.0, a=1.0), method=method, dense_weight=weight)) == ["b", "a"]


@pytest.mark.parametrize("method", METHODS)
def test_a_single_hit_and_equal_scores_are_fused_too(method: FusionMethod) -> None:
    assert ids(fuse(hits(a=0.5), [], method=method)) == ["a"]
    assert ids(fuse(hits(a=0.5), hits(a=2.0), method=method)) == ["a"]
    assert fuse([], [], method=method) == []


def test_equal_scores_are_ordered_by_id_whatever_their_order_in_the_lists() -> None:
    assert ids(weighted_min_max(hits(b=0.5, a=0.5), hits(a=1.0, b=1.0))) == ["a", "b"]
    assert ids(weighted_min_max(hits(a=0.5, b=0.5), hits(b=1.0, a=1.0))) == ["a", "b"]
    assert ids(rrf(hits(a=0.9), hits(b=3.0))) == ids(rrf(hits(b=0.9), hits(a=3.0))) == ["a", "b"]


def test_weighted_scores_stay_in_the_unit_interval() -> None:
    fused = weighted_min_max(hits(a=0.87, b=0.66, c=-0.2), hits(a=41.0, d=0.1))
    assert all(0 <= hit.score <= 1 for hit in fused)
    assert fused[0].score == 1.0

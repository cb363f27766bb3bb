"""Two ranked lists of chunks into one.

Weighted min-max adds the two scores after each list is stretched to [0, 1]; it keeps how far
apart the hits are, which ranks throw away. Reciprocal rank fusion (Cormack, Clarke and
Büttcher, 2009) needs no scores that compare, and stays selectable for that reason.
"""

from collections.abc import Callable, Sequence
from typing import Literal, assert_never

from steadyrag.domain.models import Hit

FusionMethod = Literal["weighted", "rrf"]

DENSE_WEIGHT = 0.5
RRF_K = 60


def fuse(
    dense_hits: Sequence[Hit],
    keyword_hits: Sequence[Hit],
    *,
    method: FusionMethod = "weighted",
    dense_weight: float = DENSE_WEIGHT,
) -> list[Hit]:
    """The chunks of both lists once each, best first, ties by chunk id.

    Each hit keeps what the two searches said of it in `dense` and `keyword`. Either list may
    be empty; the other's order then stands. `dense_weight` in [0, 1] matters to `weighted`.
    """
    match method:
        case "weighted":
            return weighted_min_max(dense_hits, keyword_hits, dense_weight=dense_weight)
        case "rrf":
            return rrf(dense_hits, keyword_hits)
        case _:
            assert_never(method)


def weighted_min_max(
    dense_hits: Sequence[Hit], keyword_hits: Sequence[Hit], *, dense_weight: float = DENSE_WEIGHT
) -> list[Hit]:
    """Scores in [0, 1]: `dense_weight` · dense + (1 - `dense_weight`) · keyword, each min-max
    normalised over its own list. A chunk that one search missed gets 0 from it, the same as
    that list's last. Where one list is empty, the other's normalised score is the score."""
    if not dense_hits or not keyword_hits:
        dense_weight = 1.0 if dense_hits else 0.0
    dense, keyword = _min_max(dense_hits), _min_max(keyword_hits)
    return _merged(
        dense_hits,
        keyword_hits,
        lambda i: dense_weight * dense.get(i, 0.0) + (1 - dense_weight) * keyword.get(i, 0.0),
    )


def rrf(dense_hits: Sequence[Hit], keyword_hits: Sequence[Hit], *, k: int = RRF_K) -> list[Hit]:
    """Scores are the sum of 1 / (k + rank) over the lists that hold the chunk, rank from 1."""
    dense, keyword = _reciprocal_ranks(dense_hits, k), _reciprocal_ranks(keyword_hits, k)
    return _merged(dense_hits, keyword_hits, lambda i: dense.get(i, 0.0) + keyword.get(i, 0.0))


def _min_max(hits: Sequence[Hit]) -> dict[str, float]:
    """Each chunk's score stretched to [0, 1]; 1 for all where they are equal."""
    if not hits:
        return {}
    low, high = min(hit.score for hit in hits), max(hit.score for hit in hits)
    span = high - low
    return {hit.chunk.id: (hit.score - low) / span if span else 1.0 for hit in hits}


def _reciprocal_ranks(hits: Sequence[Hit], k: int) -> dict[str, float]:
    return {hit.chunk.id: 1 / (k + rank) for rank, hit in enumerate(hits, 1)}


def _merged(
    dense_hits: Sequence[Hit], keyword_hits: Sequence[Hit], score: Callable[[str], float]
) -> list[Hit]:
    dense = {hit.chunk.id: hit for hit in dense_hits}
    keyword = {hit.chunk.id: hit for hit in keyword_hits}
    merged = [
        Hit(
            chunk=hit.chunk,
            score=score(chunk_id),
            dense=dense[chunk_id].score if chunk_id in dense else None,
            keyword=keyword[chunk_id].score if chunk_id in keyword else None,
        )
        for chunk_id, hit in (keyword | dense).items()
    ]
    return sorted(merged, key=lambda hit: (-hit.score, hit.chunk.id))

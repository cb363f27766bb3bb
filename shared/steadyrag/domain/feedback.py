"""What was said of one search, put together from what comes in, in whatever order, and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from steadyrag.domain.records import Feedback


def with_feedback(held: Sequence[Feedback], more: Feedback) -> tuple[Feedback, ...]:
    """`held`, oldest first, with `more`.

    Each rank is clicked once, when it was first; of ratings and of comments the last one holds,
    since it was first said. What then says nothing is left out, so there are few.
    """
    told = sorted([*held, more], key=lambda one: one.at)
    rating = _since([one.rating for one in told])
    comment = _since([one.comment for one in told])
    clicked: set[int] = set()
    kept = []
    for place, one in enumerate(told):
        left = replace(
            one,
            clicked_rank=None if one.clicked_rank in clicked else one.clicked_rank,
            rating=one.rating if place == rating else None,
            comment=one.comment if place == comment else None,
        )
        if left.clicked_rank is not None:
            clicked.add(left.clicked_rank)
        if (left.clicked_rank, left.rating, left.comment) != (None, None, None):
            kept.append(left)
    return tuple(kept)


def _since(values: Sequence[object]) -> int | None:
    """The place from which on the last value was said and no other; None is nothing said."""
    since: int | None = None
    for place, value in enumerate(values):
        if value is not None and (since is None or value != values[since]):
            since = place
    return since

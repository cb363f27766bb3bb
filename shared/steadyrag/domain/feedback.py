"""What was said of one search, put together from what comes in, in whatever order, and again."""

from __future__ import annotations

from collections.abc import Sequence

from steadyrag.domain.records import Feedback


def with_feedback(held: Sequence[Feedback], more: Feedback) -> tuple[Feedback, ...]:
    """`held`, oldest first, with `more`.

    Each rank is clicked once, when it was first. Of ratings, and of comments, there is the last,
    with the time when it was last said: since when it holds can't be told from what is kept once
    another turns out to have come between. Of two of one moment the larger counts as the last.
    What then says nothing is left out, so there are few; what was said at one moment is one.
    """
    told = [*held, more]
    clicked: dict[int, float] = {}
    for one in told:
        if one.clicked_rank is not None:
            clicked[one.clicked_rank] = min(one.at, clicked.get(one.clicked_rank, one.at))
    rated = max(((one.at, one.rating) for one in told if one.rating is not None), default=None)
    commented = max(
        ((one.at, one.comment) for one in told if one.comment is not None), default=None
    )
    last = {one[0] for one in (rated, commented) if one}
    kept: list[Feedback] = []
    for at in sorted({*clicked.values()} | last):
        ranks = sorted(rank for rank, first in clicked.items() if first == at)
        rating = rated[1] if rated and rated[0] == at else None
        comment = commented[1] if commented and commented[0] == at else None
        kept.append(Feedback(more.search_id, at, next(iter(ranks), None), rating, comment))
        kept += [Feedback(more.search_id, at, rank) for rank in ranks[1:]]
    return tuple(kept)

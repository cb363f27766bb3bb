"""What callers think of answers: logged, counted, and kept where records are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.feedback import with_feedback
from steadyrag.domain.ports import RecordStore
from steadyrag.domain.records import Feedback, RatingValue
from steadyrag.telemetry import catalogue, metrics, records
from steadyrag.telemetry.log import tell

log = logging.getLogger(__name__)

REMEMBERED = 1000
"""Searches whose feedback a process has in mind, so that repeats don't count."""


@dataclass(frozen=True, slots=True)
class FeedbackParts:
    """`store` is None where the log line is the record, as in AWS: nothing else is written
    while the caller waits."""

    store: RecordStore | None = None
    clock: Callable[[], float] = time.time
    said: LRUCache[str, tuple[Feedback, ...]] = field(
        default_factory=lambda: LRUCache[str, tuple[Feedback, ...]](REMEMBERED)
    )


async def take_feedback(
    search_id: str,
    parts: FeedbackParts,
    *,
    clicked_rank: int | None = None,
    rating: RatingValue | None = None,
    comment: str | None = None,
) -> None:
    """Takes at least one of the three. The same again does no harm. Never raises for the
    store's failure: the line in the log holds it."""
    feedback = Feedback(
        search_id,
        at=parts.clock(),
        clicked_rank=clicked_rank,
        rating=rating,
        comment=None if comment is None else records.kept(comment),
    )
    before = parts.said.get(search_id, ())
    after = with_feedback(before, feedback)
    if after != before:
        parts.said[search_id] = after
    if new := list(_new(before, after)):
        _tell(feedback, None if comment is None else records.shown(comment))
        for verdict in new:
            metrics.count(catalogue.FEEDBACK, verdict=verdict)
    if parts.store:
        try:
            await parts.store.add_feedback(feedback)
        except DependencyError as error:
            log.warning("feedback not kept", extra={"reason": error.problem})


def _tell(feedback: Feedback, comment: str | None) -> None:
    told = {
        "clicked_rank": feedback.clicked_rank,
        "rating": feedback.rating,
        "comment": comment,
    }
    said = {name: value for name, value in told.items() if value is not None}
    tell("feedback", {"search_id": feedback.search_id, **said})


def _new(before: Sequence[Feedback], after: Sequence[Feedback]) -> Iterator[str]:
    """What `after` says and `before` did not, as the metric names it; when it was said is
    nothing new."""
    was, now = _said(before), _said(after)
    for value in sorted(now - was):
        match value:
            case ("clicked_rank", _):
                yield "click"
            case ("rating", rating):
                yield "good" if rating > 0 else "bad"
            case ("comment", _):
                yield "comment"


def _said(of: Sequence[Feedback]) -> set[tuple[str, Any]]:
    """Each field with each of its values."""
    names = ("clicked_rank", "rating", "comment")
    said = {(name, getattr(one, name)) for one in of for name in names}
    return {(name, value) for name, value in said if value is not None}

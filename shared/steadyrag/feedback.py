"""What callers think of answers: logged, counted, and kept where records are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

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
        comment=None if comment is None else records.shown(comment),
    )
    before = parts.said.get(search_id, ())
    after = with_feedback(before, feedback)
    if after != before:
        parts.said[search_id] = after
        _tell(feedback)
    if parts.store:
        try:
            await parts.store.add_feedback(feedback)
        except DependencyError as error:
            log.warning("feedback not kept", extra={"reason": error.problem})


def _tell(feedback: Feedback) -> None:
    told = {
        "clicked_rank": feedback.clicked_rank,
        "rating": feedback.rating,
        "comment": feedback.comment,
    }
    said = {name: value for name, value in told.items() if value is not None}
    tell("feedback", {"search_id": feedback.search_id, **said})
    for verdict in _verdicts(feedback):
        metrics.count(catalogue.FEEDBACK, verdict=verdict)


def _verdicts(feedback: Feedback) -> Iterator[str]:
    if feedback.clicked_rank is not None:
        yield "click"
    if feedback.rating is not None:
        yield "good" if feedback.rating > 0 else "bad"
    if feedback.comment is not None:
        yield "comment"

"""What is kept of a search, and of what people thought of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from steadyrag.domain.models import CacheInfo, Language, Mode, Stage, Usage

RatingValue = Literal[-1, 1]


@dataclass(frozen=True, slots=True)
class Result:
    """One source of an answer, without its text."""

    id: str
    document_id: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """One search as it is logged and kept, answered or not.

    at: when it began, epoch seconds.
    query, answer: user text; what is logged or kept of it went through redaction before.
    caller: a hash of who asked, the same for the same caller.
    mode: None where the request failed, and then `error` names the class of what failed it.
    results: as the caller got them, cited ones first; their scores are probabilities where
        `calibrated`.
    total_ms: from the question to its answer or failure.
    trace_id: X-Ray's, where the request was sampled.
    """

    search_id: str
    at: float
    query: str
    namespace: str = "default"
    language: Language = "en"
    caller: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    mode: Mode | None = None
    degraded: Sequence[str] = ()
    error: str | None = None
    cache: CacheInfo = field(default_factory=CacheInfo)
    calibrated: bool = False
    results: Sequence[Result] = ()
    answer: str | None = None
    model: str | None = None
    variant: str = "default"
    usage: Usage = field(default_factory=Usage)
    stages: Sequence[Stage] = ()
    total_ms: float = 0.0

    @property
    def failed(self) -> bool:
        return self.error is not None or self.mode == "canned"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the caller of a search thought of it. `at` in epoch seconds; `comment` only as far
    as the redaction setting lets it through. The same again counts once; a later rating or
    comment of a search takes the place of the earlier."""

    search_id: str
    at: float
    clicked_rank: int | None = None
    rating: RatingValue | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A search with all that was said of it, the oldest first."""

    search: SearchRecord
    feedback: Sequence[Feedback] = ()

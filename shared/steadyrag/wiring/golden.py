"""Golden questions, put together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from steadyrag.golden import GoldenParts, watch_golden
from steadyrag.golden_sets import GoldenSets
from steadyrag.resilience.breakers import Breakers
from steadyrag.wiring.service import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from steadyrag.api.event_handler import Work
    from steadyrag.domain.ledger import Bucket
    from steadyrag.settings import Settings

DEADLINE_S = 10.0
"""Of a question. Nobody waits for its answer, but its stages get no more time than a search's."""


def build_golden(
    settings: Settings, *, clock: Callable[[], float] = time.time, **overrides: Any
) -> GoldenParts:
    """What asking golden questions needs, chosen as `build` chooses for searches. An override
    takes the place of the part of its name; `bucket` of the one that the sets lie in.

    Nothing is shared with searches: a circuit opens for this process alone and is no metric, since
    no user is given less when it does.
    """
    alone = settings.model_copy(
        update={
            "generator": "local",
            "chat_fallback_model": None,
            "deadline_s": min(DEADLINE_S, settings.deadline_s),
        }
    )
    bucket = overrides.pop("bucket", None) or _bucket(settings)
    unshared: dict[str, Any] = {"stores": [], "cache": None, "breakers": Breakers(clock=clock)}
    service = build(alone, clock=clock, **unshared | overrides)
    return GoldenParts(service, GoldenSets(bucket), clock=clock)


def golden_work(parts: GoldenParts) -> Work:
    """What the quality function does with `{"golden": {}}`, on its schedule."""
    return lambda _, seconds: watch_golden(parts, seconds=seconds)


def _bucket(settings: Settings) -> Bucket:
    """The documents' own, here or in AWS."""
    if settings.documents_bucket:
        from steadyrag.wiring.documents import s3_bucket

        return s3_bucket(settings)
    from steadyrag.adapters.local.bucket import LocalBucket

    return LocalBucket(settings.data_dir / "documents")

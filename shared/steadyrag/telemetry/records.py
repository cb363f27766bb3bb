"""The record of each search: one structured log line, and whoever listens.

It is what a search leaves behind for statistics, for feedback to be joined to, and for the
person who asks why an answer was strange. Nothing is written anywhere while the caller waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from steadyrag.domain.models import Stage
from steadyrag.domain.records import SearchRecord
from steadyrag.telemetry.log import tell
from steadyrag.telemetry.redaction import How, redact

log = logging.getLogger(__name__)

type Listener = Callable[[SearchRecord], None]

_listener: Listener | None = None
_text: How = "hash"
_listener_text: How = "hash"


def configure(text: How, *, listener_text: How | None = None) -> None:
    """How user text gets into the log, and to whoever listens: the same unless said."""
    global _text, _listener_text
    _text, _listener_text = text, listener_text or text


LONGEST_TEXT = 8000
"""A text that was refused for its length is not kept whole."""


def shown(text: str) -> str:
    """`text` as far as the log may show it. What is no text becomes `?`."""
    return redact(_text_of(text), _text)


def kept(text: str) -> str:
    """`text` as far as whoever listens may have it."""
    return redact(_text_of(text), _listener_text)


def _text_of(text: str) -> str:
    return text[:LONGEST_TEXT].encode(errors="replace").decode()


def subscribe(listener: Listener | None) -> None:
    """Has `listener` see each record; None ends it. It is called while the caller waits."""
    global _listener
    _listener = listener


def publish(record: SearchRecord) -> None:
    """Logs the record, whose texts are as they came, and hands it to whoever listens. Never
    raises."""
    try:
        tell("search", _line(record))
        if _listener:
            answer = None if record.answer is None else kept(record.answer)
            _listener(replace(record, query=kept(record.query), answer=answer))
    except Exception:
        log.exception("search not recorded")


def _line(record: SearchRecord) -> Mapping[str, Any]:
    """The record as the fields of a log line, None for what there is none of."""
    usage, results = record.usage, record.results
    return {
        "search_id": record.search_id,
        "query": shown(record.query) if record.query else None,
        "namespace": record.namespace,
        "language": record.language,
        "caller": record.caller,
        "mode": record.mode,
        "degraded": list(record.degraded) or None,
        "error": record.error,
        "cache": record.cache.status,
        "cache_tier": record.cache.tier,
        "cache_age_s": record.cache.age_s,
        "top_score": max([result.score for result in results], default=None),
        "calibrated": record.calibrated,
        "answer": None if record.answer is None else shown(record.answer),
        "model": record.model,
        "variant": record.variant,
        "embedding_tokens": usage.embedding_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
        "total_ms": record.total_ms,
        # Last: CloudWatch makes fields of the first 200 values of a line alone.
        "stages": [_stage(stage) for stage in record.stages] or None,
        "results": [[r.id, r.document_id, r.score] for r in results] or None,
    }


def _stage(stage: Stage) -> Mapping[str, Any]:
    said: dict[str, Any] = {
        "name": stage.name,
        "start_ms": stage.start_ms,
        "ms": stage.duration_ms,
    }
    if stage.lost:
        said["lost"] = True
    said.update(stage.facts)
    return said

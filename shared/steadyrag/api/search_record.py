"""What is recorded of a search, answered or not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from steadyrag.domain.errors import CallerError
from steadyrag.domain.models import Answer, Query
from steadyrag.domain.records import Result, SearchRecord
from steadyrag.domain.search_ids import new_id
from steadyrag.domain.sentences import language_of
from steadyrag.telemetry import metrics, records, spans

REFUSALS_A_MINUTE = 60


@dataclass(slots=True)
class _Refusals:
    """How many were recorded in this minute of this process."""

    minute: int = 0
    recorded: int = 0

    def room(self, now: float) -> bool:
        """Whether there is room for one more, which then counts."""
        if (minute := int(now // 60)) != self.minute:
            self.minute, self.recorded = minute, 0
        self.recorded += 1
        return self.recorded <= REFUSALS_A_MINUTE


_refusals = _Refusals()


@dataclass(slots=True)
class Recording:
    """One search while it is asked: what is known of it so far. `text` is what was asked, as
    soon as it has been read; `caller` is a pseudonym."""

    request_id: str | None = None
    at: float = field(default_factory=time.time)
    began: float = field(default_factory=time.perf_counter)
    text: str = ""
    query: Query | None = None
    caller: str | None = None

    def answered(self, answer: Answer) -> None:
        """Says in log, metrics and trace what the answer says."""
        metrics.answered(answer)
        facts: dict[str, spans.Fact] = {
            "search_id": answer.search_id,
            "mode": answer.mode,
            "cache": answer.cache.status,
            "variant": answer.variant,
        }
        if self.query:
            facts["namespace"] = self.query.namespace
        if answer.degraded:
            facts["degraded"] = ",".join(answer.degraded)
        spans.annotate(**facts)
        if answer.degraded:
            spans.keep(query=self.text)
        records.publish(
            self._record(
                answer.search_id,
                mode=answer.mode,
                degraded=answer.degraded,
                cache=answer.cache,
                calibrated=answer.calibrated,
                results=[Result(s.id, s.document_id, s.score, s.rank) for s in answer.sources],
                answer=answer.answer,
                model=answer.model,
                variant=answer.variant,
                usage=answer.usage,
                stages=answer.stages,
                total_ms=answer.timings_ms["total"],
            )
        )

    def failed(self, error: Exception) -> None:
        """Keeps the input of what got no answer, with the class of what came instead. Of what
        callers get wrong, which no limit has counted, only so much: a flood of it must not be
        all that is left."""
        if isinstance(error, CallerError) and not _refusals.room(self.at):
            return
        search_id, kind = new_id(), type(error).__name__
        spans.annotate(search_id=search_id, error=kind)
        spans.keep(query=self.text)
        total_ms = round((time.perf_counter() - self.began) * 1000, 2)
        records.publish(self._record(search_id, error=kind, total_ms=total_ms))

    def _record(self, search_id: str, **outcome: Any) -> SearchRecord:
        return SearchRecord(
            search_id=search_id,
            at=round(self.at, 3),
            query=self.text,
            namespace=self.query.namespace if self.query else "default",
            language=language_of(self.text[: records.LONGEST_TEXT]),
            caller=self.caller,
            request_id=self.request_id,
            trace_id=spans.trace_id(),
            **outcome,
        )

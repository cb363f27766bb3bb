"""The daily report, sent once.

hourly: look what was sent ─ nothing due? ─ claim the day ─ look again ─ report ─ send ─ remember

What was sent is remembered in the shared table, and a lease on the day keeps two that run at once
from both sending it. Who dies between sending and remembering, or never hears whether it was
sent, leaves it to the next hour, which sends the report again: twice is better than not at all.
After days without one the latest is sent, and names the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from dataclasses import dataclass, replace
from datetime import date, timedelta

from steadyrag.domain.errors import DependencyError, Unavailable
from steadyrag.domain.local_days import bounds, day_due, first_due_at
from steadyrag.domain.ports import SharedStore, Topic
from steadyrag.report import ReportParts, daily_report
from steadyrag.resilience.deadline import Clock
from steadyrag.telemetry import catalogue, metrics
from steadyrag.telemetry.spans import span

log = logging.getLogger(__name__)

KEY = "report"
KEEP_S = 90 * 86_400
"""How long it is remembered that a report was sent, by who looks no more."""

CLAIM_S = 300.0
"""Longer than the function may run."""

TRIES = 3
"""To remember what was sent."""


@dataclass(frozen=True, slots=True)
class SendingParts:
    """What sending needs. A report is due from `hour` of the day after; `store` is one that
    forgets nothing before its time; `clock` tells epoch seconds."""

    report: ReportParts
    topic: Topic
    store: SharedStore
    hour: int = 7
    clock: Clock = time.time

    async def aclose(self) -> None:
        for part in (self.report, self.topic, self.store):
            await part.aclose()


@dataclass(frozen=True, slots=True)
class Sent:
    """`born` is when this was first looked at, `day` the latest whose report was sent, `at` when;
    times in epoch seconds."""

    born: float
    day: date | None = None
    at: float | None = None


async def report_if_due(parts: SendingParts, *, seconds: float) -> None:
    """Sends the report that is due and was not sent, and records how old the last one is. What
    goes wrong is logged, and left to the next hour."""
    with span("report") as traced:
        try:
            sent = await _look(parts)
        except DependencyError as error:
            log.error("report not looked at", extra={"reason": str(error)})
            return
        try:
            async with asyncio.timeout(seconds):
                sent = await _send_if_due(sent, parts)
        except (DependencyError, TimeoutError) as error:
            traced.facts["failed"] = type(error).__name__
            log.error("report not sent", extra={"reason": str(error) or "no time was left"})
        finally:
            metrics.count(catalogue.REPORT_AGE, age_h(sent, parts))


def age_h(sent: Sent, parts: SendingParts) -> float:
    """Hours since the last report. Until a first one is due there is none to miss, and from then
    on it counts as if one had been sent a day before."""
    now = parts.clock()
    if sent.at is not None:
        return max(0.0, now - sent.at) / 3600
    due = first_due_at(sent.born, parts.report.zone, parts.hour)
    return 0.0 if now < due else 24 + (now - due) / 3600


async def _send_if_due(sent: Sent, parts: SendingParts) -> Sent:
    day = day_due(parts.clock(), parts.report.zone, parts.hour)
    if not _is_missing(day, sent, parts):
        return sent
    lease, owner = f"{KEY}:{day}", uuid.uuid4().hex
    if not await parts.store.claim(lease, owner, ttl_s=CLAIM_S):
        log.info("report left to another", extra={"day": str(day)})
        return sent
    try:
        sent = await _look(parts)  # who held the lease before may have sent it
        if not _is_missing(day, sent, parts):
            return sent
        return await _send(day, sent, parts)
    finally:
        with contextlib.suppress(DependencyError):  # it expires
            await parts.store.release(lease, owner)


def _is_missing(day: date, sent: Sent, parts: SendingParts) -> bool:
    if sent.day is not None:
        return sent.day < day
    _, ends = bounds(day, parts.report.zone)
    return ends > sent.born


async def _send(day: date, sent: Sent, parts: SendingParts) -> Sent:
    report = await daily_report(day, parts.report, now=parts.clock())
    report = replace(report, skipped=_skipped(day, sent, parts))
    await parts.topic.publish(report.subject, report.text())
    log.info("report sent", extra={"day": str(day)})
    return await _remember(day, parts, tries=TRIES)


def _skipped(day: date, sent: Sent, parts: SendingParts) -> tuple[date, date] | None:
    """The first and the last day before `day` that nobody was sent a report of."""
    last = first = day - timedelta(days=1)
    if not _is_missing(last, sent, parts):
        return None
    while _is_missing(first - timedelta(days=1), sent, parts):
        first -= timedelta(days=1)
    return first, last


async def _remember(day: date, parts: SendingParts, *, tries: int) -> Sent:
    said = {"day": str(day).encode(), "at": b"%d" % parts.clock()}
    try:
        return _read(await parts.store.update(KEY, put=said, ttl_s=KEEP_S))
    except DependencyError as error:
        if tries > 1:
            return await _remember(day, parts, tries=tries - 1)
        raise Unavailable(error.dependency, "report sent, and will be again") from error


async def _look(parts: SendingParts) -> Sent:
    """What was sent; notes the first time that anybody looks."""
    known = await parts.store.update(KEY, ttl_s=KEEP_S)
    if "born" not in known:
        born = b"%d" % parts.clock()
        known = await parts.store.update(KEY, put={"born": born}, ttl_s=KEEP_S)
    return _read(known)


def _read(known: dict[str, bytes]) -> Sent:
    try:
        return Sent(
            float(known["born"]),
            date.fromisoformat(known["day"].decode()) if "day" in known else None,
            float(known["at"]) if "at" in known else None,
        )
    except (LookupError, ValueError) as error:
        raise Unavailable("report", "what was remembered of it makes no sense") from error

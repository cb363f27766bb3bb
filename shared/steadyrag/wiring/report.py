"""The daily report, put together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from steadyrag.domain.errors import ConfigError
from steadyrag.domain.local_days import time_zone
from steadyrag.report import Models, ReportParts
from steadyrag.report_sending import SendingParts, report_if_due
from steadyrag.wiring.stores import shared_stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from steadyrag.api.event_handler import Work
    from steadyrag.domain.ports import MetricReader, SharedStore, Topic
    from steadyrag.settings import Settings

STORE_TIMEOUT_S = 5.0
"""Nobody waits for it."""


def build_report(settings: Settings, *, reader: MetricReader | None = None) -> ReportParts:
    """What a report of this service is made from."""
    if reader is None:
        from steadyrag.adapters.cloudwatch import CloudWatch

        reader = CloudWatch()
    chat = dict.fromkeys([settings.chat_model, settings.chat_fallback_model])
    return ReportParts(
        reader,
        settings.service,
        Models(settings.embedding_model, tuple(model for model in chat if model)),
        budget_usd=settings.daily_budget_usd,
        zone=time_zone(settings.report_time_zone),
        zone_name=settings.report_time_zone,
    )


def build_sending(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    reader: MetricReader | None = None,
    topic: Topic | None = None,
    store: SharedStore | None = None,
) -> SendingParts:
    """What sending it takes. Raises `ConfigError` where there is nowhere to send it to, or to
    remember that it was sent."""
    if topic is None:
        if settings.report_topic is None:
            raise ConfigError("STEADYRAG_REPORT_TOPIC: is needed to send the daily report")
        from steadyrag.adapters.sns import SnsTopic

        topic = SnsTopic(settings.report_topic)
    return SendingParts(
        build_report(settings, reader=reader),
        topic,
        store or _table(settings, clock),
        hour=settings.report_hour,
        clock=clock,
    )


def report_work(parts: SendingParts) -> Work:
    """What the report function does with `{"report": {}}`, on its schedule."""
    return lambda _, seconds: report_if_due(parts, seconds=seconds)


def _table(settings: Settings, clock: Callable[[], float]) -> SharedStore:
    """The table alone: a cache may forget, and a report would be sent again."""
    alone = settings.model_copy(update={"cache_url": None})
    stores = shared_stores(alone, timeout_s=STORE_TIMEOUT_S, clock=clock)
    if not stores:
        raise ConfigError("STEADYRAG_TABLE_PREFIX: is needed to remember which report was sent")
    return stores[0]

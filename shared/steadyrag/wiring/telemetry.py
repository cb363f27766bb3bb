"""How a process says what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadyrag.settings import of_lambda
from steadyrag.telemetry import log, metrics, records, spans

if TYPE_CHECKING:
    from steadyrag.settings import Settings


def configure_telemetry(settings: Settings, *, function: str | None = None) -> None:
    """Logs, metrics, traces and search records as the settings have them; `function` is what
    log lines say that they are of."""
    log.configure(
        settings.log_level,
        service=settings.service,
        function=function,
        sample=settings.log_sample,
    )
    metrics.configure(settings.metrics, service=settings.service)
    spans.configure(settings.tracing, environment=of_lambda, text=settings.log_text)
    records.configure(settings.log_text)

"""How a process says what it does."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from steadyrag.settings import of_lambda
from steadyrag.telemetry import log, metrics, records, redaction, spans
from steadyrag.wiring.keys import kept_key, set_key

if TYPE_CHECKING:
    from steadyrag.settings import Settings


def configure_telemetry(settings: Settings, *, function: str | None = None) -> None:
    """Logs, metrics, traces and search records as the settings have them; `function` is what
    log lines say that they are of, None for a process on this machine."""
    log.configure(
        settings.log_level,
        service=settings.service,
        function=function,
        sample=settings.log_sample,
    )
    if key := set_key(settings) or (kept_key(settings) if function is None else None):
        # Another than the one that signs: what is logged says nothing about what is signed.
        redaction.configure(hmac.digest(key, b"steadyrag text in logs", "sha256"))
    metrics.configure(settings.metrics, service=settings.service)
    spans.configure(settings.tracing, environment=of_lambda, text=settings.log_text)
    records.configure(settings.log_text)

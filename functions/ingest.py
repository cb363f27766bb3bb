"""Lambda behind the ingest queue, and its daily sweep."""

from steadyrag.api.queue_handler import queue_handler
from steadyrag.settings import load
from steadyrag.telemetry import log, metrics, spans
from steadyrag.wiring.documents import build_worker, ingest_work
from steadyrag.wiring.parts import preload

settings = load()
log.configure(settings.log_level)
metrics.configure(settings.metrics, service=settings.service)
spans.configure(settings.tracing)
preload(settings)
parts = build_worker(settings)
handler = queue_handler(*ingest_work(parts))

"""Lambda behind the ingest queue, and its daily sweep."""

from steadyrag.api.queue_handler import queue_handler
from steadyrag.ingest_worker import sweep, work
from steadyrag.settings import load
from steadyrag.telemetry import log, metrics, spans
from steadyrag.wiring.documents import build_worker

settings = load()
log.configure(settings.log_level)
metrics.configure(settings.metrics)
spans.configure(settings.tracing)
parts = build_worker(settings)
handler = queue_handler(
    lambda letters, owner, seconds: work(letters, parts, owner=owner, seconds=seconds),
    lambda wish, seconds: sweep(wish, parts, seconds=seconds),
)

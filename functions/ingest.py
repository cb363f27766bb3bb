"""Lambda behind the ingest queue, and its daily sweep."""

from steadyrag.api.queue_handler import queue_handler
from steadyrag.settings import load
from steadyrag.wiring.documents import build_worker, ingest_work
from steadyrag.wiring.parts import preload
from steadyrag.wiring.telemetry import configure_telemetry

settings = load()
configure_telemetry(settings, function="ingest")
preload(settings)
parts = build_worker(settings)
handler = queue_handler(*ingest_work(parts), function="ingest")

"""Lambda behind POST /search."""

from steadyrag.api import create_app
from steadyrag.api.lambda_handler import initialise, lambda_handler
from steadyrag.api.search import search_router
from steadyrag.api.snapshot import on_restore
from steadyrag.settings import load
from steadyrag.telemetry import log, metrics, spans
from steadyrag.wiring.service import build, rate_limit, thaw

settings = load()
log.configure(settings.log_level)
metrics.configure(settings.metrics)
spans.configure(settings.tracing)
service = build(settings)
app = create_app(
    [search_router(service, rate_limit(settings, service))], cors_origin=settings.cors_origin
)
handler = lambda_handler(app)
initialise(service.warm)
on_restore(lambda: thaw(service))

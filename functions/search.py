"""Lambda behind POST /search."""

from steadyrag.api import create_app
from steadyrag.api.lambda_handler import initialise, lambda_handler
from steadyrag.api.search import search_router
from steadyrag.api.snapshot import on_restore
from steadyrag.settings import load
from steadyrag.telemetry import log, metrics, spans
from steadyrag.wiring.access import access, live_config
from steadyrag.wiring.service import build, rate_limit, thaw, warm

settings = load()
log.configure(settings.log_level)
metrics.configure(settings.metrics, service=settings.service)
spans.configure(settings.tracing)
service = build(settings)
live = live_config(settings)
limit = rate_limit(settings, service.stores, live)
search = search_router(service, limit, access(settings, live))
app = create_app([search], cors_origin=settings.cors_origin, live=live)
handler = lambda_handler(app)
initialise(lambda: warm(service, live))
on_restore(lambda: thaw(service, live))

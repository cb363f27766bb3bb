"""Lambda behind POST /search and POST /feedback."""

from steadyrag.api import create_app
from steadyrag.api.feedback import feedback_router
from steadyrag.api.lambda_handler import initialise, lambda_handler
from steadyrag.api.search import search_router
from steadyrag.api.snapshot import on_restore
from steadyrag.settings import load
from steadyrag.wiring.access import access, live_config
from steadyrag.wiring.search_ids import search_ids
from steadyrag.wiring.service import build, rate_limit, thaw, warm
from steadyrag.wiring.telemetry import configure_telemetry

settings = load()
configure_telemetry(settings, function="search")
service = build(settings)
live = live_config(settings)
limit = rate_limit(settings, service.stores, live)
ids = search_ids(settings)
search = search_router(service, limit, access(settings, live), ids)
feedback = feedback_router(ids, limit)
app = create_app([search, feedback], cors_origin=settings.cors_origin, live=live)
handler = lambda_handler(app, function="search")
initialise(lambda: warm(service, live))
on_restore(lambda: thaw(service, live))

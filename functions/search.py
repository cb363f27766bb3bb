"""Lambda behind POST /search."""

from mangum import Mangum
from steadyrag.wiring import build

from steadyrag.api import create_app
from steadyrag.api.search import search_router
from steadyrag.settings import load
from steadyrag.telemetry.log import configure

settings = load()
configure(settings.log_level)
service = build(settings)
app = create_app([search_router(service)], cors_origin=settings.cors_origin)

# lifespan="auto" would start and stop the application on every invocation. Mangum makes the
# event loop once, here, and clients are made in it on first use.
handler = Mangum(app, lifespan="off")

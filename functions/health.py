"""Lambda behind GET /health and GET /health/live."""

from mangum import Mangum
from steadyrag.wiring import build, probes

from steadyrag.api import create_app
from steadyrag.api.health import health_router
from steadyrag.settings import load
from steadyrag.telemetry.log import configure

settings = load()
configure(settings.log_level)
app = create_app([health_router(probes(build(settings)))], cors_origin=settings.cors_origin)
handler = Mangum(app, lifespan="off")

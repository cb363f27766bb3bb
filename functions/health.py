"""Lambda behind GET /health and GET /health/live."""

from steadyrag.api import create_app
from steadyrag.api.health import health_router
from steadyrag.api.lambda_handler import lambda_handler
from steadyrag.settings import load
from steadyrag.telemetry.log import configure
from steadyrag.wiring import build, preload, probes

settings = load()
configure(settings.log_level)
preload(settings)
app = create_app([health_router(probes(build(settings)))], cors_origin=settings.cors_origin)
handler = lambda_handler(app)

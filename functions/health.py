"""Lambda behind GET /health and GET /health/live."""

from steadyrag.api import create_app
from steadyrag.api.health import build_version, health_router
from steadyrag.api.lambda_handler import lambda_handler
from steadyrag.settings import load
from steadyrag.telemetry import log, metrics, spans
from steadyrag.wiring.parts import preload
from steadyrag.wiring.readiness import build_probes

settings = load()
log.configure(settings.log_level)
metrics.configure(settings.metrics, service=settings.service)
spans.configure(settings.tracing)
preload(settings)
probes, breakers = build_probes(settings)
health = health_router(probes, breakers=breakers, version=build_version(__file__))
app = create_app([health], cors_origin=settings.cors_origin)
handler = lambda_handler(app)

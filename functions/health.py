"""Lambda behind GET /health and GET /health/live."""

from steadyrag.api import create_app
from steadyrag.api.health import build_version, health_router
from steadyrag.api.lambda_handler import lambda_handler
from steadyrag.settings import load
from steadyrag.wiring.parts import preload
from steadyrag.wiring.readiness import build_probes
from steadyrag.wiring.telemetry import configure_telemetry

settings = load()
configure_telemetry(settings, function="health")
preload(settings)
probes, breakers = build_probes(settings)
health = health_router(probes, breakers=breakers, version=build_version(__file__))
app = create_app([health], cors_origin=settings.cors_origin)
handler = lambda_handler(app, function="health")

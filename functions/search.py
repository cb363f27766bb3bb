"""Lambda behind POST /search."""

from steadyrag.api import create_app
from steadyrag.api.lambda_handler import lambda_handler
from steadyrag.api.search import search_router
from steadyrag.settings import load
from steadyrag.telemetry.log import configure
from steadyrag.wiring import build

settings = load()
configure(settings.log_level)
app = create_app([search_router(build(settings))], cors_origin=settings.cors_origin)
handler = lambda_handler(app)

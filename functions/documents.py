"""Lambda behind POST /documents, GET and DELETE /documents/{id}."""

from steadyrag.api import create_app
from steadyrag.api.documents import documents_router
from steadyrag.api.lambda_handler import initialise, lambda_handler
from steadyrag.settings import load
from steadyrag.wiring.access import access, live_config
from steadyrag.wiring.documents import build_documents
from steadyrag.wiring.service import rate_limit
from steadyrag.wiring.stores import guarded_stores
from steadyrag.wiring.telemetry import configure_telemetry

settings = load()
configure_telemetry(settings, function="documents")
parts = build_documents(settings)
live = live_config(settings)
limit = rate_limit(settings, guarded_stores(settings), live)
documents = documents_router(parts, access(settings, live), limit)
app = create_app([documents], cors_origin=settings.cors_origin, live=live)
handler = lambda_handler(app, function="documents")
if live:
    initialise(live.warm)

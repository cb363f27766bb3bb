"""GET /health/live and GET /health."""

import json

from fastapi import APIRouter
from starlette.responses import Response

from steadyrag import __version__
from steadyrag.api.schemas import HealthResponse
from steadyrag.health import Probes, check


def health_router(probes: Probes) -> APIRouter:
    """Liveness without I/O, and readiness that asks every dependency."""
    router = APIRouter()

    @router.get("/health/live", summary="Is the process up?", response_model=HealthResponse)
    async def live() -> Response:
        """Answers without touching anything."""
        return _json(200, {"status": "ok", "version": __version__, "checks": {}})

    @router.get(
        "/health",
        summary="Can it answer?",
        response_model=HealthResponse,
        responses={503: {"model": HealthResponse, "description": "The index can't be reached"}},
    )
    async def ready() -> Response:
        """Probes every dependency in parallel, each under its own timeout."""
        health = await check(probes)
        body = {
            "status": health.status,
            "version": __version__,
            "checks": {
                name: {
                    "status": result.status,
                    "latency_ms": result.latency_ms,
                    "detail": result.detail,
                }
                for name, result in health.checks.items()
            },
        }
        return _json(503 if health.status == "failed" else 200, body)

    return router


def _json(status: int, body: object) -> Response:
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, status, media_type="application/json")

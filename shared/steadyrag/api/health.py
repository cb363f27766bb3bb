"""GET /health/live and GET /health."""

import json
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from steadyrag import __version__
from steadyrag.api.schemas import HealthResponse
from steadyrag.health import BreakerStates, Probes, Readiness
from steadyrag.telemetry.catalogue import READY
from steadyrag.telemetry.metrics import count


def build_version(entry_point: str) -> str:
    """The package's version and, where the build left one beside the entry point, the
    release's fingerprint: `0.1.0+4f2a91c07be5d318`."""
    try:
        release = Path(entry_point).with_name("RELEASE").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return __version__
    return f"{__version__}+{release}"


def health_router(
    probes: Probes, *, breakers: BreakerStates = dict, version: str = __version__
) -> APIRouter:
    """Liveness without I/O, and readiness that asks every dependency."""
    router = APIRouter()
    readiness = Readiness(probes, breakers=breakers)

    @router.get("/health/live", summary="Is the process up?", response_model=HealthResponse)
    async def live() -> Response:
        """Answers without touching anything."""
        return _json(200, {"status": "ok", "version": version, "checks": {}, "breakers": {}})

    @router.get(
        "/health",
        summary="Can it answer?",
        response_model=HealthResponse,
        responses={503: {"model": HealthResponse, "description": "The index can't be reached"}},
    )
    async def ready() -> Response:
        """Probes every dependency in parallel, each under its own timeout. A result is kept
        for 5 seconds."""
        health = await readiness.check()
        count(READY, 0 if health.status == "failed" else 1)
        body = {
            "status": health.status,
            "version": version,
            "checks": {
                name: {
                    "status": result.status,
                    "latency_ms": result.latency_ms,
                    "detail": result.detail,
                }
                for name, result in health.checks.items()
            },
            "breakers": dict(health.breakers),
        }
        return _json(503 if health.status == "failed" else 200, body)

    return router


def _json(status: int, body: object) -> Response:
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, status, media_type="application/json")

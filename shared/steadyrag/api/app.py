"""Puts routers under one application, with errors in one form."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steadyrag import __version__
from steadyrag.api.body import InvalidFields
from steadyrag.api.middleware import Envelope
from steadyrag.api.problems import caller_problem, problem
from steadyrag.api.rate_limit_headers import RateLimitHeaders
from steadyrag.api.schemas import SearchRequest
from steadyrag.domain.errors import CallerError


def create_app(routers: Iterable[APIRouter], *, cors_origin: str = "*") -> FastAPI:
    """An ASGI application of these routers."""
    app = FastAPI(
        title="Steadyrag",
        version=__version__,
        description="Ask a question; read an answer with its sources.",
        exception_handlers={CallerError: _caller_error, HTTPException: _http_error},
    )
    for router in routers:
        app.include_router(router)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(Envelope, cors_origin=cors_origin)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def _caller_error(request: Request, error: Exception) -> Response:
    if isinstance(error, InvalidFields):
        return caller_problem(*error.errors)
    assert isinstance(error, CallerError)  # noqa: S101 - what the handler is registered for
    return caller_problem(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    return problem(error.status_code, str(error.detail), headers=error.headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema FastAPI makes, with the bodies that are read by hand."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, defined = models_json_schema(
            [(SearchRequest, "validation")], ref_template="#/components/schemas/{model}"
        )
        schema.setdefault("components", {}).setdefault("schemas", {}).update(defined["$defs"])
        app.openapi_schema = schema
    return app.openapi_schema

"""Puts routers under one application, with errors in one form."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from steadyrag import __version__
from steadyrag.api.body import InvalidFields
from steadyrag.api.middleware import Envelope
from steadyrag.api.openapi import openapi
from steadyrag.api.problems import caller_problem, problem
from steadyrag.api.rate_limit_headers import RateLimitHeaders
from steadyrag.domain.errors import CallerError

if TYPE_CHECKING:
    from steadyrag.api.console_door import ConsoleDoor
    from steadyrag.resilience.live_config import ConfigPoller


def create_app(
    routers: Iterable[APIRouter],
    *,
    cors_origin: str = "*",
    live: "ConfigPoller | None" = None,
    door: "ConsoleDoor | None" = None,
) -> FastAPI:
    """An ASGI application of these routers, whose requests keep `live` fresh. `door` refuses those
    that ask for it by names that are not its own."""
    app = FastAPI(
        title="Steadyrag",
        version=__version__,
        description="Ask a question; read an answer with its sources.",
        exception_handlers={CallerError: _caller_error, HTTPException: _http_error},
    )
    app.state.routers = tuple(routers)
    for router in app.state.routers:
        app.include_router(router)
    if door:
        from steadyrag.api.own_names import OwnNames

        app.add_middleware(OwnNames, door=door)
    if live:
        from steadyrag.api.live_config import LiveConfigRefresh

        app.add_middleware(LiveConfigRefresh, live=live)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(Envelope, cors_origin=cors_origin)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


async def _caller_error(request: Request, error: Exception) -> Response:
    if isinstance(error, InvalidFields):
        return caller_problem(*error.errors)
    assert isinstance(error, CallerError)  # noqa: S101 - what the handler is registered for
    return caller_problem(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> set[str]:
    """All that the path takes; Starlette names those of the first of its routes only."""
    return {
        method
        for router in request.app.state.routers
        for route in router.routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    }

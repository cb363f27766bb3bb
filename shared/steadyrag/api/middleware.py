"""What every response gets: a request id, CORS, and never a stack trace. What is logged and
counted meanwhile is the request's."""

import logging
import re
import uuid
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steadyrag.api.problems import problem
from steadyrag.telemetry.catalogue import ERRORS
from steadyrag.telemetry.log import request
from steadyrag.telemetry.metrics import collecting, count

log = logging.getLogger(__name__)

_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Envelope:
    """Adds `X-Request-Id` and CORS headers, and turns a bug into a 500 problem document.

    The id is API Gateway's where there is one, else the caller's `X-Request-Id` where it is
    harmless, else a new one; handlers find it in `scope["state"]["request_id"]`.
    """

    def __init__(self, app: ASGIApp, cors_origin: str) -> None:
        self._app = app
        self._headers = [
            (b"access-control-allow-origin", cors_origin.encode("latin-1")),
            (
                b"access-control-expose-headers",
                b"Age, Cache-Status, Server-Timing, X-Request-Id, X-Steadyrag-Mode, "
                b"X-Steadyrag-Degraded, RateLimit, RateLimit-Policy, Retry-After",
            ),
            (b"cache-control", b"no-store"),
        ]
        if cors_origin != "*":
            self._headers.append((b"vary", b"Origin"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        with request(request_id), collecting():
            await self._respond(scope, receive, send, request_id)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        scope.setdefault("state", {})["request_id"] = request_id
        extra = [*self._headers, (b"x-request-id", request_id.encode())]
        started = False

        async def send_with_headers(event: Message) -> None:
            nonlocal started
            if event["type"] == "http.response.start":
                started = True
                event["headers"] = [*event["headers"], *extra]
            await send(event)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request broke")
            count(ERRORS)
            if started:
                raise
            response = problem(
                500, f"Something broke on our side; quote {request_id} to report it."
            )
            await response(scope, receive, send_with_headers)


def _request_id(scope: Scope) -> str:
    event: dict[str, Any] = scope.get("aws.event") or {}
    gateway = (event.get("requestContext") or {}).get("requestId")
    if isinstance(gateway, str) and gateway:
        return gateway
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex

"""Requests to an application as a gateway would send them, without a socket in between."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message

from steadyrag.api import create_app
from steadyrag.api.search import search_router
from steadyrag.search import Service


@dataclass(frozen=True, slots=True)
class Reply:
    """What a caller got; `seconds` is how long it took."""

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float


def application(service: Service, **options: Any) -> ASGIApp:
    """`POST /search` of this service; `options` are the router's."""
    return create_app([search_router(service, **options)])


async def ask(app: ASGIApp, question: str, *, refresh: bool = False, **fields: Any) -> Reply:
    """`POST /search` with this question; `fields` are further fields of the body."""
    body = json.dumps({"query": question, **fields}).encode()
    headers = {"content-type": "application/json"}
    if refresh:
        headers["cache-control"] = "no-cache"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/search",
        "raw_path": b"/search",
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    started = time.perf_counter()
    await app(scope, receive, send)
    seconds = time.perf_counter() - started
    start = sent[0]
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(
        status=start["status"],
        headers={k.decode().lower(): v.decode() for k, v in start["headers"]},
        body=json.loads(content),
        seconds=seconds,
    )

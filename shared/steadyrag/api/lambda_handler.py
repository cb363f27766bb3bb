"""The application as a Lambda handler behind a REST API."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from mangum import Mangum
from mangum.types import ASGI

from steadyrag.api.cold_start import ColdStart

type Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

TEXT_TYPES = ["text/", "application/json", "application/problem+json"]
"""Everything else would be encoded as base64, which a REST API hands on undecoded."""


def lambda_handler(app: ASGI, *, function: str | None = None) -> Handler:
    """`app` for API Gateway's proxy events. Makes the event loop that every invocation of the
    environment shares, so that clients made in one are there in the next. The first of them is
    counted as a cold start of `function`.

    `lifespan="auto"` would start and stop the application on every invocation.
    """
    adapter = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
    started = ColdStart(function)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        started.invoked()
        return adapter(_below_base_path(event), context)

    return handler


def initialise(prepare: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does in the init phase, when nobody waits and the processor is whole, what the first
    invocation would do. Call it after `lambda_handler`, whose loop it runs on.

    What is there then stays: no garbage collection goes through it again.
    """
    asyncio.get_event_loop().run_until_complete(prepare())
    gc.freeze()


def _below_base_path(event: dict[str, Any]) -> dict[str, Any]:
    """`event` with the path that its resource has: under a custom domain the path begins with
    the base path of the mapping, `/rag/search`, which the application knows nothing of. A slash
    at the end, which the gateway overlooks, would make the application redirect elsewhere.

    The last part of a resource may stand for several (`/documents/{id+}`); how many, its value
    says. Whether the gateway has decoded the path does not matter: nothing that the API names
    holds a percent sign.
    """
    path, resource = event.get("path"), event.get("resource")
    if not isinstance(path, str) or not isinstance(resource, str):
        return event
    segments = unquote(path).rstrip("/").split("/")
    extra = len(segments) - len(resource.split("/")) - _greedy_parts(event, resource)
    return event if extra < 0 else {**event, "path": "/".join(["", *segments[extra + 1 :]])}


def _greedy_parts(event: dict[str, Any], resource: str) -> int:
    """How many segments more than one the last part of the resource stands for."""
    if not resource.endswith("+}"):
        return 0
    name = resource.rpartition("{")[2].removesuffix("+}")
    value = (event.get("pathParameters") or {}).get(name)
    return unquote(value).rstrip("/").count("/") if isinstance(value, str) else 0

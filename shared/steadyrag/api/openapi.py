"""The OpenAPI document: what FastAPI finds out, with what it can't see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from steadyrag.api import patterns
from steadyrag.api.schemas import SearchRequest

_ALWAYS = {"X-Request-Id": "Names the request in logs; quote it to report a problem."}
_BY_STATUS = {
    "202": {"Location": "Where to ask what became of it."},
    "429": {
        "Retry-After": "Seconds until one more is allowed.",
        "RateLimit": "What is left of the tighter limit (draft-ietf-httpapi-ratelimit-headers).",
        "RateLimit-Policy": "The limits that hold.",
    },
}
_ANSWERED = {
    "X-Steadyrag-Mode": "As `mode` in the body.",
    "Cache-Status": "Where the answer came from (RFC 9211).",
    "Server-Timing": "Milliseconds by stage, as `timings_ms`.",
}


def openapi(app: FastAPI) -> dict[str, Any]:
    """Made once: bodies that are read by hand, and headers that middleware adds."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _define(schema.setdefault("components", {}).setdefault("schemas", {}))
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                for status, response in operation["responses"].items():
                    _head(response, _headers(f"{method} {path}", status))
        app.openapi_schema = schema
    return app.openapi_schema


def _define(components: dict[str, Any]) -> None:
    from steadyrag.api.document_schemas import DocumentRequest  # a search doesn't need it
    from steadyrag.api.feedback_schemas import FeedbackRequest

    _, defined = models_json_schema(
        [
            (SearchRequest, "validation"),
            (DocumentRequest, "validation"),
            (FeedbackRequest, "validation"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    components.update(defined["$defs"] | {"Filter": patterns.FILTER})
    components["SearchRequest"]["properties"]["filter"]["$ref"] = "#/components/schemas/Filter"


def _headers(route: str, status: str) -> dict[str, str]:
    if (route, status) == ("post /search", "200"):
        return _ALWAYS | _ANSWERED
    if status == "202" and route != "post /documents":
        return _ALWAYS
    return _ALWAYS | _BY_STATUS.get(status, {})


def _head(response: dict[str, Any], headers: dict[str, str]) -> None:
    response["headers"] = {
        name: {"description": text, "required": True, "schema": {"type": "string"}}
        for name, text in headers.items()
    }

"""POST /documents, GET and DELETE /documents/{id}."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steadyrag.api import patterns
from steadyrag.api.access import Access
from steadyrag.api.body import BodyTooLarge, read_json
from steadyrag.api.document_schemas import (
    DocumentRequest,
    DocumentResponse,
    document_body,
    upload_body,
)
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.schemas import Problem
from steadyrag.documents import DocumentParts, add, add_by_upload, look_up, remove
from steadyrag.domain.document_ids import LONGEST_ID_BYTES, clean_document_id
from steadyrag.domain.errors import DependencyError, InvalidInput, Throttled
from steadyrag.domain.objects import Place
from steadyrag.domain.text import clean_namespace

MAX_BODY_BYTES = 5 * 1024 * 1024
"""Lambda takes 6 MB, in which the body is written as a JSON text."""

_PROBLEMS: Mapping[int, str] = {
    400: "The body is not JSON",
    403: "The namespace is not this caller's",
    404: "There is no such document",
    413: "The body is too large; ask for an upload",
    415: "The body is not declared as JSON",
    422: "A field is wrong; `errors` names it",
    429: "Too many requests; `Retry-After` says when to come back",
    503: "Something that documents need can't be reached; nothing was lost, try again",
}


# For the schema only: the domain checks them, and its errors name the field as all others do.
Id = Annotated[
    str,
    Path(json_schema_extra=patterns.text(LONGEST_ID_BYTES, pattern=patterns.DOCUMENT_ID)),
]
Namespace = Annotated[str, Query(json_schema_extra={"pattern": patterns.NAMESPACE})]


def documents_router(
    parts: DocumentParts, access: Access | None = None, rate_limit: RateLimit | None = None
) -> APIRouter:
    """The routes for documents. Without `access` every caller may use every namespace, and
    without a `rate_limit` as often as they like."""
    door = access or Access()
    limit = rate_limit or RateLimit(None)
    router = APIRouter()

    async def admitted(request: Request, namespace: str) -> None:
        door.check(request, namespace)
        await limit.enforce(request)

    @router.post(
        "/documents",
        summary="Add or replace a document",
        status_code=202,
        response_model=DocumentResponse,
        responses=_responses(400, 403, 413, 415, 422, 429, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/DocumentRequest"}}
                },
            }
        },
    )
    async def post(request: Request) -> Response:
        """Takes a document in. It can be found some seconds later: ask for its `status`."""
        try:
            body = await read_json(request, DocumentRequest, most_bytes=MAX_BODY_BYTES)
        except BodyTooLarge as error:
            raise BodyTooLarge(f"{error}; send upload: true instead of the content") from None
        place = body.place()
        await admitted(request, place.namespace)
        attributes, content = body.attributes(), body.bytes()
        try:
            if content is not None:
                entry = await add(place, content, attributes, parts)
                answer = document_body(place, entry)
            else:
                upload = await add_by_upload(place, attributes, parts)
                answer = upload_body(place, attributes, upload)
        except NotImplementedError:
            raise InvalidInput("upload", "is not offered here; send text or content") from None
        except DependencyError as error:
            raise _unavailable(error) from error
        # Relative, as the gateway puts a stage or a base path before it.
        where = f"documents/{quote(place.document_id)}?namespace={place.namespace}"
        return _json(answer, 202, {"Location": where})

    @router.get(
        "/documents/{id:path}",
        summary="What became of a document",
        response_model=DocumentResponse,
        responses=_responses(403, 404, 422, 429, 503),
    )
    async def get(request: Request, id: Id, namespace: Namespace = "default") -> Response:
        """Its status, and why where it failed."""
        place = _place(namespace, id)
        await admitted(request, place.namespace)
        try:
            entry = await look_up(place, parts)
        except DependencyError as error:
            raise _unavailable(error) from error
        return _json(document_body(place, entry), 200)

    @router.delete(
        "/documents/{id:path}",
        summary="Delete a document",
        status_code=202,
        response_model=DocumentResponse,
        responses=_responses(403, 404, 422, 429, 503),
    )
    async def delete(request: Request, id: Id, namespace: Namespace = "default") -> Response:
        """Takes it away. No answer shows it any more once this has been answered."""
        place = _place(namespace, id)
        await admitted(request, place.namespace)
        try:
            entry = await remove(place, parts)
        except DependencyError as error:
            raise _unavailable(error) from error
        return _json(document_body(place, entry), 202)

    return router


def _place(namespace: str, id: str) -> Place:
    return Place(clean_namespace(namespace), clean_document_id(id))


def _responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "model": Problem,
            "content": {"application/problem+json": {}},
            "description": _PROBLEMS[status],
        }
        for status in statuses
    }


def _unavailable(error: DependencyError) -> HTTPException:
    """503: unlike a search, a change has no lower rung to fall back to."""
    wait_s = error.retry_after_s or (5.0 if isinstance(error, Throttled) else 2.0)
    return HTTPException(
        503,
        f"{error.dependency} can't be reached now; nothing was lost, send it again",
        headers={"Retry-After": str(max(1, round(wait_s)))},
    )


def _json(body: dict[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, status, headers=dict(headers or {}), media_type="application/json")

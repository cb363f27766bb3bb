"""Errors as RFC 9457 problem documents (`application/problem+json`)."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.responses import Response

from steadyrag.domain.errors import CallerError, InvalidInput

MEDIA_TYPE = "application/problem+json"

TYPES: Mapping[int, str] = {
    400: "malformed-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    429: "rate-limited",
    500: "internal-error",
    503: "unavailable",
    504: "timed-out",
}
"""Stable problem types by status: `urn:steadyrag:problem:<name>`."""


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document. `errors` names each wrong field: `{"field": …, "problem": …}`."""
    body: dict[str, object] = {
        "type": f"urn:steadyrag:problem:{TYPES.get(status, 'error')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def caller_problem(*errors: CallerError) -> Response:
    """The problem document for one or more of the caller's mistakes, all of one class."""
    fields = [
        {"field": error.field, "problem": error.problem}
        for error in errors
        if isinstance(error, InvalidInput)
    ]
    return problem(errors[0].status, "; ".join(map(str, errors)), errors=fields)

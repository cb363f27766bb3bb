"""Reads a JSON request body: bounded, typed, with every mistake named."""

import json
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from steadyrag.domain.errors import CallerError, InvalidInput

MAX_BYTES = 256 * 1024
MAX_ERRORS = 20
"""Mistakes named in one answer, which would else be many times as large as its request."""


class MalformedBody(CallerError):
    """The body is not JSON."""

    status = 400


class BodyTooLarge(CallerError):
    status = 413


class NotJson(CallerError):
    status = 415


class InvalidFields(InvalidInput):
    """Several fields are wrong; `errors` has one `InvalidInput` for each."""

    def __init__(self, errors: list[InvalidInput]) -> None:
        super().__init__(errors[0].field, errors[0].problem)
        self.errors = errors


async def read_json[M: BaseModel](
    request: Request, model: type[M], *, most_bytes: int = MAX_BYTES
) -> M:
    """The body as `model`; raises a `CallerError` that says what is wrong with it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise NotJson(f"content-type: send application/json, not {media_type[:80] or 'nothing'}")
    try:
        raw = json.loads(await _bounded(request, most_bytes), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"body: is not valid JSON at {where}") from None
    except (ValueError, RecursionError):
        raise MalformedBody("body: is not valid JSON") from None
    if not isinstance(raw, dict):
        raise InvalidInput("body", "must be a JSON object")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidFields([_named(dict(part)) for part in found[:MAX_ERRORS]]) from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


async def _bounded(request: Request, most_bytes: int) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > most_bytes:
                raise BodyTooLarge(f"body: is larger than {most_bytes // 1024} kB")
    except ClientDisconnect:  # nobody is left to read this; it is no failure of ours, though
        raise MalformedBody("body: broke off") from None
    return bytes(body)


def _named(error: dict[str, Any]) -> InvalidInput:
    field = ".".join(str(part) for part in error["loc"]) or "body"
    if error["type"] == "extra_forbidden":
        return InvalidInput(_shown(field), "is not a field of this request")
    if error["type"] == "missing":
        return InvalidInput(field, "is required")
    text = str(error["msg"])
    return InvalidInput(_shown(field), text[:1].lower() + text[1:])


def _shown(field: str) -> str:
    return field.encode("ascii", "backslashreplace").decode()[:128]

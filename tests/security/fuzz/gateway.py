"""API Gateway's part, over HTTP: a request becomes a proxy event, the handler's answer a
response."""

import asyncio
import base64
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

CONTEXT = SimpleNamespace(
    function_name="steadyrag-fuzz",
    aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:steadyrag-fuzz",
    get_remaining_time_in_millis=lambda: 28_000,
)


class Gateway:
    """An ASGI application in front of a Lambda handler, which is invoked once at a time, in
    the thread it was made in, as an environment does. `make` makes it there."""

    def __init__(self, make: Any) -> None:
        self._environment = ThreadPoolExecutor(1, thread_name_prefix="lambda")
        self._handler = self._environment.submit(_in_a_loop, make).result()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        event = _event(scope, await _body(receive))
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._environment, self._handler, event, CONTEXT)
        body = answer["body"].encode()
        if answer.get("isBase64Encoded"):
            body = base64.b64decode(body)
        headers = [(k, v) for k, v in answer.get("headers", {}).items()]
        headers += [(k, v) for k, vs in answer.get("multiValueHeaders", {}).items() for v in vs]
        await send(
            {
                "type": "http.response.start",
                "status": answer["statusCode"],
                "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def close(self) -> None:
        self._environment.shutdown()


def _in_a_loop(make: Any) -> Any:
    asyncio.set_event_loop(asyncio.new_event_loop())
    return make()


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if event["type"] != "http.request" or not event.get("more_body"):
            return body


def _event(scope: Any, body: bytes) -> dict[str, Any]:
    """The proxy event (payload format 1.0); a body that is no text comes as base64."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        query.setdefault(name, []).append(value)
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(body).decode(), True
    return {
        "resource": scope["path"],
        "path": scope["raw_path"].decode("latin-1"),
        "httpMethod": scope["method"],
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "httpMethod": scope["method"],
            "stage": "prod",
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": "203.0.113.9", "apiKeyId": "key1"},
            "protocol": "HTTP/1.1",
        },
        "body": text or None,
        "isBase64Encoded": encoded,
    }

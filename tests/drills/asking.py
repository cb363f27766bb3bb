"""A request as it reaches the application by API Gateway and Lambda."""

import json
from typing import Any

KEY = "a1b2c3"


async def asked(app: Any, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """Status and body of the answer to a caller with an API key."""
    content = b"" if body is None else json.dumps(body).encode()
    identity = {"apiKeyId": KEY, "sourceIp": "203.0.113.7"}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "https",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("203.0.113.7", 0),
        "server": ("api.test", 443),
        "aws.event": {"requestContext": {"identity": identity, "requestId": None}},
    }
    statuses: list[int] = []
    bodies: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])
        else:
            bodies.append(event.get("body", b""))

    await app(scope, receive, send)
    return statuses[0], b"".join(bodies)

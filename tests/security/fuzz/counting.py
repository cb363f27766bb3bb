"""What was asked and answered, as the outermost layer of an application sees it."""

import threading
from collections import Counter
from typing import Any

NO_ROUTE = "(no such route)"


class Counting:
    """An ASGI application around another. `answers` counts (route, status), where a route is
    `GET /documents/{id}`."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.answers: Counter[tuple[str, int]] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] == "/openapi.json":
            await self._app(scope, receive, send)
            return

        async def seen(event: Any) -> None:
            if event["type"] == "http.response.start":
                with self._lock:
                    self.answers[_route(scope), event["status"]] += 1
            await send(event)

        await self._app(scope, receive, seen)


def _route(scope: Any) -> str:
    route = getattr(scope.get("route"), "path_format", None)
    return f"{scope['method']} {route}" if route else NO_ROUTE

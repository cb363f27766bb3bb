"""Live configuration, kept fresh by the requests that it is for."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steadyrag.api.access import Forbidden
from steadyrag.api.problems import caller_problem
from steadyrag.resilience.live_config import ConfigPoller


class LiveConfigRefresh:
    """Middleware that has the configuration read, when it is time to, while the request runs.

    The answer waits for the reading, but no longer than a moment, since Lambda freezes the
    environment with the response. What was allowed under the configuration as it was then,
    and no longer is, does not leave.
    """

    def __init__(self, app: ASGIApp, live: ConfigPoller) -> None:
        self._app = app
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._live.begin()
        if not self._live.known:
            await self._live.settled()
        withdrawn = False

        async def send_if_still_allowed(event: Message) -> None:
            nonlocal withdrawn
            if event["type"] == "http.response.start":
                await self._live.settled()
                withdrawn = not all(still() for still in scope.get("state", {}).get("allowed", ()))
                if withdrawn:
                    await caller_problem(Forbidden())(scope, receive, send)
            if not withdrawn:
                await send(event)

        await self._app(scope, receive, send_if_still_allowed)

"""Keeps a server for those who ask for it by a name of its own."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from steadyrag.api.console_door import ConsoleDoor
from steadyrag.api.problems import problem


class OwnNames:
    """Answers 403 to any other `Host`, whatever the path: by a name that was made to point here
    a page of another site is, to the browser, a page of this server."""

    def __init__(self, app: ASGIApp, door: ConsoleDoor) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._door.refusal(Request(scope))):
            await problem(403, refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

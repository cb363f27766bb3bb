"""The local console: its page, and what the page asks for. Served by `steadyrag serve` alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from steadyrag.api.console_door import ConsoleDoor
from steadyrag.api.console_files import HEADERS, console_files
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ports import RecordStore
from steadyrag.domain.records import Recorded
from steadyrag.telemetry.encoding import encoded

_RUNBOOK = re.compile(r"[a-z][a-z0-9-]{0,63}")


class Monitor(Protocol):
    """What the metrics of this process say. Plain data, as the page reads it."""

    def metrics(self) -> Mapping[str, Any]: ...

    def alarms(self) -> Mapping[str, Any]: ...

    def runbook(self, name: str, language: Literal["en", "ko"]) -> str | None:
        """In Markdown, in the other language where this one is missing."""


def console_router(store: RecordStore, monitor: Monitor, door: ConsoleDoor) -> APIRouter:
    """The page at `/console`, which `/` leads to, and its data under `/console/api/`. Not part
    of the API: what it answers may change with the page."""
    files = console_files()
    router = APIRouter(include_in_schema=False, dependencies=[Depends(_guard(door))])

    @router.get("/")
    async def home() -> Response:
        return RedirectResponse("/console")

    @router.get("/console")
    async def page() -> Response:
        return files["index.html"]

    @router.get("/console/api/searches")
    async def searches(
        failed: bool | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Response:
        with _readable():
            found = await store.recent(limit, failed=failed)
        return _json({"searches": [recorded_body(one) for one in found]})

    @router.get("/console/api/searches/{search_id}")
    async def one_search(search_id: str) -> Response:
        with _readable():
            found = await store.get(search_id)
        if found is None:
            raise HTTPException(404, "search_id: no such search was recorded here")
        return _json(recorded_body(found))

    @router.get("/console/api/metrics")
    async def metrics() -> Response:
        return _json(monitor.metrics())

    @router.get("/console/api/alarms")
    async def alarms() -> Response:
        return _json(monitor.alarms())

    @router.get("/console/api/runbooks/{name}")
    async def runbook(name: str, language: Literal["en", "ko"] = "en") -> Response:
        text = monitor.runbook(name, language) if _RUNBOOK.fullmatch(name) else None
        if text is None:
            raise HTTPException(404, "runbook: there is none of this name beside this server")
        return _json({"name": name, "text": text})

    @router.get("/console/{name}")
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "the console has no such file")
        return files[name]

    return router


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise HTTPException(
            503,
            f"what was searched can't be read now: {error.problem}; searches go on without it, "
            "try again or look at that file",
        ) from None


def _guard(door: ConsoleDoor) -> Any:
    async def guard(request: Request) -> None:
        data = request.url.path.startswith("/console/api/")
        (door.data if data else door.page)(request)

    return guard


def recorded_body(recorded: Recorded) -> dict[str, Any]:
    """A search with its feedback as plain data."""
    search = recorded.search
    body = asdict(search) | {"failed": search.failed}
    return body | {"feedback": [asdict(one) for one in recorded.feedback]}


def _json(body: Mapping[str, Any]) -> Response:
    return Response(encoded(body), headers=HEADERS, media_type="application/json")

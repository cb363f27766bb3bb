"""POST /search."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from steadyrag.api.access import Access
from steadyrag.api.body import read_json
from steadyrag.api.deadline import request_deadline_s
from steadyrag.api.rate_limit import RateLimit, RateLimited
from steadyrag.api.schemas import Problem, SearchRequest, SearchResponse, search_body
from steadyrag.api.search_ids import SearchIds
from steadyrag.api.search_record import Recording
from steadyrag.domain.models import Answer, Stage
from steadyrag.resilience.deadline import deadline
from steadyrag.search import Service, search
from steadyrag.telemetry.spans import span


def search_router(
    service: Service,
    rate_limit: RateLimit | None = None,
    access: Access | None = None,
    ids: SearchIds | None = None,
) -> APIRouter:
    """The route that answers questions. Without a `rate_limit` nobody is limited, without
    `access` everybody may use every namespace, and without `ids` nobody can say what they
    thought of an answer."""
    limit = rate_limit or RateLimit(None)
    allowed = access or Access()
    router = APIRouter()
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
        for status, text in {
            400: "The body is not JSON",
            403: "The namespace is not for this caller",
            413: "The body is too large",
            415: "The body is not declared as JSON",
            422: "A field is wrong; `errors` names it",
            429: "Too many requests; `Retry-After` says when to come back",
            503: "Not known yet who may use which namespace; `Retry-After` says when to come back",
        }.items()
    }

    @router.post(
        "/search",
        summary="Ask a question",
        response_model=SearchResponse,
        responses=problems,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/SearchRequest"}}
                },
            }
        },
    )
    async def ask(request: Request) -> Response:
        """Answers from the indexed documents, in the question's language, with citations."""
        recording = Recording(request.scope.get("state", {}).get("request_id"))
        with span("search"):
            try:
                answer = await _answer(request, recording)
            except RateLimited:
                raise  # a flood of them would be all that is left of the record
            except Exception as error:
                recording.failed(error)
                raise
            recording.answered(answer)
        return Response(
            json.dumps(search_body(answer), ensure_ascii=False).encode(),
            media_type="application/json",
            headers={
                "Server-Timing": server_timing(answer.timings_ms),
                "X-Steadyrag-Mode": answer.mode,
                **({"X-Steadyrag-Degraded": ", ".join(answer.degraded)} if answer.degraded else {}),
                "Cache-Status": answer.cache.header,
                **({} if answer.cache.age_s is None else {"Age": str(answer.cache.age_s)}),
            },
        )

    async def _answer(request: Request, recording: Recording) -> Answer:
        asked = await read_json(request, SearchRequest)
        recording.text = asked.query
        recording.query = query = asked.to_query()
        allowed.check(request, query.namespace)
        deadline_s = request_deadline_s(request.scope, default_s=service.options.deadline_s)
        refresh = "no-cache" in request.headers.get("cache-control", "").lower()
        started = time.perf_counter()
        with deadline(deadline_s):
            caller = await limit.enforce(request, user=query.user)
            if ids:
                recording.caller = ids.pseudonym(caller)
            limit_ms = round((time.perf_counter() - started) * 1000, 2)
            answer = await search(query, service, deadline_s=deadline_s, refresh=refresh)
        if ids:
            answer = replace(answer, search_id=ids.sign(request, answer.search_id))
        return _with_limit(answer, limit_ms)

    return router


def _with_limit(answer: Answer, limit_ms: float) -> Answer:
    """The answer whose timings say how long counting the request took, too."""
    timed = {"limit": limit_ms, **answer.timings_ms}
    for reached in ("sources", "total"):
        if reached in timed:
            timed[reached] = round(timed[reached] + limit_ms, 2)
    later = [replace(s, start_ms=round(s.start_ms + limit_ms, 2)) for s in answer.stages]
    return replace(answer, timings_ms=timed, stages=[Stage("limit", 0.0, limit_ms), *later])


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """The stages as a `Server-Timing` header (W3C): `embedding;dur=150.2, …`."""
    return ", ".join(f"{stage};dur={ms:g}" for stage, ms in timings_ms.items())

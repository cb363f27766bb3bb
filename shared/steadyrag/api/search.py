"""POST /search."""

import json
import logging
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
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.schemas import Problem, SearchRequest, SearchResponse, search_body
from steadyrag.domain.models import Answer
from steadyrag.resilience.deadline import deadline
from steadyrag.search import Service, search
from steadyrag.telemetry import metrics
from steadyrag.telemetry.spans import annotate, span

log = logging.getLogger(__name__)


def search_router(
    service: Service, rate_limit: RateLimit | None = None, access: Access | None = None
) -> APIRouter:
    """The route that answers questions. Without a `rate_limit` nobody is limited, and without
    `access` everybody may use every namespace."""
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
        with span("search"):
            query = (await read_json(request, SearchRequest)).to_query()
            allowed.check(request, query.namespace)
            deadline_s = request_deadline_s(request.scope, default_s=service.options.deadline_s)
            refresh = "no-cache" in request.headers.get("cache-control", "").lower()
            started = time.perf_counter()
            with deadline(deadline_s):
                await limit.enforce(request, user=query.user)
                limit_ms = (time.perf_counter() - started) * 1000
                answer = await search(query, service, deadline_s=deadline_s, refresh=refresh)
            answer = _with_limit(answer, limit_ms)
            _record(answer)
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

    return router


def _with_limit(answer: Answer, limit_ms: float) -> Answer:
    """The answer whose timings say how long counting the request took, too."""
    total_ms = answer.timings_ms["total"] + limit_ms
    timed = {"limit": round(limit_ms, 2), **answer.timings_ms, "total": round(total_ms, 2)}
    return replace(answer, timings_ms=timed)


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """The stages as a `Server-Timing` header (W3C): `embedding;dur=150.2, …`."""
    return ", ".join(f"{stage};dur={ms:g}" for stage, ms in timings_ms.items())


def _record(answer: Answer) -> None:
    """Says in log, metrics and trace what the answer says."""
    log.info(
        "search",
        extra={
            "search_id": answer.search_id,
            "mode": answer.mode,
            "degraded": list(answer.degraded),
            "cache": answer.cache.status,
            "sources": len(answer.sources),
            "top_score": max((source.score for source in answer.sources), default=None),
            "model": answer.model,
            "timings_ms": dict(answer.timings_ms),
        },
    )
    metrics.answered(answer)
    annotate(search_id=answer.search_id, mode=answer.mode, cache=answer.cache.status)
    if answer.degraded:
        annotate(degraded=",".join(answer.degraded))

"""POST /feedback."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from steadyrag.api.body import read_json
from steadyrag.api.feedback_schemas import FeedbackRequest, FeedbackResponse
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.schemas import Problem
from steadyrag.api.search_ids import SearchIds
from steadyrag.feedback import FeedbackParts, take_feedback


def feedback_router(
    ids: SearchIds, rate_limit: RateLimit | None = None, parts: FeedbackParts | None = None
) -> APIRouter:
    """The route that takes feedback, from whom `ids` gave the search. Without a `rate_limit`
    nobody is limited; without `parts` nothing is kept but a line in the log."""
    limit = rate_limit or RateLimit(None)
    taking = parts or FeedbackParts()
    router = APIRouter()
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
        for status, text in {
            400: "The body is not JSON",
            404: "There is no such search of this caller",
            413: "The body is too large",
            415: "The body is not declared as JSON",
            422: "A field is wrong; `errors` names it",
            429: "Too many requests; `Retry-After` says when to come back",
        }.items()
    }

    @router.post(
        "/feedback",
        summary="Say what an answer was worth",
        status_code=202,
        response_model=FeedbackResponse,
        responses=problems,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/FeedbackRequest"}}
                },
            }
        },
    )
    async def take(request: Request) -> Response:
        """Takes it from who asked. Sending it again changes nothing."""
        body = await read_json(request, FeedbackRequest)
        search_id, comment = body.id(), body.cleaned_comment()
        await limit.enforce(request)
        ids.check(request, search_id)
        await take_feedback(
            search_id,
            taking,
            clicked_rank=body.clicked_rank,
            rating=body.rating,
            comment=comment,
        )
        content = json.dumps({"search_id": search_id, "status": "accepted"}).encode()
        return Response(content, 202, media_type="application/json")

    return router

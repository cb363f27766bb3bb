"""`make fuzz` itself: that it finds what is broken, and when it says so."""

import contextlib
from collections import Counter

import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from security.fuzz.counting import NO_ROUTE, Counting
from security.fuzz.report import FuzzReport
from security.fuzz.run import run
from security.fuzz.served import served, serving
from steadyrag.api import create_app


def report(answers: dict[tuple[str, int], int], **changes) -> FuzzReport:
    values = {"failures": [], "errors": [], "told": [], "seconds": 1.0, "seed": 1, "wanted": 100}
    return FuzzReport(answers={"over HTTP": Counter(answers)}, **(values | changes))


ASK = "POST /search"


@pytest.mark.parametrize(
    ("made", "met"),
    [
        (report({(ASK, 200): 50, (ASK, 422): 50}), True),
        (report({(ASK, 200): 99, (ASK, 500): 1}), False),
        (report({(ASK, 200): 99, (ASK, 503): 1}), False),
        (report({(ASK, 200): 96, (ASK, 429): 4}), True),
        (report({(ASK, 200): 95, (ASK, 429): 5}), False),
        (report({(ASK, 200): 99}), False),
        (report({(ASK, 200): 100}, failures=["Undocumented status: POST /search"]), False),
        (report({(ASK, 200): 100}, errors=["Schema error"]), False),
    ],
)
def test_a_run_is_met_when_nothing_broke_and_enough_was_asked(made, met):
    assert made.met is made.as_json()["met"] is met


def test_the_api_as_it_is_passes_through_the_lambda_handler():
    with served(by_lambda=True) as (url, counting):
        outcome = run(url, examples=1, seed=1)
    assert (outcome.failures, outcome.errors) == ([], []), outcome.told
    routes = {route for route, _ in counting.answers}
    assert routes == {
        NO_ROUTE,
        "POST /search",
        "POST /feedback",
        "GET /health",
        "GET /health/live",
        "POST /documents",
        "GET /documents/{id}",
        "DELETE /documents/{id}",
    } | {route for route in routes if (route, 405) in counting.answers}
    assert all(status < 500 for _, status in counting.answers)


class Said(BaseModel):
    n: int


@pytest.mark.parametrize("how", ["breaks", "says what its schema does not"])
def test_what_is_broken_is_found(how):
    router = APIRouter()

    @router.get("/thing", response_model=Said)
    async def thing(request: Request, n: int = 0) -> Response:
        if how == "breaks" and n > 3:
            raise RuntimeError("n")
        return Response('{"n": "text"}', media_type="application/json")

    with contextlib.ExitStack() as ending:
        url = ending.enter_context(serving(counting := Counting(create_app([router]))))
        outcome = run(url, examples=20, seed=1)
    assert outcome.failures
    assert "GET /thing" in outcome.told
    if how == "breaks":
        assert counting.answers["GET /thing", 500]

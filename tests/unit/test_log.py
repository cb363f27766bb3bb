"""What a log line holds, and what it never does."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from steadyrag.domain.errors import Unavailable
from steadyrag.telemetry.log import USER_TEXT, configure, request
from steadyrag.telemetry.redaction import redact

SECRET = "a-private-question-with-sk-key"


class Model(BaseModel):
    number: int


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What `log` prints."""
    ours, stream = logging.getLogger("steadyrag"), io.StringIO()
    before = ours.handlers, ours.level, ours.propagate
    monkeypatch.setattr(sys, "stderr", stream)
    configure()
    yield stream
    ours.handlers, ours.level, ours.propagate = before


log = logging.getLogger("steadyrag.test")


def again(printed: io.StringIO, level: str = "INFO", **settings: Any) -> None:
    """Configures anew, printing to the same place."""
    with redirect_stderr(printed):
        configure(level, **settings)


def line(printed: io.StringIO) -> dict[str, Any]:
    assert SECRET not in printed.getvalue()
    (only,) = printed.getvalue().splitlines()
    return dict(json.loads(only))


def test_an_exception_is_logged_by_its_places_and_not_by_what_it_quotes(
    printed: io.StringIO,
) -> None:
    try:
        Model.model_validate({"number": SECRET})
    except ValidationError as error:
        error.add_note(SECRET)
        log.exception("it broke")
    logged = line(printed)
    assert logged["message"] == "it broke"
    assert logged["exception_name"] == "ValidationError"
    assert "test_log.py" in logged["exception"]
    assert "line" in logged["exception"]


def test_the_causes_of_an_exception_are_named_without_their_messages(
    printed: io.StringIO,
) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise RuntimeError(f"asked {SECRET}") from error
    except RuntimeError:
        log.exception("it broke")
    told = line(printed)["exception"].splitlines()
    assert [text for text in told if not text.startswith(" ")] == ["KeyError", "RuntimeError"]


def test_what_lets_us_down_is_told_in_our_words(
    printed: io.StringIO,
) -> None:
    try:
        raise Unavailable("llm", "answered 503") from ValueError(SECRET)
    except Unavailable:
        log.exception("it broke")
    assert line(printed)["exception"].endswith("Unavailable: llm: answered 503\n")


def test_a_line_inside_a_request_carries_its_id(printed: io.StringIO) -> None:
    with request("req-1"):
        log.warning("stage lost")
    assert line(printed)["request_id"] == "req-1"


def test_a_line_outside_of_a_request_carries_none(printed: io.StringIO) -> None:
    with request("req-1"):
        pass
    log.info("started")
    assert "request_id" not in line(printed)


async def test_requests_side_by_side_keep_their_ids_in_every_task(printed: io.StringIO) -> None:
    async def stage() -> None:
        await asyncio.sleep(0)
        log.info("stage")

    async def one(request_id: str) -> None:
        with request(request_id):
            await asyncio.gather(stage(), stage())

    await asyncio.gather(one("req-1"), one("req-2"))
    lines = [json.loads(text)["request_id"] for text in printed.getvalue().splitlines()]
    assert sorted(lines) == ["req-1", "req-1", "req-2", "req-2"]


def lines(printed: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(text) for text in printed.getvalue().splitlines()]


def test_a_line_says_whose_it_is_and_where_it_comes_from(printed: io.StringIO) -> None:
    again(printed, service="prod", function="prod-search")
    log.info("search", extra={"hits": 3, "known": None})
    logged = line(printed)
    assert (logged["service"], logged["function_name"]) == ("prod", "prod-search")
    assert (logged["level"], logged["message"], logged["hits"]) == ("INFO", "search", 3)
    assert logged["location"].startswith("test_a_line_says_whose_it_is")
    assert set(logged) == {
        *("level", "message", "location", "timestamp", "service", "function_name", "hits")
    }


def test_a_service_that_is_no_function_names_none(printed: io.StringIO) -> None:
    log.info("started")
    assert "function_name" not in line(printed)


def test_a_message_is_text_whatever_it_looks_like(printed: io.StringIO) -> None:
    log.info('{"level": "none"}')
    log.info("%d of %d", 1, 2)
    assert [logged["message"] for logged in lines(printed)] == ['{"level": "none"}', "1 of 2"]


def test_the_first_request_of_an_environment_is_its_cold_start(printed: io.StringIO) -> None:
    log.info("initialised")
    for number in range(3):
        with request(f"req-{number}"):
            log.info("begun")
            log.info("ended")
    cold = [logged.get("cold_start") for logged in lines(printed)]
    assert cold == [None, True, True, False, False, False, False]


def test_a_question_that_nobody_redacted_is_hashed(printed: io.StringIO) -> None:
    log.info("search", extra=dict.fromkeys(USER_TEXT, SECRET))
    logged = line(printed)
    assert {logged[name] for name in USER_TEXT} == {redact(SECRET, "hash")}


def test_a_question_that_was_redacted_is_shown_as_it_is(printed: io.StringIO) -> None:
    log.info("search", extra={"query": redact("Call 010-1234-5678!", "full"), "answer": None})
    assert line(printed)["query"] == "Call [phone]!"
    assert "answer" not in line(printed)


class TestDebugLinesOfASample:
    def ask(self, requests: int) -> None:
        for number in range(requests):
            with request(f"req-{number}"):
                log.debug("stage begun")
                log.info("search")
                log.debug("stage ended")

    def test_a_request_prints_all_of_them_or_none(self, printed: io.StringIO) -> None:
        again(printed, sample=0.1)
        self.ask(1000)
        by_request: dict[str, list[str]] = {}
        for logged in lines(printed):
            by_request.setdefault(logged["request_id"], []).append(logged["message"])
        told = list(by_request.values())
        verbose = told.count(["stage begun", "search", "stage ended"])
        assert told.count(["search"]) == 1000 - verbose
        assert 70 <= verbose <= 130

    def test_the_same_requests_are_in_it_everywhere(self, printed: io.StringIO) -> None:
        again(printed, sample=0.3)
        self.ask(100)
        there = [(logged["request_id"], logged["message"]) for logged in lines(printed)]
        again(printed, sample=0.3)
        self.ask(100)
        both = [(logged["request_id"], logged["message"]) for logged in lines(printed)]
        assert both == there * 2

    @pytest.mark.parametrize(("sample", "verbose"), [(0.0, 0), (1.0, 40)])
    def test_none_and_all(self, printed: io.StringIO, sample: float, verbose: int) -> None:
        again(printed, sample=sample)
        self.ask(20)
        assert [logged["level"] for logged in lines(printed)].count("DEBUG") == verbose

    def test_a_line_outside_of_a_request_is_in_none(self, printed: io.StringIO) -> None:
        again(printed, "WARNING", sample=1.0)
        log.debug("loaded")
        log.info("started")
        log.warning("slow")
        assert [logged["message"] for logged in lines(printed)] == ["slow"]

"""What a log line holds, and what it never does."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from steadyrag.domain.errors import Unavailable
from steadyrag.telemetry.log import configure, request

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


def line(printed: io.StringIO) -> dict[str, str]:
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

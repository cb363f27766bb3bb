"""What a log line holds, and what it never does."""

import json
import logging
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from steadyrag.domain.errors import Unavailable
from steadyrag.telemetry.log import configure

SECRET = "a-private-question-with-sk-key"


class Model(BaseModel):
    number: int


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[logging.Logger]:
    ours = logging.getLogger("steadyrag")
    before = ours.handlers, ours.level, ours.propagate
    configure()
    yield logging.getLogger("steadyrag.test")
    ours.handlers, ours.level, ours.propagate = before


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    err = capsys.readouterr().err
    assert SECRET not in err
    (only,) = err.splitlines()
    return dict(json.loads(only))


def test_an_exception_is_logged_by_its_places_and_not_by_what_it_quotes(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        Model.model_validate({"number": SECRET})
    except ValidationError as error:
        error.add_note(SECRET)
        log.exception("it broke")
    logged = line(capsys)
    assert logged["message"] == "it broke"
    assert logged["exception_name"] == "ValidationError"
    assert "test_log.py" in logged["exception"]
    assert "line" in logged["exception"]


def test_the_causes_of_an_exception_are_named_without_their_messages(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise RuntimeError(f"asked {SECRET}") from error
    except RuntimeError:
        log.exception("it broke")
    told = line(capsys)["exception"].splitlines()
    assert [text for text in told if not text.startswith(" ")] == ["KeyError", "RuntimeError"]


def test_what_lets_us_down_is_told_in_our_words(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise Unavailable("llm", "answered 503") from ValueError(SECRET)
    except Unavailable:
        log.exception("it broke")
    assert line(capsys)["exception"].endswith("Unavailable: llm: answered 503\n")

"""What is left of a search: its log line, and what whoever listens gets."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cache_rig import an_answer, source
from steadyrag.api.search_record import REFUSALS_A_MINUTE, Recording
from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.models import CacheInfo, Stage, Usage
from steadyrag.domain.records import SearchRecord
from steadyrag.telemetry import records

QUESTION = "Who answers mina@example.com?"


class Left:
    """What was printed, as the lines `search` say it, and what was heard."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream
        self.heard: list[SearchRecord] = []

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def left(printed_log: io.StringIO) -> Iterator[Left]:
    found = Left(printed_log)
    records.subscribe(found.heard.append)
    yield found
    records.subscribe(None)
    records.configure("hash")


def recording(at: float = 0.0, text: str = QUESTION) -> Recording:
    made = Recording("request-1", at=at)
    made.text = text
    return made


def test_the_record_is_printed_whatever_the_level(left: Left) -> None:
    logging.getLogger("steadyrag").setLevel(logging.ERROR)
    recording().answered(an_answer())
    (line,) = left.lines()
    assert (line["message"], line["search_id"], line["mode"]) == ("search", "first", "full")


def test_the_best_score_counts_not_that_of_the_source_that_is_cited_first(left: Left) -> None:
    sources = [source("cited"), source("better")]
    scored = [_scored(sources[0], 0.31), _scored(sources[1], 0.92)]
    recording().answered(an_answer(sources=scored))
    (line,) = left.lines()
    assert line["top_score"] == 0.92
    assert [result[2] for result in line["results"]] == [0.31, 0.92]


def test_nothing_is_not_the_same_as_none(left: Left) -> None:
    free = Usage(cost_usd=0.0)
    answer = an_answer(sources=[_scored(source(), 0.0)], calibrated=False, usage=free)
    recording().answered(answer)
    (line,) = left.lines()
    assert (line["top_score"], line["calibrated"], line["cost_usd"]) == (0.0, False, 0.0)
    recording().answered(an_answer(usage=Usage(cost_usd=None)))
    assert "cost_usd" not in left.lines()[1]


def test_log_and_listener_are_shown_as_much_as_is_set_for_each(left: Left) -> None:
    records.configure("hash", listener_text="full")
    recording().answered(an_answer("Ask 010-1234-5678."))
    (line,), (heard,) = left.lines(), left.heard
    assert "mina" not in json.dumps(line)
    assert (heard.query, heard.answer) == ("Who answers [e-mail]?", "Ask [phone].")


def test_a_failed_search_keeps_what_was_asked(left: Left) -> None:
    records.configure("full")
    recording().failed(RuntimeError("secret"))
    (line,), (heard,) = left.lines(), left.heard
    assert (line["error"], line["query"]) == ("RuntimeError", "Who answers [e-mail]?")
    assert heard.failed
    assert "secret" not in json.dumps(line)


def test_a_flood_of_refused_questions_is_not_all_that_is_left(left: Left) -> None:
    for _ in range(3 * REFUSALS_A_MINUTE):
        recording(at=600.0).failed(InvalidInput("query", "is blank"))
    recording(at=601.0).failed(RuntimeError())
    assert [one.error for one in left.heard].count("InvalidInput") == REFUSALS_A_MINUTE
    assert left.heard[-1].error == "RuntimeError"
    recording(at=660.0).failed(InvalidInput("query", "is blank"))
    assert left.heard[-1].error == "InvalidInput"


def test_stages_stand_in_the_line_with_what_they_did(left: Left) -> None:
    stages = [Stage("rerank", 20.5, 180.0, lost=True, facts={"attempts": 2})]
    recording().answered(an_answer(stages=stages, degraded=("rerank",), cache=CacheInfo("miss")))
    (line,) = left.lines()
    lost = {"name": "rerank", "start_ms": 20.5, "ms": 180.0, "lost": True, "attempts": 2}
    assert line["stages"] == [lost]


def test_a_listener_that_breaks_costs_no_answer(left: Left) -> None:
    def breaks(_: SearchRecord) -> None:
        raise KeyError

    records.subscribe(breaks)
    recording().answered(an_answer())
    assert "search not recorded" in [line["message"] for line in left.lines()]


def _scored(found: Any, score: float) -> Any:

    return replace(found, score=score)

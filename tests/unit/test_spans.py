"""Spans where nothing is traced: their facts are there all the same."""

import asyncio

import pytest

from steadyrag.telemetry import spans


def test_facts_are_those_of_the_innermost_span():
    with spans.span("search") as search:
        spans.note(mode="full")
        with spans.span("generation") as generation:
            spans.note(model="a", tokens=3)
            spans.note(tokens=12)
        spans.note(cache="miss")
    assert search.facts == {"mode": "full", "cache": "miss"}
    assert generation.facts == {"model": "a", "tokens": 12}


def test_a_note_outside_of_every_span_is_dropped():
    spans.note(model="a")
    spans.annotate(mode="full")
    spans.keep(question="Why?")
    with spans.span("search") as search:
        pass
    spans.note(model="b")
    assert search.facts == {}


async def test_a_note_lands_on_the_span_in_which_its_task_was_begun():
    async def call(model: str) -> None:
        await asyncio.sleep(0)
        spans.note(model=model)
        await asyncio.to_thread(spans.note, thread=model)

    async def stage(name: str) -> spans.Span:
        with spans.span(name) as span:
            async with asyncio.TaskGroup() as group:
                group.create_task(call(name))
        return span

    with spans.span("search") as search:
        embedding, keyword = await asyncio.gather(stage("embedding"), stage("keyword"))
    assert embedding.facts == {"model": "embedding", "thread": "embedding"}
    assert keyword.facts == {"model": "keyword", "thread": "keyword"}
    assert search.facts == {}


def test_an_exception_passes_and_closes_the_span():
    with pytest.raises(KeyError), spans.span("search"), spans.span("vector"):
        raise KeyError
    with spans.span("search") as alone:
        assert alone.request is alone


def test_nothing_is_traced_and_nothing_is_kept():
    with spans.span("search") as search:
        spans.annotate(mode="full")
        spans.keep(question="Why?")
        assert spans.trace_id() is None
    assert search.trace_id is None
    assert not hasattr(search, "kept")

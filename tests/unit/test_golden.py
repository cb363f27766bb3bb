"""Golden questions over fakes: what is found, what is lost, what is neither, and what is told."""

import asyncio
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from builders import chunk
from cache_rig import Clock
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryBucket, InMemoryIndex
from steadyrag.domain.errors import InvalidInput, Refused, Unavailable
from steadyrag.domain.golden import (
    MOST_QUESTIONS,
    GoldenQuestion,
    Standing,
    golden_question,
    namespace_of,
    questions_key,
    read_questions,
    read_standings,
    standings_key,
    stands,
    written_questions,
    written_standings,
)
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.domain.objects import Attributes, Layout
from steadyrag.golden import GoldenParts, add, ask_golden, keep, watch_golden
from steadyrag.golden_sets import GoldenSets
from steadyrag.resilience.breakers import Breakers
from steadyrag.search import Options, Service
from steadyrag.telemetry import metrics, records
from steadyrag.telemetry.metrics import collecting

PASSAGES = {
    "seoul": "Seoul is the capital of South Korea and its largest city.",
    "paris": "Paris is the capital of France and lies on the Seine.",
    "bread": "Sourdough bread needs flour, water, salt and time.",
}
CAPITAL = GoldenQuestion("What is the capital of South Korea?", "seoul", 2, 1000.0)
FLOUR = GoldenQuestion("Does sourdough bread need flour?", "bread", 1, 1000.0)


class Rig:
    """Parts over fakes. `documents` are in the index; `clock` tells epoch seconds."""

    def __init__(self) -> None:
        self.clock = Clock(10_000.0)
        self.bucket = InMemoryBucket(clock=self.clock)
        self.embedder, self.index = FakeEmbedder(), InMemoryIndex()
        self.reranker, self.generator = FakeReranker(), FakeGenerator()
        service = Service(
            embedder=self.embedder,
            index=self.index,
            reranker=self.reranker,
            generator=self.generator,
            extractive=self.generator,
            options=Options(deadline_s=5.0),
        )
        sets = GoldenSets(self.bucket)
        self.parts = GoldenParts(service, sets, self.clock, self.clock, pause_s=0.0)

    async def fill(self, **texts: str) -> None:
        await self.index.delete("default", list(self.index.held()))
        vectors = (await self.embedder.embed_passages(list(texts.values()))).vectors
        made = [
            EmbeddedChunk(chunk(text, id=name, document_id=name), vector)
            for (name, text), vector in zip(texts.items(), vectors, strict=True)
        ]
        await self.index.upsert("default", made)

    async def watch(self, seconds: float = 100.0) -> None:
        with collecting():
            await watch_golden(self.parts, seconds=seconds)

    async def standing(self, question: GoldenQuestion) -> Standing | None:
        (golden,) = await self.parts.sets.read("default")
        return golden.standings.get(question.id)


@pytest.fixture
async def rig() -> Rig:
    made = Rig()
    await made.fill(**PASSAGES)
    for question in (CAPITAL, FLOUR):
        await made.parts.sets.put("default", question)
    return made


@pytest.fixture(autouse=True)
def emitting() -> Iterator[None]:
    metrics.configure("emf", strict=True)
    yield
    metrics.configure("off")


def lines(printed_log: io.StringIO, message: str) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in printed_log.getvalue().splitlines()]
    return [line for line in said if line["message"] == message]


def counted(capsys: pytest.CaptureFixture[str]) -> dict[str, list[float]]:
    """Metrics since the last call, by name."""
    found: dict[str, list[float]] = {}
    for document in map(json.loads, capsys.readouterr().out.splitlines()):
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                found.setdefault(metric["Name"], []).extend(document[metric["Name"]])
    return found


def golden_counts(capsys: pytest.CaptureFixture[str]) -> tuple[list[float], list[float]]:
    found = counted(capsys)
    return found.get("GoldenAsked", []), found.get("GoldenLost", [])


async def test_questions_that_find_their_documents_are_counted_and_none_is_lost(rig, capsys):
    await rig.watch()
    assert golden_counts(capsys) == ([2.0], [0.0])
    assert await rig.standing(CAPITAL) == Standing(1, 10_000.0)


async def test_a_document_that_is_gone_is_lost_until_it_is_back(rig, capsys, printed_log):
    await rig.watch()
    await rig.fill(**{name: text for name, text in PASSAGES.items() if name != "seoul"})
    rig.clock.passes(3600)
    await rig.watch()
    rig.clock.passes(3600)
    await rig.watch()
    assert golden_counts(capsys) == ([2.0] * 3, [0.0, 1.0, 1.0])
    assert await rig.standing(CAPITAL) == Standing(None, 17_200.0, 13_600.0)
    await rig.fill(**PASSAGES)
    rig.clock.passes(3600)
    await rig.watch()
    assert golden_counts(capsys) == ([2.0], [0.0])
    assert await rig.standing(CAPITAL) == Standing(1, 20_800.0)


async def test_a_lost_question_is_logged_with_both_ranks_and_without_its_text(rig, printed_log):
    await rig.watch()
    twins = {f"seoul-{n}": f"{PASSAGES['seoul']} {CAPITAL.text}" for n in range(3)}
    await rig.fill(**twins, **PASSAGES)
    rig.clock.passes(3600)
    await rig.watch()
    (line,) = lines(printed_log, "golden question lost")
    assert line["rank"] > CAPITAL.top_k
    assert line["rank_before"] == 1
    assert (line["document_id"], line["namespace"]) == ("seoul", "default")
    assert (line["question_id"], line["lost_since"]) == (CAPITAL.id, 13_600.0)
    assert line["question"].startswith("hmac:")
    assert "capital" not in printed_log.getvalue()


async def test_the_text_is_shown_where_the_setting_shows_it(rig, printed_log, monkeypatch):
    monkeypatch.setattr(records, "_text", "full")
    await rig.fill(paris=PASSAGES["paris"], bread=PASSAGES["bread"])
    await rig.watch()
    (line,) = lines(printed_log, "golden question lost")
    assert line["question"] == CAPITAL.text
    assert "rank_before" not in line


@pytest.mark.parametrize(
    ("part", "method", "stage"),
    [
        ("embedder", "embed_query", "embedding"),
        ("index", "vector_search", "vector"),
        ("index", "keyword_search", "keyword"),
        ("reranker", "*", "rerank"),
    ],
)
async def test_a_question_that_loses_a_stage_is_neither_found_nor_lost(
    rig, capsys, printed_log, part, method, stage
):
    await rig.watch()
    counted(capsys)
    getattr(rig, part).fail(Unavailable(part, "503"), on=method)
    rig.clock.passes(3600)
    await rig.watch()
    assert golden_counts(capsys) == ([0.0], [0.0])
    assert await rig.standing(CAPITAL) == Standing(1, 10_000.0)
    assert lines(printed_log, "golden questions asked")[-1]["missing"] == [stage]


async def test_a_lost_question_stays_lost_while_it_can_not_be_asked(rig, capsys, printed_log):
    await rig.fill(paris=PASSAGES["paris"], bread=PASSAGES["bread"])
    await rig.watch()
    rig.embedder.fail(Unavailable("embedding", "503"))
    await rig.watch()
    assert golden_counts(capsys) == ([2.0, 0.0], [1.0, 1.0])
    assert len(lines(printed_log, "golden question lost")) == 1


async def test_an_empty_index_has_lost_them_all(rig, capsys):
    await rig.index.delete("default", list(PASSAGES))
    await rig.watch()
    assert golden_counts(capsys) == ([2.0], [2.0])


async def test_no_question_counts_as_a_search(rig, capsys, printed_log):
    await rig.watch()
    printed = counted(capsys)
    assert not printed.keys() & {"Requests", "Latency", "CacheHit", "Degraded", "TopRelevance"}
    assert not lines(printed_log, "search")
    assert not rig.generator.calls


async def test_where_there_is_no_set_nothing_is_printed_after_one_listing(capsys, printed_log):
    rig = Rig()
    await rig.watch()
    assert capsys.readouterr().out == printed_log.getvalue() == ""
    assert rig.bucket.calls == {"objects": 1}
    assert not rig.embedder.calls


async def test_what_there_was_no_time_for_comes_first_the_next_time(rig, capsys):
    questions = [GoldenQuestion(f"{CAPITAL.text} {n}", "seoul") for n in range(20)]
    for question in questions:
        await rig.parts.sets.put("default", question)
    asked: list[str] = []
    embed = rig.embedder.embed_query

    async def embed_query(text: str) -> Any:
        asked.append(text)
        rig.clock.passes(1.0)
        return await embed(text)

    rig.embedder.embed_query = embed_query
    await rig.watch(seconds=15.0)  # of which the deadline keeps five
    first = list(asked)
    assert 10 <= len(first) < 15
    assert counted(capsys)["GoldenAsked"] == [len(first)]
    asked.clear()
    await rig.watch(seconds=15.0)
    assert not set(first) & set(asked[: 22 - len(first)])


async def test_a_vendor_that_fails_for_a_moment_costs_a_few_questions_and_not_the_rest(rig, capsys):
    """Its circuit opens; without pauses all would have met it open."""
    for n in range(40):
        await rig.parts.sets.put("default", GoldenQuestion(f"{CAPITAL.text} {n}", "seoul"))
    service = replace(rig.parts.service, breakers=Breakers(open_s=0.05))
    rig.reranker.fail(Unavailable("reranker", "503"), times=6)
    parts = replace(rig.parts, service=service, pause_s=0.05)
    with collecting():
        await watch_golden(parts, seconds=100.0)
    (asked,) = counted(capsys)["GoldenAsked"]
    assert 20 < asked < 42


async def test_a_question_is_asked_for_no_longer_than_its_deadline(rig):
    rig.reranker.slow(60)
    hurried = replace(rig.parts.service, options=Options(deadline_s=0.2))
    parts = replace(rig.parts, service=hurried)
    async with asyncio.timeout(5):
        (first, _) = await ask_golden(await parts.sets.read(), parts)
    assert (first.now, first.missing) == (None, ("rerank",))


async def test_four_are_asked_at_once_and_no_more(rig):
    for n in range(12):
        await rig.parts.sets.put("default", GoldenQuestion(f"Question {n}?", "seoul"))
    running, most = 0, 0
    embed = rig.embedder.embed_query

    async def embed_query(text: str) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return await embed(text)

    rig.embedder.embed_query = embed_query
    await rig.watch()
    assert most == 4


async def test_a_set_that_can_not_be_read_stops_no_other(rig, capsys, printed_log):
    key = questions_key("broken")
    await rig.bucket.put(key, b'{"questions": [{"question": "Where?"}]}', Attributes())
    await rig.watch()
    assert golden_counts(capsys) == ([2.0], [0.0])
    (line,) = lines(printed_log, "golden set not read")
    assert line["namespace"] == "broken"
    assert "golden/broken.json: questions.0" in line["reason"]
    for asked_for in ("broken", None):
        with pytest.raises(InvalidInput, match=r"golden/broken\.json: questions\.0"):
            await rig.parts.sets.read(asked_for)
    with pytest.raises(InvalidInput, match=r"golden/broken\.json"):
        await rig.parts.sets.put("broken", CAPITAL)


async def test_neither_does_one_that_went_since_the_listing(rig, capsys, printed_log):
    """S3 calls it forbidden where the role may not list what isn't there."""
    await rig.parts.sets.put("another", CAPITAL)
    rig.bucket.fail(Refused("s3", "403 Forbidden"), on="fetch", times=1)
    await rig.watch()
    assert golden_counts(capsys) == ([2.0], [0.0])
    (line,) = lines(printed_log, "golden set not read")
    assert line["namespace"] == "another"
    rig.bucket.fail(Refused("s3", "403 Forbidden"), on="fetch", times=1)
    with pytest.raises(Refused):
        await rig.parts.sets.read()


async def test_a_key_that_adding_would_lose_is_refused_and_the_file_stays(rig, tmp_path):
    key = questions_key("default")
    content = b'{"questions": [{"question": "Where?", "document": "seoul", "note": "by legal"}]}'
    await rig.bucket.put(key, content, Attributes())
    for changing in (rig.parts.sets.put("default", CAPITAL), rig.parts.sets.remove("default", "a")):
        with pytest.raises(
            InvalidInput, match=r"golden/default\.json: questions\.0\.note: .*top_k"
        ):
            await changing
    await rig.bucket.fetch(key, str(tmp_path / "set"))
    assert (tmp_path / "set").read_bytes() == content


async def test_standings_that_nobody_can_read_are_written_anew(rig):
    await rig.bucket.put(standings_key("default"), b"[]", Attributes())
    await rig.watch()
    assert await rig.standing(CAPITAL) == Standing(1, 10_000.0)


async def test_what_can_not_be_kept_is_counted_all_the_same(rig, capsys, printed_log):
    rig.bucket.fail(Unavailable("s3", "503"), on="replace")
    await rig.watch()
    assert golden_counts(capsys) == ([2.0], [0.0])
    assert lines(printed_log, "golden standings not kept")


async def test_adding_says_the_rank_and_takes_no_question_that_is_lost(rig):
    bread = GoldenQuestion("What does bread need?", "bread")
    asked = await add(bread, "default", rig.parts)
    assert (asked.now, asked.lost) == (Standing(1, 10_000.0), False)
    assert await rig.standing(bread) == Standing(1, 10_000.0)
    elsewhere = GoldenQuestion("Where is Rome?", "rome")
    assert (await add(elsewhere, "default", rig.parts)).lost
    (golden,) = await rig.parts.sets.read()
    assert [one.text for one in golden.questions] == [CAPITAL.text, FLOUR.text, bread.text]
    await add(elsewhere, "default", rig.parts, anyway=True)
    assert await rig.standing(elsewhere) == Standing(None, 10_000.0, 10_000.0)


async def test_adding_a_question_again_replaces_what_it_is_to_find(rig):
    await rig.parts.sets.put("default", replace(CAPITAL, document_id="paris", top_k=3))
    (golden,) = await rig.parts.sets.read()
    assert {(one.text, one.document_id) for one in golden.questions} == {
        (FLOUR.text, "bread"),
        (CAPITAL.text, "paris"),
    }


async def test_of_many_who_add_at_once_none_loses_anothers_question(rig):
    new = [GoldenQuestion(f"Question {n}?", "seoul") for n in range(15)]
    rig.bucket.slow(0.001)
    await asyncio.gather(*(rig.parts.sets.put("default", one) for one in new))
    (golden,) = await rig.parts.sets.read()
    assert {one.id for one in golden.questions} == {one.id for one in (CAPITAL, FLOUR, *new)}


async def test_who_asked_last_says_how_a_question_stands_whoever_writes_last(rig):
    (golden,) = await rig.parts.sets.read()
    later, earlier = Standing(2, 300.0), Standing(9, 200.0, 200.0)
    await rig.parts.sets.settle(golden, {CAPITAL.id: later})
    await rig.parts.sets.settle(golden, {CAPITAL.id: earlier, FLOUR.id: earlier})
    assert (await rig.standing(CAPITAL), await rig.standing(FLOUR)) == (later, earlier)


async def test_a_removed_question_is_forgotten_with_how_it_stood(rig):
    await rig.watch()
    assert (await rig.parts.sets.remove("default", FLOUR.id)) == FLOUR
    assert (await rig.parts.sets.remove("default", FLOUR.id)) is None
    await rig.watch()
    (golden,) = await rig.parts.sets.read()
    assert golden.standings.keys() == {CAPITAL.id}


async def test_a_set_takes_a_thousand_questions_and_not_one_more(rig):
    many = [GoldenQuestion(f"Question {n}?", "seoul") for n in range(MOST_QUESTIONS)]
    await rig.bucket.put(questions_key("full"), written_questions(many), Attributes())
    await rig.parts.sets.put("full", replace(many[0], top_k=9))
    with pytest.raises(InvalidInput, match="1,000"):
        await rig.parts.sets.put("full", CAPITAL)


async def test_each_namespace_has_its_own_questions(rig, capsys):
    await rig.parts.sets.put("hr", CAPITAL)
    await rig.watch()
    assert golden_counts(capsys) == ([3.0], [1.0])
    sets = await rig.parts.sets.read()
    assert [golden.namespace for golden in sets] == ["default", "hr"]
    asked = await ask_golden(await rig.parts.sets.read("hr"), rig.parts)
    await keep(asked, sets, rig.parts)
    assert [one.namespace for one in asked] == ["hr"]


def test_what_is_written_is_read_again():
    korean = GoldenQuestion("한글은 누가 만들었나?", "역사/한글.md", 7, 1234.0)
    assert read_questions(written_questions([CAPITAL, korean])) == [CAPITAL, korean]
    assert "한글은" in written_questions([korean]).decode()
    standings = {"a": Standing(1, 5.0), "b": Standing(None, 6.0, 4.0)}
    assert read_standings(written_standings(standings)) == standings


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "questions"),
        (b"[]", "questions"),
        (b'{"questions": 7}', "questions"),
        (b'{"questions": [7]}', "questions.0"),
        (b'{"questions": [{"question": "a", "document": 7}]}', "questions.0"),
        (b'{"questions": [{"question": " ", "document": "d"}]}', "questions.0.question"),
        (b'{"questions": [{"question": "a", "document": "d", "top_k": 51}]}', "questions.0.top_k"),
        (b'{"questions": [{"question": "a", "document": "d", "top_k": true}]}', "questions.0"),
        (b'{"questions": [{"question": "a", "document": "d", "note": "x"}]}', "questions.0.note"),
        (b'{"questions": [], "owner": "team-a"}', "owner"),
        (b'{"questions": [{"question": "a\\ud800", "document": "d"}]}', "questions.0.question"),
        (b"[" * 100_000, "questions"),
    ],
)
def test_what_people_get_wrong_is_named(content, named):
    with pytest.raises(InvalidInput) as wrong:
        read_questions(content)
    assert wrong.value.field == named


def test_a_question_is_the_same_however_its_letters_are_encoded():
    composed = "카페는 어디?"
    apart = unicodedata.normalize("NFD", composed)
    assert apart != composed
    assert golden_question(apart, "d").id == golden_question(composed, "d").id


def test_a_rank_within_the_questions_own_bound_is_found():
    assert stands(CAPITAL, 2, 5.0, None) == Standing(2, 5.0)
    assert stands(CAPITAL, 3, 5.0, None) == Standing(3, 5.0, 5.0)
    assert stands(CAPITAL, 3, 5.0, Standing(None, 4.0, 2.0)) == Standing(3, 5.0, 2.0)
    assert stands(CAPITAL, 1, 5.0, Standing(None, 4.0, 2.0)) == Standing(1, 5.0)


def test_no_namespace_takes_anothers_place_and_none_is_a_document():
    names = ["a", "a.last", "last", "a.json"]
    keys = [key(name) for name in names for key in (questions_key, standings_key)]
    assert len(set(keys)) == len(keys)
    assert [namespace_of(questions_key(name)) for name in names] == names
    assert {namespace_of(standings_key(name)) for name in names} == {None}
    for other in (
        "golden/",
        "golden/notes.txt",
        "golden/.json",
        "documents/a.json",
        "golden/a/b.json",
    ):
        assert namespace_of(other) is None
    assert not [key for key in keys if Layout().place(key)]

"""What a subsegment holds, and under which one it stands, whatever runs side by side."""

import asyncio
import logging
import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from integration.xray_daemon import FUNCTION_SEGMENT, ROOT, Daemon, header
from steadyrag.domain.errors import InvalidInput, Unavailable
from steadyrag.telemetry import spans
from steadyrag.telemetry.redaction import How, redact

STAGES = ("embedding", "vector", "keyword", "rerank", "generation", "fallback", "extractive")
QUESTION = "Who answers 010-1234-5678?"


@pytest.fixture
def daemon(monkeypatch) -> Iterator[Daemon]:
    listening = Daemon()
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", listening.address)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header())
    spans.configure("xray", environment=os.environ.get)
    yield listening
    spans.configure("off")
    listening.close()


class TestTheTree:
    """Two invocations at once, their stages in tasks, groups of tasks and threads."""

    invocations = (
        (ROOT, FUNCTION_SEGMENT),
        ("1-67891233-abcdef012345678912345678", "70de5b6f19ff"),
    )

    async def test_every_parent_is_right_in_a_thousand_interleavings(self, daemon, monkeypatch):
        for seed in range(1000):
            chance = random.Random(seed)  # noqa: S311
            trees = [self.tree(chance) for _ in self.invocations]

            async def invoke(of: tuple[str, str], tree: Mapping[str, str], chance: Any) -> None:
                monkeypatch.setenv("_X_AMZN_TRACE_ID", header(*of))
                with spans.span("search"):
                    await self.children("search", tree, chance)

            await asyncio.gather(*map(invoke, self.invocations, trees, [chance] * 2))
            heard = daemon.take(2 * (1 + len(STAGES)))
            for (root, segment), tree in zip(self.invocations, trees, strict=True):
                trace = {s["name"]: s for s in heard if s["trace_id"] == root}
                assert trace["search"]["parent_id"] == segment, seed
                parents = {name: trace[name]["parent_id"] for name in STAGES}
                assert parents == {name: trace[tree[name]]["id"] for name in STAGES}, seed

    def tree(self, chance: random.Random) -> dict[str, str]:
        """A parent for each stage: mostly the search, as it is in service."""
        return {
            name: chance.choice(["search", "search", "search", *STAGES[:place]])
            for place, name in enumerate(STAGES)
        }

    async def children(self, of: str, tree: Mapping[str, str], chance: random.Random) -> None:
        below = [name for name, parent in tree.items() if parent == of]
        leaves = {name for name in below if name not in tree.values()}
        in_threads = [name for name in below if name in leaves and chance.random() < 0.1]
        tasks = [name for name in below if name not in in_threads]
        chance.shuffle(tasks)
        first, group, inline = tasks[::3], tasks[1::3], tasks[2::3]
        begun = [asyncio.create_task(self.stage(name, tree, chance)) for name in first]
        async with asyncio.TaskGroup() as side_by_side:
            for name in group:
                side_by_side.create_task(self.stage(name, tree, chance))
            for name in in_threads:
                side_by_side.create_task(asyncio.to_thread(self.stage_of_a_thread, name))
            for name in inline:
                await self.stage(name, tree, chance)
        await asyncio.gather(*begun)

    async def stage(self, name: str, tree: Mapping[str, str], chance: random.Random) -> None:
        await self.turns(chance)
        with spans.span(name):
            await self.turns(chance)
            await self.children(name, tree, chance)
            await self.turns(chance)

    def stage_of_a_thread(self, name: str) -> None:
        with spans.span(name):
            spans.note(thread=True)

    async def turns(self, chance: random.Random) -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)


class TestFacts:
    def test_those_that_people_filter_by_are_indexed_on_the_request(self, daemon):
        with spans.span("search"):
            spans.note(mode="full", queue_ms=3.5)
            with spans.span("rerank"):
                spans.annotate(search_id="ab", cache="miss")
        search = daemon.trace()["search"]
        assert search["annotations"] == {"mode": "full", "search_id": "ab", "cache": "miss"}
        assert search["metadata"] == {"steadyrag": {"queue_ms": 3.5}}

    def test_those_of_a_stage_are_beside_it_and_only_its_reason_is_indexed(self, daemon):
        told = {"attempts": 2, "cache": "miss", "model": "m", "tokens": 12, "cost_usd": 0.1}
        with spans.span("search"), spans.span("embedding") as embedding:
            embedding.facts |= told
            spans.note(reason="timeout")
        embedded = daemon.trace()["embedding"]
        assert embedded["annotations"] == {"reason": "timeout"}
        assert embedded["metadata"] == {"steadyrag": told}

    @pytest.mark.parametrize(
        ("error", "flag"),
        [(Unavailable("llm", QUESTION), "fault"), (InvalidInput("a", "b"), "error")],
    )
    def test_what_failed_is_marked_by_the_class_of_its_error(self, daemon, error, flag):
        with pytest.raises(type(error)), spans.span("search"):
            raise error
        search = daemon.trace()["search"]
        assert search[flag] is True
        assert search["annotations"] == {"reason": type(error).__name__}
        assert QUESTION not in str(search)

    def test_a_cancelled_stage_has_not_failed(self, daemon):
        with pytest.raises(asyncio.CancelledError), spans.span("search"):
            raise asyncio.CancelledError
        assert not {"fault", "error", "annotations"} & set(daemon.trace()["search"])

    def test_what_is_annotated_is_not_what_a_stage_noted(self, daemon):
        with spans.span("search"):
            spans.note(cache="memory")
            spans.annotate(cache="miss")
        assert daemon.trace()["search"]["annotations"] == {"cache": "miss"}


class TestKeptTexts:
    @pytest.mark.parametrize("how", ["hash", "truncated", "full"])
    def test_a_failed_request_keeps_its_input_and_what_the_stage_put_out(self, daemon, how: How):
        spans.configure("xray", environment=os.environ.get, text=how)
        with pytest.raises(RuntimeError):
            self.broken_search()
        trace = daemon.trace()
        assert trace["search"]["metadata"]["steadyrag"] == {
            "question": redact(QUESTION, how),
            "generation_output": redact("mina@example.com does", how),
        }
        assert "010-1234-5678" not in str(trace)
        assert "mina@" not in str(trace)

    def broken_search(self) -> None:
        with spans.span("search"):
            spans.keep(question=QUESTION)
            with spans.span("generation"):
                spans.keep(output="mina@example.com does")
                raise RuntimeError

    @pytest.mark.parametrize("said", [{"mode": "canned"}, {"degraded": "rerank"}, {"error": "X"}])
    def test_so_does_one_that_was_answered_badly(self, daemon, said):
        with spans.span("search"):
            spans.keep(question=QUESTION)
            spans.annotate(**said)
        kept = daemon.trace()["search"]["metadata"]["steadyrag"]
        assert kept == {"question": redact(QUESTION, "hash")}

    def test_one_that_went_well_keeps_nothing(self, daemon):
        with spans.span("search"):
            spans.keep(question=QUESTION)
            spans.annotate(mode="full", degraded="")
        assert "metadata" not in daemon.trace()["search"]


class TestSizes:
    def test_what_does_not_fit_goes_without_its_metadata(self, daemon):
        with spans.span("search"):
            spans.note(notes="가" * 30_000)
            spans.annotate(mode="full")
        search = daemon.trace()["search"]
        assert "metadata" not in search
        assert search["annotations"] == {"mode": "full"}

    def test_then_without_its_annotations(self, daemon):
        with spans.span("search"):
            spans.annotate(**{f"note_{n}": "x" * 1000 for n in range(80)})
        assert set(daemon.trace()["search"]) == {
            *("name", "id", "trace_id", "parent_id", "type", "start_time", "end_time")
        }

    def test_what_is_no_json_costs_no_subsegment(self, daemon):
        with spans.span("search"), spans.span("rerank"):
            spans.note(score=float("nan"), model="half of a \ud83d pair", tokens=2**70)
        told = daemon.trace()["rerank"]["metadata"]["steadyrag"]
        assert (told["model"], told["tokens"]) == ("half of a \ud83d pair", 2**70)

    def test_an_annotation_is_as_long_as_xray_takes(self, daemon):
        with spans.span("search"):
            spans.annotate(degraded="x" * 5000)
        assert daemon.trace()["search"]["annotations"] == {"degraded": "x" * 1000}

    def test_a_kept_text_leaves_room_for_the_rest(self, daemon):
        spans.configure("xray", environment=os.environ.get, text="full")
        with spans.span("search"):
            spans.annotate(mode="canned")
            spans.keep(question="가" * 50_000, context="나" * 50_000)
        kept = daemon.trace()["search"]["metadata"]["steadyrag"]
        assert kept == {"question": "가" * 8000, "context": "나" * 8000}


class TestTraceId:
    def test_it_is_the_requests_inside_of_spans_and_the_invocations_outside(self, daemon):
        assert spans.trace_id() == ROOT
        with spans.span("search"), spans.span("rerank"):
            assert spans.trace_id() == ROOT

    def test_there_is_none_where_nothing_is_sampled(self, daemon, monkeypatch):
        monkeypatch.setenv("_X_AMZN_TRACE_ID", header(sampled=0))
        assert spans.trace_id() is None
        with spans.span("search"), spans.span("rerank"):
            assert spans.trace_id() is None
        monkeypatch.delenv("_X_AMZN_TRACE_ID")
        assert spans.trace_id() is None


def test_nothing_of_the_sdk_is_logged(daemon, caplog):
    caplog.set_level(logging.WARNING)
    with spans.span("search"):
        pass
    assert caplog.text == ""

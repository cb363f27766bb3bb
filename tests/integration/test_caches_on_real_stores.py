"""The caches of several environments over a cluster of Valkey and a DynamoDB table."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from builders import hit
from cache_rig import QUESTION, Fleet, Pipeline, an_answer, source
from fakes import FakeEmbedder
from servers import unique
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.models import Query
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.resilience.deadline import deadline

PATIENCE: Mapping[str, float] = {"timeout_s": 5.0, "connect_timeout_s": 5.0}


class RealFleet(Fleet):
    """Every environment connects on its own. The clock is the real one."""

    def __init__(self, valkey: Mapping[str, Any], dynamodb: Mapping[str, Any]) -> None:
        self._where = {"valkey": valkey, "dynamodb": dynamodb}
        self._opened: list[SharedStore] = []
        super().__init__(clock=time.time)

    def connected(self) -> Mapping[str, SharedStore]:
        kinds = {"valkey": ValkeyStore, "dynamodb": DynamoStore}
        made = {n: kind(**self._where[n], **PATIENCE) for n, kind in kinds.items()}
        self._opened += made.values()
        return made

    def environment(self, **options: Any):
        return super().environment(guard={"timeout_s": 5.0, "connect_s": 5.0}, **options)

    def changes(self, **options: Any) -> CorpusChanges:
        return CorpusChanges(list(self.connected().values()), **options)

    async def aclose(self) -> None:
        for store in self._opened:
            await store.aclose()


@pytest.fixture
async def fleet(valkey_cluster, dynamo_table) -> AsyncIterator[RealFleet]:
    fleet = RealFleet({"url": valkey_cluster.url, "prefix": unique("sr") + ":"}, dynamo_table)
    await fleet.environment().shared.open(QUESTION)
    yield fleet
    await fleet.aclose()


async def test_an_answer_and_an_embedding_travel_through_every_tier(fleet):
    embedder = FakeEmbedder(dimension=2)
    pipeline = Pipeline()

    async def work(state):
        await state.embed(embedder)
        return an_answer()

    pipeline.work = work
    here = fleet.environment()
    await here.answer(QUESTION, pipeline)
    assert (await here.answer(QUESTION, pipeline)).cache.tier == "memory"
    there = await fleet.environment().answer(QUESTION, pipeline)
    assert (there.cache.tier, there.answer) == ("valkey", "Seoul [1].")
    await fleet.connected()["valkey"].delete([(await here.shared.open(QUESTION)).key])
    assert (await fleet.environment().answer(QUESTION, pipeline)).cache.tier == "dynamodb"
    other_options = Query(QUESTION.text, top_k=3)
    await fleet.environment().answer(other_options, pipeline)
    assert pipeline.calls == 2
    assert embedder.calls["embed_query"] == 1


async def test_eight_environments_compute_a_hot_question_once(fleet):
    pipeline = Pipeline()

    async def work(_):
        await asyncio.sleep(0.2)
        return an_answer()

    pipeline.work = work
    environments = [fleet.environment() for _ in range(8)]
    with deadline(25):
        await asyncio.gather(*(environments[n % 8].answer(QUESTION, pipeline) for n in range(200)))
    assert pipeline.calls == 1


async def test_what_was_deleted_is_never_shown_again_though_the_index_shows_it_on(fleet):
    chance = random.Random(7)  # noqa: S311
    environments = [fleet.environment() for _ in range(4)]
    changes = fleet.changes()
    pipeline = Pipeline()

    async def work(state):
        found = [hit(document_id=name) for name in (f"doc{n}" for n in range(10))]
        hits = state.filter_hits(chance.sample(found, 10))
        return an_answer(sources=[source(h.chunk.document_id) for h in hits])

    pipeline.work = work
    gone: set[str] = set()
    for n in range(10):
        await changes.changing("default", deleted=[f"doc{n}"])
        await changes.changed("default")
        gone.add(f"doc{n}")
        answers = await asyncio.gather(*(e.answer(QUESTION, pipeline) for e in environments * 3))
        for answer in answers:
            shown = {s.document_id for s in answer.sources}
            assert not shown & gone
            assert len(shown) == 9 - n


async def test_thousands_of_tombstones_are_written_and_read(fleet):
    changes = fleet.changes()
    for first in range(0, 1000, 100):
        await changes.changing("default", deleted=[f"doc{first + n}" for n in range(100)])
    for environment in (fleet.environment(), fleet.environment()):
        state = await environment.shared.open(Query("Anything?"))
        assert len(state.tombs.by_digest) == 1000
        assert state.tombs_known

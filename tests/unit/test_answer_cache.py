"""Answers from the caches: when they count, when they don't, and who computes."""

import asyncio
from array import array
from dataclasses import replace

import pytest

from builders import hit
from cache_rig import QUESTION, Fleet, Pipeline, an_answer, source
from fakes import FakeEmbedder
from fakes.store import InMemoryStore
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import Embedding, Query, Stage, Usage
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.keys import answer_key, corpus_key, lease_key, tombs_key, vector_key
from steadyrag.resilience.shared_state import CacheLimits

DOWN = Unavailable("store", "down")
KEY = answer_key(QUESTION, fingerprint="config", variant="default")


@pytest.fixture
async def fleet() -> Fleet:
    """A fleet that has been asked before."""
    fleet = Fleet()
    await fleet.environment().shared.open(QUESTION)
    fleet.clock.passes(60)
    for store in fleet.stores.values():
        store.calls.clear()
    return fleet


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_the_second_question_is_answered_from_memory_with_one_read(fleet, pipeline):
    environment = fleet.environment()
    first = await environment.answer(QUESTION, pipeline)
    reads = fleet.valkey.calls["read"]
    fleet.clock.passes(12)
    second = await environment.answer(QUESTION, pipeline)
    assert pipeline.calls == 1
    assert first.cache.status == "miss"
    assert (second.cache.status, second.cache.tier, second.cache.age_s) == ("hit", "memory", 12)
    assert second.answer == first.answer
    assert list(second.sources) == list(first.sources)
    assert fleet.valkey.calls["read"] == reads + 1
    assert fleet.dynamodb.calls["read"] == 1  # of the first


async def test_a_hit_is_a_search_of_its_own_that_costs_nothing(fleet, pipeline):
    environment = fleet.environment()
    first = await environment.answer(QUESTION, pipeline)
    second = await environment.answer(QUESTION, pipeline)
    assert second.search_id != first.search_id
    assert second.usage.prompt_tokens == second.usage.embedding_tokens == 0
    assert second.timings_ms == {}


async def test_another_environment_finds_the_answer_in_valkey(fleet, pipeline):
    await fleet.environment().answer(QUESTION, pipeline)
    found = await fleet.environment().answer(QUESTION, pipeline)
    assert pipeline.calls == 1
    assert found.cache.tier == "valkey"
    assert (found.answer, found.model, found.mode) == ("Seoul [1].", "small", "full")
    assert list(found.sources) == [source()]


async def test_what_valkey_lost_comes_from_dynamodb_and_is_copied_up(fleet, pipeline):
    await fleet.environment().answer(QUESTION, pipeline)
    await fleet.valkey.delete([KEY])
    assert (await fleet.environment().answer(QUESTION, pipeline)).cache.tier == "dynamodb"
    assert (await fleet.environment().answer(QUESTION, pipeline)).cache.tier == "valkey"
    assert pipeline.calls == 1


async def test_case_and_white_space_do_not_make_another_question(fleet, pipeline):
    environment = fleet.environment()
    await environment.answer(QUESTION, pipeline)
    await environment.answer(Query("what  is the CAPITAL of korea?", user="someone"), pipeline)
    assert pipeline.calls == 1
    await environment.answer(replace(QUESTION, top_k=3), pipeline)
    assert pipeline.calls == 2


async def test_a_result_is_fresh_for_an_hour(fleet, pipeline):
    environment = fleet.environment()
    await environment.answer(QUESTION, pipeline)
    fleet.clock.passes(3599)
    assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"
    fleet.clock.passes(1)
    assert (await environment.answer(QUESTION, pipeline)).cache.status == "miss"


async def test_a_change_of_the_documents_makes_every_result_a_miss(fleet, pipeline):
    here, there = fleet.environment(), fleet.environment()
    await here.answer(QUESTION, pipeline)
    await there.answer(QUESTION, pipeline)
    await fleet.changes().changing("default", added=["seoul"])
    for environment in (here, there):
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "miss"


async def test_a_change_of_another_namespace_changes_nothing(fleet, pipeline):
    environment = fleet.environment()
    await environment.answer(QUESTION, pipeline)
    await fleet.changes().changed("elsewhere")
    assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"


async def test_nothing_is_stored_while_the_last_change_may_not_be_visible(fleet, pipeline):
    environment = fleet.environment()
    await fleet.changes().changed("default")
    fleet.clock.passes(9.9)
    await environment.answer(QUESTION, pipeline)
    await environment.answer(QUESTION, pipeline)
    assert pipeline.calls == 2
    fleet.clock.passes(0.2)
    await environment.answer(QUESTION, pipeline)
    await environment.answer(QUESTION, pipeline)
    assert pipeline.calls == 3


async def test_an_answer_begun_before_a_change_is_never_taken_for_fresh(fleet, pipeline):
    environment = fleet.environment()

    async def meanwhile(_):
        await fleet.changes().changing("default", added=["seoul"])
        fleet.clock.passes(60)
        return an_answer()

    pipeline.work = meanwhile
    await environment.answer(QUESTION, pipeline)
    pipeline.work = None
    assert (await environment.answer(QUESTION, pipeline)).cache.status == "miss"


@pytest.mark.parametrize("mode", ["partial", "keyword_only", "cached", "canned"])
async def test_a_degraded_answer_is_not_stored(fleet, mode):
    pipeline = Pipeline(an_answer(mode=mode))
    environment = fleet.environment()
    await environment.answer(QUESTION, pipeline)
    await environment.answer(QUESTION, pipeline)
    assert pipeline.calls == 2
    assert fleet.valkey.calls["write"] == fleet.dynamodb.calls["write"] == 0


async def test_that_nothing_was_found_is_not_stored(fleet):
    pipeline = Pipeline(an_answer("No documents have been indexed yet.", sources=[]))
    environment = fleet.environment()
    for _ in range(2):
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "miss"
    assert pipeline.calls == 2


async def test_a_refresh_computes_and_stores(fleet, pipeline):
    environment = fleet.environment()
    await environment.answer(QUESTION, pipeline)
    pipeline.answer = an_answer("Still Seoul [1].")
    fleet.clock.passes(1)
    assert (await environment.answer(QUESTION, pipeline, refresh=True)).cache.status == "bypass"
    for other in (environment, fleet.environment()):
        assert (await other.answer(QUESTION, pipeline)).answer == "Still Seoul [1]."
    assert pipeline.calls == 2


class TestStoresThatFail:
    async def test_with_valkey_down_dynamodb_takes_its_place(self, fleet, pipeline):
        here, there = fleet.environment(), fleet.environment()
        await here.answer(QUESTION, pipeline)
        fleet.valkey.fail(DOWN)
        assert (await here.answer(QUESTION, pipeline)).cache.tier == "memory"
        assert (await there.answer(QUESTION, pipeline)).cache.tier == "dynamodb"

    async def test_with_all_stores_down_nothing_is_taken_for_fresh(self, fleet, pipeline):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        fleet.valkey.fail(DOWN)
        fleet.dynamodb.fail(DOWN)
        answer = await environment.answer(QUESTION, pipeline)
        assert (pipeline.calls, answer.cache.status) == (2, "off")
        assert pipeline.states[-1].breakers is None
        assert pipeline.states[-1].unreachable == ("valkey", "dynamodb")
        fleet.valkey.heal()
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"

    async def test_a_slow_store_is_a_miss_within_its_time(self, fleet, pipeline):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        fleet.valkey.slow(5)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert (await environment.answer(QUESTION, pipeline)).cache.tier == "memory"
        assert 0.09 < loop.time() - started < 0.4

    async def test_five_failures_in_a_row_leave_a_store_alone_for_a_minute(self, fleet, pipeline):
        environment = fleet.environment()
        fleet.valkey.fail(DOWN)
        for _ in range(20):
            await environment.answer(QUESTION, pipeline)
        assert fleet.valkey.calls["read"] == 5
        fleet.clock.passes(61)
        fleet.valkey.heal()
        await environment.answer(QUESTION, pipeline)
        assert fleet.valkey.calls["read"] == 6

    async def test_a_store_that_cannot_be_written_costs_only_the_answer_held(self, fleet, pipeline):
        fleet.valkey.fail(DOWN, on="write")
        fleet.dynamodb.fail(DOWN, on="write")
        assert (await fleet.environment().answer(QUESTION, pipeline)).answer == "Seoul [1]."

    async def test_a_store_without_leases_costs_only_the_lease(self, fleet, pipeline):
        fleet.valkey.fail(DOWN, on="claim")
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"

    async def test_a_store_that_forgot_everything_learns_from_the_other(self, fleet, pipeline):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        await fleet.changes().changing("default", deleted=["paris"])
        fleet.clock.passes(60)
        await environment.answer(QUESTION, pipeline)
        forget(fleet.valkey)
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"
        state = await fleet.environment().shared.open(Query("Another?"))
        assert state.filter_hits([hit(document_id="paris")]) == []

    async def test_when_all_stores_forgot_everything_nothing_from_before_counts(
        self, fleet, pipeline
    ):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        forget(fleet.valkey)
        forget(fleet.dynamodb)
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "miss"
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"

    @pytest.mark.parametrize("garbage", [b"", b"P", b"Z1 v\nxx", b"P1.0 v\n{}", b"\xff\xff\n"])
    async def test_what_is_no_answer_is_a_miss(self, fleet, pipeline, garbage):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        for store in fleet.stores.values():
            version = (await store.read((), [corpus_key("default")]))[1]
            stamp = version.get(corpus_key("default"), {}).get("stamp", b"v")
            await store.write({KEY: garbage.replace(b"v", stamp)}, ttl_s=60)
        answer = await fleet.environment().answer(QUESTION, pipeline)
        assert (answer.cache.status, pipeline.calls) == ("miss", 2)

    async def test_a_record_of_the_documents_that_makes_no_sense_is_begun_anew(
        self, fleet, pipeline
    ):
        await fleet.valkey.update(corpus_key("default"), put={"since": b"yesterday"})
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "hit"


class TestWithoutStores:
    async def test_an_index_that_knows_its_version_is_enough(self, pipeline):
        version = ["1"]

        async def index_version():
            return version[0]

        environment = Fleet(names=()).environment(index_version=index_version)
        await environment.answer(QUESTION, pipeline)
        assert (await environment.answer(QUESTION, pipeline)).cache.tier == "memory"
        version[0] = "2"
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "miss"

    async def test_one_that_does_not_is_never_cached(self, pipeline):
        environment = Fleet(names=()).environment()
        await environment.answer(QUESTION, pipeline)
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "off"

    async def test_an_index_that_cannot_be_asked_is_of_no_known_version(self, fleet, pipeline):
        async def index_version():
            raise Unavailable("index", "gone")

        environment = fleet.environment(index_version=index_version)
        await environment.answer(QUESTION, pipeline)
        assert (await environment.answer(QUESTION, pipeline)).cache.status == "off"


class TestVectors:
    async def embed(self, fleet, environment, embedder, query=QUESTION, mode="partial"):
        async def work(state):
            self.embedding = await state.embed(embedder)
            return an_answer(mode=mode)

        pipeline = Pipeline()
        pipeline.work = work
        await environment.answer(query, pipeline)
        return self.embedding

    async def test_a_question_is_embedded_once_for_all_environments(self, fleet):
        embedder = FakeEmbedder(dimension=2)
        first = await self.embed(fleet, fleet.environment(), embedder)
        again = await self.embed(fleet, fleet.environment(), embedder)
        assert embedder.calls["embed_query"] == 1
        assert again.vector == first.vector
        assert (first.tokens > 0, again.tokens) == (True, 0)

    async def test_other_options_share_the_embedding_and_other_case_does_not(self, fleet):
        embedder = FakeEmbedder(dimension=2)
        environment = fleet.environment()
        await self.embed(fleet, environment, embedder)
        await self.embed(fleet, environment, embedder, replace(QUESTION, top_k=3))
        assert embedder.calls["embed_query"] == 1
        await self.embed(fleet, environment, embedder, Query(QUESTION.text.lower()))
        assert embedder.calls["embed_query"] == 2

    async def test_embeddings_are_not_written_where_they_cost_more_than_they_save(self, fleet):
        await self.embed(fleet, fleet.environment(), FakeEmbedder(dimension=2))
        assert fleet.valkey.calls["write"] == 1
        assert fleet.dynamodb.calls["write"] == 0

    async def test_they_come_with_the_same_batch_as_everything_else(self, fleet):
        embedder = FakeEmbedder(dimension=2)
        await self.embed(fleet, fleet.environment(), embedder)
        fleet.valkey.calls.clear()
        await self.embed(fleet, fleet.environment(), embedder)
        # One read, and one more under the lease.
        assert fleet.valkey.calls["read"] == 2

    async def test_a_day_later_they_are_made_again(self, fleet):
        embedder = FakeEmbedder(dimension=2)
        environment = fleet.environment()
        await self.embed(fleet, environment, embedder)
        fleet.clock.passes(86400)
        await self.embed(fleet, environment, embedder)
        assert embedder.calls["embed_query"] == 2

    async def test_one_of_another_dimension_is_not_used(self, fleet):
        packed = b"\1\0\0\0" + array("f", [1, 2, 3]).tobytes()
        await fleet.valkey.write({vector_key("fake/2", "default", QUESTION.text): packed}, ttl_s=60)
        state = await fleet.environment().shared.open(QUESTION)
        assert state.embedding is None


class TestOnceForEveryone:
    async def test_concurrent_identical_questions_in_one_process_are_computed_once(self, fleet):
        pipeline = slow_pipeline()
        environment = fleet.environment()
        answers = await asyncio.gather(
            *(environment.answer(QUESTION, pipeline) for _ in range(200))
        )
        assert pipeline.calls == 1
        assert sorted(a.cache.status for a in answers) == ["hit"] * 199 + ["miss"]
        assert len({a.search_id for a in answers}) == 200
        assert sum(a.usage.prompt_tokens for a in answers) == 500

    async def test_eight_environments_compute_once(self, fleet):
        pipeline = slow_pipeline()
        environments = [fleet.environment() for _ in range(8)]
        await asyncio.gather(*(environments[n % 8].answer(QUESTION, pipeline) for n in range(200)))
        assert pipeline.calls == 1

    async def test_who_waits_for_another_environment_waits_a_bounded_time(self, fleet):
        pipeline = slow_pipeline(0.5)
        slow, other = fleet.environment(), fleet.environment(wait_s=0.1)
        first = asyncio.create_task(slow.answer(QUESTION, pipeline))
        await asyncio.sleep(0.02)
        pipeline.work = None
        answer = await other.answer(QUESTION, pipeline)
        assert not first.done()
        assert answer.cache.status == "miss"
        await first

    async def test_it_waits_no_longer_than_half_of_its_time(self, fleet):
        pipeline = slow_pipeline(0.6)
        first = asyncio.create_task(fleet.environment().answer(QUESTION, pipeline))
        await asyncio.sleep(0.02)
        pipeline.work = None
        with deadline(0.4):
            await fleet.environment().answer(QUESTION, pipeline)
        assert not first.done()
        await first

    async def test_a_degraded_answer_elsewhere_sets_those_who_wait_free(self, fleet):
        pipeline = slow_pipeline(0.1, mode="partial")
        answers = await asyncio.wait_for(
            asyncio.gather(*(fleet.environment().answer(QUESTION, pipeline) for _ in range(4))), 1.5
        )
        assert [a.mode for a in answers] == ["partial"] * 4

    async def test_one_look_that_fails_is_no_reason_to_compute_twice(self, fleet):
        pipeline = slow_pipeline(0.2)
        first = asyncio.create_task(fleet.environment().answer(QUESTION, pipeline))
        await asyncio.sleep(0.02)
        other = fleet.environment()
        second = asyncio.create_task(other.answer(QUESTION, pipeline))
        await asyncio.sleep(0.01)
        fleet.valkey.fail(DOWN, on="read", times=1)
        await asyncio.gather(first, second)
        assert pipeline.calls == 1

    async def test_an_environment_that_died_holds_up_nobody_for_longer_than_its_lease(
        self, fleet, pipeline
    ):
        state = await fleet.environment().shared.open(QUESTION)
        await fleet.valkey.claim(lease_key(state.key), "dead", ttl_s=26)
        fleet.clock.passes(27)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await fleet.environment().answer(QUESTION, pipeline)
        assert loop.time() - started < 0.5

    async def test_when_the_first_is_cancelled_another_begins_anew(self, fleet):
        pipeline = slow_pipeline()
        environment = fleet.environment()
        first = asyncio.create_task(environment.answer(QUESTION, pipeline))
        await asyncio.sleep(0.02)
        rest = [asyncio.create_task(environment.answer(QUESTION, pipeline)) for _ in range(5)]
        await asyncio.sleep(0.01)
        first.cancel()
        answers = await asyncio.gather(*rest)
        assert pipeline.calls == 2
        assert {a.answer for a in answers} == {"Seoul [1]."}
        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_a_cancelled_request_stores_nothing_and_gives_its_lease_back(self, fleet):
        pipeline = slow_pipeline()
        first = asyncio.create_task(fleet.environment().answer(QUESTION, pipeline))
        await asyncio.sleep(0.02)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert fleet.valkey.calls["write"] == 0
        assert fleet.valkey.calls["release"] == 1

    async def test_an_exception_reaches_everyone_who_waits(self, fleet):
        async def work(_):
            await asyncio.sleep(0.02)
            raise KeyError("a bug")

        pipeline = Pipeline()
        pipeline.work = work
        environment = fleet.environment()
        outcomes = await asyncio.gather(
            *(environment.answer(QUESTION, pipeline) for _ in range(5)), return_exceptions=True
        )
        assert [type(o) for o in outcomes] == [KeyError] * 5
        assert pipeline.calls == 1

    async def test_who_knows_of_a_change_does_not_join_who_does_not(self, fleet):
        pipeline = slow_pipeline()
        environment = fleet.environment()
        first = asyncio.create_task(environment.answer(QUESTION, pipeline))
        await asyncio.sleep(0.02)
        await fleet.changes().changing("default", deleted=["seoul"])
        second = await environment.answer(QUESTION, pipeline)
        assert pipeline.calls == 2
        assert second.cache.status == "miss"
        await first


class TestLastGood:
    async def last_good(self, fleet, environment=None):
        state = await (environment or fleet.environment()).shared.open(QUESTION)
        return state.last_good(fleet.clock(), "another")

    async def test_it_is_served_whatever_the_version_with_its_age(self, fleet, pipeline):
        await fleet.environment().answer(QUESTION, pipeline)
        fleet.clock.passes(7200)
        await fleet.changes().changed("default")
        found = await self.last_good(fleet)
        assert (found.mode, found.answer, found.search_id) == ("cached", "Seoul [1].", "another")
        assert (found.cache.status, found.cache.age_s) == ("stale", 7200)

    async def test_for_seven_days(self, fleet, pipeline):
        await fleet.environment().answer(QUESTION, pipeline)
        fleet.clock.passes(7 * 86400 - 1)
        assert await self.last_good(fleet)
        fleet.clock.passes(2)
        assert await self.last_good(fleet) is None

    async def test_from_memory_too(self, fleet, pipeline):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        fleet.clock.passes(7200)
        assert (await self.last_good(fleet, environment)).cache.tier == "memory"

    async def test_not_with_a_deleted_source(self, fleet, pipeline):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        fleet.clock.passes(60)
        await fleet.changes().changing("default", deleted=["seoul"])
        assert await self.last_good(fleet, environment) is None
        assert await self.last_good(fleet) is None

    async def test_not_when_its_source_was_deleted_and_came_back_since(self, fleet, pipeline):
        await fleet.environment().answer(QUESTION, pipeline)
        fleet.clock.passes(60)
        await fleet.changes().changing("default", deleted=["seoul"])
        await fleet.changes().changing("default", added=["seoul"])
        assert await self.last_good(fleet) is None

    async def test_not_when_tombstones_have_been_lost(self, fleet, pipeline):
        await fleet.environment().answer(QUESTION, pipeline)
        fleet.clock.passes(60)
        await fleet.changes().changing("default", deleted=["something else"])
        assert await self.last_good(fleet)
        for store in fleet.stores.values():
            del store._shelves.maps[tombs_key("default")]
        assert await self.last_good(fleet) is None

    async def test_not_when_a_store_that_lost_its_memory_has_new_tombstones_only(
        self, fleet, pipeline
    ):
        await fleet.environment().answer(QUESTION, pipeline)
        fleet.clock.passes(60)
        await fleet.changes().changing("default", deleted=["seoul"])
        forget(fleet.valkey)
        fleet.clock.passes(60)
        await fleet.environment().shared.open(QUESTION)
        await fleet.changes().changing("default", deleted=["something else"])
        assert await self.last_good(fleet) is None

    async def test_not_when_no_store_can_tell_what_was_deleted(self, fleet, pipeline):
        environment = fleet.environment()
        await environment.answer(QUESTION, pipeline)
        for store in fleet.stores.values():
            store.fail(DOWN)
        assert await self.last_good(fleet, environment) is None

    async def test_a_stale_answer_passes_as_it_is(self, fleet, pipeline):
        await fleet.environment().answer(QUESTION, pipeline)
        await fleet.changes().changed("default")

        async def index_lost(state):
            return state.last_good(fleet.clock(), "x")

        pipeline.work = index_lost
        answer = await fleet.environment().answer(QUESTION, pipeline)
        assert (answer.mode, answer.cache.status) == ("cached", "stale")

    async def test_who_joins_a_stale_answer_repeats_neither_its_stages_nor_its_cost(
        self, fleet, pipeline
    ):
        await fleet.environment().answer(QUESTION, pipeline)
        await fleet.changes().changed("default")

        async def index_lost(state):
            await asyncio.sleep(0)
            return replace(
                state.last_good(fleet.clock(), "x"),
                degraded=("keyword",),
                usage=Usage(7, cost_usd=0.007),
                stages=[Stage("embedding", 0, 5)],
            )

        pipeline.work = index_lost
        environment = fleet.environment()
        answers = await asyncio.gather(*(environment.answer(QUESTION, pipeline) for _ in range(3)))
        assert {(a.mode, a.cache.status, a.degraded) for a in answers} == {
            ("cached", "stale", ("keyword",))
        }
        assert sum(len(answer.stages) for answer in answers) == 1
        assert sum(answer.usage.cost_usd for answer in answers) == 0.007


async def test_memory_stays_within_its_bounds(fleet):
    pipeline = Pipeline()
    environment = fleet.environment(limits=CacheLimits(memory_answers=20, memory_vectors=20))

    async def work(state):
        state.embedding, state.embedding_is_new = Embedding(array("f", [1, 0]), 3), True
        return an_answer()

    pipeline.work = work
    for n in range(100):
        await environment.answer(Query(f"Question {n}?", namespace=f"n{n % 5}"), pipeline)
    assert len(environment.shared._answers) == 20
    assert len(environment.shared._vectors) == 20


def forget(store: InMemoryStore) -> None:
    store._shelves = InMemoryStore()._shelves


def slow_pipeline(seconds: float = 0.1, **changes) -> Pipeline:
    async def work(_):
        await asyncio.sleep(seconds)
        return an_answer(**changes)

    pipeline = Pipeline()
    pipeline.work = work
    return pipeline

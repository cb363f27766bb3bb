"""Readiness: who is asked, how often, and what is made of the answers."""

import asyncio
import time

import pytest

from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex, InMemoryStore
from steadyrag.api.health import build_version
from steadyrag.domain.errors import Refused, Unavailable
from steadyrag.domain.ports import IndexStatus
from steadyrag.health import KEEP_S, Probes, Readiness
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.search import Service
from steadyrag.wiring.readiness import probes


class World:
    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.embedder, self.index, self.generator = FakeEmbedder(), FullIndex(), FakeGenerator()
        self.reranker, self.store = FakeReranker(), InMemoryStore(name="valkey")

    @property
    def probes(self) -> Probes:
        parts = (self.embedder, self.index, self.reranker, self.generator)
        return probes(Service(*parts, extractive=self.generator, stores=[self.store]))

    def readiness(self, **options) -> Readiness:
        return Readiness(self.probes, clock=lambda: self.now, **options)

    @property
    def asked(self) -> int:
        fakes = (self.embedder, self.index, self.generator, self.reranker, self.store)
        return sum(fake.calls.total() for fake in fakes)


class FullIndex(InMemoryIndex):
    async def status(self, namespace: str | None = None) -> IndexStatus:
        await super().status(namespace)
        return IndexStatus(ready=True, chunks=7)


class PingedReranker(FakeReranker):
    async def ping(self) -> None:
        await self._called("ping")


@pytest.fixture
def world() -> World:
    return World()


async def test_every_dependency_and_every_store_is_asked_once(world):
    health = await world.readiness().check()
    assert health.status == "ok"
    assert set(health.checks) == {"embedding", "index", "reranker", "llm", "valkey"}
    assert world.asked == 5


async def test_a_second_model_is_asked_and_stores_past_their_circuits(world):
    second = FakeGenerator(model="second")
    guarded = GuardedStore(world.store)
    for _ in range(5):
        guarded.breaker.failure()
    parts = (world.embedder, world.index, world.reranker, world.generator)
    service = Service(*parts, extractive=world.generator, fallback=second, stores=[guarded])
    health = await Readiness(probes(service)).check()
    assert second.calls["ping"] == 1
    assert health.checks["llm_fallback"].status == health.checks["valkey"].status == "ok"


async def test_a_reranker_that_can_be_pinged_is_not_asked_to_rerank(world):
    world.reranker = PingedReranker()
    health = await world.readiness().check()
    assert health.checks["reranker"].status == "ok"
    assert world.reranker.calls == {"ping": 1}


async def test_they_are_asked_at_the_same_time(world):
    for fake in (world.embedder, world.index, world.generator, world.reranker, world.store):
        fake.slow(0.1)
    started = time.perf_counter()
    health = await world.readiness().check()
    assert time.perf_counter() - started < 0.3
    assert all(100 <= check.latency_ms < 300 for check in health.checks.values())


async def test_one_that_never_answers_costs_its_time_limit_and_no_more(world):
    world.reranker.slow(60)
    started = time.perf_counter()
    health = await world.readiness(timeout_s=0.05).check()
    assert time.perf_counter() - started < 0.5
    assert health.status == "degraded"
    assert health.checks["reranker"].detail == "no answer within 0.05 s"


async def test_a_store_that_is_down_degrades_and_does_not_fail(world):
    world.store.fail(Unavailable("valkey", "refused"))
    health = await world.readiness().check()
    assert health.status == "degraded"
    assert (health.checks["valkey"].status, health.checks["valkey"].detail) == ("failed", "refused")


async def test_without_the_index_nothing_can_be_answered(world):
    world.index.fail(Refused("index", "answered 401"))
    assert (await world.readiness().check()).status == "failed"


async def test_a_result_is_shown_again_for_five_seconds(world):
    readiness = world.readiness()
    first = await readiness.check()
    world.embedder.fail(Unavailable("embedding", "down"))
    world.now += KEEP_S - 0.1
    assert await readiness.check() is first
    world.now += 0.2
    assert (await readiness.check()).status == "degraded"
    world.embedder.heal()
    assert (await readiness.check()).status == "degraded"
    world.now += KEEP_S
    assert (await readiness.check()).status == "ok"
    assert world.asked == 15


async def test_a_clock_set_back_does_not_keep_a_result_for_ever(world):
    readiness = world.readiness()
    await readiness.check()
    world.now -= 3600
    await readiness.check()
    assert world.asked == 10


async def test_probes_that_come_together_are_made_once(world):
    world.index.slow(0.02)
    readiness = world.readiness()
    results = await asyncio.gather(*(readiness.check() for _ in range(50)))
    assert world.asked == 5
    assert len({id(result) for result in results}) == 1


async def test_one_who_hangs_up_does_not_spoil_it_for_the_others(world):
    world.index.slow(0.02)
    readiness = world.readiness()
    first, second = (asyncio.create_task(readiness.check()) for _ in range(2))
    await asyncio.sleep(0.005)
    first.cancel()
    assert (await second).status == "ok"


async def test_an_open_breaker_degrades_and_one_that_probes_does_not(world):
    states = {"llm": "half_open", "reranker": "closed"}
    health = await world.readiness(breakers=lambda: states).check()
    assert (health.status, health.breakers) == ("ok", states)
    states["llm"] = "open"
    assert (await world.readiness(breakers=lambda: states).check()).status == "degraded"


async def test_breakers_may_be_read_from_a_store(world):
    async def states():
        await asyncio.sleep(0)
        return {"embedding": "open"}

    health = await world.readiness(breakers=states).check()
    assert health.breakers == {"embedding": "open"}


@pytest.mark.parametrize("delay_s", [0, 60])
async def test_breakers_that_cannot_be_read_are_left_out(world, delay_s):
    async def states():
        await asyncio.sleep(delay_s)
        raise Unavailable("valkey", "down")

    health = await world.readiness(breakers=states, timeout_s=0.05).check()
    assert (health.status, health.breakers) == ("ok", {})


def test_a_release_is_known_by_the_file_the_build_left(tmp_path):
    entry_point = str(tmp_path / "health.py")
    assert build_version(entry_point) == "0.1.0"
    (tmp_path / "RELEASE").write_text("4f2a91c07be5d318\n")
    assert build_version(entry_point) == "0.1.0+4f2a91c07be5d318"


async def test_what_is_not_ready_is_logged_with_its_reason(world, caplog):
    world.reranker.fail(Unavailable("reranker", "answered 503"))
    await world.readiness().check()
    (line,) = caplog.records
    assert (line.message, line.dependency, line.reason) == ("not ready", "reranker", "answered 503")

"""The wired service over real vendors' wire formats and a real Valkey: caches, circuits,
limits, deadlines, and what is left of an answer when something is down."""

import time
from functools import partial

import pytest
from starlette.testclient import TestClient

from steadyrag.api import create_app
from steadyrag.api.search import search_router
from steadyrag.domain.models import Query
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.keys import corpus_key
from steadyrag.search import search
from steadyrag.settings import load
from steadyrag.wiring.service import build, rate_limit
from tcp_proxy import TcpProxy
from vendors import Fault

QUESTION = Query("What is the capital of South Korea?")


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine must not look like a slow store, which would be a miss."""
    monkeypatch.setattr("steadyrag.wiring.stores.CLIENT_TIMEOUT_S", 5.0)
    monkeypatch.setattr(
        "steadyrag.wiring.stores.GuardedStore", partial(GuardedStore, timeout_s=5.0, connect_s=5.0)
    )


@pytest.fixture
def environment(local, valkey_cluster):
    from redis import Redis

    with Redis.from_url(valkey_cluster.url.partition("?")[0]) as valkey:
        valkey.flushall()
    return {**local.environment, "STEADYRAG_CACHE_URL": valkey_cluster.url}


@pytest.fixture
async def service(environment):
    made = build(load(environment))
    yield made
    await made.aclose()


@pytest.fixture
async def elsewhere(environment):
    """Another environment of the same fleet."""
    made = build(load(environment))
    yield made
    await made.aclose()


async def test_a_question_asked_again_anywhere_costs_no_vendor_call(local, service, elsewhere):
    first = await search(QUESTION, service)
    assert (first.mode, first.cache.status) == ("full", "miss")
    local.forget()
    again = await search(QUESTION, service)
    there = await search(QUESTION, elsewhere)
    assert (again.cache.status, again.cache.tier) == ("hit", "memory")
    assert (there.cache.status, there.cache.tier) == ("hit", "valkey")
    assert again.answer == there.answer == first.answer
    assert len({first.search_id, again.search_id, there.search_id}) == 3
    assert local.openai.requests == local.pinecone.requests == []


async def test_a_caller_who_wants_a_new_answer_gets_one(local, service):
    await search(QUESTION, service)
    local.forget()
    answer = await search(QUESTION, service, refresh=True)
    assert answer.cache.status == "bypass"
    assert local.openai.asked("chat")


async def test_a_changed_corpus_makes_old_answers_misses(local, service, elsewhere):
    await search(QUESTION, service)
    changes = CorpusChanges(service.stores)
    await changes.changing("default", added=["new"])
    await changes.changed("default")
    for part in (service, elsewhere):
        assert (await search(QUESTION, part)).cache.status == "miss"


async def test_a_degraded_answer_is_not_kept(local, service):
    local.pinecone.faults.add("rerank", Fault("status", status=503))
    assert (await search(QUESTION, service)).mode == "partial"
    local.forget()
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.cache.status) == ("full", "miss")


async def test_a_lost_index_shows_the_last_good_answer_with_its_age(local, service):
    good = await search(QUESTION, service)
    # The record of what was deleted has just begun; of the first seconds nothing is certain.
    await service.stores[0].update(corpus_key("default"), put={"since": b"1"})
    changes = CorpusChanges(service.stores)
    await changes.changing("default", added=["new"])
    await changes.changed("default")
    for operation in ("vector_search", "keyword_search"):
        local.pinecone.faults.add(operation, Fault("status", status=503))
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.cache.status) == ("cached", "stale")
    assert answer.cache.age_s is not None
    assert answer.answer == good.answer
    assert set(answer.degraded) == {"vector", "keyword"}


async def test_a_lost_index_never_shows_what_was_deleted(local, service):
    await search(QUESTION, service)
    changes = CorpusChanges(service.stores)
    await changes.changing("default", deleted=["seoul"])
    await changes.changed("default")
    after = await search(QUESTION, service)
    assert "seoul" not in [source.document_id for source in after.sources]
    for operation in ("vector_search", "keyword_search"):
        local.pinecone.faults.add(operation, Fault("status", status=503))
    assert (await search(QUESTION, service)).mode == "canned"


async def test_a_dead_embedding_api_is_left_alone_by_the_whole_fleet(local, service, elsewhere):
    local.openai.faults.add("embeddings", Fault("status", status=503))
    for number in range(10):
        question = Query(f"What about number {number}?")
        answer = await search(question, service if number % 2 else elsewhere)
        assert (answer.mode, answer.degraded) == ("keyword_only", ("embedding",))
    assert len(local.openai.asked("embeddings")) <= 6
    assert service.breakers.state("embedding") == "open"


async def test_a_reset_connection_costs_a_second_try_and_nothing_else(local, service):
    await search(QUESTION, service)
    local.forget()
    local.pinecone.faults.add("rerank", Fault("status", status=500), times=1)
    answer = await search(Query("Which city is the largest?"), service)
    assert (answer.mode, answer.degraded) == ("full", ())
    assert len(local.pinecone.asked("rerank")) == 2


async def test_the_second_model_answers_when_the_first_is_lost(local, environment):
    second = {**environment, "STEADYRAG_CHAT_FALLBACK_MODEL": "gpt-6.1-terra"}
    service = build(load(second))
    local.openai.faults.add("chat", Fault("status", status=503), times=2)
    answer = await search(QUESTION, service)
    assert (answer.mode, answer.degraded) == ("partial", ("generation",))
    assert answer.model == "gpt-6.1-terra"
    assert [r.json["model"] for r in local.openai.asked("chat")][-1] == "gpt-6.1-terra"
    await service.aclose()


async def test_an_answer_with_half_a_character_is_an_answer(local, service, monkeypatch):
    monkeypatch.setattr(local.openai, "reply", "Seoul \ud83d [1]")
    answers = [await search(QUESTION, service) for _ in range(2)]
    assert [answer.answer for answer in answers] == ["Seoul \ufffd [1]"] * 2
    assert answers[1].cache.status == "hit"


async def test_a_dead_valkey_is_no_cache_and_nothing_worse(local, valkey_cluster):
    nowhere = {**local.environment, "STEADYRAG_CACHE_URL": "redis://127.0.0.1:1"}
    service = build(load(nowhere))
    for _ in range(2):
        answer = await search(QUESTION, service)
        assert (answer.mode, answer.cache.status) == ("full", "off")
    await service.aclose()


@pytest.fixture
def client(environment):
    settings = load({**environment, "STEADYRAG_RATE_LIMIT": "3/minute"})
    service = build(settings)
    app = create_app([search_router(service, rate_limit(settings, service.stores))])
    with TestClient(app) as client:
        yield client
        client.portal.call(service.aclose)


def test_one_request_too_many_is_a_429_that_says_when_to_come_back(client):
    body = {"query": QUESTION.text, "generate": False}
    answers = [client.post("/search", json=body) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"user";q=3;w=60'
    assert answers[0].headers["ratelimit"].startswith('"user";r=2;')
    assert answers[3].headers["content-type"] == "application/problem+json"
    assert int(answers[3].headers["retry-after"]) >= 1
    assert answers[3].json()["type"] == "urn:steadyrag:problem:rate-limited"


def test_where_an_answer_came_from_is_in_the_headers(client):
    body = {"query": QUESTION.text}
    first, second = (client.post("/search", json=body) for _ in range(2))
    assert first.headers["cache-status"] == "steadyrag; fwd=miss"
    assert second.headers["cache-status"] == "steadyrag; hit; detail=memory"
    assert int(second.headers["age"]) >= 0
    assert second.json()["cache"]["status"] == "hit"


def test_a_caller_may_shorten_the_deadline_and_still_gets_an_answer(client, local):
    local.slow(chat=3000)
    response = client.post(
        "/search", json={"query": QUESTION.text}, headers={"X-Request-Timeout": "1"}
    )
    assert response.status_code == 200
    assert response.json()["degraded"] == ["generation"]
    assert response.json()["timings_ms"]["total"] < 2500


def test_counting_a_request_is_part_of_its_time(environment, valkey_cluster):
    """Two silent stores and a caller in a hurry."""
    with TcpProxy(valkey_cluster.port) as silent:
        silent.silent = True
        nowhere = {
            **environment,
            "STEADYRAG_CACHE_URL": f"redis://127.0.0.1:{silent.port}",
            "STEADYRAG_TABLE_PREFIX": "none-",
            "STEADYRAG_LOCAL_DYNAMODB_URL": f"http://127.0.0.1:{silent.port}",
            "STEADYRAG_RATE_LIMIT": "10/minute",
        }
        settings = load(nowhere)
        with pytest.MonkeyPatch.context() as usual:
            usual.setattr("steadyrag.wiring.stores.GuardedStore", GuardedStore)
            service = build(settings)
        app = create_app([search_router(service, rate_limit(settings, service.stores))])
        with TestClient(app) as client:
            client.portal.call(service.warm)
            started = time.perf_counter()
            response = client.post(
                "/search", json={"query": QUESTION.text}, headers={"X-Request-Timeout": "1"}
            )
            seconds = time.perf_counter() - started
            client.portal.call(service.aclose)
    assert response.status_code == 200
    timings = response.json()["timings_ms"]
    assert timings["limit"] > 100
    assert timings["limit"] + 1 < timings["total"] < 1100
    assert seconds < 1.4


def test_what_was_lost_is_in_the_headers_too(client, local):
    local.pinecone.faults.add("rerank", Fault("status", status=503))
    response = client.post("/search", json={"query": QUESTION.text})
    assert response.headers["x-steadyrag-mode"] == "partial"
    assert response.headers["x-steadyrag-degraded"] == "rerank"


def test_a_deadline_that_is_none_is_a_422(client):
    response = client.post("/search", json={"query": "a"}, headers={"X-Request-Timeout": "soon"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "X-Request-Timeout"

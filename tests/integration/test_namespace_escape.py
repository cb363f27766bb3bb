"""Two tenants on one service: whatever one sends, it never reads what is the other's.

Everything goes through the Lambda handler as API Gateway calls it, over a real Valkey and the
vendors' wire formats, with the other tenant's answer held in every cache.
"""

import asyncio
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from mangum.handlers import APIGateway
from redis import Redis

from builders import chunk
from integration.escapes import (
    ESCAPES,
    OUR_KEY,
    OURS,
    QUESTION,
    THEIR_KEY,
    THEIRS,
    Escape,
    Event,
    asks_theirs,
    headers,
    named,
)
from integration.test_lambda import CONTEXT, event, load_function
from integration.vendored import Vendors, vendors
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.resilience.keys import corpus_key
from steadyrag.settings import load
from steadyrag.wiring.service import build
from vendors import Fault

OUR_TEXT, THEIR_TEXT = "bluebird", "redwolf"
"""A word that only one tenant's documents hold."""


async def _fill(environment: Any) -> None:
    service = build(load(environment))
    for namespace, secret in ((OURS, OUR_TEXT), (THEIRS, THEIR_TEXT)):
        texts = [
            f"The launch code of the spring rocket is {secret}.",
            f"Whoever asks for the launch code at night is told {secret} too.",
        ]
        made = await service.embedder.embed_passages(texts)
        chunks = [
            EmbeddedChunk(
                chunk(
                    text,
                    id=f"rocket-{number}",
                    document_id="rocket",
                    title=f"Rocket {secret}",
                    metadata={"namespace": namespace, "tenant": namespace},
                ),
                vector,
            )
            for number, (text, vector) in enumerate(zip(texts, made.vectors, strict=True))
        ]
        await service.index.upsert(namespace, chunks)
    await service.aclose()


@pytest.fixture(scope="module")
def tenants() -> Iterator[Vendors]:
    with vendors() as running:
        asyncio.run(_fill(running.environment))
        running.pinecone.settle()
        yield running


@pytest.fixture(scope="module")
def policy(tenants, valkey_cluster) -> Iterator[None]:
    with Redis(port=valkey_cluster.port) as valkey, pytest.MonkeyPatch.context() as patch:
        valkey.flushall()
        for name, value in tenants.environment.items():
            patch.setenv(name, value)
        patch.setenv("STEADYRAG_CACHE_URL", valkey_cluster.url)
        patch.setenv("STEADYRAG_KEY_RATE_LIMIT", "off")
        patch.setenv("STEADYRAG_TRUSTED_KEYS", "*")
        patch.setenv("STEADYRAG_KEY_NAMESPACES", f"{OUR_KEY}={OURS},{THEIR_KEY}={THEIRS}")
        yield


@pytest.fixture(scope="module")
def search(policy) -> ModuleType:
    return load_function("search")


def request(key_id: str | None, body: Any, **changes: Any) -> Event:
    """What API Gateway makes of a tenant's request."""
    made = event("POST", "/search", body, **changes)
    made["requestContext"]["identity"]["apiKeyId"] = key_id
    return made


def theirs(search: ModuleType, **body: Any) -> dict[str, Any]:
    """The other tenant asks, and has its answer."""
    asked = request(THEIR_KEY, {"query": QUESTION, "namespace": THEIRS} | body)
    response = search.handler(asked, CONTEXT)
    assert response["statusCode"] == 200, response
    assert THEIR_TEXT in response["body"]
    return json.loads(response["body"])


def attempt(search: ModuleType, escape: Escape) -> dict[str, Any]:
    body = {"query": QUESTION, "namespace": OURS} | escape.body
    for name in escape.drop:
        del body[name]
    sent = escape.raw if escape.raw is not None else json.dumps(body)
    made = request(OUR_KEY, sent)
    escape.change(made)
    return search.handler(made, CONTEXT)


def test_every_attempt_has_a_name_of_its_own():
    assert len({escape.name for escape in ESCAPES}) == len(ESCAPES)


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name.replace(" ", "-"))
def test_no_attempt_returns_the_other_tenants_text(search, escape):
    asked = {k: v for k, v in escape.body.items() if k in ("generate", "top_k")}
    theirs(search, **asked)
    response = attempt(search, escape)
    assert THEIR_TEXT not in json.dumps(response)
    assert response["statusCode"] == escape.status, response
    if escape.status == 200 and "filter" not in escape.body:
        assert OUR_TEXT in response["body"]


def test_what_is_refused_asks_nobody_and_says_the_same_of_what_does_not_exist(search, tenants):
    theirs(search)
    tenants.forget()
    told = [
        attempt(search, named("", name, 403))
        for name in (THEIRS, "initech", "default", "GLOBEX", "globex.")
    ]
    assert {(answer["statusCode"], answer["body"]) for answer in told} == {
        (403, told[0]["body"]),
    }
    assert len({json.dumps(sorted(answer["headers"].items())) for answer in told}) == 1
    assert json.loads(told[0]["body"])["type"] == "urn:steadyrag:problem:forbidden"
    assert tenants.openai.requests == tenants.pinecone.requests == []


def test_a_search_id_of_the_other_opens_nothing(search):
    known = theirs(search)["search_id"]
    for escape in (
        Escape("in the body", 422, {"search_id": known}),
        Escape("as the question", 200, {"query": known}),
        Escape("in a header", 200, change=headers(X_Search_Id=known, X_Request_Id=known)),
        asks_theirs("with the namespace", headers(X_Search_Id=known)),
    ):
        response = attempt(search, escape)
        assert response["statusCode"] == escape.status
        assert THEIR_TEXT not in json.dumps(response)


def test_each_answer_that_was_held_has_a_search_id_of_its_own(search):
    ours = [json.loads(attempt(search, Escape("", 200))["body"]) for _ in range(3)]
    others = [theirs(search) for _ in range(3)]
    assert [answer["cache"]["status"] for answer in ours[1:] + others[1:]] == ["hit"] * 4
    assert len({answer["search_id"] for answer in ours + others}) == 6


async def _at_once(app: Any, events: list[Event]) -> list[str]:
    """The bodies of the answers to events that arrive together, each as Mangum hands it on."""

    async def ask(made: Event) -> str:
        scope = APIGateway(
            made,
            CONTEXT,
            {
                "api_gateway_base_path": "/",
                "text_mime_types": [],
                "exclude_headers": [],
                "custom_handlers": None,
            },
        ).scope
        body = bytearray()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": made["body"].encode(), "more_body": False}

        async def send(message: Any) -> None:
            body.extend(message.get("body", b""))

        await app(scope, receive, send)
        return body.decode()

    return await asyncio.gather(*map(ask, events))


def test_identical_questions_at_once_share_nothing_between_tenants(search, tenants):
    tenants.forget()
    tenants.slow(chat=200)  # so that all are under way together
    question = f"{QUESTION} And at night?"
    events = [
        request(key, {"query": question, "namespace": namespace})
        for _ in range(10)
        for key, namespace in ((OUR_KEY, OURS), (THEIR_KEY, THEIRS), (OUR_KEY, THEIRS))
    ]
    loop = asyncio.get_event_loop()
    answers = loop.run_until_complete(_at_once(search.app, events))
    tenants.forget()
    for made, answer in zip(events, answers, strict=True):
        who, asked = made["requestContext"]["identity"]["apiKeyId"], json.loads(made["body"])
        refused = who == OUR_KEY and asked["namespace"] == THEIRS
        assert (THEIR_TEXT in answer) is (who == THEIR_KEY)
        assert (OUR_TEXT in answer) is (who == OUR_KEY and not refused)
    served = [json.loads(answer) for answer in answers]
    assert any(one.get("cache", {}).get("tier") == "flight" for one in served)


def test_the_last_good_answer_of_the_other_stands_in_for_nobody_else(
    policy, tenants, valkey_cluster, monkeypatch
):
    with Redis(port=valkey_cluster.port) as valkey:
        valkey.flushall()
    function = load_function("search")
    question = {"query": f"{QUESTION} Once more?"}
    asked = request(THEIR_KEY, question | {"namespace": THEIRS})
    assert THEIR_TEXT in function.handler(asked, CONTEXT)["body"]
    assert OUR_TEXT in attempt(function, Escape("", 200))["body"]
    with Redis(port=valkey_cluster.port) as valkey:
        for namespace in (OURS, THEIRS):  # of a record's first seconds nothing is certain
            valkey.hset(corpus_key(namespace), "since", "1")
    monkeypatch.setenv("STEADYRAG_RESULT_TTL_S", "0")  # what is held is the last good one only
    function = load_function("search")
    for operation in ("vector_search", "keyword_search"):
        tenants.pinecone.faults.add(operation, Fault("status", status=503))
    try:
        stale = json.loads(function.handler(asked, CONTEXT)["body"])
        assert stale["mode"] == "cached"
        assert THEIR_TEXT in json.dumps(stale)
        ours = function.handler(request(OUR_KEY, question | {"namespace": OURS}), CONTEXT)
        refused = function.handler(request(OUR_KEY, question | {"namespace": THEIRS}), CONTEXT)
    finally:
        tenants.forget()
        with Redis(port=valkey_cluster.port) as valkey:
            valkey.flushall()
    assert json.loads(ours["body"])["mode"] == "canned"
    assert refused["statusCode"] == 403
    assert THEIR_TEXT not in json.dumps([ours, refused])


def test_a_tenant_reads_its_own(search):
    response = attempt(search, Escape("", 200))
    assert response["statusCode"] == 200
    assert OUR_TEXT in response["body"]

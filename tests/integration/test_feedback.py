"""POST /feedback as a client meets it."""

import json

import pytest
from starlette.testclient import TestClient

from builders import chunk
from contract.record_store_contract import a_search
from contract.store_contract import Clock
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex, InMemoryRecords
from steadyrag.api import create_app
from steadyrag.api.feedback import feedback_router
from steadyrag.api.feedback_schemas import FeedbackRequest, FeedbackResponse
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.schemas import Problem
from steadyrag.api.search import search_router
from steadyrag.api.search_ids import SearchIds
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.limits import Limit, Rules
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.domain.records import Feedback
from steadyrag.domain.search_ids import new_id, sign
from steadyrag.feedback import FeedbackParts
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.search import Service
from steadyrag.telemetry import records

KEY = b"a key of thirty-two letters or so"
ME, SOMEBODY_ELSE = "ip:testclient", "ip:203.0.113.9"
MINE = sign(new_id(), ME, KEY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> InMemoryRecords:
    return InMemoryRecords(clock=clock)


@pytest.fixture
def serve(store, clock):
    opened = []

    def serve(**options) -> TestClient:
        options = {"parts": FeedbackParts(store, clock), **options}
        client = TestClient(create_app([feedback_router(SearchIds(KEY), **options)]))
        opened.append(client.__enter__())
        return client

    yield serve
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve) -> TestClient:
    return serve()


@pytest.fixture
def told(monkeypatch):
    """What the lines `feedback` of the log say."""
    lines: list[dict[str, object]] = []

    def tell(message, fields):
        assert message == "feedback"
        lines.append(dict(fields))

    monkeypatch.setattr("steadyrag.feedback.tell", tell)
    return lambda: lines


@pytest.fixture
def counted(monkeypatch):
    """The verdicts that were counted."""
    verdicts: list[str] = []
    monkeypatch.setattr(
        "steadyrag.feedback.metrics.count",
        lambda metric, **dimensions: verdicts.append(f"{metric.name}:{dimensions['verdict']}"),
    )
    return verdicts


async def test_what_a_caller_thinks_is_accepted_logged_counted_and_kept(
    client, store, clock, told, counted
):
    body = {"search_id": MINE, "clicked_rank": 2, "rating": -1}
    response = client.post("/feedback", json=body)
    assert response.status_code == 202
    answer = FeedbackResponse.model_validate_json(response.content, strict=True)
    assert (answer.search_id, answer.status) == (MINE, "accepted")
    assert set(response.json()) == set(FeedbackResponse.model_fields)
    assert response.headers["x-request-id"]
    assert told() == [body]
    assert counted == ["Feedback:click", "Feedback:bad"]
    await store.add_search(a_search(MINE, clock()))
    said = (await store.get(MINE)).feedback
    assert said == (Feedback(MINE, clock(), clicked_rank=2, rating=-1),)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"clicked_rank": 1}, "click"),
        ({"clicked_rank": 50}, "click"),
        ({"clicked_rank": 3.0}, "click"),
        ({"rating": 1}, "good"),
        ({"rating": -1, "comment": None}, "bad"),
        ({"comment": "설명이 어렵다"}, "comment"),
        ({"comment": "x" * 2000}, "comment"),
        ({"comment": "a\nb\tc", "clicked_rank": None}, "comment"),
    ],
)
def test_each_of_the_three_is_enough(client, counted, said, verdict):
    assert client.post("/feedback", json={"search_id": MINE, **said}).status_code == 202
    assert counted == [f"Feedback:{verdict}"]


@pytest.mark.parametrize("how", ["hash", "truncated", "full"])
async def test_a_comment_is_kept_only_as_far_as_the_setting_lets_it_through(
    client, store, clock, told, how
):
    records.configure(how)
    try:
        comment = "Ask ann@example.com"
        client.post("/feedback", json={"search_id": MINE, "comment": comment})
        shown = records.shown(comment)
    finally:
        records.configure("hash")
    assert "ann@example.com" not in shown
    assert told() == [{"search_id": MINE, "comment": shown}]
    await store.add_search(a_search(MINE, clock()))
    assert (await store.get(MINE)).feedback[0].comment == shown


async def test_the_same_again_is_accepted_and_changes_nothing(client, store, clock, told, counted):
    body = {"search_id": MINE, "clicked_rank": 2, "rating": 1}
    for _ in range(3):
        assert client.post("/feedback", json=body).status_code == 202
        clock.passes(1)
    assert told() == [body]
    assert counted == ["Feedback:click", "Feedback:good"]
    await store.add_search(a_search(MINE, clock()))
    said = (await store.get(MINE)).feedback
    assert [one.clicked_rank for one in said if one.clicked_rank] == [2]
    assert [one.rating for one in said if one.rating] == [1]


def test_only_what_is_new_is_counted_of_what_is_sent_along(client, clock, told, counted):
    good = {"search_id": MINE, "rating": 1}
    for along in ({}, {"comment": "nice"}, {"clicked_rank": 1}, {"clicked_rank": 2}):
        client.post("/feedback", json=good | along)
        clock.passes(1)
    client.post("/feedback", json={"search_id": MINE, "clicked_rank": 1, "comment": "nice"})
    assert counted == [f"Feedback:{one}" for one in ("good", "comment", "click", "click")]
    assert len(told()) == 4


def test_who_changes_their_mind_is_counted_again(client, clock, counted):
    for rating in (1, -1, 1):
        client.post("/feedback", json={"search_id": MINE, "rating": rating})
        clock.passes(1)
    assert counted == ["Feedback:good", "Feedback:bad", "Feedback:good"]


@pytest.mark.parametrize(
    "search_id",
    [
        sign(new_id(), SOMEBODY_ELSE, KEY),
        sign(new_id(), ME, b"another key, of another service"),
        new_id(),
        f"{new_id()}.{MINE.partition('.')[2]}",
        MINE.upper(),
        "7a1f4c1e9df04a868f2f0d1b8c8f3a55",
        "없는 검색",
        "../../etc",
    ],
    ids=[
        "somebody else's",
        "another service's",
        "unsigned",
        "another search's signature",
        "in capitals",
        "a UUID",
        "Korean",
        "a path",
    ],
)
def test_what_the_caller_never_asked_is_not_found(client, told, counted, search_id):
    response = client.post("/feedback", json={"search_id": search_id, "rating": 1})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert problem.type == "urn:steadyrag:problem:not-found"
    assert problem.detail.startswith("search_id: ")
    assert (told(), counted) == ([], [])


WRONG = [
    ({"search_id": MINE}, "rating"),
    ({"search_id": MINE, "rating": None, "comment": None, "clicked_rank": None}, "rating"),
    ({"rating": 1}, "search_id"),
    ({"search_id": None, "rating": 1}, "search_id"),
    ({"search_id": 7, "rating": 1}, "search_id"),
    ({"search_id": "", "rating": 1}, "search_id"),
    ({"search_id": "a\0b", "rating": 1}, "search_id"),
    ({"search_id": "x" * 65, "rating": 1}, "search_id"),
    ({"search_id": MINE, "rating": 7}, "rating"),
    ({"search_id": MINE, "rating": 0}, "rating"),
    ({"search_id": MINE, "rating": "1"}, "rating"),
    ({"search_id": MINE, "rating": True}, "rating"),
    ({"search_id": MINE, "rating": 0.5}, "rating"),
    ({"search_id": MINE, "rating": [1]}, "rating"),
    ({"search_id": MINE, "clicked_rank": 0}, "clicked_rank"),
    ({"search_id": MINE, "clicked_rank": 51}, "clicked_rank"),
    ({"search_id": MINE, "clicked_rank": -1}, "clicked_rank"),
    ({"search_id": MINE, "clicked_rank": 1.5}, "clicked_rank"),
    ({"search_id": MINE, "clicked_rank": "1"}, "clicked_rank"),
    ({"search_id": MINE, "clicked_rank": True}, "clicked_rank"),
    ({"search_id": MINE, "comment": ""}, "comment"),
    ({"search_id": MINE, "comment": " \u3000\n"}, "comment"),
    ({"search_id": MINE, "comment": "x" * 2001}, "comment"),
    ({"search_id": MINE, "comment": "a\0b"}, "comment"),
    ({"search_id": MINE, "comment": {"text": "a"}}, "comment"),
    ({"search_id": MINE, "rating": 1, "user": "ann"}, "user"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_a_wrong_field_is_a_422_problem_that_names_it(client, told, body, field):
    response = client.post("/feedback", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert (problem.status, problem.type) == (422, "urn:steadyrag:problem:invalid-input")
    assert [error.field for error in problem.errors] == [field]
    assert told() == []


@pytest.mark.parametrize("field", ["search_id", "comment"])
def test_half_a_surrogate_pair_is_a_422_that_names_its_field(client, field):
    body = json.dumps({"search_id": MINE, "rating": 1, field: "\ud800"})
    response = client.post("/feedback", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b'{"search_id": NaN}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"comment": "' + b"x" * (1 << 20) + b'"}', "application/json", 413),
        (b"rating=1", "application/x-www-form-urlencoded", 415),
    ],
)
def test_what_is_no_request_is_a_problem(client, content, media_type, status):
    response = client.post("/feedback", content=content, headers={"content-type": media_type})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_it_is_only_taken_by_post(client):
    assert client.get("/feedback").status_code == 405


def test_more_than_the_limit_is_a_429_before_the_id_is_looked_at(serve, clock):
    limiter = RateLimiter(rules=Rules(user=Limit(3, 60)), clock=clock)
    client = serve(rate_limit=RateLimit(limiter))
    guessed = sign(new_id(), ME, b"another key, of another service")
    asked = [client.post("/feedback", json={"search_id": guessed, "rating": 1}) for _ in range(5)]
    assert [response.status_code for response in asked] == [404, 404, 404, 429, 429]
    assert "retry-after" in asked[-1].headers


async def test_a_comment_is_kept_for_the_console_as_it_is_kept_of_searches(
    client, store, clock, told
):
    records.configure("hash", listener_text="full")
    try:
        comment = "Too short, says ann@example.com"
        client.post("/feedback", json={"search_id": MINE, "comment": comment})
        shown = records.shown(comment)
    finally:
        records.configure("hash")
    assert shown.startswith("hmac:")
    assert told() == [{"search_id": MINE, "comment": shown}]
    await store.add_search(a_search(MINE, clock()))
    assert (await store.get(MINE)).feedback[0].comment == "Too short, says [e-mail]"


def test_a_store_that_fails_costs_the_caller_nothing(client, store, told, caplog):
    store.fail(Unavailable("records", "disk full"))
    assert client.post("/feedback", json={"search_id": MINE, "rating": 1}).status_code == 202
    assert told() == [{"search_id": MINE, "rating": 1}]
    assert "feedback not kept" in [line.message for line in caplog.records]


def test_openapi_describes_what_the_route_takes_and_gives(client):
    schema = client.get("/openapi.json").json()
    post = schema["paths"]["/feedback"]["post"]
    reference = post["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    described = schema["components"]["schemas"][reference.rsplit("/", 1)[1]]
    assert set(described["properties"]) == set(FeedbackRequest.model_fields)
    assert described["required"] == ["search_id"]
    assert set(post["responses"]) == {"202", "400", "404", "413", "415", "422", "429"}
    assert "Location" not in post["responses"]["202"]["headers"]


async def test_an_answers_own_id_is_what_its_feedback_needs(store, clock):
    embedder, index = FakeEmbedder(), InMemoryIndex()
    text = "Seoul is the capital of Korea."
    (vector,) = (await embedder.embed_passages([text])).vectors
    await index.upsert("default", [EmbeddedChunk(chunk(text), vector)])
    service = Service(embedder, index, FakeReranker(), FakeGenerator(), FakeGenerator())
    ids = SearchIds(KEY)
    app = create_app(
        [search_router(service, ids=ids), feedback_router(ids, parts=FeedbackParts(store, clock))]
    )
    with TestClient(app) as client, TestClient(app, client=("203.0.113.9", 1)) as other:
        search_id = client.post("/search", json={"query": "capital of Korea"}).json()["search_id"]
        body = {"search_id": search_id, "clicked_rank": 1}
        assert other.post("/feedback", json=body).status_code == 404
        assert client.post("/feedback", json=body).status_code == 202

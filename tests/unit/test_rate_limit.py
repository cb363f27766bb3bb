"""Rate limits at the door: who is asking, 429, and what headers tell."""

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.testclient import TestClient

from fakes import InMemoryStore
from steadyrag.api import create_app
from steadyrag.api.rate_limit import RateLimit, identify
from steadyrag.api.rate_limit_headers import RateLimitHeaders
from steadyrag.domain.limits import Limit, Rules, parse_overrides
from steadyrag.resilience.limiter import Caller, RateLimiter


def gateway(*, key=None, ip="203.0.113.9", authorizer=None, headers=(), client=None):
    """A scope as Mangum makes it from a REST API's event."""
    identity = {"sourceIp": ip, "apiKeyId": key, "apiKey": "secret", "userAgent": "curl"}
    context = {"requestId": "r1", "identity": identity, "authorizer": authorizer}
    return {
        "type": "http",
        "path": "/search",
        "headers": list(headers),
        "client": client or (ip, 0),
        "aws.event": {"requestContext": context},
    }


def who(scope, *, user=None, trusted_keys=()):
    return identify(scope, user=user, trusted_keys=trusted_keys)


@pytest.mark.parametrize(
    ("authorizer", "user"),
    [
        ({"principalId": "ann", "integrationLatency": 5}, "sub:ann"),
        ({"claims": {"sub": "1f-22", "email": "a@example.com"}}, "sub:1f-22"),
        ({"claims": {"sub": "1f-22"}, "principalId": "ann"}, "sub:1f-22"),
    ],
)
def test_an_authorizers_subject_is_the_end_user(authorizer, user):
    scope = gateway(key="k1", authorizer=authorizer)
    assert who(scope, user="forged", trusted_keys="*") == Caller(user, "k1")


@pytest.mark.parametrize("trusted_keys", [["k1"], ["*"], ["k0", "k1"]])
def test_a_trusted_key_may_name_its_user(trusted_keys):
    assert who(gateway(key="k1"), user="ann", trusted_keys=trusted_keys) == Caller(
        "user:k1:ann", "k1"
    )


@pytest.mark.parametrize("trusted_keys", [[], ["k2"]])
def test_another_keys_user_is_not_believed(trusted_keys):
    assert who(gateway(key="k1"), user="ann", trusted_keys=trusted_keys) == Caller(None, "k1")


def test_a_caller_without_a_key_cannot_name_a_user():
    caller = who(gateway(), user="ann", trusted_keys=["*"])
    assert caller == Caller("ip:203.0.113.9", None)


def test_the_same_user_of_two_keys_is_two():
    first, second = (
        who(gateway(key=key), user="ann", trusted_keys=["*"]).user for key in ("k1", "k2")
    )
    assert first != second


def test_no_header_says_who_one_is():
    forged = [
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"forwarded", b"for=198.51.100.1"),
        (b"x-real-ip", b"198.51.100.1"),
        (b"x-api-key", b"another"),
        (b"authorization", b"Bearer another"),
    ]
    assert who(gateway(headers=forged)) == who(gateway())


def test_locally_the_peer_is_the_caller():
    scope = {"type": "http", "path": "/", "headers": [], "client": ("127.0.0.1", 5123)}
    assert who(scope) == Caller("ip:127.0.0.1", None)
    assert who(scope | {"client": None}) == Caller("ip:unknown", None)


def test_one_ipv6_subscriber_is_one_caller():
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"]
    assert {who(gateway(ip=ip)).user for ip in addresses} == {"ip:2001:db8:1:2::/64"}
    assert who(gateway(ip="::ffff:203.0.113.9")).user == "ip:203.0.113.9"


def client(store=None, *, rules=None, trusted_keys=(), key=None, off=False) -> TestClient:
    """An application with one limited route, and one that is not."""
    limiter = None if off else RateLimiter([store or InMemoryStore()], rules=rules or Rules())
    limit = RateLimit(limiter, trusted_keys=trusted_keys)
    router = APIRouter()

    @router.post("/search")
    async def ask(request: Request, user: str | None = None):
        await limit.enforce(request, user=user)
        return {"answer": "yes"}

    @router.post("/documents/{id}")
    async def add(request: Request, id: str):
        await limit.enforce(request)
        return {}

    @router.get("/health/live")
    async def live():
        return {}

    app = create_app([router])
    app.add_middleware(RateLimitHeaders)

    async def through_the_gateway(scope, receive, send):
        if scope["type"] == "http" and key:
            scope = scope | {"aws.event": gateway(key=key)["aws.event"]}
        await app(scope, receive, send)

    return TestClient(through_the_gateway)


def test_an_answer_says_how_much_is_left():
    answer = client().post("/search")
    assert answer.status_code == 200
    assert answer.headers["RateLimit-Policy"] == '"user";q=10;w=60'
    assert answer.headers["RateLimit"] == '"user";r=9;t=60'
    assert "Retry-After" not in answer.headers


def test_the_eleventh_gets_a_problem_document_that_says_when_to_come_back():
    asked = client()
    for _ in range(10):
        assert asked.post("/search").status_code == 200
    refused = asked.post("/search")
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    wait_s = int(refused.headers["Retry-After"])
    assert 1 <= wait_s <= 120
    assert refused.headers["RateLimit"] == f'"user";r=0;t={wait_s}'
    assert refused.headers["RateLimit-Policy"] == '"user";q=10;w=60'
    problem = refused.json()
    assert problem["type"] == "urn:steadyrag:problem:rate-limited"
    assert problem["status"] == 429
    assert f"try again in {wait_s} s" in problem["detail"]


def test_both_limits_are_announced_and_the_tighter_reported():
    asked = client(rules=Rules(key=Limit(2, 60)), key="k1", trusted_keys=["k1"])
    answer = asked.post("/search?user=ann")
    assert answer.headers["RateLimit-Policy"] == '"user";q=10;w=60, "key";q=2;w=60'
    assert answer.headers["RateLimit"] == '"key";r=1;t=60'
    asked.post("/search?user=ann")
    for _ in range(2):
        refused = asked.post("/search?user=bob")
        assert refused.status_code == 429
        assert refused.headers["RateLimit-Policy"] == '"user";q=10;w=60, "key";q=2;w=60'
        assert refused.headers["RateLimit"].startswith('"key";r=0;t=')


def test_a_route_is_limited_by_its_template():
    rules = Rules(overrides=parse_overrides("user:/documents/{id}=2/minute"))
    asked = client(rules=rules)
    answers = [asked.post(f"/documents/{n}") for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"user:/documents/{id}";q=2;w=60'


def test_what_is_not_limited_says_nothing_of_limits():
    asked = client()
    for _ in range(20):
        for path in ("/health/live", "/docs"):
            answer = asked.get(path)
            assert answer.status_code == 200
            assert not any(name.startswith("ratelimit") for name in answer.headers)


def test_off_limits_nothing():
    asked = client(off=True)
    answers = [asked.post("/search") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[0].headers

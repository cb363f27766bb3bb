"""Who may use which namespace, and what a refusal costs and says."""

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from fakes import FakeEmbedder, FakeGenerator, InMemoryIndex, InMemoryStore
from steadyrag.api import create_app
from steadyrag.api.access import Access, Forbidden
from steadyrag.api.rate_limit import RateLimit
from steadyrag.api.search import search_router
from steadyrag.domain.access import OPEN, NamespacePolicy, parse_policy
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.limits import Rules
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.search import Service
from steadyrag.settings import load
from steadyrag.wiring.access import access


def test_a_key_may_use_what_its_entry_names_and_no_more():
    policy = parse_policy("a1b2c3=hr+legal, d4e5f6 = * ,anonymous=public")
    assert policy.allows("a1b2c3", "hr")
    assert policy.allows("a1b2c3", "legal")
    assert not policy.allows("a1b2c3", "public")
    assert policy.allows("d4e5f6", "whatever")
    assert policy.allows(None, "public")
    assert not policy.allows(None, "hr")


def test_whoever_is_not_named_may_use_nothing():
    policy = parse_policy("a1b2c3=*")
    assert not policy.allows("other", "hr")
    assert not policy.allows(None, "hr")


def test_a_key_that_is_called_as_the_entry_for_no_key_gets_nothing_by_it():
    assert not parse_policy("anonymous=public").allows("anonymous", "public")


def test_a_star_alone_says_that_everybody_may_use_everything():
    assert parse_policy(" * ") == OPEN
    assert OPEN.allows(None, "hr")
    assert OPEN.allows("any", "hr")


def test_names_are_compared_to_the_letter():
    policy = parse_policy("a1b2c3=hr")
    assert not any(policy.allows("a1b2c3", name) for name in ("HR", "hr.", "h", "hr2", "*", ""))
    assert not policy.allows("A1B2C3", "hr")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a1b2c3", "entry 1 must be an API key's id"),
        ("a1b2c3=hr,legal", "entry 2 must be an API key's id"),
        ("a1b2c3=hr,", "entry 2 must be"),
        (",", "entry 1 must be"),
        ("*,a1b2c3=hr", "entry 1 must be"),
        ("=hr", "entry 1: an API key's id has"),
        ("a b=hr", "entry 1: an API key's id has"),
        ("*=hr", "entry 1: an API key's id has"),
        ("a1b2c3=", "entry 1: a namespace must be 1 to 64"),
        ("a1b2c3=hr++legal", "entry 1: a namespace must be"),
        ("a1b2c3=hr legal", "entry 1: a namespace must be"),
        ("a1b2c3=../hr", "entry 1: a namespace must be"),
        ("a1b2c3=hr=legal", "entry 1: a namespace must be"),
        ("a1b2c3=hr+*", "entry 1: * means every namespace"),
        ("a1b2c3=hr,a1b2c3=legal", "entry 2 names a key"),
        ("anonymous=hr,anonymous=legal", "entry 2 names a key"),
    ],
)
def test_a_policy_that_is_wrong_stops_the_start_and_is_not_repeated(text, said):
    with pytest.raises(ConfigError, match="STEADYRAG_KEY_NAMESPACES: the value given") as caught:
        load({"STEADYRAG_KEY_NAMESPACES": text})
    assert said in str(caught.value)
    assert "a1b2c3" not in str(caught.value)


def asked_by(key_id, **elsewhere) -> Request:
    context = {"identity": {"apiKeyId": key_id, "sourceIp": "203.0.113.9"}} | elsewhere
    return Request({"type": "http", "headers": [], "aws.event": {"requestContext": context}})


def test_nothing_set_lets_everybody_use_everything():
    open_to_all = access(load({}))
    open_to_all.check(asked_by("any"), "hr")
    open_to_all.check(Request({"type": "http", "headers": []}), "hr")


def test_a_setting_is_the_policy():
    fenced = access(load({"STEADYRAG_KEY_NAMESPACES": "a1b2c3=hr"}))
    fenced.check(asked_by("a1b2c3"), "hr")
    with pytest.raises(Forbidden):
        fenced.check(asked_by("a1b2c3"), "legal")


@pytest.mark.parametrize(
    "request_",
    [
        Request({"type": "http", "headers": [(b"x-api-key", b"a1b2c3")]}),
        Request({"type": "http", "headers": [], "aws.event": {}}),
        Request({"type": "http", "headers": [], "aws.event": {"requestContext": None}}),
        asked_by(None),
        asked_by(""),
        asked_by(["a1b2c3"]),
        asked_by(None, authorizer={"principalId": "a1b2c3", "apiKeyId": "a1b2c3"}),
        asked_by(None, apiKeyId="a1b2c3"),
    ],
)
def test_only_the_gateway_says_whose_key_it_is(request_):
    fenced = Access(parse_policy("a1b2c3=hr,anonymous=public"))
    with pytest.raises(Forbidden):
        fenced.check(request_, "hr")
    fenced.check(request_, "public")


class Fenced:
    """A search behind a policy and a limit, over fakes that count what they are asked."""

    def __init__(self) -> None:
        self.index, self.embedder, self.store = InMemoryIndex(), FakeEmbedder(), InMemoryStore()
        service = Service(self.embedder, self.index, None, FakeGenerator(), FakeGenerator())
        limit = RateLimit(RateLimiter([self.store], rules=Rules()))
        fence = Access(NamespacePolicy({"a1b2c3": frozenset({"hr"})}))
        app = create_app([search_router(service, limit, fence)])

        async def through_the_gateway(scope, receive, send):
            if scope["type"] == "http":
                scope = scope | {"aws.event": asked_by("a1b2c3").scope["aws.event"]}
            await app(scope, receive, send)

        self.client = TestClient(through_the_gateway)

    def ask(self, **body):
        return self.client.post("/search", json={"query": "capital?"} | body)


def test_a_refusal_is_a_problem_document_and_asks_neither_store_nor_vendor():
    fenced = Fenced()
    refused = fenced.ask(namespace="legal")
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:steadyrag:problem:forbidden"
    assert "RateLimit" not in refused.headers
    assert not (fenced.index.calls + fenced.embedder.calls + fenced.store.calls)


def test_a_refusal_names_no_namespace():
    fenced = Fenced()
    told = {fenced.ask(namespace=name).text for name in ("legal", "nosuch", "HR")}
    told.add(fenced.ask().text)  # `default`, which the key may not use either
    assert len(told) == 1
    assert "nosuch" not in told.pop()


def test_a_flood_of_refusals_uses_up_no_allowance():
    fenced = Fenced()
    for _ in range(30):
        assert fenced.ask(namespace="legal").status_code == 403
    assert fenced.ask(namespace="hr").status_code == 200


def test_a_mistake_is_named_before_a_namespace_is_refused():
    assert Fenced().ask(namespace="legal", top_k=0).status_code == 422

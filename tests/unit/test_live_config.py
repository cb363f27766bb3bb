"""The live configuration: what it may say, when it is read, and what holds meanwhile."""

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass, field

import pytest
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from cache_rig import Clock
from fakes import InMemoryStore
from steadyrag.api import create_app
from steadyrag.api.access import Access, Forbidden
from steadyrag.api.live_config import LiveConfigRefresh
from steadyrag.api.rate_limit import RateLimit
from steadyrag.domain.access import OPEN, parse_policy
from steadyrag.domain.errors import Refused, Unavailable
from steadyrag.domain.limits import Rules, parse_overrides
from steadyrag.domain.live_config import LARGEST_BYTES, LiveConfig, Polled, parse_live_config
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.resilience.live_config import PATIENCE_S, ConfigPoller


@dataclass
class FakeSource:
    """Answers what it is told to: a document (None: as before), an error, or just that."""

    says: object = None
    poll_after_s: float = 15.0
    delay_s: float = 0.0
    polls: int = 0
    closed: int = 0
    given_up: int = 0

    async def poll(self) -> Polled:
        self.polls += 1
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if isinstance(self.says, Exception):
            raise self.says
        if isinstance(self.says, Polled):
            return self.says
        if self.says is None or isinstance(self.says, bytes):
            return Polled(self.says, self.poll_after_s)
        return Polled(json.dumps(self.says).encode(), self.poll_after_s)

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class Rig:
    source: FakeSource = field(default_factory=FakeSource)
    clock: Clock = field(default_factory=Clock)
    unusable: int = 0

    def __post_init__(self) -> None:
        def count() -> None:
            self.unusable += 1

        self.poller = ConfigPoller(self.source, clock=self.clock, on_unusable=count)

    async def passes(self, seconds: float) -> None:
        """The next request comes `seconds` later, and waits for a reading if there is one."""
        self.clock.passes(seconds)
        self.poller.begin()
        await self.poller.settled()

    def may(self, key_id: str, namespace: str) -> bool:
        policy = self.poller.current.key_namespaces
        return policy is not None and policy.allows(key_id, namespace)


def tenants(**namespaces: list[str]) -> dict[str, object]:
    return {"key_namespaces": namespaces}


DOWN = Unavailable("appconfig", "could not be reached")
NOT_DEPLOYED = Polled(None, 15.0, deployed=False)


# --- the document


def test_each_part_is_read_as_the_setting_of_its_name_is():
    document = {
        "key_namespaces": {"a1b2c3": ["hr", "legal"], "d4e5f6": ["*"], "anonymous": ["public"]},
        "trusted_keys": ["a1b2c3"],
        "rate_limit_overrides": {"key:a1b2c3": "6000/minute", "user:/search": "off"},
    }
    assert parse_live_config(json.dumps(document).encode()) == LiveConfig(
        parse_policy("a1b2c3=hr+legal,d4e5f6=*,anonymous=public"),
        frozenset({"a1b2c3"}),
        parse_overrides("key:a1b2c3=6000/minute,user:/search=off"),
    )


def test_what_is_not_there_leaves_the_setting_alone():
    assert parse_live_config(b"{}") == LiveConfig()


def test_a_policy_without_a_tenant_lets_nobody_in_and_a_star_everybody():
    nobody = parse_live_config(b'{"key_namespaces": {}}').key_namespaces
    assert nobody is not None
    assert not nobody.allows("a1b2c3", "hr")
    assert parse_live_config(b'{"key_namespaces": "*"}').key_namespaces == OPEN


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "not valid JSON at line 1"),
        (b"{", "not valid JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (LARGEST_BYTES + 1), "larger than 1024 kB"),
        (b'{"key_namespace": {}}', "and nothing else"),
        (b'{"key_namespaces": []}', "must be a JSON object"),
        (b'{"key_namespaces": {"sesame": "hr"}}', "entry 1 must be a list of strings"),
        (b'{"key_namespaces": {"sesame": ["h r"]}}', "entry 1: a namespace must be"),
        (b'{"key_namespaces": {"sesame": ["*", "hr"]}}', "stands alone"),
        (b'{"key_namespaces": {"ses ame": ["hr"]}}', "an API key's id has"),
        (b'{"key_namespaces": {"sesame": ["a"], "sesame": ["*"]}}', "twice"),
        (b'{"trusted_keys": "sesame"}', "must be a list of strings"),
        (b'{"trusted_keys": ["ses ame"]}', "ids of API keys"),
        (b'{"rate_limit_overrides": ["key:sesame=1/minute"]}', "must be a JSON object"),
        (b'{"rate_limit_overrides": {"key:sesame": 5}}', "must be a list of strings"),
        (b'{"rate_limit_overrides": {"key:sesame": "5"}}', "must be like"),
        (b'{"rate_limit_overrides": {"key:a=1/minute,key:sesame": "5/minute"}}', "commas"),
    ],
)
def test_a_document_that_is_wrong_is_refused_and_not_quoted(document, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_live_config(document)
    assert "sesame" not in str(caught.value)


# --- when it is read


async def test_nothing_is_known_before_the_first_reading():
    rig = Rig()
    assert not rig.poller.known
    assert rig.poller.current == LiveConfig()


async def test_it_is_read_at_most_once_a_minute_however_many_ask():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    for _ in range(100):
        await rig.passes(0.5)
    assert rig.source.polls == 1
    await rig.passes(10)
    assert rig.source.polls == 2


async def test_a_source_that_wants_to_be_left_alone_for_longer_is():
    rig = Rig(FakeSource({}, poll_after_s=300))
    await rig.poller.warm()
    await rig.passes(299)
    assert rig.source.polls == 1
    await rig.passes(1)
    assert rig.source.polls == 2


async def test_requests_at_once_share_one_reading():
    rig = Rig(FakeSource({}, delay_s=0.02))

    async def request() -> None:
        rig.poller.begin()
        await rig.poller.settled()
        assert rig.poller.known

    await asyncio.gather(*(request() for _ in range(20)))
    assert rig.source.polls == 1


async def test_a_change_is_in_force_with_the_reading_that_brings_it():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    rig.source.says = tenants(k2=["hr"])
    await rig.passes(60)
    assert rig.may("k2", "hr")
    assert not rig.may("k1", "hr")


async def test_an_unchanged_document_stays_in_force():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    rig.source.says = None
    await rig.passes(60)
    assert rig.may("k1", "hr")
    assert rig.unusable == 0


async def test_a_clock_that_goes_back_does_not_stop_the_readings():
    rig = Rig(FakeSource({}))
    await rig.poller.warm()
    await rig.passes(-3600)
    assert rig.source.polls == 2


# --- when it fails


@pytest.mark.parametrize("error", [DOWN, Refused("appconfig", "answered 403"), KeyError("a bug")])
async def test_what_was_read_last_holds_while_nothing_can_be_read(error):
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    rig.source.says = error
    for minute in range(1, 100):
        await rig.passes(60)
        assert rig.may("k1", "hr")
        assert rig.unusable == minute


@pytest.mark.parametrize("wrong", [b"{", b"", {"key_namespace": {}}])
async def test_a_wrong_document_is_told_with_every_reading_and_changes_nothing(wrong, caplog):
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    rig.source.says = wrong
    with caplog.at_level(logging.WARNING):
        await rig.passes(60)
    assert "live configuration not usable" in caplog.text
    rig.source.says = None  # nothing new: it is wrong all the same
    await rig.passes(60)
    assert rig.unusable == 2
    assert rig.may("k1", "hr")
    rig.source.says = tenants(k1=["legal"])
    await rig.passes(60)
    assert rig.unusable == 2
    assert rig.may("k1", "legal")


async def test_before_anything_is_deployed_the_settings_are_known_to_hold():
    rig = Rig(FakeSource(NOT_DEPLOYED))
    await rig.poller.warm()
    await rig.passes(60)
    assert (rig.poller.known, rig.poller.current, rig.unusable) == (True, LiveConfig(), 0)
    Access(None, live=rig.poller).check(asked_by("k1"), "hr")


async def test_what_was_read_holds_when_nothing_is_deployed_any_more(caplog):
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    rig.source.says = NOT_DEPLOYED
    with caplog.at_level(logging.WARNING):
        await rig.passes(60)
    assert "live configuration not usable" in caplog.text
    rig.source.says = None  # nothing new: it is still gone
    await rig.passes(60)
    assert rig.unusable == 2
    fence = Access(None, live=rig.poller)
    fence.check(asked_by("k1"), "hr")
    with pytest.raises(Forbidden):
        fence.check(asked_by("k2"), "hr")
    rig.source.says = {}
    await rig.passes(60)
    assert (rig.poller.current, rig.unusable) == (LiveConfig(), 2)


async def test_an_empty_document_that_is_no_longer_deployed_is_no_trouble():
    rig = Rig(FakeSource({}))
    await rig.poller.warm()
    rig.source.says = NOT_DEPLOYED
    await rig.passes(60)
    assert (rig.poller.known, rig.poller.current, rig.unusable) == (True, LiveConfig(), 0)


async def test_who_has_never_read_it_asks_again_soon():
    rig = Rig(FakeSource(DOWN))
    await rig.poller.warm()
    await rig.passes(4)
    assert rig.source.polls == 1
    rig.source.says = tenants(k1=["hr"])
    await rig.passes(1)
    assert rig.may("k1", "hr")


async def test_a_wrong_first_document_is_not_known_and_asked_for_as_soon_as_allowed():
    rig = Rig(FakeSource(b"{"))
    await rig.poller.warm()
    assert not rig.poller.known
    await rig.passes(14)
    assert rig.source.polls == 1
    await rig.passes(1)
    assert rig.source.polls == 2


async def test_a_slow_source_holds_up_no_start_and_no_request_for_long():
    rig = Rig(FakeSource({}, delay_s=3600))
    started = time.perf_counter()
    await rig.poller.warm(0.05)
    await rig.poller.settled()
    assert time.perf_counter() - started < PATIENCE_S + 0.1
    started = time.perf_counter()
    for _ in range(50):
        await rig.passes(1)
    assert time.perf_counter() - started < 0.1
    assert rig.source.polls == 1
    await rig.poller.aclose()


async def test_a_slow_reading_counts_when_it_comes():
    rig = Rig(FakeSource(tenants(k1=["hr"]), delay_s=PATIENCE_S + 0.05))
    rig.poller.begin()
    await rig.poller.settled()
    assert not rig.poller.known
    await asyncio.sleep(0.1)
    await rig.passes(1)
    assert rig.may("k1", "hr")


async def test_a_reading_that_was_frozen_half_way_is_given_up():
    rig = Rig(FakeSource(tenants(k1=["hr"]), delay_s=3600))
    rig.poller.begin()
    await asyncio.sleep(0)
    rig.source.says, rig.source.delay_s = tenants(k2=["hr"]), 0.0
    await rig.passes(3600)
    assert rig.source.given_up == 1
    assert rig.may("k2", "hr")


async def test_a_snapshot_takes_nothing_along():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    await rig.poller.warm()
    rig.source.says = DOWN
    await rig.poller.thaw()
    assert rig.source.closed == 1
    assert rig.source.polls == 2
    assert not rig.poller.known
    assert not rig.may("k1", "hr")
    rig.source.says = tenants(k2=["hr"])
    await rig.passes(5)
    assert rig.may("k2", "hr")


# --- what it decides


def asked_by(key_id: str) -> Request:
    context = {"identity": {"apiKeyId": key_id}}
    return Request({"type": "http", "headers": [], "aws.event": {"requestContext": context}})


async def test_before_it_is_read_the_settings_policy_holds():
    rig = Rig(FakeSource(DOWN))
    await rig.poller.warm()
    fence = Access(parse_policy("k1=hr"), live=rig.poller)
    fence.check(asked_by("k1"), "hr")
    with pytest.raises(Forbidden):
        fence.check(asked_by("k2"), "hr")


async def test_before_it_is_read_a_policy_that_nobody_has_stated_lets_nobody_in():
    rig = Rig(FakeSource(DOWN))
    await rig.poller.warm()
    with pytest.raises(HTTPException) as caught:
        Access(None, live=rig.poller).check(asked_by("k1"), "hr")
    assert caught.value.status_code == 503
    assert caught.value.headers == {"Retry-After": "5"}
    Access(OPEN, live=rig.poller).check(asked_by("k1"), "hr")


async def test_what_it_does_not_say_the_settings_decide():
    rig = Rig(FakeSource({"trusted_keys": []}))
    await rig.poller.warm()
    Access(None, live=rig.poller).check(asked_by("k1"), "hr")
    with pytest.raises(Forbidden):
        Access(parse_policy("k2=hr"), live=rig.poller).check(asked_by("k1"), "hr")


async def test_what_it_says_takes_the_place_of_the_settings():
    rig = Rig(FakeSource(tenants(k2=["hr"])))
    await rig.poller.warm()
    for stated in (None, OPEN, parse_policy("k1=hr")):
        fence = Access(stated, live=rig.poller)
        fence.check(asked_by("k2"), "hr")
        with pytest.raises(Forbidden):
            fence.check(asked_by("k1"), "hr")


async def test_limits_and_trusted_keys_change_while_it_runs():
    rig = Rig(FakeSource({}))
    await rig.poller.warm()
    limiter = RateLimiter([InMemoryStore()], rules=Rules(overrides=parse_overrides("key:k1=2/day")))
    limit = RateLimit(limiter, live=rig.poller)

    async def rules(user: str) -> list[tuple[str, int]]:
        request = asked_by("k1")
        await limit.enforce(request, user=user)
        return [(r.name, r.limit.count) for r in request.scope["state"]["rate_limit"].rules]

    assert await rules("ann") == [("key", 2)]
    rig.source.says = {"trusted_keys": ["k1"], "rate_limit_overrides": {"key:k1": "7/day"}}
    await rig.passes(60)
    assert await rules("ann") == [("user", 10), ("key", 7)]
    rig.source.says = {"rate_limit_overrides": {}}
    await rig.passes(60)
    assert await rules("ann") == [("key", 600)]


# --- on the request path


@dataclass
class Answering:
    """An application with one route that takes as long as it is told."""

    rig: Rig
    takes_s: float = 0.0
    answered: int = 0

    def __post_init__(self) -> None:
        fence, router = Access(None, live=self.rig.poller), APIRouter()

        @router.get("/slow/{namespace}")
        async def slow(request: Request, namespace: str) -> JSONResponse:
            fence.check(request, namespace)
            await asyncio.sleep(self.takes_s)
            self.answered += 1
            return JSONResponse({"secret": "text of a tenant"})

        app = create_app([router], live=self.rig.poller)

        async def through_the_gateway(scope, receive, send):
            if scope["type"] == "http":
                scope = scope | {"aws.event": asked_by("k1").scope["aws.event"]}
            await app(scope, receive, send)

        self.app = through_the_gateway


def test_a_reading_runs_beside_the_request_and_not_before_it():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    answering = Answering(rig)
    with TestClient(answering.app) as client:
        assert client.get("/slow/hr").status_code == 200
        answering.takes_s, rig.source.delay_s = 0.15, 0.15
        rig.clock.passes(60)
        started = time.perf_counter()
        assert client.get("/slow/hr").status_code == 200
        assert time.perf_counter() - started < 0.29
        assert rig.source.polls == 2


def test_a_dead_source_costs_a_request_its_patience_at_most():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    with TestClient(Answering(rig).app) as client:
        assert client.get("/slow/hr").status_code == 200
        rig.source.delay_s = 3600
        rig.clock.passes(60)
        took = []
        for _ in range(3):
            started = time.perf_counter()
            assert client.get("/slow/hr").status_code == 200
            took.append(time.perf_counter() - started)
        assert took[0] < PATIENCE_S + 0.1
        assert max(took[1:]) < 0.1


def test_an_answer_does_not_leave_when_the_reading_takes_the_permission_away():
    rig = Rig(FakeSource(tenants(k1=["hr"])))
    answering = Answering(rig)
    with TestClient(answering.app) as client:
        assert client.get("/slow/hr").status_code == 200
        rig.source.says = tenants(k2=["hr"])
        rig.clock.passes(3600)  # the environment was frozen
        refused = client.get("/slow/hr")
        assert answering.answered == 2
        assert refused.status_code == 403
        assert "text of a tenant" not in refused.text
        assert refused.json()["type"] == "urn:steadyrag:problem:forbidden"
        assert refused.headers["x-request-id"]
        assert client.get("/slow/hr").status_code == 403
        assert answering.answered == 2


def test_the_first_request_waits_for_what_nobody_has_read_yet():
    rig = Rig(FakeSource(tenants(k1=["hr"]), delay_s=0.05))
    with TestClient(Answering(rig).app) as client:
        assert client.get("/slow/hr").status_code == 200


def test_without_a_policy_the_answer_is_a_503_that_says_when_to_come_back():
    rig = Rig(FakeSource(DOWN))
    with TestClient(Answering(rig).app) as client:
        refused = client.get("/slow/hr")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.json()["type"] == "urn:steadyrag:problem:unavailable"
        rig.source.says = tenants(k1=["hr"])
        rig.clock.passes(5)
        assert client.get("/slow/hr").status_code == 200


async def test_what_is_no_request_passes_by():
    rig, seen = Rig(FakeSource({})), []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await LiveConfigRefresh(app, rig.poller)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
    assert rig.source.polls == 0

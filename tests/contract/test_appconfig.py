"""A document in AppConfig: the real client against a local AWS, and against one on a bad day."""

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from live_profile import Profile
from servers import REGION
from steadyrag.adapters.appconfig import LEAST_INTERVAL_S, SOCKET_TIMEOUT_S, AppConfigSource
from steadyrag.domain.errors import DependencyError, Refused, Throttled, Unavailable
from steadyrag.domain.live_config import LARGEST_BYTES, LiveConfig, Polled
from steadyrag.resilience.live_config import ConfigPoller
from tcp_proxy import TcpProxy

SLACK_S = 0.9


@pytest.fixture
def profile(local_aws) -> Iterator[Profile]:
    made = Profile(local_aws.url)
    made.deploy({"trusted_keys": ["one"]})
    yield made
    made.close()


@pytest.fixture
def proxy(local_aws) -> Iterator[TcpProxy]:
    with TcpProxy(local_aws.port) as network:
        yield network


@pytest.fixture
async def source(profile: Profile, proxy: TcpProxy) -> AsyncIterator[AppConfigSource]:
    opened = AppConfigSource(
        profile.name, endpoint_url=f"http://127.0.0.1:{proxy.port}", region=REGION
    )
    yield opened
    await opened.aclose()


async def test_the_first_poll_brings_the_document_and_the_next_only_news(source, profile):
    first = await source.poll()
    assert json.loads(first.document) == {"trusted_keys": ["one"]}
    assert first.poll_after_s >= 15
    assert (await source.poll()).document is None
    profile.deploy({"trusted_keys": ["two"]})
    assert json.loads((await source.poll()).document) == {"trusted_keys": ["two"]}


async def test_a_closed_source_brings_the_whole_document_again(source):
    await source.poll()
    await source.aclose()
    assert (await source.poll()).document is not None


async def test_a_token_that_is_no_longer_good_costs_a_new_session_and_no_failure(source):
    await source.poll()
    source._token = "expired"
    assert (await source.poll()).document is not None
    assert (await source.poll()).document is None


async def test_a_profile_without_a_deployment_has_an_empty_document_until_there_is_one(local_aws):
    empty, now, unusable = Profile(local_aws.url), [1_800_000_000.0], []
    source = AppConfigSource(empty.name, endpoint_url=local_aws.url, region=REGION)
    poller = ConfigPoller(source, clock=lambda: now[0], on_unusable=lambda: unusable.append(1))
    for _ in range(2):
        await poller.warm(5)
        assert (poller.known, poller.current) == (True, LiveConfig())
        now[0] += 60
    empty.deploy({"trusted_keys": ["one"]})
    await poller.warm(5)
    assert poller.current.trusted_keys == {"one"}
    assert not unusable
    await poller.aclose()
    empty.close()


async def test_a_profile_that_does_not_exist_is_refused(local_aws):
    source = AppConfigSource("no/such/profile", endpoint_url=local_aws.url, region=REGION)
    with pytest.raises(Refused, match="404 ResourceNotFoundException"):
        await source.poll()


async def test_a_failed_poll_is_followed_by_a_whole_document(source, proxy):
    await source.poll()
    proxy.refuse()
    started = time.perf_counter()
    with pytest.raises(Unavailable):
        await source.poll()
    assert time.perf_counter() - started < SLACK_S
    proxy.accept()
    assert (await source.poll()).document is not None


async def test_connections_that_died_between_two_polls_cost_nothing(source, proxy):
    await source.poll()
    proxy.reset()
    assert (await source.poll()).document is None


async def test_a_silent_service_costs_its_time_limit(source, proxy):
    await source.poll()
    proxy.silent = True
    started = time.perf_counter()
    with pytest.raises(Unavailable, match="could not be reached"):
        await source.poll()
    assert time.perf_counter() - started < 2 * SOCKET_TIMEOUT_S + SLACK_S


async def test_missing_credentials_and_a_missing_region_are_refused(
    profile, local_aws, monkeypatch
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for region in (REGION, None):
        source = AppConfigSource(profile.name, endpoint_url=local_aws.url, region=region)
        with pytest.raises(Refused):
            await source.poll()


async def test_a_caller_that_gives_up_leaves_a_source_that_works(source, proxy):
    await source.poll()
    proxy.delay_s = 0.3
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.poll(), 0.05)
    proxy.delay_s = 0.0
    assert (await source.poll()).document is not None
    await asyncio.sleep(0.5)  # until the thread that was left behind has ended


async def test_a_poller_follows_what_is_deployed_and_survives_what_is_wrong(source, profile):
    now, unusable = [1_800_000_000.0], []
    poller = ConfigPoller(source, clock=lambda: now[0], on_unusable=lambda: unusable.append(1))
    await poller.warm(5)
    assert poller.current.trusted_keys == {"one"}
    for document in (b"{ broken", {"trusted_key": ["two"]}):
        profile.deploy(document)
        now[0] += 60
        await poller.warm(5)
        assert poller.current.trusted_keys == {"one"}
    assert len(unusable) == 2
    profile.deploy({"trusted_keys": ["two"]})
    now[0] += 60
    await poller.warm(5)
    assert poller.current.trusted_keys == {"two"}
    await poller.aclose()


class Scripted:
    """Answers each request with the next of `replies`: a status, headers and a body."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, bytes]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                scripted.asked.append((self.path, self.rfile.read(length)))
                status, headers, body = scripted.replies.pop(0)
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client may have read enough
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    scripted = Scripted()
    yield scripted
    scripted.stop()


@pytest.fixture
async def scripted(service: Scripted) -> AsyncIterator[AppConfigSource]:
    url = f"http://127.0.0.1:{service.server.server_port}"
    opened = AppConfigSource("app/env/live", endpoint_url=url, region=REGION)
    yield opened
    await opened.aclose()


def session(first: str = "t1") -> tuple[int, dict[str, str], bytes]:
    return 201, {}, json.dumps({"InitialConfigurationToken": first}).encode()


def latest(body: bytes = b"{}", following: str = "t2", after: str = "60", **headers: str) -> Any:
    told = {"Next-Poll-Configuration-Token": following, "Next-Poll-Interval-In-Seconds": after}
    return 200, told | headers, body


def failed(status: int, code: str, **more: str) -> tuple[int, dict[str, str], bytes]:
    headers = {"x-amzn-ErrorType": code, "content-type": "application/json"}
    return status, headers, json.dumps({"Message": "about sesame", **more}).encode()


def missing(kind: str = "") -> tuple[int, dict[str, str], bytes]:
    told = {"ResourceType": kind} if kind else {}
    return failed(404, "ResourceNotFoundException", **told)


async def test_each_token_is_used_once_and_handed_on(scripted, service):
    service.replies = [
        session("t1"),
        latest(following="t2"),
        latest(b"", following="t3"),
        latest(b""),
    ]
    for _ in range(3):
        await scripted.poll()
    start, *polls = service.asked
    assert json.loads(start[1]) == {
        "ApplicationIdentifier": "app",
        "EnvironmentIdentifier": "env",
        "ConfigurationProfileIdentifier": "live",
        "RequiredMinimumPollIntervalInSeconds": 15,
    }
    assert [path.partition("=")[2] for path, _ in polls] == ["t1", "t2", "t3"]


async def test_an_expired_token_is_replaced_in_the_same_poll(scripted, service):
    service.replies = [
        *(session("t1"), latest(following="t2")),
        *(failed(400, "BadRequestException"), session("t9"), latest(b'{"a": 1}')),
    ]
    await scripted.poll()
    assert (await scripted.poll()).document == b'{"a": 1}'
    assert [path.partition("=")[2] for path, _ in service.asked] == ["", "t1", "t2", "", "t9"]


@pytest.mark.parametrize(
    "replies",
    [
        [missing("Deployment")],
        [session(), missing("Deployment")],
        [session(), latest(b"", after="15")],
    ],
)
async def test_nothing_deployed_is_told_apart_from_a_document(scripted, service, replies):
    service.replies = [*replies, session(), latest(b"{}")]
    assert await scripted.poll() == Polled(None, LEAST_INTERVAL_S, deployed=False)
    assert len(service.asked) == len(replies)
    scripted._token = None
    polled = await scripted.poll()
    assert (polled.document, polled.deployed) == (b"{}", True)


async def test_no_news_for_a_session_is_not_that_nothing_is_deployed(scripted, service):
    service.replies = [session(), latest(b"{}"), latest(b"")]
    await scripted.poll()
    polled = await scripted.poll()
    assert (polled.document, polled.deployed) == (None, True)


async def test_a_session_whose_deployment_was_taken_back_is_begun_anew(scripted, service):
    service.replies = [session(), latest(b'{"a": 1}'), missing("Deployment"), missing("Deployment")]
    await scripted.poll()
    assert not (await scripted.poll()).deployed


@pytest.mark.parametrize("kind", ["Configuration", ""])
@pytest.mark.parametrize("before", [[], [session()]])
async def test_what_may_be_missing_for_another_reason_is_not_that_nothing_is_deployed(
    scripted, service, before, kind
):
    service.replies = [*before, missing(kind)]
    with pytest.raises(Refused, match="404 ResourceNotFoundException"):
        await scripted.poll()


@pytest.mark.parametrize(
    "answer",
    [missing("Configuration"), missing(), missing("Deployment"), latest(b"")],
    ids=["no configuration", "of no kind", "no deployment", "empty"],
)
@pytest.mark.parametrize("lost", [False, True], ids=["the session goes on", "it was lost"])
async def test_no_answer_that_nothing_is_there_takes_a_fence_down(scripted, service, answer, lost):
    now, unusable = [1_800_000_000.0], []
    poller = ConfigPoller(scripted, clock=lambda: now[0], on_unusable=lambda: unusable.append(1))
    service.replies = [session(), latest(b'{"key_namespaces": {"k1": ["hr"]}}')]
    await poller.warm(5)
    fence = poller.current
    expired = [] if lost else [failed(400, "BadRequestException")]
    service.replies = [*expired, session(), answer]
    if lost:
        scripted._token = None
    now[0] += 60
    await poller.warm(5)
    assert (poller.current, len(unusable), service.replies) == (fence, 1, [])
    await poller.aclose()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Application", "no such application"),
        ("Environment", "no such environment"),
        ("ConfigurationProfile", "no such profile"),
    ],
)
@pytest.mark.parametrize("before", [[], [session()]])
async def test_a_wrong_name_is_told_apart_from_nothing_deployed(
    scripted, service, before, kind, said
):
    service.replies = [*before, missing(kind)]
    with pytest.raises(Refused, match=said):
        await scripted.poll()


@pytest.mark.parametrize(
    ("told", "waits_s"), [("60", 60), ("1", 15), ("0", 15), ("-5", 15), ("99999999", 86_400)]
)
async def test_the_interval_is_the_services_within_what_it_allows(scripted, service, told, waits_s):
    service.replies = [session(), latest(after=told)]
    assert (await scripted.poll()).poll_after_s == waits_s


async def test_a_document_without_end_is_read_as_far_as_it_could_be_right(scripted, service):
    service.replies = [session(), latest(b" " * (LARGEST_BYTES + 4096))]
    assert len((await scripted.poll()).document) == LARGEST_BYTES + 1


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([failed(429, "ThrottlingException")], Throttled),
        ([failed(403, "AccessDeniedException")], Refused),
        ([failed(404, "ResourceNotFoundException")], Refused),
        ([failed(400, "BadRequestException")], Refused),
        ([session(), failed(400, "BadRequestException")], Refused),
        ([failed(500, "InternalServerException")], Unavailable),
        ([session(), failed(503, "ServiceUnavailable")], Unavailable),
        ([(201, {}, b"{}")], Unavailable),
        ([(201, {}, b"{ half")], Unavailable),
        ([(201, {}, b'{"InitialConfigurationToken": 7}')], Unavailable),
        ([session(), (200, {}, b"{}")], Unavailable),
        ([session(), latest(after="soon")], Unavailable),
        ([session(), latest(**{"content-length": "9"})], Unavailable),
    ],
)
async def test_what_goes_wrong_is_told_apart_and_not_tried_again(scripted, service, replies, kind):
    service.replies = list(replies)
    with pytest.raises(DependencyError) as caught:
        await scripted.poll()
    assert type(caught.value) is kind
    assert len(service.asked) == len(replies)
    assert "sesame" not in "".join(traceback.format_exception(caught.value))

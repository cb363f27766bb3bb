"""The search function with its live configuration in AppConfig, as Lambda runs it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from cache_rig import Clock
from integration.test_frozen import hooks
from integration.test_lambda import CONTEXT, FUNCTIONS, event, load_function
from live_profile import Profile
from servers import REGION
from tcp_proxy import TcpProxy

__all__ = ["hooks"]


@pytest.fixture
def profile(local_aws) -> Iterator[Profile]:
    made = Profile(local_aws.url)
    made.deploy({"key_namespaces": {"key1": ["default"]}})
    yield made
    made.close()


@pytest.fixture
def proxy(local_aws) -> Iterator[TcpProxy]:
    with TcpProxy(local_aws.port) as network:
        yield network


@pytest.fixture
def environment(local, profile, proxy, monkeypatch) -> Any:
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STEADYRAG_LIVE_CONFIG", profile.name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return monkeypatch


def started() -> tuple[ModuleType, Clock]:
    """An environment whose clock is ours as far as the live configuration goes."""
    function, clock = load_function("search"), Clock(time.time())
    function.live._clock = clock
    return function, clock


def ask(function: ModuleType, key_id: str = "key1") -> dict[str, Any]:
    made = event("POST", "/search", {"query": "What is the capital of South Korea?"})
    made["requestContext"]["identity"]["apiKeyId"] = key_id
    return function.handler(made, CONTEXT)


def status(function: ModuleType, key_id: str = "key1") -> int:
    return ask(function, key_id)["statusCode"]


def test_a_policy_is_in_force_from_the_first_request_and_follows_what_is_deployed(
    environment, profile
):
    function, clock = started()
    assert [status(function, key) for key in ("key1", "key2")] == [200, 403]
    profile.deploy({"key_namespaces": {"key2": ["default"]}})
    clock.passes(3600)  # the environment was frozen
    assert [status(function, key) for key in ("key1", "key1", "key2")] == [403, 403, 200]


def test_a_wrong_document_and_a_dead_service_leave_the_policy_as_it_was(
    environment, profile, proxy
):
    function, clock = started()
    profile.deploy(b'{"key_namespaces": {"key2": "default"}}')
    for fail in (lambda: None, proxy.refuse):
        fail()
        clock.passes(60)
        assert [status(function, key) for key in ("key1", "key2")] == [200, 403]


def test_a_silent_service_delays_one_answer_a_little(environment, proxy):
    function, clock = started()
    ask(function)
    proxy.silent = True
    clock.passes(60)
    took = []
    for _ in range(4):
        began = time.perf_counter()
        assert status(function) == 200
        took.append(time.perf_counter() - began)
    assert took[0] < 0.45
    assert max(took[1:]) < 0.2


@pytest.mark.parametrize(
    ("stated", "key1", "key2"),
    [("", 503, 503), ("*", 200, 200), ("key1=default", 200, 403), ("key2=default", 403, 200)],
)
def test_a_cold_start_without_the_service_goes_by_the_settings(
    environment, profile, proxy, stated, key1, key2
):
    environment.setenv("STEADYRAG_KEY_NAMESPACES", stated)
    proxy.refuse()
    function, clock = started()
    assert [status(function, key) for key in ("key1", "key2")] == [key1, key2]
    proxy.accept()
    clock.passes(5)
    assert [status(function, key) for key in ("key1", "key2")] == [200, 403]


def test_a_silent_service_does_not_hang_a_cold_start(environment, proxy):
    proxy.silent = True
    began = time.perf_counter()
    function, _ = started()
    assert time.perf_counter() - began < 5
    response = ask(function)
    assert response["statusCode"] == 503
    assert response["headers"]["retry-after"] == "5"
    assert response["headers"]["content-type"] == "application/problem+json"


def test_a_restored_environment_takes_nothing_from_its_snapshot(environment, profile, proxy, hooks):
    function, _ = started()
    profile.deploy({"key_namespaces": {"key2": ["default"]}})
    proxy.reset()
    for hook in hooks:
        hook()
    assert [status(function, key) for key in ("key1", "key2")] == [403, 200]
    proxy.refuse()
    for hook in hooks:
        hook()
    assert [status(function, key) for key in ("key1", "key2")] == [503, 503]
    asyncio.get_event_loop().run_until_complete(function.live.aclose())


@pytest.mark.parametrize(("live", "loaded"), [(False, []), (True, ["boto3", "botocore.session"])])
def test_who_has_no_live_configuration_loads_nothing_for_it(environment, live, loaded):
    if not live:
        environment.delenv("STEADYRAG_LIVE_CONFIG")
    environment.setenv("STEADYRAG_KEY_NAMESPACES", "key1=default")
    asked = event("POST", "/search", {"query": "What is the capital of South Korea?"})
    code = (
        "import json, runpy, sys; from types import SimpleNamespace;"
        "function = runpy.run_path(sys.argv[1]);"
        "context = SimpleNamespace(get_remaining_time_in_millis=lambda: 28_000);"
        "answered = function['handler'](json.loads(sys.argv[2]), context);"
        "print(answered['statusCode']);"
        "print(json.dumps([name for name in ('boto3', 'botocore.session') if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FUNCTIONS / "search.py"), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [200, loaded]

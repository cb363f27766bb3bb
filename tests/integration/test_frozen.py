"""An environment that was frozen between two invocations, and one restored from a snapshot."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from dying_network import DyingNetwork, network_before
from integration.test_lambda import CONTEXT, event, load_function
from integration.vendored import OPENAI_KEY, Vendors
from steadyrag.adapters import secrets
from vendors import KeyStore, serving

ONE_OF_EACH = {"embeddings": 1, "vector_search": 1, "keyword_search": 1, "rerank": 1, "chat": 1}
"""What one search asks of the vendors."""


@dataclass
class Frozen:
    """A search function behind networks that we hold in our hands."""

    vendors: Vendors
    openai: DyingNetwork
    pinecone: DyingNetwork
    freeze: Callable[[float], None]
    handler: Callable[[Any, Any], Any]
    question: int = 0

    @property
    def networks(self) -> tuple[DyingNetwork, DyingNetwork]:
        return self.openai, self.pinecone

    def ask(self) -> dict[str, Any]:
        """A question nobody has asked before; no cache knows it."""
        self.question += 1
        query = f"What is the capital of South Korea, question {self.question}?"
        response = self.handler(event("POST", "/search", {"query": query}), CONTEXT)
        assert response["statusCode"] == 200, response
        return json.loads(response["body"])

    def asked(self) -> Counter[str]:
        """What reached the vendors since the last time, by operation."""
        seen = [
            r.operation for v in (self.vendors.openai, self.vendors.pinecone) for r in v.requests
        ]
        self.vendors.forget()
        return Counter(seen)


def _through(proxy: DyingNetwork, url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{proxy.address}/{rest.partition('/')[2]}"


def _address(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What was registered with the runtime to run after a restore."""
    registered: list[Callable[[], None]] = []
    runtime = ModuleType("snapshot_restore_py")
    runtime.register_after_restore = lambda hook, *args: registered.append(lambda: hook(*args))
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", runtime)
    return registered


@pytest.fixture
def frozen(
    local: Vendors, hooks: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Frozen]:
    def freeze(seconds: float) -> None:
        """Wall-clock time goes on; the clock of the process stands still."""
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + seconds)

    with (
        network_before(_address(local.openai.url)) as openai,
        network_before(_address(local.pinecone.url)) as pinecone,
    ):
        paths = {
            "OPENAI_BASE_URL": openai,
            "PINECONE_CONTROLLER_HOST": pinecone,
            "STEADYRAG_PINECONE_INDEX_HOST": pinecone,
        }
        through = {name: _through(proxy, local.environment[name]) for name, proxy in paths.items()}
        for name, value in {**local.environment, **through}.items():
            monkeypatch.setenv(name, value)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        function = load_function("search")
        world = Frozen(local, openai, pinecone, freeze, function.handler)
        # Both searches always at once, so that there is a connection for each to lose.
        local.slow(keyword_search=50)
        assert world.ask()["mode"] == "full"
        world.asked()
        yield world
        # Its connections go before what they lead to.
        for hook in hooks:
            hook()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)


@pytest.mark.parametrize("end", [DyingNetwork.cut, DyingNetwork.strand, DyingNetwork.lose])
def test_ten_minutes_later_every_socket_is_dead_and_nobody_notices(frozen, end):
    for network in frozen.networks:
        end(network)
    frozen.freeze(600)
    started = time.perf_counter()
    answer = frozen.ask()
    assert (answer["mode"], answer["degraded"]) == ("full", [])
    assert time.perf_counter() - started < 1
    assert frozen.asked() == ONE_OF_EACH
    assert [network.met for network in frozen.networks] == [0, 0]


@pytest.mark.parametrize("end", [DyingNetwork.cut, DyingNetwork.strand])
def test_sockets_that_die_within_a_minute_cost_one_attempt_each(frozen, end):
    for network in frozen.networks:
        end(network)
    frozen.freeze(60)
    answer = frozen.ask()
    assert (answer["mode"], answer["degraded"]) == ("full", [])
    assert frozen.asked() == ONE_OF_EACH
    assert frozen.openai.met <= 2
    assert frozen.pinecone.met <= 3


def test_a_short_freeze_keeps_the_connections(frozen):
    opened = [network.opened for network in frozen.networks]
    frozen.freeze(60)
    assert frozen.ask()["mode"] == "full"
    assert [network.opened for network in frozen.networks] == opened


def test_frozen_again_and_again_it_answers_every_time(frozen):
    for end in [DyingNetwork.cut, DyingNetwork.strand, DyingNetwork.lose] * 3:
        for network in frozen.networks:
            end(network)
        frozen.freeze(600)
        assert frozen.ask()["degraded"] == []


def test_after_a_restore_nothing_is_left_of_the_snapshot(frozen, hooks):
    """Although no clock says that time has passed."""
    for network in frozen.networks:
        network.lose()
    random.seed(7)
    expected = random.random()  # noqa: S311 - to tell one state from another
    random.seed(7)
    for hook in hooks:
        hook()
    assert random.random() != expected  # noqa: S311
    assert frozen.ask()["degraded"] == []
    assert frozen.asked() == ONE_OF_EACH
    assert [network.met for network in frozen.networks] == [0, 0]


def test_a_restore_survives_what_goes_wrong_in_it(frozen, hooks, monkeypatch):
    from steadyrag.api import snapshot

    async def broken() -> None:
        raise OSError("a socket that can't even be closed")

    snapshot.on_restore(broken)
    hooks[-1]()
    assert frozen.ask()["mode"] == "full"


@contextlib.contextmanager
def keys_in_a_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyStore]:
    store = KeyStore()
    store.values["rag/openai"] = OPENAI_KEY
    with serving(store):
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("STEADYRAG_OPENAI_API_KEY_FROM", "secretsmanager:rag/openai")
        secrets.prepare.cache_clear()
        secrets.expire_all()
        yield store
        secrets.prepare.cache_clear()


def test_a_key_that_was_rotated_is_read_again_without_a_refusal(frozen, hooks, monkeypatch):
    with keys_in_a_store(monkeypatch) as store:
        frozen.handler = load_function("search").handler
        assert frozen.ask()["mode"] == "full"
        frozen.asked()
        try:
            frozen.vendors.openai.api_key = store.values["rag/openai"] = "sk-after-the-snapshot"
            for hook in hooks:
                hook()
            assert frozen.ask()["degraded"] == []
            assert frozen.asked() == ONE_OF_EACH
            frozen.vendors.openai.api_key = store.values["rag/openai"] = "sk-and-once-more"
            assert frozen.ask()["degraded"] == []
        finally:
            frozen.vendors.openai.api_key = OPENAI_KEY


def test_outside_lambda_there_is_nothing_to_hook_into(monkeypatch):
    from steadyrag.api import snapshot

    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    snapshot.on_restore(lambda: None)

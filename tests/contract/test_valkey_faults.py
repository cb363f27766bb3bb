"""`ValkeyStore` on a bad day: dropped connections, a server that hangs, lies or is gone."""

import asyncio
import contextlib
import secrets
import signal
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from servers import running, unique
from steadyrag.adapters.local.child_process import Service, free_port
from steadyrag.adapters.local.services import start_valkey
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.errors import ConfigError, Refused, Unavailable
from tcp_proxy import TcpProxy

TIMEOUT_S, CONNECT_TIMEOUT_S = 1.0, 2.0
"""Longer than in service: a busy machine must not look like a dead server."""

SLACK_S = 0.9
PATIENT = {"timeout_s": TIMEOUT_S, "connect_timeout_s": CONNECT_TIMEOUT_S}


@pytest.fixture
def proxy(valkey_server: Service) -> Iterator[TcpProxy]:
    with TcpProxy(valkey_server.port) as network:
        yield network


@pytest.fixture
async def store(proxy: TcpProxy) -> AsyncIterator[ValkeyStore]:
    """Connected through the proxy, and holding `a` and `b`."""
    opened = ValkeyStore(
        url=f"redis://127.0.0.1:{proxy.port}", prefix=unique("sr") + ":", **PATIENT
    )
    await opened.write({"a": b"1", "b": b"2"}, ttl_s=60)
    yield opened
    await opened.aclose()


@pytest.fixture
def admin(valkey_server: Service) -> Iterator[redis.Redis]:
    with redis.Redis(port=valkey_server.port) as client:
        yield client


async def fails_within(limit_s: float, store: ValkeyStore) -> Unavailable:
    started = time.perf_counter()
    with pytest.raises(Unavailable) as caught:
        await store.read(["a"])
    assert time.perf_counter() - started < limit_s + SLACK_S
    return caught.value


async def answers(store: ValkeyStore) -> bool:
    return await store.read(["a"]) == ({"a": b"1"}, {})


async def test_a_call_after_all_connections_were_killed_succeeds(store, proxy):
    await asyncio.gather(*(answers(store) for _ in range(20)))
    proxy.reset()
    assert all(await asyncio.gather(*(answers(store) for _ in range(20))))
    assert (await store.take("user", limit=1, window_s=60)).allowed


async def test_a_call_after_the_server_dropped_its_clients_succeeds(store, admin):
    await asyncio.gather(*(answers(store) for _ in range(20)))
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert all(await asyncio.gather(*(answers(store) for _ in range(20))))


async def test_a_silent_server_costs_the_timeout_and_is_used_again_when_it_speaks(store, proxy):
    proxy.silent = True
    assert "within 1 s" in str(await fails_within(TIMEOUT_S, store))
    proxy.silent = False
    assert await answers(store)


async def test_a_frozen_server_costs_the_timeout_and_is_used_again_when_it_thaws(tmp_path):
    with running(start_valkey(tmp_path)) as server:
        store = ValkeyStore(url=server.url, **PATIENT)
        await store.write({"a": b"1"}, ttl_s=60)
        server.signal(signal.SIGSTOP)
        await fails_within(TIMEOUT_S, store)
        await fails_within(CONNECT_TIMEOUT_S, store)
        server.signal(signal.SIGCONT)
        assert await answers(store)
        await store.aclose()


async def test_refused_connections_fail_at_once_and_heal_by_themselves(store, proxy):
    proxy.refuse()
    await fails_within(0, store)
    await fails_within(0, store)
    proxy.accept()
    assert await answers(store)


async def test_a_server_that_was_replaced_is_used_without_a_restart(tmp_path):
    port = free_port()
    with running(start_valkey(tmp_path, port=port)) as server:
        store = ValkeyStore(url=server.url, **PATIENT)
        assert (await store.take("user", limit=1, window_s=60)).allowed
    await fails_within(0, store)
    with running(start_valkey(tmp_path, port=port)):
        assert (await store.take("user", limit=1, window_s=60)).allowed
        assert await store.update("m", add={"n": 1}) == {"n": b"1"}
        await store.aclose()


@pytest.mark.parametrize("garbage", [b"?", b"HTTP/1.1 200 OK\r\n\r\n", b"$-7\r\n", b"*1\r\n:x\r\n"])
async def test_garbage_is_a_failure_and_leaves_nothing_behind(store, proxy, garbage):
    proxy.answer = garbage
    await fails_within(CONNECT_TIMEOUT_S, store)
    proxy.answer = None
    assert await answers(store)


@pytest.mark.parametrize("reply", [b"+OK\r\n", b":7\r\n", b"$1\r\nx\r\n", b"*0\r\n"])
async def test_an_answer_to_another_question_is_a_failure_or_a_miss(store, proxy, reply):
    proxy.answer = reply
    for call in (store.read(["a"]), store.take("t", limit=1, window_s=1), store.update("m")):
        with contextlib.suppress(Unavailable):
            assert await call in (({}, {}), {})
    proxy.answer = None
    assert await answers(store)


async def test_a_call_given_up_leaves_its_answer_to_nobody(store, proxy):
    proxy.delay_s = 0.05
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.read(["a"]), 0.02)
    proxy.delay_s = 0
    assert await store.read(["b"]) == ({"b": b"2"}, {})


async def test_the_first_call_may_take_longer_because_it_connects(proxy):
    store = ValkeyStore(url=f"redis://127.0.0.1:{proxy.port}", timeout_s=0.3, connect_timeout_s=5.0)
    proxy.delay_s = 0.4
    assert await store.read([unique("nothing")]) == ({}, {})
    await fails_within(0.3, store)
    await store.aclose()


async def test_two_hundred_calls_at_once_share_thirty_two_connections(proxy):
    store = ValkeyStore(
        url=f"redis://127.0.0.1:{proxy.port}?cluster=false", timeout_s=5, connect_timeout_s=5
    )
    await asyncio.gather(*(store.update("all", add={"n": 1}, ttl_s=60) for _ in range(200)))
    assert (await store.update("all"))["n"] == b"200"
    assert proxy.accepted <= 32
    await store.aclose()


async def test_scripts_are_sent_again_to_a_server_that_lost_them(store, admin):
    assert await store.claim("lease", "me", ttl_s=10)
    admin.script_flush()
    assert not await store.claim("lease", "you", ttl_s=10)


@pytest.fixture
def user(admin: redis.Redis) -> Iterator[str]:
    """A user that may do everything to keys of `sr:`, with the password `p@ss/word`."""
    name = unique("user")
    admin.execute_command("ACL", "SETUSER", name, "on", ">p@ss/word", "~sr:*", "+@all")
    yield name
    admin.execute_command("ACL", "DELUSER", name)


async def test_user_and_password_are_in_the_url(valkey_server, user):
    store = ValkeyStore(
        url=f"redis://{user}:p%40ss%2Fword@127.0.0.1:{valkey_server.port}", **PATIENT
    )
    await store.write({"mine": b"1"}, ttl_s=60)
    assert await store.read(["mine"]) == ({"mine": b"1"}, {})
    await store.aclose()


async def test_a_wrong_password_is_refused_and_not_repeated(valkey_server, user):
    store = ValkeyStore(url=f"redis://{user}:sesame@127.0.0.1:{valkey_server.port}", **PATIENT)
    with pytest.raises(Refused) as caught:
        await store.read(["a"])
    assert "sesame" not in "".join(traceback.format_exception(caught.value))
    await store.aclose()


async def test_a_key_that_the_user_may_not_touch_is_refused(valkey_server, user):
    url = f"redis://{user}:p%40ss%2Fword@127.0.0.1:{valkey_server.port}"
    store = ValkeyStore(url=url, prefix="other:", **PATIENT)
    with pytest.raises(Refused):
        await store.read(["a", "b"])
    with pytest.raises(Refused):
        await store.claim("lease", "me", ttl_s=1)
    await store.aclose()


async def test_no_error_repeats_what_was_sent(store):
    key, field, value = "a", secrets.token_hex(), secrets.token_hex()
    with pytest.raises(Unavailable) as caught:
        await store.update(key, put={field: value.encode()})
    told = "".join(traceback.format_exception(caught.value))
    assert field not in told
    assert value not in told


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(valkey_tls):
    store = ValkeyStore(url=valkey_tls.partition("?")[0], **PATIENT)
    with pytest.raises(Unavailable):
        await store.read(["a"])
    await store.aclose()


def test_each_event_loop_has_its_own_connections(valkey_server):
    store = ValkeyStore(url=valkey_server.url, prefix=unique("sr") + ":", **PATIENT)

    async def count() -> bytes:
        counted = await store.update("m", add={"n": 1}, ttl_s=60)
        await store.aclose()
        return counted["n"]

    assert [asyncio.run(count()) for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:6379", "http://u:sesame@h", "redis://", "redis://u:sesame@h?cluster=perhaps"],
)
def test_a_url_that_is_none_stops_the_start_without_showing_a_password(url):
    with pytest.raises(ConfigError) as caught:
        ValkeyStore(url=url, **PATIENT)
    assert "sesame" not in str(caught.value)


def test_a_server_that_cannot_start_says_where_its_output_is(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"valkey\.log"):
        start_valkey(tmp_path, arguments=["--no-such-option", "1"])

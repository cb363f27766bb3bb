"""`ValkeyStore` on a cluster of two servers, each with half of the slots."""

import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.crc import key_slot

from servers import running, unique
from steadyrag.adapters.local.child_process import Service
from steadyrag.adapters.local.services import start_valkey
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.errors import Unavailable

HALF = 8192
PREFIX = unique("sr") + ":"

type Pair = tuple[redis.Redis, redis.Redis]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("low", "high")]
    with ThreadPoolExecutor() as pool:
        low, high = pool.map(lambda folder: start_valkey(folder, cluster=True), folders)
    with running(low), running(high):
        yield low, high


@pytest.fixture(scope="module")
def pair(servers: tuple[Service, Service]) -> Iterator[Pair]:
    """Clients of both servers, which have become one cluster."""
    with redis.Redis(port=servers[0].port) as low, redis.Redis(port=servers[1].port) as high:
        low.execute_command("CLUSTER", "DELSLOTSRANGE", HALF, 16383)
        high.execute_command("CLUSTER", "DELSLOTSRANGE", 0, HALF - 1)
        high.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        bus = int(myself(high)[1].partition("@")[2])
        low.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[1].port, bus)
        until(lambda: all(is_whole(one) for one in (low, high)))
        yield low, high


@pytest.fixture
async def store(servers: tuple[Service, Service], pair: Pair) -> AsyncIterator[ValkeyStore]:
    opened = ValkeyStore(url=servers[0].url, prefix=PREFIX, timeout_s=1.0, connect_timeout_s=2.0)
    yield opened
    await opened.aclose()


def myself(client: redis.Redis) -> list[str]:
    """Id, address and the rest of what a server says of itself."""
    lines = client.execute_command("CLUSTER", "NODES").decode().splitlines()
    return next(line.split() for line in lines if "myself" in line)


def is_whole(client: redis.Redis) -> bool:
    told = client.execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_known_nodes:2" in told


def until(condition: Callable[[], bool]) -> None:
    before = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < before
        time.sleep(0.02)


async def test_a_batch_brings_what_both_servers_hold(store, pair):
    kept = {f"key-{i}": b"%d" % i for i in range(40)}
    await store.write(kept, ttl_s=60)
    await store.update("m1", put={"a": b"1"})
    await store.update("m2", put={"a": b"2"})
    assert all(client.dbsize() > 5 for client in pair)
    assert await store.read([*kept, "missing"], ["m1", "m2"]) == (
        kept,
        {"m1": {"a": b"1"}, "m2": {"a": b"2"}},
    )
    await store.delete([*kept])
    assert await store.read([*kept]) == ({}, {})


async def test_what_has_moved_to_the_other_server_is_found_there(store, pair):
    low, high = pair
    await store.write({"warm": b"1"}, ttl_s=60)
    moving = [key for key in map(str, range(99)) if key_slot((PREFIX + key).encode()) < HALF][:3]
    for key in moving:
        slot = key_slot((PREFIX + key).encode())
        for server in (high, low):
            server.execute_command("CLUSTER", "SETSLOT", slot, "NODE", myself(high)[0])
    await store.write({key: key.encode() for key in moving}, ttl_s=60)
    found, _ = await store.read([*moving, "warm"])
    assert found == {"warm": b"1", **{key: key.encode() for key in moving}}
    assert all(high.exists(PREFIX + key) for key in moving)
    assert await store.claim(moving[0] + ":lease", "me", ttl_s=60)


async def test_half_a_cluster_is_a_failure_until_the_other_half_is_back(store, servers):
    await store.write({f"key-{i}": b"1" for i in range(20)}, ttl_s=60)
    servers[1].signal(signal.SIGSTOP)
    with pytest.raises(Unavailable):
        await store.read([f"key-{i}" for i in range(20)])
    servers[1].signal(signal.SIGCONT)
    assert len((await store.read([f"key-{i}" for i in range(20)]))[0]) == 20

"""What the cache's user may do, on a real Valkey: all that the store does, and no more."""

import shlex
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import redis

from contract.store_contract import Connect, StoreContract
from infra.stack import template
from servers import unique
from steadyrag.adapters.local.child_process import Service
from steadyrag.adapters.valkey import ValkeyStore

PASSWORD = "what-iam-is-in-aws"


def access_string() -> str:
    network = template(CacheMode="elasticache").nested("Network")
    ((_, user),) = network.of_type("AWS::ElastiCache::User")
    text: str = user["AccessString"]
    return text


@pytest.fixture(scope="module")
def user(valkey_cluster: Service) -> Iterator[str]:
    """A user of the server with the template's access string and a password."""
    name = unique("functions")
    with redis.Redis(port=valkey_cluster.port) as admin:
        admin.execute_command(
            *("ACL", "SETUSER", name, f">{PASSWORD}"), *shlex.split(access_string())
        )
        yield name
        admin.execute_command("ACL", "DELUSER", name)


class TestTheFunctionsUser(StoreContract):
    @pytest.fixture
    async def connect(self, user: str, valkey_cluster: Service) -> AsyncIterator[Connect]:
        opened: list[ValkeyStore] = []
        url = f"redis://{user}:{PASSWORD}@127.0.0.1:{valkey_cluster.port}"
        prefix = f"sr:{unique('user')}:"

        def connect(clock: Callable[[], float]) -> ValkeyStore:
            store = ValkeyStore(
                url=url, prefix=prefix, clock=clock, timeout_s=5.0, connect_timeout_s=5.0
            )
            opened.append(store)
            return store

        yield connect
        for store in opened:
            await store.aclose()


@pytest.mark.parametrize(
    "command",
    [
        *("FLUSHALL", "KEYS *", "SCAN 0", "CONFIG GET *", "ACL LIST", "CLIENT LIST", "INFO"),
        *("CLUSTER RESET", "SHUTDOWN NOSAVE", "GET other", "SET other x"),
    ],
)
def test_it_may_do_nothing_that_the_store_does_not(
    command: str, user: str, valkey_cluster: Service
) -> None:
    with (
        redis.Redis(port=valkey_cluster.port, username=user, password=PASSWORD) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())

"""The shared stores after a freeze: real servers, behind a network that forgets connections."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from dying_network import DyingNetwork, network_before
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.adapters.local.services import start_local_aws, start_valkey
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.ports import SharedStore

MINISTACK = Path(__file__).parents[2] / ".venv-cloud" / "bin" / "ministack"

type Make = Callable[[DyingNetwork, Callable[[], float]], SharedStore]


class Frozen:
    """A store behind `network`, whose clock runs ahead by `frozen_s`."""

    def __init__(self, network: DyingNetwork, make: Make) -> None:
        self.network = network
        self.frozen_s = 0.0
        self.store = make(network, lambda: time.time() + self.frozen_s)

    async def still_answers(self) -> None:
        assert (await self.store.read(["k"]))[0] == {"k": b"v"}


@pytest.fixture(scope="module", params=["valkey", "dynamodb"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Make]]:
    """The server's address, and how to make a store that reaches it through a proxy."""
    directory = tmp_path_factory.mktemp("frozen")
    if request.param == "valkey":
        valkey = start_valkey(directory)
        yield (
            f"127.0.0.1:{valkey.port}",
            lambda network, clock: ValkeyStore(
                timeout_s=2.0,
                connect_timeout_s=2.0,
                url=f"redis://{network.address}?cluster=false",
                clock=clock,
            ),
        )
        valkey.stop()
        return
    if not MINISTACK.exists():
        pytest.skip("no local AWS here: `make e2e` installs one")
    aws = start_local_aws(directory, executable=MINISTACK)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        create_table(
            table="frozen", endpoint_url=f"http://127.0.0.1:{aws.port}", region="us-east-1"
        )
        yield (
            f"127.0.0.1:{aws.port}",
            lambda network, clock: DynamoStore(
                timeout_s=2.0,
                connect_timeout_s=2.0,
                table="frozen",
                endpoint_url=f"http://{network.address}",
                region="us-east-1",
                clock=clock,
            ),
        )
    aws.stop()


@pytest.fixture
async def frozen(server: tuple[str, Make]) -> AsyncIterator[Frozen]:
    address, make = server
    with network_before(address) as network:
        world = Frozen(network, make)
        await world.store.write({"k": b"v"}, ttl_s=86_400)
        yield world
        await world.store.aclose()


@pytest.mark.parametrize("end", [DyingNetwork.cut, DyingNetwork.strand, DyingNetwork.lose])
async def test_ten_minutes_later_no_dead_connection_is_tried(frozen, end):
    end(frozen.network)
    frozen.frozen_s += 600
    await frozen.still_answers()
    assert (frozen.network.met, frozen.network.opened) == (0, 2)


@pytest.mark.parametrize("end", [DyingNetwork.cut, DyingNetwork.strand])
async def test_a_connection_that_died_within_a_minute_costs_one_attempt(frozen, end):
    end(frozen.network)
    frozen.frozen_s += 60
    await frozen.still_answers()
    assert frozen.network.met <= 1


async def test_once_dropped_connections_are_made_anew(frozen):
    frozen.network.lose()
    await frozen.store.aclose()
    await frozen.still_answers()
    assert (frozen.network.met, frozen.network.opened) == (0, 2)

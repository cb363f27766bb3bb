"""An ingest tells whoever serves the same data directory, as long as that lasts."""

import asyncio
from contextlib import ExitStack

import pytest

from servers import unique
from steadyrag.adapters.local.announced import StoreAddresses, announced
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.errors import Unavailable
from steadyrag.resilience.keys import corpus_key
from steadyrag.settings import load
from steadyrag.wiring.ingest import announced_changes


@pytest.fixture
def settings(tmp_path):
    return load({"STEADYRAG_DATA_DIR": str(tmp_path)})


async def test_a_service_that_came_later_is_told_too(settings, valkey_server):
    namespace = unique("namespace")
    changes = announced_changes(settings)
    await changes.changing(namespace, deleted=["a"])
    with announced(settings.data_dir, StoreAddresses(cache_url=valkey_server.url)):
        for _ in range(2):
            await changes.changed(namespace)
    await changes.changed(namespace)
    store = ValkeyStore(url=valkey_server.url, timeout_s=5.0, prefix="")
    _, maps = await store.read([], [corpus_key(namespace)])
    assert maps[corpus_key(namespace)]["version"] == b"2"
    await store.aclose()


async def test_the_stores_of_the_settings_are_told_as_ever(settings, valkey_server):
    named = settings.model_copy(update={"cache_url": "redis://127.0.0.1:1"})
    with (
        announced(settings.data_dir, StoreAddresses(cache_url=valkey_server.url)),
        pytest.raises(Unavailable),
    ):
        await announced_changes(named).changed(unique("namespace"))


async def test_a_service_that_can_not_be_told_stops_the_change(settings):
    with (
        announced(settings.data_dir, StoreAddresses(cache_url="redis://127.0.0.1:1")),
        pytest.raises(Unavailable),
    ):
        await announced_changes(settings).changed("default")


async def test_a_service_that_ends_while_it_is_told_does_not(settings):
    with ExitStack() as serving:

        def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.close()
            writer.close()

        async with await asyncio.start_server(end, "127.0.0.1", 0) as server:
            url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?cluster=false"
            serving.enter_context(announced(settings.data_dir, StoreAddresses(cache_url=url)))
            await announced_changes(settings).changed("default")
    assert list(settings.data_dir.iterdir()) == []

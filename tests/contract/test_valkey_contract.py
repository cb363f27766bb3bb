"""`ValkeyStore` keeps the promises of a shared store, on every kind of server."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from contract.store_contract import Connect, StoreAcrossProcesses, StoreContract
from servers import unique
from steadyrag.adapters.valkey import ValkeyStore


class OnValkey(StoreContract):
    @pytest.fixture
    def where(self, url: str) -> dict[str, Any]:
        return {"kind": "valkey", "url": url, "prefix": unique("sr") + ":"}

    @pytest.fixture
    async def connect(self, where: dict[str, Any]) -> AsyncIterator[Connect]:
        opened: list[ValkeyStore] = []

        def connect(clock: Callable[[], float]) -> ValkeyStore:
            patient = {"timeout_s": 5.0, "connect_timeout_s": 5.0}
            opened.append(
                ValkeyStore(url=where["url"], prefix=where["prefix"], clock=clock, **patient)
            )
            return opened[-1]

        yield connect
        for store in opened:
            await store.aclose()


class TestSingleValkey(OnValkey):
    @pytest.fixture
    def url(self, valkey_server) -> str:
        return valkey_server.url


class TestClusterOfValkey(OnValkey, StoreAcrossProcesses):
    @pytest.fixture
    def url(self, valkey_cluster) -> str:
        return valkey_cluster.url


class TestClusterBehindTls(OnValkey):
    @pytest.fixture
    def url(self, valkey_tls) -> str:
        return valkey_tls

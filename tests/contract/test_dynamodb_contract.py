"""`DynamoStore` keeps the promises of a shared store."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from contract.store_contract import Connect, StoreAcrossProcesses, StoreContract
from steadyrag.adapters.dynamodb import DynamoStore


class TestDynamoStore(StoreContract, StoreAcrossProcesses):
    @pytest.fixture
    def where(self, dynamo_table: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "dynamodb", **dynamo_table}

    @pytest.fixture
    async def connect(self, dynamo_table: dict[str, Any]) -> AsyncIterator[Connect]:
        opened: list[DynamoStore] = []

        def connect(clock: Callable[[], float]) -> DynamoStore:
            opened.append(
                DynamoStore(clock=clock, timeout_s=5.0, connect_timeout_s=5.0, **dynamo_table)
            )
            return opened[-1]

        yield connect
        for store in opened:
            await store.aclose()

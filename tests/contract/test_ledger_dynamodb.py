"""`DynamoDbLedger` keeps the promises of a ledger."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from contract.ledger_contract import Connect, LedgerContract
from contract.ledger_process import LedgerAcrossProcesses
from servers import REGION, unique
from steadyrag.adapters.dynamodb_ledger import DynamoDbLedger
from steadyrag.adapters.dynamodb_table import ensure_documents_table


@pytest.fixture
def table(local_aws) -> dict[str, Any]:
    """A new, empty table, as arguments of `DynamoDbLedger`."""
    where = {"prefix": unique("ledger") + "-", "endpoint_url": local_aws.url, "region": REGION}
    ensure_documents_table(**where)
    ensure_documents_table(**where)
    return where


class TestDynamoDbLedger(LedgerContract, LedgerAcrossProcesses):
    @pytest.fixture
    def where(self, table: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "dynamodb", **table, "timeout_s": 20.0}

    @pytest.fixture
    async def connect(self, table: dict[str, Any]) -> AsyncIterator[Connect]:
        opened: list[DynamoDbLedger] = []

        def connect(clock: Callable[[], float]) -> DynamoDbLedger:
            opened.append(DynamoDbLedger(clock=clock, timeout_s=20.0, **table))
            return opened[-1]

        yield connect
        for ledger in opened:
            await ledger.aclose()

"""The fake keeps the promises that its users' tests rely on."""

from collections.abc import Callable

import pytest

from contract.ledger_contract import Connect, LedgerContract
from fakes import InMemoryLedger


class TestInMemoryLedger(LedgerContract):
    @pytest.fixture
    def connect(self) -> Connect:
        first = InMemoryLedger()

        def connect(clock: Callable[[], float]) -> InMemoryLedger:
            return InMemoryLedger(clock=clock, beside=first)

        return connect

"""The fake keeps the promises that its users' tests rely on."""

from collections.abc import Callable

import pytest

from contract.record_store_contract import Connect, RecordStoreContract
from fakes import InMemoryRecords


class TestInMemoryRecords(RecordStoreContract):
    @pytest.fixture
    def connect(self) -> Connect:
        first = InMemoryRecords()

        def connect(clock: Callable[[], float], most: int = 10_000) -> InMemoryRecords:
            return InMemoryRecords(clock=clock, most=most, beside=first)

        return connect

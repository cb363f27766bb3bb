"""The fake keeps the promises of the stores that it stands in for."""

import pytest

from contract.store_contract import Connect, StoreContract
from fakes import InMemoryStore


class TestInMemoryStore(StoreContract):
    @pytest.fixture
    def connect(self) -> Connect:
        first = InMemoryStore()
        return lambda clock: InMemoryStore(clock=clock, beside=first)

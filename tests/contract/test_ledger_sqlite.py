# ruff: noqa: ASYNC240
"""`SqliteLedger` keeps the promises of a ledger, in a file that processes share."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contract.ledger_contract import Connect, LedgerContract, place
from contract.ledger_process import LedgerAcrossProcesses
from steadyrag.adapters.local.catalogue import SqliteCatalogue
from steadyrag.adapters.local.database import Database
from steadyrag.adapters.local.ledger import SqliteLedger
from steadyrag.domain.errors import ConfigError, Unavailable
from steadyrag.domain.ledger import Outcome
from steadyrag.domain.ports import DocumentRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "catalogue.sqlite"


class TestSqliteLedger(LedgerContract, LedgerAcrossProcesses):
    @pytest.fixture
    def where(self, path: Path) -> dict[str, object]:
        return {"kind": "sqlite", "path": path}

    @pytest.fixture
    async def connect(self, path: Path) -> AsyncIterator[Connect]:
        opened: list[SqliteLedger] = []

        def connect(clock: Callable[[], float]) -> SqliteLedger:
            opened.append(SqliteLedger(path, clock=clock))
            return opened[-1]

        yield connect
        for ledger in opened:
            await ledger.aclose()


async def test_looking_makes_no_file(path: Path, tmp_path: Path) -> None:
    ledger = SqliteLedger(path)
    assert await ledger.look_up(place()) is None
    assert await ledger.namespaces() == []
    assert list(tmp_path.iterdir()) == []
    await ledger.aclose()


async def test_a_catalogue_of_before_gets_the_ledger_beside_it(path: Path) -> None:
    catalogue, ledger = SqliteCatalogue(path), SqliteLedger(path)
    kept = DocumentRecord("a.md", "origin", "fingerprint", ("1",))
    await catalogue.put("default", kept)
    assert await ledger.look_up(place()) is None
    await ledger.expect(place(), Outcome("pending"))
    assert await catalogue.records("default") == {"a.md": kept}
    assert dict(await ledger.owned_by("").records("default")) == {}
    await catalogue.aclose()
    await ledger.aclose()


async def test_erasing_the_index_forgets_what_was_in_it(path: Path) -> None:
    ledger = SqliteLedger(path)
    await ledger.expect(place(), Outcome("pending"))
    Database(path).erase()
    assert await ledger.look_up(place()) is None
    await ledger.aclose()


async def test_a_file_that_stays_locked_is_unavailable_and_not_waited_for(path: Path) -> None:
    ledger = SqliteLedger(path, busy_timeout_s=0.1)
    await ledger.expect(place(), Outcome("pending"))
    with Database(path).writing(), pytest.raises(Unavailable, match="locked"):
        await ledger.claim(place(), owner="me", until=1)
    await ledger.claim(place(), owner="me", until=1)
    await ledger.aclose()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"not a database " * 100)
    ledger = SqliteLedger(tmp_path / "c.sqlite")
    with pytest.raises(ConfigError, match=r"c\.sqlite is damaged"):
        await ledger.look_up(place())
    await ledger.aclose()

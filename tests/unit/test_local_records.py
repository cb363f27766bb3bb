"""Searches are kept beside the requests that make them, and never in their way."""

import asyncio
import logging
import time

import pytest

from contract.record_store_contract import a_search
from fakes import InMemoryRecords
from steadyrag.domain.errors import Unavailable
from steadyrag.settings import load
from steadyrag.wiring.records import MOST_WAITING, LocalRecords, local_records

AT = 1_700_000_000.0


@pytest.fixture
def store() -> InMemoryRecords:
    return InMemoryRecords(clock=lambda: AT)


async def test_a_search_is_kept_while_its_caller_goes_on(store):
    kept = LocalRecords(store)
    store.slow(0.05, on="add_search")
    kept.listen(a_search("s1", AT))
    assert await store.get("s1") is None
    await kept.aclose()
    assert await store.get("s1")
    assert store.closed == 1


async def test_a_store_that_fails_is_told_of_once_until_it_is_well(store, caplog):
    kept = LocalRecords(store)
    store.fail(Unavailable("records", "disk full"), times=3)
    with caplog.at_level(logging.WARNING, "steadyrag"):
        for number in range(4):
            kept.listen(a_search(f"s{number}", AT))
            await asyncio.sleep(0.01)
        store.fail(Unavailable("records", "disk full again"), times=1)
        kept.listen(a_search("s5", AT))
        await kept.aclose()
    told = [(line.message, line.reason) for line in caplog.records]
    assert told == [
        ("searches are not kept", "disk full"),
        ("searches are not kept", "disk full again"),
    ]
    assert [one.search.search_id for one in await store.recent()] == ["s3"]


async def test_a_bug_in_the_store_is_logged_and_stops_nothing(store, caplog, monkeypatch):
    async def broken(record):
        raise TypeError("no such thing")

    monkeypatch.setattr(store, "add_search", broken)
    kept = LocalRecords(store)
    kept.listen(a_search("s1", AT))
    await kept.aclose()
    assert [line.message for line in caplog.records] == ["search not kept"]


async def test_those_that_wait_for_a_stuck_disk_are_bounded(store):
    kept = LocalRecords(store)
    store.slow(0.1, on="add_search")
    for number in range(MOST_WAITING + 50):
        kept.listen(a_search(f"s{number}", AT))
    await kept.aclose()
    assert len(await store.recent(5000)) == MOST_WAITING


async def test_what_was_heard_can_be_read_at_once(tmp_path):
    kept = local_records(load({"STEADYRAG_DATA_DIR": str(tmp_path)}))
    assert list(tmp_path.iterdir()) == []
    kept.listen(a_search("s1", time.time()))
    await asyncio.sleep(0)
    assert await kept.store.get("s1")
    await kept.aclose()

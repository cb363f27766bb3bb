# ruff: noqa: ASYNC240
"""`SqliteRecords` keeps the promises of a record store, and never stands in a search's way."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from contract.record_store_contract import Connect, RecordStoreContract, a_search
from contract.store_contract import Clock
from steadyrag.adapters.local.records import SqliteRecords
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.records import Feedback, SearchRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "records.sqlite"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Connect]:
    stores: list[SqliteRecords] = []

    def connect(
        clock: Callable[[], float] | None = None, most: int = 10_000, **options: float
    ) -> SqliteRecords:
        stores.append(SqliteRecords(path, clock=clock or Clock(), most=most, **options))
        return stores[-1]

    yield connect
    for store in stores:
        await store.aclose()


class TestSqliteRecords(RecordStoreContract):
    @pytest.fixture
    def connect(self, opened: Connect) -> Connect:
        return opened


async def test_a_restart_finds_what_was_kept(opened: Connect) -> None:
    clock = Clock()
    first = opened(clock)
    await first.add_search(a_search("s1", clock()))
    await first.add_feedback(Feedback("s1", clock(), rating=1))
    await first.aclose()
    (found,) = await opened(clock).recent()
    assert (found.search, found.feedback) == (
        a_search("s1", clock()),
        (Feedback("s1", clock(), rating=1),),
    )


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("records.sqlite.damaged-*[0-9]"))


@pytest.mark.parametrize("content", [b"not a database " * 400, b"SQLite format 3\0" + b"\xff" * 99])
async def test_a_damaged_file_is_set_aside_with_a_warning(
    opened: Connect, path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    clock, store = Clock(), opened()
    with caplog.at_level(logging.WARNING, "steadyrag"):
        await store.add_search(a_search("s1", clock()))
    assert [one.search.search_id for one in await store.recent()] == ["s1"]
    assert [file.read_bytes() for file in aside(path)] == [content]
    assert [line.message for line in caplog.records] == ["records set aside"]


async def test_damage_inside_a_file_costs_no_search_that_follows(
    opened: Connect, path: Path
) -> None:
    clock, store = Clock(), opened()
    for number in range(300):
        await store.add_search(a_search(f"s{number}", clock()))
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    with path.open("r+b") as file:
        for page in range(1, os.path.getsize(path) // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    reopened = opened()
    await reopened.add_search(a_search("after", clock()))
    assert await reopened.get("after")
    assert len(aside(path)) == 1


async def test_another_programs_file_is_set_aside_and_left_whole(
    opened: Connect, path: Path
) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table theirs(a)")
        db.execute("insert into theirs values(1)")
        db.commit()
    store = opened()
    assert list(await store.recent()) == []
    (left,) = aside(path)
    with closing(sqlite3.connect(left)) as db:
        assert db.execute("select a from theirs").fetchall() == [(1,)]


async def test_a_record_of_another_version_is_passed_over(opened: Connect, path: Path) -> None:
    clock, store = Clock(), opened()
    for number in range(4):
        await store.add_search(a_search(f"s{number}", clock() + number))
    await store.add_feedback(Feedback("s1", clock(), rating=1))
    with closing(sqlite3.connect(path)) as db:
        newer = """{"version": 2, "search": {"id": "s3"}}"""
        db.execute("update searches set record = ? where search_id = 's3'", (newer,))
        db.execute("update searches set record = '{' where search_id = 's2'")
        db.execute("""update feedback set said = '{"version": 2, "all": []}'""")
        db.commit()
    found = await store.recent(2)
    assert [one.search.search_id for one in found] == ["s1", "s0"]
    assert [one.feedback for one in found] == [(), ()]
    assert await store.get("s3") is None


async def test_what_comes_during_a_commit_is_committed_together_by_the_next(
    opened: Connect, path: Path
) -> None:
    clock, store = Clock(), opened()
    await store.add_search(a_search("first", clock()))
    before = _changes(path)
    await asyncio.gather(*(store.add_search(a_search(f"s{n}", clock())) for n in range(500)))
    assert len(await store.recent(1000)) == 501
    assert _changes(path) - before < 250 * 4096


def _changes(path: Path) -> int:
    return os.path.getsize(f"{path}-wal")


async def test_the_event_loop_goes_on_while_the_disk_is_waited_for(
    opened: Connect, path: Path
) -> None:
    clock, store = Clock(), opened(busy_timeout_s=5)
    await store.add_search(a_search("s1", clock()))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("begin immediate")
        adding = asyncio.create_task(store.add_search(a_search("s2", clock())))
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            turns += 1
        assert not adding.done()
        db.execute("rollback")
    await adding
    assert turns == 20
    assert await store.get("s2")


async def test_a_file_that_stays_locked_is_unavailable_for_those_who_wait_and_no_longer(
    opened: Connect, path: Path
) -> None:
    clock, store = Clock(), opened(busy_timeout_s=0.05)
    await store.add_search(a_search("s1", clock()))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("begin immediate")
        tried = await asyncio.gather(
            *(store.add_search(a_search(f"lost{n}", clock())) for n in range(3)),
            return_exceptions=True,
        )
        db.execute("rollback")
    assert [type(one) for one in tried] == [Unavailable] * 3
    await store.add_search(a_search("s2", clock()))
    assert len(await store.recent()) == 2


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = SqliteRecords(tmp_path / "file" / "records.sqlite")
    with pytest.raises(Unavailable, match="records"):
        await store.add_search(a_search())
    with pytest.raises(Unavailable, match="records"):
        await store.recent()
    await store.aclose()


async def test_closing_keeps_what_was_still_on_its_way(opened: Connect) -> None:
    clock, store = Clock(), opened()
    adding = [asyncio.create_task(store.add_search(a_search(f"s{n}", clock()))) for n in range(9)]
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.gather(*adding)
    assert len(await opened(clock).recent()) == 9


async def test_what_has_no_form_in_the_file_fails_alone_and_its_neighbours_are_kept(
    opened: Connect,
) -> None:
    clock, store = Clock(), opened()
    await store.add_search(a_search("first", clock()))
    tried = await asyncio.gather(
        store.add_search(a_search("before", clock(), query="q")),
        store.add_search(a_search("no text", clock(), query=object())),
        store.add_search(a_search("\ud800", clock())),
        store.add_search(SearchRecord("no time", object(), "q")),  # type: ignore[arg-type]
        store.add_feedback(Feedback("first", clock(), comment=object())),  # type: ignore[arg-type]
        store.add_feedback(Feedback("first", clock(), rating=1)),
        store.add_search(a_search("after", clock())),
        return_exceptions=True,
    )
    assert [one is None for one in tried] == [True, False, False, False, False, True, True]
    assert type(tried[1]) is TypeError
    found = {one.search.search_id: one for one in await store.recent()}
    assert found.keys() == {"first", "before", "after"}
    assert found["first"].feedback == (Feedback("first", clock(), rating=1),)


async def test_what_fails_alone_is_undone_as_a_whole(opened: Connect) -> None:
    clock, store = Clock(), opened()

    def half(db: sqlite3.Connection) -> None:
        db.execute("insert into searches values('half', ?, 0, '{}')", (clock(),))
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        await store._change(half)
    await store.add_search(a_search("s1", clock()))
    assert await store.get("half") is None
    assert [one.search.search_id for one in await store.recent()] == ["s1"]


async def test_a_bug_in_forgetting_is_no_search_that_was_kept(path: Path) -> None:
    def broken() -> float:
        raise ZeroDivisionError

    store = SqliteRecords(path, clock=broken)
    tried = await asyncio.gather(
        *(store.add_search(a_search(name)) for name in ("a", "b")), return_exceptions=True
    )
    assert [type(one) for one in tried] == [ZeroDivisionError] * 2
    await store.aclose()


async def test_nobody_but_its_owner_can_read_what_was_asked(opened: Connect, path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = opened()
        await store.add_search(a_search("s1", Clock()()))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(
        ("records.sqlite", "records.sqlite-wal", "records.sqlite-shm"), 0o600
    )

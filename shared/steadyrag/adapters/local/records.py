"""Searches and what was said of them, in a SQLite file of their own."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steadyrag.domain.errors import Unavailable
from steadyrag.domain.feedback import with_feedback
from steadyrag.domain.record_payload import (
    feedback_text,
    read_feedback,
    read_search,
    search_text,
)
from steadyrag.domain.records import Feedback, Recorded, SearchRecord

log = logging.getLogger(__name__)

MOST = 10_000
OLDEST_S = 90 * 86_400.0

APPLICATION_ID = 0x53525243
"""What the file's header says it belongs to."""
SCHEMA_VERSION = 1

_NAME = "records"
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_SCHEMA = (
    """create table searches(search_id text not null unique, at real not null,
        failed integer not null, record text not null)""",
    "create index searches_by_age on searches(at)",
    "create index searches_by_outcome on searches(failed, at)",
    "create table feedback(search_id text not null unique, at real not null, said text not null)",
    "create index feedback_by_age on feedback(at)",
    f"pragma application_id = {APPLICATION_ID}",
    f"pragma user_version = {SCHEMA_VERSION}",
)
_FOUND = """select record, said from searches left join feedback using(search_id)
    where searches.at >= ?"""
_FORGET_OLD = "delete from {0} where at < ?"
_FORGET_MANY = """delete from {0} where (at, rowid) <
    (select at, rowid from {0} order by at desc, rowid desc limit 1 offset ?)"""


class _Unusable(sqlite3.DatabaseError):
    """The file is not ours, or has another schema."""


@dataclass(slots=True)
class _Change:
    make: Callable[[sqlite3.Connection], None]
    error: Exception | None = None


class SqliteRecords:
    """Implements `RecordStore` on the file `path`, from one thread with one connection.

    What comes in while a commit runs is committed together by the next. Nobody but its owner
    may read the file. One that is damaged or another program's is set aside, under a name that
    says so, and begun anew: records are worth less than the searches that make them.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        most: int = MOST,
        busy_timeout_s: float = 2.0,
    ) -> None:
        self._path = path
        self._clock = clock
        self._most = most
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=_NAME)
        self._waiting: deque[_Change] = deque()
        self._opened: sqlite3.Connection | None = None

    async def add_search(self, record: SearchRecord) -> None:
        await self._change(partial(_put_search, record))

    async def add_feedback(self, feedback: Feedback) -> None:
        await self._change(partial(_put_feedback, feedback))

    async def recent(self, limit: int = 50, *, failed: bool | None = None) -> Sequence[Recorded]:
        def look(db: sqlite3.Connection) -> list[Recorded]:
            chosen = "" if failed is None else f" and failed = {int(failed)}"
            query = f"{_FOUND}{chosen} order by searches.at desc, searches.rowid desc"
            found: list[Recorded] = []
            rows = db.execute(query, (self._clock() - OLDEST_S,))
            while len(found) < limit and (row := rows.fetchone()):
                if recorded := _recorded(*row):
                    found.append(recorded)
            rows.close()
            return found

        return await self._read(look)

    async def get(self, search_id: str) -> Recorded | None:
        def look(db: sqlite3.Connection) -> Recorded | None:
            oldest = self._clock() - OLDEST_S
            row = db.execute(f"{_FOUND} and search_id = ?", (oldest, search_id)).fetchone()
            return _recorded(*row) if row else None

        return await self._read(look)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._shut)

    async def _change(self, make: Callable[[sqlite3.Connection], None]) -> None:
        change = _Change(make)
        self._waiting.append(change)
        await self._in_thread(self._commit)  # unless the one before has taken it along
        if change.error:
            raise change.error

    async def _read[R](self, look: Callable[[sqlite3.Connection], R]) -> R:
        def read() -> R:
            self._commit()
            return self._with_file(look)

        try:
            return await self._in_thread(read)
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(_NAME, f"{self._path}: {error}")

    async def _in_thread[R](self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _commit(self) -> None:
        changes = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not changes:
            return
        try:
            self._with_file(partial(self._make, changes))
        except Exception as error:
            of_the_file = isinstance(error, sqlite3.Error | OSError)
            for change in changes:
                change.error = self._unavailable(error) if of_the_file else error

    def _make(self, changes: Sequence[_Change], db: sqlite3.Connection) -> None:
        with db:
            db.execute("begin immediate")
            for change in changes:
                _make_one(change, db)
            for table in ("searches", "feedback"):
                db.execute(_FORGET_OLD.format(table), (self._clock() - OLDEST_S,))
                db.execute(_FORGET_MANY.format(table), (self._most - 1,))

    def _with_file[R](self, work: Callable[[sqlite3.Connection], R]) -> R:
        try:
            return work(self._open())
        except _Unusable as error:
            self._set_aside(str(error))
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
            self._set_aside(str(error))
        return work(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._opened is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # SQLite gives its files beside it the same mode
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            db = sqlite3.connect(
                self._path,
                timeout=self._busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _prepare(db)
            except BaseException:
                db.close()
                raise
            self._opened = db
        return self._opened

    def _set_aside(self, reason: str) -> None:
        self._close()
        aside = self._path.with_name(f"{self._path.name}.damaged-{int(self._clock())}")
        for part in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}{part}", f"{aside}{part}")
        log.warning("records set aside", extra={"file": str(aside), "reason": reason})

    def _shut(self) -> None:
        with suppress(RuntimeError):  # it was shut before
            self._thread.submit(self._commit)
        self._thread.shutdown()
        self._close()

    def _close(self) -> None:
        if self._opened is not None:
            with suppress(sqlite3.Error):
                self._opened.close()
            self._opened = None


def _prepare(db: sqlite3.Connection) -> None:
    """Makes the tables where there are none; raises `_Unusable` for others."""
    with suppress(sqlite3.OperationalError):  # another process holds it, and has done this
        db.execute("pragma journal_mode = wal")
    # After a power cut the latest records may be missing.
    db.execute("pragma synchronous = normal")
    with db:
        db.execute("begin immediate")
        (application,) = db.execute("pragma application_id").fetchone()
        (version,) = db.execute("pragma user_version").fetchone()
        (tables,) = db.execute("select count(*) from sqlite_master").fetchone()
        if not (application or tables):
            for statement in _SCHEMA:
                db.execute(statement)
        elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
            raise _Unusable("it is another program's, or of another version of Steadyrag")


def _make_one(change: _Change, db: sqlite3.Connection) -> None:
    """Undoes what fails by itself, such as a value that has no form in the file. What SQLite
    says of the file concerns the whole batch, and is raised."""
    change.error = None
    db.execute("savepoint one")
    try:
        change.make(db)
    except Exception as error:
        if getattr(error, "sqlite_errorcode", None) is not None:
            raise
        change.error = error
        db.execute("rollback to one")
    db.execute("release one")


def _put_search(record: SearchRecord, db: sqlite3.Connection) -> None:
    db.execute(
        "insert into searches values(?, ?, ?, ?) on conflict(search_id) do update"
        " set at = excluded.at, failed = excluded.failed, record = excluded.record",
        (record.search_id, record.at, record.failed, search_text(record)),
    )


def _put_feedback(feedback: Feedback, db: sqlite3.Connection) -> None:
    held = db.execute("select said from feedback where search_id = ?", (feedback.search_id,))
    said = with_feedback(read_feedback((held.fetchone() or (None,))[0]), feedback)
    db.execute(
        "insert or replace into feedback values(?, ?, ?)",
        (feedback.search_id, said[-1].at, feedback_text(said)),
    )


def _recorded(record: str, said: str | None) -> Recorded | None:
    search = read_search(record)
    return Recorded(search, read_feedback(said)) if search else None

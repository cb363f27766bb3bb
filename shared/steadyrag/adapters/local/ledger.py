"""The ledger of documents in SQLite, beside what else the file holds."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from steadyrag.adapters.local.database import Database, corrupt
from steadyrag.domain import ledger_line
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ledger import Entry, Outcome
from steadyrag.domain.ledger_line import NAME, Line
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

PAGE = 500

_TABLE = """create table if not exists entries(
    namespace text not null, document_id text not null,
    status text not null, version text not null, stamp text not null, sequencer text not null,
    recipe text not null, reason text, origin text not null, title text not null,
    size_bytes integer not null, chunks integer not null, updated_at real not null,
    attempts integer not null, mark text not null,
    owner text not null, until real not null, settled_by text not null, expires_at real not null,
    record_origin text, record_fingerprint text, record_chunk_ids text,
    primary key(namespace, document_id)) without rowid"""

_ENTRY = """document_id, status, version, stamp, sequencer, recipe, reason, origin, title,
    size_bytes, chunks, updated_at, attempts, mark"""
_LEASE = "owner, until, settled_by, expires_at"
_RECORD = "record_origin, record_fingerprint, record_chunk_ids"


class SqliteLedger:
    """Implements `Ledger` on the file `path`, which processes may share. Raises `ConfigError`
    for a file that is damaged or another program's."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout_s: float = 30.0,
    ) -> None:
        self._database = Database(path, busy_timeout_s=busy_timeout_s)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=NAME)

    async def look_up(self, place: Place) -> Entry | None:
        def look(db: sqlite3.Connection) -> Entry | None:
            line = self._line(db, place)
            return line.entry if line else None

        return await self._read(look, None)

    async def claim(self, place: Place, *, owner: str, until: float) -> Entry:
        def claim(db: sqlite3.Connection) -> Entry:
            line, entry = ledger_line.claimed(
                self._line(db, place), place, owner=owner, until=until, now_s=self._clock()
            )
            _keep(db, place, line)
            return entry

        return await self._write(claim)

    def owned_by(self, owner: str) -> SqliteOwned:
        return SqliteOwned(self, owner)

    async def settle(self, place: Place, *, owner: str, mark: str, outcome: Outcome) -> None:
        def settle(db: sqlite3.Connection) -> None:
            line, now_s = self._line(db, place), self._clock()
            settled = ledger_line.settled(
                line, place, owner=owner, mark=mark, outcome=outcome, now_s=now_s
            )
            _keep(db, place, settled)

        await self._write(settle)

    async def release(
        self, place: Place, *, owner: str, reason: str | None = None, tried: bool = False
    ) -> None:
        def release(db: sqlite3.Connection) -> None:
            line, now_s = self._line(db, place), self._clock()
            released = ledger_line.released(
                line, owner=owner, reason=reason, tried=tried, now_s=now_s
            )
            if released is not None:
                _keep(db, place, released)

        await self._write(release)

    async def expect(self, place: Place, outcome: Outcome) -> None:
        def expect(db: sqlite3.Connection) -> None:
            line, now_s = self._line(db, place), self._clock()
            _keep(db, place, ledger_line.expected(line, place, outcome, now_s=now_s))

        await self._write(expect)

    async def want_gone(self, place: Place, mark: str) -> Entry | None:
        def want_gone(db: sqlite3.Connection) -> Entry | None:
            line = self._line(db, place)
            if line is None or line.entry.status == "deleted":
                return None
            _keep(db, place, ledger_line.wanted_gone(line, mark, now_s=self._clock()))
            return line.entry

        return await self._write(want_gone)

    async def entries(self, namespace: str, *, after: str = "") -> AsyncIterator[Entry]:
        def page(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return db.execute(
                f"select {_ENTRY}, expires_at from entries"  # noqa: S608
                " where namespace = ? and document_id > ? order by document_id limit ?",
                (namespace, after, PAGE),
            ).fetchall()

        while rows := await self._read(page, list[tuple[Any, ...]]()):
            now_s = self._clock()
            for *fields, expires_at in rows:
                line = Line(Entry(*fields), expires_at=expires_at)
                if not line.is_over(now_s):
                    yield line.entry
            after = rows[-1][0]

    async def namespaces(self) -> list[str]:
        def names(db: sqlite3.Connection) -> list[str]:
            return [name for (name,) in db.execute("select distinct namespace from entries")]

        return sorted(await self._read(names, list[str]()))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        def records(db: sqlite3.Connection) -> dict[str, DocumentRecord]:
            rows = db.execute(
                f"select document_id, {_RECORD} from entries"  # noqa: S608
                " where namespace = ? and record_fingerprint is not null"
                " and (expires_at = 0 or expires_at > ?)",
                (namespace, self._clock()),
            )
            found = (_record(*row) for row in rows)
            return {record.document_id: record for record in found if record is not None}

        return await self._read(records, dict[str, DocumentRecord]())

    async def write_record(self, place: Place, owner: str, record: DocumentRecord | None) -> None:
        def write(db: sqlite3.Connection) -> None:
            line = self._line(db, place)
            _keep(db, place, ledger_line.with_record(line, place, owner, record))

        await self._write(write)

    def _line(self, db: sqlite3.Connection, place: Place) -> Line | None:
        row = db.execute(
            f"select {_ENTRY}, {_LEASE}, {_RECORD} from entries"  # noqa: S608
            " where namespace = ? and document_id = ?",
            (place.namespace, place.document_id),
        ).fetchone()
        if row is None:
            return None
        fields, lease, record = row[:14], row[14:18], row[18:]
        entry = replace(Entry(*fields), record=_record(place.document_id, *record))
        line = Line(entry, *lease)
        return None if line.is_over(self._clock()) else line

    async def _read[R](self, work: Callable[[sqlite3.Connection], R], nothing: R) -> R:
        """`nothing` where nothing was ever written."""

        def read() -> R:
            with self._database.reading() as db:
                if db is None or not _has_table(db):
                    return nothing
                return work(db)

        return await self._in_thread(read)

    async def _write[R](self, work: Callable[[sqlite3.Connection], R]) -> R:
        def write() -> R:
            with self._database.writing() as db:
                db.execute(_TABLE)
                return work(db)

        return await self._in_thread(write)

    async def _in_thread[R](self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.OperationalError as error:
            raise Unavailable(NAME, f"{self._database.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise corrupt(self._database.path, error) from error


class SqliteOwned:
    """Implements `Catalogue` by the lease of one owner."""

    def __init__(self, ledger: SqliteLedger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        return await self._ledger.records(namespace)

    async def put(self, namespace: str, record: DocumentRecord) -> None:
        place = Place(namespace, record.document_id)
        await self._ledger.write_record(place, self._owner, record)

    async def remove(self, namespace: str, document_id: str) -> None:
        await self._ledger.write_record(Place(namespace, document_id), self._owner, None)

    async def aclose(self) -> None:
        """The file is the ledger's."""


def _has_table(db: sqlite3.Connection) -> bool:
    found = db.execute("select 1 from sqlite_master where type = 'table' and name = 'entries'")
    return found.fetchone() is not None


def _record(
    document_id: str, origin: str | None, fingerprint: str | None, chunk_ids: str | None
) -> DocumentRecord | None:
    if origin is None or fingerprint is None or chunk_ids is None:
        return None
    return DocumentRecord(document_id, origin, fingerprint, tuple(json.loads(chunk_ids)))


def _keep(db: sqlite3.Connection, place: Place, line: Line) -> None:
    entry, record = line.entry, line.entry.record
    row = (
        *(place.namespace, place.document_id, entry.status, entry.version, entry.stamp),
        *(entry.sequencer, entry.recipe, entry.reason, entry.origin, entry.title),
        *(entry.size_bytes, entry.chunks, entry.updated_at, entry.attempts, entry.mark),
        *(line.owner, line.until, line.settled_by, line.expires_at),
        *((record.origin, record.fingerprint) if record else (None, None)),
        json.dumps(record.chunk_ids) if record else None,
    )
    marks = ", ".join("?" * len(row))
    db.execute(f"insert or replace into entries values({marks})", row)

"""The record of what has been ingested, in SQLite."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from steadyrag.adapters.local.database import Database, corrupt
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ports import DocumentRecord


class SqliteCatalogue:
    """ports.Catalogue on the file `path`: the local index's own, so that both are erased
    together, or one of its own beside a remote index.

    Raises `ConfigError` for a file that is damaged or another program's.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 30.0) -> None:
        self._database = Database(path, busy_timeout_s=busy_timeout_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalogue")

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        def read() -> dict[str, DocumentRecord]:
            with self._database.reading() as db:
                return _records(db, namespace) if db else {}

        return await self._in_thread(read)

    async def put(self, namespace: str, record: DocumentRecord) -> None:
        def write() -> None:
            ids = json.dumps(record.chunk_ids)
            row = (namespace, record.document_id, record.origin, record.fingerprint, ids)
            with self._database.writing() as db:
                db.execute("insert or replace into documents values(?, ?, ?, ?, ?)", row)

        await self._in_thread(write)

    async def remove(self, namespace: str, document_id: str) -> None:
        def write() -> None:
            with self._database.writing() as db:
                db.execute(
                    "delete from documents where namespace = ? and document_id = ?",
                    (namespace, document_id),
                )

        await self._in_thread(write)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _in_thread[R](self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.OperationalError as error:
            raise Unavailable("catalogue", f"{self._database.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise corrupt(self._database.path, error) from error


def _records(db: sqlite3.Connection, namespace: str) -> dict[str, DocumentRecord]:
    rows = db.execute(
        "select document_id, origin, fingerprint, chunk_ids from documents where namespace = ?",
        (namespace,),
    )
    return {
        document_id: DocumentRecord(document_id, origin, fingerprint, tuple(json.loads(chunk_ids)))
        for document_id, origin, fingerprint, chunk_ids in rows
    }

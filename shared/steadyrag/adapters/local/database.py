"""The SQLite file of the embedded default: how it is opened, told from others, and erased.

Every unit of work opens a connection of its own, so threads share nothing and a file that
was deleted and made again is found. Writers queue for SQLite's write lock; a process killed
at any moment leaves the last committed state.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from steadyrag.domain.errors import ConfigError

APPLICATION_ID = 0x53524147
"""What the file's header says it belongs to."""
SCHEMA_VERSION = 1

_SCHEMA = (
    "create table if not exists meta(key text primary key, value text not null) without rowid",
    "create table if not exists terms(id integer primary key, term text not null unique)",
    # `row` never comes back, so a row number means the same chunk for ever. The large columns
    # come last: reading the others then stays on the row's first page.
    """create table if not exists chunks(
        row integer primary key autoincrement, namespace text not null, id text not null,
        document_id text not null, title text not null, context text not null,
        tokens integer not null, url text, metadata text not null, text text not null,
        terms blob not null, counts blob not null, vector blob not null,
        unique(namespace, id))""",
    "create table if not exists sentences(row integer primary key, vectors blob not null)",
    """create table if not exists documents(
        namespace text not null, document_id text not null, origin text not null,
        fingerprint text not null, chunk_ids text not null,
        primary key(namespace, document_id)) without rowid""",
)


class Database:
    """One file. `sqlite3.Error` comes through, for the adapters to translate; a file that is
    not ours, or of another version, raises `ConfigError`."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 30.0) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that sees one state throughout; None where nothing was ever written."""
        if not self.path.exists():
            yield None
            return
        with closing(self.connect("rw")) as db:
            db.execute("begin")
            yield db if self._ours(db) else None
            db.execute("rollback")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block is durable when it ends, or none of it happened."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the folder {self.path.parent}: {error}") from error
        with closing(self.connect("rwc")) as db:
            db.execute("begin")
            self._ours(db)
            db.execute("rollback")
            # This one never waits for a lock; where others hold one, the next writer does it.
            with suppress(sqlite3.OperationalError):
                db.execute("pragma journal_mode = wal")
            # Full: what ingest reports as stored must be there after a power cut.
            db.execute("pragma synchronous = full")
            db.execute("begin immediate")
            try:
                if not self._ours(db):
                    self._create(db)
                yield db
            except BaseException:
                if db.in_transaction:  # SQLite ends it itself when the disk is full
                    db.execute("rollback")
                raise
            db.execute("commit")

    def erase(self) -> None:
        """Forgets everything, in one step that other processes see whole."""
        if not self.path.exists():
            return
        with self.writing() as db:
            tables = (
                "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
            )
            for (table,) in db.execute(tables).fetchall():
                db.execute(f"delete from {table}")  # noqa: S608
            _new_generation(db)

    def connect(self, mode: str, *, busy_timeout_s: float | None = None) -> sqlite3.Connection:
        """A connection in autocommit mode; `rw` fails where there is no file, `rwc` makes one."""
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._busy_timeout_s if busy_timeout_s is None else busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )

    def _ours(self, db: sqlite3.Connection) -> bool:
        """Whether the tables are there; raises `ConfigError` when the file is another's. Only
        inside a transaction: another process may be making the tables at this moment."""
        try:
            (application,) = db.execute("pragma application_id").fetchone()
            (version,) = db.execute("pragma user_version").fetchone()
            if application == APPLICATION_ID and version == SCHEMA_VERSION:
                return True
            (tables,) = db.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise corrupt(self.path, error) from error
        if application == APPLICATION_ID:
            raise ConfigError(
                f"{self.path} was written by another version of Steadyrag: delete it and run "
                "`steadyrag ingest` again, or name another data directory"
            )
        if application or tables:
            raise ConfigError(
                f"{self.path} is the database of another program: name another data directory"
            )
        return False

    def _create(self, db: sqlite3.Connection) -> None:
        for statement in _SCHEMA:
            db.execute(statement)
        _new_generation(db)
        db.execute(f"pragma application_id = {APPLICATION_ID}")
        db.execute(f"pragma user_version = {SCHEMA_VERSION}")


def corrupt(path: Path, error: Exception) -> ConfigError:
    """What to tell somebody whose file cannot be read."""
    return ConfigError(
        f"{path} is damaged or not a database ({error}): delete it and run "
        "`steadyrag ingest` again, or name another data directory"
    )


def _new_generation(db: sqlite3.Connection) -> None:
    """Marks that nothing known of the file's earlier content holds any longer."""
    db.execute("insert or replace into meta values('generation', ?)", (uuid.uuid4().hex,))

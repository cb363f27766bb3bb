"""Brings the index in memory up to the state of the database."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass

from steadyrag.adapters.local import store
from steadyrag.adapters.local.database import Database
from steadyrag.adapters.local.snapshot import Snapshot, advance
from steadyrag.domain.analysis import analyse
from steadyrag.domain.errors import ConfigError

type Version = tuple[int, int] | None
"""Which file it is and how often others have changed it; None while there is none."""

_PROBE = "IL-10 조절자의 TGFβ up-regulates 東京 タワー naïve studies"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an index is made with; texts and vectors made otherwise do not compare."""

    embedder: str
    dimension: int

    def entries(self) -> dict[str, str]:
        """What the database remembers. The analyser is known by what it makes of a text."""
        return {
            "embedder": self.embedder,
            "dimension": str(self.dimension),
            "analysis": " ".join(analyse(_PROBE)),
        }

    def claim(self, db: sqlite3.Connection, database: Database) -> None:
        """Marks an index that holds nothing yet; raises `ConfigError` for one that was made
        with something else."""
        if not self.check(_meta(db), database):
            db.executemany("insert or replace into meta values(?, ?)", self.entries().items())

    def check(self, meta: dict[str, str], database: Database) -> bool:
        """Whether the index is marked as this one's; raises `ConfigError` when as another's."""
        if "embedder" not in meta:
            return False
        advice = "run `steadyrag ingest --rebuild`, or name another data directory"
        if (meta["embedder"], meta.get("dimension")) != (self.embedder, str(self.dimension)):
            raise ConfigError(
                f"{database.path} was made with the embedder {meta['embedder']}, "
                f"and {self.embedder} is set: {advice}"
            )
        if meta.get("analysis") != self.entries()["analysis"]:
            raise ConfigError(
                f"{database.path} was made with another version of text analysis: {advice}"
            )
        return True


def load(database: Database, identity: Identity, held: Snapshot) -> Snapshot:
    """The database's present state, read from where `held` ends; `held` itself when no chunk
    has changed since."""
    with database.reading() as db:
        if db is None:
            return Snapshot()
        meta = _meta(db)
        identity.check(meta, database)
        generation, changes = meta["generation"], int(meta.get("changes", "0"))
        if held.generation != generation:
            held = Snapshot()
        elif held.changes == changes:
            return held
        return advance(
            held,
            generation=generation,
            changes=changes,
            rows=store.row_numbers(db),
            added=list(store.read(db, after=held.last_row)),
            terms=store.vocabulary(db, after=len(held.vocabulary) - 1),
        )


def count_change(db: sqlite3.Connection) -> None:
    """Tells readers that chunks have changed; the catalogue's own writes don't."""
    db.execute(
        """insert into meta values('changes', '1')
           on conflict(key) do update set value = cast(value as integer) + 1"""
    )


def _meta(db: sqlite3.Connection) -> dict[str, str]:
    return dict(db.execute("select key, value from meta"))


class Watch:
    """Notices that a database has changed, for a few microseconds a look.

    The one connection that stays open: `pragma data_version` counts what others committed,
    and the open file keeps its number from being given to a file that replaces it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._file = 0
        self._changes = 0

    def version(self) -> Version:
        """Raises `sqlite3.Error` when the file cannot be looked at. Does not wait for a lock:
        a file that is locked counts as unchanged."""
        with self._lock:
            try:
                file = os.stat(self._database.path).st_ino
            except FileNotFoundError:
                self._close()
                return None
            if self._db is None or file != self._file:
                self._close()
                self._db = self._database.connect("rw", busy_timeout_s=0)
                self._file = file
            try:
                (self._changes,) = self._db.execute("pragma data_version").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
            return file, self._changes

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

"""Vectors kept by content, so that no text is embedded twice."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal

from steadyrag.domain.errors import ConfigError
from steadyrag.domain.models import Embedding, Embeddings, Vector
from steadyrag.domain.ports import Embedder

type Kind = Literal["query", "passage"]

_TABLE = "create table if not exists vectors(key blob primary key, value blob) without rowid"


class CachedEmbedder:
    """ports.Embedder that asks `embedder` only for texts whose vectors `path` lacks.

    The key is SHA-256 of model, kind and text, joined by NUL; the value is float32 bytes. Any
    number of processes may share the file. A cache that is locked, full or read-only for the
    moment is a miss, never a failed request; a file that is no cache raises `ConfigError`.
    Cached texts cost no tokens.
    """

    def __init__(self, embedder: Embedder, path: Path, *, busy_timeout_s: float = 5.0) -> None:
        self._embedder = embedder
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vector-cache")
        self._opened: sqlite3.Connection | None = None

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def warm(self) -> None:
        """Opens the file; raises `ConfigError` when it is no vector cache."""
        await self._read([])

    async def embed_query(self, text: str) -> Embedding:
        key = self._key("query", text)
        held = await self._read([key])
        if key in held:
            return Embedding(held[key], 0)
        embedding = await self._embedder.embed_query(text)
        await self._write({key: embedding.vector})
        return embedding

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return await self._embed("query", texts, self._embedder.embed_queries)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self._embed("passage", texts, self._embedder.embed_passages)

    async def _embed(
        self,
        kind: Kind,
        texts: Sequence[str],
        embed: Callable[[Sequence[str]], Awaitable[Embeddings]],
    ) -> Embeddings:
        keys = [self._key(kind, text) for text in texts]
        vectors = await self._read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        tokens = 0
        if missing:
            made = await embed(list(missing.values()))
            fresh = dict(zip(missing, made.vectors, strict=True))
            await self._write(fresh)
            vectors |= fresh
            tokens = made.tokens
        return Embeddings([vectors[key] for key in keys], tokens)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._shut)
        await self._embedder.aclose()

    def _key(self, kind: Kind, text: str) -> bytes:
        model = self.name.partition("/")[0]
        content = f"{model}\0{kind}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(content).digest()

    async def _read(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        return await self._in_thread(lambda db: _select(db, keys, size=self.dimension * 4)) or {}

    async def _write(self, vectors: Mapping[bytes, Vector]) -> None:
        await self._in_thread(lambda db: _insert(db, vectors))

    async def _in_thread[R](self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._attempt, work)

    def _attempt[R](self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        """What `work` returns; None when something hinders the cache for the moment."""
        try:
            if self._opened is None:
                self._opened = _open(self._path, self._busy_timeout_s)
            return work(self._opened)
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError as error:
            raise _no_cache(self._path, str(error)) from error

    def _shut(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _select(db: sqlite3.Connection, keys: Sequence[bytes], *, size: int) -> dict[bytes, Vector]:
    marks = ",".join("?" * len(keys))
    rows = db.execute(f"select key, value from vectors where key in ({marks})", keys)  # noqa: S608
    return {key: array("f", value) for key, value in rows if len(value) == size}


def _insert(db: sqlite3.Connection, vectors: Mapping[bytes, Vector]) -> None:
    rows = [(key, vector.tobytes()) for key, vector in vectors.items()]
    with db:
        db.execute("begin immediate")
        db.executemany("insert or replace into vectors values(?, ?)", rows)


def _open(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.OperationalError) as error:
        raise ConfigError(f"cannot open the vector cache {path}: {error}") from error
    try:
        tables = {name for (name,) in db.execute("select name from sqlite_master")}
        if not tables:
            db.execute(_TABLE)
        columns = [row[1] for row in db.execute("pragma table_info(vectors)")]
        if columns != ["key", "value"]:
            raise _no_cache(path, "it holds other tables")
        with suppress(sqlite3.OperationalError):  # another process has it open the old way
            db.execute("pragma journal_mode = wal")
        # After a power cut the latest vectors may be missing, which costs making them again.
        db.execute("pragma synchronous = normal")
    except BaseException:
        db.close()
        raise
    return db


def _no_cache(path: Path, problem: str) -> ConfigError:
    return ConfigError(f"{path} is not a vector cache ({problem}): delete it, or name another file")

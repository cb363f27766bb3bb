"""The embedded default's index: exact vector search and BM25 over one SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steadyrag.adapters.local import store
from steadyrag.adapters.local.database import Database, corrupt
from steadyrag.adapters.local.evidence import Evidence, Floats
from steadyrag.adapters.local.loading import Identity, Version, Watch, count_change, load
from steadyrag.adapters.local.snapshot import Shelf, Snapshot
from steadyrag.domain.errors import ConfigError, Unavailable
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import EmbeddedChunk, Hit, Question, Vector
from steadyrag.domain.ports import IndexStatus

EMPTY = "nothing is indexed yet: run `steadyrag ingest PATH`"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A snapshot, the version of the file it was read at, and how many of this object's own
    writes it is sure to hold."""

    snapshot: Snapshot
    version: Version
    writes: int


class LocalIndex:
    """ports.Index and EvidenceSource on the file `path`, which any number of processes may
    read and write. `embedder` and `dimension` are what its vectors are made with.

    Searches run on a snapshot in memory. One that finds the file changed waits up to
    `fresh_wait_s` for the new state and otherwise answers from the old one; what was written
    through this object is always there. Sentence vectors stay on disk.
    """

    def __init__(
        self,
        path: Path,
        *,
        embedder: str,
        dimension: int,
        fresh_wait_s: float = 0.2,
        busy_timeout_s: float = 30.0,
    ) -> None:
        self._database = Database(path, busy_timeout_s=busy_timeout_s)
        self._identity = Identity(embedder, dimension)
        self._fresh_wait_s = fresh_wait_s
        self._watch = Watch(self._database)
        self._loaded: _Loaded | None = None
        self._load: Future[_Loaded] | None = None
        self._writes = 0
        # Loading and writing take long; a search must not queue behind either.
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="index-search")
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="index-load")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="index-write")

    @property
    def keeps_sentences(self) -> bool:
        return True

    async def warm(self) -> None:
        """Loads the index. Raises `ConfigError` for a file that is damaged, another
        program's, or made with another embedder."""
        try:
            await self._fresh()
        except (OSError, sqlite3.OperationalError) as error:
            raise ConfigError(f"cannot open the index {self._database.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise corrupt(self._database.path, error) from error

    async def vector_search(
        self, vector: Vector, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        def search(snapshot: Snapshot) -> list[Hit]:
            unit = store.unit(vector, self._identity.dimension)
            shelf = snapshot.shelves.get(namespace)
            return shelf.by_vector(unit, top_k, filter) if shelf else []

        return await self._ask(search)

    async def keyword_search(
        self, text: str, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        def search(snapshot: Snapshot) -> list[Hit]:
            shelf = snapshot.shelves.get(namespace)
            return shelf.by_keyword(snapshot.query(text), top_k, filter) if shelf else []

        return await self._ask(search)

    async def evidence(self, question: Question, hits: Sequence[Hit]) -> Evidence:
        """Scores of `hits` among the chunks of the question's namespace. A hit that is no
        longer there keeps the scores it came with."""
        return await self._ask(lambda snapshot: self._evidence(snapshot, question, hits))

    async def similarities(self, question: Question, hits: Sequence[Hit]) -> list[list[float]]:
        """Per hit, the cosine of the question with each sentence of its chunk, as
        `Evidence.sentences`; empty where there is none."""
        evidence = await self.evidence(question, hits)
        return [cosines.tolist() for cosines in evidence.sentences]

    async def upsert(self, namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
        """All or none. Raises `ConfigError` as `warm` does, and for vectors that do not fit."""

        def change() -> None:
            prepared = [store.prepare(chunk, self._identity.dimension) for chunk in chunks]
            with self._database.writing() as db:
                self._identity.claim(db, self._database)
                store.write(db, namespace, prepared)
                count_change(db)

        if chunks:
            await self._change(change)

    async def delete(self, namespace: str, chunk_ids: Sequence[str]) -> None:
        def change() -> None:
            with self._database.writing() as db:
                self._identity.claim(db, self._database)
                store.remove(db, namespace, chunk_ids)
                count_change(db)

        if chunk_ids:
            await self._change(change)

    async def erase(self) -> None:
        """Forgets every chunk, the catalogue in the same file, and what embedder it was made
        with: the first step of a rebuild."""
        await self._change(self._database.erase)

    async def status(self, namespace: str | None = None) -> IndexStatus:
        def count(snapshot: Snapshot) -> int:
            return sum(
                len(shelf.stored)
                for name, shelf in snapshot.shelves.items()
                if namespace in (None, name)
            )

        chunks = await self._ask(count)
        return IndexStatus(ready=True, chunks=chunks, detail="" if chunks else EMPTY)

    async def version(self) -> str:
        """Of the snapshot that a search beginning now would use, or an older one."""
        try:
            snapshot = await self._fresh()
        except (OSError, sqlite3.Error, ConfigError) as error:
            raise Unavailable("index", f"{self._database.path}: {error}") from error
        return f"{snapshot.generation}.{snapshot.changes}"

    async def aclose(self) -> None:
        for executor in (self._searching, self._loading, self._writing):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self._watch.close()

    def _evidence(self, snapshot: Snapshot, question: Question, hits: Sequence[Hit]) -> Evidence:
        shelf = snapshot.shelves.get(question.namespace) or Shelf([], 0)
        query = snapshot.query(question.text)
        found = {i: place for i, place in enumerate(shelf.places(hits)) if place is not None}
        at, places = list(found), list(found.values())
        keyword = np.array([hit.keyword or 0.0 for hit in hits], np.float32)
        keyword[at] = shelf.bm25(places, query)
        sentences: list[Floats] = [_NOTHING] * len(hits)
        dense: Floats | None = None
        if question.vector is not None:
            unit = store.unit(question.vector, self._identity.dimension)
            dense = np.array([hit.dense or 0.0 for hit in hits], np.float32)
            dense[at] = shelf.cosines(places, unit) if places else []
            rows = [shelf.stored[place].row for place in places]
            for i, vectors in zip(at, self._sentences(rows), strict=True):
                sentences[i] = store.cosine(vectors, unit)
        return Evidence(dense, keyword, shelf.ceiling(query), sentences)

    def _sentences(self, rows: Sequence[int]) -> list[Floats]:
        """(m, dimension) per row number; m is 0 for a chunk without any."""
        dimension = self._identity.dimension
        with self._database.reading() as db:
            held = store.sentence_vectors(db, rows, dimension) if db else {}
        return [held.get(row, np.zeros((0, dimension), np.float32)) for row in rows]

    async def _ask[R](self, work: Callable[[Snapshot], R]) -> R:
        """Runs `work` on a snapshot, in the searching thread."""
        try:
            snapshot = await self._fresh()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._searching, work, snapshot)
        except (OSError, sqlite3.Error, ConfigError) as error:
            raise Unavailable("index", f"{self._database.path}: {error}") from error

    async def _change(self, work: Callable[[], None]) -> None:
        def change() -> None:
            work()
            self._writes += 1

        try:
            await asyncio.get_running_loop().run_in_executor(self._writing, change)
        except sqlite3.OperationalError as error:
            raise Unavailable("index", f"{self._database.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise corrupt(self._database.path, error) from error

    async def _fresh(self) -> Snapshot:
        """The snapshot to search: of the file's present state, or an older one once
        `fresh_wait_s` is over."""
        give_up = time.monotonic() + self._fresh_wait_s
        while True:
            held = self._loaded
            if held is not None and held.version == self._watch.version():
                return held.snapshot
            if self._load is None or self._load.done():
                self._load = self._loading.submit(self._reload)
            old_will_do = held is not None and held.writes >= self._writes
            patience = max(0.0, give_up - time.monotonic()) if old_will_do else None
            load = asyncio.wrap_future(self._load)
            load.add_done_callback(lambda load: load.cancelled() or load.exception())
            # Not wait_for: the load goes on when one of those who wait for it gives up.
            await asyncio.wait({load}, timeout=patience)
            if load.done():
                load.result()
            elif held is not None:
                return held.snapshot

    def _reload(self) -> _Loaded:
        writes, version = self._writes, self._watch.version()
        held = self._loaded.snapshot if self._loaded else Snapshot()
        self._loaded = _Loaded(load(self._database, self._identity, held), version, writes)
        return self._loaded


_NOTHING = np.zeros(0, np.float32)

"""Processes that are killed while they write, and fresh ones that look at what is left.

One warm process forks the others, so that each takes milliseconds to start. It reads orders
from standard input, a line of JSON each, and says when the process it forked has ended. The
forked process says what it begins and what it has been told is done, each the moment it
happens, in lines so short that a kill cannot cut one in two.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import os
import random
import select
import sqlite3
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cache_rig import an_answer, source
from fakes import FakeEmbedder
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.local import store as rows
from steadyrag.adapters.local.database import Database
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.chunking import chunk_document
from steadyrag.domain.documents import FoundDocument
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Answer, Chunk, EmbeddedChunk, Query
from steadyrag.domain.passages import sentences_of
from steadyrag.domain.ports import DocumentRecord, Index, SharedStore
from steadyrag.forget import forget
from steadyrag.indexing import IngestParts
from steadyrag.ingest import ingest
from steadyrag.resilience.answer_cache import AnswerCache
from steadyrag.resilience.corpus import read_corpus
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.keys import corpus_key, document_digest, tombs_key
from steadyrag.resilience.request_state import RequestState, Tier
from steadyrag.resilience.shared_state import CacheLimits, SharedState
from steadyrag.settings import load
from steadyrag.wiring.ingest import build_ingest, files
from steadyrag.wiring.parts import index_path

QUESTIONS = 3
DIMENSION = 64
_TOKENS = 64
"""In the longest chunk."""
_PATIENT_S = 10.0
_LARGE = 90_000
"""Characters of an answer that goes out in many packets."""


def say(**what: Any) -> None:
    line = json.dumps(what).encode() + b"\n"
    assert len(line) <= select.PIPE_BUF
    os.write(1, line)


# --- the caches


def answer_of(namespace: str, question: int, version: int) -> Answer:
    """What is written; its text says what it is, and the rest follows from that."""
    name = f"{namespace}/{question}/{version}"
    chance = random.Random(name)  # noqa: S311 - the same in every process
    size = _LARGE if chance.random() < 0.2 else chance.randrange(20, 4000)
    text = f"{name} " + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=size))
    return an_answer(text, sources=[source(name, text[:200])])


def query_of(namespace: str, question: int) -> Query:
    return Query(f"What does question {question} ask?", namespace=namespace)


class Caches:
    """The caches of one environment, over the named stores or all."""

    def __init__(self, where: Mapping[str, Any], *only: str) -> None:
        patience = {"timeout_s": _PATIENT_S, "connect_timeout_s": _PATIENT_S}
        self.stores: dict[str, SharedStore] = {
            "valkey": ValkeyStore(**where["valkey"], **patience),
            "dynamodb": DynamoStore(**where["dynamodb"], **patience),
        }
        self.embedder = FakeEmbedder(dimension=DIMENSION)
        self.cache = AnswerCache(
            SharedState(
                tiers=[
                    Tier(
                        GuardedStore(store, timeout_s=_PATIENT_S, connect_s=_PATIENT_S),
                        vectors=name == "valkey",
                    )
                    for name, store in self.stores.items()
                    if name in (only or self.stores)
                ],
                embedder=self.embedder.name,
                dimension=DIMENSION,
                fingerprint="crashes",
                limits=CacheLimits(settle_s=0),
            )
        )
        self.changes = CorpusChanges(list(self.stores.values()), timeout_s=_PATIENT_S)


async def write_caches(*, where: Mapping[str, Any], namespace: str) -> None:
    """Writes for ever."""
    chance = random.Random(namespace)  # noqa: S311 - the same every time
    caches, versions, deletes = Caches(where), Counter[int](), 0
    await caches.cache.shared.open(query_of(namespace, 0))
    say(ready=True)
    while True:
        if chance.random() < 0.7:
            question = chance.randrange(QUESTIONS)
            versions[question] += 1
            await _keep(caches, namespace, question, versions[question])
        else:
            deletes += 1
            number = {"op": "delete", "number": deletes}
            say(begun=number)
            await caches.changes.changing(namespace, deleted=[f"{namespace}/d{deletes}"])
            say(done=number)
            number = {"op": "changed", "number": deletes}
            say(begun=number)
            await caches.changes.changed(namespace)
            say(done=number)


async def _keep(caches: Caches, namespace: str, question: int, version: int) -> None:
    made = answer_of(namespace, question, version)

    async def compute(state: RequestState) -> Answer:
        await state.embed(caches.embedder)
        return made

    what = {"op": "keep", "question": question, "version": version}
    say(begun=what)
    query = query_of(namespace, question)
    answer = await caches.cache.answer(query, compute, refresh=version > 1)
    assert answer.answer == made.answer
    say(done=what)


async def read_caches(*, where: Mapping[str, Any], namespaces: Sequence[str]) -> None:
    """Everything that is left, as environments find it that have only one of the stores."""
    for tier in ("valkey", "dynamodb"):
        for namespace in namespaces:
            # A new one each time: what it remembers must not hide what the store holds.
            caches = Caches(where, tier)
            store = caches.stores[tier]
            answers = [
                await _read_answer(caches, store, namespace, number, vector=tier == "valkey")
                for number in range(QUESTIONS)
            ]
            say(tier=tier, namespace=namespace, answers=answers)
            await _read_changes(store, tier, namespace)
            for opened in caches.stores.values():
                await opened.aclose()


async def _read_answer(
    caches: Caches, store: SharedStore, namespace: str, number: int, *, vector: bool
) -> dict[str, Any]:
    """The version held, 0 where there is none; `whole` is whether it is what was written."""
    query = query_of(namespace, number)
    state = await caches.cache.shared.open(query)
    held = state.held
    if held is None:
        raw, _ = await store.read([state.key])
        return {"version": 0, "whole": not raw, "vector": state.embedding is not None}
    name = (held.answer.answer or "").partition(" ")[0].split("/")
    version = int(name[2]) if len(name) == 3 and name[2].isdigit() else -1
    written = answer_of(namespace, number, version)
    whole = (held.answer.answer, held.answer.sources) == (written.answer, written.sources)
    if vector and state.embedding is not None:
        whole &= state.embedding.vector == (await caches.embedder.embed_query(query.text)).vector
    return {"version": version, "whole": whole, "vector": state.embedding is not None}


async def _read_changes(store: SharedStore, tier: str, namespace: str) -> None:
    _, maps = await store.read((), [corpus_key(namespace), tombs_key(namespace)])
    fields, tombs = (maps.get(key(namespace), {}) for key in (corpus_key, tombs_key))
    corpus = read_corpus(fields)
    say(
        tier=tier,
        namespace=namespace,
        stamp=corpus.stamp if corpus else None,
        counted=corpus.version if corpus else int(fields.get("version", b"0")),
        tombs=sorted(tombs),
        unreadable=sum(not _is_time(value) for value in tombs.values()),
    )


def _is_time(text: bytes) -> bool:
    whole, point, part = text.partition(b".")
    return whole.isdigit() and point == b"." and part.isdigit() and len(part) == 3


def digests_of(namespace: str, count: int) -> list[str]:
    """What the tombstones of a namespace's first deletes are called."""
    return [document_digest(f"{namespace}/d{number}") for number in range(1, count + 1)]


# --- the index


class Reported:
    """A port that says what it is told to write, before and after."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        write = getattr(self._part, name)
        if name not in ("put", "remove", "upsert", "delete"):
            return write

        async def told(namespace: str, what: Any) -> None:
            op = {"op": name, **_ids(what)}
            say(begun=op)
            await write(namespace, what)
            say(done=op)

        return told


def _ids(what: Any) -> dict[str, Any]:
    if isinstance(what, DocumentRecord):
        return {"document": what.document_id, "record": _of_record(what)}
    if isinstance(what, str):
        return {"document": what, "record": None}
    return {"chunks": [one if isinstance(one, str) else one.chunk.id for one in what]}


def _of_record(record: DocumentRecord) -> str:
    return _digest(record.document_id, record.origin, record.fingerprint, *record.chunk_ids)


def _parts(directory: str) -> IngestParts:
    settings = load({"STEADYRAG_DATA_DIR": directory, "STEADYRAG_CHUNK_TOKENS": str(_TOKENS)})
    parts = build_ingest(settings, embedder=FakeEmbedder(dimension=DIMENSION))
    return replace(parts, index=Reported(parts.index), catalogue=Reported(parts.catalogue))


async def write_index(*, directory: str, folder: str, gone: Sequence[str]) -> None:
    """Forgets `gone`, then ingests `folder`."""
    parts = _parts(directory)
    say(ready=True)
    if gone:
        await forget(gone, parts)
        say(forgotten=gone)
    done = await ingest(parts.files([Path(folder)], None), parts)
    say(complete=not (done.failed or done.stopped))


async def read_index(*, directory: str, folder: str, again: bool) -> None:
    """Every chunk and record in the file, after the index itself has opened it and found one;
    every chunk that an index of `folder` must hold, worked out without one; and with `again`,
    what ingesting it once more comes to."""
    parts = _parts(directory)
    await parts.index.warm()
    path = index_path(load({"STEADYRAG_DATA_DIR": directory}))
    chunks, first = 0, None
    with Database(path).reading() as db:
        for chunk, look in _stored(db) if db else ():
            chunks, first = chunks + 1, first or chunk
            say(chunk=chunk.id, look=look)
    for document_id, record in (await parts.catalogue.records("default")).items():
        say(document=document_id, record=_of_record(record))
    async for chunk, look in _expected(folder):
        say(expected=chunk.id, look=look)
    status = await parts.index.status("default")
    found = first is None or await _finds(parts.index, first)
    settled = None
    if again:
        done = await ingest(parts.files([Path(folder)], None), parts)
        changes = done.chunks_embedded + done.chunks_deleted + len(done.failed)
        settled = changes == 0 and done.stopped is None
    say(sound=_is_sound(path) and status.chunks == chunks and found, settled=settled)


async def _finds(index: Index, chunk: Chunk) -> bool:
    hits = await index.keyword_search(
        chunk.searchable, top_k=50, namespace="default", filter=Filter()
    )
    return any(hit.chunk.id == chunk.id for hit in hits)


async def _listed(folder: str) -> list[str]:
    return [chunk.id async for chunk, _ in _expected(folder)]


async def _expected(folder: str) -> AsyncIterator[tuple[Chunk, str]]:
    embedder = FakeEmbedder(dimension=DIMENSION)
    for document in files([Path(folder)], None):
        assert isinstance(document, FoundDocument)
        for chunk in chunk_document(document.parse(), embedder.count_tokens, max_tokens=_TOKENS):
            made = [
                (await embedder.embed_query(text)).vector
                for text in (chunk.searchable, *sentences_of(chunk))
            ]
            ready = rows.prepare(EmbeddedChunk(chunk, made[0], tuple(made[1:])), DIMENSION)
            sentences = ready.sentences.astype(rows.SENTENCE_DTYPE).tobytes()
            yield chunk, _look(chunk, ready.vector, sentences, ready.terms)


def _stored(db: sqlite3.Connection) -> Iterable[tuple[Chunk, str]]:
    terms = dict(db.execute("select id, term from terms"))
    sentences = dict(db.execute("select row, vectors from sentences"))
    for held in rows.read(db, after=0):
        pairs = zip(held.terms.tolist(), held.counts.tolist(), strict=True)
        counts = {terms[term]: count for term, count in pairs}
        vectors = sentences.pop(held.row, b"")
        yield held.chunk, _look(held.chunk, held.vector, vectors, counts)
    assert not sentences, "there are sentences of no chunk"


def _look(chunk: Chunk, vector: rows.Floats, sentences: bytes, terms: Mapping[str, int]) -> str:
    return _digest(
        *(chunk.id, chunk.document_id, chunk.title, chunk.context, chunk.text),
        json.dumps([chunk.tokens, chunk.url, dict(chunk.metadata), sorted(terms.items())]),
        np.asarray(vector, "<f4").tobytes().hex(),
        sentences.hex(),
    )


def _is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return [word for (word,) in db.execute("pragma integrity_check")] == ["ok"]


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


ORDERS = {one.__name__: one for one in (write_caches, read_caches, write_index, read_index)}


def _warm() -> None:
    """Imports what the forked processes would; starts no thread, which a fork would lose."""
    for name in ("index", "catalogue", "ingest_lock"):
        import_module(f"steadyrag.adapters.local.{name}")
    for name in ("boto3", "redis.asyncio"):
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "d.md").write_text("# Title\n\nA text to chunk.\n", encoding="utf-8")
        asyncio.run(_listed(folder))


def main() -> None:
    logging.disable(logging.WARNING)
    _warm()
    gc.freeze()
    say(ready=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _obey(**order)
        say(pid=pid)
        _, status = os.waitpid(pid, 0)
        say(ended=os.waitstatus_to_exitcode(status))


def _obey(do: str, **order: Any) -> None:
    """In the forked process; never returns."""
    code = 1
    try:
        asyncio.run(ORDERS[do](**order))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

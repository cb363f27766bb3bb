"""Chunks as rows: how they are written to the database and read back."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steadyrag.domain.analysis import analyse
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.models import Chunk, EmbeddedChunk, Vector

type Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
type Ints = np.ndarray[tuple[int, ...], np.dtype[np.integer]]

SENTENCE_DTYPE = np.dtype("<f2")
"""Half precision: half the bytes, and cosines stay within 0.0001."""
_VARIABLES = 500
"""Values bound in one statement."""


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk with all that needs no database worked out. Vectors have length 1."""

    chunk: Chunk
    terms: Mapping[str, int]
    vector: Floats
    sentences: Floats


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it was read. `terms` are ids, `counts` how often each occurs."""

    row: int
    namespace: str
    chunk: Chunk
    terms: Ints
    counts: Ints
    vector: Floats


def prepare(embedded: EmbeddedChunk, dimension: int) -> PreparedChunk:
    """Analyses and normalises; raises `ConfigError` for vectors that do not fit."""
    chunk = embedded.chunk
    vectors = [embedded.vector, *embedded.sentences]
    if any(len(vector) != dimension for vector in vectors):
        found = sorted({len(vector) for vector in vectors})
        raise ConfigError(f"chunk {chunk.id} has vectors of {found} dimensions, not {dimension}")
    units = normalised(np.array(vectors, np.float32))
    return PreparedChunk(chunk, Counter(analyse(chunk.searchable)), units[0], units[1:])


def normalised(vectors: Floats) -> Floats:
    """The vectors at length 1, along the last axis; a zero vector stays zero. What is not
    finite becomes zero: it would rank first everywhere."""
    finite = np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(finite, axis=-1, keepdims=True)
    units: Floats = (finite / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return units


def write(db: sqlite3.Connection, namespace: str, chunks: Sequence[PreparedChunk]) -> None:
    """Adds or replaces by chunk id; the last of equal ids wins."""
    latest = {prepared.chunk.id: prepared for prepared in chunks}
    remove(db, namespace, list(latest))
    ids = _term_ids(db, {term for prepared in latest.values() for term in prepared.terms})
    for prepared in latest.values():
        chunk = prepared.chunk
        added = db.execute(
            """insert into chunks(namespace, id, document_id, title, context, tokens, url,
                   metadata, text, terms, counts, vector)
               values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                namespace,
                chunk.id,
                chunk.document_id,
                chunk.title,
                chunk.context,
                chunk.tokens,
                chunk.url,
                json.dumps(dict(chunk.metadata), ensure_ascii=False),
                chunk.text,
                np.array([ids[term] for term in prepared.terms], "<i4").tobytes(),
                np.array(list(prepared.terms.values()), "<i4").tobytes(),
                prepared.vector.astype("<f4").tobytes(),
            ),
        )
        if len(prepared.sentences):
            vectors = prepared.sentences.astype(SENTENCE_DTYPE).tobytes()
            db.execute("insert into sentences values(?, ?)", (added.lastrowid, vectors))


def remove(db: sqlite3.Connection, namespace: str, chunk_ids: Sequence[str]) -> None:
    """Removes chunks with their sentences; ids that are not there are ignored."""
    for some in _portions(chunk_ids):
        of_these = f"where namespace = ? and id in ({_marks(some)})"
        db.execute(
            f"delete from sentences where row in (select row from chunks {of_these})",  # noqa: S608
            (namespace, *some),
        )
        db.execute(f"delete from chunks {of_these}", (namespace, *some))  # noqa: S608


def read(db: sqlite3.Connection, *, after: int) -> Iterator[StoredChunk]:
    """The chunks whose row number is above `after`, in the order they were written."""
    rows = db.execute(
        """select row, namespace, id, document_id, title, context, text, tokens, url, metadata,
               terms, counts, vector from chunks where row > ? order by row""",
        (after,),
    )
    for row, namespace, *fields, metadata, terms, counts, vector in rows:
        id_, document_id, title, context, text, tokens, url = fields
        yield StoredChunk(
            row,
            namespace,
            Chunk(
                id=id_,
                document_id=document_id,
                title=title,
                context=context,
                text=text,
                tokens=tokens,
                url=url,
                metadata=json.loads(metadata) if metadata != "{}" else {},
            ),
            np.frombuffer(terms, "<i4"),
            np.frombuffer(counts, "<i4"),
            np.frombuffer(vector, "<f4"),
        )


def row_numbers(db: sqlite3.Connection) -> set[int]:
    return {row for (row,) in db.execute("select row from chunks")}


def vocabulary(db: sqlite3.Connection, *, after: int) -> dict[str, int]:
    """Terms and their ids, those above `after`. Ids count up from 0 without gaps."""
    return dict(db.execute("select term, id from terms where id > ?", (after,)))


def sentence_vectors(
    db: sqlite3.Connection, rows: Sequence[int], dimension: int
) -> dict[int, Floats]:
    """(m, dimension) per row number, for those that have any."""
    found: dict[int, Floats] = {}
    for some in _portions(rows):
        query = f"select row, vectors from sentences where row in ({_marks(some)})"  # noqa: S608
        for row, vectors in db.execute(query, some):
            halves = np.frombuffer(vectors, SENTENCE_DTYPE)
            found[row] = halves.astype(np.float32).reshape(-1, dimension)
    return found


def unit(vector: Vector, dimension: int) -> Floats:
    """A query's vector at length 1; raises `ConfigError` when it is of another dimension."""
    if len(vector) != dimension:
        raise ConfigError(f"the query has {len(vector)} dimensions, the index {dimension}")
    return normalised(np.array(vector, np.float32))


def cosine(units: Floats, unit: Floats) -> Floats:
    """(n,) cosines of (n, dimension) with (dimension,), all of length 1.

    Row by row in one thread: BLAS would share so small a product among threads that wait for
    each other, 80 times slower as soon as another process wants the cores.
    """
    products: Floats = np.vecdot(units, unit)
    return products


def _term_ids(db: sqlite3.Connection, terms: set[str]) -> dict[str, int]:
    """Ids of `terms`, those that are new at the end of the vocabulary."""
    known: dict[str, int] = {}
    for some in _portions(sorted(terms)):
        query = f"select term, id from terms where term in ({_marks(some)})"  # noqa: S608
        known.update(db.execute(query, some))
    (following,) = db.execute("select coalesce(max(id) + 1, 0) from terms").fetchone()
    new = {term: following + i for i, term in enumerate(sorted(terms - known.keys()))}
    db.executemany("insert into terms(term, id) values(?, ?)", new.items())
    return known | new


def _portions[T](values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _VARIABLES):
        yield values[start : start + _VARIABLES]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))

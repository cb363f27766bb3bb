"""What ingest writes down of a document, so that it can be killed at any moment.

Before the index changes, the record says which chunks are in it for certain (`held`) and
which may be; when all is done, it says what the document looked like. A run that finds the
first kind of record left behind keeps what is certain and settles the rest.

    fingerprint of a finished record        <vectors>.<shape>
    fingerprint of an unfinished one        <vectors>+<held>     chunk_ids[:held] are certain

`vectors` covers what makes vectors (the embedder), `shape` what makes chunks (the bytes, the
chunker): chunks of the same id are the same text, but only vectors of one embedder compare.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from steadyrag.domain.chunking import CHUNKER
from steadyrag.domain.documents import FoundDocument
from steadyrag.domain.errors import SteadyragError
from steadyrag.domain.models import Chunk
from steadyrag.domain.ports import DocumentRecord


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything besides a document's bytes that decides what is indexed of it."""

    embedder: str
    sentences: bool
    max_tokens: int

    @property
    def vectors(self) -> str:
        return _hash(self.embedder, str(self.sentences))

    def name(self, parser: str) -> str:
        """Stands for all of it, with the parser that read the document."""
        return _hash(self.vectors, CHUNKER, str(self.max_tokens), parser)

    def fingerprint(self, document: FoundDocument) -> str:
        return f"{self.vectors}.{_hash(CHUNKER, str(self.max_tokens), document.digest)}"

    def certain(self, record: DocumentRecord | None) -> frozenset[str]:
        """Ids of the chunks that the index holds with vectors of this recipe."""
        if record is None or not record.fingerprint.startswith(self.vectors):
            return frozenset()
        state = record.fingerprint[len(self.vectors) :]
        held = int(state[1:]) if state.startswith("+") else len(record.chunk_ids)
        return frozenset(record.chunk_ids[:held])


@dataclass(slots=True)
class Job:
    """One document on its way into the index."""

    document_id: str
    origin: str
    fingerprint: str
    vectors: str
    chunks: Sequence[Chunk]
    kept: frozenset[str]
    stale: tuple[str, ...]
    is_new: bool
    begun: bool = False
    failure: SteadyragError | None = None
    upserted: set[str] = field(default_factory=set)

    @property
    def missing(self) -> list[Chunk]:
        """Chunks to embed."""
        return [chunk for chunk in self.chunks if chunk.id not in self.kept]

    @property
    def complete(self) -> bool:
        return len(self.kept) + len(self.upserted) == len(self.chunks)

    def unfinished(self) -> DocumentRecord:
        held = [c.id for c in self.chunks if c.id in self.kept or c.id in self.upserted]
        rest = [c.id for c in self.chunks if c.id not in self.kept and c.id not in self.upserted]
        return _unfinished(self.document_id, self.origin, self.vectors, held, [*rest, *self.stale])

    def finished(self) -> DocumentRecord:
        ids = tuple(chunk.id for chunk in self.chunks)
        return DocumentRecord(self.document_id, self.origin, self.fingerprint, ids)


def job_for(
    document: FoundDocument,
    chunks: Sequence[Chunk],
    record: DocumentRecord | None,
    recipe: Recipe,
    *,
    rebuild: bool,
) -> Job:
    """The difference between what the index holds of a document and what it should."""
    ids = {chunk.id for chunk in chunks}
    certain = frozenset[str]() if rebuild else recipe.certain(record)
    return Job(
        document_id=document.document_id,
        origin=document.origin,
        fingerprint=recipe.fingerprint(document),
        vectors=recipe.vectors,
        chunks=chunks,
        kept=certain & ids,
        stale=tuple(i for i in record.chunk_ids if i not in ids) if record else (),
        is_new=record is None,
    )


def _unfinished(
    document_id: str, origin: str, vectors: str, held: Sequence[str], rest: Sequence[str]
) -> DocumentRecord:
    return DocumentRecord(document_id, origin, f"{vectors}+{len(held)}", (*held, *rest))


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()

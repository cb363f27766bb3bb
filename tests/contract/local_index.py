"""Builders for tests of the local index."""

from array import array
from collections.abc import Sequence
from pathlib import Path

from fakes import FakeEmbedder
from steadyrag.adapters.local.index import LocalIndex
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Chunk, EmbeddedChunk, Metadata, Vector
from steadyrag.domain.passages import sentences_of

DIMENSION = 64
EVERYTHING = Filter()

_EMBEDDER = FakeEmbedder(dimension=DIMENSION)


def an_index(path: Path, *, embedder: str = "fake/64", fresh_wait_s: float = 5.0) -> LocalIndex:
    return LocalIndex(
        path,
        embedder=embedder,
        dimension=DIMENSION,
        fresh_wait_s=fresh_wait_s,
        busy_timeout_s=20.0,
    )


def vector_of(text: str) -> Vector:
    return _EMBEDDER._vector(text)


def a_chunk(
    text: str,
    *,
    id: str | None = None,
    context: str = "",
    metadata: Metadata | None = None,
    url: str | None = None,
) -> EmbeddedChunk:
    chunk = Chunk(
        id=id or text.encode("punycode").decode(),
        document_id=f"doc of {id or text}",
        title=context,
        context=context,
        text=text,
        tokens=len(text.split()),
        url=url,
        metadata=metadata or {},
    )
    sentences = [vector_of(sentence) for sentence in sentences_of(chunk)]
    return EmbeddedChunk(chunk, vector_of(chunk.searchable), sentences)


def axis(*values: float) -> Vector:
    return array("f", [*values, *[0.0] * (DIMENSION - len(values))])


async def texts(
    index: LocalIndex,
    query: str,
    *,
    by: str = "keyword",
    top_k: int = 10,
    namespace: str = "default",
    filter: Filter = EVERYTHING,
) -> Sequence[str]:
    """The texts that a search finds, best first."""
    if by == "keyword":
        hits = await index.keyword_search(query, top_k=top_k, namespace=namespace, filter=filter)
    else:
        hits = await index.vector_search(
            vector_of(query), top_k=top_k, namespace=namespace, filter=filter
        )
    return [hit.chunk.text for hit in hits]

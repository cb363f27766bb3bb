"""Chunks as Pinecone documents, and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steadyrag.adapters.pinecone_filter import PREFIX
from steadyrag.adapters.pinecone_schema import TERMS, VECTOR
from steadyrag.domain.analysis import analyse
from steadyrag.domain.models import Chunk, EmbeddedChunk
from steadyrag.domain.text import mended

SHOWN = ("document_id", "title", "context", "text", "tokens", "url", "metadata")
"""The fields a hit is made of. `*` would bring every vector along."""

LARGEST_REQUEST_BYTES = 1_600_000
"""Under Pinecone's 2 MB by what the estimate below can be wrong."""
MOST_DOCUMENTS = 500
_NUMBER_BYTES = 23
"""A float32 written out as JSON does it, with its comma."""

type Document = dict[str, Any]


def to_document(embedded: EmbeddedChunk) -> Document:
    """Metadata is stored twice: each value in a field of its own, for filters, and all of it
    as JSON, because numbers come back as floats and fields only by name."""
    chunk = embedded.chunk
    document: Document = {
        "_id": chunk.id,
        VECTOR: embedded.vector.tolist(),
        "document_id": chunk.document_id,
        "title": chunk.title,
        "context": chunk.context,
        "text": chunk.text,
        "tokens": chunk.tokens,
    }
    if terms := analyse(chunk.searchable):
        document[TERMS] = " ".join(terms)
    if chunk.url is not None:
        document["url"] = chunk.url
    if chunk.metadata:
        document["metadata"] = json.dumps(dict(chunk.metadata), ensure_ascii=False)
        document.update({f"{PREFIX}{key}": value for key, value in chunk.metadata.items()})
    return document


def to_chunk(document: Mapping[str, Any]) -> Chunk:
    """Raises `LookupError`, `TypeError` or `ValueError` for what `to_document` did not make."""
    return Chunk(
        id=document["_id"],
        document_id=document["document_id"],
        title=mended(document["title"]),
        context=mended(document.get("context", "")),
        text=mended(document["text"]),
        tokens=int(document["tokens"]),
        url=mended(url) if (url := document.get("url")) else None,
        metadata=json.loads(document.get("metadata", "{}")),
    )


def batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Consecutive documents that fit one request together."""
    batch: list[Document] = []
    filled = 0
    for document in documents:
        size = _size_bytes(document)
        if batch and (filled + size > LARGEST_REQUEST_BYTES or len(batch) == MOST_DOCUMENTS):
            yield batch
            batch, filled = [], 0
        batch.append(document)
        filled += size
    if batch:
        yield batch


def _size_bytes(document: Document) -> int:
    texts = [value for value in document.values() if isinstance(value, str)]
    return len(document[VECTOR]) * _NUMBER_BYTES + sum(len(t.encode()) + 64 for t in texts)

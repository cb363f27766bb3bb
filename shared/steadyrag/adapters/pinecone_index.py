"""Chunks in a Pinecone document index: a dense field and a full-text field."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steadyrag.adapters.pinecone_client import PineconeClient, open_index
from steadyrag.adapters.pinecone_documents import SHOWN, batches, to_chunk, to_document
from steadyrag.adapters.pinecone_filter import to_pinecone
from steadyrag.adapters.pinecone_schema import TERMS, VECTOR
from steadyrag.adapters.vendor_http import ApiKey
from steadyrag.domain.analysis import analyse
from steadyrag.domain.errors import DependencyError, Refused, Rejected, Throttled, Unavailable
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Chunk, EmbeddedChunk, Hit, Vector
from steadyrag.domain.ports import IndexStatus

if TYPE_CHECKING:
    from pinecone import DenseVectorQuery, TextQuery
    from pinecone.async_client.async_index import AsyncIndex
    from pinecone.models.vectors.responses import DescribeIndexStatsResponse

_DEPENDENCY = "index"
_MAX_IDS = 1000
_MAX_QUERY_TERMS = 1024
_WRITES_AT_ONCE = 4


class PineconeIndex:
    """An `Index`. What is written or deleted shows up in searches seconds later.

    The full-text field holds terms that our analyser made, because Pinecone has none for
    Korean. A text query is taken literally, so no term can act as an operator.
    """

    def __init__(
        self,
        *,
        api_key: ApiKey,
        host: str,
        dimension: int,
        timeout_s: float = 10.0,
        write_timeout_s: float = 60.0,
        max_connections: int = 100,
    ) -> None:
        self._dimension = dimension
        self._write_timeout_s = write_timeout_s
        self._client: PineconeClient[AsyncIndex] = PineconeClient(
            dependency=_DEPENDENCY,
            api_key=api_key,
            timeout_s=timeout_s,
            make=lambda: open_index(
                api_key=api_key,
                host=host,
                timeout_s=max(timeout_s, write_timeout_s),
                max_connections=max_connections,
            ),
        )

    @property
    def keeps_sentences(self) -> bool:
        return False

    async def vector_search(
        self, vector: Vector, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        from pinecone import DenseVectorQuery

        clause = DenseVectorQuery(field=VECTOR, values=vector.tolist())
        found = await self._search(clause, top_k, namespace, filter)
        return [Hit(chunk, score, dense=score) for chunk, score in found]

    async def keyword_search(
        self, text: str, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        terms = analyse(text)[:_MAX_QUERY_TERMS]
        if not terms:
            return []

        from pinecone import TextQuery

        clause = TextQuery(query=" ".join(terms), fields=[TERMS])
        found = await self._search(clause, top_k, namespace, filter)
        return [Hit(chunk, score, keyword=score) for chunk, score in found]

    async def _search(
        self,
        clause: DenseVectorQuery | TextQuery,
        top_k: int,
        namespace: str,
        wanted: Filter,
    ) -> list[tuple[Chunk, float]]:
        async def ask(index: AsyncIndex) -> list[tuple[Chunk, float]]:
            from pinecone.errors import NotFoundError

            try:
                answer = await index.documents.search(
                    namespace=namespace,
                    score_by=[clause],
                    top_k=top_k,
                    include_fields=SHOWN,
                    filter=to_pinecone(wanted),
                )
            except NotFoundError:
                if await _holds(index, namespace):
                    raise
                return []
            return [
                (to_chunk(match.to_dict()), float(match.to_dict()["_score"]))
                for match in answer.matches
            ]

        return await self._client.call(ask)

    async def upsert(self, namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
        """Sends batches of at most 2 MB, four at a time. A batch that fails does not stop the
        others; what is raised in the end says how many chunks did not get in."""
        for embedded in chunks:
            if len(embedded.vector) != self._dimension:
                raise ValueError(
                    f"{embedded.chunk.id}: {len(embedded.vector)} dimensions, not {self._dimension}"
                )
        documents = list({e.chunk.id: to_document(e) for e in chunks}.values())
        slots = asyncio.Semaphore(_WRITES_AT_ONCE)

        async def write(batch: list[dict[str, Any]]) -> tuple[int, DependencyError | None]:
            async def ask(index: AsyncIndex) -> int:
                answer = await index.documents.upsert(namespace=namespace, documents=batch)
                return answer.upserted_count

            async with slots:
                try:
                    stored = await self._client.call(
                        ask, timeout_s=self._write_timeout_s, sends_content=True
                    )
                except DependencyError as error:
                    return 0, error
            return stored, None

        results = await asyncio.gather(*map(write, batches(documents)))
        stored = sum(count for count, _ in results)
        if stored < len(documents):
            raise _incomplete(stored, len(documents), [error for _, error in results if error])

    async def delete(self, namespace: str, chunk_ids: Sequence[str]) -> None:
        async def ask(index: AsyncIndex) -> None:
            from pinecone.errors import NotFoundError

            for start in range(0, len(chunk_ids), _MAX_IDS):
                ids = chunk_ids[start : start + _MAX_IDS]
                try:
                    await index.documents.delete(namespace=namespace, ids=ids)
                except NotFoundError:
                    if await _holds(index, namespace):
                        raise
                    return

        if chunk_ids:
            await self._client.call(ask, timeout_s=self._write_timeout_s)

    async def status(self, namespace: str | None = None) -> IndexStatus:
        async def ask(index: AsyncIndex) -> DescribeIndexStatsResponse:
            stats = await index.describe_index_stats()
            if stats.dimension is None:
                raise Unavailable(_DEPENDENCY, "gave statistics without a dimension")
            return stats

        stats = await self._client.call(ask)
        if stats.dimension != self._dimension:
            detail = f"holds vectors of {stats.dimension} dimensions, not {self._dimension}"
            return IndexStatus(ready=False, chunks=stats.total_vector_count, detail=detail)
        if namespace is None:
            return IndexStatus(ready=True, chunks=stats.total_vector_count)
        space = stats.namespaces.get(namespace)
        return IndexStatus(ready=True, chunks=space.vector_count if space else 0)

    async def aclose(self) -> None:
        await self._client.aclose()


async def _holds(index: AsyncIndex, namespace: str) -> bool:
    """Whether the namespace is there: a 404 says the same of a namespace and of an index."""
    return namespace in (await index.describe_index_stats()).namespaces


def _incomplete(stored: int, asked: int, errors: Sequence[DependencyError]) -> DependencyError:
    """The gravest of what went wrong, so that nobody retries what cannot succeed."""
    problem = f"stored {stored} of {asked} chunks"
    for kind in (Refused, Rejected, Unavailable, Throttled):
        if met := [error for error in errors if type(error) is kind]:
            waits = [error.retry_after_s for error in errors if error.retry_after_s is not None]
            why = f"{problem}; {met[0].problem}"
            return kind(_DEPENDENCY, why, retry_after_s=max(waits, default=None))
    return Unavailable(_DEPENDENCY, problem)

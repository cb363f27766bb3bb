"""Embeddings from OpenAI."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steadyrag.adapters.openai_client import OpenAIClient
from steadyrag.adapters.vendor_http import ApiKey
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import Embedding, Embeddings, Vector

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_DEPENDENCY = "embedding"
_FIXED_LENGTH = frozenset({"text-embedding-ada-002"})
"""Models that do not take `dimensions`."""


class OpenAIEmbedder:
    """An `Embedder`. Vectors come as base64: parsing them from JSON takes three times the
    processor time of the whole call."""

    def __init__(
        self,
        *,
        api_key: ApiKey,
        model: str = "text-embedding-3-small",
        dimension: int = 1536,
        base_url: str | None = None,
        timeout_s: float = 10.0,
        passages_timeout_s: float = 60.0,
        max_connections: int = 100,
    ) -> None:
        self._model = model
        self._dimension = dimension
        self._passages_timeout_s = passages_timeout_s
        self._client = OpenAIClient(
            dependency=_DEPENDENCY,
            touch=lambda client: client.embeddings,
            api_key=api_key,
            base_url=base_url,
            timeout_s=timeout_s,
            max_connections=max_connections,
        )

    @property
    def name(self) -> str:
        return f"{self._model}/{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    async def embed_query(self, text: str) -> Embedding:
        found = await self._embed([text])
        return Embedding(found.vectors[0], found.tokens)

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        return await self._embed(texts)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self._embed(texts, timeout_s=self._passages_timeout_s)

    async def _embed(self, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        if not 0 < len(texts) <= 100:
            raise ValueError(f"1 to 100 texts a call, not {len(texts)}")

        async def ask(client: AsyncOpenAI) -> Embeddings:
            from openai import omit

            dimensions = omit if self._model in _FIXED_LENGTH else self._dimension
            answer = await client.embeddings.create(
                model=self._model,
                input=list(texts),
                dimensions=dimensions,
                encoding_format="base64",
            )
            by_place = {item.index: _decoded(item.embedding) for item in answer.data}
            if len(answer.data) != len(texts) or by_place.keys() != set(range(len(texts))):
                raise Unavailable(
                    _DEPENDENCY, f"gave {len(answer.data)} vectors for {len(texts)} texts"
                )
            vectors = [by_place[place] for place in range(len(texts))]
            for vector in vectors:
                if len(vector) != self._dimension:
                    raise Unavailable(
                        _DEPENDENCY,
                        f"gave a vector of {len(vector)} dimensions, not {self._dimension}",
                    )
            return Embeddings(vectors, answer.usage.total_tokens)

        return await self._client.call(ask, timeout_s=timeout_s)

    async def aclose(self) -> None:
        await self._client.aclose()


def _decoded(encoded: object) -> Vector:
    """Little-endian float32 in base64, as the API sends it."""
    if not isinstance(encoded, str):
        raise TypeError("not base64")
    try:
        vector = array("f", base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if sys.byteorder == "big":
        vector.byteswap()
    return vector

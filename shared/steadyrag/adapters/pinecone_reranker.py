"""Pinecone's hosted rerankers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from steadyrag.adapters.pinecone_client import PineconeClient, open_account
from steadyrag.adapters.vendor_http import ApiKey
from steadyrag.domain.errors import Refused, Unavailable
from steadyrag.domain.models import Hit, Question, Ranking

if TYPE_CHECKING:
    from pinecone import AsyncPinecone

_DEPENDENCY = "reranker"
_MOST_DOCUMENTS = 100
_LONGEST_TEXT = 8_000
"""Characters. More than the 1,024 tokens that the model reads of a question and a passage;
the exact cut is the vendor's, who has the tokeniser."""


class PineconeReranker:
    """A `Reranker`. Scores are the model's, in [0, 1] but no probabilities, unless
    `calibrate`, given a question's from the best down, turns them into such."""

    def __init__(
        self,
        *,
        api_key: ApiKey,
        model: str = "bge-reranker-v2-m3",
        controller_host: str | None = None,
        timeout_s: float = 10.0,
        max_connections: int = 100,
        calibrate: Callable[[Sequence[float]], Sequence[float]] | None = None,
    ) -> None:
        self._model = model
        self._calibrate = calibrate
        self._client: PineconeClient[AsyncPinecone] = PineconeClient(
            dependency=_DEPENDENCY,
            api_key=api_key,
            timeout_s=timeout_s,
            make=lambda: open_account(
                api_key=api_key,
                controller_host=controller_host,
                timeout_s=timeout_s,
                max_connections=max_connections,
            ),
        )

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        best = await self._best(question, hits, top_k)
        if calibrate := self._calibrate:
            scores = calibrate([hit.score for hit in best])
            best = [replace(hit, score=score) for hit, score in zip(best, scores, strict=True)]
        return Ranking(tuple(best), calibrated=calibrate is not None)

    async def rank_uncalibrated(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """All hits, best first, with the model's own scores: what a calibration is fitted on."""
        return await self._best(question, hits, len(hits))

    async def _best(self, question: Question, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """More hits than one call takes are asked for in several at once: a score depends on
        nothing but the question and the passage."""
        parts = [hits[i : i + _MOST_DOCUMENTS] for i in range(0, len(hits), _MOST_DOCUMENTS)]
        scored = await asyncio.gather(*(self._scored(question, part, top_k) for part in parts))
        ranked = sorted((hit for part in scored for hit in part), key=lambda hit: -hit.score)
        return ranked[:top_k]

    async def ping(self) -> None:
        """Looks the model up: the same key and address as a rerank, and no charge for one.
        What only a rerank meets, such as a used-up quota, shows in searches alone. Raises
        `Refused` for a model that Pinecone doesn't have, or not for reranking."""

        async def ask(account: AsyncPinecone) -> None:
            described = await account.inference.get_model(model=self._model)
            if described.type != "rerank":
                problem = "has no reranker by this name; set STEADYRAG_RERANK_MODEL to one it has"
                raise Refused(_DEPENDENCY, problem)

        await self._client.call(ask)

    async def _scored(self, question: Question, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        expected = min(top_k, len(hits))

        async def ask(account: AsyncPinecone) -> list[Hit]:
            answer = await account.inference.rerank(
                model=self._model,
                query=question.text,
                documents=[{"text": hit.chunk.searchable[:_LONGEST_TEXT]} for hit in hits],
                rank_fields=["text"],
                return_documents=False,
                top_n=expected,
                parameters={"truncate": "END"},
            )
            places = {item.index for item in answer.data}
            if len(places) != expected or not places <= set(range(len(hits))):
                raise Unavailable(
                    _DEPENDENCY, f"scored {len(places)} passages where {expected} were asked for"
                )
            return [replace(hits[i.index], score=_score(i.score)) for i in answer.data]

        return await self._client.call(ask)

    async def aclose(self) -> None:
        await self._client.aclose()


def _score(raw: float) -> float:
    if not math.isfinite(raw):
        raise ValueError("not a score")
    return min(max(raw, 0.0), 1.0)

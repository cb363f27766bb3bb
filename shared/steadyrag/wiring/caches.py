"""Answers and embeddings held, over the shared stores."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from steadyrag import __version__
from steadyrag.domain.ports import Embedder, Index, Versioned
from steadyrag.domain.prompt import INSTRUCTIONS
from steadyrag.resilience.answer_cache import AnswerCache
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.request_state import Tier
from steadyrag.resilience.shared_state import CacheLimits, SharedState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from steadyrag.settings import Settings


def answer_cache(
    settings: Settings,
    parts: Mapping[str, Any],
    stores: Sequence[GuardedStore],
    *,
    clock: Callable[[], float] = time.time,
) -> AnswerCache:
    """Embeddings stay out of DynamoDB unless they are wanted there: writing one costs more
    than making it again."""
    embedder: Embedder = parts["embedder"]
    index: Index = parts["index"]
    shared = SharedState(
        tiers=[
            Tier(store, vectors=store.name != "dynamodb" or settings.embeddings_in_dynamodb)
            for store in stores
        ],
        embedder=embedder.name,
        dimension=embedder.dimension,
        fingerprint=_fingerprint(settings, parts),
        index_version=index.version if isinstance(index, Versioned) else None,
        limits=CacheLimits(
            result_s=settings.result_ttl_s,
            vector_s=settings.embedding_ttl_s,
            last_good_s=settings.last_good_ttl_s,
            settle_s=settings.settle_s,
            memory_answers=settings.memory_answers,
            memory_vectors=settings.memory_embeddings,
        ),
        clock=clock,
    )
    return AnswerCache(shared)


def _fingerprint(settings: Settings, parts: Mapping[str, Any]) -> str:
    """Stands for everything in the configuration that shapes an answer."""
    shaping = {
        "version": __version__,
        "embedder": parts["embedder"].name,
        "index": [settings.index, settings.pinecone_index_host],
        "reranker": [settings.reranker, settings.rerank_model, settings.rerank_calibration],
        "generator": [parts["generator"].model, settings.reasoning_tokens],
        "abstain_below": settings.abstain_below,
        "instructions": INSTRUCTIONS,
        "options": asdict(parts["options"]),
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()

"""A search, put together."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from steadyrag.api.rate_limit import RateLimit
from steadyrag.domain.limits import Rules, parse_limit, parse_overrides
from steadyrag.domain.ports import Embedder, Index
from steadyrag.domain.slices import fair_s
from steadyrag.resilience.batching import BatchedEmbedder
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.counted_embedder import CountedEmbedder
from steadyrag.resilience.guarded_embedder import GuardedEmbedder
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.search import Options, Service
from steadyrag.telemetry import metrics
from steadyrag.wiring import parts as chosen
from steadyrag.wiring.caches import answer_cache
from steadyrag.wiring.stores import guarded_stores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steadyrag.domain.ports import SharedStore
    from steadyrag.resilience.live_config import ConfigPoller
    from steadyrag.settings import Settings


def build(
    settings: Settings, *, clock: Callable[[], float] = time.time, **overrides: Any
) -> Service:
    """Everything a search needs. An override takes the place of the part of its name, such
    as `embedder` or `generator`. `clock` is the wall clock, in epoch seconds, by which
    breakers, limits and caches expire.

    Nothing connects and no file is opened until the first use. Raises `ConfigError` for
    settings that do not go together.
    """
    stores = overrides.pop("stores", None)
    if stores is None:
        stores = guarded_stores(settings, clock=clock)
    breakers = overrides.pop("breakers", None) or Breakers(
        stores,
        clock=clock,
        on_transition=metrics.on_transition,
        on_refused=metrics.on_refused,
    )
    embedder: Embedder = overrides.pop("embedder", None) or chosen.embedder(settings)
    index: Index = overrides.get("index") or chosen.index(settings, embedder)
    parts: dict[str, Any] = {
        "embedder": _shared(settings, embedder, breakers),
        "index": index,
        "options": _options(settings),
        "caps": chosen.CAPS,
        "stores": stores,
        "breakers": breakers,
        "prices": chosen.prices(settings),
    } | overrides
    if "reranker" not in parts:
        parts["reranker"] = chosen.reranker(settings, index)
    if "extractive" not in parts:
        parts["extractive"] = chosen.extractive(settings, index)
    if "generator" not in parts:
        generator = chosen.generator(settings, settings.chat_model)
        parts["generator"] = generator or parts["extractive"]
    if "fallback" not in parts and settings.chat_fallback_model:
        parts["fallback"] = chosen.generator(settings, settings.chat_fallback_model)
    if "cache" not in parts:
        parts["cache"] = answer_cache(settings, parts, stores, clock=clock)
    return Service(**parts)


def rate_limit(
    settings: Settings,
    stores: Sequence[SharedStore],
    live: ConfigPoller | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> RateLimit:
    """What a route asks before anything costly, on these (guarded) stores. Without a
    shared store only a limit that was set holds, for each process by itself. Its overrides
    and trusted keys are those of `live`, where it has some."""
    trusted = {key.strip() for key in settings.trusted_keys.split(",")} - {""}
    if not stores and settings.rate_limit is None:
        return RateLimit(None)
    rules = Rules(
        user=parse_limit(settings.rate_limit or "10/minute"),
        key=parse_limit(settings.key_rate_limit),
        overrides=parse_overrides(settings.rate_limit_overrides),
    )
    limiter = RateLimiter(stores, rules=rules, clock=clock, on_fallback=metrics.on_fallback)
    return RateLimit(limiter, trusted_keys=trusted, live=live)


async def warm(service: Service, live: ConfigPoller | None = None) -> None:
    """Loads what the first request would wait for; raises `ConfigError` when a part is not
    usable."""
    await asyncio.gather(service.warm(), *([live.warm()] if live else []))


async def thaw(service: Service, live: ConfigPoller | None = None) -> None:
    """Drops what must not be carried over from a snapshot: connections, which are dead, and
    keys and live configuration, which may have been replaced. The next call opens and reads
    them anew."""
    from steadyrag.adapters.secrets import expire_all

    expire_all()
    await service.aclose()
    await asyncio.gather(service.warm(), *([live.thaw()] if live else []))


def _shared(settings: Settings, embedder: Embedder, breakers: Breakers) -> Embedder:
    """Concurrent questions share a vendor's call, whose failure counts once; on this machine's
    processor a batch only makes everybody wait for all of it."""
    fair = fair_s("embedding", deadline_s=settings.deadline_s, cap_s=chosen.CAPS.embed_s)
    counted = CountedEmbedder(embedder, chosen.prices(settings).embedding)
    guarded = GuardedEmbedder(counted, breakers, fair_s=fair)
    return guarded if settings.embedder == "local" else BatchedEmbedder(guarded)


def _options(settings: Settings) -> Options:
    return Options(
        fusion=settings.fusion,
        dense_weight=settings.dense_weight,
        candidates=settings.candidates,
        rerank_candidates=settings.rerank_candidates,
        context_tokens=settings.context_tokens,
        answer_tokens=settings.answer_tokens,
        deadline_s=settings.deadline_s,
    )

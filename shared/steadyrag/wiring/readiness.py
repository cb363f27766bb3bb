"""What readiness asks: each dependency by the smallest call that shows it works."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from steadyrag.domain.models import Chunk, Hit, Question
from steadyrag.domain.ports import Embedder, Generator, Index, IndexStatus, Pingable, Reranker
from steadyrag.resilience.around_embedder import AroundEmbedder
from steadyrag.resilience.breakers import BREAKERS_KEY, Breakers
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.nearest import nearest
from steadyrag.wiring import parts as chosen
from steadyrag.wiring.stores import shared_stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from steadyrag.domain.ports import SharedStore
    from steadyrag.health import BreakerStates, Probe, Probes, States
    from steadyrag.search import Service
    from steadyrag.settings import Settings

STORE_TIMEOUT_S = 1.5
"""Less than a probe may take, so that its message says what is wrong."""


def build_probes(settings: Settings) -> tuple[Probes, BreakerStates]:
    """Probes of parts made for nothing else, without what a search puts between itself and
    them, and where the fleet's circuit breakers stand."""
    embedder = chosen.embedder(settings)
    index = chosen.index(settings, embedder)
    reranker = chosen.reranker(settings, index)
    models = {"llm": settings.chat_model, "llm_fallback": settings.chat_fallback_model}
    generators = {
        name: chosen.generator(settings, model) for name, model in models.items() if model
    }
    stores = shared_stores(settings, timeout_s=STORE_TIMEOUT_S)
    return _probes(embedder, index, reranker, generators, stores), partial(_fleet, stores)


def probes(service: Service) -> Probes:
    """Probes of a running service's own parts, past their circuits."""
    embedder = service.embedder
    while isinstance(embedder, AroundEmbedder):
        embedder = embedder.inner
    generators = {"llm": service.generator, "llm_fallback": service.fallback}
    stores = [s.inner if isinstance(s, GuardedStore) else s for s in service.stores]
    return _probes(embedder, service.index, service.reranker, generators, stores)


def breaker_states(service: Service) -> States:
    """Where a running service's circuits stand: the fleet's, and this process's own of its
    stores, which can't share theirs through what is down."""
    own = {s.name: s.breaker.state for s in service.stores if isinstance(s, GuardedStore)}
    return {
        **service.breakers.states(),
        **{name: state for name, state in own.items() if state != "closed"},
    }


async def _fleet(stores: Iterable[SharedStore]) -> States:
    """What the map that environments share says now."""
    read = await nearest(list(stores), lambda store: store.read((), (BREAKERS_KEY,)))
    breakers = Breakers()
    if read is not None:
        _, (_, maps) = read
        breakers.absorb(maps.get(BREAKERS_KEY, {}))
    return breakers.states()


def _probes(
    embedder: Embedder,
    keeper: Index,
    reranker: Reranker | None,
    generators: Mapping[str, Generator | None],
    stores: Iterable[SharedStore],
) -> Probes:
    async def embedding() -> None:
        await embedder.embed_query("ok")

    async def index() -> IndexStatus:
        return await keeper.status()

    asked: dict[str, Probe] = {"embedding": embedding, "index": index}
    asked |= {name: generator.ping for name, generator in generators.items() if generator}
    for store in stores:
        asked[store.name] = partial(_reads, store)
    if reranker:
        asked["reranker"] = (
            reranker.ping if isinstance(reranker, Pingable) else partial(_reranks, reranker)
        )
    return asked


async def _reranks(reranker: Reranker) -> None:
    passage = Hit(Chunk("ok", "ok", "", "", "ok", 1), 1.0)
    await reranker.rerank(Question("ok", "en"), [passage], top_k=1)


async def _reads(store: SharedStore) -> None:
    await store.read(["sr:health"])

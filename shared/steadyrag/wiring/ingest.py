"""Taking documents in, put together."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import Embedder
from steadyrag.wiring import parts as chosen
from steadyrag.wiring.stores import INGEST_TIMEOUT_S, shared_stores, store_addresses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from steadyrag.adapters.local.announced import StoreAddresses
    from steadyrag.adapters.pinecone_schema import IndexReady
    from steadyrag.domain.documents import Corpus
    from steadyrag.domain.ports import SharedStore
    from steadyrag.ingest import IngestParts
    from steadyrag.resilience.corpus_changes import CorpusChanges
    from steadyrag.settings import Settings


def build_ingest(settings: Settings, **overrides: Any) -> IngestParts:
    """Everything that `steadyrag ingest` needs, chosen like `build` chooses."""
    from steadyrag.adapters.local.catalogue import SqliteCatalogue
    from steadyrag.adapters.local.ingest_lock import IngestLock
    from steadyrag.ingest import IngestParts

    embedder: Embedder = overrides.get("embedder") or embedder_of(settings)
    parts: dict[str, Any] = {
        "embedder": embedder,
        "index": overrides.get("index") or chosen.index(settings, embedder),
        "catalogue": SqliteCatalogue(chosen.catalogue_path(settings)),
        "count_tokens": chosen.count_tokens(embedder),
        "files": files,
        "lock": IngestLock(settings.data_dir),
        "max_tokens": settings.chunk_tokens,
        "parallel_calls": 1 if settings.embedder == "local" else 4,
        "changes": AnnouncedChanges(settings),
    } | overrides
    return IngestParts(**parts)


class AnnouncedChanges:
    """`Changes` in the stores that the settings name, and in those of every `serve --stores`
    on the same data directory, which may come and go meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stores: dict[StoreAddresses, list[SharedStore]] = {}

    async def changing(
        self, namespace: str, *, deleted: Iterable[str] = (), added: Iterable[str] = ()
    ) -> None:
        gone, back = list(deleted), list(added)
        await self._tell(lambda changes: changes.changing(namespace, deleted=gone, added=back))

    async def changed(self, namespace: str) -> None:
        await self._tell(lambda changes: changes.changed(namespace))

    async def _tell(self, tell: Callable[[CorpusChanges], Awaitable[None]]) -> None:
        from steadyrag.adapters.local.announced import announcements
        from steadyrag.resilience.corpus_changes import CorpusChanges

        data_dir, own = self._settings.data_dir, store_addresses(self._settings)
        for addresses in {own, *announcements(data_dir)}:
            stores = self._at(addresses)
            try:
                await tell(CorpusChanges(stores))
            except DependencyError:
                if addresses == own or addresses in announcements(data_dir):
                    raise
            finally:
                for store in stores:
                    await store.aclose()

    def _at(self, addresses: StoreAddresses) -> list[SharedStore]:
        if addresses not in self._stores:
            there = self._settings.model_copy(update=asdict(addresses))
            self._stores[addresses] = shared_stores(there, timeout_s=INGEST_TIMEOUT_S)
        return self._stores[addresses]


async def ensure_index(
    settings: Settings,
    *,
    name: str,
    cloud: str,
    region: str,
    report: Callable[[str], None] = lambda _: None,
) -> IndexReady:
    """Creates the Pinecone index for the chosen embedder, or checks the one that is there."""
    from steadyrag.adapters import pinecone_schema

    embedder = chosen.embedder(settings)
    report(f"vectors of {embedder.name}, as STEADYRAG_EMBEDDER={settings.embedder} makes them")
    return await pinecone_schema.ensure_index(
        api_key=chosen.pinecone_key(settings),
        name=name,
        dimension=embedder.dimension,
        cloud=cloud,
        region=region,
        controller_host=settings.pinecone_controller_host,
        report=report,
    )


def cached(embedder: Embedder, path: Path) -> Embedder:
    """`embedder` with its vectors kept by content in the file `path`."""
    from steadyrag.adapters.local.vector_cache import CachedEmbedder

    return CachedEmbedder(embedder, path)


def embedder_of(settings: Settings) -> Embedder:
    """The chosen embedder alone, for commands that wrap it."""
    return chosen.embedder(settings, passage_threads=os.process_cpu_count() or 1)


def files(paths: Sequence[Path], base_url: str | None) -> Corpus:
    """The documents in these files and folders."""
    from steadyrag.adapters.parsers.files import FileCorpus
    from steadyrag.adapters.parsers.registry import Parsers

    return FileCorpus(paths, Parsers(), base_url=base_url)

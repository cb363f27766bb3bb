"""Taking documents in, put together."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadyrag.domain.ports import Embedder
from steadyrag.wiring import parts as chosen
from steadyrag.wiring.stores import INGEST_TIMEOUT_S, shared_stores, store_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steadyrag.adapters.local.announced import StoreAddresses
    from steadyrag.adapters.pinecone_schema import IndexReady
    from steadyrag.domain.documents import Corpus
    from steadyrag.domain.ports import SharedStore
    from steadyrag.indexing import IngestParts
    from steadyrag.resilience.corpus_changes import Changes
    from steadyrag.settings import Settings


def build_ingest(settings: Settings, **overrides: Any) -> IngestParts:
    """Everything that `steadyrag ingest` needs, chosen like `build` chooses."""
    from steadyrag.adapters.local.catalogue import SqliteCatalogue
    from steadyrag.adapters.local.ingest_lock import IngestLock
    from steadyrag.indexing import IngestParts

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
        "changes": announced_changes(settings),
    } | overrides
    return IngestParts(**parts)


def announced_changes(settings: Settings) -> Changes:
    """In the stores that the settings name, and in those of every `serve --stores` on the same
    data directory."""
    from steadyrag.adapters.local.announced import announcements
    from steadyrag.resilience.announced_changes import AnnouncedChanges

    def stores_at(addresses: StoreAddresses) -> list[SharedStore]:
        there = settings.model_copy(update=asdict(addresses))
        return shared_stores(there, timeout_s=INGEST_TIMEOUT_S)

    return AnnouncedChanges(
        store_addresses(settings),
        announced=lambda: announcements(settings.data_dir),
        stores_at=stores_at,
    )


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

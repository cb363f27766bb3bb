"""The seven dependencies of a search, each behind a network of its own that can be broken."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faults.filling import fill
from faults.world import vendor_settings
from integration.vendored import DIMENSION, OPENAI_KEY, PINECONE_KEY
from steadyrag.adapters.local.services import start_valkey
from steadyrag.adapters.pinecone_schema import schema
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import EmbeddedChunk, Hit, Vector
from steadyrag.domain.ports import Index, IndexStatus
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.search import Service
from steadyrag.settings import Settings, load
from steadyrag.wiring import parts
from steadyrag.wiring.service import build
from steadyrag.wiring.stores import shared_stores
from tcp_proxy import TcpProxy
from vendors import Fault, OpenAIVendor, PineconeVendor, serving
from vendors.server import Vendor

type Dependency = Literal["embedding", "vector", "keyword", "reranker", "LLM", "Valkey", "DynamoDB"]
type Kind = Literal[
    "refused",
    "timeout",
    "5xx",
    "429",
    "reset",
    "garbage",
    "half",
    "drip",
    "nonsense",
    "wrong dimension",
    "empty",
]

DEPENDENCIES: Sequence[Dependency] = (
    "embedding",
    "vector",
    "keyword",
    "reranker",
    "LLM",
    "Valkey",
    "DynamoDB",
)
KINDS: Sequence[Kind] = ("refused", "timeout", "5xx", "429", "reset", "garbage")

SUBTLE: Sequence[tuple[Dependency, Kind]] = (
    *(
        (dependency, kind)
        for dependency in DEPENDENCIES[:5]
        for kind in ("half", "drip", "nonsense")
    ),
    ("embedding", "wrong dimension"),
    ("LLM", "empty"),
)
"""What only a vendor that is up can do: half a body, one byte at a time, JSON that is nothing one
asked for, vectors one element short, a model that stops without a word."""

STORE_PATIENCE_S = 0.4
"""A busy machine must not look like a slow store. In service it is 0.1 s."""

_OPERATIONS: Mapping[Dependency, str] = {
    "embedding": "embeddings",
    "vector": "vector_search",
    "keyword": "keyword_search",
    "reranker": "rerank",
    "LLM": "chat",
}
_VENDOR_FAULTS: Mapping[Kind, Fault] = {
    "5xx": Fault("status", status=503),
    "429": Fault("status", status=429),
    "garbage": Fault("garbage"),
    "half": Fault("half"),
    "drip": Fault("drip"),
    "nonsense": Fault("nonsense"),
    "wrong dimension": Fault("wrong_dimension"),
    "empty": Fault("empty"),
}


def _http(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def _aws_error(name: str) -> str:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{name}"})


_STORE_ANSWERS: Mapping[tuple[Dependency, Kind], bytes] = {
    ("Valkey", "5xx"): b"-LOADING Valkey is loading the dataset in memory\r\n",
    ("Valkey", "429"): b"-ERR max number of clients reached\r\n",
    ("Valkey", "garbage"): b"HTTP/1.1 200 OK\r\n\r\n<html>",
    ("DynamoDB", "5xx"): _http("500 Internal", _aws_error("InternalServerError")),
    ("DynamoDB", "429"): _http("400 Bad", _aws_error("ThrottlingException")),
    ("DynamoDB", "garbage"): _http("200 OK", "<html>\x00it works!"),
}


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """`settings` lead through the networks; `vendors` by the dependency they stand for."""

    networks: Mapping[Dependency, TcpProxy]
    vendors: Mapping[Dependency, Vendor]
    settings: Settings
    flush: Callable[[], None]

    def break_(self, dependency: Dependency, kind: Kind) -> None:
        network = self.networks[dependency]
        match kind:
            case "refused":
                network.refuse()
            case "timeout":
                network.silent = True
            case "reset":
                network.resetting = True
            case _ if dependency in self.vendors:
                operation = _OPERATIONS[dependency]
                self.vendors[dependency].faults.add(operation, _VENDOR_FAULTS[kind])
            case _:
                network.answer = _STORE_ANSWERS[dependency, kind]

    def heal(self) -> None:
        for network in self.networks.values():
            network.refuse()  # whoever still waits on a dead connection learns of it
            network.silent = network.resetting = False
            network.answer = None
            network.accept()
        for vendor in self.vendors.values():
            vendor.faults.clear()

    def environment(self, table_prefix: str, clock: Callable[[], float]) -> Service:
        """A new environment whose dependencies fail apart, although some share a host."""
        settings = self.settings.model_copy(update={"table_prefix": table_prefix})
        embedder = parts.embedder(self._by("embedding", settings))
        index = TwoHosts(
            parts.index(self._by("vector", settings), embedder),
            parts.index(self._by("keyword", settings), embedder),
        )
        stores = [
            GuardedStore(store, clock=clock, timeout_s=STORE_PATIENCE_S, connect_s=0.5)
            for store in shared_stores(settings, timeout_s=0.5, clock=clock)
        ]
        return build(settings, clock=clock, embedder=embedder, index=index, stores=stores)

    def _by(self, dependency: Dependency, settings: Settings) -> Settings:
        """Settings that reach a vendor through this dependency's network."""
        port = self.networks[dependency].port
        addresses = _addresses(port, port, port)
        return settings.model_copy(
            update={
                "openai_base_url": addresses["OPENAI_BASE_URL"],
                "pinecone_index_host": addresses["STEADYRAG_PINECONE_INDEX_HOST"],
            }
        )


@contextlib.contextmanager
def neighbourhood(*, dynamodb_port: int, deadline_s: float) -> Iterator[Neighbourhood]:
    """Vendors and a Valkey of one's own, and the DynamoDB of everybody, each at the end of a
    network. `deadline_s` is the service's."""
    with contextlib.ExitStack() as ending:
        openai = ending.enter_context(serving(OpenAIVendor(api_key=OPENAI_KEY)))
        pinecone = ending.enter_context(
            serving(PineconeVendor(api_key=PINECONE_KEY, visible_after_s=0))
        )
        pinecone.create("docs", schema(DIMENSION)["fields"])
        directory = ending.enter_context(tempfile.TemporaryDirectory(prefix="neighbourhood-"))
        valkey = start_valkey(Path(directory))
        ending.callback(valkey.stop)
        vendors: dict[Dependency, Vendor] = {
            "embedding": openai,
            "vector": pinecone,
            "keyword": pinecone,
            "reranker": pinecone,
            "LLM": openai,
        }
        ports = {name: int(vendor.url.rpartition(":")[2]) for name, vendor in vendors.items()}
        ports |= {"Valkey": valkey.port, "DynamoDB": dynamodb_port}
        networks = {name: ending.enter_context(TcpProxy(port)) for name, port in ports.items()}
        through = {name: network.port for name, network in networks.items()}
        settings = load(
            {
                **_addresses(through["LLM"], through["reranker"], through["keyword"]),
                "STEADYRAG_CACHE_URL": f"redis://127.0.0.1:{through['Valkey']}?cluster=false",
                "STEADYRAG_DEADLINE_S": str(deadline_s),
                "STEADYRAG_CHAT_FALLBACK_MODEL": "gpt-6.1-terra",
                "STEADYRAG_RATE_LIMIT": "10000/minute",
            }
        )

        def flush() -> None:
            from redis import Redis

            with Redis(port=valkey.port) as client:
                client.flushall()

        yield Neighbourhood(networks, vendors, settings, flush)


async def fill_index(around: Neighbourhood, documents: Mapping[str, str]) -> None:
    await fill(around.settings, documents, "default")


def _addresses(openai: int, controller: int, index: int) -> dict[str, str]:
    at = "http://127.0.0.1"
    return {
        **vendor_settings(f"{at}:{openai}/v1", f"{at}:{controller}"),
        "STEADYRAG_PINECONE_INDEX_HOST": f"{at}:{index}/_index/docs",
    }


class TwoHosts:
    """An index whose two searches go to different hosts, so that one can be lost alone."""

    keeps_sentences = False

    def __init__(self, for_vectors: Index, for_keywords: Index) -> None:
        self._for_vectors = for_vectors
        self._for_keywords = for_keywords

    async def vector_search(
        self, vector: Vector, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        return await self._for_vectors.vector_search(
            vector, top_k=top_k, namespace=namespace, filter=filter
        )

    async def keyword_search(
        self, text: str, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        return await self._for_keywords.keyword_search(
            text, top_k=top_k, namespace=namespace, filter=filter
        )

    async def upsert(self, namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
        await self._for_keywords.upsert(namespace, chunks)

    async def delete(self, namespace: str, chunk_ids: Sequence[str]) -> None:
        await self._for_keywords.delete(namespace, chunk_ids)

    async def status(self, namespace: str | None = None) -> IndexStatus:
        return await self._for_keywords.status(namespace)

    async def aclose(self) -> None:
        await self._for_vectors.aclose()
        await self._for_keywords.aclose()

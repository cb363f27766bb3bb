"""In-memory stand-ins that keep the promises of `steadyrag.domain.ports`.

Each does its port's real work in a small way, and each can be told to misbehave:

    embedder = FakeEmbedder()
    embedder.fail(Unavailable("embedding", "down"))             # every call, from now on
    embedder.fail(Throttled("embedding", "slow down"), times=2)  # the next two, then well again
    index.fail(Unavailable("index", "down"), on="vector_search")
    index.slow(0.15, on="keyword_search")
    embedder.heal()
"""

from fakes.bucket import InMemoryBucket
from fakes.catalogue import InMemoryCatalogue
from fakes.embedder import FakeEmbedder
from fakes.generator import FakeGenerator
from fakes.index import InMemoryIndex
from fakes.ledger import InMemoryLedger
from fakes.metric_reader import InMemoryReader
from fakes.queue import InMemoryQueue
from fakes.records import InMemoryRecords
from fakes.reranker import FakeReranker
from fakes.store import InMemoryStore
from fakes.topic import InMemoryTopic
from fakes.trouble import Trouble

__all__ = [
    "FakeEmbedder",
    "FakeGenerator",
    "FakeReranker",
    "InMemoryBucket",
    "InMemoryCatalogue",
    "InMemoryIndex",
    "InMemoryLedger",
    "InMemoryQueue",
    "InMemoryReader",
    "InMemoryRecords",
    "InMemoryStore",
    "InMemoryTopic",
    "Trouble",
]

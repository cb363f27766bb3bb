"""The values that travel through the pipeline. All frozen; units are in the names."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from steadyrag.domain.filters import Filter

type Vector = array[float]
"""An embedding as `array("f")`: float32, so `tobytes()` is its stored form."""

type MetadataValue = str | int | float | bool | list[str]
type Metadata = Mapping[str, MetadataValue]

Mode = Literal["full", "partial", "keyword_only", "cached", "canned"]
Language = Literal["ko", "en"]
CacheStatus = Literal["hit", "miss", "stale", "bypass", "off"]


@dataclass(frozen=True, slots=True)
class Query:
    """A validated question with its options. `text` is NFC and not blank."""

    text: str
    top_k: int = 5
    namespace: str = "default"
    filter: Filter = field(default_factory=Filter)
    generate: bool = True
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage as it is indexed.

    `id` is ASCII. `context` is what surrounds the passage (title and headings, joined by
    " › "); it is searched along with `text` but not shown as part of it. `tokens` counts
    `context` and `text` together, once, at ingest.
    """

    id: str
    document_id: str
    title: str
    context: str
    text: str
    tokens: int
    url: str | None = None
    metadata: Metadata = field(default_factory=dict)

    @property
    def searchable(self) -> str:
        """What is embedded and analysed for keyword search."""
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk ready for the index. `sentences` holds the vectors of `sentences_of(chunk)`
    where the index keeps them, else nothing."""

    chunk: Chunk
    vector: Vector
    sentences: Sequence[Vector] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search found.

    `score` is the one the hits are ordered by at this stage: cosine after vector search,
    BM25 after keyword search, the fused score after fusion, relevance in [0, 1] after
    reranking. `dense` and `keyword` keep what the two searches said, None where a search
    did not return this chunk.
    """

    chunk: Chunk
    score: float
    dense: float | None = None
    keyword: float | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """One text's vector and the tokens the vendor charged for it."""

    vector: Vector
    tokens: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors in the order of the texts asked for, and the tokens charged for all."""

    vectors: Sequence[Vector]
    tokens: int


@dataclass(frozen=True, slots=True)
class Question:
    """What a reranker and a generator know of the query. `vector` is None when the
    embedding was lost. `namespace` is where the hits come from."""

    text: str
    language: Language
    vector: Vector | None = None
    namespace: str = "default"


@dataclass(frozen=True, slots=True)
class Ranking:
    """A reranker's verdict: hits from best to worst.

    `calibrated` says whether the scores are probabilities of relevance, so that 0.7 means
    the same for every question, or just an order.
    """

    hits: Sequence[Hit]
    calibrated: bool


@dataclass(frozen=True, slots=True)
class Block:
    """One source as the generator sees it: `number` is what it cites. `calibrated` says
    whether `hit.score` is a probability of relevance."""

    number: int
    hit: Hit
    text: str
    tokens: int
    calibrated: bool = True


@dataclass(frozen=True, slots=True)
class Generation:
    """A generator's answer. `text` cites blocks as `[n]`. `found` is False when it says
    that the sources do not hold the answer."""

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    found: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request consumed. `cost_usd` is None where no price is known."""

    embedding_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A hit as callers see it. `rank` is its place in the list and what `[n]` cites.
    `score` is in [0, 1] when the answer is `calibrated`."""

    id: str
    document_id: str
    title: str
    url: str | None
    text: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """Where an answer came from.

    `hit`: it was held, or a concurrent request for the same was joined. `miss`: it was
    computed. `stale`: the last good one, served because the index is lost. `bypass`: the
    caller asked for a new one. `off`: no cache could be asked. `tier` is `memory`, `flight`
    (joined) or the shared store's name; `age_s` counts from the start of the request that
    computed it. Both are None for what was computed just now.
    """

    status: CacheStatus = "off"
    tier: str | None = None
    age_s: int | None = None

    @property
    def header(self) -> str:
        """The `Cache-Status` header (RFC 9211)."""
        if self.status == "hit":
            return f"steadyrag; hit; detail={self.tier}"
        forward = {"miss": "miss", "stale": "stale", "bypass": "request", "off": "bypass"}
        detail = f"; detail={self.tier}" if self.tier else ""
        return f"steadyrag; fwd={forward[self.status]}{detail}"


type Fact = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage of a search did. `start_ms` counts from the question; `lost` says that its
    result was not there in time. `facts` are such as attempts, model, tokens, cost_usd, reason:
    never user text."""

    name: str
    start_ms: float
    duration_ms: float
    lost: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one search. `answer` is None when none was asked for. `stages` are in the
    order they ended."""

    search_id: str
    answer: str | None
    sources: Sequence[Source]
    mode: Mode
    degraded: Sequence[str]
    calibrated: bool
    cache: CacheInfo
    model: str | None
    variant: str
    usage: Usage
    timings_ms: Mapping[str, float]
    stages: Sequence[Stage] = ()

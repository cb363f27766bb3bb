"""What the core asks of the outside world. Adapters implement these; only `wiring` knows them.

Every coroutine may raise `DependencyError`; none raises a vendor's own exception. All are
safe to call concurrently on one event loop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from steadyrag.domain.filters import Filter
from steadyrag.domain.models import (
    Block,
    EmbeddedChunk,
    Embedding,
    Embeddings,
    Generation,
    Hit,
    Question,
    Ranking,
    Vector,
)
from steadyrag.domain.records import Feedback, Recorded, SearchRecord

type CountTokens = Callable[[str], int]


class Closeable(Protocol):
    async def aclose(self) -> None:
        """Drops connections and files. Safe to call twice."""


@runtime_checkable
class Warmable(Protocol):
    async def warm(self) -> None:
        """Loads what the first request would wait for; raises `ConfigError` when it is not
        usable."""


@runtime_checkable
class Erasable(Protocol):
    async def erase(self) -> None:
        """Forgets everything, so that a store which no longer fits can be filled anew."""


@runtime_checkable
class Versioned(Protocol):
    async def version(self) -> str:
        """Stands for what can be found now: changes whenever that does, and never comes back.
        ASCII without white space. Costs no round trip. Raises `DependencyError`."""


@runtime_checkable
class Pingable(Protocol):
    async def ping(self) -> None:
        """Reaches the service without the work that its calls are paid for; for readiness.
        Raises `DependencyError`."""


class Embedder(Closeable, Protocol):
    """Texts to vectors of one fixed dimension."""

    @property
    def name(self) -> str:
        """Model and dimension, such as `text-embedding-3-small/1536`. Vectors of different
        names do not compare."""

    @property
    def dimension(self) -> int: ...

    async def embed_query(self, text: str) -> Embedding: ...

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """At most 100 questions, one API call, as urgent as `embed_query`. Raises `Rejected`
        when one of the texts is the reason."""

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """At most 100 texts, one API call."""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index says of itself. `chunks` is None where counting costs too much."""

    ready: bool
    chunks: int | None
    detail: str = ""


class Index(Closeable, Protocol):
    """Chunks searchable by vector and by keyword, kept apart by namespace."""

    @property
    def keeps_sentences(self) -> bool:
        """Whether `upsert` wants sentence vectors along with the chunk's."""

    async def vector_search(
        self, vector: Vector, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        """Best first; `score` and `dense` are cosine similarity."""

    async def keyword_search(
        self, text: str, *, top_k: int, namespace: str, filter: Filter
    ) -> list[Hit]:
        """Best first; `score` and `keyword` are BM25 over the analysed text."""

    async def upsert(self, namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
        """Adds or replaces by chunk id, all or (with an error) not certainly all."""

    async def delete(self, namespace: str, chunk_ids: Sequence[str]) -> None:
        """Removes chunks; unknown ids are ignored."""

    async def status(self, namespace: str | None = None) -> IndexStatus:
        """Reaches the index; raises `DependencyError` when it can't be reached."""


class Reranker(Closeable, Protocol):
    """Orders hits by relevance to the question."""

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        """The `top_k` best, best first, with `score` in [0, 1]."""


class Generator(Closeable, Pingable, Protocol):
    """Writes an answer from numbered blocks and nothing else."""

    @property
    def model(self) -> str: ...

    async def generate(
        self, question: Question, blocks: Sequence[Block], *, max_tokens: int
    ) -> Generation:
        """An answer in the question's language that cites blocks as `[n]`."""


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """What ingest remembers of a document. `fingerprint` covers its bytes and everything
    that shapes its chunks (chunker, embedder); `chunk_ids` are what the index holds of it.
    `origin` is the path or URI it was found under, so that what vanished from there can be
    told from what was never there."""

    document_id: str
    origin: str
    fingerprint: str
    chunk_ids: tuple[str, ...]


class Catalogue(Closeable, Protocol):
    """The record of what has been ingested, per namespace. Durable once `put` returns."""

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        """By document id."""

    async def put(self, namespace: str, record: DocumentRecord) -> None: ...

    async def remove(self, namespace: str, document_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Allowance:
    """A rate limiter's verdict on one request.

    `remaining` is what the caller may still send in this window; `reset_s` is when the window
    has moved on far enough to allow one more (0 when it already does).
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: float


class SharedStore(Closeable, Protocol):
    """State that every environment sees: small values, small maps, leases, windows.

    Keys are ASCII. Every method is one round trip (`read` one batch, whatever it asks for) and
    raises `DependencyError` with the store's name as the dependency. Expiry is compared on
    read, with the caller's clock: a store that forgets late must not show what is over.
    """

    @property
    def name(self) -> str:
        """`valkey` or `dynamodb`."""

    async def read(
        self, values: Sequence[str], maps: Sequence[str] = ()
    ) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
        """What is held under these keys, consistently with every write that has returned.
        Missing and expired ones are left out."""

    async def write(self, values: Mapping[str, bytes], *, ttl_s: float) -> None:
        """Adds or replaces values; all of them in one batch."""

    async def delete(self, values: Sequence[str]) -> None:
        """Removes values; unknown keys are ignored."""

    async def update(
        self,
        key: str,
        *,
        put: Mapping[str, bytes] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        ttl_s: float | None = None,
    ) -> dict[str, bytes]:
        """Changes fields of one map atomically and returns the whole map as it is then.

        `add` counts up from 0 in fields that hold whole numbers (as decimal digits in what
        `read` and `update` return). `ttl_s` is counted from now and holds for the whole map;
        None keeps what it has, which is for ever at first.
        """

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Takes the lease `key` when nobody holds it, or `owner` does already."""

    async def release(self, key: str, owner: str) -> None:
        """Gives the lease back, if `owner` still holds it."""

    async def take(self, key: str, *, limit: int, window_s: int) -> Allowance:
        """Counts one request in a sliding window, if it is allowed, atomically.

        The window is the two-bucket approximation: the last bucket's count weighted by how
        much of it the window still covers, plus this bucket's count. A refused request does
        not count.
        """


class RecordStore(Closeable, Protocol):
    """The latest searches and what was said of them. What is kept is bounded in number and
    age; each search and each saying may come again, and in any order."""

    async def add_search(self, record: SearchRecord) -> None:
        """Adds it, or replaces the one with its id."""

    async def add_feedback(self, feedback: Feedback) -> None:
        """Adds to what was said of a search, which may yet have to come; by the rules of
        `domain.feedback`."""

    async def recent(self, limit: int = 50, *, failed: bool | None = None) -> Sequence[Recorded]:
        """The newest first; only those that failed, or that did not, where it is said."""

    async def get(self, search_id: str) -> Recorded | None: ...


@dataclass(frozen=True, slots=True)
class Statistic:
    """What is made of the values of one metric: `stat` is CloudWatch's word, such as `Sum`,
    `Average`, `Maximum` or `p99`. Every dimension has to be named."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str


class MetricReader(Closeable, Protocol):
    """What was measured, and which alarms it set off. Times are epoch seconds; `end` is not part
    of a span."""

    async def read(
        self, asked: Sequence[Statistic], *, start: float, end: float
    ) -> list[float | None]:
        """One value for each, over the whole span; None where nothing was measured."""

    async def alarms_raised(self, prefix: str, *, start: float, end: float) -> Mapping[str, int]:
        """How often each alarm whose name begins with `prefix` went off, by the rest of its
        name. CloudWatch remembers 30 days."""


class Topic(Closeable, Protocol):
    """Whom it may concern."""

    async def publish(self, subject: str, text: str) -> None:
        """Returns once it is out of our hands. After an error it may be, too."""

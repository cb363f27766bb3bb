"""What one request found in the caches, and what it may leave there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from steadyrag.domain.models import Answer, CacheInfo, Embedding, Hit, Query
from steadyrag.domain.ports import Embedder
from steadyrag.resilience.answers import HeldAnswer, again
from steadyrag.resilience.corpus import CorpusState, Tombs
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.telemetry import catalogue, metrics, spans


@dataclass(frozen=True, slots=True)
class Tier:
    """A shared store and what it is for. `vectors` says whether it holds embeddings."""

    store: GuardedStore
    vectors: bool = True

    @property
    def name(self) -> str:
        return self.store.name


@dataclass(slots=True)
class RequestState:
    """The outcome of a request's one batch.

    key, vector_key: where its answer and its embedding live.
    began_at: epoch seconds.
    refresh: whether the caller wants nothing that is held.
    tier: the store that answered; None when none did.
    version: the state of the documents now; None when it is not known, and then nothing is
        taken for fresh and nothing stored.
    corpus: the namespace's record; its `version` counts changes.
    settling: whether the last change may not be visible everywhere yet.
    breakers: the shared map of breakers; None when no store answered.
    held, held_in: the last good answer, of whatever version, and the tier it was found in.
    fresh: whether `held` answers this request.
    tombs: the namespace's tombstones as far as they are known; `tombs_known` says whether
        these are the present ones.
    embedding, embedding_held_in: the question's, when it was held or has been made, and the
        tier it was found in.
    unreachable: stores that were asked and did not answer.
    """

    query: Query
    key: str
    vector_key: str
    began_at: float
    refresh: bool = False
    tier: Tier | None = None
    version: str | None = None
    corpus: CorpusState | None = None
    settling: bool = False
    breakers: Mapping[str, bytes] | None = None
    held: HeldAnswer | None = None
    held_in: str = ""
    fresh: bool = False
    tombs: Tombs = field(default_factory=Tombs)
    tombs_known: bool = False
    embedding: Embedding | None = None
    embedding_held_in: str = ""
    embedding_is_new: bool = False
    unreachable: tuple[str, ...] = ()

    @property
    def storable(self) -> bool:
        """Whether an answer computed by this request may be taken for fresh later."""
        return self.version is not None and self.tombs_known and not self.settling

    def hit(self, now: float, search_id: str) -> Answer | None:
        """The answer for this request, if it is held."""
        if not (self.held and self.fresh):
            return None
        info = CacheInfo("hit", self.held_in, self.held.age_s(now))
        return again(self.held.answer, info, search_id=search_id)

    def last_good(self, now: float, search_id: str) -> Answer | None:
        """The last good answer for the same question, from whatever state the documents were
        in, as the `cached` rung; `degraded` is the caller's to add. None where it may show
        what has been deleted since."""
        if not (self.held and self.corpus and self.tombs_known):
            return None
        if not self.tombs.allow(self.held, self.corpus, now):
            return None
        info = CacheInfo("stale", self.held_in, self.held.age_s(now))
        return replace(again(self.held.answer, info, search_id=search_id), mode="cached")

    def filter_hits(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Hits without those of documents deleted lately. Every list of hits goes through
        this, before it is ranked."""
        return self.tombs.filter_hits(hits)

    async def embed(self, embedder: Embedder) -> Embedding:
        """The question's embedding: the one held, which costs no tokens, or a new one, which
        is stored along with the answer."""
        if self.embedding is None:
            metrics.count(catalogue.EMBEDDING_CACHE_MISSES)
            self.embedding = await embedder.embed_query(self.query.text)
            self.embedding_is_new = True
            return self.embedding
        if self.embedding_held_in:
            metrics.count(catalogue.EMBEDDING_CACHE_HITS, tier=self.embedding_held_in)
            spans.note(cache=self.embedding_held_in)
        return Embedding(self.embedding.vector, 0)

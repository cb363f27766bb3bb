"""The one batch that a request reads from the shared stores, and the one it writes.

    memory ▸ Valkey ▸ DynamoDB, each of the stores optional

The first store that answers brings the corpus version and the breakers along with what is
held: what memory holds counts only after that check. An answer that it does not hold is
looked for in the next one, which costs milliseconds where computing it costs seconds and a
model call, and is copied up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.models import Answer, Embedding, Query
from steadyrag.resilience.answers import LARGEST_BYTES, HeldAnswer, pack_answer, read_answer
from steadyrag.resilience.breakers import BREAKERS_KEY
from steadyrag.resilience.document_states import DocumentStates
from steadyrag.resilience.keys import answer_key, corpus_key, vector_key
from steadyrag.resilience.memory import Memory
from steadyrag.resilience.request_state import RequestState, Tier
from steadyrag.resilience.vectors import pack_vector, unpack_vector

_INDEX_VERSION_S = 1.0


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How long things live, and how much one process holds."""

    result_s: float = 3600.0
    last_good_s: float = 7 * 86400.0
    vector_s: float = 86400.0
    settle_s: float = 10.0
    memory_answers: int = 500
    memory_answer_bytes: int = 16 * 1024 * 1024
    memory_vectors: int = 1000
    memory_vector_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Batch:
    tier: Tier
    asked: Sequence[str]
    values: Mapping[str, bytes]
    maps: Mapping[str, Mapping[str, bytes]]


class SharedState:
    """The caches of one process and the stores it shares with others.

    embedder, dimension: whose vectors; a vector of another dimension is not used.
    fingerprint: stands for everything in the configuration that shapes answers.
    index_version: where the index tells its own version. Without stores it is the version;
        with them it adds to the corpus version.
    """

    def __init__(
        self,
        *,
        tiers: Sequence[Tier],
        embedder: str,
        dimension: int,
        fingerprint: str,
        index_version: Callable[[], Awaitable[str]] | None = None,
        limits: CacheLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tiers = tiers
        self.clock = clock
        self.limits = limits = limits or CacheLimits()
        self._embedder = embedder
        self._dimension = dimension
        self._fingerprint = fingerprint
        self._index_version = index_version
        self._answers = Memory[str, HeldAnswer](
            entries=limits.memory_answers, size_bytes=limits.memory_answer_bytes, clock=clock
        )
        self._vectors = Memory[str, Embedding](
            entries=limits.memory_vectors, size_bytes=limits.memory_vector_bytes, clock=clock
        )
        self._documents = DocumentStates(tiers, clock=clock)

    async def open(
        self, query: Query, *, variant: str = "default", refresh: bool = False
    ) -> RequestState:
        """Reads all that a request needs; never raises for a store's failure. With `refresh`
        what is held is the last good answer and no more."""
        state = RequestState(
            query=query,
            key=answer_key(query, fingerprint=self._fingerprint, variant=variant),
            vector_key=vector_key(self._embedder, query.namespace, query.text),
            began_at=self.clock(),
            refresh=refresh,
        )
        self._remember(state)
        native: str | None = ""
        if self._index_version is None:
            batch = await self._read(state)
        else:
            native, batch = await asyncio.gather(
                self._native(self._index_version), self._read(state)
            )
        if batch is not None:
            await self._take(state, batch, native)
        elif not self.tiers and native:
            # The index is the only one to ask, and shows what it says: nothing is buried.
            state.version, state.tombs_known = native, True
            self._judge(state)
        else:
            self._documents.as_remembered(state)
        return state

    async def keep(self, state: RequestState, answer: Answer) -> None:
        """Stores the answer, when it is good and the documents are at rest, and a new
        embedding; in every store at once. Returns when they are written, or have failed."""
        up = [tier for tier in self.tiers if tier.name not in state.unreachable]
        vector = answered = None
        if state.embedding is not None and state.embedding_is_new:
            vector = pack_vector(state.embedding)
            self._hold_vector(state, state.embedding)
        # "Nothing found" is cheap to say again, and wrong as soon as a late write shows.
        good = answer.mode == "full" and answer.sources
        if good and state.storable and state.version is not None:
            held = HeldAnswer(answer, state.began_at, state.version, state.key)
            answered = pack_answer(held)
            self._hold_answer(state.key, held, len(answered))
        writes: list[Awaitable[None]] = []
        if vector is not None:
            ttl_s, holders = self.limits.vector_s, [tier for tier in up if tier.vectors]
            writes += [t.store.write({state.vector_key: vector}, ttl_s=ttl_s) for t in holders]
        if answered is not None and len(answered) <= LARGEST_BYTES:
            ttl_s = self.limits.last_good_s
            writes += [tier.store.write({state.key: answered}, ttl_s=ttl_s) for tier in up]
        await _settled(writes)

    async def look_again(self, state: RequestState) -> bool:
        """Whether an answer for this request is held by now. Raises `DependencyError`."""
        self._remember(state)
        self._judge(state)
        if not state.fresh and state.tier is not None:
            values, _ = await state.tier.store.read([state.key])
            self._take_answer(state, state.tier, values)
        return state.fresh

    # --- reading

    def _remember(self, state: RequestState) -> None:
        if held := self._answers.get(state.key):
            state.held, state.held_in = held, "memory"
        if state.embedding is None and (known := self._vectors.get(state.vector_key)):
            state.embedding, state.embedding_held_in = known, "memory"

    async def _read(self, state: RequestState) -> _Batch | None:
        """From the first store that answers."""
        maps = (corpus_key(state.query.namespace), BREAKERS_KEY)
        for tier in self.tiers:
            wanted = self._wanted(state, tier)
            try:
                batch = _Batch(tier, wanted, *await tier.store.read(wanted, maps))
            except DependencyError:
                state.unreachable += (tier.name,)
            else:
                return batch
        return None

    def _wanted(self, state: RequestState, tier: Tier) -> list[str]:
        """A young answer in memory is most likely fresh: then only the check is needed."""
        if state.held and state.began_at - state.held.began_at < self.limits.result_s:
            return []
        needs_vector = tier.vectors and state.embedding is None
        return [state.key, state.vector_key] if needs_vector else [state.key]

    async def _take(self, state: RequestState, batch: _Batch, native: str | None) -> None:
        state.tier = batch.tier
        state.breakers = batch.maps.get(BREAKERS_KEY, {})
        await self._documents.learn(state, batch.maps)
        if state.corpus is not None:
            state.settling = state.corpus.settling(state.began_at, self.limits.settle_s)
            if native is not None:
                state.version = f"{state.corpus.stamp}~{native}" if native else state.corpus.stamp
        self._take_vector(state, batch.tier, batch.values)
        self._take_answer(state, batch.tier, batch.values)
        if not state.fresh:
            if not (state.refresh and state.held):
                await self._look_further(state, batch)
            await self._documents.learn_tombs(state)

    async def _look_further(self, state: RequestState, batch: _Batch) -> None:
        """What memory held is over, or the store that answered has nothing: ask on."""
        done = state.key in batch.asked
        for tier in self.tiers[self.tiers.index(batch.tier) + done :]:
            wanted = [state.key]
            if tier.vectors and state.embedding is None:
                wanted.append(state.vector_key)
            try:
                values, _ = await tier.store.read(wanted)
            except DependencyError:
                state.unreachable += (tier.name,)
                continue
            self._take_vector(state, tier, values)
            if self._take_answer(state, tier, values) and tier is not batch.tier:
                await self._copy_up(state, batch.tier, values[state.key])
            if state.fresh:
                return

    def _take_vector(self, state: RequestState, tier: Tier, values: Mapping[str, bytes]) -> None:
        packed = values.get(state.vector_key)
        if state.embedding is None and packed is not None:
            state.embedding = unpack_vector(packed, dimension=self._dimension)
            if state.embedding is not None:
                state.embedding_held_in = tier.name
                self._hold_vector(state, state.embedding)

    def _take_answer(self, state: RequestState, tier: Tier, values: Mapping[str, bytes]) -> bool:
        """Takes what a store holds when it is newer than what is known. Whether it was."""
        packed = values.get(state.key)
        header = read_answer(packed) if packed is not None else None
        newer = header is not None and (state.held is None or header.began_at > state.held.began_at)
        young = header is not None and self._is_young(state, header.began_at)
        held = header.open(state.key) if header is not None and newer and young else None
        if held is not None and packed is not None:
            state.held, state.held_in = held, tier.name
            self._hold_answer(state.key, held, len(packed))
        self._judge(state)
        return held is not None

    def _is_young(self, state: RequestState, began_at: float) -> bool:
        return state.began_at - began_at < self.limits.last_good_s

    def _judge(self, state: RequestState) -> None:
        state.fresh = (
            state.held is not None
            and not state.refresh
            and state.version is not None
            and state.held.version == state.version
            and state.began_at - state.held.began_at < self.limits.result_s
        )

    async def _copy_up(self, state: RequestState, tier: Tier, packed: bytes) -> None:
        if state.held is not None:
            left_s = self.limits.last_good_s - (state.began_at - state.held.began_at)
            await _settled([tier.store.write({state.key: packed}, ttl_s=max(1.0, left_s))])

    async def _native(self, ask: Callable[[], Awaitable[str]]) -> str | None:
        """None when the index does not say."""
        try:
            async with asyncio.timeout(_INDEX_VERSION_S):
                return await ask()
        except (DependencyError, TimeoutError):
            return None

    # --- holding

    def _hold_answer(self, key: str, held: HeldAnswer, size: int) -> None:
        left_s = self.limits.last_good_s - (self.clock() - held.began_at)
        self._answers.put(key, held, size=_in_memory(held, size), ttl_s=left_s)

    def _hold_vector(self, state: RequestState, embedding: Embedding) -> None:
        size = 200 + 4 * len(embedding.vector)
        self._vectors.put(state.vector_key, embedding, size=size, ttl_s=self.limits.vector_s)


def _in_memory(held: HeldAnswer, packed: int) -> int:
    """About what an answer takes in memory: two bytes a character, and its objects."""
    answer = held.answer
    characters = len(answer.answer or "") + sum(
        len(source.text) + len(source.title) + len(source.url or "") for source in answer.sources
    )
    return max(packed, 1000 + 2 * characters + 600 * len(answer.sources))


async def _settled(writes: Sequence[Awaitable[None]]) -> None:
    """All at once; a store that fails holds less, and that is all."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, DependencyError):
            raise outcome

"""What a process knows of every namespace's documents: their version, and what was deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from steadyrag.domain.errors import DependencyError
from steadyrag.resilience.corpus import TOMB_TTL_S, CorpusState, Tombs, read_corpus, read_tombs
from steadyrag.resilience.corpus_changes import begin_record
from steadyrag.resilience.keys import corpus_key, tombs_key
from steadyrag.resilience.memory import Memory
from steadyrag.resilience.request_state import RequestState, Tier

_NAMESPACES = 200
"""Whose tombstones one process remembers."""


@dataclass(frozen=True, slots=True)
class _Buried:
    stamp: str
    tombs: Tombs


class DocumentStates:
    """Tombstones are read when the version is not the one that they are remembered for, and
    only by requests that need them."""

    def __init__(self, tiers: Sequence[Tier], *, clock: Callable[[], float]) -> None:
        self._tiers = tiers
        self._remembered = Memory[str, _Buried](
            entries=_NAMESPACES, size_bytes=32 * 1024 * 1024, clock=clock
        )

    async def learn(self, state: RequestState, maps: Mapping[str, Mapping[str, bytes]]) -> None:
        """Puts the namespace's record into `state`, begun anew where the store that answered
        has lost it or never had one."""
        namespace, tier = state.query.namespace, state.tier
        state.corpus = read_corpus(maps.get(corpus_key(namespace), {}))
        if state.corpus is not None or tier is None:
            return
        others = [other.store for other in self._tiers if other is not tier]
        try:
            state.corpus = await begin_record(tier.store, others, namespace, state.began_at)
        except DependencyError:
            return

    async def learn_tombs(self, state: RequestState) -> None:
        """Puts the tombstones of the present version into `state`."""
        if state.corpus is None or state.tier is None:
            self.as_remembered(state)
            return
        namespace, stamp, now = state.query.namespace, state.corpus.stamp, state.began_at
        remembered = self._remembered.get(namespace)
        if remembered is not None and remembered.stamp == stamp:
            state.tombs, state.tombs_known = remembered.tombs, True
            return
        try:
            fields = await self._read_tombs(state, state.tier, state.corpus)
        except DependencyError:
            self.as_remembered(state)
            return
        state.tombs, state.tombs_known = read_tombs(fields, now), True
        size = 200 * (1 + len(state.tombs.by_digest))
        self._remembered.put(namespace, _Buried(stamp, state.tombs), size=size, ttl_s=TOMB_TTL_S)

    def as_remembered(self, state: RequestState) -> None:
        """Puts the tombstones last heard of into `state`: better than none, but no ground to
        store or to serve anything on."""
        if remembered := self._remembered.get(state.query.namespace):
            state.tombs = remembered.tombs

    async def _read_tombs(
        self, state: RequestState, first: Tier, corpus: CorpusState
    ) -> Mapping[str, bytes]:
        """From the store that answered, or where it has lost them, from another."""
        if corpus.tombs_until <= state.began_at:
            return {}
        key = tombs_key(state.query.namespace)
        for tier in self._tiers[self._tiers.index(first) :]:
            _, maps = await tier.store.read((), [key], large=True)
            if fields := maps.get(key):
                return fields
        return {}

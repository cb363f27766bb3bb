"""Answers held, joined or computed: each at most once, as far as that can be had."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.models import Answer, CacheInfo, Query
from steadyrag.domain.search_ids import new_id
from steadyrag.resilience.answers import again
from steadyrag.resilience.breaker import CircuitOpen
from steadyrag.resilience.deadline import remaining_s
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.keys import lease_key
from steadyrag.resilience.request_state import RequestState
from steadyrag.resilience.shared_state import SharedState
from steadyrag.resilience.single_flight import SingleFlight

type Compute = Callable[[RequestState], Awaitable[Answer]]

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_LONGEST_LEASE_S = 30.0
_LOOKS_FIRST = 3
_MOST_FAILED_LOOKS = 2


class AnswerCache:
    """Answers from the caches where they can.

    Concurrent identical questions are computed once in a process, and across processes by
    whoever gets the lease; the others look whether the answer has come, for `wait_s` or half
    of the time they have left, and then compute it themselves.
    """

    def __init__(
        self,
        shared: SharedState,
        *,
        wait_s: float = 5.0,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self.shared = shared
        self._wait_s = wait_s
        self._new_id = new_id
        self._flights = SingleFlight[Answer]()

    async def answer(
        self,
        query: Query,
        compute: Compute,
        *,
        refresh: bool = False,
        variant: str = "default",
    ) -> Answer:
        """The answer held for this question, or a computed one, which is stored when it is
        good. `refresh` computes in any case. Raises what `compute` raises; its own answers
        of status `stale` are passed on as they are."""
        state = await self.shared.open(query, variant=variant, refresh=refresh)
        if held := self._hit(state):
            return held
        # The version is part of it: who knows of a change must not join who does not.
        key = (state.key, state.version, refresh)
        answer, joined = await self._flights.run(key, lambda: self._compute(state, compute))
        if not joined:
            return answer
        # What the stages took and cost is said once, by the request that they ran for.
        computed = answer.cache.status not in ("hit", "stale")
        info = CacheInfo("hit", "flight", 0) if computed else answer.cache
        return again(answer, info, search_id=self._new_id())

    async def _compute(self, state: RequestState, compute: Compute) -> Answer:
        if state.refresh or not state.storable or state.tier is None:
            return await self._afresh(state, compute)
        return await self._under_lease(state, state.tier.store, compute)

    async def _afresh(self, state: RequestState, compute: Compute) -> Answer:
        answer = await compute(state)
        await self.shared.keep(state, answer)
        if answer.cache.status == "stale":
            return answer
        if state.version is None:
            return replace(answer, cache=CacheInfo("off"))
        return replace(answer, cache=CacheInfo("bypass" if state.refresh else "miss"))

    async def _under_lease(
        self, state: RequestState, store: GuardedStore, compute: Compute
    ) -> Answer:
        lease, owner = lease_key(state.key), uuid.uuid4().hex
        try:
            held = await store.claim(lease, owner, ttl_s=_lease_s())
        except DependencyError:
            return await self._afresh(state, compute)
        try:
            # Whoever had the lease before may have finished since the batch was read.
            found = await (self._look(state) if held else self._wait(state, store, lease, owner))
            return found or await self._afresh(state, compute)
        finally:
            if held:
                with suppress(DependencyError):
                    await store.release(lease, owner)

    async def _wait(
        self, state: RequestState, store: GuardedStore, lease: str, owner: str
    ) -> Answer | None:
        """The answer that somebody else is computing; None when it takes too long, or when
        the lease is free again without one: then it can't be held, and waiting is no use.

        The first looks, which follow each other fast, are reads alone: asking for the lease is
        a write of one item by everybody. One look that fails is no reason to do the work twice.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + min(remaining_s() / 2, self._wait_s)
        pause_s, looks, failed = _FIRST_PAUSE_S, 0, 0
        while loop.time() + pause_s < ends_at and failed < _MOST_FAILED_LOOKS:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.6, _LONGEST_PAUSE_S)
            looks += 1
            try:
                if await self.shared.look_again(state):
                    return self._hit(state)
                if looks > _LOOKS_FIRST and await store.claim(lease, owner, ttl_s=_lease_s()):
                    with suppress(DependencyError):
                        await store.release(lease, owner)
                    return await self._look(state)
            except CircuitOpen:
                return None
            except DependencyError:
                failed += 1
        return None

    async def _look(self, state: RequestState) -> Answer | None:
        with suppress(DependencyError):
            if await self.shared.look_again(state):
                return self._hit(state)
        return None

    def _hit(self, state: RequestState) -> Answer | None:
        return state.hit(self.shared.clock(), self._new_id())


def _lease_s() -> float:
    """Not longer than the holder may take, should it die."""
    return max(1.0, min(remaining_s() + 1.0, _LONGEST_LEASE_S))

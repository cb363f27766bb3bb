"""A shared store that cannot hold up a request: short time limits and its own breaker."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from steadyrag.domain.errors import DependencyError, Unavailable
from steadyrag.domain.ports import Allowance, SharedStore, Warmable
from steadyrag.resilience.breaker import LocalBreaker

log = logging.getLogger(__name__)


class GuardedStore:
    """A `SharedStore` that answers within `timeout_s` or raises.

    A call pays for a new connection when it is the first, or the first after `idle_s` of
    quiet, when a frozen environment has lost its sockets: it gets `connect_s`. The breaker is
    this process's own: a store can't share its state through itself.
    """

    def __init__(
        self,
        store: SharedStore,
        *,
        breaker: LocalBreaker | None = None,
        timeout_s: float = 0.1,
        connect_s: float = 0.5,
        idle_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.breaker = breaker or LocalBreaker(store.name, clock=clock)
        self._timeout_s = timeout_s
        self._connect_s = connect_s
        self._idle_s = idle_s
        self._clock = clock
        self._last_outcome_at = float("-inf")

    @property
    def name(self) -> str:
        return self._store.name

    async def read(
        self, values: Sequence[str], maps: Sequence[str] = (), *, large: bool = False
    ) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
        """`large` gives the time of a first call to what is seldom read and may be long."""
        return await self._call(lambda: self._store.read(values, maps), patient=large)

    async def write(self, values: Mapping[str, bytes], *, ttl_s: float) -> None:
        await self._call(lambda: self._store.write(values, ttl_s=ttl_s))

    async def delete(self, values: Sequence[str]) -> None:
        await self._call(lambda: self._store.delete(values))

    async def update(
        self,
        key: str,
        *,
        put: Mapping[str, bytes] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        ttl_s: float | None = None,
    ) -> dict[str, bytes]:
        return await self._call(
            lambda: self._store.update(key, put=put, add=add, remove=remove, ttl_s=ttl_s)
        )

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        return await self._call(lambda: self._store.claim(key, owner, ttl_s=ttl_s))

    async def release(self, key: str, owner: str) -> None:
        await self._call(lambda: self._store.release(key, owner))

    async def take(self, key: str, *, limit: int, window_s: int) -> Allowance:
        return await self._call(lambda: self._store.take(key, limit=limit, window_s=window_s))

    async def warm(self) -> None:
        """Loads what the first call would need and has no time for; opens no connection."""
        if isinstance(self._store, Warmable):
            with suppress(DependencyError):
                await self._store.warm()

    async def aclose(self) -> None:
        await self._store.aclose()

    async def _call[T](self, call: Callable[[], Awaitable[T]], *, patient: bool = False) -> T:
        quiet = self._clock() - self._last_outcome_at > self._idle_s
        timeout_s = self._connect_s if patient or quiet else self._timeout_s
        try:
            result = await self.breaker.guard(call, timeout_s=timeout_s)
        except TimeoutError:
            self._last_outcome_at = self._clock()
            raise Unavailable(self.name, f"took longer than {timeout_s:g} s") from None
        except DependencyError:
            self._last_outcome_at = self._clock()
            raise
        except Exception as error:  # a bug in an adapter costs the cache, not the answer
            log.exception("store broke", extra={"store": self.name})
            raise Unavailable(self.name, type(error).__name__) from error
        self._last_outcome_at = self._clock()
        return result

"""A shared store that cannot hold up a request: short time limits and its own breaker."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from steadyrag.domain.errors import DependencyError, Refused, Unavailable
from steadyrag.domain.ports import Allowance, SharedStore, Warmable
from steadyrag.resilience.breaker import CircuitOpen, LocalBreaker
from steadyrag.resilience.deadline import remaining_s

log = logging.getLogger(__name__)

LOG_EVERY_S = 60.0

_SHARE = 0.25
_LEAST_S = 0.05


class GuardedStore:
    """A `SharedStore` that answers within `timeout_s` or raises.

    No call takes more than a quarter of what a request's deadline leaves, or 50 ms. One pays
    for a new connection when it is the first, the first after `idle_s` of quiet, when a frozen
    environment has lost its sockets, or the one that asks whether a store is back: it gets
    `connect_s`. The breaker is this process's
    own: a store can't share its state through itself.
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
        self.inner = store
        self.breaker = breaker or LocalBreaker(store.name, clock=clock)
        self._timeout_s = timeout_s
        self._connect_s = connect_s
        self._idle_s = idle_s
        self._clock = clock
        self._last_outcome_at = float("-inf")
        self._told_at = float("-inf")

    @property
    def name(self) -> str:
        return self.inner.name

    async def read(
        self, values: Sequence[str], maps: Sequence[str] = (), *, large: bool = False
    ) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
        """`large` gives the time of a first call to what is seldom read and may be long."""
        return await self._call(lambda: self.inner.read(values, maps), patient=large)

    async def write(self, values: Mapping[str, bytes], *, ttl_s: float) -> None:
        await self._call(lambda: self.inner.write(values, ttl_s=ttl_s))

    async def delete(self, values: Sequence[str]) -> None:
        await self._call(lambda: self.inner.delete(values))

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
            lambda: self.inner.update(key, put=put, add=add, remove=remove, ttl_s=ttl_s)
        )

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        return await self._call(lambda: self.inner.claim(key, owner, ttl_s=ttl_s))

    async def release(self, key: str, owner: str) -> None:
        await self._call(lambda: self.inner.release(key, owner))

    async def take(self, key: str, *, limit: int, window_s: int) -> Allowance:
        return await self._call(lambda: self.inner.take(key, limit=limit, window_s=window_s))

    async def warm(self) -> None:
        """Loads what the first call would need and has no time for; opens no connection."""
        if not isinstance(self.inner, Warmable):
            return
        try:
            await self.inner.warm()
        except Exception as error:  # the first call meets it again, and is a miss
            log.warning("store not ready", extra={"store": self.name, "reason": str(error)})

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _call[T](self, call: Callable[[], Awaitable[T]], *, patient: bool = False) -> T:
        quiet = self._clock() - self._last_outcome_at > self._idle_s
        # A store that was down has lost our connections.
        new = quiet or self.breaker.state == "half_open"
        usual_s = self._connect_s if patient or new else self._timeout_s
        timeout_s = min(usual_s, max(_LEAST_S, _SHARE * remaining_s()))
        try:
            result = await self.breaker.guard(call, timeout_s=timeout_s, fair_s=usual_s)
        except TimeoutError:
            self._last_outcome_at = self._clock()
            raise Unavailable(self.name, f"took longer than {timeout_s:g} s") from None
        except CircuitOpen:  # not called: that it was quiet goes on
            raise
        except DependencyError as error:
            self._last_outcome_at = self._clock()
            if isinstance(error, Refused):
                self._tell(error)
            raise
        except Exception as error:  # a bug in an adapter costs the cache, not the answer
            log.exception("store broke", extra={"store": self.name})
            raise Unavailable(self.name, type(error).__name__) from error
        self._last_outcome_at = self._clock()
        return result

    def _tell(self, error: Refused) -> None:
        """A store that refuses us is up, and of no use until somebody acts."""
        now = self._clock()
        if abs(now - self._told_at) >= LOG_EVERY_S:
            self._told_at = now
            log.warning("store refuses us", extra={"store": self.name, "reason": error.problem})

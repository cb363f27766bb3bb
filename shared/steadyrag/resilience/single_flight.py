"""Concurrent identical work in one process, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from steadyrag.resilience.deadline import remaining_s

_MOST_RESERVE_S = 1.0
"""What a request whose deadline comes first keeps, to answer with what it can get itself."""


@dataclass(frozen=True, slots=True)
class _Flight[T]:
    outcome: asyncio.Future[T]
    ends_at: float


class SingleFlight[T]:
    """The first to ask computes, within its own deadline and context; the others wait.

    When the first is cancelled, one of those who wait begins anew; its exception reaches them
    all. Nobody waits beyond its own deadline, nor for somebody with less than half of its
    time left: that one may have to settle for a worse answer.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def run(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result, and whether somebody else computed it."""
        loop = asyncio.get_running_loop()
        while True:
            flight = self._flights.get(key)
            left_s = remaining_s()
            if flight is None or flight.ends_at - loop.time() < left_s / 2:
                return await self._lead(key, compute), False
            sooner = left_s < 0.9 * (flight.ends_at - loop.time())
            patience_s = left_s - min(_MOST_RESERVE_S, left_s / 4) if sooner else left_s
            await asyncio.wait(
                {flight.outcome}, timeout=None if patience_s == float("inf") else patience_s
            )
            if not flight.outcome.done():
                return await compute(), False
            if not flight.outcome.cancelled():
                return flight.outcome.result(), True

    async def _lead(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        flight = _Flight[T](loop.create_future(), loop.time() + remaining_s())
        self._flights[key] = flight
        try:
            result = await compute()
        except Exception as error:
            flight.outcome.set_exception(error)
            flight.outcome.exception()  # retrieved, in case nobody waits for it
            raise
        except BaseException:
            flight.outcome.cancel()
            raise
        else:
            flight.outcome.set_result(result)
            return result
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def __len__(self) -> int:
        return len(self._flights)

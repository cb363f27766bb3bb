"""A worker of `fleet`: one environment as far as it shares limits and circuits.

It is told where the store is.
"""

import asyncio
import json
import sys
import time
from typing import Any

from integration.fleet import obey
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.limits import Rules, parse_limit
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.breaker import CircuitOpen
from steadyrag.resilience.breakers import BREAKERS_KEY, Breakers
from steadyrag.resilience.limiter import Caller, RateLimiter

PATIENT_S = 20.0
"""The stores get their time here: what is measured is who counts, not how fast."""


class Clock:
    """The real time, and as much more as tests say."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Environment:
    def __init__(self, store: SharedStore, clock: Clock) -> None:
        self.clock = clock
        self.store = store
        self.breakers = Breakers([store], clock=clock)

    async def limited(self, *, user: str, limit: str, times: int) -> dict[str, int]:
        """`times` requests at once; how many passed, and how many the store counted."""
        alone: list[str] = []
        limiter = RateLimiter(
            [self.store], rules=Rules(user=parse_limit(limit)), on_fallback=alone.append
        )
        checks = (limiter.check(Caller(user=user), route="/search") for _ in range(times))
        decisions = await asyncio.gather(*checks)
        return {"passed": sum(one.allowed for one in decisions), "alone": len(alone)}

    async def guarded(
        self, *, dependency: str, up: bool, times: int, ahead_s: float = 0.0
    ) -> dict[str, int]:
        """`times` requests one after the other; how many reached the dependency, how many
        were answered, and how many were refused by the circuit."""
        self.clock.ahead_s = ahead_s
        seen = {"reached": 0, "answered": 0, "refused": 0}

        async def call() -> None:
            seen["reached"] += 1
            await asyncio.sleep(0.002)
            if not up:
                raise Unavailable(dependency, "refused the connection")

        for _ in range(times):
            _, maps = await self.store.read((), (BREAKERS_KEY,))
            self.breakers.absorb(maps.get(BREAKERS_KEY, {}), held_in=self.store.name)
            try:
                await self.breakers.guard(dependency, call)
                seen["answered"] += 1
            except CircuitOpen:
                seen["refused"] += 1
            except Unavailable:
                pass
        return seen


def open_store(*, kind: str, clock: Clock, **where: Any) -> SharedStore:
    if kind == "valkey":
        return ValkeyStore(timeout_s=PATIENT_S, connect_timeout_s=PATIENT_S, clock=clock, **where)
    return DynamoStore(timeout_s=PATIENT_S, connect_timeout_s=PATIENT_S, clock=clock, **where)


async def main(where: dict[str, Any]) -> None:
    clock = Clock()
    environment = Environment(open_store(clock=clock, **where), clock)
    await environment.store.read(("warm",))
    await obey(environment)
    await environment.store.aclose()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

"""A queue inside the process. What is in it ends with the process; what it was about is found
again by comparing the bucket with the ledger."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from steadyrag.domain.ledger import Letter

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 900


class LocalQueue:
    """Implements `Queue`; who works it off asks `receive`. For one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: list[tuple[float, int, Letter]] = []
        self._numbers = itertools.count(1)
        self._came = asyncio.Event()

    async def send(
        self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None
    ) -> None:
        if not 0 <= delay_s <= LONGEST_DELAY_S:
            raise ValueError(f"a delay of {delay_s} s: from 0 to {LONGEST_DELAY_S} are possible")
        name = f"letter-{next(self._numbers)}"
        self._put(Letter(name, body, 0, dict(attributes or {})), delay_s)

    async def receive(self, most: int = 10) -> list[Letter]:
        """Waits until something is due; returns the `most` that have been so longest. They
        are the caller's, who may `give_back` what failed."""
        while not (due := self._due(most)):
            self._came.clear()
            left_s = self._waiting[0][0] - self._clock() if self._waiting else None
            try:
                async with asyncio.timeout(left_s):
                    await self._came.wait()
            except TimeoutError:
                continue
        return due

    def give_back(self, letter: Letter, *, delay_s: float = 0.0) -> None:
        """To be received again."""
        self._put(letter, delay_s)

    async def aclose(self) -> None:
        """Nothing to drop: what waits can still be received."""

    def _put(self, letter: Letter, delay_s: float) -> None:
        due_at = self._clock() + delay_s
        heapq.heappush(self._waiting, (due_at, next(self._numbers), letter))
        self._came.set()

    def _due(self, most: int) -> list[Letter]:
        due: list[Letter] = []
        while self._waiting and len(due) < most and self._waiting[0][0] <= self._clock():
            _, _, letter = heapq.heappop(self._waiting)
            due.append(replace(letter, receive_count=letter.receive_count + 1))
        return due


class LoggedQueue:
    """Implements `Queue` where nobody works it off: what comes is said in the log."""

    async def send(
        self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None
    ) -> None:
        log.warning("not taken in", extra={"reason": dict(attributes or {}).get("reason")})

    async def aclose(self) -> None:
        """Nothing to drop."""

"""Slowing down together: when a vendor asks one ingest worker to wait, all of them do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import SharedStore

PAUSE_KEY = "sr:ingest:pause"


class Pause:
    """Kept in the first of the stores that answers; where none does, everybody waits for
    himself."""

    def __init__(
        self, stores: Sequence[SharedStore], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._stores = stores
        self._clock = clock

    async def left_s(self) -> float:
        """Seconds that everybody still waits; 0 when nobody does."""
        for store in self._stores:
            try:
                values, _ = await store.read([PAUSE_KEY])
            except DependencyError:
                continue
            try:
                return max(0.0, float(values.get(PAUSE_KEY, b"0")) - self._clock())
            except ValueError:
                return 0.0
        return 0.0

    async def begin(self, seconds: float) -> None:
        """A shorter one does not end a longer one that has begun."""
        if seconds <= await self.left_s():
            return
        until = f"{self._clock() + seconds:.3f}".encode()
        for store in self._stores:
            try:
                await store.write({PAUSE_KEY: until}, ttl_s=seconds + 1)
            except DependencyError:
                continue
            return

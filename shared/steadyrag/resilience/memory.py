"""What one process remembers: bounded by entries and by bytes, oldest use forgotten first."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from cachetools import LRUCache

type Clock = Callable[[], float]


class _Held[T](NamedTuple):
    value: T
    size: int
    expires_at: float


class Memory[K: Hashable, T]:
    """Expiry is compared on read, by wall-clock time: an environment that was frozen wakes up
    with what is over gone. Sizes are the caller's estimates, in bytes."""

    def __init__(self, *, entries: int, size_bytes: int, clock: Clock) -> None:
        self._entries = entries
        self._clock = clock
        self._held: LRUCache[K, _Held[T]] = LRUCache(size_bytes, lambda held: held.size)

    def get(self, key: K) -> T | None:
        held = self._held.get(key)
        if held is None:
            return None
        if held.expires_at <= self._clock():
            del self._held[key]
            return None
        return held.value

    def put(self, key: K, value: T, *, size: int, ttl_s: float) -> None:
        """What is larger than everything allowed is not held."""
        self._held.pop(key, None)
        if ttl_s <= 0 or size > self._held.maxsize or self._entries < 1:
            return
        while len(self._held) >= self._entries:
            self._held.popitem()
        self._held[key] = _Held(value, size, self._clock() + ttl_s)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size_bytes(self) -> float:
        return self._held.currsize

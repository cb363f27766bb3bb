"""A shared store in a dictionary, seen by everyone who holds the same object."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fakes.trouble import Trouble
from steadyrag.domain import sliding_window
from steadyrag.domain.errors import Refused
from steadyrag.domain.ports import Allowance
from steadyrag.domain.sliding_window import Window

_WHOLE_NUMBER = re.compile(rb"-?[0-9]+")


@dataclass(slots=True)
class _Held[T]:
    content: T
    expires_at: float = float("inf")


@dataclass(slots=True)
class _Shelves:
    values: dict[str, _Held[bytes]] = field(default_factory=dict)
    maps: dict[str, _Held[dict[str, bytes]]] = field(default_factory=dict)
    leases: dict[str, _Held[str]] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)


class InMemoryStore(Trouble):
    """Keeps the promises of `SharedStore` with the clock it is given.

    `InMemoryStore(beside=store)` is another environment's connection to the same store: it
    shares what is held, and has a clock, failures and call counts of its own.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        name: str = "memory",
        beside: "InMemoryStore | None" = None,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._name = name
        self._shelves: _Shelves = beside._shelves if beside is not None else _Shelves()

    @property
    def name(self) -> str:
        return self._name

    async def read(
        self, values: Sequence[str], maps: Sequence[str] = ()
    ) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
        await self._called("read")
        return (
            {k: held for k in values if (held := self._live(self._shelves.values, k)) is not None},
            {k: dict(held) for k in maps if (held := self._live(self._shelves.maps, k))},
        )

    async def write(self, values: Mapping[str, bytes], *, ttl_s: float) -> None:
        await self._called("write")
        for key, value in values.items():
            self._shelves.values[key] = _Held(bytes(value), self._clock() + ttl_s)

    async def delete(self, values: Sequence[str]) -> None:
        await self._called("delete")
        for key in values:
            self._shelves.values.pop(key, None)

    async def update(
        self,
        key: str,
        *,
        put: Mapping[str, bytes] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        ttl_s: float | None = None,
    ) -> dict[str, bytes]:
        put, add = put or {}, add or {}
        if len({*put, *add, *remove}) != len(put) + len(add) + len(remove):
            raise ValueError("a field can be changed in one way at a time")
        await self._called("update")
        if self._live(self._shelves.maps, key) is None:
            self._shelves.maps[key] = _Held({})
        held = self._shelves.maps[key]
        if any(not _WHOLE_NUMBER.fullmatch(held.content.get(name, b"0")) for name in add):
            raise Refused(self._name, "a field to add to holds no whole number")
        if ttl_s is not None:
            held.expires_at = self._clock() + ttl_s
        for name in remove:
            held.content.pop(name, None)
        held.content.update(put)
        for name, amount in add.items():
            held.content[name] = b"%d" % (int(held.content.get(name, b"0")) + amount)
        return dict(held.content)

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        await self._called("claim")
        if self._live(self._shelves.leases, key) not in (None, owner):
            return False
        self._shelves.leases[key] = _Held(owner, self._clock() + ttl_s)
        return True

    async def release(self, key: str, owner: str) -> None:
        await self._called("release")
        if self._live(self._shelves.leases, key) == owner:
            del self._shelves.leases[key]

    async def take(self, key: str, *, limit: int, window_s: int) -> Allowance:
        await self._called("take")
        window, allowance = sliding_window.take(
            self._shelves.windows.get(key), limit=limit, now_s=self._clock(), window_s=window_s
        )
        self._shelves.windows[key] = window
        return allowance

    def _live[T](self, shelf: dict[str, _Held[T]], key: str) -> T | None:
        held = shelf.get(key)
        return held.content if held is not None and held.expires_at > self._clock() else None

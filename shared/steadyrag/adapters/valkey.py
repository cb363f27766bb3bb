"""The shared store on Valkey: a single server, or a cluster such as ElastiCache Serverless."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from steadyrag.adapters.valkey_client import NAME, ValkeyClient, reading
from steadyrag.adapters.valkey_scripts import CLAIM, EXPIRES, RELEASE, TAKE, UPDATE
from steadyrag.domain import sliding_window
from steadyrag.domain.ports import Allowance
from steadyrag.domain.sliding_window import Window

if TYPE_CHECKING:
    from steadyrag.adapters.valkey_iam import IamCredentials

_EXPIRY = struct.Struct(">d")
"""A value starts with its expiry, in epoch seconds of the writer's clock."""


class ValkeyStore:
    """Implements `SharedStore`.

    `url` is `redis://` or, with TLS, `rediss://`, with user and password where the server
    asks for them and no `credentials` do. `?cluster=true` or `false` saves the question which
    of the two it is; `?ssl_ca_certs=file` names a certificate authority of one's own.

    Where the server carried a call out and the connection broke before it could say so, the
    call is sent again: an `add` or a `take` may then count twice.
    """

    def __init__(
        self,
        *,
        url: str,
        timeout_s: float = 0.1,
        connect_timeout_s: float = 0.5,
        clock: Callable[[], float] = time.time,
        prefix: str = "sr:",
        credentials: IamCredentials | None = None,
    ) -> None:
        self._client = ValkeyClient(
            url=url,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            clock=clock,
            credentials=credentials,
        )
        self._clock = clock
        self._prefix = prefix

    @property
    def name(self) -> str:
        return NAME

    async def warm(self) -> None:
        """Imports what the first call needs, and signs in as far as that goes without a
        connection."""
        await self._client.warm()

    async def read(
        self, values: Sequence[str], maps: Sequence[str] = ()
    ) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
        commands = [("GET", self._prefix + key) for key in values]
        commands += [("HGETALL", self._prefix + key) for key in maps]
        replies = await self._client.run([(command[1], command) for command in commands])
        now_s = self._clock()
        with reading():
            held = {k: _value(r, now_s) for k, r in zip(values, replies, strict=False)}
            mapped = {
                k: _fields(r, now_s) for k, r in zip(maps, replies[len(values) :], strict=True)
            }
        return (
            {key: value for key, value in held.items() if value is not None},
            {key: fields for key, fields in mapped.items() if fields},
        )

    async def write(self, values: Mapping[str, bytes], *, ttl_s: float) -> None:
        expiry, ttl_ms = _EXPIRY.pack(self._clock() + ttl_s), _ms(ttl_s)
        keyed = [(self._prefix + key, value) for key, value in values.items()]
        await self._client.run(
            [(key, ("SET", key, expiry + value, "PX", ttl_ms)) for key, value in keyed]
        )

    async def delete(self, values: Sequence[str]) -> None:
        keys = [self._prefix + key for key in values]
        await self._client.run([(key, ("DEL", key)) for key in keys])

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
        now_s = self._clock()
        until = ("", "") if ttl_s is None else (_ms(now_s + ttl_s), _ms(ttl_s))
        counts = (2 * len(add), 2 * len(put), len(remove))
        words = [*_flat(add), *_flat(put), *remove]
        reply = await self._client.script(
            UPDATE, self._prefix + key, _ms(now_s), *until, *counts, *words
        )
        with reading():
            return _fields(dict(zip(reply[::2], reply[1::2], strict=True)), now_s)

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        now_s = self._clock()
        reply = await self._client.script(
            CLAIM, self._prefix + key, _ms(now_s), _ms(now_s + ttl_s), _ms(ttl_s), owner
        )
        return bool(reply == 1)

    async def release(self, key: str, owner: str) -> None:
        await self._client.script(RELEASE, self._prefix + key, owner)

    async def take(self, key: str, *, limit: int, window_s: int) -> Allowance:
        now_s = self._clock()
        reply = await self._client.script(
            TAKE, self._prefix + key, repr(now_s / window_s), limit, _ms(2.0 * window_s)
        )
        with reading():
            taken, bucket, count, previous = map(int, reply)
            return sliding_window.verdict(
                Window(bucket, count, previous),
                allowed=taken == 1,
                limit=limit,
                now_s=now_s,
                window_s=window_s,
            )

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()


def _value(reply: bytes | None, now_s: float) -> bytes | None:
    if reply is None:
        return None
    (expires_at,) = _EXPIRY.unpack_from(reply)
    return reply[_EXPIRY.size :] if expires_at > now_s else None


def _fields(reply: dict[bytes, bytes], now_s: float) -> dict[str, bytes]:
    expires_ms = reply.pop(EXPIRES, None)
    if expires_ms is not None and int(expires_ms) <= _ms(now_s):
        return {}
    return {field.decode(): value for field, value in reply.items()}


def _flat(pairs: Mapping[str, bytes] | Mapping[str, int]) -> Iterable[str | bytes | int]:
    return (word for pair in pairs.items() for word in pair)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))

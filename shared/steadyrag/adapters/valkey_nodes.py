"""Valkey's servers behind one URL: which of them holds a key, and a pipeline to each.

The client library's own cluster client costs 26 ms of CPU and two more handshakes before its
first command, and again after every dropped connection. What the store needs is little: each
command has one key, and the slot of the key says where it goes.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from steadyrag.domain.errors import ConfigError

if TYPE_CHECKING:
    from redis.credentials import CredentialProvider

type Redis = Any
"""A `redis.asyncio.Redis`; half of its methods have no types."""

type Command = tuple[str | bytes | int, ...]
type Keyed = tuple[str, Command]
"""A command beside its one key."""

MAX_CONNECTIONS = 32
"""To each server. Where more calls come at once, they wait their turn."""


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """`url` is as the client library takes it; `cluster` is None where the server is asked."""

    url: str
    cluster: bool | None
    ca_file: str | None

    @property
    def tls(self) -> bool:
        return self.url.startswith("rediss:")

    @classmethod
    def of(cls, url: str) -> Address:
        """Takes our own words out of the query. Raises `ConfigError`, without the URL in it:
        it may hold a password."""
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ConfigError("a cache URL looks like redis://host:6379 or rediss://host:6379")
        query = dict(parse_qsl(parts.query))
        cluster = query.pop("cluster", "").lower()
        if cluster not in ("", "true", "false"):
            raise ConfigError("in a cache URL, cluster is true or false")
        ca_file = query.pop("ssl_ca_certs", None)
        plain = parts._replace(query=urlencode(query)).geturl()
        return cls(plain, cluster == "true" if cluster else None, ca_file)


class ValkeyNodes:
    """Connects when first used. Raises what the client library raises. `credentials` are asked
    whenever a connection is opened."""

    def __init__(
        self,
        address: Address,
        *,
        connect_timeout_s: float,
        credentials: CredentialProvider | None = None,
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._cluster = address.cluster
        self._connect_timeout_s = connect_timeout_s
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._looking = asyncio.Lock()
        self._nodes: dict[tuple[str, int], Redis] = {}
        self._starts: list[int] = []
        self._holders: list[Redis] = []
        self.epoch = 0
        """Goes up whenever connections are dropped."""

    @property
    def connected(self) -> bool:
        return bool(self._holders)

    async def run(self, commands: Sequence[Keyed]) -> list[Any]:
        """Runs all commands, in one round trip to each server concerned.

        An error that a server answers to one command is in the list, in its place. What has
        moved to another server since the last look is asked for there.
        """
        from redis.exceptions import MovedError

        async with self._turns:
            if not self._holders:
                async with self._looking:
                    if not self._holders:
                        await self._look()
            results = await self._spread(commands)
            moved = [i for i, result in enumerate(results) if isinstance(result, MovedError)]
            if moved:
                await self._look()
                again = await self._spread([commands[i] for i in moved])
                for i, result in zip(moved, again, strict=True):
                    results[i] = result
            return results

    async def forget(self, epoch: int) -> None:
        """Drops the connections of `epoch`, unless somebody has already: idle ones at once,
        those in use when their command is over. The next `run` connects anew."""
        if epoch != self.epoch:
            return
        self.epoch += 1
        self._holders = []
        for node in self._nodes.values():
            await node.connection_pool.update_active_connections_for_reconnect()
            await node.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        for node in self._nodes.values():
            await node.aclose()

    async def _spread(self, commands: Sequence[Keyed]) -> list[Any]:
        if len(self._holders) == 1:
            return await _pipelined(self._holders[0], [command for _, command in commands])
        from redis.crc import key_slot

        places: dict[Redis, list[int]] = {}
        for i, (key, _) in enumerate(commands):
            part = bisect_right(self._starts, key_slot(key.encode())) - 1
            places.setdefault(self._holders[part], []).append(i)
        replies = await asyncio.gather(
            *(_pipelined(node, [commands[i][1] for i in at]) for node, at in places.items()),
            return_exceptions=True,
        )
        results: list[Any] = [None] * len(commands)
        for at, reply in zip(places.values(), replies, strict=True):
            if isinstance(reply, BaseException):
                raise reply
            for i, result in zip(at, reply, strict=True):
                results[i] = result
        return results

    async def _look(self) -> None:
        """Learns which server holds which slots, from the one in the URL."""
        first = self._node("", None)
        if self._cluster is None:
            hello = await first.execute_command("HELLO")
            words = dict(zip(hello[::2], hello[1::2], strict=False))
            self._cluster = words.get(b"mode") == b"cluster"
        parts = [(0, first)]
        if self._cluster:
            parts = [
                (int(slots[0]), self._node((slots[2][0] or b"").decode(), int(slots[2][1])))
                for slots in await first.execute_command("CLUSTER", "SLOTS")
            ]
            parts.sort(key=lambda part: part[0])
            if not parts:
                from redis.exceptions import ClusterDownError

                raise ClusterDownError("no server holds any slot")
        if len({id(node) for _, node in parts}) == 1:
            parts = parts[:1]
        self._starts = [start for start, _ in parts]
        self._holders = [node for _, node in parts]

    def _node(self, host: str, port: int | None) -> Redis:
        """The client of one server; an empty host is the one in the URL, as the cluster
        protocol has it."""
        import redis.asyncio
        from redis.asyncio.connection import ConnectionPool, parse_url
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        options: dict[str, Any] = {"port": 6379, **parse_url(self._address.url)}
        at = host or options["host"], port or options["port"]
        if at not in self._nodes:
            options |= {
                "host": at[0],
                "port": at[1],
                "protocol": 2,  # without a password, a new connection needs no word first
                "driver_info": None,
                "retry": Retry(NoBackoff(), 0),
                "socket_timeout": None,  # the call as a whole has one
                "socket_connect_timeout": self._connect_timeout_s,
                "credential_provider": self._credentials,
                "max_connections": 2 * MAX_CONNECTIONS,
                "connection_class": connection_class(
                    tls=self._address.tls, ca_file=self._address.ca_file
                ),
            }
            self._nodes[at] = redis.asyncio.Redis.from_pool(ConnectionPool(**options))
        return self._nodes[at]


@functools.cache
def connection_class(*, tls: bool, ca_file: str | None) -> type[Any]:
    """Connections that share one TLS context, because making one costs 15 ms of CPU, and that
    close without a farewell, because a peer that is gone would keep us waiting for its own."""
    from redis.asyncio.connection import Connection, SSLConnection

    class Abrupt(Connection):
        async def on_connect_check_health(self, check_health: bool = True) -> None:
            """Gives up a connection whose caller gives up before it has signed in: the library
            would keep it and use it as it is."""
            try:
                await super().on_connect_check_health(check_health)
            except BaseException:
                await self.disconnect(True)
                raise

        async def disconnect(
            self,
            nowait: bool = False,
            error: Exception | None = None,
            failure_count: int | None = None,
            health_check_failed: bool = False,
        ) -> None:
            if self._writer is not None:
                self._writer.transport.abort()
            await super().disconnect(True, error, failure_count, health_check_failed)

    if not tls:
        return Abrupt
    context = ssl.create_default_context(cafile=ca_file)

    class AbruptTls(Abrupt, SSLConnection):
        def _connection_arguments(self) -> Mapping[str, Any]:
            return {**super(SSLConnection, self)._connection_arguments(), "ssl": context}

    return AbruptTls


async def _pipelined(node: Redis, commands: Sequence[Command]) -> list[Any]:
    from redis.exceptions import ResponseError

    if len(commands) == 1:
        try:
            return [await node.execute_command(*commands[0])]
        except ResponseError as error:
            return [error]
    pipeline = node.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    results: list[Any] = await pipeline.execute(raise_on_error=False)
    return results

"""The shared store on DynamoDB: one table, every change one conditional write."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import batched
from typing import Any

from cachetools import LRUCache

from steadyrag.adapters.dynamodb_client import NAME, ConditionFailed, DynamoClient, Item, reading
from steadyrag.adapters.dynamodb_items import (
    MAX_VALUE_BYTES,
    change_map,
    count_one,
    expiry,
    fields_of,
    key_of,
    live,
    ms,
    new_map,
    number,
    window_of,
)
from steadyrag.domain import sliding_window
from steadyrag.domain.errors import Throttled, Unavailable
from steadyrag.domain.ports import Allowance
from steadyrag.domain.sliding_window import Window

log = logging.getLogger(__name__)

READ_AT_ONCE, WRITE_AT_ONCE = 100, 25

PAUSES_S = (0.0, 0.02, 0.04)
"""Before asking again for what DynamoDB left out of a batch because it was too busy."""

WINDOWS_REMEMBERED = 1000

ATTEMPTS = 6
"""To change an item that others change as well; each failure shows what it is now."""


class DynamoStore:
    """Implements `SharedStore`.

    A value over 400 KiB is not kept, and what its key held is removed. Where the service
    carried a call out and the connection broke before it could say so, the call is sent
    again: an `add` or a `take` may then count twice.

    With `local`, `endpoint_url` is a stand-in for DynamoDB on this machine, which needs no
    credentials; raises `ConfigError` where it is not on this machine.
    """

    def __init__(
        self,
        *,
        table: str,
        endpoint_url: str | None = None,
        region: str | None = None,
        timeout_s: float = 0.1,
        connect_timeout_s: float = 0.5,
        local: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._clock = clock
        self._windows: LRUCache[str, Window] = LRUCache(WINDOWS_REMEMBERED)
        self._client = DynamoClient(
            endpoint_url=endpoint_url,
            region=region,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            local=local,
            clock=clock,
        )

    @property
    def name(self) -> str:
        return NAME

    async def warm(self) -> None:
        """Imports boto3 and makes its client; opens no connection."""
        await self._client.load()

    async def read(
        self, values: Sequence[str], maps: Sequence[str] = ()
    ) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
        items: dict[str, Item] = {}
        for keys in batched(dict.fromkeys([*values, *maps]), READ_AT_ONCE, strict=False):
            items |= await self._batch_get(keys)
        now_s = self._clock()
        with reading():
            found = {key: item for key, item in items.items() if live(item, now_s)}
            return (
                {k: bytes(found[k]["v"]["B"]) for k in values if "v" in found.get(k, {})},
                {k: fields for k in maps if (fields := fields_of(found.get(k, {})))},
            )

    async def write(self, values: Mapping[str, bytes], *, ttl_s: float) -> None:
        expires = expiry(self._clock() + ttl_s)
        requests: list[dict[str, Any]] = []
        for key, value in values.items():
            if len(value) > MAX_VALUE_BYTES:
                log.warning("a value of %d bytes is too large for DynamoDB", len(value))
                requests.append({"DeleteRequest": {"Key": key_of(key)}})
            else:
                item = {**key_of(key), "v": {"B": value}, **expires}
                requests.append({"PutRequest": {"Item": item}})
        await self._batch_write(requests)

    async def delete(self, values: Sequence[str]) -> None:
        keys = dict.fromkeys(values)
        await self._batch_write([{"DeleteRequest": {"Key": key_of(key)}} for key in keys])

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
        expires_at_s = None if ttl_s is None else now_s + ttl_s
        change = change_map(put, add, remove, expires_at_s, now_s)
        for _ in range(ATTEMPTS):
            try:
                answer = await self._call(
                    "update_item", Key=key_of(key), ReturnValues="ALL_NEW", **change
                )
                with reading():
                    return fields_of(answer["Attributes"])
            except ConditionFailed as expired:
                fresh = new_map(key, put, add, expires_at_s)
                if expired.item is not None and await self._replaced(expired.item, fresh):
                    return fields_of(fresh)
        raise _contended()

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        now_s = self._clock()
        try:
            await self._call(
                "put_item",
                Item={**key_of(key), "o": {"S": owner}, **expiry(now_s + ttl_s)},
                ConditionExpression="attribute_not_exists(k) OR x <= :now OR o = :owner",
                ExpressionAttributeValues={":now": number(ms(now_s)), ":owner": {"S": owner}},
            )
        except ConditionFailed:
            return False
        return True

    async def release(self, key: str, owner: str) -> None:
        try:
            await self._call(
                "delete_item",
                Key=key_of(key),
                ConditionExpression="o = :owner",
                ExpressionAttributeValues={":owner": {"S": owner}},
            )
        except ConditionFailed:
            return

    async def take(self, key: str, *, limit: int, window_s: int) -> Allowance:
        """One round trip, or two where this process has not seen the caller's window lately.

        The condition names the window that the verdict was made for, so it is the service
        that counts, one caller after the other.
        """
        held, seen = self._windows.get(key), False
        for _ in range(ATTEMPTS):
            now_s = self._clock()
            verdict = partial(sliding_window.verdict, limit=limit, now_s=now_s, window_s=window_s)
            window = sliding_window.current_window(held, now_s=now_s, window_s=window_s)
            room = sliding_window.room(window, limit=limit, now_s=now_s, window_s=window_s)
            if window.count >= room and (seen or held is None):
                return verdict(window, allowed=False)
            if window.count >= room:  # by what may be old: the next attempt shows what is there
                held = None
                continue
            change = count_one(held, window, room=room, expires_at_s=now_s + 2 * window_s)
            try:
                answer = await self._call("update_item", Key=key_of(key), **change)
            except ConditionFailed as failed:
                with reading():
                    held, seen = window_of(failed.item), True
                continue
            with reading():
                counted = window_of(answer["Attributes"])
            self._windows[key] = counted or window
            return verdict(counted or window, allowed=True)
        raise _contended()

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()

    async def _replaced(self, expired: Item, fresh: Item) -> bool:
        """Whether `fresh` has taken the place of an expired map, which nobody had touched."""
        try:
            await self._call(
                "put_item",
                Item=fresh,
                ConditionExpression="x = :expired",
                ExpressionAttributeValues={":expired": expired["x"]},
            )
        except ConditionFailed:
            return False
        return True

    async def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        conditional = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        return await self._client.call(operation, TableName=self._table, **conditional, **request)

    async def _batch_get(self, keys: Sequence[str]) -> dict[str, Item]:
        items: list[Item] = []
        left: Any = {self._table: {"Keys": [key_of(key) for key in keys], "ConsistentRead": True}}
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            answer = await self._client.call("batch_get_item", RequestItems=left)
            with reading():
                items += answer["Responses"].get(self._table, [])
                left = answer.get("UnprocessedKeys")
                if not left:
                    return {item["k"]["S"]: item for item in items}
        raise Throttled(NAME, "left keys unread")

    async def _batch_write(self, requests: Sequence[Mapping[str, Any]]) -> None:
        for some in batched(requests, WRITE_AT_ONCE, strict=False):
            left: Any = {self._table: list(some)}
            for pause_s in PAUSES_S:
                await asyncio.sleep(pause_s)
                answer = await self._client.call("batch_write_item", RequestItems=left)
                left = answer.get("UnprocessedItems")
                if not left:
                    break
            else:
                raise Throttled(NAME, "left items unwritten")


def _contended() -> Unavailable:
    return Unavailable(NAME, f"others changed the item {ATTEMPTS} times in between")

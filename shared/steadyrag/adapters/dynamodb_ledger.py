"""The ledger on DynamoDB: an item for each document, every change one conditional update."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from steadyrag.adapters.dynamodb_client import NAME, ConditionFailed, DynamoClient, Item, reading
from steadyrag.adapters.dynamodb_ledger_items import (
    ENTRY,
    RECORD,
    change,
    entry_of,
    float_of,
    forgotten_at,
    is_forgotten,
    key_of,
    number,
    record_attributes,
    record_of,
    said,
    text,
    text_of,
)
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ledger import Entry, Held, LeaseLost, Outcome
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

NAMESPACES = "#"
"""Under which the namespaces are listed. No namespace is called that."""

ATTEMPTS = 3
"""To begin anew with a document that was deleted so long ago that it counts as forgotten."""

_REMEMBERED = "(attribute_not_exists(e) OR e > :now)"


class DynamoDbLedger:
    """Implements `Ledger` on the table PREFIXdocuments (`ensure_documents_table`).

    Every method is one round trip; the first that writes into a namespace takes one more, and
    so does each page of what is listed. `local` is as for `DynamoStore`.
    """

    def __init__(
        self,
        prefix: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        local: bool = False,
        clock: Callable[[], float] = time.time,
        timeout_s: float = 5.0,
    ) -> None:
        self._table = f"{prefix}documents"
        self._clock = clock
        self._listed: set[str] = set()
        self._client = DynamoClient(
            endpoint_url=endpoint_url,
            region=region,
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
            local=local,
            clock=clock,
        )

    async def look_up(self, place: Place) -> Entry | None:
        answer = await self._call("get_item", Key=key_of(place), ConsistentRead=True)
        with reading():
            item = answer.get("Item")
            return entry_of(item) if item and not is_forgotten(item, self._clock()) else None

    async def claim(self, place: Place, *, owner: str, until: float) -> Entry:
        await self._list(place.namespace)
        for _ in range(ATTEMPTS):
            now_s = self._clock()
            try:
                answer = await self._update(
                    place,
                    {"o": text(owner), "u": number(until), "w": text("indexing"), **self._now()},
                    remove=["e", "l"],
                    new={"s": text("pending")},
                    attempts=1,
                    condition=f"(attribute_not_exists(o) OR u <= :now) AND {_REMEMBERED}",
                    values={":now": number(now_s)},
                    returned="ALL_OLD",
                )
            except ConditionFailed as failed:
                with reading():
                    there = failed.item or {}
                    if text_of(there, "o") == owner:
                        return entry_of(there)
                    if not is_forgotten(there, now_s):
                        raise Held(place, float_of(there, "u")) from None
                await self._forget(place, there)
                continue
            with reading():
                before = answer.get("Attributes") or {**key_of(place), "s": text("pending")}
                return entry_of({**before, "a": number(float_of(before, "a") + 1)})
        raise _contended()

    def owned_by(self, owner: str) -> DynamoDbOwned:
        return DynamoDbOwned(self, owner)

    async def settle(self, place: Place, *, owner: str, mark: str, outcome: Outcome) -> None:
        given, empty = said(outcome)
        given |= {"s": text(outcome.status), "l": text(owner), **self._now()}
        if outcome.status == "deleted":
            given["e"] = forgotten_at(self._clock())
        else:
            empty.append("e")
        try:
            await self._update(
                place,
                given,
                remove=[*empty, "w", "o", "u", "a", "m"],
                condition="o = :owner AND " + ("m = :mark" if mark else "attribute_not_exists(m)"),
                values={":owner": text(owner)} | ({":mark": text(mark)} if mark else {}),
            )
        except ConditionFailed as failed:
            with reading():
                there = failed.item or {}
                if "o" not in there and text_of(there, "l") == owner:
                    return  # the answer to the first time was lost
                lost = "is wanted gone since" if text_of(there, "o") == owner else "is not ours"
            raise LeaseLost(NAME, f"{place.document_id} {lost}") from None

    async def release(
        self, place: Place, *, owner: str, reason: str | None = None, tried: bool = False
    ) -> None:
        given, _ = said(Outcome("pending", reason=reason))
        try:
            await self._update(
                place,
                {**given, "w": text("pending"), **self._now()},
                remove=["o", "u"] if given else ["o", "u", "y"],
                attempts=0 if tried else -1,
                condition="o = :owner",
                values={":owner": text(owner)},
            )
        except ConditionFailed:
            return

    async def expect(self, place: Place, outcome: Outcome) -> None:
        await self._list(place.namespace)
        given, _ = said(outcome)
        given |= {"s": text("pending"), **self._now()}
        for _ in range(ATTEMPTS):
            now_s = self._clock()
            try:
                await self._update(
                    place,
                    given,
                    remove=["w", "e"] if "y" in given else ["w", "e", "y"],
                    condition=_REMEMBERED,
                    values={":now": number(now_s)},
                )
            except ConditionFailed as failed:
                await self._forget(place, failed.item or {})
                continue
            return
        raise _contended()

    async def want_gone(self, place: Place, mark: str) -> Entry | None:
        try:
            answer = await self._update(
                place,
                {"s": text("deleting"), "m": text(mark), **self._now()},
                remove=["w", "e"],
                condition=(
                    f"attribute_exists(n) AND {_REMEMBERED} AND (s <> :gone OR attribute_exists(w))"
                ),
                values={":now": number(self._clock()), ":gone": text("deleted")},
                returned="ALL_OLD",
            )
        except ConditionFailed:
            return None
        with reading():
            return entry_of(answer["Attributes"])

    async def entries(self, namespace: str, *, after: str = "") -> AsyncIterator[Entry]:
        async for items in self._pages(namespace, after=after, ProjectionExpression=ENTRY):
            with reading():
                entries = [entry_of(item) for item in items]
            for entry in entries:
                yield entry

    async def namespaces(self) -> list[str]:
        names: list[str] = []
        async for items in self._pages(NAMESPACES, ProjectionExpression="d"):
            with reading():
                names += [item["d"]["S"] for item in items]
        return sorted(names)

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()

    async def _records(self, namespace: str) -> dict[str, DocumentRecord]:
        records: dict[str, DocumentRecord] = {}
        async for items in self._pages(
            namespace,
            ProjectionExpression=RECORD,
            FilterExpression="attribute_exists(rf)",
            ConsistentRead=True,
        ):
            with reading():
                found = [record for item in items if (record := record_of(item))]
            records |= {record.document_id: record for record in found}
        return records

    async def _write_record(
        self, place: Place, owner: str, given: Item, remove: Iterable[str]
    ) -> None:
        try:
            await self._update(
                place,
                given,
                remove=remove,
                condition="o = :owner",
                values={":owner": text(owner)},
            )
        except ConditionFailed:
            raise LeaseLost(NAME, f"{place.document_id} is not ours") from None

    async def _update(
        self,
        place: Place,
        given: Item,
        *,
        condition: str,
        values: Item,
        remove: Iterable[str] = (),
        new: Item | None = None,
        attempts: int = 0,
        returned: str = "NONE",
    ) -> dict[str, Any]:
        """One update, as `change` says it, if the condition holds, which names `values`."""
        return await self._call(
            "update_item",
            Key=key_of(place),
            ConditionExpression=condition,
            ReturnValues=returned,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **change(given, values, remove=remove, new=new or {}, attempts=attempts),
        )

    def _now(self) -> Item:
        return {"t": number(self._clock())}

    async def _pages(
        self, namespace: str, *, after: str = "", **request: Any
    ) -> AsyncIterator[list[Item]]:
        keys, values = "n = :n", {":n": text(namespace)}
        if after:
            keys, values = "n = :n AND d > :after", values | {":after": text(after)}
        request |= {"KeyConditionExpression": keys, "ExpressionAttributeValues": values}
        while True:
            answer = await self._call("query", **request)
            with reading():
                now_s = self._clock()
                items = [item for item in answer["Items"] if not is_forgotten(item, now_s)]
                last = answer.get("LastEvaluatedKey")
            yield items
            if not last:
                return
            request["ExclusiveStartKey"] = last

    async def _list(self, namespace: str) -> None:
        """Before the first entry, so that none is in a namespace that nobody knows."""
        if namespace not in self._listed:
            await self._call("put_item", Item=key_of(Place(NAMESPACES, namespace)))
            self._listed.add(namespace)

    async def _forget(self, place: Place, item: Item) -> None:
        """Does what DynamoDB has not got round to, unless somebody else was faster."""
        if "e" not in item:
            raise _contended()
        try:
            await self._call(
                "delete_item",
                Key=key_of(place),
                ConditionExpression="e = :e",
                ExpressionAttributeValues={":e": item["e"]},
            )
        except ConditionFailed:
            return

    async def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        return await self._client.call(operation, TableName=self._table, **request)


class DynamoDbOwned:
    """Implements `Catalogue` by the lease of one owner."""

    def __init__(self, ledger: DynamoDbLedger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        return await self._ledger._records(namespace)

    async def put(self, namespace: str, record: DocumentRecord) -> None:
        place = Place(namespace, record.document_id)
        await self._ledger._write_record(place, self._owner, record_attributes(record), [])

    async def remove(self, namespace: str, document_id: str) -> None:
        place = Place(namespace, document_id)
        await self._ledger._write_record(place, self._owner, {}, ["ro", "rf", "rc"])

    async def aclose(self) -> None:
        """The connections are the ledger's."""


def _contended() -> Unavailable:
    return Unavailable(NAME, "others changed the entry in between")

"""How values, maps, leases and windows look as items of one table.

| attribute | holds |
|---|---|
| `k` | the key |
| `v` | a value's bytes |
| `f:name` | a field of a map: a number where it is a whole one, so that it can be added to |
| `o` | a lease's owner |
| `b`, `c`, `p` | a window's bucket, its count, and the count of the bucket before |
| `x` | when it expires, in epoch milliseconds of the writer's clock |
| `e` | the same in seconds, rounded up: DynamoDB's own deletion, which lags by days |

A map's fields are attributes of the item, because DynamoDB can't set a path inside a map that
is not there yet, and could not create the map and set it in one call.
"""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from steadyrag.adapters.dynamodb_client import Item
from steadyrag.domain.sliding_window import Window

FIELD = "f:"

MAX_VALUE_BYTES = 400 * 1024 - 2048
"""An item holds 400 KiB with its key and the other attributes."""

_WHOLE_NUMBER = re.compile(rb"0|-?[1-9][0-9]{0,17}")


def key_of(key: str) -> Item:
    return {"k": {"S": key}}


def number(value: int) -> dict[str, Any]:
    return {"N": str(value)}


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def expiry(expires_at_s: float) -> Item:
    return {"x": number(ms(expires_at_s)), "e": number(math.ceil(expires_at_s))}


def held_number(item: Item, attribute: str) -> int:
    return int(Decimal(item[attribute]["N"]))


def live(item: Item, now_s: float) -> bool:
    return "x" not in item or held_number(item, "x") > ms(now_s)


def from_bytes(value: bytes) -> dict[str, Any]:
    return {"N": value.decode()} if _WHOLE_NUMBER.fullmatch(value) else {"B": value}


def fields_of(item: Item) -> dict[str, bytes]:
    return {
        name.removeprefix(FIELD): (
            bytes(held["B"]) if "B" in held else b"%d" % held_number(item, name)
        )
        for name, held in item.items()
        if name.startswith(FIELD)
    }


def new_map(
    key: str, put: Mapping[str, bytes], add: Mapping[str, int], expires_at_s: float | None
) -> Item:
    """A map that holds nothing but these."""
    return {
        **key_of(key),
        **{FIELD + name: from_bytes(value) for name, value in put.items()},
        **{FIELD + name: number(amount) for name, amount in add.items()},
        **(expiry(expires_at_s) if expires_at_s is not None else {}),
    }


def change_map(
    put: Mapping[str, bytes],
    add: Mapping[str, int],
    remove: Sequence[str],
    expires_at_s: float | None,
    now_s: float,
) -> dict[str, Any]:
    """The update of a map that has not expired."""
    names: dict[str, str] = {}
    values: Item = {":now": number(ms(now_s))}

    def named(attribute: str) -> str:
        names[f"#{len(names)}"] = attribute
        return f"#{len(names) - 1}"

    def given(value: dict[str, Any]) -> str:
        values[f":{len(values)}"] = value
        return f":{len(values) - 1}"

    sets = {FIELD + name: from_bytes(value) for name, value in put.items()}
    if expires_at_s is not None:
        sets |= expiry(expires_at_s)
    clauses = {
        "SET": [f"{named(name)} = {given(value)}" for name, value in sets.items()],
        "ADD": [f"{named(FIELD + name)} {given(number(n))}" for name, n in add.items()],
        "REMOVE": [named(FIELD + name) for name in remove],
    }
    said = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)
    return {
        "ConditionExpression": "attribute_not_exists(x) OR x > :now",
        "ExpressionAttributeValues": values,
        **({"UpdateExpression": said, "ExpressionAttributeNames": names} if said else {}),
    }


def window_of(item: Item | None) -> Window | None:
    if not item:
        return None
    return Window(held_number(item, "b"), held_number(item, "c"), held_number(item, "p"))


def count_one(
    held: Window | None, window: Window, *, room: int, expires_at_s: float
) -> dict[str, Any]:
    """The update that counts one request in `window`, if what is stored is still `held` and
    the bucket has room."""
    expires = expiry(expires_at_s)
    values = {":one": number(1), ":x": expires["x"], ":e": expires["e"]}
    if held is not None and held.bucket == window.bucket:
        change = "SET x = :x, e = :e ADD c :one"
        condition = "b = :b AND p = :p AND c < :room"
        values |= {
            ":b": number(window.bucket),
            ":p": number(window.previous),
            ":room": number(room),
        }
    else:
        change = "SET b = :b, c = :one, p = :p, x = :x, e = :e"
        condition = "attribute_not_exists(k)"
        values |= {":b": number(window.bucket), ":p": number(window.previous)}
        if held is not None:
            condition = "b = :was AND c = :count"
            values |= {":was": number(held.bucket), ":count": number(held.count)}
    return {
        "UpdateExpression": change,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_NEW",
    }

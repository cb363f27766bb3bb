"""How an entry of the ledger looks as an item.

| attribute | holds |
|---|---|
| `n`, `d` | the namespace and the document's id; under `#`, the namespaces there are |
| `s` | the status that was settled, expected or wanted last |
| `w` | `indexing` or `pending`, which stands before `s` unless that is `deleting` |
| `o`, `u` | who holds the lease, and until when |
| `l` | who settled it, until it is claimed again |
| `m`, `a`, `t` | mark, attempts, when it was changed |
| `v`, `p`, `q`, `c`, `y`, `g`, `h`, `b`, `k` | the outcome, see `_TEXTS` and `_NUMBERS` |
| `ro`, `rf`, `rc` | the record: origin, fingerprint, chunk ids |
| `e` | when a deleted document is forgotten: DynamoDB's own deletion, which lags by days |

Times are seconds since 1970. An update can't choose between two values by what is there, so
claiming and releasing leave `s` alone, and `deleting` outlasts both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from steadyrag.adapters.dynamodb_client import NAME, Item
from steadyrag.domain.errors import Rejected
from steadyrag.domain.ledger import Entry, Outcome, Status
from steadyrag.domain.ledger_line import DELETED_KEPT_S
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

LARGEST_CHUNK_IDS_BYTES = 395_000
"""Of the 400 KiB of an item; the rest is for names, title and reason."""

LONGEST_TEXT = 1000
"""Characters of a title or a reason; more are cut."""

_TEXTS = {
    "version": "v",
    "stamp": "p",
    "sequencer": "q",
    "recipe": "c",
    "reason": "y",
    "origin": "g",
    "title": "h",
}
_NUMBERS = {"size_bytes": "b", "chunks": "k"}

ENTRY = ", ".join(["d", "s", "w", "m", "a", "t", "e", *_TEXTS.values(), *_NUMBERS.values()])
RECORD = "d, e, ro, rf, rc"

_CHUNK_ID = re.compile(r"([0-9a-f]{20})-([0-9a-f]{20})(?:-([1-9][0-9]*))?")
_PACKED, _WRITTEN_OUT = b"\1", b"\0"
_HASH_BYTES = 10


def key_of(place: Place) -> Item:
    return {"n": {"S": place.namespace}, "d": {"S": place.document_id}}


def text(value: str) -> dict[str, Any]:
    return {"S": value}


def number(value: float) -> dict[str, Any]:
    return {"N": repr(value)}


def float_of(item: Item, attribute: str) -> float:
    return float(item[attribute]["N"]) if attribute in item else 0.0


def text_of(item: Item, attribute: str) -> str:
    return str(item[attribute]["S"]) if attribute in item else ""


def is_forgotten(item: Item, now_s: float) -> bool:
    return "e" in item and float_of(item, "e") <= now_s


def forgotten_at(now_s: float) -> dict[str, Any]:
    return number(math.ceil(now_s + DELETED_KEPT_S))


def change(
    given: Item, values: Item, *, remove: Iterable[str], new: Item, attempts: int
) -> dict[str, Any]:
    """The update that sets `given`, and `new` where it is not there yet; `values` are what its
    condition names."""
    clauses = {
        "SET": [f"{name} = :{name}" for name in given]
        + [f"{name} = if_not_exists({name}, :{name})" for name in new],
        "ADD": ["a :attempts"] if attempts else [],
        "REMOVE": list(remove),
    }
    named = {f":{name}": value for name, value in {**given, **new}.items()}
    counted = {":attempts": number(attempts)} if attempts else {}
    return {
        "UpdateExpression": " ".join(
            f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts
        ),
        "ExpressionAttributeValues": named | counted | values,
    }


def said(outcome: Outcome) -> tuple[Item, list[str]]:
    """The attributes of an outcome: those to set, and those that are empty."""
    given: Item = {}
    for name, attribute in _TEXTS.items():
        if value := getattr(outcome, name):
            cut = value[:LONGEST_TEXT] if name in ("title", "reason") else value
            given[attribute] = text(cut)
    for name, attribute in _NUMBERS.items():
        if value := getattr(outcome, name):
            given[attribute] = number(value)
    return given, [name for name in (*_TEXTS.values(), *_NUMBERS.values()) if name not in given]


def entry_of(item: Item) -> Entry:
    settled = text_of(item, "s")
    return Entry(
        document_id=item["d"]["S"],
        status=cast("Status", settled if settled == "deleting" else text_of(item, "w") or settled),
        version=text_of(item, "v"),
        stamp=text_of(item, "p"),
        sequencer=text_of(item, "q"),
        recipe=text_of(item, "c"),
        reason=text_of(item, "y") or None,
        origin=text_of(item, "g"),
        title=text_of(item, "h"),
        size_bytes=int(float_of(item, "b")),
        chunks=int(float_of(item, "k")),
        updated_at=float_of(item, "t"),
        attempts=int(float_of(item, "a")),
        mark=text_of(item, "m"),
        record=record_of(item),
    )


def record_of(item: Item) -> DocumentRecord | None:
    if "rf" not in item:
        return None
    return DocumentRecord(
        document_id=item["d"]["S"],
        origin=text_of(item, "ro"),
        fingerprint=text_of(item, "rf"),
        chunk_ids=unpacked(bytes(item["rc"]["B"])),
    )


def record_attributes(record: DocumentRecord) -> Item:
    """Raises `Rejected` for more chunks than an item can name."""
    ids = packed(record.chunk_ids)
    if len(ids) > LARGEST_CHUNK_IDS_BYTES:
        problem = f"{len(record.chunk_ids):,} chunks of one document are too many to write down"
        raise Rejected(NAME, problem)
    return {"ro": text(record.origin), "rf": text(record.fingerprint), "rc": {"B": ids}}


def packed(chunk_ids: Sequence[str]) -> bytes:
    """Ids as `domain.chunking` makes them in 11 bytes each (12 for a repeat beyond 127);
    JSON where one is of another shape, or of another document than the first."""
    parts = [_CHUNK_ID.fullmatch(one) for one in chunk_ids]
    owners = {part[1] for part in parts if part}
    if None in parts or len(owners) != 1:
        return _WRITTEN_OUT + json.dumps(list(chunk_ids), separators=(",", ":")).encode()
    hashes = bytearray(_PACKED + bytes.fromhex(owners.pop()))
    for part in cast("Iterable[re.Match[str]]", parts):
        hashes += bytes.fromhex(part[2])
        repeat = int(part[3] or 0)
        while repeat > 127:
            hashes.append(repeat & 127 | 128)
            repeat >>= 7
        hashes.append(repeat)
    return bytes(hashes)


def unpacked(data: bytes) -> tuple[str, ...]:
    """Raises `ValueError` or `LookupError` for what `packed` has not made."""
    if data[:1] == _WRITTEN_OUT:
        return tuple(json.loads(data[1:]))
    at = 1 + _HASH_BYTES
    if data[:1] != _PACKED or len(data) <= at:
        raise ValueError("neither packed ids nor a list")
    owner, ids = data[1:at].hex(), list[str]()
    while at < len(data):
        content = data[at : at + _HASH_BYTES].hex()
        at += _HASH_BYTES
        repeat = shift = 0
        while data[at] > 127:
            repeat |= (data[at] & 127) << shift
            shift += 7
            at += 1
        repeat |= data[at] << shift
        at += 1
        ids.append(f"{owner}-{content}-{repeat}" if repeat else f"{owner}-{content}")
    return tuple(ids)

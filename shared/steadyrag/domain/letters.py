"""What stands in the messages of the ingest queue: S3's own events, and our own in their form.

{"Records": [{"eventTime": …, "s3": {"bucket": {"name"}, "object": {"key", "sequencer"}}}]}
{"sweep": {"namespace": …, "after": …}}        compare the bucket with the ledger
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from steadyrag.domain.documents import UnreadableDocument
from steadyrag.domain.objects import ObjectEvent


@dataclass(frozen=True, slots=True)
class Sweep:
    """A comparison to begin, or to go on with from behind a document of a namespace."""

    namespace: str = ""
    after: str = ""


type Wish = Sweep | Sequence[ObjectEvent]


def read_letter(body: str) -> Wish:
    """What a message asks for; no events in the one that S3 sends to try a queue out. Raises
    `UnreadableDocument` for what is none of these."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableDocument("the message is not JSON") from None
    if not isinstance(said, dict):
        raise UnreadableDocument("the message is not a JSON object")
    if said.get("Event") == "s3:TestEvent":
        return []
    try:
        if "sweep" in said:
            return read_sweep(said)
        return [_event(record) for record in said["Records"]]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise UnreadableDocument("the message is neither an event of S3 nor a sweep") from None


def read_sweep(said: dict[str, Any]) -> Sweep:
    """Raises `AttributeError`, `KeyError` or `TypeError` for what is none."""
    sweep = said["sweep"]
    names = sweep.get("namespace", ""), sweep.get("after", "")
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a sweep's names are texts")
    return Sweep(*names)


def _event(record: dict[str, Any]) -> ObjectEvent:
    s3 = record["s3"]
    at = datetime.fromisoformat(record["eventTime"])
    return ObjectEvent(
        bucket=str(s3["bucket"]["name"]),
        key=unquote_plus(str(s3["object"]["key"]), errors="strict"),
        sequencer=str(s3["object"].get("sequencer", "")),
        happened_at=at.timestamp(),
    )


def event_letter(event: ObjectEvent) -> str:
    """An event of our own, as S3 would write it."""
    at = datetime.fromtimestamp(event.happened_at, UTC)
    told = {"key": quote_plus(event.key), "sequencer": event.sequencer}
    record = {
        "eventSource": "steadyrag",
        "eventTime": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "s3": {
            "bucket": {"name": event.bucket},
            "object": {name: value for name, value in told.items() if value},
        },
    }
    return json.dumps({"Records": [record]})


def sweep_letter(sweep: Sweep) -> str:
    return json.dumps({"sweep": {"namespace": sweep.namespace, "after": sweep.after}})

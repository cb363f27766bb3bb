"""Answers as the caches hold them.

    1 byte    P: plain, Z: zlib
    header    <began_at, epoch seconds> <version> LF
    body      compact JSON of the answer

The header alone tells whether an answer may be used, so what is over is never decoded.
"""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from steadyrag.domain.models import Answer, CacheInfo, Source, Usage

LARGEST_BYTES = 256 * 1024
"""Larger answers are not shared: an item of DynamoDB holds 400 kB."""

_WORTH_PACKING_BYTES = 1024
_LARGEST_UNPACKED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """An answer with what decides about its use.

    `began_at` is when the request that computed it began: nothing that happened later is
    certain to be in it. `version` is the state of the documents at that time. `key` is where
    it is held: under any other it is no answer.
    """

    answer: Answer
    began_at: float
    version: str
    key: str = ""

    @property
    def document_ids(self) -> Sequence[str]:
        return [source.document_id for source in self.answer.sources]

    def age_s(self, now: float) -> int:
        return max(0, int(now - self.began_at))


@dataclass(frozen=True, slots=True)
class PackedAnswer:
    """An answer whose header has been read and whose body has not."""

    began_at: float
    version: str
    body: bytes
    packed: bool

    def open(self, key: str = "") -> HeldAnswer | None:
        """None for what is no answer, or not the one of this key."""
        try:
            plain = json.loads(_unpacked(self.body) if self.packed else self.body)
            if plain["key"] != key:
                return None
            return HeldAnswer(_answer(plain), self.began_at, self.version, key)
        except (ValueError, TypeError, KeyError, RecursionError, zlib.error):
            return None


def pack_answer(held: HeldAnswer) -> bytes:
    plain = {"key": held.key, **_plain(held.answer)}
    body = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    header = f"{held.began_at:.3f} {held.version}\n".encode()
    if len(body) >= _WORTH_PACKING_BYTES and len(small := zlib.compress(body, 1)) < len(body):
        return b"Z" + header + small
    return b"P" + header + body


def read_answer(packed: bytes) -> PackedAnswer | None:
    """None for what is no answer."""
    header, newline, body = packed[1:].partition(b"\n")
    try:
        at, version = header.decode("ascii").split(" ")
        began_at = float(at)
    except ValueError:
        return None
    if packed[:1] not in (b"P", b"Z") or not newline or not math.isfinite(began_at):
        return None
    return PackedAnswer(began_at, version, body, packed[:1] == b"Z")


def _unpacked(body: bytes) -> bytes:
    unpack = zlib.decompressobj()
    plain = unpack.decompress(body, _LARGEST_UNPACKED_BYTES)
    if not unpack.eof:
        raise ValueError("cut short, or larger than any answer")
    return plain


def _plain(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.answer,
        "sources": [
            [s.id, s.document_id, s.title, s.url, s.text, s.score, s.rank] for s in answer.sources
        ],
        "calibrated": answer.calibrated,
        "model": answer.model,
        "variant": answer.variant,
    }


def _answer(plain: dict[str, Any]) -> Answer:
    """Raises `TypeError`, `ValueError` or `KeyError` for values of other types than ours."""
    return Answer(
        search_id="",
        answer=_a(str, plain["answer"], or_none=True),
        sources=[_source(*fields) for fields in _a(list, plain["sources"])],
        mode="full",
        degraded=(),
        calibrated=_a(bool, plain["calibrated"]),
        cache=CacheInfo(),
        model=_a(str, plain["model"], or_none=True),
        variant=_a(str, plain["variant"]),
        usage=Usage(),
        timings_ms={},
    )


def _source(
    id: Any, document_id: Any, title: Any, url: Any, text: Any, score: Any, rank: Any
) -> Source:
    return Source(
        id=_a(str, id),
        document_id=_a(str, document_id),
        title=_a(str, title),
        url=_a(str, url, or_none=True),
        text=_a(str, text),
        score=_finite(score),
        rank=_a(int, rank),
    )


def _a[T](kind: type[T], value: Any, *, or_none: bool = False) -> T | Any:
    if not isinstance(value, kind) and not (or_none and value is None):
        raise TypeError(f"{type(value).__name__}, not {kind.__name__}")
    return value


def _finite(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("no number")
    return value


def again(answer: Answer, cache: CacheInfo, *, search_id: str) -> Answer:
    """The answer as another request gets it, which it costs nothing."""
    free = Usage(cost_usd=0.0)
    return replace(answer, search_id=search_id, cache=cache, usage=free, timings_ms={}, stages=())

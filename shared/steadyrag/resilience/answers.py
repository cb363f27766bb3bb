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
    certain to be in it. `version` is the state of the documents at that time.
    """

    answer: Answer
    began_at: float
    version: str

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

    def open(self) -> HeldAnswer | None:
        """None for what is no answer."""
        try:
            body = _unpacked(self.body) if self.packed else self.body
            return HeldAnswer(_answer(json.loads(body)), self.began_at, self.version)
        except (ValueError, TypeError, KeyError, zlib.error):
            return None


def pack_answer(held: HeldAnswer) -> bytes:
    body = json.dumps(_plain(held.answer), ensure_ascii=False, separators=(",", ":")).encode()
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
    return Answer(
        search_id="",
        answer=plain["answer"],
        sources=[Source(*fields) for fields in plain["sources"]],
        mode="full",
        degraded=(),
        calibrated=plain["calibrated"],
        cache=CacheInfo(),
        model=plain["model"],
        variant=plain["variant"],
        usage=Usage(),
        timings_ms={},
    )


def again(answer: Answer, cache: CacheInfo, *, search_id: str) -> Answer:
    """The answer as another request gets it, which it costs nothing."""
    return replace(answer, search_id=search_id, cache=cache, usage=Usage(), timings_ms={})

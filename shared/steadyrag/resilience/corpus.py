"""Which state a namespace's documents are in, as requests see it.

    sr:corpus:<namespace>
        version      counts changes, for people
        stamp        random, new with every change: equal stamps mean equal documents
        changed_at   when the last change was announced
        since        when this record began; of what was before nothing is known
        tombs_until  when the store may have dropped the last tombstone
    sr:tombs:<namespace>
        <digest>        <deleted_at> wanted, <deleted_at> once it is being taken out of the
                        index, or <deleted_at> <back_at> once the document is back
        nothing_before  tombstones older than this have been dropped

A counter alone would not do: a store that loses its memory counts from 0 again and would one
day meet a version that answers are still held for. Times are epoch seconds, as text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from steadyrag.domain.models import Hit
from steadyrag.resilience.answers import HeldAnswer
from steadyrag.resilience.keys import document_digest

CORPUS_TTL_S = 30 * 86400.0
TOMB_TTL_S = 7 * 86400.0
"""As long as last-good answers live."""
WANTED_TTL_S = CORPUS_TTL_S
"""Of a namespace's tombstones in a store, while one of them is wanted and nobody renews it."""
NOTHING_BEFORE = "nothing_before"

_WANTED = "wanted"
_SKEW_S = 5.0
"""What clocks of two environments may differ by."""


@dataclass(frozen=True, slots=True)
class CorpusState:
    """One namespace's record."""

    version: int
    stamp: str
    changed_at: float
    since: float
    tombs_until: float

    def settling(self, now: float, settle_s: float) -> bool:
        """Whether the last change may not be visible everywhere yet."""
        return now - self.changed_at < settle_s


def read_corpus(fields: Mapping[str, bytes]) -> CorpusState | None:
    """None where there is no record, or none that makes sense."""
    try:
        return CorpusState(
            version=int(fields["version"]),
            stamp=fields["stamp"].decode("ascii"),
            changed_at=_time(fields.get("changed_at", b"0")),
            since=_time(fields["since"]),
            tombs_until=_time(fields.get("tombs_until", b"0")),
        )
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Tomb:
    """A document's deletion. `wanted`: the index holds it still. `back_at` is when it was
    added again."""

    deleted_at: float
    back_at: float | None = None
    wanted: bool = False

    @property
    def changed_at(self) -> float:
        return self.deleted_at if self.back_at is None else self.back_at

    def encoded(self) -> bytes:
        times = (self.deleted_at,) if self.back_at is None else (self.deleted_at, self.back_at)
        words = [f"{time:.3f}" for time in times] + [_WANTED] * self.wanted
        return " ".join(words).encode()


@dataclass(frozen=True, slots=True)
class Tombs:
    """Documents deleted lately, by digest."""

    by_digest: Mapping[str, Tomb] = field(default_factory=dict)
    nothing_before: float = 0.0

    def filter_hits(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Hits without those of deleted documents, which an index may go on finding for a
        while."""
        if not self.by_digest:
            return hits
        gone: dict[str, bool] = {}
        for hit in hits:
            if (document_id := hit.chunk.document_id) not in gone:
                tomb = self.by_digest.get(document_digest(document_id))
                gone[document_id] = tomb is not None and tomb.back_at is None
        return [hit for hit in hits if not gone[hit.chunk.document_id]]

    def allow(self, held: HeldAnswer, corpus: CorpusState, now: float) -> bool:
        """Whether an answer of another version shows nothing that was deleted since.

        A document that was deleted and is back may be another one than the answer quotes.
        """
        known_from = max(corpus.since, self.nothing_before) + _SKEW_S
        lost = not self.by_digest and not self.nothing_before and corpus.tombs_until > now
        if lost or held.began_at <= known_from:
            return False
        for document_id in held.document_ids:
            tomb = self.by_digest.get(document_digest(document_id))
            if tomb and (tomb.back_at is None or held.began_at <= tomb.back_at + _SKEW_S):
                return False
        return True


def read_tombs(fields: Mapping[str, bytes], now: float) -> Tombs:
    """Tombstones that have not expired. One that makes no sense counts as set just now."""
    nothing_before = _tomb(fields[NOTHING_BEFORE], now) if NOTHING_BEFORE in fields else None
    tombs = {
        digest: tomb
        for digest, value in fields.items()
        if digest != NOTHING_BEFORE and not expired(tomb := _tomb(value, now), now)
    }
    return Tombs(tombs, nothing_before.deleted_at if nothing_before else 0.0)


def expired(tomb: Tomb, now: float) -> bool:
    """Never while it is wanted: then the index shows its document, however long ago it was
    deleted."""
    return not tomb.wanted and now - tomb.changed_at >= TOMB_TTL_S


def digests(document_ids: Iterable[str]) -> list[str]:
    """Of distinct documents, in their order."""
    return list(dict.fromkeys(map(document_digest, document_ids)))


def _tomb(value: bytes, now: float) -> Tomb:
    try:
        wanted = value.endswith(_WANTED.encode())
        deleted_at, *back_at = map(_time, value.removesuffix(_WANTED.encode()).split())
        return Tomb(deleted_at, back_at[0] if back_at else None, wanted)
    except ValueError:
        return Tomb(now)


def _time(text: bytes) -> float:
    time = float(text)
    if not math.isfinite(time):
        raise ValueError("not a time")
    return time

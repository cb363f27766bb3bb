"""An entry of the ledger with its lease, and what each call makes of it: the arithmetic of a
ledger that can read and write an entry in one step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from steadyrag.domain.ledger import Entry, Held, LeaseLost, Outcome, Status
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

DELETED_KEPT_S = 30 * 86_400
"""Then a deleted document is as one that never was."""

NAME = "ledger"


@dataclass(frozen=True, slots=True)
class Line:
    """owner: who holds the lease, until `until`, or as long as nobody else claims it.
    settled_by: who has settled it, until it is claimed again. expires_at: 0 for never."""

    entry: Entry
    owner: str = ""
    until: float = 0.0
    settled_by: str = ""
    expires_at: float = 0.0

    def is_over(self, now_s: float) -> bool:
        return 0 < self.expires_at <= now_s


def claimed(
    line: Line | None, place: Place, *, owner: str, until: float, now_s: float
) -> tuple[Line, Entry]:
    """The line from now on, and what to tell who claimed it. Raises `Held`."""
    if line is not None and line.owner and line.until > now_s:
        if line.owner == owner:
            return line, line.entry
        raise Held(place, line.until)
    entry = line.entry if line else Entry(place.document_id, "pending")
    entry = replace(entry, attempts=entry.attempts + 1)
    status: Status = "deleting" if entry.status == "deleting" else "indexing"
    return Line(replace(entry, status=status, updated_at=now_s), owner, until), entry


def settled(
    line: Line | None, place: Place, *, owner: str, mark: str, outcome: Outcome, now_s: float
) -> Line:
    """Raises `LeaseLost`."""
    if line is not None and not line.owner and line.settled_by == owner:
        return line
    held = held_by(line, place, owner)
    if held.entry.mark != mark:
        raise LeaseLost(NAME, f"{place.document_id} is wanted gone since")
    entry = Entry(
        document_id=place.document_id,
        status=outcome.status,
        version=outcome.version,
        stamp=outcome.stamp,
        sequencer=outcome.sequencer,
        recipe=outcome.recipe,
        reason=outcome.reason,
        origin=outcome.origin,
        title=outcome.title,
        size_bytes=outcome.size_bytes,
        chunks=outcome.chunks,
        updated_at=now_s,
        record=held.entry.record,
    )
    gone = outcome.status == "deleted"
    expires_at = now_s + DELETED_KEPT_S if gone else 0.0
    return Line(entry, settled_by=owner, expires_at=expires_at)


def released(
    line: Line | None, *, owner: str, reason: str | None, tried: bool, now_s: float
) -> Line | None:
    """None where there is nothing to give back."""
    if line is None or line.owner != owner:
        return None
    entry = replace(
        line.entry,
        status="deleting" if line.entry.status == "deleting" else "pending",
        reason=reason,
        attempts=line.entry.attempts - (not tried),
        updated_at=now_s,
    )
    return Line(entry)


def expected(line: Line | None, place: Place, outcome: Outcome, *, now_s: float) -> Line:
    line = line or Line(Entry(place.document_id, "pending"))
    before = line.entry
    entry = replace(
        before,
        status="pending",
        version=outcome.version or before.version,
        stamp=outcome.stamp or before.stamp,
        sequencer=outcome.sequencer or before.sequencer,
        recipe=outcome.recipe or before.recipe,
        reason=outcome.reason,
        origin=outcome.origin or before.origin,
        title=outcome.title or before.title,
        size_bytes=outcome.size_bytes or before.size_bytes,
        chunks=outcome.chunks or before.chunks,
        updated_at=now_s,
    )
    return replace(line, entry=entry, expires_at=0.0)


def wanted_gone(line: Line, mark: str, *, now_s: float) -> Line:
    entry = replace(line.entry, status="deleting", mark=mark, updated_at=now_s)
    return replace(line, entry=entry, expires_at=0.0)


def with_record(line: Line | None, place: Place, owner: str, record: DocumentRecord | None) -> Line:
    """Raises `LeaseLost`."""
    held = held_by(line, place, owner)
    return replace(held, entry=replace(held.entry, record=record))


def held_by(line: Line | None, place: Place, owner: str) -> Line:
    if line is None or line.owner != owner:
        raise LeaseLost(NAME, f"{place.document_id} is not ours")
    return line

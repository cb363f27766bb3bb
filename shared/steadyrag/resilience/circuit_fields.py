"""What the fleet knows of its circuits, as fields of one shared map.

    version            changes so far; tells an older reading from a newer one
    <name>|n<bucket>   failures in a row that ended in this stretch of `stale_s` seconds
    <name>|at          when the last of them ended
    <name>|open        when the circuit opened; there until a probe succeeds

Counts are only ever added to and removed whole, so that environments that write at the same
moment lose none. Times are epoch seconds. A field that makes no sense counts as missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

VERSION = "version"

type Fields = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Circuit:
    """`failures` in a row, and since when it is open (None: it is closed)."""

    failures: int = 0
    opened_at: float | None = None


CLOSED = Circuit()


def circuit(fields: Fields, name: str, *, now_s: float, limit: int, stale_s: float) -> Circuit:
    """One circuit's state. Five failures without the mark that should follow them are an open
    circuit too: whoever was to set it may be gone."""
    bucket = int(now_s // stale_s)
    # The next bucket belongs to those whose clock is ahead of ours.
    failures = sum(
        int(_number(fields.get(f"{name}|n{n}")) or 0) for n in (bucket - 1, bucket, bucket + 1)
    )
    opened_at = _number(fields.get(f"{name}|open"))
    if opened_at is None and failures >= limit:
        opened_at = _number(fields.get(f"{name}|at"))
    return Circuit(failures, opened_at)


def names(fields: Fields) -> set[str]:
    """Every circuit that has failures on record."""
    return {field.rpartition("|")[0] for field in fields} - {""}


def fields_of(fields: Fields, name: str) -> list[str]:
    """All that is held about one circuit."""
    return [field for field in fields if field.rpartition("|")[0] == name]


def failure(
    fields: Fields, name: str, *, now_s: float, stale_s: float
) -> tuple[dict[str, bytes], dict[str, int], list[str]]:
    """What to put, add and remove for one more failure."""
    bucket = int(now_s // stale_s)
    recent = {f"{name}|n{n}" for n in (bucket - 1, bucket, bucket + 1)}
    old = [f for f in fields_of(fields, name) if f.startswith(f"{name}|n") and f not in recent]
    add = {f"{name}|n{bucket}": 1, VERSION: 1}
    return {f"{name}|at": _written(now_s)}, add, old


def opening(name: str, *, now_s: float) -> dict[str, bytes]:
    """What to put when a circuit opens."""
    return {f"{name}|open": _written(now_s)}


def version(fields: Fields) -> int:
    return int(_number(fields.get(VERSION)) or 0)


def _written(seconds: float) -> bytes:
    return f"{seconds:.3f}".encode()


def _number(value: bytes | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None

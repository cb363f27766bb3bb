"""Days as people count them, in a time zone: 23 or 25 hours long when clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo


def time_zone(name: str) -> tzinfo:
    """By its IANA name, such as `Europe/Berlin`; UTC needs no database. Raises `ValueError`."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError("is no known time zone; write UTC, or a name as Asia/Seoul") from None


def bounds(day: date, zone: tzinfo) -> tuple[float, float]:
    """When it begins and when the next one does, in epoch seconds."""
    return (
        datetime.combine(day, time(), zone).timestamp(),
        datetime.combine(day + timedelta(days=1), time(), zone).timestamp(),
    )


def day_due(now: float, zone: tzinfo, hour: int) -> date:
    """The latest day whose report is due: from `hour` of the day after it."""
    local = datetime.fromtimestamp(now, zone)
    return local.date() - timedelta(days=1 if local.hour >= hour else 2)


def first_due_at(born: float, zone: tzinfo, hour: int) -> float:
    """When the report is due of the day that holds `born`, in epoch seconds."""
    day = datetime.fromtimestamp(born, zone).date() + timedelta(days=1)
    return datetime.combine(day, time(hour), zone).timestamp()

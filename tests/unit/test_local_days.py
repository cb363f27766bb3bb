"""Days that begin at midnight where people are, however long they are."""

from datetime import UTC, date, datetime

import pytest

from steadyrag.domain.local_days import bounds, day_due, first_due_at, time_zone

BERLIN, SEOUL = time_zone("Europe/Berlin"), time_zone("Asia/Seoul")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23),
        ("Europe/Berlin", "2026-11-24", "2026-11-23T23:00:00Z", 24),
        ("Asia/Seoul", "2026-10-25", "2026-10-24T15:00:00Z", 24),
        ("Asia/Kathmandu", "2026-11-24", "2026-11-23T18:15:00Z", 24),
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", 23),  # without a midnight
        ("UTC", "2026-10-25", "2026-10-25T00:00:00Z", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_there_make_it(
    zone: str, day: str, begins: str, hours: int
) -> None:
    start, end = bounds(date.fromisoformat(day), time_zone(zone))
    assert (start, end - start) == (at(begins), hours * 3600)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Seoul", "America/Santiago", "UTC"])
def test_days_follow_each_other_without_a_gap(zone: str) -> None:
    ends = {
        bounds(date(2026, month, day), time_zone(zone))
        for month in (3, 4, 9, 10)
        for day in range(1, 31)
    }
    starts = {start for start, _ in ends}
    inner = [end for _, end in ends if end <= max(starts)]
    assert sum(end in starts for end in inner) >= len(inner) - 3


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-25T06:59:00+01:00", "2026-11-23"),
        ("2026-11-25T07:00:00+01:00", "2026-11-24"),
        ("2026-11-25T23:59:00+01:00", "2026-11-24"),
        ("2026-11-26T00:01:00+01:00", "2026-11-24"),
        ("2026-10-25T07:00:00+01:00", "2026-10-24"),
        ("2026-10-25T06:59:00+01:00", "2026-10-23"),
    ],
)
def test_a_report_is_due_from_its_hour_until_the_next_one_is(now: str, due: str) -> None:
    assert day_due(at(now), BERLIN, 7) == date.fromisoformat(due)


def test_each_day_of_a_year_is_due_once_and_in_its_turn() -> None:
    begins = int(at("2026-01-01T00:17:00Z"))
    dues = [day_due(now, BERLIN, 2) for now in range(begins, begins + 365 * 86_400, 3600)]
    seen = list(dict.fromkeys(dues))
    assert seen == sorted(seen)
    assert len(seen) == (seen[-1] - seen[0]).days + 1
    assert all(20 <= dues.count(day) <= 25 for day in seen[1:-1])


def test_the_first_report_is_about_the_day_that_the_stack_is_made_on() -> None:
    assert first_due_at(at("2026-11-25T01:00:00+09:00"), SEOUL, 7) == at(
        "2026-11-26T07:00:00+09:00"
    )


@pytest.mark.parametrize("name", ["Europe/Berln", "/etc/passwd", "../UTC", "", "Asia", "한국"])
def test_a_time_zone_that_is_not_known_is_told_with_what_would_be(name: str) -> None:
    with pytest.raises(ValueError, match="write UTC, or a name as Asia/Seoul"):
        time_zone(name)


def test_utc_needs_no_database_of_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.ZoneInfo", None)
    assert time_zone("UTC") is UTC

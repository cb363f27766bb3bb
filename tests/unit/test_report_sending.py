"""One report a day, whatever goes wrong with one try of it."""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from fakes import InMemoryStore
from fakes.metric_reader import InMemoryReader
from fakes.topic import InMemoryTopic
from steadyrag.domain.errors import Throttled, Unavailable
from steadyrag.domain.local_days import time_zone
from steadyrag.report import Models, ReportParts
from steadyrag.report_sending import KEEP_S, KEY, SendingParts, Sent, age_h, report_if_due
from steadyrag.telemetry import metrics

NOON = datetime(2026, 11, 24, 12, 17, tzinfo=UTC).timestamp()
HOUR_S = 3600.0


@dataclass
class Hours:
    """A stack whose function runs every hour, from `now` on."""

    now: float = NOON
    zone: str = "UTC"
    hour: int = 7
    reader: InMemoryReader = field(default_factory=InMemoryReader)
    topic: InMemoryTopic = field(default_factory=InMemoryTopic)
    ages: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = InMemoryStore(clock=self.clock)
        self.parts = self.environment(self.store)

    def clock(self) -> float:
        return self.now

    def environment(self, store: InMemoryStore) -> SendingParts:
        report = ReportParts(
            self.reader, "rag", Models("m"), zone=time_zone(self.zone), zone_name=self.zone
        )
        return SendingParts(report, self.topic, store, hour=self.hour, clock=self.clock)

    async def pass_(self, hours: int) -> list[float]:
        """The ages that were recorded in so many hours."""
        before = len(self.ages)
        for _ in range(hours):
            await report_if_due(self.parts, seconds=60)
            self.now += HOUR_S
        return self.ages[before:]

    @property
    def days(self) -> list[str]:
        return [subject.removeprefix("rag: report of ") for subject, _ in self.topic.published]


@pytest.fixture
def hours() -> Iterator[Hours]:
    made = Hours()
    listen(made)
    yield made
    metrics.subscribe(None)


def listen(made: Hours) -> None:
    metrics.subscribe(lambda document: made.ages.extend(document.get("ReportAge", [])))


async def test_each_day_is_reported_once_from_the_hour_on(hours: Hours) -> None:
    await hours.pass_(5 * 24)
    assert hours.days == ["2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27", "2026-11-28"]
    assert hours.reader.calls["read"] == 3 * 5


async def test_what_is_sent_is_the_report(hours: Hours) -> None:
    await hours.pass_(24)
    ((subject, text),) = hours.topic.published
    assert subject == "rag: report of 2026-11-24"
    assert text.startswith("rag: Tuesday, 2026-11-24 (UTC)\n")


async def test_a_new_stack_owes_no_report_of_days_before_it(hours: Hours) -> None:
    assert await hours.pass_(19) == [0.0] * 19
    assert hours.days == []


@pytest.mark.parametrize("born", range(24))
async def test_on_a_day_without_trouble_no_report_is_older_than_a_day(
    hours: Hours, born: int
) -> None:
    hours.now += born * HOUR_S
    ages = await hours.pass_(10 * 24)
    assert max(ages) <= 24
    assert ages.count(0.0) >= 9


@pytest.mark.parametrize("begins", ["2026-10-20T12:17Z", "2026-03-24T12:17Z"])
async def test_neither_is_one_when_clocks_change_but_by_an_hour(begins: str) -> None:
    hours = Hours(now=datetime.fromisoformat(begins).timestamp(), zone="Europe/Berlin")
    listen(hours)
    ages = await hours.pass_(10 * 24)
    metrics.subscribe(None)
    assert max(ages) <= 24
    first = date.fromisoformat(hours.days[0])
    assert hours.days == [str(first + timedelta(days=n)) for n in range(len(hours.days))]
    assert len(hours.days) == 10


async def test_a_throttled_cloudwatch_costs_an_hour_and_no_report(
    hours: Hours, caplog: pytest.LogCaptureFixture
) -> None:
    await hours.pass_(19)
    hours.reader.fail(Throttled("cloudwatch", "answered 400 Throttling"), on="read", times=3)
    with caplog.at_level(logging.ERROR, "steadyrag"):
        ages = await hours.pass_(5)
    assert [record.message for record in caplog.records] == ["report not sent"] * 3
    assert "Throttling" in str(vars(caplog.records[0])["reason"])
    assert ages == pytest.approx([24.28, 25.28, 26.28, 0, 1], abs=0.01)
    assert hours.days == ["2026-11-24"]


async def test_a_topic_that_is_down_is_not_taken_for_a_report_that_was_sent(hours: Hours) -> None:
    await hours.pass_(19)
    hours.topic.fail(Unavailable("sns", "503"), times=2)
    await hours.pass_(2)
    assert hours.days == []
    await hours.pass_(10)
    assert hours.days == ["2026-11-24"]


async def test_the_age_grows_as_long_as_nothing_is_sent(hours: Hours) -> None:
    await hours.pass_(24)
    hours.topic.fail(Unavailable("sns", "503"))
    ages = await hours.pass_(72)
    assert [b - a for a, b in itertools.pairwise(ages)] == pytest.approx([1.0] * 71)
    assert ages[-1] > 70


async def test_a_stack_that_never_sent_one_gets_older_all_the_same(hours: Hours) -> None:
    hours.topic.fail(Unavailable("sns", "503"))
    ages = await hours.pass_(4 * 24)
    assert ages[:19] == [0.0] * 19
    assert ages[-1] > 24 + 70


async def test_after_days_of_trouble_the_latest_day_is_reported_and_no_old_one(
    hours: Hours,
) -> None:
    await hours.pass_(24)
    hours.reader.fail(Unavailable("cloudwatch", "503"))
    await hours.pass_(3 * 24)
    hours.reader.heal()
    await hours.pass_(1)
    assert hours.days == ["2026-11-24", "2026-11-27"]


async def test_the_days_that_were_left_out_are_named_in_the_next_report(hours: Hours) -> None:
    await hours.pass_(24)
    hours.reader.fail(Unavailable("cloudwatch", "503"))
    await hours.pass_(3 * 24)
    hours.reader.heal()
    await hours.pass_(24)
    first, second, third = (text for _, text in hours.topic.published)
    assert "\nno report was sent of 2026-11-25 to 2026-11-26: " in second
    assert not any("no report was sent" in text for text in (first, third))


async def test_of_a_stack_that_never_sent_one_they_are_those_since_it_was_made(
    hours: Hours,
) -> None:
    hours.topic.fail(Unavailable("sns", "503"))
    await hours.pass_(2 * 24)
    hours.topic.heal()
    await hours.pass_(1)
    ((_, text),) = hours.topic.published
    assert "\nno report was sent of 2026-11-24: " in text


async def test_a_late_report_is_sent_after_midnight_too(hours: Hours) -> None:
    await hours.pass_(19)
    hours.topic.fail(Unavailable("sns", "503"), times=20)
    await hours.pass_(21)
    assert datetime.fromtimestamp(hours.now, UTC).hour == 4
    assert hours.days == ["2026-11-24"]


async def test_two_that_run_at_once_send_one_report(hours: Hours) -> None:
    await hours.pass_(19)
    hours.topic.slow(0.02)
    others = [InMemoryStore(clock=hours.clock, beside=hours.store) for _ in range(4)]
    await asyncio.gather(*(report_if_due(hours.environment(store), seconds=60) for store in others))
    assert hours.days == ["2026-11-24"]


async def test_one_that_comes_when_the_other_has_just_sent_it_looks_again(hours: Hours) -> None:
    """It looked before, and takes the lease after."""
    await hours.pass_(19)
    other = InMemoryStore(clock=hours.clock, beside=hours.store)
    other.slow(0.05, on="claim")
    await asyncio.gather(
        report_if_due(hours.environment(other), seconds=60),
        report_if_due(hours.parts, seconds=60),
    )
    assert hours.days == ["2026-11-24"]


async def test_a_sender_that_dies_on_the_way_holds_nobody_up_for_longer_than_its_lease(
    hours: Hours,
) -> None:
    await hours.pass_(19)
    await hours.store.claim(f"{KEY}:2026-11-24", "dead", ttl_s=300)
    ages = await hours.pass_(2)
    assert ages[0] > 24
    assert hours.days == ["2026-11-24"]


async def test_who_cannot_say_that_it_sent_one_says_so_and_sends_it_again(
    hours: Hours, caplog: pytest.LogCaptureFixture
) -> None:
    await hours.pass_(19)

    class Forgetful(InMemoryStore):
        async def update(self, key, *, put=None, **more):
            if put and "day" in put:
                raise Unavailable("dynamodb", "503")
            return await super().update(key, put=put, **more)

    parts = hours.environment(Forgetful(clock=hours.clock, beside=hours.store))
    with caplog.at_level(logging.ERROR, "steadyrag"):
        await report_if_due(parts, seconds=60)
    assert "report sent, and will be again" in str(vars(caplog.records[0])["reason"])
    hours.now += HOUR_S
    await hours.pass_(1)
    assert hours.days == ["2026-11-24", "2026-11-24"]


async def test_what_was_sent_is_remembered_at_the_second_try(hours: Hours) -> None:
    await hours.pass_(19)
    update, tried = hours.store.update, []

    async def once(key, *, put=None, **more):
        if put and "day" in put and not tried:
            tried.append(1)
            raise Unavailable("dynamodb", "503")
        return await update(key, put=put, **more)

    hours.store.update = once
    assert (await hours.pass_(1))[0] == 0
    await hours.pass_(5)
    assert hours.days == ["2026-11-24"]


async def test_without_the_store_nothing_is_said_and_nothing_is_sent(
    hours: Hours, caplog: pytest.LogCaptureFixture
) -> None:
    """Silence is what the alarm is for."""
    hours.store.fail(Unavailable("dynamodb", "503"))
    with caplog.at_level(logging.ERROR, "steadyrag"):
        assert await hours.pass_(24) == []
    assert {record.message for record in caplog.records} == {"report not looked at"}
    assert hours.days == []


async def test_a_report_that_takes_too_long_is_left_to_the_next_hour(hours: Hours) -> None:
    await hours.pass_(19)
    hours.reader.slow(5)
    async with asyncio.timeout(1):
        await report_if_due(hours.parts, seconds=0.05)
    assert hours.days == []
    assert hours.ages[-1] > 24
    hours.reader.heal()
    await hours.pass_(1)
    assert hours.days == ["2026-11-24"]


async def test_a_mistake_of_ours_does_not_hide_the_age(hours: Hours) -> None:
    await hours.pass_(19)
    hours.parts.report.reader.read = None
    with pytest.raises(TypeError):
        await report_if_due(hours.parts, seconds=60)
    assert hours.ages[-1] > 24


async def test_what_is_remembered_lives_as_long_as_somebody_looks(hours: Hours) -> None:
    await hours.pass_(24)
    hours.topic.fail(Unavailable("sns", "503"))
    for _ in range(4):
        hours.now += KEEP_S / 3
        await report_if_due(hours.parts, seconds=60)
    assert hours.ages[-1] > KEEP_S / HOUR_S


async def test_what_is_remembered_and_makes_no_sense_is_told(
    hours: Hours, caplog: pytest.LogCaptureFixture
) -> None:
    await hours.store.update(KEY, put={"born": b"1", "day": b"yesterday"})
    with caplog.at_level(logging.ERROR, "steadyrag"):
        assert await hours.pass_(1) == []
    assert "makes no sense" in str(vars(caplog.records[0])["reason"])


def test_a_clock_that_was_put_back_makes_no_report_come_from_the_future(hours: Hours) -> None:
    sent = Sent(NOON, date(2026, 11, 24), at=NOON + 60)
    assert age_h(sent, hours.parts) == 0

"""What a report says of a day, of the day before and of a week before."""

from datetime import date, timedelta
from typing import get_args

import pytest

from fakes.metric_reader import InMemoryReader, Raised
from steadyrag.domain.local_days import bounds, time_zone
from steadyrag.domain.models import Mode
from steadyrag.domain.report import MOST_LINES, WIDTH, Report
from steadyrag.report import Models, ReportParts, daily_report
from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import NAMESPACE, Metric

DAY = date(2026, 11, 24)
MODELS = Models("text-embedding-3-small", ("gpt-6-luna",))


class Measured:
    """A service of which is measured what a test says, each at noon of a day so many days ago."""

    def __init__(self, zone: str = "UTC", models: Models = MODELS) -> None:
        self.reader = InMemoryReader()
        self.zone = time_zone(zone)
        self.parts = ReportParts(
            self.reader, "rag", models, budget_usd=20.0, zone=self.zone, zone_name=zone
        )

    def put(self, metric: Metric, *values: float, ago: int = 0, **dimensions: str) -> None:
        start, _ = bounds(DAY - timedelta(days=ago), self.zone)
        for value in values:
            named = {"service": "rag", **dimensions}
            self.reader.series.put(NAMESPACE, metric.name, named, value, start + 12 * 3600)

    async def report(self, day: date = DAY) -> Report:
        _, end = bounds(day, self.zone)
        return await daily_report(day, self.parts, now=end + 7 * 3600)

    async def line(self, label: str) -> list[str]:
        text = (await self.report()).text()
        (found,) = [line for line in text.splitlines() if line.startswith(f"{label} ")]
        return found.removeprefix(label).split()


@pytest.fixture
def measured() -> Measured:
    return Measured()


async def test_searches_are_counted_by_rung_beside_the_days_before(measured: Measured) -> None:
    for ago, full in ((0, 120), (1, 100), (7, 240)):
        measured.put(catalogue.REQUESTS, full - 10, ago=ago, mode="full")
        measured.put(catalogue.REQUESTS, 10, ago=ago, mode="partial")
    assert await measured.line("searches") == ["120", "100", "+20", "%", "240", "-50", "%"]
    assert await measured.line("  partial") == ["10", "10", "10"]
    assert await measured.line("  canned") == ["0", "0", "0"]


async def test_percentiles_are_those_of_the_whole_day(measured: Measured) -> None:
    measured.put(catalogue.LATENCY, *range(1, 1001))
    measured.put(catalogue.SOURCES_LATENCY, 80)
    assert (await measured.line("answers, p50"))[0] in ("500", "501")
    assert (await measured.line("answers, p95"))[0] in ("950", "951")
    assert (await measured.line("answers, p99"))[0] in ("990", "991")
    assert await measured.line("sources, p99") == ["80", "ms", "-", "-"]


async def test_an_apology_is_an_error_and_an_answer(measured: Measured) -> None:
    measured.put(catalogue.REQUESTS, 96, mode="full")
    measured.put(catalogue.REQUESTS, 2, mode="canned")
    measured.put(catalogue.ERRORS, 2)
    assert (await measured.line("errors and apologies"))[:2] == ["4.00", "%"]


async def test_shares_change_by_the_difference(measured: Measured) -> None:
    measured.put(catalogue.CACHE_HIT, 1, 1, 0, 0)
    measured.put(catalogue.CACHE_HIT, 1, 0, 0, 0, ago=1)
    assert await measured.line("held answers") == ["50.00", "%", "25.00", "%", "+25.00", "-"]


async def test_only_stages_that_were_lost_are_named(measured: Measured) -> None:
    measured.put(catalogue.DEGRADED, 1, 0)
    measured.put(catalogue.LOST["rerank"], 1)
    measured.put(catalogue.LOST["vector"], 3, ago=7)
    text = (await measured.report()).text()
    assert "without rerank" in text
    assert "without vector" in text
    assert text.count("without") == 2


async def test_relevance_without_a_calibration_says_so(measured: Measured) -> None:
    measured.put(catalogue.REQUESTS, 5, mode="full")
    measured.put(catalogue.REQUESTS, 5, ago=1, mode="full")
    measured.put(catalogue.TOP_RELEVANCE, 0.7, 0.8, ago=1)
    label = "relevance of first sources"
    assert await measured.line(label) == ["not", "calibrated", "0.750", "-"]
    measured.put(catalogue.TOP_RELEVANCE, 0.65)
    assert await measured.line(label) == ["0.650", "0.750", "-0.100", "-"]


async def test_cost_is_shown_against_the_budget(measured: Measured) -> None:
    measured.put(catalogue.COST, 2.5, 2.5)
    assert (await measured.line("vendors' calls"))[0] == "$5.00"
    assert (await measured.line("  of $20.00 a day"))[:2] == ["25.00", "%"]


async def test_tokens_are_told_apart_by_the_models_in_use(measured: Measured) -> None:
    measured.put(catalogue.PROMPT_TOKENS, 1500, model="gpt-6-luna")
    measured.put(catalogue.PROMPT_TOKENS, 9, model="another")
    measured.put(catalogue.EMBEDDING_TOKENS, 70, model="text-embedding-3-small")
    assert (await measured.line("read, gpt-6-luna"))[0] == "1,500"
    assert (await measured.line("written, gpt-6-luna"))[0] == "0"
    assert (await measured.line("tokens, text-embedding-3-sm…"))[0] == "70"


async def test_documents_feedback_and_golden_questions_are_in_it(measured: Measured) -> None:
    measured.put(catalogue.INGESTED, 3, outcome="failed")
    measured.put(catalogue.INGEST_LAG, 12, 95)
    measured.put(catalogue.FEEDBACK, 4, verdict="bad")
    measured.put(catalogue.GOLDEN_ASKED, 240, 236)  # as they stand, by the hour
    measured.put(catalogue.GOLDEN_LOST, 7, 6)
    measured.put(catalogue.READY, 1, 1, 1, 0)
    assert (await measured.line("documents failed"))[0] == "3"
    assert (await measured.line("longest lag"))[:2] == ["95", "s"]
    assert (await measured.line("found bad"))[0] == "4"
    assert (await measured.line("golden questions asked"))[0] == "240"
    assert (await measured.line("golden questions lost"))[0] == "7"
    assert (await measured.line("ready"))[:2] == ["75.00", "%"]


async def test_alarms_that_went_off_are_named_with_how_often(measured: Measured) -> None:
    start, end = bounds(DAY, measured.zone)
    for name, at in (("errors", start), ("errors", end - 1), ("down", start), ("throttled", end)):
        measured.reader.raised.append(Raised(f"rag-{name}", at))
    measured.reader.raised.append(Raised("other-errors", start))
    text = (await measured.report()).text()
    assert text.splitlines()[-1] == "went off: errors 2 ×, down 1 ×"
    assert (await measured.line("alarms"))[:2] == ["3", "0"]


async def test_what_alarms_did_long_ago_is_not_known_any_more(measured: Measured) -> None:
    _, end = bounds(DAY, measured.zone)
    report = await daily_report(DAY, measured.parts, now=end + 40 * 86_400)
    assert report.text().splitlines()[-1] == "went off: not known any more"
    assert measured.reader.calls["alarms_raised"] == 0


async def test_days_before_there_was_a_stack_are_no_days_of_zero(measured: Measured) -> None:
    measured.put(catalogue.READY, 1)
    assert await measured.line("searches") == ["0", "-", "-"]


async def test_a_day_without_a_search_is_reported_all_the_same(measured: Measured) -> None:
    measured.put(catalogue.READY, 1)
    text = (await measured.report()).text()
    assert "nan" not in text
    assert "not calibrated" not in text


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Asia/Seoul", "2026-10-25", 24),
    ],
)
async def test_a_day_on_which_clocks_change_is_read_to_its_end(
    zone: str, day: str, hours: int
) -> None:
    measured = Measured(zone)
    start, end = bounds(date.fromisoformat(day), measured.zone)
    for at in (start - 60, start, end - 60, end):
        named = {"service": "rag", "mode": "full"}
        measured.reader.series.put(NAMESPACE, "Requests", named, 1, at)
    report = await measured.report(date.fromisoformat(day))
    assert report.sections[0][0].values[0] == 2
    assert measured.reader.spans[0] == (start, end)
    assert end - start == hours * 3600
    assert {e - s for s, e in measured.reader.spans[1:]} == {24 * 3600}


async def test_a_report_of_the_worst_day_fits_a_mail() -> None:
    """With everything lost, models of the longest names, and every alarm there could be."""
    long = "m" * 64
    measured = Measured(models=Models(long, (f"a{long[1:]}", f"b{long[1:]}")))
    for metric in catalogue.CATALOGUE:
        measured.put(metric, 1_234_567_890.0, 1.0)
    for mode in get_args(Mode):
        measured.put(catalogue.REQUESTS, 123_456_789.0, mode=mode)
    start, _ = bounds(DAY, measured.zone)
    for number in range(200):
        measured.reader.raised.append(Raised(f"rag-some-alarm-{number}", start))
    report = await measured.report()
    lines = report.text().splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= WIDTH
    assert lines[-1].endswith(" …")


async def test_a_report_reads_no_more_than_a_call_for_each_day(measured: Measured) -> None:
    await measured.report()
    assert measured.reader.calls == {"read": 3, "alarms_raised": 3}


async def test_the_report_looks_like_this(measured: Measured) -> None:
    for ago in (0, 1, 7):
        measured.put(catalogue.REQUESTS, 1200 - 100 * ago, ago=ago, mode="full")
    title, blank, head, searches, *_, last, alarms = (await measured.report()).text().splitlines()
    assert title == "rag: Tuesday, 2026-11-24 (UTC)"
    assert blank == ""
    assert head == f"{'':29}{'Tue 24 Nov':>15}{'Mon 23 Nov':>15}{'':9}{'Tue 17 Nov':>15}"
    assert searches == (
        f"{'searches':29}{'1,200':>15}{'1,100':>15}{'+9 %':>9}{'500':>15}{'+140 %':>9}"
    )
    assert last == f"{'alarms':29}{'0':>15}{'0':>15}{'':9}{'0':>15}"
    assert alarms == "went off: none"


def test_a_subject_names_stack_and_day() -> None:
    assert Report("rag", DAY, "UTC", [], {}).subject == "rag: report of 2026-11-24"

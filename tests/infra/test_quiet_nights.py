"""What the alarms that page say of little traffic and of none: one bad search at night wakes
nobody, an outage does. Each is so however CloudWatch takes a data point that is missing."""

from functools import cache
from random import Random
from typing import get_args

import pytest

from infra.alarms import PAGES
from infra.cloudformation import ROOT
from steadyrag.monitoring.alarms import Alarm, Watch
from steadyrag.monitoring.metric_functions import Unfilled
from steadyrag.monitoring.series import Series
from steadyrag.monitoring.template import read_alarms

MIDNIGHT = 1_790_000_000 // 86_400 * 86_400
STACK = {"service": "steadyrag"}
ROUTE = {"ApiName": "steadyrag", "Stage": "v1", "Method": "POST", "Resource": "/search"}
ALIAS = {"FunctionName": "steadyrag-search", "Resource": "steadyrag-search:live"}


@cache
def pages() -> tuple[Alarm, ...]:
    return tuple(one for one in read_alarms(ROOT / "template.yaml") if one.name in PAGES)


class Night:
    """Minutes one after the other, and which alarms went off in each."""

    def __init__(self, unfilled: Unfilled, *, late_s: float = 0) -> None:
        self._series = Series()
        self._watch = Watch(pages(), self._series, unfilled=unfilled, delay_s=late_s)
        self._now = MIDNIGHT

    def minute(
        self,
        searches: int = 0,
        *,
        broken: int = 0,
        starts: bool = True,
        latency_ms: float = 900,
        slow: int = 0,
        ready: int | None = 1,
        feedback_lost: int = 0,
        seen_by_lambda: bool = True,
    ) -> set[str]:
        """The alarms that are on after a minute in which so many of the searches broke, and so
        many that didn't took 20 s. A function that doesn't start prints nothing, and one that
        can't even be asked is not `seen_by_lambda`."""
        at = self._now + 30
        for number in range(searches):
            failed = number < broken
            self._series.put("AWS/ApiGateway", "Count", ROUTE, 1, at)
            self._series.put("AWS/ApiGateway", "5XXError", ROUTE, failed, at)
            if seen_by_lambda:
                self._series.put("AWS/Lambda", "Errors", ALIAS, failed and not starts, at)
            if not failed:
                taken_ms = 20_000 if number < broken + slow else latency_ms
                self._series.put("Steadyrag", "Requests", {**STACK, "mode": "full"}, 1, at)
                for metric in ("Latency", "SourcesLatency"):
                    self._series.put("Steadyrag", metric, STACK, taken_ms, at)
        for _ in range(feedback_lost):
            self._series.put(
                "AWS/ApiGateway", "5XXError", {**ROUTE, "Resource": "/feedback"}, 1, at
            )
            self._series.put("AWS/Lambda", "Errors", ALIAS, 1, at)
        if ready is not None:
            self._series.put("Steadyrag", "Ready", STACK, ready, at)
        self._now += 60
        return {name for name, state in self._watch.evaluate(self._now).items() if state == "ALARM"}


@pytest.fixture(params=get_args(Unfilled.__value__))
def night(request: pytest.FixtureRequest) -> Night:
    begun = Night(request.param)
    for _ in range(6):  # until the readiness check has been heard
        begun.minute()
    return begun


def test_nobody_asks_and_nobody_is_told(night: Night) -> None:
    assert [night.minute() for _ in range(60)] == [set()] * 60


def test_one_search_that_breaks_at_night_wakes_nobody(night: Night) -> None:
    assert night.minute(1, broken=1) == set()
    assert [night.minute() for _ in range(30)] == [set()] * 30


def test_neither_does_one_that_is_tried_again_at_once(night: Night) -> None:
    assert night.minute(2, broken=2) == set()
    assert [night.minute() for _ in range(30)] == [set()] * 30


@pytest.mark.parametrize("a_minute", [1, 5, 100])
def test_an_outage_of_every_search_is_known_after_three_minutes(
    night: Night, a_minute: int
) -> None:
    on = [night.minute(a_minute, broken=a_minute) for _ in range(3)]
    assert on == [set(), set(), {"errors"}]


def test_it_is_known_of_a_function_that_cannot_even_start(night: Night) -> None:
    """It prints no metric, and the readiness check, which is another function, is fine."""
    on = [night.minute(5, broken=5, starts=False) for _ in range(3)]
    assert on == [set(), set(), {"errors"}]


def test_it_is_known_of_a_function_that_cannot_even_be_asked(night: Night) -> None:
    """Lambda counts nothing then, and the service has never printed an apology."""
    on = [night.minute(5, broken=5, starts=False, seen_by_lambda=False) for _ in range(3)]
    assert on == [set(), set(), {"errors"}]


@pytest.mark.parametrize("unfilled", get_args(Unfilled.__value__))
def test_it_is_known_so_much_later_as_metrics_arrive(unfilled: Unfilled) -> None:
    late = Night(unfilled, late_s=120)
    for _ in range(8):
        late.minute()
    on = [late.minute(5, broken=5) for _ in range(5)]
    assert on == [set()] * 4 + [{"errors"}]


def test_feedback_that_is_lost_is_no_search_that_is(night: Night) -> None:
    """It is the same function, whose failures Lambda doesn't tell apart."""
    assert [night.minute(1, feedback_lost=2) for _ in range(30)] == [set()] * 30


def test_errors_end_when_they_are_over(night: Night) -> None:
    for _ in range(5):
        night.minute(5, broken=5)
    assert "errors" not in [night.minute(5) for _ in range(10)][-1]


def test_a_few_percent_of_much_traffic_are_seen(night: Night) -> None:
    assert night.minute(100, broken=3) == set()
    assert [night.minute(100, broken=3) for _ in range(2)][-1] == {"errors"}


@pytest.mark.parametrize("a_minute", [9, 30])
def test_the_errors_that_are_allowed_wake_nobody_for_a_day(night: Night, a_minute: int) -> None:
    """A thousandth of the searches, by chance. With one more in a minute, one error counts less."""
    chance = Random(a_minute)  # noqa: S311 - not for secrets
    for _ in range(24 * 60):
        broken = sum(chance.random() < 0.001 for _ in range(a_minute))
        assert night.minute(a_minute, broken=broken) == set()


def test_slow_searches_wake_nobody_one_by_one(night: Night) -> None:
    """One of five searches in every five minutes: a cold start, say."""
    on = set()
    for _ in range(12):
        on |= night.minute(5, slow=1)
        for _ in range(4):
            on |= night.minute(5)
    assert on == set()


@pytest.mark.parametrize("a_minute", [3, 5, 60])
def test_searches_that_are_all_slow_are_known_in_a_quarter_of_an_hour(
    night: Night, a_minute: int
) -> None:
    on = [night.minute(a_minute, latency_ms=9_000) for _ in range(15)]
    assert on[-1] == {"sources-slow", "answers-slow"}


def test_slow_searches_within_the_line_wake_nobody_for_a_day(night: Night) -> None:
    """Three in a thousand, by chance, where the hundredth is of few."""
    chance = Random(42)  # noqa: S311 - not for secrets
    for _ in range(24 * 60):
        slow = sum(chance.random() < 0.003 for _ in range(42))
        assert night.minute(42, slow=slow) == set()


def test_the_slowest_hundredth_of_many_is_looked_at_as_such(night: Night) -> None:
    for _ in range(12):
        on = night.minute(100, slow=2)
    assert on == {"sources-slow", "answers-slow"}


def test_a_readiness_check_that_falls_silent_is_a_page(night: Night) -> None:
    on = [night.minute(ready=None) for _ in range(8)]
    assert on[0] == set()
    assert on[-1] == {"not-ready"}


def test_so_is_one_that_fails_in_three_of_five_minutes(night: Night) -> None:
    on = [night.minute(ready=ready) for ready in (0, 1, 0, 1, 0)]
    assert on == [set()] * 4 + [{"not-ready"}]


def test_one_minute_without_a_check_is_none(night: Night) -> None:
    """The scheduler comes late now and then."""
    for _ in range(10):
        assert night.minute(ready=None) == set()
        assert [night.minute() for _ in range(3)] == [set()] * 3


def test_both_together_are_an_outage(night: Night) -> None:
    for _ in range(8):
        on = night.minute(5, broken=5, starts=False, ready=None)
    assert on == {"errors", "not-ready", "down"}
